import Foundation
import SessionStore
import Signing
import SigningTestSupport

/// The other process of the crash tests. It says each thing on standard output only after it is done.
///
///     JournalCrashHelper burn PATH FIRST     burns records FIRST, FIRST + 4, … in four tasks, without end
///     JournalCrashHelper limited PATH OTHER  burns until a limit on the file's size stops it, then without the limit
///     JournalCrashHelper create FOLDER       creates files 0, 1, … in the folder, and then waits to be killed
@main
struct JournalCrashHelper {
    static func main() async throws {
        let arguments = CommandLine.arguments
        switch (arguments.count, arguments.dropFirst().first) {
        case (4, "burn"): try await Self.burn(FileJournal.open(arguments[2]), from: Int(arguments[3]) ?? 0)
        case (4, "limited"): try await Self.limited(FileJournal.open(arguments[2]), otherPath: arguments[3])
        case (3, "create"): try Self.create(in: arguments[2])
        default: Self.say("usage: burn PATH FIRST | limited PATH OTHER | create FOLDER")
        }
    }

    private static let taskCount = 4

    private static func burn(_ journal: FileJournal, from first: Int) async throws {
        try await withThrowingTaskGroup { group in
            for task in 0..<Self.taskCount {
                group.addTask {
                    for index in stride(from: first + task, to: .max, by: Self.taskCount) {
                        let record = try Sample.record(request: "\(index)", inputs: index % 3)
                        try await journal.burn(record)
                        Self.say("burned \(index)")
                        // Every other request ends soon, so that the file is written anew now and then.
                        if index % 2 == 1 {
                            Self.say("forgetting \(index)")
                            try await journal.forget(request: record.request)
                            Self.say("forgot \(index)")
                        }
                    }
                }
            }
            try await group.waitForAll()
        }
    }

    private static func create(in folder: String) throws {
        // A thousand is more than any test waits for, and still a small part of a disk.
        for index in 0..<1_000 {
            // Large enough that most of the time goes into writing.
            try AtomicFile.create([UInt8](repeating: UInt8(truncatingIfNeeded: index), count: 1 << 20), at: "\(folder)/\(index)")
            Self.say("created \(index)")
        }
        while true { pause() }
    }

    private static func limited(_ journal: FileJournal, otherPath: String) async throws {
        signal(SIGXFSZ, SIG_IGN)
        try Self.limitFileSize(to: 3_000)
        var index = 0
        do {
            while true {
                try await journal.burn(Sample.record(request: "\(index)"))
                Self.say("burned \(index)")
                index += 1
            }
        } catch JournalError.storage(_, let reason) {
            Self.say("refused \(index)")
            Self.say("reason \(reason)")
        }
        // A record that fails takes with it what rested on it: its repeat, and the refusal of its rival.
        let fallen = try ["one", "one", "two", "one", "two"].map { try Sample.record(request: "fallen", transcript: $0) }
        await withTaskGroup { group in
            for record in fallen { group.addTask { Self.say(await Self.fate(of: record, in: journal)) } }
        }
        do {
            try AtomicFile.write([UInt8](repeating: 7, count: 5_000), to: otherPath)
        } catch {
            Self.say("kept \(error)")
        }
        // What stands already is confirmed even now.
        try await journal.burn(Sample.record(request: "0"))
        Self.say("repeated 0")
        try Self.limitFileSize(to: nil)
        try await journal.burn(Sample.record(request: "\(index)"))
        Self.say("burned \(index)")
    }

    private static func fate(of record: BurnRecord, in journal: FileJournal) async -> String {
        do throws(JournalError) {
            try await journal.burn(record)
            return "stands"
        } catch {
            if case .storage = error { return "fell" }
            return "differs"
        }
    }

    private static func limitFileSize(to byteCount: Int?) throws {
        #if canImport(Darwin)
        let resource = RLIMIT_FSIZE
        #else
        let resource = __rlimit_resource_t(RLIMIT_FSIZE.rawValue)
        #endif
        var limit = rlimit()
        guard getrlimit(resource, &limit) == 0 else { throw POSIXError(.EINVAL) }
        limit.rlim_cur = byteCount.map(rlim_t.init) ?? limit.rlim_max
        guard setrlimit(resource, &limit) == 0 else { throw POSIXError(.EPERM) }
    }

    /// One write for each line, so that a kill leaves whole lines only.
    private static func say(_ line: String) {
        FileHandle.standardOutput.write(Data("\(line)\n".utf8))
    }
}
