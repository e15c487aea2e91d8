internal import Synchronization

/// What waits for one who reads in its own time, bounded in number and in bytes: beyond either the oldest go.
final class BoundedStream<Element: Sendable>: Sendable {
    private struct State {
        var elements: [(element: Element, byteCount: Int)?] = []
        /// Where the oldest stands.
        var start = 0
        var byteCount = 0
        var readers: [(number: UInt64, continuation: CheckedContinuation<Element?, Never>)] = []
        var nextReader: UInt64 = 0
        var isFinished = false

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
    }

    private let countMax: Int
    private let byteCountMax: Int
    private let state = Mutex(State())

    init(countMax: Int, byteCountMax: Int) {
        self.countMax = countMax
        self.byteCountMax = byteCountMax
    }

    /// Bytes of what waits.
    var byteCount: Int { self.state.withLock { $0.byteCount } }

    /// One that is larger than all may be waits alone.
    func yield(_ element: Element, byteCount: Int) {
        let reader = self.state.withLock { state -> CheckedContinuation<Element?, Never>? in
            guard !state.isFinished else { return nil }
            if !state.readers.isEmpty { return state.readers.removeFirst().continuation }
            state.elements.append((element, byteCount))
            state.byteCount += byteCount
            while state.elements.count - state.start > 1,
                state.elements.count - state.start > self.countMax || state.byteCount > self.byteCountMax
            { _ = state.popFirst() }
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
