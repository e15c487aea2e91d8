import Bitcoin
import CryptoPrimitives
import MuSig2
import Secp256k1
import Signing

/// One machine's copy of the shared folder. On a shared drive all machines have the same one.
final class FolderReplica {
    var files: [String: [UInt8]] = [:]
    var versions: [String: Int] = [:]
    /// What synchronisation has yet to bring: when, where, the bytes (`nil` for a removal), and which write it was.
    var inbox: [(due: Duration, path: String, bytes: [UInt8]?, version: Int)] = []

    /// The last writer wins, as in synchronised folders.
    func put(_ path: String, _ bytes: [UInt8]?, version: Int) {
        guard version > self.versions[path] ?? 0 else { return }
        self.versions[path] = version
        self.files[path] = bytes
    }

    func deliver(until now: Duration) {
        let due = self.inbox.filter { $0.due <= now }
        guard !due.isEmpty else { return }
        self.inbox.removeAll { $0.due <= now }
        for file in due { self.put(file.path, file.bytes, version: file.version) }
    }
}

/// One signer: its keys, its journal, its machine and, while it runs, its process.
final class SimulatedSigner {
    let key: SecretKey
    let identity: Ed25519.SecretKey
    let enrolment: Enrolment
    let replica: FolderReplica
    /// What survives a kill.
    var journal: [BurnRecord] = []
    /// The nonces that it put into the folder, by attempt.
    var written: [UInt32: [NonceSet]] = [:]
    var process: SimulatedProcess?
    var completed: Transaction?
    var failed: ExchangeError?
    var notices: [ExchangeNotice] = []
    var starts: UInt8 = 0
    /// Actions carried out in all its processes.
    var actionCount = 0
    /// The action after which the process is killed, once.
    var killsAfterAction: Int?
    /// What that action was about.
    var killedAfter: String?
    /// Not running until then.
    var comesAt: Duration = .zero
    /// Gone for good from then on.
    var leavesAt: Duration?
    /// Ends its process once its signatures are out and nothing is left to do, as a person does who visits with a stick.
    var isVisitor = false
    /// What a dishonest program makes of its own actions: what to do instead, for each signer that will see it.
    var mangle: ((ExchangeAction, _ recipient: Int) -> ExchangeAction?)?

    var publicKey: PublicKey { self.key.publicKey }
    var isHonest: Bool { self.mangle == nil }

    init(replica: FolderReplica, key given: consuming SecretKey) throws {
        let identity = try Ed25519.SecretKey.generate()
        self.enrolment = try Enrolment(network: .regtest, signer: given, identity: identity)
        self.key = given
        self.identity = identity
        self.replica = replica
    }

    /// A statement of this signer, whatever it says.
    func says(_ body: Statement.Body, _ request: Bytes32, attempt: UInt32) -> Statement {
        Statement(body, request: request, attempt: attempt, enrolment: self.enrolment, identity: self.identity)
    }
}

final class SimulatedProcess {
    var machine: FileExchange
    var seen: [String: Int] = [:]
    var pending: [ExchangeAction] = []
    let incarnation: [UInt8]

    init(_ machine: consuming FileExchange, incarnation: [UInt8]) {
        self.machine = machine
        self.incarnation = incarnation
    }
}

struct ExchangeRandom: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
        self.state &+= 0x9e37_79b9_7f4a_7c15
        var z = self.state
        z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
        z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
        return z ^ (z >> 31)
    }

    mutating func happens(oneIn count: Int) -> Bool { Int.random(in: 0..<count, using: &self) == 0 }
}

enum SimulatedPolicy: CaseIterable, Sendable {
    case allOfThree, twoOfFour, twoOfThreeOrAll, twoOfThreeOrOwner

    var signerCount: Int { self == .twoOfFour ? 4 : 3 }

