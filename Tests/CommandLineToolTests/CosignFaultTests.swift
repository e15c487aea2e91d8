import Bitcoin
import CryptoPrimitives
import Foundation
import MuSig2
import Secp256k1
import Signing
import Testing

/// One signer is a process of the tool, the other is played here and breaks the rules; the proof is then shown to `chorale audit`.
@Suite struct CosignFaultTests {
    enum Fault: CaseIterable, Sendable {
        case twoNonceSetsUnderOneName, invalidPartialSignature

        var problem: String {
            switch self {
            case .twoNonceSetsUnderOneName: "it gave two different sets of nonces under one name"
            case .invalidPartialSignature: "its partial signature"
            }
        }

        var verdict: String {
            switch self {
            case .twoNonceSetsUnderOneName: "it signed two different sets of nonces under the name "
            case .invalidPartialSignature: "it signed a partial signature for input 0 that does not verify"
            }
        }
    }

    @Test(arguments: Fault.allCases)
    func `cosign names who is at fault and where the proof is, and audit verify shows what it proves`(fault: Fault) throws {
        let play = try FaultPlay()
        let honest = try play.run(fault)
        #expect(honest.exitCode == 1)
        #expect(honest.errors.contains("signer \(play.culprit): \(fault.problem)"), "\(honest.errors)")
        #expect(honest.errors.contains("No other set can sign; the proof is in "), "\(honest.errors)")
        let proof = play.path(of: .evidence(play.culprit))
        #expect(honest.errors.contains("the proof is in \(proof), see: chorale audit verify"), "\(honest.errors)")
        #expect(!FileManager.default.fileExists(atPath: play.path(of: .final)))

        let shown = try Tool("audit", "verify", proof).run()
        #expect(shown.exitCode == 0, "\(shown.errors)")
        #expect(shown.errors == "")
        #expect(shown.output.hasPrefix("Proved: signer \(play.culprit) is at fault: \(fault.verdict)"), "\(shown.output)")
        // What it was to sign follows, however the lines are broken.
        #expect(shown.output.contains("\nIt was to sign") && shown.output.contains("in attempt 1"), "\(shown.output)")
        #expect(shown.output.contains("\(play.request.transaction.txid)"), "\(shown.output)")
        #expect(!shown.output.contains("\(play.honest)"))

        var piped = Tool("audit", "verify", "-", "--json")
        piped.input = try play.bytes(of: .evidence(play.culprit))
        let json = try piped.run()
        #expect(json.exitCode == 0 && json.errors == "")
        let object = try json.json()
        #expect(Set(object.keys) == ["proved", "public_key", "fault", "txid", "attempt"])
        #expect(object["proved"] as? Bool == true)
        #expect(object["public_key"] as? String == "\(play.culprit)")
        #expect((object["fault"] as? String)?.hasPrefix(fault.verdict) == true)
        #expect(object["txid"] as? String == "\(play.request.transaction.txid)")
        #expect(object["attempt"] as? Int == 1)
    }

    @Test func `evidence of which a byte was changed, anywhere, proves nothing, and audit verify says so with exit code 1`() throws {
        let play = try FaultPlay()
        _ = try play.run(.invalidPartialSignature)
        let bytes = try play.bytes(of: .evidence(play.culprit))
        // From end to end, at each part of every statement and of the request before them.
        for place in stride(from: 0, to: bytes.count, by: 31) {
            var changed = bytes
            changed[place] ^= 1
            let path = try play.group.folder.write(changed, to: "changed.chorale")
            let run = try Tool("audit", "verify", path).run()
            #expect(run.exitCode == 1, "byte \(place): \(run.output)")
            #expect(run.output == "", "byte \(place)")
            #expect(run.errors.hasPrefix("chorale: \(path)"), "byte \(place): \(run.errors)")
        }
        let cut = try play.group.folder.write(Array(bytes.dropLast()), to: "cut.chorale")
        #expect(try Tool("audit", "verify", cut).run().exitCode == 1)
    }

    @Test func `statements in which nobody broke a rule prove nothing, in words and in JSON`() throws {
        let play = try FaultPlay()
        let statements = [try play.says(.nonces(.first(), [try play.nonce().bytes]))]
        let evidence = Evidence(plan: play.plan, attempt: 1, statements: statements)
        let path = try play.group.folder.write(evidence.serialized(), to: "nothing.chorale")
        let shown = try Tool("audit", "verify", path).run()
        #expect(shown.exitCode == 1 && shown.output == "")
        #expect(shown.errors.contains("nothing is proved against anyone: "), "\(shown.errors)")
        let json = try Tool("audit", "verify", path, "--json").run()
        #expect(json.exitCode == 1)
        let object = try json.json()
        #expect(object["proved"] as? Bool == false)
        #expect((object["reason"] as? String)?.isEmpty == false)
        #expect(object["public_key"] == nil)
    }
}

