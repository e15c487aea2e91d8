import MuSig2
import Secp256k1
import Testing

@testable import Bitcoin

@Suite struct AggregationCacheTests {
    @Test func `a set is aggregated once while it is among the last, and its order counts`() throws {
        let signers = try FigureKey.signers(AggregationCache.setCountMax + 2)
        let cache = AggregationCache()
        var aggregated: [[PublicKey]] = []
        func group(_ set: [PublicKey]) throws -> KeyAggregation {
            try cache.group(of: set) { set in
                aggregated.append(set)
                return try KeyAggregation(set)
            }
        }
        let sets = signers.dropFirst().map { [signers[0], $0] }
        for _ in 0..<2 {
            for set in sets.prefix(AggregationCache.setCountMax) {
                #expect(try group(set).aggregateKey == KeyAggregation(set).aggregateKey)
            }
        }
        #expect(aggregated == Array(sets.prefix(AggregationCache.setCountMax)))
        // One more, and the oldest goes; the others stay.
        _ = try group(sets[AggregationCache.setCountMax])
        _ = try group(sets[1])
        #expect(aggregated.count == AggregationCache.setCountMax + 1)
        _ = try group(sets[0])
        #expect(aggregated.count == AggregationCache.setCountMax + 2 && aggregated.last == sets[0])
        _ = try group(sets[0].reversed())
        #expect(aggregated.last == sets[0].reversed())
        // What fails is not kept.
        #expect(throws: MuSig2Error.self) { try group([]) }
        #expect(throws: MuSig2Error.self) { try group([]) }
        #expect(aggregated.suffix(2) == [[], []])
    }
}
