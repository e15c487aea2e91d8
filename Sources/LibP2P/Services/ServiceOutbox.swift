/// What a machine wants done and has to tell, first in, first out.
///
/// Whoever drives the machine empties it after each input, so it never holds more than one input gives rise to.
package struct ServiceOutbox<Event: Sendable>: Sendable {
    private var commands = ServiceQueue<ProtocolCommand>()
    private var events = ServiceQueue<Event>()
    /// Bytes in writes that were not taken yet.
    package private(set) var heldByteCount = 0

    package init() {}

    package mutating func send(_ command: ProtocolCommand) {
        if case .write(_, let bytes) = command { self.heldByteCount += bytes.count }
        self.commands.append(command)
    }

    package mutating func report(_ event: Event) { self.events.append(event) }

    package mutating func nextCommand() -> ProtocolCommand? {
        let command = self.commands.popFirst()
        if case .write(_, let bytes)? = command { self.heldByteCount -= bytes.count }
        return command
    }

    package mutating func nextEvent() -> Event? { self.events.popFirst() }
}

/// A queue in an array: what was taken is dropped in one go, when it is half of it.
struct ServiceQueue<Element: Sendable>: Sendable {
    private var elements: [Element?] = []
    private var start = 0

    var count: Int { self.elements.count - self.start }
    var isEmpty: Bool { self.count == 0 }

    mutating func append(_ element: Element) { self.elements.append(element) }

    mutating func popFirst() -> Element? {
        guard self.start < self.elements.count else { return nil }
        let element = self.elements[self.start]
        self.elements[self.start] = nil
        self.start += 1
        if self.start == self.elements.count {
            self.elements.removeAll(keepingCapacity: self.elements.count <= 64)
            self.start = 0
        } else if self.start > 32, self.start * 2 > self.elements.count {
            self.elements.removeFirst(self.start)
            self.start = 0
        }
        return element
    }
}
