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
    /// How long to wait for a folder that is away just to put the finished transaction into it: others can make it themselves.
    private static let finalPatience: Duration = .seconds(5)

    func run(_ keys: borrowing UnlockedKeys, _ folder: ExchangeFolder) async throws(CommandError) -> CosignResult {
        var folder = folder
        var machine = try await self.machine(for: keys)
        // A log is told of what changes; that nothing does is worth a line a minute.
        let line = ProgressLine(pause: .seconds(60))
        defer { line.finish() }
        let result = try await Interruption.deferring { () async throws(CommandError) -> Result<CosignResult, CommandError> in
            do throws(CommandError) { return .success(try await self.run(&machine, keys, &folder, line)) } catch {
                // Whatever ended it, nobody shall wait for a process that is gone.
                Self.leave(&machine, folder)
                return .failure(error)
            }
        }
        return try result.get()
    }

    private func run(
        _ machine: inout FileExchange, _ keys: borrowing UnlockedKeys, _ folder: inout ExchangeFolder, _ line: ProgressLine
    ) async throws(CommandError) -> CosignResult {
        let clock = ContinuousClock()
        let start = clock.now
        let deadline = start + self.configuration.timeLimit
        var clocks = ClockGuard()
        var pause = Self.pauseMin
        var lastStage: ExchangeStage?
        var isVanished = false
        // Read before anything is written. A false one is looked through, and then this process signs.
        let hadFinal = Files.exists(folder.place(of: .final))
        var hasSigned = false
        while true {
            guard !Interruption.isRequested else { throw .interrupted }
            let now = clock.now - start
            Self.check(&clocks, &machine)
            var hasSeen = false
            var own = OwnActions()
            do throws(FileError) {
                hasSeen = try Self.look(into: &folder, for: &machine, now: now)
                if isVanished { line.note(Self.isBackText) }
                isVanished = false
            } catch {
                // A stick that was pulled out comes back, and the nonces must outlive that.
                guard now < self.configuration.timeLimit else { throw folder.failure(error) }
                if !isVanished { line.note(folder.isReachable ? "\(error)".printable + "; trying again." : Self.hasVanishedText) }
                isVanished = true
            }
            guard !Interruption.isRequested else { throw .interrupted }
            if !isVanished {
                // Again, for the folder may have kept us for minutes, and this is where secret nonces are used.
                Self.check(&clocks, &machine)
                for action in machine.step(now: now, key: keys.key, identity: keys.identity) {
                    if case .write(.partialSignatures, _) = action { hasSigned = true }
                    own.wasFinished = hadFinal && !hasSigned
                    if let result = try await self.carryOut(action, of: &machine, folder, line, now: now, until: deadline, &own) {
                        return result
                    }
                }
            }
            let progress = machine.progress(now: now)
            // Whatever others write meanwhile: a step that asks for nothing more is the last one that is needed.
            if progress.hasSigned, !self.waitsForTheEnd, !own.hasActed, !isVanished {
                Self.leave(&machine, folder)
                return .left(attempt: progress.attempt, set: progress.set)
            }
            if !isVanished { self.show(progress, after: now, on: line, isNew: progress.stage != lastStage) }
            lastStage = progress.stage
            let isBusy = hasSeen || own.hasActed
            pause = isBusy ? Self.pauseMin : min(Self.pauseMax, pause * 3 / 2)
            if !isBusy { try? await Task.sleep(for: pause, clock: clock) }
        }
    }

    /// What this process did in one round.
    private struct OwnActions {
        var hasActed = false
        /// Whether the finished transaction could not be put into the folder.
        var isFinalMissing = false
        /// Whether the finished transaction was there before this process came, and it has not signed.
        var wasFinished = false
    }

    /// Shows the machine what is new. Whether anything was.
    ///
    /// One pass in the order of the attempts: each that becomes known brings the next ones within reach, however many there are.
    static func look(
        into folder: inout ExchangeFolder, for machine: inout FileExchange, now: Duration
    ) throws(FileError) -> Bool {
        var hasSeen = false
        for place in try folder.places(sinceAttempt: machine.progress(now: now).attempt) {
            guard !Interruption.isRequested else { break }
            for name in try folder.names(in: place) {
                guard !Interruption.isRequested else { return hasSeen }
                // One file's bytes are gone before the next one's come.
                guard let file = try folder.change(of: name, upTo: { machine.wants($0) }) else { continue }
                hasSeen = true
                machine.observe(file, now: now)
            }
        }
        return hasSeen
    }

    private static func check(_ clocks: inout ClockGuard, _ machine: inout FileExchange) {
        guard clocks.hasJumped(wall: Self.time(CLOCK_REALTIME), running: Self.time(Self.runningClock)) else { return }
        machine.discardNonces(newIncarnation: .random())
    }

    /// The result if this action was the last.
    private func carryOut(
        _ action: ExchangeAction, of machine: inout FileExchange, _ folder: ExchangeFolder, _ line: ProgressLine,
        now: Duration, until deadline: ContinuousClock.Instant, _ own: inout OwnActions
    ) async throws(CommandError) -> CosignResult? {
        switch action {
        case .write(.final, let bytes):
            // Who has the finished transaction in hand gets it, even where it cannot be put down for the others.
            do throws(CommandError) {
                try await self.whileThere(folder, line, until: .now + Self.finalPatience) { () throws(CommandError) in
                    try folder.write(bytes, to: .final)
                }
            } catch {
                guard error != .interrupted else { throw error }
                line.note("\(error)")
                own.isFinalMissing = true
            }
            own.hasActed = true
        case .write(.presence(let signer), let bytes):
            // A sign of life that is missing harms nobody; the next one follows.
            do throws(CommandError) { try folder.write(bytes, to: .presence(signer)) } catch { break }
        case .write(let path, let bytes):
            try await self.whileThere(folder, line, until: deadline) { () throws(CommandError) in try folder.write(bytes, to: path) }
            own.hasActed = true
        case .create(let path, let bytes):
            let wasCreated = try await self.whileThere(folder, line, until: deadline) { () throws(CommandError) in
                try folder.create(bytes, at: path)
            }
            machine.created(path, wasCreated)
            own.hasActed = true
        case .record(let record):
            do throws(JournalError) { try await self.journal.burn(record) } catch { throw .failed("\(error)".printable) }
            machine.recorded(record)
            own.hasActed = true
        case .remove(let path): folder.remove(path)
        case .say(let notice): line.note(self.text(of: notice))
        case .complete(let transaction):
            let progress = machine.progress(now: now)
            Self.leave(&machine, folder)
            return .complete(
                transaction, attempt: progress.attempt, set: progress.set,
                path: own.isFinalMissing ? nil : folder.place(of: .final), wasFinished: own.wasFinished)
        case .fail(let error): throw self.failure(error, folder)
        }
        return nil
    }

    /// Writes again what could not be written because the folder vanished that very moment: the nonces must outlive that.
    private func whileThere<Value>(
        _ folder: ExchangeFolder, _ line: ProgressLine, until deadline: ContinuousClock.Instant,
        write: () throws(CommandError) -> Value
    ) async throws(CommandError) -> Value {
        var isVanished = false
        while true {
            do throws(CommandError) {
                let value = try write()
                if isVanished { line.note(Self.isBackText) }
                return value
            } catch {
                guard case .missing = error, ContinuousClock.now < deadline else { throw error }
                if !isVanished { line.note(Self.hasVanishedText) }
                isVanished = true
            }
            guard !Interruption.isRequested else { throw .interrupted }
            // Even where the folder seems to be there: what is missing may be a part of the way to it.
            try? await Task.sleep(for: Self.pauseMax)
        }
    }

    private static let hasVanishedText = "The folder has vanished; waiting for it to come back."
    private static let isBackText = "The folder is back."

    private static func leave(_ machine: inout FileExchange, _ folder: ExchangeFolder) {
        for case .remove(let path) in machine.leave() { folder.remove(path) }
    }

    private func machine(for keys: borrowing UnlockedKeys) async throws(CommandError) -> FileExchange {
        let records: [BurnRecord]
        do throws(JournalError) { records = try await self.journal.records(request: self.task.request.digest) } catch {
            throw .failed("\(error)".printable)
        }
        let enrolment: Enrolment
        do throws(SecretKeyError) {
            enrolment = try Enrolment(
                network: self.task.network, signer: keys.key, identity: keys.identity, version: keys.version, expiry: keys.expiry)
        } catch { throw .failed("\(error)") }
        do throws(SigningError) {
            return try FileExchange(
                request: self.task.request, policy: self.task.policy, enrolment: enrolment,
                incarnation: .random(), records: records, configuration: self.configuration)
        } catch { throw .failed("\(error)") }
    }

    // MARK: What people see

    private func show(_ progress: ExchangeProgress, after time: Duration, on line: ProgressLine, isNew: Bool) {
        let text = { () -> String in
            let attempt = progress.attempt > 1 ? "attempt \(progress.attempt), " : ""
            return "\(attempt)\(progress.stage)\(self.awaited(progress))  \(time.components.seconds) s"
        }
        if isNew { line.announce(text()) } else { line.update(text) }
    }

    /// Most signers that a line of progress names.
    private static let namedMax = 4

    private func awaited(_ progress: ExchangeProgress) -> String {
        let missing = progress.missing.filter { $0 != self.task.signer }
        guard !missing.isEmpty else { return "" }
        let rest = missing.count - Self.namedMax
        let who = missing.prefix(Self.namedMax).map(self.task.names.short).joined(separator: ", ") + (rest > 0 ? " and \(rest) others" : "")
        return progress.neededCount < missing.count ? ": \(progress.neededCount) more of \(who)" : " from \(who)"
    }

    private func failure(_ error: ExchangeError, _ folder: ExchangeFolder) -> CommandError {
        switch error {
        case .timedOut: .missing(self.text(of: error))
        case .fault(let signer, let problem, let evidence?):
            .failed(self.text(of: .fault(signer: signer, problem: problem, evidence: "\(folder.path)/\(evidence)")))
        case .otherNetwork: .failed("\(self.text(of: error))\(Self.networkAdvice)")
        case .keyInUseElsewhere, .nonceReused, .fault, .tooManyAttempts, .signing: .failed(self.text(of: error))
        }
    }

    private func text(of notice: ExchangeNotice) -> String {
        let text = notice.description(naming: self.task.names.full)
        if case .otherNetwork(_, _, _, isHere: true) = notice { return (text + Self.networkAdvice).printable }
        return text.printable
    }

    private static let networkAdvice = ": with the right key file or, if this key itself is part of the group, with --network"

    private func text(of error: ExchangeError) -> String { error.description(naming: self.task.names.full).printable }

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
