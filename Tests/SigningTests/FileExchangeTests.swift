import Bitcoin
import CryptoPrimitives
import MuSig2
import Secp256k1
import Signing
import Testing

/// Honest processes over a shared folder: whatever is killed, lags or dies, they complete.
@Suite struct FileExchangeTests {
    private func expectComplete(_ simulation: ExchangeSimulation, _ replay: String) {
        for signer in simulation.honest where signer.leavesAt == nil {
            #expect(signer.failed == nil, "replay: \(replay)")
            let isSigned =
                signer.completed.map { simulation.request.isSatisfied(by: $0, spending: simulation.policy.scriptPubKey) } ?? false
            #expect(isSigned, "replay: \(replay)")
        }
        #expect(simulation.violations == [], "replay: \(replay)")
        #expect(simulation.accusationsOfHonest() == [], "replay: \(replay)")
    }

    @Test(arguments: SimulatedPolicy.allCases, 0..<4)
    func `whatever is killed, all signers complete and no nonce serves two transcripts`(kind: SimulatedPolicy, group: Int) throws {
        for seed in UInt64(group * 20)..<UInt64(group * 20 + 20) {
            let simulation = try ExchangeSimulation(kind, seed: seed)
            simulation.kills = Int(seed % 8)
            simulation.journalDeaths = Int(seed % 3)
            try simulation.run()
            self.expectComplete(simulation, "\(kind), seed \(seed)")
        }
    }

    @Test(arguments: SimulatedPolicy.allCases, 0..<4)
    func `copies of the folder that lag, conflict and arrive in pieces do not keep anyone from completing`(
        kind: SimulatedPolicy, group: Int
    ) throws {
        for seed in UInt64(group * 12)..<UInt64(group * 12 + 12) {
            let simulation = try ExchangeSimulation(kind, seed: 1_000 + seed, lagMax: .seconds(Int64(1 + seed % 6)))
            simulation.kills = Int(seed % 5)
            simulation.journalDeaths = Int(seed % 2)
            try simulation.run()
            self.expectComplete(simulation, "\(kind), seed \(seed)")
        }
    }

    @Test func `a process killed after any one of its actions completes when it is started again`() throws {
        var killed: Set<String> = []
        for seed in UInt64(0)..<8 {
            for action in 1... {
                let simulation = try ExchangeSimulation(.allOfThree, seed: seed)
                let signer = simulation.signers[0]
                signer.killsAfterAction = action
                try simulation.run()
                self.expectComplete(simulation, "seed \(seed), killed after action \(action)")
                guard let last = signer.killedAfter else { break }
                killed.insert(last)
            }
        }
        #expect(killed.isSuperset(of: ["presence", "set", "nonces", "record", "partials", "final"]))
    }

    @Test func `two of four sign by a leaf, all of three by the key path`() throws {
        let leaf = try ExchangeSimulation(.twoOfFour, seed: 1)
        try leaf.run()
        #expect(leaf.signers[0].completed?.inputs.first?.witness.items.count == 3)
        let all = try ExchangeSimulation(.twoOfThreeOrAll, seed: 1)
        all.configuration.set = all.signers.map(\.publicKey)
        try all.run()
        #expect(all.signers[0].completed?.inputs.first?.witness.items.count == 1)
    }

    @Test(arguments: UInt64(0)..<20)
    func `a member that goes away is replaced`(seed: UInt64) throws {
        let simulation = try ExchangeSimulation(.twoOfFour, seed: seed)
        let leaver = simulation.signers[Int(seed % 2)]
        leaver.leavesAt = .milliseconds(Int64(100 + 40 * seed))
        try simulation.run()
        self.expectComplete(simulation, "seed \(seed)")
    }

