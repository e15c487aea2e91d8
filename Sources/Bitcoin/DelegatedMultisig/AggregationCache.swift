import MuSig2
import Secp256k1
internal import Synchronization

/// The sets of a policy that were aggregated last: a group that signs often does it with few sets, and aggregation takes some 30 µs
/// a key.
final class AggregationCache: Sendable {
    /// Most sets that are kept.
    ///
    /// Source: a set of a thousand keys takes some 200 kB.
    static let setCountMax = 16

    private struct Sets {
        var groups: [[PublicKey]: KeyAggregation] = [:]
        /// The oldest first.
        var order: [[PublicKey]] = []
    }

    private let sets = Mutex(Sets())

    /// A set's keys as one; two callers at once may both do the work.
    func group<Failure: Error>(
        of set: [PublicKey], aggregate: ([PublicKey]) throws(Failure) -> KeyAggregation
    ) throws(Failure) -> KeyAggregation {
        if let known = self.sets.withLock({ $0.groups[set] }) { return known }
        let group = try aggregate(set)
        self.sets.withLock { sets in
            guard sets.groups.updateValue(group, forKey: set) == nil else { return }
            sets.order.append(set)
            if sets.order.count > Self.setCountMax { sets.groups[sets.order.removeFirst()] = nil }
        }
        return group
    }
}
