import Foundation
import Testing

/// What another thread's run of the tool came to.
final class Ending: @unchecked Sendable {
    // Every access holds the condition's lock.
    private let condition = NSCondition()
    private var result: Result<Transcript, any Error>?

    /// Begins the run in a thread of its own: it waits for a process, and tasks shall not wait for it.
    init(of tool: Tool) {
        Thread.detachNewThread { self.set(Result { try tool.run() }) }
    }

    var isThere: Bool { self.condition.withLock { self.result != nil } }

    private func set(_ result: Result<Transcript, any Error>) {
        self.condition.withLock {
            self.result = result
            self.condition.broadcast()
        }
    }

    func wait() throws -> Transcript {
        self.condition.lock()
        defer { self.condition.unlock() }
        while self.result == nil { self.condition.wait() }
        return try #require(self.result).get()
    }
}
