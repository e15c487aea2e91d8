/// Tasks that wait for an answer, by what they wait for. Each is answered once; who came first is first.
struct Waiters<Key: Hashable, Value: Sendable> {
    typealias Waiter = CheckedContinuation<Result<Value, NodeError>, Never>

    private var waiting: [Key: [Waiter]] = [:]

    var isEmpty: Bool { self.waiting.isEmpty }

    func count(of key: Key) -> Int { self.waiting[key]?.count ?? 0 }

    mutating func add(_ waiter: Waiter, for key: Key) { self.waiting[key, default: []].append(waiter) }

    /// - Returns: whether somebody waited.
    @discardableResult
    mutating func answerFirst(_ key: Key, _ result: Result<Value, NodeError>) -> Bool {
        guard var waiters = self.waiting.removeValue(forKey: key), !waiters.isEmpty else { return false }
        waiters.removeFirst().resume(returning: result)
        if !waiters.isEmpty { self.waiting[key] = waiters }
        return true
    }

    mutating func answerAll(_ key: Key, _ result: Result<Value, NodeError>) {
        for waiter in self.waiting.removeValue(forKey: key) ?? [] { waiter.resume(returning: result) }
    }

    mutating func answerEverybody(_ error: NodeError) {
        for waiters in self.waiting.values {
            for waiter in waiters { waiter.resume(returning: .failure(error)) }
        }
        self.waiting = [:]
    }
}
