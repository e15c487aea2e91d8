import Bitcoin
import CTestSupport
import CryptoPrimitives
import Secp256k1
import Testing

/// How much `psbt show` writes about PSBTs that strangers made large.
@Suite struct LargePSBTTests {
    enum Shape: CaseIterable {
        /// One group of as many participants as are read, and a signature of it for each of thousands of leaves.
        case manySignatures
        /// The same, for keys that stand nowhere and must be looked for in the group.
        case manySignedKeys
        /// Inputs with a group and some signatures each.
        case manyInputs
        /// Groups of nobody.
        case manyGroups
    }

    @Test(arguments: Shape.allCases)
    func `what is shown of a hostile PSBT stays below four times its bytes`(shape: Shape) throws {
        let bytes = try Self.psbt(shape).serialized()
        #expect(bytes.count > 900_000)
        var tool = Tool("psbt", "show", "-", "--json")
        tool.input = bytes
        // In kilobytes: a thousandfold of the PSBT would end the process.
        // A sanitizer maps far more than it uses.
        if chorale_test_is_sanitized() == 0 { tool.shellPrelude = "ulimit -v 1000000" }
        let json = try tool.run()
        #expect(json.exitCode == 0, "\(json.errors)")
        #expect(json.output.utf8.count < 4 * bytes.count)
        tool.arguments = ["psbt", "show", "-"]
        let text = try tool.run()
        #expect(text.exitCode == 0, "\(text.errors)")
        #expect(text.output.utf8.count < 4 * bytes.count)
    }

    @Test func `a group is listed once, and people are told how many signatures are not shown`() throws {
        var tool = Tool("psbt", "show", "-", "--json")
        tool.input = try Self.psbt(.manySignatures).serialized()
        let input = try #require((try tool.run().json()["inputs"] as? [[String: Any]])?.first)
        let groups = try #require(input["musig2_groups"] as? [[String: Any]])
        #expect(groups.map { ($0["participants"] as? [String])?.count } == [PSBT.participantCountMax])
        #expect((input["musig2"] as? [Any])?.count == 7_000)
        tool.arguments = ["psbt", "show", "-"]
        let text = try tool.run().output
        #expect(text.contains("1 of 1000 partial signatures") && text.contains("  … and 950 more (--json lists all)\n"))
        #expect(text.contains("  … and 6,980 more (--json lists all)\n"))
        tool.input = try Self.psbt(.manyInputs).serialized()
        #expect(try tool.run().output.contains("  50 participants (--json lists all)\n"))
    }

    private static func psbt(_ shape: Shape) throws -> PSBT {
        let keys = Samples.keys(60)
        var psbt = try Samples.payment(from: keys[0].xOnly, inputs: shape == .manyInputs ? 300 : 1)
        switch shape {
        case .manySignatures, .manySignedKeys:
            psbt.inputs[0].musig2Participants = [keys[0]: (0..<PSBT.participantCountMax).map { keys[$0 % keys.count] }]
            for number in 0..<7_000 {
                let leaf = Self.leaf(number)
                let signedKey = shape == .manySignatures ? keys[0] : keys[1 + number % 59]
                try psbt.addMuSig2PartialSignature(
                    [UInt8](repeating: 1, count: 32),
                    for: PSBT.MuSig2Contribution(participant: keys[2], aggregateKey: signedKey, leafHash: leaf), toInput: 0)
            }
        case .manyInputs:
            for input in psbt.inputs.indices {
                psbt.inputs[input].musig2Participants = [keys[0]: Array(keys[..<50])]
                for number in 0..<20 {
                    try psbt.addMuSig2PartialSignature(
                        [UInt8](repeating: 1, count: 32),
                        for: PSBT.MuSig2Contribution(participant: keys[2], aggregateKey: keys[0], leafHash: Self.leaf(number)),
                        toInput: input)
                }
            }
        case .manyGroups:
            for number in 0..<26_000 {
                guard let key = try? XOnlyPublicKey(SHA256.hash(Array("group \(number)".utf8))) else { continue }
                psbt.inputs[0].musig2Participants[key.evenKey] = []
                psbt.inputs[0].musig2Participants[try PublicKey(parsing: [3] + key.bytes.bytes)] = []
            }
        }
        return psbt
    }

    private static func leaf(_ number: Int) -> TapLeafHash { TapLeafHash(SHA256.hash(Array("leaf \(number)".utf8))) }
}
