import CryptoPrimitives
import TestVectors
import Testing

struct `Base58Check texts` {
    struct File: Decodable {
        let chains: [Chain]
        let invalid: [Invalid]
    }
    struct Chain: Decodable { let nodes: [Node] }
    struct Node: Decodable {
        let xpub: String
        let xprv: String
    }
    struct Invalid: Decodable {
        let key: String
        let why: String
    }

    @Test(.enabled(if: VectorFolder.has("extracted/bip32.json"), "needs the bips folder: set CHORALE_BIPS"))
    func `every extended key of BIP-32 decodes to 78 bytes and encodes back`() throws {
        let file = try VectorFolder.load("extracted/bip32.json", as: File.self)
        let keys = file.chains.flatMap(\.nodes).flatMap { [$0.xpub, $0.xprv] }
        #expect(keys.count == 34)
        for key in keys {
            let bytes = try Base58Check.decode(key)
            #expect(bytes.count == 78)
            #expect(Base58Check.encode(bytes) == key)
        }
        #expect(file.invalid.count == 16)
        for invalid in file.invalid where invalid.why.contains("checksum") {
            #expect(throws: Base58Error.wrongChecksum) { try Base58Check.decode(invalid.key) }
        }
        #expect(file.invalid.contains { $0.why.contains("checksum") })
    }

    @Test func `the address of the genesis block's key decodes to its published hash`() throws {
        let bytes = try Base58Check.decode("1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa")
        #expect(Hex.encode(bytes) == "0062e907b15cbf27d5425399ebf6f0fb50ebb88f18")
    }

    @Test func `bytes of every length survive, leading zeros included`() throws {
        for count in 0...Base58Check.byteCountMax {
            for zeros in [0, 1, count / 2, count] where zeros <= count {
                let bytes = [UInt8](repeating: 0, count: zeros) + [UInt8](repeating: 255, count: count - zeros)
                let text = Base58Check.encode(bytes)
                #expect(text.utf8.count <= Base58Check.characterCountMax)
                #expect(try Base58Check.decode(text) == bytes)
            }
        }
    }

    @Test func `a text with any one character changed is refused`() throws {
        let text = Array(Base58Check.encode(Array(0..<21)).utf8)
        for index in text.indices {
            for character in "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz".utf8 where character != text[index] {
                var wrong = text
                wrong[index] = character
                #expect(throws: Base58Error.self) { try Base58Check.decode(String(decoding: wrong, as: UTF8.self)) }
            }
        }
    }

    @Test func `what is no Base58Check is refused by name`() {
        #expect(throws: Base58Error.tooShort) { try Base58Check.decode("") }
        #expect(throws: Base58Error.tooShort) { try Base58Check.decode("111") }
        #expect(throws: Base58Error.invalidCharacter(offset: 2)) { try Base58Check.decode("1A0zP1eP5QGefi2DMPTfTL5SLmv7DivfNa") }
        // What is longer than any text can still be written, and is not read.
        let long = Base58Check.encode([UInt8](repeating: 7, count: 79))
        #expect(throws: Base58Error.self) { try Base58Check.decode(long) }
        #expect(throws: Base58Error.tooManyCharacters(count: 113, maximum: 112)) {
            try Base58Check.decode(String(repeating: "z", count: 113))
        }
        #expect(throws: Base58Error.tooManyBytes(count: 108, maximum: 78)) { try Base58Check.decode(String(repeating: "1", count: 112)) }
    }
}
