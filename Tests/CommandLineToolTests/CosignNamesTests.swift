import Bitcoin
import Secp256k1
import Signing
import Testing

@testable import CommandLineTool

@Suite struct CosignNamesTests {
    @Test func `a comment after a key is its name, in the file that multisig reads`() throws {
        let keys = Samples.keys(4)
        let folder = try TemporaryFolder()
        let text = "# the board\n\(keys[0])  # Alice   Able\n\(keys[1])#\n\(keys[2]) ## Carol # of Chur\n\n\(keys[3])\n"
        let file = try SignersFile(readingFrom: folder.write(text, to: "signers.txt"))
        #expect(file.keys == keys)
        #expect(file.names == [keys[0]: "Alice Able", keys[2]: "Carol # of Chur"])
    }

    @Test func `a signer is called by the own file's label, else by the own list, else by the key`() throws {
        let keys = Samples.keys(3)
        let folder = try TemporaryFolder()
        let long = String(repeating: "x", count: 200)
        let file = try SignersFile(readingFrom: folder.write("\(keys[0]) # me\n\(keys[1]) # \u{202e}\(long)\n", to: "signers.txt"))
        let names = SignerNames(own: keys[0], label: "Alice", file: file)
        #expect(names.full(keys[0]) == "Alice (\(keys[0]))")
        #expect(names.short(keys[0]) == "Alice (\("\(keys[0])".prefix(10))…)")
        #expect(names.full(keys[2]) == "\(keys[2])" && names[keys[2]] == nil)
        let other = try #require(names[keys[1]])
        #expect(other.hasPrefix("\\u{202e}xxx") && other.hasSuffix("x…") && other.count < 80)
        #expect(SignerNames(own: keys[0], file: file)[keys[0]] == "me")
    }

    @Test func `a list that fits the group in part is told by the keys that do not`() throws {
        let keys = Samples.keys(20)
        let folder = try TemporaryFolder()
        let file = try SignersFile(readingFrom: folder.write("\(keys[1]) # Bob\n\(keys[3]) # Dora\n", to: "signers.txt"))
        let names = SignerNames(file: file)
        func remarks(_ list: [PublicKey], _ members: [PublicKey], own: Int) -> [String] {
            SignersFit(of: list, to: members, own: [keys[own].xOnly]).remarks(on: "signers.txt", names)
        }
        #expect(remarks(Array(keys[1...2]), Array(keys[0...2]), own: 0) == [])
        #expect(remarks(Array(keys[0...2]), Array(keys[1...2]), own: 0) == [], "an owner may stand in the list")
        #expect(
            remarks(file.keys, Array(keys[0...2]), own: 0) == [
                "signers.txt does not have these signers of the group: \(keys[2])",
                "signers.txt has these keys that are no signers of the group: Dora (\(keys[3]))",
            ])
        let many = remarks([keys[1]], keys, own: 0)
        #expect(many.count == 1 && many[0].hasSuffix(" and 13 more"))
        #expect(keys.count { many[0].contains("\($0)") } == 5)
    }

    @Test func `inputs with the same signers are listed together`() throws {
        let (keys, others) = (Array(Samples.keys(4).prefix(2)), Array(Samples.keys(4).suffix(2)))
        var psbt = try Samples.payment(from: keys[0].xOnly, inputs: 4)
        #expect(psbt.signerLists == [])
        for (index, signers) in [(0, keys), (1, others), (3, keys)] { psbt.inputs[index].musig2Participants[signers[0]] = signers }
        #expect(
            psbt.signerLists == [
                SignerList(place: "inputs 0, 3", signers: keys.sorted()), SignerList(place: "input 1", signers: others.sorted()),
            ])
    }
}