    @Test func `the time limit names who is missing at each stage`() throws {
        // Nobody comes: a set of two cannot even be chosen.
        let alone = try ExchangeSimulation(.twoOfFour, seed: 1)
        alone.configuration.timeLimit = .seconds(60)
        for signer in alone.signers.dropFirst() { signer.comesAt = .seconds(1_000_000) }
        try alone.run(until: { alone.signers[0].failed != nil })
        let others = alone.signers.dropFirst().map(\.publicKey)
        #expect(alone.signers[0].failed == .timedOut(stage: .gatheringSigners, missing: others, needed: 1))
        #expect("\(try #require(alone.signers[0].failed))".contains("waiting for signers; 1 more of these is needed: "))

        // One of all never comes: its nonces are missing.
        let absent = try ExchangeSimulation(.allOfThree, seed: 2)
        absent.configuration.timeLimit = .seconds(60)
        absent.signers[1].comesAt = .seconds(1_000_000)
        try absent.run(until: { absent.signers[0].failed != nil && absent.signers[2].failed != nil })
        #expect(absent.signers[0].failed == .timedOut(stage: .gatheringNonces, missing: [absent.signers[1].publicKey], needed: 1))
        #expect("\(try #require(absent.signers[0].failed))".contains("waiting for nonces; still missing: \(absent.signers[1].publicKey)."))

        // One gives nonces and goes: its signature is missing.
        let gone = try ExchangeSimulation(.allOfThree, seed: 3)
        gone.configuration.timeLimit = .seconds(60)
        let goner = gone.signers[1]
        goner.mangle = { action, _ in
            switch action {
            case .write(.partialSignatures, _), .write(.final, _): nil
            default: action
            }
        }
        try gone.run()
        #expect(gone.signers[0].failed == .timedOut(stage: .gatheringSignatures, missing: [goner.publicKey], needed: 1))
    }

    @Test func `an agreed set signs, whoever else is here, and a missing member of it is named`() throws {
        let simulation = try ExchangeSimulation(.twoOfFour, seed: 4)
        simulation.configuration.set = [simulation.signers[3].publicKey, simulation.signers[1].publicKey]
        try simulation.run()
        self.expectComplete(simulation, "agreed set")
        #expect(simulation.signers[0].journal.isEmpty && simulation.signers[2].journal.isEmpty)
        #expect(simulation.signers[1].journal.count == 1 && simulation.signers[3].journal.count == 1)

        let incomplete = try ExchangeSimulation(.twoOfFour, seed: 5)
        incomplete.configuration.set = [incomplete.signers[3].publicKey, incomplete.signers[1].publicKey]
        incomplete.configuration.timeLimit = .seconds(60)
        incomplete.signers[3].comesAt = .seconds(1_000_000)
        try incomplete.run(until: { incomplete.signers[1].failed != nil })
        #expect(incomplete.signers[1].failed == .timedOut(stage: .gatheringNonces, missing: [incomplete.signers[3].publicKey], needed: 1))
    }

    @Test(arguments: UInt64(0)..<10)
    func `the last signer needs one visit`(seed: UInt64) throws {
        let simulation = try ExchangeSimulation(.allOfThree, seed: seed)
        let visitor = simulation.signers[2]
        visitor.isVisitor = true
        visitor.comesAt = .seconds(20)
        // The others are kept from running while the visitor is here.
        for signer in simulation.signers.prefix(2) { try simulation.start(signer) }
        while simulation.now < .seconds(20) {
            for signer in simulation.signers.prefix(2) { _ = try simulation.turn(signer) }
            simulation.now += .milliseconds(100)
        }
        try simulation.start(visitor)
        for _ in 0..<100 where visitor.leavesAt == nil { _ = try simulation.turn(visitor) }
        #expect(visitor.leavesAt != nil, "it may leave once its nonces and its signatures are there")
        #expect(visitor.journal.count == 1)
        try simulation.run()
        self.expectComplete(simulation, "seed \(seed)")
    }

    @Test func `a recorded decision whose nonces are in no folder leads to a new attempt`() throws {
        let simulation = try ExchangeSimulation(.allOfThree, seed: 6)
        try simulation.run(until: { simulation.signers[0].journal.count == 1 })
        let records = simulation.signers[0].journal
        // The same request in an empty folder, the journal as it was.
        for signer in simulation.signers { signer.process = nil }
        for path in simulation.signers[0].replica.files.keys.sorted() { simulation.write(path, nil, by: simulation.signers[0]) }
        try simulation.run()
        self.expectComplete(simulation, "empty folder")
        #expect(simulation.signers[0].journal.count > records.count)
    }

