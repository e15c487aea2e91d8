import Bitcoin
import CryptoPrimitives
import Foundation
import MuSig2
import Secp256k1
import Signing
import Testing

/// Members who break the rules, strangers who write into the folder, and two processes with one key.
@Suite struct FileExchangeHostilityTests {
    enum Misdeed: CaseIterable, Sendable {
        // What a third party can be shown.
        case invalidPartialSignatures, partialSignaturesThatAreNone, noncesOffTheCurve, twoNonceSetsUnderOneName
        // What spoils attempts and proves nothing.
        case tooFewNonces, tooFewPartialSignatures, otherNoncesForOthers, signaturesForOtherNonces, garbage, silence

        static let provable: [Misdeed] = [
            .invalidPartialSignatures, .partialSignaturesThatAreNone, .noncesOffTheCurve, .twoNonceSetsUnderOneName,
        ]
    }

    private func corrupt(_ signer: SimulatedSigner, _ misdeed: Misdeed, in simulation: ExchangeSimulation) {
        var sets: [(path: String, bytes: [UInt8])] = []
        if misdeed == .twoNonceSetsUnderOneName {
            // Now it shows the one set, now the other.
            simulation.stranger = { [unowned signer] simulation in
                guard !sets.isEmpty, simulation.random.happens(oneIn: 10) else { return }
                sets.reverse()
                simulation.write(sets[0].path, sets[0].bytes, by: signer)
            }
        }
        signer.mangle = { [unowned simulation, unowned signer] action, recipient in
            func instead(_ body: Statement.Body, of statement: Statement) -> ExchangeAction? {
                let other = signer.says(body, statement.request, attempt: statement.attempt)
                guard let file = action.file, let path = ExchangePath(file.path), let bytes = try? simulation.psbt(other) else {
                    return nil
                }
                return .write(path, bytes)
            }
            // It could finish with the others' signatures and its own; it is here to spoil.
            if case .write(.final, _) = action { return nil }
            guard let statement = action.statement else { return action }
            switch (misdeed, statement.body) {
            case (.invalidPartialSignatures, .partialSignatures(let transcript, let items)):
                return instead(.partialSignatures(transcript: transcript, items.reversed()), of: statement)
            case (.partialSignaturesThatAreNone, .partialSignatures(let transcript, let items)):
                return instead(
                    .partialSignatures(transcript: transcript, items.map { _ in Array(repeating: 0xff, count: 32) }), of: statement)
            case (.tooFewPartialSignatures, .partialSignatures(let transcript, let items)):
                return instead(.partialSignatures(transcript: transcript, Array(items.dropLast())), of: statement)
            case (.signaturesForOtherNonces, .partialSignatures(_, let items)):
                return instead(.partialSignatures(transcript: SHA256.hash([1]), items), of: statement)
            case (.noncesOffTheCurve, .nonces(let name, let items)):
                return instead(.nonces(name, items.map { _ in [2] + Array(repeating: 0xff, count: 65) }), of: statement)
            case (.tooFewNonces, .nonces(let name, let items)):
                return instead(.nonces(name, Array(items.dropLast())), of: statement)
            case (.twoNonceSetsUnderOneName, .nonces(let name, let items)):
                sets = [action.file, instead(.nonces(name, items.reversed()), of: statement)?.file].compactMap(\.self)
                return action
            case (.otherNoncesForOthers, .nonces(let name, let items)) where recipient % 2 == 1:
                let other = NonceName(known: name.incarnation, counter: name.counter + 1_000)
                return instead(.nonces(other, items.reversed()), of: statement)
            case (.garbage, .nonces), (.garbage, .partialSignatures):
                return action.file.flatMap { file in ExchangePath(file.path).map { .write($0, Array(file.bytes.dropLast(9))) } }
            case (.silence, .nonces), (.twoNonceSetsUnderOneName, .partialSignatures): return nil
            default: return action
            }
        }
    }

