/// The subsets of k out of n indices, in lexicographic order, each reachable by its rank.
///
/// A rank leads straight to its subset, so that workers can take disjoint ranges of a long list that nobody ever writes down.
struct Combinations: Hashable, Sendable {
    /// Size of the whole: indices go from 0 to n − 1.
    let n: Int
    /// Size of a subset, 1…n.
    let k: Int
    /// How many subsets there are.
    let count: Int

    /// `nil` unless 1 ≤ k ≤ n and the count fits an `Int`.
    init?(choosing k: Int, outOf n: Int) {
        guard k >= 1, k <= n, let binomial = Self.binomial(n, k), let count = Int(exactly: binomial) else { return nil }
        self.n = n
        self.k = k
        self.count = count
    }

    /// The binomial coefficient "n choose k", or `nil` when it does not fit 64 bits.
    static func binomial(_ n: Int, _ k: Int) -> UInt64? {
        guard n >= 0, k >= 0, k <= n else { return 0 }
        let short = Swift.min(k, n - k)
        var result: UInt64 = 1
        var factor = UInt64(n - short)
        var divisor: UInt64 = 0
        // After i steps the result is "n − short + i choose i". It only grows, so the first overflow ends the loop for good.
        while divisor < UInt64(short) {
            (factor, divisor) = (factor + 1, divisor + 1)
            let product = result.multipliedFullWidth(by: factor)
            guard product.high < divisor else { return nil }
            result = divisor.dividingFullWidth(product).quotient
        }
        return result
    }
}

// MARK: - Rank and subset

extension Combinations {
    /// The subset at a position of the list, ascending. Takes about n steps.
    func subset(at rank: Int) -> [Int] {
        precondition((0..<self.count).contains(rank), "a rank is below the count of subsets")
        var subset: [Int] = []
        subset.reserveCapacity(self.k)
        var left = rank
        var walk = Walk(self)
        while subset.count < self.k {
            if left < walk.countWithCandidate {
                subset.append(walk.candidate)
                walk.take()
            } else {
                left -= walk.countWithCandidate
                walk.skip()
            }
        }
        return subset
    }

    /// The position of a subset in the list; the inverse of `subset(at:)`.
    ///
    /// - Precondition: k different indices below n, ascending.
    func rank(of subset: [Int]) -> Int {
        precondition(subset.count == self.k, "a subset has exactly k indices")
        var rank = 0
        var walk = Walk(self)
        for index in subset {
            precondition((walk.candidate..<self.n).contains(index), "indices ascend and are below n")
            while walk.candidate < index {
                rank += walk.countWithCandidate
                walk.skip()
            }
            walk.take()
        }
        return rank
    }

    /// Moves to the next subset of the list and returns from which position on the subset changed; `nil`, with nothing
    /// changed, after the last.
    func advance(_ subset: inout [Int]) -> Int? {
        var position = self.k - 1
        while position >= 0, subset[position] == self.n - self.k + position { position -= 1 }
        guard position >= 0 else { return nil }
        var index = subset[position]
        for place in position..<self.k {
            index += 1
            subset[place] = index
        }
        return position
    }

    /// Passes over the indices from 0 up, always knowing how many subsets take the one it stands on.
    private struct Walk {
        private(set) var candidate = 0
        /// How many ways there are to complete the subset when the candidate is taken: "above choose missing − 1".
        private(set) var countWithCandidate: Int
        /// Indices above the candidate.
        private var above: Int
        /// How many indices the subset still lacks, the candidate's place included.
        private var missing: Int

        init(_ all: Combinations) {
            self.above = all.n - 1
            self.missing = all.k
            self.countWithCandidate = Combinations.scaled(all.count, by: all.k, over: all.n)
        }

        mutating func take() { self.move(by: self.missing - 1, missing: self.missing - 1) }

        mutating func skip() { self.move(by: self.above - (self.missing - 1), missing: self.missing) }

        /// C(a − 1, r − 1) = C(a, r) · r / a, and C(a − 1, r) = C(a, r) · (a − r) / a.
        private mutating func move(by numerator: Int, missing: Int) {
            self.countWithCandidate = self.above == 0 ? 0 : Combinations.scaled(self.countWithCandidate, by: numerator, over: self.above)
            self.candidate += 1
            self.above -= 1
            self.missing = missing
        }
    }

    /// `value` · `numerator` / `divisor`, exactly, where the result is at most `value`.
    private static func scaled(_ value: Int, by numerator: Int, over divisor: Int) -> Int {
        let product = UInt64(value).multipliedFullWidth(by: UInt64(numerator))
        return Int(UInt64(divisor).dividingFullWidth(product).quotient)
    }
}
