import CFaultyDisk
import Foundation
import SessionStore
import Signing
import SigningTestSupport

/// The other process of the crash tests. It says each thing on standard output only after it is done.
///
///     JournalCrashHelper burn KIND PATH FIRST           burns records FIRST, FIRST + 4, … in four tasks, without end
///     JournalCrashHelper limited KIND PATH OTHER LIMIT  burns until a limit on the file's size stops it, then without the limit
///     JournalCrashHelper step PATH FAULT STEP           burns a few in a database on a disk that kills the process at a step
///     JournalCrashHelper create FOLDER                  creates files 0, 1, … in the folder, and then waits to be killed
///
/// KIND is file or sqlite.
@main
struct JournalCrashHelper {
    static func main() async throws {
        let arguments = CommandLine.arguments
        switch (arguments.count, arguments.dropFirst().first) {
        case (5, "burn"): try await Self.burn(Self.open(arguments[2], arguments[3]), from: Int(arguments[4]) ?? 0)
        case (6, "limited"):
            try await Self.limited(Self.open(arguments[2], arguments[3]), otherPath: arguments[4], limit: Int(arguments[5]) ?? 0)
        case (5, "step"): try await Self.step(arguments[2], fault: Int32(arguments[3]) ?? 0, step: Int(arguments[4]) ?? 0)
        case (3, "create"): try Self.create(in: arguments[2])
        default: Self.say("usage: burn KIND PATH FIRST | limited KIND PATH OTHER LIMIT | step PATH FAULT STEP | create FOLDER")
        }
    }

    private static func open(_ kind: String, _ path: String) async throws -> any SessionJournal {
        if kind == "sqlite" { try await SessionDatabase.open(path).journal } else { try await FileJournal.open(path) }
    }

    private static let taskCount = 4

    private static func burn(_ journal: any SessionJournal, from first: Int) async throws {
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

    private static func limited(_ journal: any SessionJournal, otherPath: String, limit: Int) async throws {
        signal(SIGXFSZ, SIG_IGN)
        try Self.limitFileSize(to: limit)
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
            try AtomicFile.write([UInt8](repeating: 7, count: limit + 2_000), to: otherPath)
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

    /// From making the database to closing it: so every step of its life is one that the process can be killed at.
    private static func step(_ path: String, fault: Int32, step: Int) async throws {
        guard let disk = chorale_faulty_disk_create("faulty") else { throw POSIXError(.ENODEV) }
        chorale_faulty_disk_keep_synced(disk)
        chorale_faulty_disk_arm(disk, fault, step)
        let database = try await SessionDatabase.open(path, vfs: "faulty")
        for index in 0..<6 {
            try await database.journal.burn(Sample.record(request: "\(index)", inputs: index % 3))
            Self.say("burned \(index)")
            if index == 3 {
                Self.say("forgetting 1")
                try await database.journal.forget(request: Sample.digest("1"))
                Self.say("forgot 1")
            }
        }
        await database.close()
        Self.say("steps \(chorale_faulty_disk_steps(disk))")
    }

    private static func fate(of record: BurnRecord, in journal: any SessionJournal) async -> String {
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
