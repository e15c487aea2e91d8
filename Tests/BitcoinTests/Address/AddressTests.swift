import Bitcoin
import CryptoPrimitives
import Foundation
import TestVectors
import Testing

private let vectorFile = "extracted/bip173_350.json"

@Suite(.enabled(if: VectorFolder.has(vectorFile), "needs the bips folder: set CHORALE_BIPS"))
struct AddressVectorTests {
    struct File: Decodable {
        struct Cases: Decodable {
            let valid: [Case]
            let invalid: [Case]
        }
        struct Case: Decodable {
            let address: String
            let scriptPubKey: String?
            let why: String?
        }
        let addresses173: Cases
        let addresses350: Cases

        private enum CodingKeys: String, CodingKey {
            case addresses173 = "addresses_173"
            case addresses350 = "addresses_350"
        }
    }

    let file: File

    init() throws { self.file = try JSONDecoder().decode(File.self, from: VectorFolder.data(vectorFile)) }

    @Test func `the file has the cases it had when these tests were written`() {
        #expect(self.file.addresses173.valid.count == 6 && self.file.addresses173.invalid.count == 10)
        #expect(self.file.addresses350.valid.count == 8 && self.file.addresses350.invalid.count == 15)
    }

    @Test func `the addresses of BIP-350 are read and written`() throws {
        for vector in self.file.addresses350.valid {
            let networks: [Network] = vector.address.lowercased().hasPrefix("bc1") ? [.mainnet] : [.testnet4, .signet]
            for network in Network.allCases {
                guard networks.contains(network) else {
                    #expect(throws: AddressError.self) { try Address(parsing: vector.address, on: network) }
                    continue
                }
                let address = try Address(parsing: vector.address, on: network)
                #expect(address.scriptPubKey.hex == vector.scriptPubKey)
                #expect(address.text == vector.address.lowercased())
            }
        }
    }

    @Test func `of the addresses of BIP-173 only version 0 is still valid`() throws {
        for vector in self.file.addresses173.valid {
            let network: Network = vector.address.lowercased().hasPrefix("bc1") ? .mainnet : .testnet4
            let hex = try #require(vector.scriptPubKey)
            let script = try #require(Script(hex: hex))
            let version = try #require(script.witnessProgram).version
            if version == 0 {
                #expect(try Address(parsing: vector.address, on: network).scriptPubKey == script)
            } else {
                #expect(throws: AddressError.wrongChecksumVariant(witnessVersion: version)) {
                    try Address(parsing: vector.address, on: network)
                }
            }
        }
    }

    @Test func `what the BIPs refuse is refused on every network`() {
        for vector in self.file.addresses173.invalid + self.file.addresses350.invalid {
            for network in Network.allCases {
                #expect(throws: AddressError.self, "\(vector.address): \(vector.why ?? "")") {
                    try Address(parsing: vector.address, on: network)
                }
            }
        }
    }
}

@Suite struct AddressTests {
    @Test func `each fault has its own answer`() {
        func fault(_ text: String, on network: Network = .mainnet) -> AddressError? {
            do throws(AddressError) {
                _ = try Address(parsing: text, on: network)
                return nil
            } catch {
                return error
            }
        }
        #expect(fault("") == .bech32(.noSeparator))
        #expect(fault("tc1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vq5zuyut") == .wrongPrefix("tc", expected: .mainnet))
        #expect(fault("bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kemeawh") == .wrongChecksumVariant(witnessVersion: 0))
        #expect(fault("BC130XLXVLHEMJA6C4DQV22UAPCTQUPFHLXM9H8Z3K2E72Q4K9HCZ7VQ7ZWS8R") == .unknownWitnessVersion(17))
        #expect(fault("bc1pw5dgrnzv") == .wrongProgramByteCount(witnessVersion: 1, byteCount: 1))
        #expect(fault("BC1QR508D6QEJXTDG4Y5R3ZARVARYV98GJ9P") == .wrongProgramByteCount(witnessVersion: 0, byteCount: 16))
        #expect(fault("bc1gmk9yu") == .noWitnessVersion)
        #expect(fault("1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNb") == .base58(.wrongChecksum))
        #expect(fault("1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa", on: .signet) == .wrongVersionByte(0, expected: .signet))
        #expect(fault(Base58Check.encode([0, 1, 2])) == .wrongHashByteCount(2))
    }