    func policy(_ keys: [PublicKey]) throws -> any SpendingPolicy {
        switch self {
        case .allOfThree: try SignerGroup(keys)
        case .twoOfFour: try DelegatedMultisig(internalKey: .unspendable, signers: keys, threshold: 2)
        case .twoOfThreeOrAll: try DelegatedMultisig(internalKey: .aggregate, signers: keys, threshold: 2)
        case .twoOfThreeOrOwner:
            try DelegatedMultisig(internalKey: .owner(try SecretKey.generate().publicKey.xOnly), signers: keys, threshold: 2)
        }
    }
}

/// Runs processes over one folder, or over copies of it that lag, in a random order; kills some between any two actions.
final class ExchangeSimulation {
    private(set) var signers: [SimulatedSigner] = []
    let policy: any SpendingPolicy
    let request: SigningRequest
    var configuration = ExchangeConfiguration()
    var random: ExchangeRandom
    var now: Duration = .zero
    /// Kills at random action boundaries that are still to come.
    var kills = 0
    /// Journals that are still to die, before or after the record is durable.
    var journalDeaths = 0
    /// Longest time that synchronisation takes; `nil` for one drive that all see at once.
    let lagMax: Duration?
    /// What a stranger does to the folder before each turn.
    var stranger: ((ExchangeSimulation) -> Void)?
    /// What broke a promise.
    private(set) var violations: [String] = []
    private var writes = 0
    /// Every nonce with the transcripts that it was used for, as the files say: no journal is asked.
    private var transcripts: [[UInt8]: Set<Bytes32>] = [:]

    init(_ kind: SimulatedPolicy, seed: UInt64, lagMax: Duration? = nil, inputs: Int = 2, foreignInputs: Int = 0) throws {
        self.random = ExchangeRandom(state: seed)
        self.lagMax = lagMax
        let drive = FolderReplica()
        // The policy's order is the keys' order; a test names signers by their place in it.
        var keys: [SecretKeyBox] = try (0..<kind.signerCount).map { _ in SecretKeyBox(try SecretKey.generate()) }
        keys.sort { $0.publicKey < $1.publicKey }
        self.signers = try keys.map { try SimulatedSigner(replica: lagMax == nil ? drive : FolderReplica(), key: $0.take()) }
        let policy = try kind.policy(self.signers.map(\.publicKey))
        self.policy = policy
        // Inputs of others stand last.
        let foreign = Script([0x51, 0x20] + Array(repeating: 7, count: 32))
        let coins = (0..<inputs + foreignInputs).map {
            TransactionOutput(amount: 10_000 + UInt64($0), scriptPubKey: $0 < inputs ? policy.scriptPubKey : foreign)
        }
        let spent = (0..<inputs + foreignInputs).map {
            TransactionInput(previousOutput: OutPoint(txid: Txid(SHA256.hash([UInt8($0 & 0xff), UInt8($0 >> 8)])), index: UInt32($0)))
        }
        let transaction = Transaction(inputs: spent, outputs: [TransactionOutput(amount: 9_000, scriptPubKey: policy.scriptPubKey)])
        self.request = try SigningRequest(transaction: transaction, prevouts: coins, policyDigest: policy.digest)
    }

    var honest: [SimulatedSigner] { self.signers.filter(\.isHonest) }

    // MARK: Processes

    func start(_ signer: SimulatedSigner, incarnation: [UInt8]? = nil) throws {
        signer.starts += 1
        let incarnation = incarnation ?? Array(repeating: signer.starts, count: NonceName.incarnationByteCount)
        signer.process = SimulatedProcess(
            try FileExchange(
                request: self.request, policy: self.policy, enrolment: signer.enrolment, incarnation: Incarnation(known: incarnation),
                records: signer.journal, configuration: self.configuration),
            incarnation: incarnation)
    }

