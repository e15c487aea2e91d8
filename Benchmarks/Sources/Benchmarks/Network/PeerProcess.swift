import Foundation

/// A libp2p node in a process of its own that obeys lines of JSON (Interop/README.md), whatever implementation it is.
///
/// Unchecked, because the compiler does not see the condition that guards what two threads touch.
final class PeerProcess: @unchecked Sendable {
    struct Failure: Error, CustomStringConvertible {
        let description: String
    }

    /// What a peer said: an object of JSON.
    typealias Line = [String: Any]

    private let process = Process()
    private let input = Pipe()
    private let output = Pipe()
    private let condition = NSCondition()
    private var replies: [Int: Line] = [:]
    private var events: [Line] = []
    private var hasEnded = false
    private var lastNumber = 0

    private(set) var id = ""
    private(set) var address = ""

    init(_ command: [String]) throws {
        self.process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
        self.process.arguments = command
        self.process.standardInput = self.input
        self.process.standardOutput = self.output
        self.process.standardError = FileHandle.nullDevice
        try self.process.run()
        Thread.detachNewThread { self.listen() }
        let ready = try self.wait(seconds: 40) { self.events.first { $0["event"] as? String == "ready" } }
        self.id = ready["peer_id"] as? String ?? ""
        self.address = (ready["addrs"] as? [String])?.first ?? ""
    }

    deinit { self.end() }

    /// Has the process end by itself, and ends it if it does not.
    func end() {
        guard self.process.isRunning else { return }
        try? self.input.fileHandleForWriting.write(contentsOf: Data("{\"id\": 0, \"cmd\": \"quit\"}\n".utf8))
        try? self.input.fileHandleForWriting.close()
        for _ in 0..<100 where self.process.isRunning { usleep(50_000) }
        if self.process.isRunning { self.process.terminate() }
        self.process.waitUntilExit()
    }

    // MARK: Commands

    /// Sends a command; `reply(to:)` gives what came of it.
    func send(_ name: String, _ arguments: [String: Any] = [:]) throws -> Int {
        self.condition.lock()
        self.lastNumber += 1
        let number = self.lastNumber
        self.condition.unlock()
        var object = arguments
        object["id"] = number
        object["cmd"] = name
        let line = try JSONSerialization.data(withJSONObject: object) + Data("\n".utf8)
        try self.input.fileHandleForWriting.write(contentsOf: line)
        return number
    }

    func reply(to number: Int, seconds: Double = 60) throws -> Line {
        let reply = try self.wait(seconds: seconds) { self.replies.removeValue(forKey: number) }
        guard reply["ok"] as? Bool == true else { throw Failure(description: "\(reply["cmd"] ?? "") failed: \(reply["error"] ?? "")") }
        return reply
    }

    @discardableResult
    func carryOut(_ name: String, _ arguments: [String: Any] = [:], seconds: Double = 60) throws -> Line {
        try self.reply(to: self.send(name, arguments), seconds: seconds)
    }

    /// The events of a kind that came so far.
    func events(_ kind: String) -> [Line] {
        self.condition.withLock { self.events.filter { $0["event"] as? String == kind } }
    }

    /// Resident bytes of the process that is the node: an adapter's child, where the peer is one.
    var residentByteCount: Int? {
        let id = self.process.processIdentifier
        let children = try? String(contentsOfFile: "/proc/\(id)/task/\(id)/children", encoding: .utf8)
        let node = children?.split(separator: " ").first.flatMap { Int32($0) } ?? id
        guard let status = try? String(contentsOfFile: "/proc/\(node)/status", encoding: .utf8),
            let line = status.split(separator: "\n").first(where: { $0.hasPrefix("VmRSS:") })
        else { return nil }
        return line.split(separator: " ").compactMap { Int($0) }.first.map { $0 * 1_024 }
    }

    // MARK: What it says

    private func listen() {
        var rest = Data()
        while true {
            let piece = self.output.fileHandleForReading.availableData
            guard !piece.isEmpty else { break }
            rest += piece
            while let end = rest.firstIndex(of: 0x0a) {
                self.take(rest[..<end])
                rest = rest[rest.index(after: end)...]
            }
        }
        self.condition.withLock {
            self.hasEnded = true
            self.condition.broadcast()
        }
    }

    private func take(_ bytes: Data) {
        guard let line = (try? JSONSerialization.jsonObject(with: Data(bytes))) as? Line else { return }
        self.condition.withLock {
            if line["event"] as? String == "reply", let number = line["id"] as? Int {
                self.replies[number] = line
            } else {
                self.events.append(line)
            }
            self.condition.broadcast()
        }
    }

    private func wait(seconds: Double, _ find: () -> Line?) throws -> Line {
        let end = Date(timeIntervalSinceNow: seconds)
        return try self.condition.withLock {
            while true {
                if let line = find() { return line }
                guard !self.hasEnded else { throw Failure(description: "\(self.process.arguments ?? []) ended by itself") }
                guard self.condition.wait(until: end) else { throw Failure(description: "\(self.process.arguments ?? []): no answer") }
            }
        }
    }
}
