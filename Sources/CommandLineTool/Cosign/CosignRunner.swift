import CryptoPrimitives
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

/// Carries out what the exchange machine decides: looks at the folder, writes files, records decisions, waits. It decides nothing.
struct CosignRunner {
    let task: CosignTask
    let journal: FileJournal
    let console: Console
    let waitsForTheEnd: Bool
    let configuration: ExchangeConfiguration

    // How long to wait between two looks: short while something happens, long enough in the end that waiting for hours costs nothing.
    private static let pauseMin: Duration = .milliseconds(5)
    private static let pauseMax: Duration = .milliseconds(250)

    func run(_ keys: borrowing UnlockedKeys, _ folder: ExchangeFolder) async throws(CommandError) -> CosignResult {
        var folder = folder
        var machine = try await self.machine(for: keys)
        let clock = ContinuousClock()
        let start = clock.now
        var clocks = ClockGuard()
        var pause = Self.pauseMin
        let line = ProgressLine()
        defer { line.finish() }
        var lastStage: ExchangeStage?
        var isVanished = false

        return try await Interruption.deferring { () async throws(CommandError) in
            while true {
                guard !Interruption.isRequested else {
                    for case .remove(let path) in machine.leave() { folder.remove(path) }
                    throw .interrupted
                }
                let now = clock.now - start
                if clocks.hasJumped(wall: Self.time(CLOCK_REALTIME), running: Self.time(Self.runningClock)) { machine.discardNonces() }
                var hasActed = false
                do throws(FileError) {
                    let attempt = machine.progress(now: now).attempt
                    for file in try folder.changes(sinceAttempt: attempt) {
                        hasActed = true
                        machine.observe(file, now: now)
                    }
                    if isVanished { line.announce("The folder is back.") }
                    isVanished = false
                } catch {
                    // A stick that was pulled out comes back, and the nonces must outlive that.
                    guard case .notFound = error, now < self.configuration.timeLimit else { throw folder.failure(error) }
                    if !isVanished { line.announce("The folder has vanished; waiting for it to come back.") }
                    isVanished = true
                }
                if !isVanished {
                    for action in machine.step(now: now, key: keys.key, identity: keys.identity) {
                        switch action {
                        case .write(let path, let bytes):
                            try folder.write(bytes, to: path)
                            if case .presence = path {} else { hasActed = true }
                        case .create(let path, let bytes):
                            machine.created(path, try folder.create(bytes, at: path))
                            hasActed = true
                        case .record(let record):
                            do throws(JournalError) { try await self.journal.burn(record) } catch { throw .failed("\(error)".printable) }
                            machine.recorded(record)
                            hasActed = true
                        case .remove(let path): folder.remove(path)
                        case .say(let notice): self.say(notice, over: line)
                        case .complete(let transaction):
                            let progress = machine.progress(now: now)
                            for case .remove(let path) in machine.leave() { folder.remove(path) }
                            line.finish()
                            return .complete(transaction, attempt: progress.attempt, set: progress.set)
                        case .fail(let error):
                            for case .remove(let path) in machine.leave() { folder.remove(path) }
                            line.finish()
                            throw self.failure(error, folder)
                        }
                    }
                }
                let progress = machine.progress(now: now)
                if progress.hasSigned, !self.waitsForTheEnd, !hasActed {
                    for case .remove(let path) in machine.leave() { folder.remove(path) }
                    line.finish()
                    return .left(attempt: progress.attempt)
                }
                if !isVanished { self.show(progress, after: now, on: line, isNew: progress.stage != lastStage) }
                lastStage = progress.stage
                pause = hasActed ? Self.pauseMin : min(Self.pauseMax, pause * 3 / 2)
                if !hasActed { try? await Task.sleep(for: pause, clock: clock) }
            }
        }
    }

    private func machine(for keys: borrowing UnlockedKeys) async throws(CommandError) -> FileExchange {
        let records: [BurnRecord]
        do throws(JournalError) { records = try await self.journal.records(request: self.task.request.digest) } catch {
            throw .failed("\(error)".printable)
        }
        let enrolment: Enrolment
        do throws(SecretKeyError) {
            enrolment = try Enrolment(network: self.task.network, signer: keys.key, identity: keys.identity)
        } catch { throw .failed("\(error)") }
        do throws(SigningError) {
            return try FileExchange(
                request: self.task.request, policy: self.task.policy, enrolment: enrolment,
                incarnation: SystemRandom.bytes(count: NonceName.incarnationByteCount), records: records, configuration: self.configuration)
        } catch { throw .failed("\(error)") }
    }

    // MARK: What people see

    private func show(_ progress: ExchangeProgress, after time: Duration, on line: ProgressLine, isNew: Bool) {
        let text = { () -> String in
            let missing = progress.missing.filter { $0 != self.task.signer }.map { "\($0)".prefix(10) + "…" }
            let who =
                missing.isEmpty
                ? "" : " from \(missing.prefix(4).joined(separator: ", "))\(missing.count > 4 ? " and \(missing.count - 4) more" : "")"
            let attempt = progress.attempt > 1 ? "attempt \(progress.attempt), " : ""
            return "\(attempt)\(progress.stage)\(who)  \(time.components.seconds) s"
        }
        if isNew { line.announce(text()) } else { line.update(text) }
    }

    private func say(_ notice: ExchangeNotice, over line: ProgressLine) { line.announce("\(notice)".printable + "\n") }

    private func failure(_ error: ExchangeError, _ folder: ExchangeFolder) -> CommandError {
        switch error {
        case .timedOut: .missing("\(error)")
        case .fault(let signer, let problem, let evidence?):
            .failed("\(ExchangeError.fault(signer: signer, problem: problem, evidence: "\(folder.path)/\(evidence)"))".printable)
        case .keyInUseElsewhere, .fault, .tooManyAttempts, .signing: .failed("\(error)".printable)
        }
    }

    // MARK: Clocks

    #if os(Linux)
    private static let runningClock = CLOCK_BOOTTIME
    #else
    private static let runningClock = CLOCK_MONOTONIC
    #endif

    private static func time(_ clock: clockid_t) -> Duration {
        var time = timespec()
        clock_gettime(clock, &time)
        return .seconds(Int64(time.tv_sec)) + .nanoseconds(Int64(time.tv_nsec))
    }
}
