import Bitcoin
import CryptoPrimitives
import MuSig2
import Secp256k1
import Signing
import Testing

/// A folder that every process sees at once, and processes that can be killed at any durable step.
final class SimulatedFolder {
    var files: [String: [UInt8]] = [:]
    var version: [String: Int] = [:]
    private var writes = 0

    func write(_ path: String, _ bytes: [UInt8]) {
        self.writes += 1
        self.files[path] = bytes
        self.version[path] = self.writes
    }
}

/// One signer: its keys, its journal, and, while it runs, its process.
final class SimulatedSigner {
    let key: SecretKey
    let identity: Ed25519.SecretKey
    let enrolment: Enrolment
    /// What survives a kill.
    var journal: [BurnRecord] = []
    var process: SimulatedProcess?
    var completed: Transaction?
    var failed: ExchangeError?
    var starts: UInt8 = 0

    init() throws {
        let key = try SecretKey.generate()
        let identity = try Ed25519.SecretKey.generate()
        self.enrolment = try Enrolment(network: .regtest, signer: key, identity: identity)
        self.key = key
        self.identity = identity
    }
}

final class SimulatedProcess {
    var machine: FileExchange
    var seen: [String: Int] = [:]
    var pending: [ExchangeAction] = []

    init(_ machine: consuming FileExchange) { self.machine = machine }
}

struct SplitMix64: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
        self.state &+= 0x9e37_79b9_7f4a_7c15
        var z = self.state
        z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
        z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
        return z ^ (z >> 31)
    }
}

/// Runs processes over one folder in a random order, and kills some between any two actions.
final class ExchangeSimulation {
    let signers: [SimulatedSigner]
    let policy: any SpendingPolicy
    let request: SigningRequest
    let folder = SimulatedFolder()
    var random: SplitMix64
    var now: Duration = .zero
    var kills: Int
    /// Everything that left a process: each nonce with the transcripts that it served.
    var transcripts: [PublicNonce: Set<Bytes32>] = [:]

    init(seed: UInt64, signers count: Int, threshold: Int, kills: Int, inputs: Int = 2) throws {
        self.random = SplitMix64(state: seed)
        let signers = try (0..<count).map { _ in try SimulatedSigner() }
        self.signers = signers
        self.kills = kills
        let keys = signers.map { $0.key.publicKey }
        let policy: any SpendingPolicy =
            threshold == count
            ? try SignerGroup(keys) : try DelegatedMultisig(internalKey: .unspendable, signers: keys, threshold: threshold)
        self.policy = policy
        let coins = (0..<inputs).map { TransactionOutput(amount: 10_000 + UInt64($0), scriptPubKey: policy.scriptPubKey) }
        let spent = (0..<inputs).map {
            TransactionInput(previousOutput: OutPoint(txid: Txid(SHA256.hash([UInt8($0)])), index: UInt32($0)))
        }
        let transaction = Transaction(inputs: spent, outputs: [TransactionOutput(amount: 9_000, scriptPubKey: policy.scriptPubKey)])
        self.request = try SigningRequest(transaction: transaction, prevouts: coins, policyDigest: policy.digest)
    }

    func start(_ signer: SimulatedSigner) throws {
        signer.starts += 1
        signer.process = SimulatedProcess(
            try FileExchange(
                request: self.request, policy: self.policy, enrolment: signer.enrolment,
                incarnation: Array(repeating: signer.starts, count: 16), records: signer.journal))
    }

    /// Lets the signer's process do one thing.
    func turn(_ signer: SimulatedSigner) throws {
        guard let process = signer.process else { return }
        if process.pending.isEmpty {
            for (path, version) in self.folder.version.sorted(by: { $0.key < $1.key }) where process.seen[path] != version {
                process.seen[path] = version
                process.machine.observe(ExchangeFile(path: path, bytes: self.folder.files[path] ?? []), now: self.now)
            }
            process.pending = process.machine.step(now: self.now, key: signer.key, identity: signer.identity)
            return
        }
        let action = process.pending.removeFirst()
        switch action {
        case .write(let path, let bytes):
            if case .partialSignatures = path { try self.noteReleased(by: signer) }
            self.folder.write(path.description, bytes)
        case .create(let path, let bytes):
            let isNew = self.folder.files[path.description] == nil
            if isNew { self.folder.write(path.description, bytes) }
            process.machine.created(path, isNew)
        case .record(let record):
            signer.journal.append(record)
            process.machine.recorded(record)
        case .remove(let path): self.folder.files[path.description] = nil
        case .say: break
        case .complete(let transaction):
            signer.completed = transaction
            signer.process = nil
        case .fail(let error):
            signer.failed = error
            signer.process = nil
        }
    }

    /// A released signature rests on a recorded transcript; its nonces must rest on no other.
    private func noteReleased(by signer: SimulatedSigner) throws {
        for record in signer.journal { for nonce in record.nonces { self.transcripts[nonce, default: []].insert(record.transcript) } }
    }

    func run(maximumTurns: Int = 20_000) throws {
        for signer in self.signers { try self.start(signer) }
        for _ in 0..<maximumTurns {
            let running = self.signers.filter { $0.completed == nil && $0.failed == nil }
            guard let signer = running.randomElement(using: &self.random) else { return }
            if signer.process == nil {
                try self.start(signer)
            } else if self.kills > 0, Int.random(in: 0..<20, using: &self.random) == 0 {
                self.kills -= 1
                signer.process = nil
            } else {
                try self.turn(signer)
            }
            self.now += .milliseconds(50)
        }
    }
}

@Suite struct FileExchangeTests {
    @Test(arguments: UInt64(0)..<40)
    func `whatever is killed, all signers complete and no nonce serves two transcripts`(seed: UInt64) throws {
        let simulation = try ExchangeSimulation(seed: seed, signers: 3, threshold: 3, kills: Int(seed % 8))
        try simulation.run()
        for signer in simulation.signers {
            #expect(signer.failed == nil, "replay: seed \(seed)")
            #expect(signer.completed?.txid == simulation.request.transaction.txid, "replay: seed \(seed)")
        }
        #expect(simulation.transcripts.values.allSatisfy { $0.count == 1 }, "replay: seed \(seed)")
    }

    @Test(arguments: UInt64(0)..<40)
    func `any two of four sign by one leaf`(seed: UInt64) throws {
        let simulation = try ExchangeSimulation(seed: seed, signers: 4, threshold: 2, kills: Int(seed % 6))
        try simulation.run()
        for signer in simulation.signers {
            #expect(signer.failed == nil, "replay: seed \(seed)")
            #expect(signer.completed?.inputs.first?.witness.items.count == 3, "replay: seed \(seed)")
        }
        #expect(simulation.transcripts.values.allSatisfy { $0.count == 1 }, "replay: seed \(seed)")
    }
}
