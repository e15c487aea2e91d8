import Synchronization
import Testing

@testable import MuSig2

/// How often one item was asked for. No `Mutex`: a thread sanitizer does not see what one orders.
private final class AskCount: Sendable {
    private let value = Atomic(0)
    func increase() { self.value.add(1, ordering: .relaxed) }
    var current: Int { self.value.load(ordering: .relaxed) }
}

struct CoresTests {
    /// A count of items, and which of them are to be found.
    static let cases: [(count: Int, wanted: Set<Int>)] = [
        (0, []), (1, []), (1, [0]), (Cores.countMin - 1, [0, 2]), (Cores.countMin, [0, 3]), (7, [6]), (1_001, []), (1_001, [1_000]),
        (1_001, [3, 4, 500, 999]), (64, Set(0..<64)),
    ]

    @Test(arguments: Self.cases)
    func `what is found comes in order, and each item is asked for once`(count: Int, wanted: Set<Int>) {
        let asked = (0..<count).map { _ in AskCount() }
        let found = Cores.indices(below: count) { index in
            asked[index].increase()
            return wanted.contains(index)
        }
        #expect(found == wanted.sorted())
        #expect(asked.allSatisfy { $0.current == 1 })
    }

    @Test(arguments: Self.cases)
    func `the first that is found is the least, whoever is quicker, and no item is asked for twice`(count: Int, wanted: Set<Int>) {
        for _ in 0..<20 {
            let asked = (0..<count).map { _ in AskCount() }
            let found = Cores.firstIndex(below: count) { index in
                asked[index].increase()
                return wanted.contains(index)
            }
            #expect(found == wanted.min())
            // All that stand before it, and those behind it once at most.
            #expect(asked.prefix(found.map { $0 + 1 } ?? count).allSatisfy { $0.current == 1 } && asked.allSatisfy { $0.current <= 1 })
        }
    }
}
