import Synchronization
import Testing

@testable import MuSig2

struct CoresTests {
    /// A count of items, and which of them are to be found.
    static let cases: [(count: Int, wanted: Set<Int>)] = [
        (0, []), (1, []), (1, [0]), (Cores.countMin - 1, [0, 2]), (Cores.countMin, [0, 3]), (7, [6]), (1_001, []), (1_001, [1_000]),
        (1_001, [3, 4, 500, 999]), (64, Set(0..<64)),
    ]

    @Test(arguments: Self.cases)
    func `what is found comes in order, and each item is asked for once`(count: Int, wanted: Set<Int>) {
        let asked = Mutex<[Int: Int]>([:])
        let found = Cores.indices(below: count) { index in
            asked.withLock { $0[index, default: 0] += 1 }
            return wanted.contains(index)
        }
        #expect(found == wanted.sorted())
        #expect(asked.withLock { $0 } == Dictionary(uniqueKeysWithValues: (0..<count).map { ($0, 1) }))
    }

    @Test(arguments: Self.cases)
    func `the first that is found is the least, whoever is quicker, and no item is asked for twice`(count: Int, wanted: Set<Int>) {
        for _ in 0..<20 {
            let asked = Mutex<[Int: Int]>([:])
            let found = Cores.firstIndex(below: count) { index in
                asked.withLock { $0[index, default: 0] += 1 }
                return wanted.contains(index)
            }
            #expect(found == wanted.min())
            let counts = asked.withLock { $0 }
            let needed = Set(0..<(found.map { $0 + 1 } ?? count))
            #expect(counts.values.allSatisfy { $0 == 1 } && needed.isSubset(of: counts.keys))
        }
    }
}
