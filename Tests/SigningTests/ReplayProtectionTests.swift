import Signing
import Testing

/// The cases of the described systems' replay protection, by name, and what they leave out.
@Suite struct ReplayProtectionTests {
    private typealias Series = CoordinationMessage.Series

    private static func series(_ life: UInt8, epoch: UInt32 = 0) -> Series {
        Series(incarnation: Array(repeating: life, count: NonceName.incarnationByteCount), epoch: epoch)
    }

    private static func window(after numbers: [UInt64], _ series: Series = series(1)) -> ReplayWindow {
        var window = ReplayWindow()
        for number in numbers {
            if case .new = window.judge(series, number) { window.note(series, number) }
        }
        return window
    }

    @Test func `the first message is taken, and begins a life`() {
        #expect(ReplayWindow().judge(Self.series(1), 1) == .new(startsAnew: true))
    }

    @Test func `rising numbers are taken`() {
        var window = Self.window(after: [1])
        for number in UInt64(2)...300 {
            #expect(window.judge(Self.series(1), number) == .new(startsAnew: false))
            window.note(Self.series(1), number)
        }
    }

    @Test func `a number that came is a repeat`() {
        let window = Self.window(after: [1, 2, 3])
        for number in UInt64(1)...3 { #expect(window.judge(Self.series(1), number) == .repeated) }
    }

    @Test func `numbers may come out of order, each once`() {
        var window = Self.window(after: [5])
        for number in [3, 1, 4, 2] as [UInt64] {
            #expect(window.judge(Self.series(1), number) == .new(startsAnew: false))
            window.note(Self.series(1), number)
            #expect(window.judge(Self.series(1), number) == .repeated)
        }
        #expect(window.judge(Self.series(1), 6) == .new(startsAnew: false))
    }

    @Test func `a gap of 100 is taken, and one of 101 is not`() {
        let window = Self.window(after: [10])
        #expect(window.judge(Self.series(1), 110) == .new(startsAnew: false))
        #expect(window.judge(Self.series(1), 111) == .gap)
        #expect(window.judge(Self.series(1), .max) == .gap)
    }

    @Test func `a life may not begin with a gap either`() {
        #expect(ReplayWindow().judge(Self.series(1), 100) == .new(startsAnew: true))
        #expect(ReplayWindow().judge(Self.series(1), 101) == .gap)
    }

    @Test func `what lies too far back is known for a repeat no more, and is not taken`() {
        var numbers = (1...200).map { UInt64($0) }
        numbers.removeAll { $0 == 100 }
        let window = Self.window(after: numbers)
        #expect(window.judge(Self.series(1), 100) == .new(startsAnew: false))
        #expect(window.judge(Self.series(1), 200 - ReplayWindow.width + 1) == .repeated)
        #expect(window.judge(Self.series(1), 200 - ReplayWindow.width) == .stale)
        #expect(window.judge(Self.series(1), 1) == .stale)
    }

    @Test func `a new life of the process begins anew at 1`() {
        var window = Self.window(after: [1, 2, 3])
        #expect(window.judge(Self.series(2), 1) == .new(startsAnew: true))
        window.note(Self.series(2), 1)
        #expect(window.judge(Self.series(2), 1) == .repeated)
    }

    @Test func `nothing of a former life is taken again`() {
        var window = Self.window(after: [1])
        window.note(Self.series(2), 1)
        for number in UInt64(1)...50 { #expect(window.judge(Self.series(1), number) == .stale) }
    }

    @Test func `of lives out of mailboxes none ends another before it shows that it is there`() {
        // Life 2 comes first, then what life 1 left in another mailbox.
        var window = ReplayWindow()
        window.note(Self.series(2), 1, isLive: false)
        #expect(window.judge(Self.series(1), 1, isLive: false) == .new(startsAnew: true))
        window.note(Self.series(1), 1, isLive: false)
        // What came of it before is no news, and what did not brings it back.
        for number in 0...1 as ClosedRange<UInt64> { #expect(window.judge(Self.series(2), number, isLive: false) == .stale) }
        #expect(window.judge(Self.series(2), 102, isLive: false) == .gap)
        #expect(window.judge(Self.series(2), 2, isLive: false) == .new(startsAnew: true))
        window.note(Self.series(2), 2, isLive: false)
        #expect(window.judge(Self.series(2), 1, isLive: false) == .repeated)
        #expect(window.judge(Self.series(1), 1, isLive: false) == .stale)
        // So an old life returns at most once for each number, and over nothing that has no number.
        #expect(window.judge(Self.series(1), 0, isLive: false) == .stale)
        #expect(window.judge(Self.series(1), 2, isLive: false) == .new(startsAnew: true))
    }

    @Test func `once a life has shown that it is there, the others are over, out of mailboxes too`() {
        var window = ReplayWindow()
        window.note(Self.series(1), 1, isLive: false)
        window.note(Self.series(2), 1, isLive: false)
        window.settle()
        for number in 0...50 as ClosedRange<UInt64> {
            #expect(window.judge(Self.series(1), number, isLive: false) == .stale)
            #expect(window.judge(Self.series(1), number) == .stale)
        }
    }

    @Test func `over a channel a life that rests goes on with whatever it says`() {
        var window = ReplayWindow()
        window.note(Self.series(2), 1, isLive: false)
        window.note(Self.series(1), 1, isLive: false)
        // Told again, because nobody acknowledged it.
        #expect(window.judge(Self.series(2), 1) == .new(startsAnew: true))
        window.note(Self.series(2), 1)
        #expect(window.judge(Self.series(2), 1) == .repeated)
        #expect(window.judge(Self.series(1), 2, isLive: false) == .stale)
    }

    @Test func `a new epoch begins anew in the same life, and the former one is over`() {
        var window = Self.window(after: [1, 2, 3, 40])
        #expect(window.judge(Self.series(1, epoch: 1), 1) == .new(startsAnew: false))
        window.note(Self.series(1, epoch: 1), 1)
        #expect(window.judge(Self.series(1), 41) == .stale)
        #expect(window.judge(Self.series(1, epoch: 1), 2) == .new(startsAnew: false))
    }

    @Test func `each sender has a window of its own`() {
        // The machine keeps one for each link; two of them never know of each other.
        let (first, second) = (Self.window(after: [1, 2, 3]), ReplayWindow())
        #expect(first.judge(Self.series(1), 2) == .repeated)
        #expect(second.judge(Self.series(1), 2) == .new(startsAnew: true))
    }

    @Test func `the number 0 stands for none, and is never a repeat that counts`() {
        var window = ReplayWindow()
        #expect(window.judge(Self.series(1), 0) == .new(startsAnew: true))
        window.note(Self.series(1), 0)
        #expect(window.judge(Self.series(1), 1) == .new(startsAnew: false))
    }

    @Test func `lives are bounded`() {
        var window = ReplayWindow()
        for life in 0...ReplayWindow.incarnationCountMax {
            let incarnation = (0..<16).map { UInt8(truncatingIfNeeded: life >> (8 * ($0 % 2))) }
            window.note(Series(incarnation: incarnation), 1)
        }
        #expect(window.judge(Self.series(0xfe), 1) == .tooManyIncarnations)
    }

    @Test func `a mark at the window's end falls out, and those beside it stay`() {
        var window = Self.window(after: [1])
        window.note(Self.series(1), 90)
        window.note(Self.series(1), 128)
        #expect(window.judge(Self.series(1), 1) == .repeated)
        window.note(Self.series(1), 129)
        #expect(window.judge(Self.series(1), 1) == .stale)
        #expect(window.judge(Self.series(1), 90) == .repeated && window.judge(Self.series(1), 91) == .new(startsAnew: false))
    }
}
