import Foundation
import Testing

/// `JournalCrashHelper`, which the build puts beside the tests.
enum Helper {
    static let url: URL? = {
        #if os(Linux)
        let tests = URL(fileURLWithPath: "/proc/self/exe").resolvingSymlinksInPath()
        var folders = [tests.deletingLastPathComponent()]
        #else
        var folders: [URL] = []
        #endif
        folders += CommandLine.arguments.map { URL(fileURLWithPath: $0).deletingLastPathComponent() }
        folders += Bundle.allBundles.map { $0.bundleURL.deletingLastPathComponent() }
        return folders.map { $0.appendingPathComponent("JournalCrashHelper") }.first {
            FileManager.default.isExecutableFile(atPath: $0.path)
        }
    }()

    static func start(_ arguments: [String]) throws -> (process: Process, output: FileHandle) {
        let url: URL = try #require(Self.url)
        let process = Process()
        process.executableURL = url
        process.arguments = arguments
        let pipe = Pipe()
        process.standardOutput = pipe
        try process.run()
        return (process, pipe.fileHandleForReading)
    }

    /// Kills the process in a while, without giving up this thread: a test that waits for its turn among hundreds of others gets it
    /// minutes later on a busy machine, and the process would fill the disk meanwhile.
    static func kill(_ process: Process, afterMicroseconds delay: Int) -> Bool {
        usleep(UInt32(delay))
        return Foundation.kill(process.processIdentifier, SIGKILL) == 0
    }

    static func lines(_ output: Data) -> [(word: String, rest: String)] {
        String(decoding: output, as: UTF8.self).split(separator: "\n").map { line in
            let parts = line.split(separator: " ", maxSplits: 1)
            return (String(parts[0]), parts.count > 1 ? String(parts[1]) : "")
        }
    }
}
