internal import Synchronization

/// What waits for one who reads in its own time, bounded in number and in bytes: beyond either the oldest go.
///
/// What strangers bring about by being refused waits in a row of its own, and so pushes out nothing but others of its kind.
final class BoundedStream<Element: Sendable>: Sendable {
    /// Elements with their places among all, the oldest first.
    private struct Row {
        private var elements: [(number: UInt64, element: Element, byteCount: Int)?] = []
        /// Where the oldest stands.
        private var start = 0
        private(set) var byteCount = 0

        var count: Int { self.elements.count - self.start }
        /// The oldest one's place; `nil` when there is none.
        var firstNumber: UInt64? { self.start < self.elements.count ? self.elements[self.start]?.number : nil }

        mutating func append(_ element: Element, number: UInt64, byteCount: Int) {
            self.elements.append((number, element, byteCount))
            self.byteCount += byteCount
        }

        mutating func popFirst() -> Element? {
            guard self.start < self.elements.count, let oldest = self.elements[self.start].take() else { return nil }
            self.start += 1
            self.byteCount -= oldest.byteCount
            if self.start == self.elements.count {
                (self.elements, self.start) = ([], 0)
            } else if self.start > 64, self.start * 2 > self.elements.count {
                self.elements.removeFirst(self.start)
                self.start = 0
            }
            return oldest.element
        }

        /// One that is larger than all may be waits alone.
        mutating func trim(to countMax: Int, byteCountMax: Int) {
            while self.count > 1, self.count > countMax || self.byteCount > byteCountMax { _ = self.popFirst() }
        }
    }

    private struct State {
        var row = Row()
        var refusals = Row()
        var nextNumber: UInt64 = 0
        var readers: [(number: UInt64, continuation: CheckedContinuation<Element?, Never>)] = []
        var nextReader: UInt64 = 0
        var isFinished = false

        mutating func popFirst() -> Element? {
            guard let refusal = self.refusals.firstNumber else { return self.row.popFirst() }
            guard let other = self.row.firstNumber, other < refusal else { return self.refusals.popFirst() }
            return self.row.popFirst()
        }
    }

    private let countMax: Int
    private let byteCountMax: Int
    private let refusalCountMax: Int
    private let state = Mutex(State())

    /// - Parameters:
    ///   - byteCountMax: of each row.
    ///   - refusalCountMax: how many may wait of what strangers bring about by being refused, beside `countMax` others.
    init(countMax: Int, byteCountMax: Int, refusalCountMax: Int = 1) {
        self.countMax = countMax
        self.byteCountMax = byteCountMax
        self.refusalCountMax = refusalCountMax
    }

    /// Bytes of what waits.
    var byteCount: Int { self.state.withLock { $0.row.byteCount + $0.refusals.byteCount } }

    func yield(_ element: Element, byteCount: Int, isRefusal: Bool = false) {
        let reader = self.state.withLock { state -> CheckedContinuation<Element?, Never>? in
            guard !state.isFinished else { return nil }
            if !state.readers.isEmpty { return state.readers.removeFirst().continuation }
            let number = state.nextNumber
            state.nextNumber += 1
            if isRefusal {
                state.refusals.append(element, number: number, byteCount: byteCount)
                state.refusals.trim(to: self.refusalCountMax, byteCountMax: self.byteCountMax)
            } else {
                state.row.append(element, number: number, byteCount: byteCount)
                state.row.trim(to: self.countMax, byteCountMax: self.byteCountMax)
            }
            return nil
        }
        reader?.resume(returning: element)
    }

    /// Nothing more comes. What waits can still be read.
    func finish() {
        let readers = self.state.withLock { state in
            state.isFinished = true
            defer { state.readers = [] }
            return state.readers
        }
        for reader in readers { reader.continuation.resume(returning: nil) }
    }

    private func next() async -> Element? {
        let number = self.state.withLock { state in
            defer { state.nextReader += 1 }
            return state.nextReader
        }
        return await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let (element, isOver) = self.state.withLock { state -> (Element?, Bool) in
                    if let element = state.popFirst() { return (element, true) }
                    if state.isFinished || Task.isCancelled { return (nil, true) }
                    state.readers.append((number, continuation))
                    return (nil, false)
                }
                if isOver { continuation.resume(returning: element) }
            }
        } onCancel: {
            let reader = self.state.withLock { state in
                state.readers.firstIndex { $0.number == number }.map { state.readers.remove(at: $0).continuation }
            }
            reader?.resume(returning: nil)
        }
    }

    /// For the one who reads.
    ///
    /// - Parameter onTermination: called once, when nobody can read any more.
    func stream(onTermination: @escaping @Sendable () -> Void) -> AsyncStream<Element> {
        let end = End(onTermination)
        return AsyncStream { [self, end] in
            let element = await self.next()
            return withExtendedLifetime(end) { element }
        }
    }

    /// Goes with the last one who holds the stream, or with its end.
    private final class End: Sendable {
        private let action: @Sendable () -> Void

        init(_ action: @escaping @Sendable () -> Void) { self.action = action }

        deinit { self.action() }
    }
}
