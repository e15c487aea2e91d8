import Bitcoin
import CryptoPrimitives
import MuSig2
import Secp256k1
import Signing
import Testing

/// Evidence convinces somebody who has nothing but the file, and nothing that a liar composes convicts the honest.
@Suite struct EvidenceTests {
    /// An exchange in which the first of three gives partial signatures that do not verify, and the proof of it.
    private func proof(seed: UInt64) throws -> (evidence: Evidence, culprit: PublicKey) {
        let simulation = try ExchangeSimulation(.allOfThree, seed: seed)
        let culprit = simulation.signers[0]
        culprit.mangle = { [unowned simulation, unowned culprit] action, _ in
            if case .write(.final, _) = action { return nil }
            guard case .partialSignatures(let transcript, let items)? = action.statement?.body, let attempt = action.statement?.attempt,
                case .write(let path, _) = action
            else { return action }
            let statement = culprit.says(
                .partialSignatures(transcript: transcript, items.reversed()), simulation.request.digest, attempt: attempt)
            return (try? simulation.psbt(statement)).map { .write(path, $0) }
        }
        try simulation.run()
        return (try #require(simulation.evidence().first), culprit.publicKey)
    }

    @Test func `evidence says after a round trip what it said before`() throws {
        let (evidence, culprit) = try self.proof(seed: 1)
        let again = try Evidence(parsing: evidence.serialized())
        #expect(again == evidence)
        #expect(again.verdict() == .proved(signer: culprit, .invalidPartialSignature(input: 0)))
    }

    @Test func `a flipped bit is refused or proves nothing new`() throws {
        let (evidence, culprit) = try self.proof(seed: 2)
        let bytes = evidence.serialized()
        var random = ExchangeRandom(state: 2)
        for place in bytes.indices {
            var flipped = bytes
            flipped[place] ^= 1 << UInt8.random(in: 0..<8, using: &random)
            guard let parsed = try? Evidence(parsing: flipped) else { continue }
            if case .proved(let signer, _) = parsed.verdict() { #expect(signer == culprit, "byte \(place)") }
        }
    }

    @Test func `evidence that was cut short or has more behind it is refused`() throws {
        let bytes = try self.proof(seed: 3).evidence.serialized()
        for count in stride(from: 0, to: bytes.count, by: 5) {
            #expect(throws: StatementError.self, "\(count) bytes") { try Evidence(parsing: Array(bytes.prefix(count))) }
        }
        #expect(throws: StatementError.self) { try Evidence(parsing: bytes + [0]) }
    }

    @Test func `more bytes or statements than any evidence has are refused before they are looked at`() throws {
        let tooMany = [UInt8](repeating: 0, count: Evidence.byteCountMax + 1)
        #expect(throws: StatementError.tooLarge(byteCount: tooMany.count, limit: Evidence.byteCountMax)) { try Evidence(parsing: tooMany) }
        let evidence = try self.proof(seed: 4).evidence
        let plan = try SigningPlan(request: evidence.request, signers: evidence.signers, paths: evidence.paths)
        let statements = Array(repeating: evidence.statements[0], count: Evidence.statementCountMax + 1)
        let large = Evidence(plan: plan, attempt: 1, statements: statements).serialized()
        #expect(throws: StatementError.self) { try Evidence(parsing: large) }
    }

    @Test(arguments: UInt64(0)..<12)
    func `nothing that a liar composes from honest statements proves anything`(seed: UInt64) throws {
        // Several attempts' worth of true statements, of all signers; and those of another request of the same signers.
        let kind: SimulatedPolicy = seed % 2 == 0 ? .twoOfThreeOrAll : .allOfThree
        let simulation = try ExchangeSimulation(kind, seed: seed)
        simulation.kills = 4
        simulation.journalDeaths = 1
        try simulation.run()
        let files = simulation.signers[0].replica.files.sorted { $0.key < $1.key }
        let statements = files.compactMap { path, bytes in
            ExchangePath(path).flatMap { ExchangeAction.write($0, bytes).statement }
        }
        #expect(statements.count >= 5)
        let other = try SigningRequest(
            transaction: simulation.request.transaction, prevouts: simulation.request.prevouts, policyDigest: SHA256.hash([3]))
        let keys = simulation.signers.map(\.publicKey)
        let sets = [keys, Array(keys.prefix(2)), Array(keys.suffix(2))]
        var plans = [simulation.request, other].flatMap { request in
            sets.compactMap { try? PSBTSubject.plan(request, under: simulation.policy, set: $0) }
        }
        // Paths of one input only, which nobody signed for.
        plans += plans.compactMap { plan in
            plan.inputs.first.flatMap { try? SigningPlan(request: plan.request, signers: plan.signers, paths: [$0.index: $0.path]) }
        }
        #expect(plans.count >= 4)
        for plan in plans {
            for attempt in UInt32(1)...3 {
                for round in 0..<4 {
                    let mixed = round == 0 ? statements : Array(statements.shuffled(using: &simulation.random).prefix(2 + round * 3))
                    let evidence = Evidence(plan: plan, attempt: attempt, statements: mixed)
                    if case .proved(let signer, let fault) = evidence.verdict() {
                        Issue.record("\(signer): \(fault), replay: seed \(seed)")
                    }
                }
            }
        }
    }
}
