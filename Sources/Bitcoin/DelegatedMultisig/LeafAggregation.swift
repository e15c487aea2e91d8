import CryptoPrimitives
import MuSig2
import Secp256k1

#if canImport(Glibc)
internal import Glibc
#elseif canImport(Musl)
internal import Musl
#elseif canImport(Darwin)
internal import Darwin
#endif

/// The costly part of a policy: one MuSig2 key aggregation for each set of signers.
enum LeafAggregation {
    /// The x-only aggregates of the sets at these ranks, in order.
    ///
    /// - Throws: `cancelled` when the current task is.
    static func keys(
        of ranks: Range<Int>, sets: Combinations, signers: [PublicKey]
    ) throws(DelegatedMultisigError) -> [Bytes32] {
        guard !ranks.isEmpty else { return [] }
        var keys: [Bytes32] = []
        keys.reserveCapacity(ranks.count)
        var indices = sets.subset(at: ranks.lowerBound)
        var members = indices.map { signers[$0] }
        while true {
            if Task.isCancelled { throw .cancelled }
            do { keys.append(try AggregateKey.xOnly(of: members).bytes) } catch { throw .aggregation(error) }
            guard keys.count < ranks.count, let changed = sets.advance(&indices) else { return keys }
            for place in changed..<members.count { members[place] = signers[indices[place]] }
        }
    }

    /// The x-only aggregates of all sets, computed by several tasks at once.
    static func allKeys(
        sets: Combinations, signers: [PublicKey], workers: Int?, progress: (@Sendable (_ completed: Int, _ total: Int) -> Void)?
    ) async throws(DelegatedMultisigError) -> [Bytes32] {
        let workers = Swift.max(1, workers ?? Self.processorCount)
        let pieceLength = Swift.max(1, Self.pieceKeyCount / sets.k)
        let result: Result<[Bytes32], DelegatedMultisigError> = await withTaskGroup(of: Piece.self) { group in
            var keys = [Bytes32](repeating: Bytes32(), count: sets.count)
            var (start, completed, reportedPercent) = (0, 0, 0)
            func startPiece() {
                guard start < sets.count else { return }
                let ranks = start..<Swift.min(sets.count, start + pieceLength)
                start = ranks.upperBound
                group.addTask { Piece(ranks: ranks, sets: sets, signers: signers) }
            }
            for _ in 0..<Swift.min(workers, (sets.count - 1) / pieceLength + 1) { startPiece() }
            while let piece = await group.next() {
                switch piece.keys {
                case .success(let computed): keys.replaceSubrange(piece.ranks, with: computed)
                case .failure(let error):
                    group.cancelAll()
                    return .failure(error)
                }
                startPiece()
                completed += piece.ranks.count
                let percent = completed * 100 / sets.count
                if let progress, percent > reportedPercent {
                    reportedPercent = percent
                    progress(completed, sets.count)
                }
            }
            return .success(keys)
        }
        return try result.get()
    }

    /// How many keys one task aggregates before it makes room for others: about 20 ms of work, so that the thread pool, which
    /// the rest of the program shares, is never held for long.
    private static let pieceKeyCount = 700

    private struct Piece: Sendable {
        let ranks: Range<Int>
        let keys: Result<[Bytes32], DelegatedMultisigError>

        init(ranks: Range<Int>, sets: Combinations, signers: [PublicKey]) {
            self.ranks = ranks
            self.keys = Result { () throws(DelegatedMultisigError) in
                try LeafAggregation.keys(of: ranks, sets: sets, signers: signers)
            }
        }
    }

    private static var processorCount: Int { Int(sysconf(Int32(_SC_NPROCESSORS_ONLN))) }
}