    /// Lets the signer's process do one thing. Returns whether there was one.
    func turn(_ signer: SimulatedSigner) throws -> Bool {
        guard let process = signer.process else { return false }
        guard !process.pending.isEmpty else {
            let hasSeen = self.look(signer, process)
            process.pending = process.machine.step(now: self.now, key: signer.key, identity: signer.identity)
            let progress = process.machine.progress(now: self.now)
            if signer.isVisitor, process.pending.isEmpty, progress.hasSigned {
                for case .remove(let path) in process.machine.leave() { self.write(path.description, nil, by: signer) }
                signer.process = nil
                signer.leavesAt = self.now
            }
            return hasSeen || !process.pending.isEmpty
        }
        let action = process.pending.removeFirst()
        signer.actionCount += 1
        try self.carryOut(action, signer, process)
        if signer.killsAfterAction == signer.actionCount, signer.process != nil {
            signer.process = nil
            signer.killedAfter = action.name
        }
        return true
    }

    private func look(_ signer: SimulatedSigner, _ process: SimulatedProcess) -> Bool {
        signer.replica.deliver(until: self.now)
        var hasSeen = false
        // What was read may name attempts whose files were out of reach before.
        while self.lookOnce(signer, process) { hasSeen = true }
        return hasSeen
    }

    private func lookOnce(_ signer: SimulatedSigner, _ process: SimulatedProcess) -> Bool {
        var changed = signer.replica.versions.keys.filter { process.seen[$0] != signer.replica.versions[$0] }
            .filter { process.machine.wants($0) != nil }.sorted()
        guard !changed.isEmpty else { return false }
        changed.shuffle(using: &self.random)
        // A second look at what was seen before.
        if self.random.happens(oneIn: 8), let again = signer.replica.files.keys.sorted().randomElement(using: &self.random) {
            changed.append(again)
        }
        for path in changed {
            guard let limit = process.machine.wants(path) else { continue }
            process.seen[path] = signer.replica.versions[path]
            guard let bytes = signer.replica.files[path], bytes.count <= limit else { continue }
            process.machine.observe(ExchangeFile(path: path, bytes: bytes), now: self.now)
        }
        return true
    }

    private func carryOut(_ action: ExchangeAction, _ signer: SimulatedSigner, _ process: SimulatedProcess) throws {
        switch action {
        case .write(let path, _):
            if case .partialSignatures = path, signer.isHonest { self.checkReleased(action, by: signer) }
            self.write(action, by: signer)
        case .create(let path, _):
            // Exclusive on this machine; a synchronised folder does not see what others create meanwhile.
            let isNew = signer.replica.files[path.description] == nil
            if isNew { self.write(action, by: signer) }
            if isNew, let statement = action.statement, let set = try statement.nonceSet() {
                signer.written[statement.attempt, default: []].append(set)
            }
            process.machine.created(path, isNew)
        case .record(let record):
            if self.journalDeaths > 0 {
                self.journalDeaths -= 1
                if self.random.happens(oneIn: 2) { self.burn(record, signer) }
                signer.process = nil
                return
            }
            self.burn(record, signer)
            process.machine.recorded(record)
        case .remove(let path): self.write(path.description, nil, by: signer)
        case .say(let notice): signer.notices.append(notice)
        case .complete(let transaction):
            signer.completed = transaction
            signer.process = nil
        case .fail(let error):
            signer.failed = error
            // The shell carries out the rest: leaving.
            for case .remove(let path) in process.pending { self.write(path.description, nil, by: signer) }
            signer.process = nil
        }
    }

    // MARK: The folder

    private func write(_ action: ExchangeAction, by signer: SimulatedSigner) {
        guard let mangle = signer.mangle else {
            if let (path, bytes) = action.file { self.write(path, bytes, by: signer) }
            return
        }
        self.writes += 1
        for (place, recipient) in self.signers.enumerated() {
            guard let (path, bytes) = mangle(action, place)?.file else { continue }
            self.put(path, bytes, at: recipient, from: signer.replica)
        }
    }

