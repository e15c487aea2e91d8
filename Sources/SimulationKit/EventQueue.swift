/// What happens when, the soonest first. What is to happen at one time happens in the order in which it was added, so that a seed
/// replays.
///
/// A binary heap of numbers; the events themselves do not move in it. Knows nothing of networks: whatever runs under virtual time
/// takes its next event from here.
public struct EventQueue<Event> {
    private struct Entry {
        let time: Duration
        let order: UInt64
        let slot: Int

        func precedes(_ other: Entry) -> Bool { self.time == other.time ? self.order < other.order : self.time < other.time }
    }

    private var heap: [Entry] = []
    private var events: [Event?] = []
    private var freeSlots: [Int] = []
    private var addedCount: UInt64 = 0

    public init() {}

    public var count: Int { self.heap.count }

    /// When the next event is due.
    public var firstTime: Duration? { self.heap.first?.time }

    public mutating func add(_ event: Event, at time: Duration) {
        let slot = self.freeSlots.popLast() ?? self.events.count
        if slot == self.events.count { self.events.append(event) } else { self.events[slot] = event }
        self.heap.append(Entry(time: time, order: self.addedCount, slot: slot))
        self.addedCount += 1
        self.rise()
    }

    /// Takes the next event out, unless it is due only after `end`.
    public mutating func popFirst(until end: Duration) -> (time: Duration, event: Event)? {
        guard let first = self.heap.first, first.time <= end, let event = self.events[first.slot].take() else { return nil }
        self.freeSlots.append(first.slot)
        let last = self.heap.removeLast()
        if !self.heap.isEmpty { self.sink(last) }
        return (first.time, event)
    }

    /// Brings the last entry up to its place.
    private mutating func rise() {
        var child = self.heap.count - 1
        let entry = self.heap[child]
        while child > 0, case let parent = (child - 1) / 2, entry.precedes(self.heap[parent]) {
            self.heap[child] = self.heap[parent]
            child = parent
        }
        self.heap[child] = entry
    }

    /// Puts an entry into the place at the top, and from there down to its own.
    private mutating func sink(_ entry: Entry) {
        var parent = 0
        while case let left = 2 * parent + 1, left < self.heap.count {
            let right = left + 1
            let child = right < self.heap.count && self.heap[right].precedes(self.heap[left]) ? right : left
            guard self.heap[child].precedes(entry) else { break }
            self.heap[parent] = self.heap[child]
            parent = child
        }
        self.heap[parent] = entry
    }
}
