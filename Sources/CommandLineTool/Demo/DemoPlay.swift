import Bitcoin
import CryptoPrimitives
import MuSig2
import Secp256k1
import SessionStore
import Signing

#if canImport(Glibc)
internal import Glibc
#elseif canImport(Musl)
internal import Musl
#elseif canImport(Darwin)
internal import Darwin
#endif

/// Starts the signers' processes and watches the folder until the transaction is there.
struct DemoPlay {
    let scene: DemoScene
    let folder: String
    let threshold: Int
    let narrator: DemoNarrator

    struct Result {
        let transaction: Transaction
        /// Who signed, in the order of aggregation.
        let set: [PublicKey]
        /// The set's aggregate key before any tweak.
        let aggregateKey: PublicKey
        let isKeyPath: Bool
        let nonces: Duration
        let signatures: Duration
    }

    /// How long all of it may take; a demo that takes longer has failed.
    private static let timeLimitSeconds = 300

    func run() async throws(CommandError) -> Result {
        let start = ContinuousClock.now
        var running: [(number: Int, process: ChildProcess)] = []
        ChildProcess.keepEnds()
        do throws(CommandError) {
            for number in 1...self.scene.signers.count { running.append((number, try self.startSigner(number))) }
            return try await self.watch(&running, since: start)
        } catch {
            for child in running { child.process.askToStop() }
            for child in running { child.process.waitUntilStopped() }
            throw error
        }
    }

    private func startSigner(_ number: Int) throws(CommandError) -> ChildProcess {
        try ChildProcess(
            arguments: [
                "cosign", "--psbt", self.scene.psbtPath, "--key", self.scene.signers[number - 1].path, "--exchange",
                self.scene.exchangePath, "--yes", "--time-limit", "\(Self.timeLimitSeconds)",
            ],
            environment: ["CHORALE_PASSPHRASE=\(self.scene.passphrase)", "NO_COLOR=1"], output: self.output(of: number))
    }

    private func output(of number: Int) -> String { "\(self.folder)/signer-\(number).out" }

    private func watch(
        _ running: inout [(number: Int, process: ChildProcess)], since start: ContinuousClock.Instant
    ) async throws(CommandError) -> Result {
        var folder = try ExchangeFolder(in: self.scene.exchangePath, request: self.scene.request)
        var seen = DemoSeen()
        // Each signer computes a k-of-n policy for itself, which takes a while for a large one: nobody shows up before.
        let line = ProgressLine(pause: .seconds(5))
        defer { line.finish() }
        while true {
            // Who has ended has written before: so ends are looked for first, and what they left afterwards.
            let failed = Self.reap(&running)
            var files: [ExchangeFile] = []
            do throws(FileError) {
                for place in try folder.places(sinceAttempt: 0) {
                    for name in try folder.names(in: place) {
                        if let file = try folder.change(of: name) { files.append(file) }
                    }
                }
            } catch { throw folder.failure(error) }
            if !files.isEmpty { line.finish() }
            for file in Self.inOrder(files, of: folder) { self.take(file, into: &seen) }
            let now = ContinuousClock.now
            if self.threshold < self.scene.signers.count {
                line.update { "Computing the k-of-n policy, each signer for itself  \((now - start).components.seconds) s" }
            }
            seen.date(now)
            if let failed { throw self.failure(of: failed.number, failed.code) }
            if running.isEmpty { break }
            guard !Interruption.isRequested else { throw .interrupted }
            try? await Task.sleep(for: .milliseconds(2))
        }
        return try self.result(seen, since: start)
    }

    private func take(_ file: ExchangeFile, into seen: inout DemoSeen) {
        let before = seen
        seen.take(file)
        switch ExchangePath(file.path) {
        case .presence(let signer): self.meet(signer, &seen)
        case .set(let attempt):
            guard let set = seen.attempts[attempt]?.set, before.attempts[attempt]?.set == nil, attempt == seen.newestAttempt else { return }
            // Whoever made it has seen them. All of them need nobody to be here first.
            if set.count < self.scene.signers.count { for signer in set { self.meet(signer, &seen) } }
            self.narrator.tellSet(set, unneeded: seen.present.subtracting(set))
        case .nonces(let attempt, let signer):
            self.meet(signer, &seen)
            if before.attempts[attempt]?.nonces.contains(signer) != true { self.narrator.tell(signer, "gives its public nonces") }
        case .partialSignatures(let attempt, let signer):
            guard before.attempts[attempt]?.signed.contains(signer) != true else { return }
            self.narrator.tell(signer, "has seen all nonces and gives its partial signature")
        case .final, .evidence, nil: break
        }
    }

    private func meet(_ signer: PublicKey, _ seen: inout DemoSeen) {
        guard seen.present.insert(signer).inserted else { return }
        self.narrator.tellArrival(of: signer, count: seen.present.count, set: seen.newestSet)
    }

    /// The files in the order in which they were written, as far as the file system's clock tells; else in that of the rounds.
    private static func inOrder(_ files: [ExchangeFile], of folder: ExchangeFolder) -> [ExchangeFile] {
        guard files.count > 1 else { return files }
        let dated = files.map { (file: $0, date: self.modified("\(folder.path)/\($0.path)"), round: self.round(of: $0)) }
        return dated.sorted { ($0.date.seconds, $0.date.nanoseconds, $0.round) < ($1.date.seconds, $1.date.nanoseconds, $1.round) }
            .map(\.file)
    }

    private static func round(of file: ExchangeFile) -> Int {
        switch ExchangePath(file.path) {
        case .presence: 0
        case .set: 1
        case .nonces: 2
        case .partialSignatures: 3
        case .final, .evidence, nil: 4
        }
    }

    private static func modified(_ path: String) -> (seconds: Int, nanoseconds: Int) {
        var status = stat()
        // What is gone was there before what is left.
        guard lstat(path, &status) == 0 else { return (0, 0) }
        #if canImport(Darwin)
        return (status.st_mtimespec.tv_sec, status.st_mtimespec.tv_nsec)
        #else
        return (status.st_mtim.tv_sec, status.st_mtim.tv_nsec)
        #endif
    }

    private static func reap(_ running: inout [(number: Int, process: ChildProcess)]) -> (number: Int, code: Int32)? {
        var failed: (number: Int, code: Int32)?
        running.removeAll { child in
            guard let code = child.process.exitCode() else { return false }
            if code != 0 { failed = (child.number, code) }
            return true
        }
        return failed
    }

    private func failure(of number: Int, _ code: Int32) -> CommandError {
        let output = (try? AtomicFile.read(self.output(of: number), byteCountMax: 1 << 20)) ?? []
        return .failed("the process of signer \(number) ended with exit code \(code) and said:\n\(String(decoding: output, as: UTF8.self))")
    }

    private func result(_ seen: DemoSeen, since start: ContinuousClock.Instant) throws(CommandError) -> Result {
        guard let transaction = seen.transaction, let finalAt = seen.finalAt else {
            throw .failed("all processes ended, and there is no finished transaction in the folder")
        }
        guard let signed = seen.signedAttempt, let set = signed.set, let noncesAt = signed.noncesAt else {
            throw .failed("all processes ended, and the folder does not show who signed the transaction")
        }
        let aggregate: PublicKey
        do throws(MuSig2Error) { aggregate = try KeyAggregation(set).untweakedKey } catch { throw .failed("\(error)") }
        return Result(
            transaction: transaction, set: set, aggregateKey: aggregate,
            isKeyPath: transaction.inputs.allSatisfy { $0.witness.items.count == 1 }, nonces: noncesAt - start,
            signatures: finalAt - noncesAt)
    }
}
