/// First in, first out. An empty one holds no memory worth counting, so that idle sessions stay small.
struct YamuxQueue<Element> {
    private var elements: [Element?] = []
    private var head = 0

    var count: Int { self.elements.count - self.head }
    var isEmpty: Bool { self.elements.count == self.head }

    var first: Element? { self.isEmpty ? nil : self.elements[self.head] }

    mutating func append(_ element: Element) {
        self.elements.append(element)
    }

    mutating func prepend(_ element: Element) {
        if self.head > 0 {
            self.head -= 1
            self.elements[self.head] = element
        } else {
            self.elements.insert(element, at: 0)
        }
    }

    mutating func popFirst() -> Element? {
        guard self.head < self.elements.count else { return nil }
        let element = self.elements[self.head].take()
        self.head += 1
        if self.isEmpty {
            self.removeAll()
        } else if self.head >= 32, self.head * 2 >= self.elements.count {
            // Moves at most as many as were popped since the last time.
            self.elements.removeFirst(self.head)
            self.head = 0
        }
        return element
    }

    mutating func removeAll() {
        self.elements.removeAll(keepingCapacity: self.elements.capacity <= 32)
        self.head = 0
    }

    mutating func keep(where isKept: (Element) -> Bool) {
        self.elements = self.elements[self.head...].filter { $0.map(isKept) ?? false }
        self.head = 0
    }
}

extension YamuxQueue {
    /// Reads and changes the oldest element in its place.
    mutating func withFirst<Result>(_ body: (inout Element?) -> Result) -> Result? {
        guard self.head < self.elements.count else { return nil }
        return body(&self.elements[self.head])
    }

    /// Reads and changes the newest element in its place.
    mutating func withLast<Result>(_ body: (inout Element?) -> Result) -> Result? {
        guard self.head < self.elements.count else { return nil }
        return body(&self.elements[self.elements.count - 1])
    }
}

extension YamuxQueue: Sendable where Element: Sendable {}