    @Test(arguments: Misdeed.allCases, UInt64(0)..<5)
    func `two of four sign whatever one of them does, and no honest signer is blamed`(misdeed: Misdeed, seed: UInt64) throws {
        let lag: Duration? = misdeed == .otherNoncesForOthers ? .seconds(1) : nil
        let simulation = try ExchangeSimulation(.twoOfFour, seed: seed, lagMax: lag)
        self.corrupt(simulation.signers[Int(seed % 3)], misdeed, in: simulation)
        try simulation.run()
        let replay = "\(misdeed), seed \(seed)"
        for signer in simulation.honest { #expect(signer.completed != nil, "\(String(describing: signer.failed)) replay: \(replay)") }
        #expect(simulation.violations == [], "replay: \(replay)")
        #expect(simulation.accusationsOfHonest() == [], "replay: \(replay)")
    }

    @Test(arguments: Misdeed.provable, UInt64(0)..<5)
    func `where all are needed, the fault is named, and its proof convinces a third party`(misdeed: Misdeed, seed: UInt64) throws {
        let simulation = try ExchangeSimulation(.allOfThree, seed: seed)
        let culprit = simulation.signers[Int(seed % 3)]
        self.corrupt(culprit, misdeed, in: simulation)
        try simulation.run()
        let replay = "\(misdeed), seed \(seed)"
        let path = ExchangePath.evidence(culprit.publicKey).description
        for signer in simulation.honest {
            guard case .fault(culprit.publicKey, _, path)? = signer.failed else {
                Issue.record("\(String(describing: signer.failed)) replay: \(replay)")
                continue
            }
        }
        let bytes = try #require(culprit.replica.files[path], "replay: \(replay)")
        guard case .proved(culprit.publicKey, _) = try Evidence(parsing: bytes).verdict() else {
            Issue.record("the evidence proves nothing, replay: \(replay)")
            return
        }
        #expect(simulation.accusationsOfHonest() == [], "replay: \(replay)")
        #expect(simulation.violations == [], "replay: \(replay)")
    }

    /// Judged for each input by itself, a thousand of them took 90 s.
    @Test func `partial signatures that are all bad cost no more than a few judgements, however many they are`() throws {
        let simulation = try ExchangeSimulation(.allOfThree, seed: 9, inputs: 300)
        let (signer, culprit) = (simulation.signers[0], simulation.signers[1])
        self.corrupt(culprit, .invalidPartialSignatures, in: simulation)
        try simulation.run(until: {
            signer.process?.pending.isEmpty == true
                && simulation.signers.allSatisfy {
                    signer.replica.files[ExchangePath.partialSignatures(attempt: 1, $0.publicKey).description] != nil
                }
        })
        let process = try #require(signer.process)
        for (path, bytes) in signer.replica.files { process.machine.observe(ExchangeFile(path: path, bytes: bytes), now: simulation.now) }
        var actions: [ExchangeAction] = []
        let work = Self.work { actions = process.machine.step(now: simulation.now, key: signer.key, identity: signer.identity) }
        let proofs = actions.compactMap { action -> [UInt8]? in
            if case .write(.evidence(culprit.publicKey), let bytes) = action { bytes } else { nil }
        }
        #expect(proofs.count == 1)
        let evidence = try Evidence(parsing: try #require(proofs.first))
        var verdict: Evidence.Verdict?
        let judgement = Self.work { verdict = evidence.verdict() }
        guard case .proved(culprit.publicKey, .invalidPartialSignature)? = verdict else { throw SigningError.closed }
        #expect(work < judgement * 30, "\(work) and \(judgement)")
    }

    /// The processor's time that this thread takes for it, whatever else the machine does.
    private static func work(_ body: () -> Void) -> Duration {
        func time() -> Duration {
            var time = timespec()
            clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time)
            return .seconds(Int64(time.tv_sec)) + .nanoseconds(Int64(time.tv_nsec))
        }
        let start = time()
        body()
        return time() - start
    }

    @Test(arguments: [Misdeed.tooFewNonces, .tooFewPartialSignatures, .signaturesForOtherNonces])
    func `where all are needed, trouble that proves nothing excludes nobody`(misdeed: Misdeed) throws {
        let simulation = try ExchangeSimulation(.allOfThree, seed: 7)
        simulation.configuration.timeLimit = .seconds(60)
        let troublemaker = simulation.signers[1]
        self.corrupt(troublemaker, misdeed, in: simulation)
        // Started again with a true program, it signs with the others: nothing is held against it.
        let other = try ExchangeSimulation(.allOfThree, seed: 7)
        self.corrupt(other.signers[1], misdeed, in: other)
        try other.run(until: { other.signers[0].notices.contains { if case .doubted = $0 { true } else { false } } })
        let mended = other.signers[1]
        (mended.mangle, mended.completed, mended.failed, mended.process) = (nil, nil, nil, nil)
        try other.run()
        for signer in other.signers { #expect(signer.completed != nil, "\(misdeed): \(String(describing: signer.failed))") }

        try simulation.run()
        for signer in simulation.honest {
            guard case .timedOut(_, [troublemaker.publicKey], _)? = signer.failed else {
                Issue.record("\(misdeed): \(String(describing: signer.failed))")
                continue
            }
            #expect(!signer.notices.contains { if case .excluded = $0 { true } else { false } })
        }
        let attempts = Set(simulation.signers[0].replica.files.keys.filter { $0.hasSuffix("set.psbt") })
        #expect(attempts.count < 40, "an attempt a beat at most")
        #expect(simulation.evidence().isEmpty && simulation.violations == [])
    }

    @Test(arguments: UInt64(0)..<5)
    func `sets that cannot sign, or that name who is at fault, only cost time`(seed: UInt64) throws {
        let simulation = try ExchangeSimulation(.twoOfFour, seed: seed)
        let culprit = simulation.signers[0]
        self.corrupt(culprit, .invalidPartialSignatures, in: simulation)
        var remaining = 30
        simulation.stranger = { [unowned culprit] simulation in
            guard remaining > 0, simulation.random.happens(oneIn: 40) else { return }
            remaining -= 1
            let next = (1...ExchangePath.attemptMax).first { culprit.replica.files[ExchangePath.set(attempt: $0).description] == nil } ?? 1
            let set = remaining % 2 == 0 ? [culprit.publicKey] : [culprit.publicKey, simulation.signers[1].publicKey]
            let statement = culprit.says(.set(set), simulation.request.digest, attempt: next)
            guard let bytes = try? simulation.psbt(statement) else { return }
            simulation.write(ExchangePath.set(attempt: next).description, bytes, by: culprit)
        }
        try simulation.run()
        for signer in simulation.honest { #expect(signer.completed != nil, "\(String(describing: signer.failed)) replay: seed \(seed)") }
        #expect(simulation.accusationsOfHonest() == [], "replay: seed \(seed)")
        #expect(simulation.violations == [], "replay: seed \(seed)")
    }

    // MARK: Strangers

    /// What a stranger could write, at a path where some process will read it.
    private func vandalise(_ simulation: ExchangeSimulation, _ forger: SimulatedSigner) throws {
        let victim = simulation.signers[Int.random(in: 0..<simulation.signers.count, using: &simulation.random)]
        let other = simulation.signers[Int.random(in: 0..<simulation.signers.count, using: &simulation.random)]
        let attempt = UInt32.random(in: 1...3, using: &simulation.random)
        let paths: [ExchangePath] = [
            .presence(victim.publicKey), .set(attempt: attempt), .nonces(attempt: attempt, victim.publicKey),
            .partialSignatures(attempt: attempt, victim.publicKey), .final, .evidence(victim.publicKey),
        ]
        let path = paths[Int.random(in: 0..<paths.count, using: &simulation.random)]
        let request = simulation.request.digest
        let files = victim.replica.files
        let bytes: [UInt8]
        switch Int.random(in: 0..<7, using: &simulation.random) {
        case 0: bytes = (0..<200).map { _ in UInt8.random(in: 0...255, using: &simulation.random) }
        case 1: bytes = []
        case 2: bytes = try simulation.psbt(forger.says(.set(simulation.signers.map(\.publicKey)), request, attempt: attempt))
        case 3:
            // A true statement of the member, about another request or another attempt.
            let isOtherRequest = simulation.random.happens(oneIn: 2)
            let name = NonceName(known: Array(repeating: 9, count: 16), counter: 1)
            bytes = try simulation.psbt(
                victim.says(.nonces(name, [[], []]), isOtherRequest ? SHA256.hash([7]) : request, attempt: isOtherRequest ? attempt : 77))
        case 4: bytes = files[ExchangePath.nonces(attempt: attempt, other.publicKey).description] ?? [1]
        case 5: bytes = files[ExchangePath.presence(other.publicKey).description] ?? [2]
        default:
            // The fields for other wallets are gone; the statement is as it was.
            guard let there = files[path.description], let statement = ExchangeAction.write(path, there).statement else { return }
            bytes = try simulation.psbt(statement)
        }
        simulation.write(path.description, bytes, by: victim)
    }

    @Test(arguments: [SimulatedPolicy.allOfThree, .twoOfFour], UInt64(0)..<15)
    func `whatever a stranger writes into the folder, the signers complete and blame nobody`(kind: SimulatedPolicy, seed: UInt64) throws {
        let simulation = try ExchangeSimulation(kind, seed: seed)
        let forger = try SimulatedSigner(replica: FolderReplica(), key: try SecretKey.generate())
        var remaining = 40
        simulation.stranger = { simulation in
            // What is destroyed after its writer has left is gone.
            guard remaining > 0, simulation.signers.allSatisfy({ $0.completed == nil }), simulation.random.happens(oneIn: 4) else { return }
            remaining -= 1
            do { try self.vandalise(simulation, forger) } catch { Issue.record(error) }
        }
        try simulation.run()
        for signer in simulation.signers {
            #expect(signer.completed != nil, "\(String(describing: signer.failed)) replay: \(kind), seed \(seed)")
        }
        #expect(simulation.accusationsOfHonest() == [], "replay: \(kind), seed \(seed)")
        #expect(simulation.violations == [], "replay: \(kind), seed \(seed)")
    }

    @Test func `files above the limit are not read`() throws {
        let simulation = try ExchangeSimulation(.allOfThree, seed: 1)
        let signer = simulation.signers[0]
        try simulation.start(signer)
        let process = try #require(signer.process)
        let zeros = [UInt8](repeating: 0x30, count: ExchangeFile.byteCountMax + 1)
        for path in [ExchangePath.final, .set(attempt: 1), .presence(simulation.signers[1].publicKey)] {
            process.machine.observe(ExchangeFile(path: path.description, bytes: zeros), now: .zero)
        }
        let notices = process.machine.step(now: .zero, key: signer.key, identity: signer.identity).compactMap { action in
            if case .say(.ignored(_, let reason)) = action { reason } else { nil }
        }
        #expect(notices.count == 3)
        #expect(notices.allSatisfy { $0.contains("more than any file of an exchange has") })
    }

    @Test func `a path tells what is read of a file, before anything is`() throws {
        let simulation = try ExchangeSimulation(.twoOfFour, seed: 14)
        let signer = simulation.signers[0]
        let member = simulation.signers[1].publicKey
        let stranger = try SecretKey.generate().publicKey
        try simulation.start(signer)
        let process = try #require(signer.process)
        func limit(_ path: ExchangePath) -> Int? { process.machine.wants(path.description) }
        #expect(limit(.presence(member)) == Statement.byteCountMax)
        #expect(limit(.final) == 8_000_002)
        #expect(limit(.nonces(attempt: 1, member)) == 8 << 20)
        #expect(limit(.evidence(member)) == Evidence.byteCountMax, "as much as evidence may have")
        for path in [
            ExchangePath.presence(stranger), .nonces(attempt: 1, stranger), .partialSignatures(attempt: 1, stranger), .evidence(stranger),
            .evidence(signer.publicKey),
        ] {
            #expect(limit(path) == nil, "\(path)")
        }
        #expect(process.machine.wants("notes.txt") == nil)
        // Attempts far ahead are not read until those before them are known.
        let ahead = FileExchange.attemptLookahead + 1
        #expect(limit(.set(attempt: ahead)) == nil && limit(.nonces(attempt: ahead, member)) == nil)
        #expect(limit(.set(attempt: ahead - 1)) != nil)
        let path = ExchangePath.set(attempt: 1).description
        process.machine.observe(ExchangeFile(path: path, bytes: [1]), now: .zero)
        #expect(limit(.set(attempt: ahead)) != nil, "one more is known")
    }

    @Test(arguments: UInt64(0)..<5)
    func `who comes late finds the newest of many attempts`(seed: UInt64) throws {
        let simulation = try ExchangeSimulation(.allOfThree, seed: seed)
        let late = simulation.signers[2]
        late.comesAt = .seconds(300)
        // The second is started again and again, each time a new attempt.
        let restarted = simulation.signers[1]
        simulation.stranger = { simulation in
            guard restarted.starts < 80, simulation.random.happens(oneIn: 15) else { return }
            restarted.process = nil
        }
        try simulation.run()
        for signer in simulation.signers { #expect(signer.completed != nil, "\(String(describing: signer.failed)) replay: seed \(seed)") }
        let sets = simulation.signers[0].replica.files.keys.filter { $0.hasSuffix("set.psbt") }
        #expect(sets.count > Int(FileExchange.attemptLookahead) + 4, "\(sets.count) attempts")
        #expect(simulation.violations == [], "replay: seed \(seed)")
    }

    @Test func `a false final transaction is not believed, and is replaced`() throws {
        let finished = try ExchangeSimulation(.allOfThree, seed: 2)
        try finished.run()
        let foreign = try #require(finished.signers[0].replica.files["final.tx"])
        let simulation = try ExchangeSimulation(.allOfThree, seed: 3)
        simulation.write("final.tx", foreign, by: simulation.signers[0])
        try simulation.run()
        for signer in simulation.signers { #expect(signer.completed != nil) }
        let text = String(decoding: try #require(simulation.signers[0].replica.files["final.tx"]), as: UTF8.self)
        let transaction = try Transaction(parsing: Hex.decode(text.filter { !$0.isWhitespace }))
        #expect(simulation.request.isSatisfied(by: transaction, spending: simulation.policy.scriptPubKey))
    }

    @Test func `a final transaction with another valid witness ends the exchange`() throws {
        // Two sign by a leaf, in a folder of their own; the others' exchange then finds what came out.
        let simulation = try ExchangeSimulation(.twoOfThreeOrAll, seed: 4)
        simulation.configuration.set = simulation.signers.prefix(2).map(\.publicKey)
        try simulation.run()
        let final = try #require(simulation.signers[0].replica.files["final.tx"])
        let late = simulation.signers[2]
        simulation.configuration.set = simulation.signers.map(\.publicKey)
        (late.completed, late.process) = (nil, nil)
        try simulation.start(late)
        let process = try #require(late.process)
        process.machine.observe(ExchangeFile(path: "final.tx", bytes: final), now: .zero)
        let actions = process.machine.step(now: .zero, key: late.key, identity: late.identity)
        #expect(actions.contains { if case .complete(let it) = $0 { it.inputs[0].witness.items.count == 3 } else { false } })
    }

    @Test func `from a final transaction only the witnesses of the group's own coins are taken`() throws {
        let simulation = try ExchangeSimulation(.allOfThree, seed: 13, foreignInputs: 1)
        try simulation.run()
        var final = try #require(simulation.signers[0].completed)
        #expect(final.inputs.last?.witness == Witness())
        final.inputs[final.inputs.count - 1].witness = Witness([[1, 2, 3]])
        let late = simulation.signers[2]
        (late.completed, late.process) = (nil, nil)
        try simulation.start(late)
        let process = try #require(late.process)
        process.machine.observe(ExchangeFile(path: "final.tx", bytes: Array(Hex.encode(final.serialized()).utf8)), now: .zero)
        let actions = process.machine.step(now: .zero, key: late.key, identity: late.identity)
        let completed = actions.compactMap { if case .complete(let it) = $0 { it } else { nil } }
        #expect(completed.map(\.inputs.last?.witness) == [Witness()])
        #expect(completed.first?.inputs[0].witness == final.inputs[0].witness)
    }

    @Test func `a path that can be taken but not read does not keep a process busy past its time limit`() throws {
        let simulation = try ExchangeSimulation(.allOfThree, seed: 5)
        simulation.configuration.timeLimit = .seconds(60)
        let signer = simulation.signers[0]
        try simulation.start(signer)
        let process = try #require(signer.process)
        var busySteps = 0
        for second in 0..<200 {
            let actions = process.machine.step(now: .seconds(second), key: signer.key, identity: signer.identity)
            for case .create(let path, _) in actions {
                busySteps += 1
                process.machine.created(path, false)
            }
            if actions.contains(where: { if case .fail(.timedOut) = $0 { true } else { false } }) { return #expect(busySteps < 10) }
        }
        Issue.record("it never gave up")
    }

    @Test func `old presence files put back are no sign of life`() throws {
        let simulation = try ExchangeSimulation(.twoOfFour, seed: 6)
        simulation.configuration.timeLimit = .seconds(100)
        let (signer, dead) = (simulation.signers[0], simulation.signers[1])
        try simulation.start(signer)
        let process = try #require(signer.process)
        let old = (1...2).map { beat in
            dead.says(.presence(incarnation: Array(repeating: 5, count: 16), beat: beat), simulation.request.digest, attempt: 0)
                .serialized()
        }
        for second in 0..<200 {
            let file = ExchangeFile(path: ExchangePath.presence(dead.publicKey).description, bytes: old[second % 2])
            process.machine.observe(file, now: .seconds(second))
            for action in process.machine.step(now: .seconds(second), key: signer.key, identity: signer.identity) {
                if case .create(let path, _) = action { process.machine.created(path, true) }
            }
        }
        #expect(process.machine.progress(now: .seconds(200)).missing.contains(dead.publicKey))
    }

    // MARK: One key, two processes

    /// Shows the process a presence file under its own key, and tells whether it stops because of it.
    private func stops(
        _ signer: SimulatedSigner, _ simulation: ExchangeSimulation, seeing incarnation: UInt8, beat: UInt64, sees other: UInt8? = nil
    ) throws -> Bool {
        let process = try #require(signer.process)
        let statement = signer.says(
            .presence(
                incarnation: Array(repeating: incarnation, count: 16), beat: beat, sees: other.map { Array(repeating: $0, count: 16) }),
            simulation.request.digest, attempt: 0)
        let file = ExchangeFile(path: ExchangePath.presence(signer.publicKey).description, bytes: statement.serialized())
        process.machine.observe(file, now: simulation.now)
        return process.machine.step(now: simulation.now, key: signer.key, identity: signer.identity)
            .contains(.fail(.keyInUseElsewhere(signer.publicKey)))
    }

    @Test func `a late or replayed presence of our own stops nobody, in whatever order, and one that names us does`() throws {
        let simulation = try ExchangeSimulation(.allOfThree, seed: 11)
        let signer = simulation.signers[0]
        try simulation.start(signer, incarnation: Array(repeating: 1, count: 16))
        // What stands there before we write is from a process that we follow, however far it counted.
        #expect(try !self.stops(signer, simulation, seeing: 7, beat: 3))
        #expect(try !self.stops(signer, simulation, seeing: 7, beat: 9))
        #expect(try !self.stops(signer, simulation, seeing: 8, beat: 5), "one file may have come late")
        #expect(try !self.stops(signer, simulation, seeing: 8, beat: 5), "the same again")
        #expect(try !self.stops(signer, simulation, seeing: 8, beat: 4), "an older one")
        #expect(try !self.stops(signer, simulation, seeing: 9, beat: 6), "one of another process")
        #expect(try !self.stops(signer, simulation, seeing: 8, beat: 6), "two that were kept, put back in rising order")
        #expect(try !self.stops(signer, simulation, seeing: 9, beat: 7, sees: 8), "one of a quarrel that is over")
        #expect(try self.stops(signer, simulation, seeing: 9, beat: 7, sees: 1), "only a living process can have seen us")
    }

    @Test func `what we say to an unknown process of our own key stops that process, and old files cannot make us write all the time`()
        throws
    {
        for hasSeenUsBefore in [false, true] {
            let simulation = try ExchangeSimulation(.allOfThree, seed: 21)
            let signer = simulation.signers[0]
            try simulation.start(signer, incarnation: Array(repeating: 1, count: 16))
            let first = try #require(signer.process)
            try simulation.start(signer, incarnation: Array(repeating: 2, count: 16))
            let second = try #require(signer.process)
            func presence(_ actions: [ExchangeAction]) -> ExchangeFile? {
                actions.compactMap { action -> ExchangeFile? in
                    guard case .write(.presence, _) = action, let (path, bytes) = action.file else { return nil }
                    return ExchangeFile(path: path, bytes: bytes)
                }.first
            }
            let hello = try #require(presence(first.machine.step(now: .zero, key: signer.key, identity: signer.identity)))
            // A process that finds another one there takes it for the one that it follows.
            if hasSeenUsBefore { second.machine.observe(hello, now: .zero) }
            let foreign = try #require(presence(second.machine.step(now: .zero, key: signer.key, identity: signer.identity)))
            first.machine.observe(foreign, now: .milliseconds(10))
            let answer = try #require(presence(first.machine.step(now: .milliseconds(10), key: signer.key, identity: signer.identity)))
            second.machine.observe(answer, now: .milliseconds(20))
            #expect(
                second.machine.step(now: .milliseconds(20), key: signer.key, identity: signer.identity)
                    .contains(.fail(.keyInUseElsewhere(signer.publicKey))))
            // The same incarnation again, further on: nothing more before the next beat is due.
            let later = signer.says(
                .presence(incarnation: Array(repeating: 2, count: 16), beat: 50), simulation.request.digest, attempt: 0)
            first.machine.observe(ExchangeFile(path: foreign.path, bytes: later.serialized()), now: .milliseconds(30))
            #expect(presence(first.machine.step(now: .milliseconds(30), key: signer.key, identity: signer.identity)) == nil)
        }
    }

    // MARK: Two networks

    /// The presence of a signer whose process runs on another network.
    private func presence(
        of signer: SimulatedSigner, on network: Network, beat: UInt64 = 1, _ simulation: ExchangeSimulation
    ) throws -> ExchangeFile {
        let enrolment = try Enrolment(network: network, signer: signer.key, identity: signer.identity)
        let statement = Statement(
            .presence(incarnation: Array(repeating: 7, count: 16), beat: beat), request: simulation.request.digest, attempt: 0,
            enrolment: enrolment, identity: signer.identity)
        return ExchangeFile(path: ExchangePath.presence(signer.publicKey).description, bytes: statement.serialized())
    }

    @Test func `who comes to a signer on another network stops and names both, who was there waits on`() throws {
        for (seconds, stops) in [(0, true), (29, true), (31, false)] {
            let simulation = try ExchangeSimulation(.allOfThree, seed: 22)
            let (signer, other) = (simulation.signers[0], simulation.signers[1])
            try simulation.start(signer)
            let process = try #require(signer.process)
            if seconds > 0 { _ = process.machine.step(now: .zero, key: signer.key, identity: signer.identity) }
            process.machine.observe(try self.presence(of: other, on: .mainnet, simulation), now: .seconds(seconds))
            let coming = process.machine.step(now: .seconds(seconds), key: signer.key, identity: signer.identity)
            let error = ExchangeError.otherNetwork(own: .regtest, signer: other.publicKey, theirs: .mainnet)
            // It is there for one beat, so that the other one sees who came, and begins nothing meanwhile.
            #expect(coming.contains { if case .write(.presence, _) = $0 { true } else { false } }, "after \(seconds) s")
            #expect(!stops || !coming.contains { if case .create = $0 { true } else { false } }, "after \(seconds) s")
            let actions = process.machine.step(now: .seconds(seconds + 2), key: signer.key, identity: signer.identity)
            #expect(actions.contains(.fail(error)) == stops, "after \(seconds) s")
            #expect("\(error)".contains("signs on mainnet, and this process on regtest"))
            // Once that signer is on the right network, nothing stands in the way.
            let right = other.says(.presence(incarnation: Array(repeating: 8, count: 16), beat: 1), simulation.request.digest, attempt: 0)
            let path = ExchangePath.presence(other.publicKey).description
            try simulation.start(signer)
            let again = try #require(signer.process)
            again.machine.observe(try self.presence(of: other, on: .mainnet, simulation), now: .zero)
            again.machine.observe(ExchangeFile(path: path, bytes: right.serialized()), now: .zero)
            let next = again.machine.step(now: .zero, key: signer.key, identity: signer.identity)
            #expect(!next.contains { if case .fail = $0 { true } else { false } })
        }
    }

    @Test func `who awaited a signer whose files are for another network is told so at the time limit, not to start again`() throws {
        let simulation = try ExchangeSimulation(.allOfThree, seed: 24)
        let (signer, other) = (simulation.signers[0], simulation.signers[1])
        try simulation.start(signer)
        let process = try #require(signer.process)
        _ = process.machine.step(now: .zero, key: signer.key, identity: signer.identity)
        // Its presence is gone, and what it gave while it was here is not.
        let enrolment = try Enrolment(network: .mainnet, signer: other.key, identity: other.identity)
        let set = Statement(
            .set(simulation.policy.members), request: simulation.request.digest, attempt: 1, enrolment: enrolment, identity: other.identity)
        let bytes = try simulation.psbt(set)
        process.machine.observe(ExchangeFile(path: ExchangePath.set(attempt: 1).description, bytes: bytes), now: .seconds(40))
        let actions = process.machine.step(now: .seconds(1_000_000), key: signer.key, identity: signer.identity)
        #expect(actions.contains(.fail(.otherNetwork(own: .regtest, signer: other.publicKey, theirs: .mainnet))))
    }

    @Test func `that a signer is here for another network is said at once, and once, also where the others can go on without it`() throws {
        let simulation = try ExchangeSimulation(.twoOfFour, seed: 25)
        let (signer, other) = (simulation.signers[0], simulation.signers[1])
        try simulation.start(signer)
        let process = try #require(signer.process)
        func notices(_ now: Duration) throws -> [ExchangeNotice] {
            process.machine.observe(try self.presence(of: other, on: .mainnet, simulation), now: now)
            return process.machine.step(now: now, key: signer.key, identity: signer.identity).compactMap {
                if case .say(let notice) = $0 { notice } else { nil }
            }
        }
        let notice = ExchangeNotice.otherNetwork(own: .regtest, signer: other.publicKey, theirs: .mainnet, isHere: true)
        #expect(try notices(.zero) == [notice] && notices(.seconds(2)) == [])
        #expect(
            "\(notice)".contains("is here for mainnet, and this process is for regtest")
                && "\(notice)".contains("starts again on that network"))
    }

    @Test func `who was there first waits on when somebody comes for another network`() throws {
        let simulation = try ExchangeSimulation(.allOfThree, seed: 27)
        let (signer, other) = (simulation.signers[0], simulation.signers[1])
        try simulation.start(signer)
        let process = try #require(signer.process)
        for seconds in [0, 2, 4] { _ = process.machine.step(now: .seconds(seconds), key: signer.key, identity: signer.identity) }
        process.machine.observe(try self.presence(of: other, on: .mainnet, simulation), now: .seconds(5))
        for seconds in [5, 7, 9] {
            let actions = process.machine.step(now: .seconds(seconds), key: signer.key, identity: signer.identity)
            #expect(!actions.contains { if case .fail = $0 { true } else { false } })
            #expect(actions.contains { if case .say(.otherNetwork) = $0 { true } else { false } } == (seconds == 5))
        }
    }

    @Test func `who comes second says by its beat that it came second, so that the first one waits on, however short it has been there`()
        throws
    {
        let simulation = try ExchangeSimulation(.allOfThree, seed: 28)
        let (signer, other) = (simulation.signers[0], simulation.signers[1])
        try simulation.start(signer)
        let second = try #require(signer.process)
        second.machine.observe(try self.presence(of: other, on: .mainnet, simulation), now: .zero)
        let said = second.machine.step(now: .zero, key: signer.key, identity: signer.identity).compactMap {
            if case .write(.presence, let bytes) = $0 { try? Statement(parsing: bytes) } else { nil }
        }
        guard case .presence(_, beat: 0, _)? = said.first?.body else {
            Issue.record("\(said)")
            return
        }
        // As the first one sees it.
        try simulation.start(signer)
        let first = try #require(signer.process)
        _ = first.machine.step(now: .zero, key: signer.key, identity: signer.identity)
        first.machine.observe(try self.presence(of: other, on: .mainnet, beat: 0, simulation), now: .milliseconds(5))
        for milliseconds in [5, 2_005, 4_005] {
            let actions = first.machine.step(now: .milliseconds(milliseconds), key: signer.key, identity: signer.identity)
            #expect(!actions.contains { if case .fail = $0 { true } else { false } })
        }
    }

    @Test func `a set that was begun on another network holds the next attempt up for one beat, and not until its file has arrived`() throws
    {
        let simulation = try ExchangeSimulation(.allOfThree, seed: 26)
        let (signer, other) = (simulation.signers[0], simulation.signers[1])
        try simulation.start(signer)
        let process = try #require(signer.process)
        let enrolment = try Enrolment(network: .mainnet, signer: other.key, identity: other.identity)
        let set = Statement(
            .set(simulation.policy.members), request: simulation.request.digest, attempt: 1, enrolment: enrolment, identity: other.identity)
        let path = ExchangePath.set(attempt: 1).description
        process.machine.observe(ExchangeFile(path: path, bytes: try simulation.psbt(set)), now: .zero)
        func begins(_ now: Duration) -> Bool {
            process.machine.step(now: now, key: signer.key, identity: signer.identity).contains {
                if case .create(.set(attempt: 2), _) = $0 { true } else { false }
            }
        }
        #expect(!begins(.zero) && !begins(.milliseconds(1_900)) && begins(.milliseconds(2_100)))
    }

    @Test func `in k-of-n no fewer than could sign, or keep others from signing, stop anyone by naming another network`() throws {
        // Of two of four: one alone cannot, two can sign by themselves.
        for (networks, stops) in [([Network.mainnet], false), ([.mainnet, .signet], false), ([.mainnet, .mainnet], true)] {
            let simulation = try ExchangeSimulation(.twoOfFour, seed: 23)
            let signer = simulation.signers[0]
            try simulation.start(signer)
            let process = try #require(signer.process)
            for (other, network) in zip(simulation.signers.dropFirst(), networks) {
                process.machine.observe(try self.presence(of: other, on: network, simulation), now: .zero)
            }
            _ = process.machine.step(now: .zero, key: signer.key, identity: signer.identity)
            let actions = process.machine.step(now: .seconds(2), key: signer.key, identity: signer.identity)
            #expect(actions.contains { if case .fail(.otherNetwork) = $0 { true } else { false } } == stops, "\(networks)")
        }
    }

    @Test func `after a jump of the clocks a process does not take itself for another, but its copy it does`() throws {
        for (incarnation, beat, isCopy) in [(UInt8(1), UInt64(1), false), (2, 2, false), (1, 2, true), (2, 3, true)] {
            let simulation = try ExchangeSimulation(.allOfThree, seed: 12)
            let signer = simulation.signers[0]
            try simulation.start(signer, incarnation: Array(repeating: 1, count: 16))
            let process = try #require(signer.process)
            _ = process.machine.step(now: .zero, key: signer.key, identity: signer.identity)
            process.machine.discardNonces(newIncarnation: Incarnation(known: Array(repeating: 2, count: 16)))
            let actions = process.machine.step(now: .milliseconds(1), key: signer.key, identity: signer.identity)
            #expect(actions.contains { if case .write(.presence, _) = $0 { true } else { false } }, "it says at once who it is now")
            #expect(try self.stops(signer, simulation, seeing: incarnation, beat: beat) == isCopy, "\(incarnation), beat \(beat)")
        }
    }

    @Test(arguments: [true, false], UInt64(0)..<8)
    func `two resumed copies give no two contents under one name, and one of them stops`(haveBothNoticed: Bool, seed: UInt64) throws {
        let simulation = try ExchangeSimulation(.allOfThree, seed: seed)
        let signer = simulation.signers[0]
        try simulation.start(simulation.signers[1])
        // Two processes that went the same way so far, as copies of one memory have.
        var running: [(process: SimulatedProcess, journal: [BurnRecord])] = []
        for place in 0..<2 {
            try simulation.start(signer, incarnation: Array(repeating: 0xaa, count: 16))
            let process = try #require(signer.process)
            _ = process.machine.step(now: .zero, key: signer.key, identity: signer.identity)
            if place == 0 || haveBothNoticed {
                process.machine.discardNonces(newIncarnation: Incarnation(known: Array(repeating: UInt8(0xb0 + place), count: 16)))
            }
            running.append((process, []))
        }
        var contents: [NonceName: Set<[[UInt8]]>] = [:]
        var hasStopped = false
        for _ in 0..<2_000 where !hasStopped {
            _ = try simulation.turn(simulation.signers[1])
            let place = Int.random(in: 0..<running.count, using: &simulation.random)
            (signer.process, signer.journal) = (running[place].process, running[place].journal)
            for case .nonces(let name, let items)? in running[place].process.pending.map({ $0.statement?.body }) {
                contents[name, default: []].insert(items)
            }
            _ = try simulation.turn(signer)
            running[place].journal = signer.journal
            hasStopped = signer.failed == .keyInUseElsewhere(signer.publicKey)
            simulation.now += .milliseconds(50)
        }
        #expect(hasStopped, "replay: seed \(seed)")
        #expect(!contents.isEmpty && contents.values.allSatisfy { $0.count == 1 }, "replay: seed \(seed)")
        #expect(simulation.violations == [], "replay: seed \(seed)")
    }

    @Test(arguments: UInt64(0)..<10)
    func `of two processes with one key one stops, and no nonce serves two transcripts`(seed: UInt64) throws {
        let simulation = try ExchangeSimulation(.allOfThree, seed: seed)
        let signer = simulation.signers[0]
        // The third signer stays away, so that nothing completes meanwhile.
        try simulation.start(simulation.signers[1])
        try simulation.start(signer, incarnation: Array(repeating: 0xaa, count: 16))
        let first = try #require(signer.process)
        try simulation.start(signer, incarnation: Array(repeating: 0xbb, count: 16))
        let second = try #require(signer.process)
        // Two machines have two journals.
        var running: [(process: SimulatedProcess, journal: [BurnRecord])] = [(first, []), (second, [])]
        var stopped = 0
        for _ in 0..<2_000 where stopped == 0 {
            _ = try simulation.turn(simulation.signers[1])
            let place = Int.random(in: 0..<running.count, using: &simulation.random)
            (signer.process, signer.journal) = (running[place].process, running[place].journal)
            _ = try simulation.turn(signer)
            running[place].journal = signer.journal
            if signer.failed == .keyInUseElsewhere(signer.publicKey) { stopped += 1 }
            simulation.now += .milliseconds(50)
        }
        #expect(stopped == 1, "replay: seed \(seed)")
        #expect(simulation.violations == [], "replay: seed \(seed)")
        // Who is left, or a fresh process, completes with the others.
        (signer.failed, signer.process) = (nil, nil)
        try simulation.run()
        for signer in simulation.signers { #expect(signer.completed != nil, "\(String(describing: signer.failed)) replay: seed \(seed)") }
        #expect(simulation.violations == [], "replay: seed \(seed)")
    }
}
