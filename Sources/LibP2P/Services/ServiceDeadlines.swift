/// When which of many things is over: setting, taking away and the next one cost a logarithm.
struct ServiceDeadlines<Key: Hashable & Sendable>: Sendable {
    private struct Entry: Sendable {
        let time: Duration
        let key: Key
    }

    /// What counts. Entries of the heap that say otherwise are left over.
    private var times: [Key: Duration] = [:]
    private var heap: [Entry] = []

    var count: Int { self.times.count }
    var next: Duration? { self.heap.first?.time }

    /// Sets the one time of a key.
    mutating func set(_ key: Key, at time: Duration) {
        self.times[key] = time
        self.heap.append(Entry(time: time, key: key))
        self.siftUp(from: self.heap.count - 1)
        self.dropLeftovers()
    }

    mutating func remove(_ key: Key) {
        guard self.times.removeValue(forKey: key) != nil else { return }
        self.dropLeftovers()
    }

    /// Takes out one key whose time has come.
    mutating func popDue(now: Duration) -> Key? {
        guard let first = self.heap.first, first.time <= now else { return nil }
        self.times[first.key] = nil
        self.dropLeftovers()
        return first.key
    }

    private mutating func dropLeftovers() {
        while let first = self.heap.first, self.times[first.key] != first.time { self.removeTop() }
        // Those in the middle would else grow with everything that ever ended early.
        guard self.heap.count > 2 * self.times.count + 32 else { return }
        self.heap = self.times.map { Entry(time: $0.value, key: $0.key) }.sorted { $0.time < $1.time }
    }

    private mutating func removeTop() {
        let last = self.heap.removeLast()
        guard !self.heap.isEmpty else { return }
        self.heap[0] = last
        var index = 0
        while true {
            let (left, right) = (2 * index + 1, 2 * index + 2)
            guard left < self.heap.count else { return }
            let child = right < self.heap.count && self.heap[right].time < self.heap[left].time ? right : left
            guard self.heap[child].time < self.heap[index].time else { return }
            self.heap.swapAt(index, child)
            index = child
        }
    }

    private mutating func siftUp(from start: Int) {
        var index = start
        while index > 0, self.heap[index].time < self.heap[(index - 1) / 2].time {
            self.heap.swapAt(index, (index - 1) / 2)
            index = (index - 1) / 2
        }
    }
}

/// The earlier of two times, either of which may be never.
func earlier(_ left: Duration?, _ right: Duration?) -> Duration? {
    guard let left, let right else { return left ?? right }
    return min(left, right)
}
