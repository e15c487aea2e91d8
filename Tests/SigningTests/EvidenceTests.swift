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

    @Test(arguments: [1, 2, 3] as [UInt32])
    func `two nonce sets of one name prove a fault in the attempt that a statement of theirs names, and in no other`(attempt: UInt32) throws
    {
        let simulation = try ExchangeSimulation(.allOfThree, seed: 5)
        try simulation.run()
        let (culprit, request) = (simulation.signers[0], simulation.request)
        let plan = try SigningPlan(request: request, under: simulation.policy, set: nil)
        let nonces = try plan.inputs.map { _ in try SecretNonce(for: culprit.key, extraInput: Bytes32()).publicNonce.bytes }
        let others = try plan.inputs.map { _ in try SecretNonce(for: culprit.key, extraInput: Bytes32()).publicNonce.bytes }
        let name = try #require(NonceName(incarnation: [UInt8](repeating: 7, count: NonceName.incarnationByteCount), counter: 1))
        let statements = [
            culprit.says(.nonces(name, nonces), request.digest, attempt: 1),
            culprit.says(.nonces(name, others), request.digest, attempt: 2),
        ]
        let verdict = Evidence(plan: plan, attempt: attempt, statements: statements).verdict()
        if attempt < 3 {
            #expect(verdict == .proved(signer: culprit.publicKey, .conflictingNonces(name)))
        } else {
            #expect(verdict == .nothingProved("the statements do not contradict each other or the mathematics"))
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
    }

    @Test func `copies of statements are refused at once, however many there are`() throws {
        let evidence = try self.proof(seed: 4).evidence
        let bytes = evidence.serialized()
        let written = evidence.statements.map { $0.serialized() }
        // Each stands behind its length in three bytes, all of them behind their count in one.
        #expect(written.allSatisfy { (253..<65_536).contains($0.count) })
        let head = bytes.dropLast(1 + written.reduce(0) { $0 + 3 + $1.count })
        for count in [2, 7, 8, 70_000] {
            var writer = ByteWriter()
            writer.write(Array(head))
            writer.writeCompactSize(count)
            for _ in 0..<count { writer.writeVariableBytes(written[0]) }
            #expect(writer.bytes.count < Evidence.byteCountMax)
            let time = ContinuousClock().measure {
                #expect(throws: StatementError.self, "\(count) copies") { try Evidence(parsing: writer.bytes) }
            }
            #expect(time < .seconds(1), "\(count) copies")
        }
        // What is composed here has none twice.
        let plan = try SigningPlan(request: evidence.request, signers: evidence.signers, paths: evidence.paths)
        let copies = Evidence(plan: plan, attempt: evidence.attempt, statements: evidence.statements + evidence.statements)
        #expect(copies == evidence)
    }

    @Test func `one content signed in many ways is judged once`() throws {
        let scene = try Scene(signers: 3, inputs: 300)
        let parties = scene.processes()
        try exchangeNonces(parties)
        let partials = try parties.map { try $0.release() }
        var statements: [Statement] = []
        for party in parties {
            let identity = try Ed25519.SecretKey.generate()
            let enrolment = try Enrolment(network: .regtest, signer: party.signer.key, identity: identity)
            let set = try party.nonces()
            let digest = party.session.transcriptDigest
            let transcript = try #require(digest)
            let place = try #require(scene.plan.signers.firstIndex(of: party.key))
            for body in [
                Statement.Body.nonces(set.name, set.nonces.map(\.bytes)),
                .partialSignatures(transcript: transcript, partials[place].map(\.bytes.bytes)),
            ] {
                statements.append(
                    Statement(body, request: scene.plan.requestDigest, attempt: 1, enrolment: enrolment, identity: identity))
            }
        }
        let clock = ContinuousClock()
        let once = clock.measure {
            guard case .nothingProved = Evidence(plan: scene.plan, attempt: 1, statements: statements).verdict() else {
                Issue.record("honest statements prove something")
                return
            }
        }
        // Another enrolment of the same key signs the same content again.
        let last = try #require(statements.last)
        var again = statements
        for _ in 0..<40 {
            let identity = try Ed25519.SecretKey.generate()
            let enrolment = try Enrolment(network: .regtest, signer: parties[2].signer.key, identity: identity)
            again.append(Statement(last.body, request: last.request, attempt: 1, enrolment: enrolment, identity: identity))
        }
        let often = clock.measure {
            guard case .nothingProved = Evidence(plan: scene.plan, attempt: 1, statements: again).verdict() else {
                Issue.record("honest statements prove something")
                return
            }
        }
        #expect(often < once * 4, "\(once) once, \(often) with 40 more")
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
            sets.compactMap { try? SigningPlan(request: request, under: simulation.policy, set: $0) }
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