    func write(_ path: String, _ bytes: [UInt8]?, by signer: SimulatedSigner) {
        self.writes += 1
        for recipient in self.signers { self.put(path, bytes, at: recipient, from: signer.replica) }
    }

    private func put(_ path: String, _ bytes: [UInt8]?, at recipient: SimulatedSigner, from replica: FolderReplica) {
        guard let lagMax, recipient.replica !== replica else { return recipient.replica.put(path, bytes, version: 2 * self.writes) }
        let due = self.now + .milliseconds(Int64.random(in: 0...(lagMax.components.seconds * 1_000), using: &self.random))
        // Some arrive in pieces.
        if let bytes, self.random.happens(oneIn: 4) {
            let piece = Array(bytes.prefix(Int.random(in: 0...bytes.count, using: &self.random)))
            recipient.replica.inbox.append((due, path, piece, 2 * self.writes - 1))
            recipient.replica.inbox.append((due + .milliseconds(700), path, bytes, 2 * self.writes))
        } else {
            recipient.replica.inbox.append((due, path, bytes, 2 * self.writes))
        }
    }

    /// A statement as it stands in a PSBT. Its own fields are left out, which changes nothing.
    func psbt(_ statement: Statement) throws -> [UInt8] {
        var psbt = try PSBT(unsignedTransaction: self.request.transaction)
        psbt.proprietary[ExchangeAction.statementKey(statement)] = statement.serialized()
        return psbt.serialized()
    }

    // MARK: Promises

    private func burn(_ record: BurnRecord, _ signer: SimulatedSigner) {
        signer.journal.append(record)
        if Set(signer.journal.filter { $0.attempt == record.attempt }).count > 1 { self.violations.append("one attempt was decided twice") }
    }

    /// What is released rests on a durable record, and on nothing else.
    private func checkReleased(_ action: ExchangeAction, by signer: SimulatedSigner) {
        guard let statement = action.statement, case .partialSignatures(let transcript, let items) = statement.body else {
            return self.violations.append("partial signatures without a statement")
        }
        let isRecorded = signer.journal.contains {
            $0.attempt == statement.attempt && $0.transcript == transcript && $0.partialSignatures.map(\.bytes.bytes) == items
        }
        if !isRecorded { self.violations.append("partial signatures left before their record was durable") }
        let nonces = (signer.written[statement.attempt] ?? []).filter { self.fit($0, transcript, statement.attempt, signer) }
        // Others' files may have been changed since; then the signer's own are told apart by nothing but their attempt.
        for nonce in nonces.isEmpty ? signer.written[statement.attempt]?.last?.nonces ?? [] : nonces.flatMap(\.nonces) {
            self.transcripts[nonce.bytes, default: []].insert(transcript)
            if self.transcripts[nonce.bytes]?.count != 1 { self.violations.append("a nonce serves two transcripts") }
        }
        if signer.written[statement.attempt] == nil { self.violations.append("partial signatures without nonces") }
    }

    /// Whether these nonces of the signer, with those of the others that stand in its folder, make the transcript.
    private func fit(_ own: NonceSet, _ transcript: Bytes32, _ attempt: UInt32, _ signer: SimulatedSigner) -> Bool {
        func statement(_ path: ExchangePath) -> Statement? {
            signer.replica.files[path.description].flatMap { ExchangeAction.write(path, $0).statement }
        }
        guard case .set(let set)? = statement(.set(attempt: attempt))?.body,
            let plan = try? SigningPlan(request: self.request, under: self.policy, set: set)
        else { return false }
        let sets = set.compactMap { member in
            member == signer.publicKey ? own : try? statement(.nonces(attempt: attempt, member))?.nonceSet()
        }
        return sets.count == set.count && plan.transcript(attempt: attempt, nonceSets: sets) == transcript
    }

