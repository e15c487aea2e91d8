import Testing

@testable import Bitcoin

@Suite struct DelegatedMultisigCombinationsTests {
    @Test func `binomial coefficients follow Pascal's triangle up to the last that fits 64 bits`() {
        var row: [UInt64?] = [1]
        for n in 1...70 {
            var next: [UInt64?] = [1]
            for k in 1..<n {
                guard let left = row[k - 1], let right = row[k] else {
                    next.append(nil)
                    continue
                }
                let (sum, overflows) = left.addingReportingOverflow(right)
                next.append(overflows ? nil : sum)
            }
            next.append(1)
            row = next
            for k in 0...n { #expect(Combinations.binomial(n, k) == row[k], "\(n) choose \(k)") }
        }
        #expect(Combinations.binomial(67, 33) == 14_226_520_737_620_288_370)
        #expect(Combinations.binomial(68, 34) == nil)
    }

    @Test func `a binomial of huge numbers ends at once, with or without a value`() {
        #expect(Combinations.binomial(.max, 1) == UInt64(Int.max))
        #expect(Combinations.binomial(.max, .max - 1) == UInt64(Int.max))
        #expect(Combinations.binomial(.max, .max) == 1)
        #expect(Combinations.binomial(.max, .max / 2) == nil)
        #expect(Combinations.binomial(3, 4) == 0)
        #expect(Combinations.binomial(3, -1) == 0)
    }

    @Test(arguments: 1...9)
    func `every rank has its subset in lexicographic order, and every subset its rank`(n: Int) throws {
        for k in 1...n {
            let sets = try #require(Combinations(choosing: k, outOf: n))
            var expected: [[Int]] = []
            for mask in 0..<(1 << n) where mask.nonzeroBitCount == k { expected.append((0..<n).filter { mask >> $0 & 1 == 1 }) }
            expected.sort { $0.lexicographicallyPrecedes($1) }
            #expect(sets.count == expected.count)
            #expect((0..<sets.count).map(sets.subset(at:)) == expected)
            #expect(expected.map(sets.rank(of:)) == Array(0..<sets.count))
        }
    }

    @Test func `advancing walks the whole list and says what changed`() throws {
        let sets = try #require(Combinations(choosing: 4, outOf: 8))
        var subset = sets.subset(at: 0)
        for rank in 1..<sets.count {
            let before = subset
            let changed = try #require(sets.advance(&subset))
            #expect(subset == sets.subset(at: rank))
            #expect(subset[..<changed] == before[..<changed] && subset[changed] != before[changed])
        }
        let last = subset
        #expect(sets.advance(&subset) == nil)
        #expect(subset == last)
    }

    @Test func `ranks of large lists are exact`() throws {
        for (k, n) in [(2, 1_400), (1, 1_000_000), (999, 1_000), (10, 22), (47, 50)] {
            let sets = try #require(Combinations(choosing: k, outOf: n))
            for rank in [0, 1, sets.count / 3, sets.count / 2, sets.count - 2, sets.count - 1] {
                #expect(sets.rank(of: sets.subset(at: rank)) == rank, "\(rank) of \(k) out of \(n)")
            }
            #expect(sets.subset(at: sets.count - 1) == Array((n - k)..<n))
        }
    }

    @Test func `no list is made for k outside 1 to n or beyond what can be counted`() {
        #expect(Combinations(choosing: 0, outOf: 3) == nil)
        #expect(Combinations(choosing: 4, outOf: 3) == nil)
        #expect(Combinations(choosing: -1, outOf: 3) == nil)
        #expect(Combinations(choosing: 34, outOf: 68) == nil)
        #expect(Combinations(choosing: 33, outOf: 67) == nil, "it fits UInt64, but not Int")
        #expect(Combinations(choosing: 33, outOf: 66) != nil)
    }
}
