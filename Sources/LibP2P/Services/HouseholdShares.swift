/// What households take of something of which there is so much for all of them together.
///
/// Each may hold as much as was left before its last piece. So one alone has half, and however many come, there is room for the next one;
/// nobody is pushed out. (A. K. Choudhury, E. L. Hahne, "Dynamic queue length thresholds for shared-memory packet switches", IEEE/ACM
/// Transactions on Networking, 1998, with a factor of 1.)
package struct HouseholdShares: Sendable {
    package private(set) var total = 0
    private var shares: [[UInt8]: Int] = [:]

    package init() {}

    package func share(of household: [UInt8]) -> Int { self.shares[household] ?? 0 }

    /// Takes so much, if there is room for it among `maximum`.
    package mutating func take(_ count: Int, for household: [UInt8], of maximum: Int) -> Bool {
        guard self.share(of: household) + count <= maximum - self.total else { return false }
        self.take(count, for: household)
        return true
    }

    /// Takes so much in any case.
    package mutating func take(_ count: Int, for household: [UInt8]) {
        self.total += count
        self.shares[household, default: 0] += count
    }

    package mutating func giveBack(_ count: Int, of household: [UInt8]) {
        let rest = self.share(of: household) - count
        precondition(rest >= 0, "more is given back than was taken")
        self.total -= count
        self.shares[household] = rest > 0 ? rest : nil
    }

    package var heldByteCount: Int { self.shares.count * 96 }
}
