/// Which of one sender's numbered messages about a request came already: each counts once, in whatever order they arrive.
///
/// Numbers begin at 1 in each series. A former incarnation of the sender's process is over for good, and so are former epochs of this one:
/// nothing said in them can be said again.
package struct ReplayWindow: Hashable, Sendable {
    /// Farthest that a number may lie above the highest one that came: a sender never has more under way.
    package static let gapMax: UInt64 = 100
    /// How far below the highest one a number can still be told from a repeat.
    package static let width: UInt64 = 128
    /// Most former incarnations that are kept, one a restart.
    package static let incarnationCountMax = 1_000

    package private(set) var series: CoordinationMessage.Series?
    private var highest: UInt64 = 0
    /// Bit i: whether `highest` − i came.
    private var seen: UInt128 = 0
    private var former: Set<[UInt8]> = []

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
    package func judge(_ series: CoordinationMessage.Series, _ sequence: UInt64) -> Verdict {
        guard series == self.series else {
            let startsAnew = series.incarnation != self.series?.incarnation
            if startsAnew {
                if self.former.contains(series.incarnation) { return .stale }
                guard self.former.count < Self.incarnationCountMax else { return .tooManyIncarnations }
            } else if let standing = self.series, series.epoch < standing.epoch {
                return .stale
            }
            return sequence <= Self.gapMax ? .new(startsAnew: startsAnew) : .gap
        }
        if sequence == 0 { return .new(startsAnew: false) }
        if sequence > self.highest { return sequence - self.highest <= Self.gapMax ? .new(startsAnew: false) : .gap }
        let age = self.highest - sequence
        guard age < Self.width else { return .stale }
        return self.seen & (1 << UInt128(age)) == 0 ? .new(startsAnew: false) : .repeated
    }

    /// It came, and was judged new. The number 0 only makes the series known.
    package mutating func note(_ series: CoordinationMessage.Series, _ sequence: UInt64) {
        if series != self.series {
            if let old = self.series, old.incarnation != series.incarnation { self.former.insert(old.incarnation) }
            self.series = series
            (self.highest, self.seen) = (0, 1)
        }
        guard sequence > self.highest else {
            if sequence == 0 { return }
            let age = self.highest - sequence
            if age < Self.width { self.seen |= 1 << UInt128(age) }
            return
        }
        let step = sequence - self.highest
        self.seen = step < Self.width ? self.seen << UInt128(step) : 0
        self.seen |= 1
        self.highest = sequence
    }
}
