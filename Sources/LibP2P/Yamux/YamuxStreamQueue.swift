/// Streams waiting for their turn, each at most once.
///
/// A stream that ends leaves its place behind, since finding it would take a walk; `abandoned` counts such places.
struct YamuxStreamQueue: Sendable {
    struct Place: Sendable {
        let id: YamuxStreamID
        let serial: UInt64
    }

    private var places = YamuxQueue<Place>()
    private var abandoned = 0

    /// How many live streams wait.
    var count: Int { self.places.count - self.abandoned }

    mutating func append(_ stream: YamuxStream) { self.places.append(stream.place) }

    /// Its turn did not come after all: it is the next again.
    mutating func putBack(_ stream: YamuxStream) { self.places.prepend(stream.place) }

    /// The next in turn; whether its stream lives is for the caller to find out.
    mutating func popFirst() -> Place? { self.places.popFirst() }

    /// The place that was popped is nobody's.
    mutating func foundAbandoned() { self.abandoned -= 1 }

    /// A stream in this queue has ended.
    mutating func abandonOne() { self.abandoned += 1 }

    /// Whether it is time to clear: seldom enough that clearing costs a stream no more than its own end.
    var isMostlyAbandoned: Bool { self.abandoned > 32 && self.abandoned * 2 > self.places.count }

    mutating func clear(keeping isLive: (Place) -> Bool) {
        self.places.keep(where: isLive)
        self.abandoned = 0
    }

    mutating func removeAll() {
        self.places.removeAll()
        self.abandoned = 0
    }
}
