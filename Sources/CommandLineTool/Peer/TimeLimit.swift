/// Ends work that takes too long.
struct TimeLimit: Error, CustomStringConvertible {
    let description: String

    /// Runs work, and cancels it when the time is over.
    ///
    /// - Parameters:
    ///   - failure: what did not happen then, in words.
    ///   - callOff: ends work that goes on although its task is cancelled.
    static func run<Value: Sendable>(
        _ limit: Duration, _ failure: String, _ work: @escaping @Sendable () async throws -> Value,
        callOff: @escaping @Sendable () async -> Void = {}
    ) async throws -> Value {
        try await withThrowingTaskGroup(of: Value?.self) { group in
            group.addTask { try await work() }
            group.addTask {
                try await Task.sleep(for: limit)
                await callOff()
                return nil
            }
            defer { group.cancelAll() }
            guard let first = try await group.next(), let value = first else {
                throw TimeLimit(description: "\(failure) within \(limit.components.seconds) s")
            }
            return value
        }
    }
}