    @Test func `the first key there was has the address that everybody knows`() throws {
        let address = try Address(parsing: "1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa", on: .mainnet)
        let hash = try #require(Hash160(Hex.decode("62e907b15cbf27d5425399ebf6f0fb50ebb88f18")))
        #expect(address.scriptPubKey == .payToPublicKeyHash(hash))
        #expect(address.text == "1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa")
    }

    @Test func `an address that begins with 3 is that of a script hash`() throws {
        let address = try Address(parsing: "3EExK1K1TF3v7zsFtQHt14XqexCwgmXM1y", on: .mainnet)
        guard case .payToScriptHash = address.scriptPubKey.kind else {
            Issue.record("not a script hash: \(address.scriptPubKey)")
            return
        }
        #expect(Address(scriptPubKey: address.scriptPubKey, network: .regtest)?.text.first == "2")
    }

    @Test(arguments: Network.allCases)
    func `every standard output has an address that gives it back`(network: Network) throws {
        var generator = TransactionGenerator(seed: 7)
        for _ in 0..<50 {
            let hash = try #require(Hash160(generator.bytes(20...20)))
            var scripts: [Script] = [.payToPublicKeyHash(hash), .payToScriptHash(hash), .payToTaproot(generator.bytes32())]
            for version in 0...16 {
                let bytes = version == 0 ? generator.bytes(32...32) : generator.bytes(2...40)
                let program = try #require(WitnessProgram(version: version, bytes: bytes))
                scripts.append(.payToWitness(program))
            }
            for script in scripts {
                let address = try #require(Address(scriptPubKey: script, network: network))
                #expect(try Address(parsing: address.text, on: network) == address)
                if script.witnessProgram != nil {
                    #expect(try Address(parsing: address.text.uppercased(), on: network) == address)
                }
                for other in Network.allCases where other != network {
                    // Test networks share addresses; what is real money never reads as a test address or the other way round.
                    let isRead = (try? Address(parsing: address.text, on: other)) != nil
                    #expect(!isRead || (network != .mainnet && other != .mainnet))
                }
            }
        }
    }

    @Test func `what has no address gets none`() throws {
        for hex in ["6a0401020304", "", "51", "0003aabbcc", "21" + String(repeating: "02", count: 33) + "ac"] {
            #expect(Address(scriptPubKey: try #require(Script(hex: hex)), network: .mainnet) == nil)
        }
    }

    @Test(arguments: UInt64(0)..<300)
    func `noise is no address`(seed: UInt64) {
        var generator = TransactionGenerator(seed: seed)
        let noise = String(decoding: generator.bytes(0...120), as: UTF8.self)
        for text in [noise, "bc1" + noise, "tb1p" + noise, "1" + noise, String(repeating: "q", count: 2_000) + noise] {
            for network in Network.allCases {
                #expect(throws: AddressError.self) { try Address(parsing: text, on: network) }
            }
        }
    }

    @Test(arguments: UInt64(0)..<100)
    func `a changed character is never read as another address`(seed: UInt64) throws {
        var generator = TransactionGenerator(seed: seed)
        let address = try #require(Address(scriptPubKey: .payToTaproot(generator.bytes32()), network: .regtest))
        var text = Array(address.text.utf8)
        let position = Int.random(in: text.indices, using: &generator)
        text[position] = UInt8.random(in: 0x20...0x7e, using: &generator)
        guard text != Array(address.text.utf8) else { return }
        #expect(throws: AddressError.self) { try Address(parsing: String(decoding: text, as: UTF8.self), on: .regtest) }
    }
}
