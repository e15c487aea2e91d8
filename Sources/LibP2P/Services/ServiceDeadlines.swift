/// When which of many things is over: setting, taking away and the next one cost a logarithm. Those of one time are over in the order in
/// which they were set, so that a seed replays.
package struct ServiceDeadlines<Key: Hashable & Sendable>: Sendable {
    private struct Entry: Sendable {
        let time: Duration
        /// How many were set before.
        let order: UInt64
        let key: Key

        func precedes(_ other: Entry) -> Bool { self.time == other.time ? self.order < other.order : self.time < other.time }
    }

    /// The entry of each key that counts, by its order. Entries of the heap with another one are left over.
    private var orders: [Key: UInt64] = [:]
    private var heap: [Entry] = []
    private var nextOrder: UInt64 = 0

    package init() {}

    package var count: Int { self.orders.count }
    package var next: Duration? { self.heap.first?.time }

    /// Sets the one time of a key.
    package mutating func set(_ key: Key, at time: Duration) {
        self.orders[key] = self.nextOrder
        self.heap.append(Entry(time: time, order: self.nextOrder, key: key))
        self.nextOrder += 1
        self.siftUp(from: self.heap.count - 1)
        self.dropLeftovers()
    }

    package mutating func remove(_ key: Key) {
        guard self.orders.removeValue(forKey: key) != nil else { return }
        self.dropLeftovers()
    }

    /// Takes out one key whose time has come.
    package mutating func popDue(now: Duration) -> Key? {
        guard let first = self.heap.first, first.time <= now else { return nil }
        self.orders[first.key] = nil
        self.dropLeftovers()
        return first.key
    }

    private mutating func dropLeftovers() {
        while let first = self.heap.first, self.orders[first.key] != first.order { self.removeTop() }
        // Those in the middle would else grow with everything that ever ended early.
        guard self.heap.count > 2 * self.orders.count + 32 else { return }
        let orders = self.orders
        self.heap = self.heap.filter { orders[$0.key] == $0.order }.sorted { $0.precedes($1) }
    }

    private mutating func removeTop() {
        let last = self.heap.removeLast()
        guard !self.heap.isEmpty else { return }
        self.heap[0] = last
        var index = 0
        while true {
            let (left, right) = (2 * index + 1, 2 * index + 2)
            guard left < self.heap.count else { return }
            let child = right < self.heap.count && self.heap[right].precedes(self.heap[left]) ? right : left
            guard self.heap[child].precedes(self.heap[index]) else { return }
            self.heap.swapAt(index, child)
            index = child
        }
    }

    private mutating func siftUp(from start: Int) {
        var index = start
        while index > 0, self.heap[index].precedes(self.heap[(index - 1) / 2]) {
            self.heap.swapAt(index, (index - 1) / 2)
            index = (index - 1) / 2
        }
    }
}

/// The earlier of two times, either of which may be never.
package func earlier(_ left: Duration?, _ right: Duration?) -> Duration? {
    guard let left, let right else { return left ?? right }
    return min(left, right)
}
