/// Which of one sender's numbered messages about a request came already: each counts once, in whatever order they arrive.
///
/// Numbers begin at 1 in each series. A former incarnation of the sender's process is over for good, and so are former epochs of this one:
/// nothing said in them can be said again. That holds once the later one has shown that it is there: over a channel, at whose other end it
/// is, or by acknowledging what was said to it. What lay in a mailbox shows nothing of the kind, for an older incarnation's word may be
/// fetched after a newer one's: then the one that was heard before rests, and goes on with whatever it has not said yet.
package struct ReplayWindow: Hashable, Sendable {
    /// Farthest that a number may lie above the highest one that came: a sender never has more under way.
    package static let gapMax: UInt64 = 100
    /// How far below the highest one a number can still be told from a repeat.
    package static let width: UInt64 = 128
    /// Most former incarnations that are kept, one a restart.
    package static let incarnationCountMax = 1_000

    package private(set) var series: CoordinationMessage.Series?
    private var marks = Marks()
    private var former: Set<[UInt8]> = []
    /// Incarnations that were heard before this one and may be the later ones all the same.
    private var resting: [[UInt8]: Rest] = [:]

    private struct Rest: Hashable, Sendable {
        let epoch: UInt32
        let marks: Marks
    }

    /// Which numbers of a series came.
    private struct Marks: Hashable, Sendable {
        var highest: UInt64 = 0
        /// Bit i: whether `highest` − i came.
        var seen: UInt128 = 1

        mutating func note(_ sequence: UInt64) {
            guard sequence > self.highest else {
                if sequence == 0 { return }
                let age = self.highest - sequence
                if age < ReplayWindow.width { self.seen |= 1 << UInt128(age) }
                return
            }
            let step = sequence - self.highest
            self.seen = step < ReplayWindow.width ? self.seen << UInt128(step) : 0
            self.seen |= 1
            self.highest = sequence
        }
    }

    package init() {}

    package enum Verdict: Hashable, Sendable {
        /// The first one, or the first one of a process that has started anew.
        case new(startsAnew: Bool)
        /// It came before: to be acknowledged again, and nothing else.
        case repeated
        /// Of a former incarnation, or too far below the highest number to be known.
        case stale
        /// Too far above the highest number.
        case gap
        /// More incarnations than a process can have had.
        case tooManyIncarnations
    }

    /// What a message is; `note` makes it known. The number 0 stands for none: such a message never is a repeat.
    ///
    /// - Parameter isLive: whether its sender's process is known to be there now, and not only to have been.
    package func judge(_ series: CoordinationMessage.Series, _ sequence: UInt64, isLive: Bool = true) -> Verdict {
        guard series == self.series else {
            guard series.incarnation != self.series?.incarnation else {
                if let standing = self.series, series.epoch < standing.epoch { return .stale }
                return sequence <= Self.gapMax ? .new(startsAnew: false) : .gap
            }
            if self.former.contains(series.incarnation) { return .stale }
            if let rest = self.resting[series.incarnation] {
                guard series.epoch >= rest.epoch else { return .stale }
                let highest = series.epoch == rest.epoch ? rest.marks.highest : 0
                // A mailbox may give what came before again and again.
                guard isLive || sequence > highest else { return .stale }
                return sequence <= highest || sequence - highest <= Self.gapMax ? .new(startsAnew: true) : .gap
            }
            guard self.former.count + self.resting.count < Self.incarnationCountMax else { return .tooManyIncarnations }
            return sequence <= Self.gapMax ? .new(startsAnew: true) : .gap
        }
        if sequence == 0 { return .new(startsAnew: false) }
        let (highest, seen) = (self.marks.highest, self.marks.seen)
        if sequence > highest { return sequence - highest <= Self.gapMax ? .new(startsAnew: false) : .gap }
        let age = highest - sequence
        guard age < Self.width else { return .stale }
        return seen & (1 << UInt128(age)) == 0 ? .new(startsAnew: false) : .repeated
    }

    /// It came, and was judged new. The number 0 only makes the series known.
    package mutating func note(_ series: CoordinationMessage.Series, _ sequence: UInt64, isLive: Bool = true) {
        if series != self.series {
            let rest = self.resting.removeValue(forKey: series.incarnation)
            if let old = self.series, old.incarnation != series.incarnation {
                self.resting[old.incarnation] = Rest(epoch: old.epoch, marks: self.marks)
            }
            self.series = series
            self.marks = rest.flatMap { $0.epoch == series.epoch ? $0.marks : nil } ?? Marks()
        }
        if isLive { self.settle() }
        self.marks.note(sequence)
    }

    /// The incarnation that was heard last is there now: all others are over.
    package mutating func settle() {
        self.former.formUnion(self.resting.keys)
        self.resting = [:]
    }
}
