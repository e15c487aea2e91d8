import Testing

@testable import LibP2P

struct `Deadlines of a service` {
    @Test(arguments: UInt64(0)..<20) func `are over by their time, and those of one time in the order of setting`(seed: UInt64) {
        var random = SeededRandom(seed: seed)
        var deadlines = ServiceDeadlines<Int>()
        var waiting: [(key: Int, time: Duration)] = []
        for round in 0..<1_000 {
            let key = Int.random(in: 0..<200, using: &random)
            waiting.removeAll { $0.key == key }
            // Most are set, until there are many; then most are taken away, so that what is left over is swept up.
            if Int.random(in: 0..<10, using: &random) < (round / 250 % 2 == 0 ? 8 : 2) {
                let time = Duration.seconds(Int.random(in: 0..<5, using: &random))
                deadlines.set(key, at: time)
                waiting.append((key, time))
            } else {
                deadlines.remove(key)
            }
            #expect(deadlines.count == waiting.count && deadlines.next == waiting.map(\.time).min(), "seed \(seed)")
        }
        // Swift's sort is stable.
        let expected = waiting.sorted { $0.time < $1.time }.map(\.key)
        var popped: [Int] = []
        while let key = deadlines.popDue(now: .seconds(5)) { popped.append(key) }
        #expect(popped == expected && popped.count > 20, "seed \(seed)")
    }
}
