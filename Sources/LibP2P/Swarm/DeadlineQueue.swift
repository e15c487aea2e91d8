/// What is to be looked at when, the soonest first: a binary heap.
///
/// Deadlines that move further away leave their old entry in place; whoever takes it out looks again. So a connection whose
/// deadline moves with each byte costs nothing for each byte.
struct DeadlineQueue<Subject: Sendable>: Sendable {
    private var heap: [(at: Duration, subject: Subject)] = []

    var first: Duration? { self.heap.first?.at }
    var count: Int { self.heap.count }

    mutating func insert(_ subject: Subject, at: Duration) {
        self.heap.append((at, subject))
        var child = self.heap.count - 1
        while child > 0, case let parent = (child - 1) / 2, self.heap[child].at < self.heap[parent].at {
            self.heap.swapAt(child, parent)
            child = parent
        }
    }

    /// The soonest one whose time has come.
    mutating func popDue(now: Duration) -> (at: Duration, subject: Subject)? {
        guard let first = self.heap.first, first.at <= now else { return nil }
        let last = self.heap.removeLast()
        guard !self.heap.isEmpty else { return first }
        self.heap[0] = last
        var parent = 0
        while case let left = 2 * parent + 1, left < self.heap.count {
            let right = left + 1
            let child = right < self.heap.count && self.heap[right].at < self.heap[left].at ? right : left
            guard self.heap[child].at < self.heap[parent].at else { break }
            self.heap.swapAt(child, parent)
            parent = child
        }
        return first
    }
}