/// Two signers who must both sign. The first is honest; the second is at the test's command.
private struct FaultPlay {
    let group: CosignGroup
    let policy: SignerGroup
    let psbt: PSBT
    let request: SigningRequest
    let plan: SigningPlan
    let enrolment: Enrolment

    var honest: PublicKey { self.group.publicKeys[0] }
    var culprit: PublicKey { self.group.publicKeys[1] }

    init() throws {
        self.group = try CosignGroup(count: 2)
        self.policy = try SignerGroup(self.group.publicKeys)
        let (transaction, coin) = CosignGroup.transaction(spending: self.policy.scriptPubKey)
        var psbt = try PSBT(unsignedTransaction: transaction)
        psbt.inputs[0].witnessUTXO = coin
        psbt.inputs[0].tapInternalKey = self.policy.keys.untweakedKey.xOnly
        psbt.inputs[0].musig2Participants[self.policy.keys.untweakedKey] = self.policy.members
        self.psbt = psbt
        _ = try self.group.folder.write(psbt.serialized(), to: "payment.psbt")
        // As the tool works it out.
        self.request = try PSBTSubject(psbt, for: self.group.publicKeys[1]).request(under: self.policy)
        self.plan = try SigningPlan(request: self.request, under: self.policy, set: nil)
        self.enrolment = try Enrolment(network: .regtest, signer: CosignGroup.key(1), identity: CosignGroup.identity(1))
    }

    /// The honest signer's run, in which the other does what it should not.
    func run(_ fault: CosignFaultTests.Fault) throws -> Transcript {
        let tool = self.group.cosign(0, timeLimit: 60)
        let end = Ending(of: tool)
        let name = NonceName.first()
        try self.wait(for: .nonces(attempt: 1, self.honest), or: end)
        let nonces = try self.nonce()
        try self.write(.nonces(name, [nonces.bytes]))
        try self.wait(for: .partialSignatures(attempt: 1, self.honest), or: end)
        switch fault {
        case .twoNonceSetsUnderOneName: try self.write(.nonces(name, [try self.nonce().bytes]))
        case .invalidPartialSignature:
            let theirs = try PSBT(parsing: self.bytes(of: .nonces(attempt: 1, self.honest)))
            let statement = try Statement(parsing: #require(theirs.proprietary.first { $0.key.subtype == 1 }).value)
            let mine = NonceSet(request: self.request.digest, attempt: 1, name: name, nonces: [nonces])
            let sets = [self.honest: try #require(try statement.nonceSet()), self.culprit: mine]
            let transcript = self.plan.transcript(attempt: 1, nonceSets: self.plan.signers.compactMap { sets[$0] })
            try self.write(.partialSignatures(transcript: transcript, [[UInt8](repeating: 5, count: PartialSignature.byteCount)]))
        }
        return try end.wait()
    }

    func nonce() throws -> PublicNonce { try SecretNonce(for: CosignGroup.key(1), extraInput: Bytes32()).publicNonce }

    func says(_ body: Statement.Body) throws -> Statement {
        Statement(body, request: self.request.digest, attempt: 1, enrolment: self.enrolment, identity: try CosignGroup.identity(1))
    }

    func path(of path: ExchangePath) -> String { "\(self.group.shared)/\(ExchangePath.folder(of: self.request.digest))/\(path)" }

    func bytes(of path: ExchangePath) throws -> [UInt8] { [UInt8](try Data(contentsOf: URL(fileURLWithPath: self.path(of: path)))) }

    private func wait(for path: ExchangePath, or end: Ending) throws {
        let deadline = Date().addingTimeInterval(60)
        while !FileManager.default.fileExists(atPath: self.path(of: path)) {
            if end.isThere { Issue.record("the honest signer ended: \(try end.wait().errors)") }
            try #require(!end.isThere && Date() < deadline, "the honest signer never wrote \(path)")
            usleep(5_000)
        }
    }

    /// Puts the statement where its signer's file of this kind stands, in place of what stands there.
    private func write(_ body: Statement.Body) throws {
        let (kind, path): (UInt8, ExchangePath) =
            switch body {
            case .nonces: (3, .nonces(attempt: 1, self.culprit))
            default: (4, .partialSignatures(attempt: 1, self.culprit))
            }
        var psbt = try PSBT(unsignedTransaction: self.request.transaction)
        let key = PSBT.ProprietaryKey(identifier: Array("chorale".utf8), subtype: 1, keyData: [kind] + self.culprit.bytes)
        psbt.proprietary[key] = try self.says(body).serialized()
        try Data(psbt.serialized()).write(to: URL(fileURLWithPath: self.path(of: path)), options: .atomic)
    }
}