    @Test(arguments: [false, true])
    func `the files of an attempt can be put together and finished by any program`(hasTree: Bool) throws {
        let simulation = try ExchangeSimulation(hasTree ? .twoOfThreeOrAll : .allOfThree, seed: 9)
        simulation.configuration.set = simulation.signers.map(\.publicKey)
        try simulation.run()
        let files = simulation.signers[0].replica.files.filter { $0.key.hasPrefix("attempt-0001/") }
        #expect(files.count == 7)
        let combined = try PSBT(combining: files.sorted { $0.key < $1.key }.map { try PSBT(parsing: $0.value) })
        var finished = simulation.request.transaction
        for (index, input) in combined.inputs.enumerated() {
            // With nothing but what stands there: BIP-373's and BIP-371's fields.
            let internalKey = try #require(input.tapInternalKey)
            let (aggregate, participants) = try #require(input.musig2Participants.first)
            #expect(aggregate.xOnly == internalKey && (input.tapMerkleRoot != nil) == hasTree)
            let keys = try KeyAggregation(participants).tweakedForTaproot(merkleRoot: input.tapMerkleRoot)
            #expect(input.witnessUTXO?.scriptPubKey == .payToTaproot(keys.xOnlyKey))
            func label(_ signer: PublicKey) -> PSBT.MuSig2Contribution {
                PSBT.MuSig2Contribution(participant: signer, aggregateKey: keys.aggregateKey, leafHash: nil)
            }
            let nonces = try participants.map { try PublicNonce(parsing: input.musig2PublicNonces[label($0)] ?? []) }
            let partials = try participants.map { try PartialSignature(parsing: input.musig2PartialSignatures[label($0)] ?? []) }
            let message = try finished.taprootSighash(input: index, prevouts: simulation.request.prevouts, type: .default)
            let signature = try SigningContext(keys: keys, nonces: nonces, message: message).finish(partials)
            finished.inputs[index].witness = Witness([signature.bytes])
        }
        #expect(finished == simulation.signers[0].completed)
    }

    @Test func `waiting costs nothing: what was taken in once is not looked at again`() throws {
        let signers = try (0..<20).map { _ in try SimulatedSigner(replica: FolderReplica(), key: try SecretKey.generate()) }
        let group = try SignerGroup(signers.map(\.publicKey))
        let (transaction, coins) = Scene.transaction(inputs: 300, script: group.scriptPubKey)
        let request = try SigningRequest(transaction: transaction, prevouts: coins, policyDigest: group.digest)
        let me = signers[0]
        var machine = try FileExchange(
            request: request, policy: group, enrolment: me.enrolment, incarnation: .random(), records: [])
        var nonces: [[UInt8]] = []
        for _ in 0..<3 {
            for case .create(let path, let bytes) in machine.step(now: .zero, key: me.key, identity: me.identity) {
                machine.created(path, true)
                if case .set = path { machine.observe(ExchangeFile(path: path.description, bytes: bytes), now: .zero) }
                if case .nonces(_, let items)? = ExchangeAction.create(path, bytes).statement?.body { nonces = items }
            }
        }
        #expect(nonces.count == 300)
        // All but the last give nonces; whose they are does not matter here.
        for signer in signers.dropFirst().dropLast() {
            let name = try #require(NonceName(incarnation: Array(repeating: 2, count: 16), counter: 1))
            let statement = signer.says(.nonces(name, nonces), request.digest, attempt: 1)
            var psbt = try PSBT(unsignedTransaction: transaction)
            psbt.proprietary[ExchangeAction.statementKey(statement)] = statement.serialized()
            let path = ExchangePath.nonces(attempt: 1, signer.publicKey).description
            machine.observe(ExchangeFile(path: path, bytes: psbt.serialized()), now: .zero)
        }
        let clock = ContinuousClock()
        let first = clock.measure { _ = machine.step(now: .zero, key: me.key, identity: me.identity) }
        #expect(machine.progress(now: .zero).missing == [signers[19].publicKey])
        let idle = clock.measure {
            for _ in 0..<50 { _ = machine.step(now: .zero, key: me.key, identity: me.identity) }
        }
        #expect(idle < first, "50 idle steps \(idle), the one that took the nonces in \(first)")
    }

    @Test func `thrown away nonces cost an attempt and nothing else`() throws {
        let simulation = try ExchangeSimulation(.allOfThree, seed: 8)
        try simulation.run(until: {
            simulation.signers[0].replica.files.keys.contains { $0.contains("nonces-\(simulation.signers[0].publicKey)") }
        })
        simulation.signers[0].process?.machine.discardNonces(newIncarnation: Incarnation(known: Array(repeating: 0xcc, count: 16)))
        try simulation.run()
        self.expectComplete(simulation, "discarded")
    }
}
