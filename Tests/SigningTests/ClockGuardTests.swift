import Signing
import Testing

@Suite struct ClockGuardTests {
    /// Whether the second look notices that the clocks went on by these.
    private static func notices(wall: Duration, running: Duration) -> Bool {
        var clocks = ClockGuard()
        let isFirst = clocks.hasJumped(wall: .seconds(1_700_000_000), running: .seconds(5_000))
        #expect(!isFirst, "there is nothing to compare the first look with")
        return clocks.hasJumped(wall: .seconds(1_700_000_000) + wall, running: .seconds(5_000) + running)
    }

    @Test func `clocks that go on together have not jumped, however long nobody looked`() {
        for seconds in [0, 1, 3_600, 30 * 86_400] {
            #expect(!Self.notices(wall: .seconds(seconds), running: .seconds(seconds)), "\(seconds) s")
        }
    }

    @Test func `a drift up to the limit is a correction, and more is a jump, forwards and backwards`() {
        let limit = ClockGuard.driftMax
        let nanosecond = Duration.nanoseconds(1)
        for elapsed in [Duration.zero, .seconds(250)] {
            #expect(!Self.notices(wall: elapsed + limit, running: elapsed))
            #expect(!Self.notices(wall: elapsed - limit, running: elapsed))
            #expect(Self.notices(wall: elapsed + limit + nanosecond, running: elapsed))
            #expect(Self.notices(wall: elapsed - limit - nanosecond, running: elapsed))
        }
    }

    @Test func `a snapshot that is resumed hours later is a jump: only the time of day has gone on`() {
        #expect(Self.notices(wall: .seconds(7_200), running: .milliseconds(3)))
    }

    @Test func `a snapshot that is resumed after a restart of its host is a jump: the running time begins anew`() {
        #expect(Self.notices(wall: .seconds(60), running: .seconds(-4_000)))
    }

    @Test func `each look is compared with the one before, so a jump is told once, and slow corrections never`() {
        var clocks = ClockGuard()
        var jumps: [Bool] = []
        // The third look finds the hour that the clock was set ahead, the fifth finds it set back.
        for (wall, running) in [(0, 0), (1, 1), (3_602, 2), (3_603, 3), (4, 4), (5, 5)] {
            jumps.append(clocks.hasJumped(wall: .seconds(wall), running: .seconds(running)))
        }
        #expect(jumps == [false, false, true, false, true, false])
        // Nine seconds of correction every minute add up to hours in a day, and none of them is a jump.
        var corrected = ClockGuard()
        for minute in 0..<1_440 {
            let hasJumped = corrected.hasJumped(wall: .seconds(69 * minute), running: .seconds(60 * minute))
            #expect(!hasJumped, "minute \(minute)")
        }
    }
}
