import LibP2P
import Testing

@testable import SimulationKit

struct `An event queue` {
    @Test(arguments: UInt64(0)..<20) func `gives events by their time, and those of one time in the order of adding`(seed: UInt64) {
        var random = SeededRandom(seed: seed)
        var queue = EventQueue<Int>()
        var waiting: [(time: Duration, event: Int)] = []
        var now = Duration.zero
        for number in 0..<500 {
            let time = now + .milliseconds(Int.random(in: 0...5, using: &random))
            queue.add(number, at: time)
            waiting.append((time, number))
            guard Bool.random(using: &random) else { continue }
            let end = now + .milliseconds(Int.random(in: 0...2, using: &random))
            while let (time, event) = queue.popFirst(until: end) {
                // Swift's sort is stable.
                let expected = waiting.sorted { $0.time < $1.time }[0]
                #expect(time == expected.time && event == expected.event, "seed \(seed)")
                waiting.removeAll { $0.event == event }
                now = time
            }
            #expect(waiting.allSatisfy { $0.time > end } && queue.count == waiting.count, "seed \(seed)")
        }
    }

    @Test func `knows the natural logarithm well enough for lifetimes`() {
        for (value, logarithm) in [(1.0, 0.0), (2.718281828459045, 1.0), (0.5, -0.6931471805599453), (1e-9, -20.72326583694641)] {
            #expect(abs(SimulatedNetwork<Log>.logarithm(value) - logarithm) < 1e-9)
        }
    }
}
