internal import Dispatch
internal import Synchronization

/// Verifications that are cut up among the cores, for callers that cannot wait for tasks: values, which compute and nothing else.
///
/// The calling thread does its share, so that nothing waits for a thread that is not there. What comes out follows from the arguments
/// alone, whatever the count of cores and whoever was quicker.
package enum Cores {
    /// From this many verifications on, of some 63 µs each, other cores help. Measured on two cores, with other work on them: waking a
    /// thread takes 40 µs, so that four end after 0.18 ms where one thread takes 0.25 ms, and eight after 0.26 ms where it takes 0.50 ms;
    /// two and three gain next to nothing.
    static let countMin = 4

    /// Verifications in one piece: few, so that the cores end together, for a piece costs far less than a microsecond to begin.
    private static let pieceCount = 2

    /// Which of the indices below `count` are found, in order. Each is asked for once.
    package static func indices(below count: Int, where isFound: @Sendable (Int) -> Bool) -> [Int] {
        guard count >= Self.countMin else { return (0..<count).filter(isFound) }
        let answers = [Bool](unsafeUninitializedCapacity: count) { answers, initializedCount in
            // Unsafe only for the compiler, which does not know who writes where. The pieces part the indices below `count`, so that each
            // place lies within the buffer and has one writer; nobody reads before `concurrentPerform` returns, which it does when all
            // pieces have ended, and the buffer outlives that. What is verified decides what is written, never where.
            nonisolated(unsafe) let places = answers
            places.initialize(repeating: false)
            Self.forEachPiece(of: count) { for index in $0 { places[index] = isFound(index) } }
            initializedCount = count
        }
        return answers.indices.filter { answers[$0] }
    }

    /// The least of the indices below `count` that is found. Each is asked for once at most, and those behind one that was found
    /// perhaps not at all.
    package static func firstIndex(below count: Int, where isFound: @Sendable (Int) -> Bool) -> Int? {
        guard count >= Self.countMin else { return (0..<count).first(where: isFound) }
        let least = Atomic(count)
        Self.forEachPiece(of: count) { piece in
            for index in piece where index < least.load(ordering: .relaxed) {
                if isFound(index) { least.min(index, ordering: .relaxed) }
            }
        }
        let found = least.load(ordering: .relaxed)
        return found < count ? found : nil
    }

    private static func forEachPiece(of count: Int, do work: @Sendable (Range<Int>) -> Void) {
        DispatchQueue.concurrentPerform(iterations: (count - 1) / Self.pieceCount + 1) { piece in
            let start = piece * Self.pieceCount
            work(start..<min(start + Self.pieceCount, count))
        }
    }
}