    /// No honest signer is named in a file of evidence, excluded, or said to be at fault.
    func accusationsOfHonest() -> [String] {
        let honest = Set(self.honest.map(\.publicKey))
        var accusations: [String] = []
        for signer in self.honest {
            for case .excluded(let accused, let reason) in signer.notices where honest.contains(accused) { accusations.append(reason) }
            if case .fault(let accused, let problem, _) = signer.failed, honest.contains(accused) { accusations.append(problem) }
        }
        for evidence in self.evidence() {
            if case .proved(let accused, let fault) = evidence.verdict(), honest.contains(accused) { accusations.append("\(fault)") }
        }
        return accusations
    }

    /// All evidence on any machine.
    func evidence() -> [Evidence] {
        self.signers.flatMap { $0.replica.files }.compactMap { path, bytes in
            guard case .evidence = ExchangePath(path) else { return nil }
            return try? Evidence(parsing: bytes)
        }
    }

    // MARK: Running

    func run(maximumTurns: Int = 20_000, until isOver: (() -> Bool)? = nil) throws {
        for _ in 0..<maximumTurns {
            if isOver?()
                ?? self.honest.allSatisfy({ $0.completed != nil || $0.failed != nil || $0.leavesAt.map { $0 <= self.now } ?? false })
            {
                return
            }
            self.stranger?(self)
            let running = self.signers.filter {
                $0.completed == nil && $0.failed == nil && $0.comesAt <= self.now && !($0.leavesAt.map { $0 <= self.now } ?? false)
            }
            guard let signer = running.randomElement(using: &self.random) else {
                self.now += .milliseconds(500)
                continue
            }
            var hasActed = true
            if signer.process == nil {
                try self.start(signer)
            } else if self.kills > 0, self.random.happens(oneIn: 20) {
                self.kills -= 1
                signer.process = nil
            } else {
                hasActed = try self.turn(signer)
            }
            self.now += hasActed ? .milliseconds(20) : .milliseconds(300)
        }
    }
}

/// Lets keys be sorted, which cannot be copied.
private final class SecretKeyBox {
    private var key: SecretKey?
    let publicKey: PublicKey

    init(_ key: consuming SecretKey) {
        self.publicKey = key.publicKey
        self.key = consume key
    }

    func take() throws -> SecretKey {
        guard let key = self.key.take() else { throw SigningError.closed }
        return key
    }
}

extension ExchangeAction {
    static func statementKey(_ statement: Statement) -> PSBT.ProprietaryKey {
        let kind: UInt8 =
            switch statement.body {
            case .presence: 1
            case .set: 2
            case .nonces: 3
            case .partialSignatures: 4
            case .proposal, .approval, .refusal, .cancellation, .begin, .commitment, .pooledNonces:
                preconditionFailure("no file holds it")
            }
        return PSBT.ProprietaryKey(identifier: Array("chorale".utf8), subtype: 1, keyData: [kind] + statement.sender.bytes)
    }

    var file: (path: String, bytes: [UInt8])? {
        switch self {
        case .write(let path, let bytes), .create(let path, let bytes): (path.description, bytes)
        case .record, .remove, .say, .complete, .fail: nil
        }
    }

    /// One word for the kind of action.
    var name: String {
        switch self {
        case .record: "record"
        case .remove: "remove"
        case .say: "say"
        case .complete: "complete"
        case .fail: "fail"
        case .write(let path, _), .create(let path, _):
            switch path {
            case .presence: "presence"
            case .set: "set"
            case .nonces: "nonces"
            case .partialSignatures: "partials"
            case .final: "final"
            case .evidence: "evidence"
            }
        }
    }

    /// The statement in a written PSBT.
    var statement: Statement? {
        guard let (_, bytes) = self.file, let psbt = try? PSBT(parsing: bytes) else { return nil }
        return psbt.proprietary.first { $0.key.subtype == 1 }.flatMap { try? Statement(parsing: $0.value) }
    }
}
