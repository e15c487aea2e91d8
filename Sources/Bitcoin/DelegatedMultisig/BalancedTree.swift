import CryptoPrimitives

/// The Taproot tree over a list that is too long to write down: a list of m leaves splits into the first ⌈m/2⌉ and the rest,
/// recursively.
///
/// The same tree as `TaprootTree(balanced:)`. Here only the upper levels are kept, about one byte a leaf: the lowest kept nodes
/// each span 64 to 127 leaves, whose hashes are made again when one of their paths is asked for.
struct BalancedTree: Hashable, Sendable {
    let leafCount: Int
    /// How many branches lie above a node of the lowest level that is kept.
    private let keptDepth: Int
    /// The root is at 1, and the children of the node at i are at 2i and 2i + 1; nothing is at 0.
    private let kept: [Bytes32]

    /// Fewest leaves below a node of the lowest level kept: remaking twice as many takes well under a millisecond.
    private static let stumpLeafCountMin = 64

    /// - Precondition: at least one leaf.
    init(leafCount: Int, leafHash: (Int) -> Bytes32) {
        precondition(leafCount > 0, "a tree has at least one leaf")
        self.leafCount = leafCount
        self.keptDepth = Self.floorLog2(Swift.max(1, leafCount / Self.stumpLeafCountMin))
        var kept = [Bytes32](repeating: Bytes32(), count: 2 << self.keptDepth)
        Self.fill(&kept, node: 1, range: 0..<leafCount, levels: self.keptDepth, leafHash: leafHash)
        self.kept = kept
    }

    private static func fill(
        _ kept: inout [Bytes32], node: Int, range: Range<Int>, levels: Int, leafHash: (Int) -> Bytes32
    ) {
        guard levels > 0 else { return kept[node] = Self.root(of: range, leafHash: leafHash) }
        let (left, right) = Self.halves(of: range)
        Self.fill(&kept, node: 2 * node, range: left, levels: levels - 1, leafHash: leafHash)
        Self.fill(&kept, node: 2 * node + 1, range: right, levels: levels - 1, leafHash: leafHash)
        kept[node] = MerkleTree.branchHash(kept[2 * node], kept[2 * node + 1])
    }

    private static func root(of range: Range<Int>, leafHash: (Int) -> Bytes32) -> Bytes32 {
        guard range.count > 1 else { return leafHash(range.lowerBound) }
        let (left, right) = Self.halves(of: range)
        return MerkleTree.branchHash(Self.root(of: left, leafHash: leafHash), Self.root(of: right, leafHash: leafHash))
    }

    /// Where every list and every part of one splits.
    static func halves(of range: Range<Int>) -> (left: Range<Int>, right: Range<Int>) {
        let middle = range.lowerBound + (range.count + 1) / 2
        return (range.lowerBound..<middle, middle..<range.upperBound)
    }
}

// MARK: - Reading

extension BalancedTree {
    var root: Bytes32 { self.kept[1] }

    /// The hashes beside the way from a leaf up to the root, the leaf's own sibling first.
    func merklePath(ofLeafAt index: Int, leafHash: (Int) -> Bytes32) -> [Bytes32] {
        precondition((0..<self.leafCount).contains(index), "the tree has no leaf at this position")
        var path: [Bytes32] = []
        var (range, node) = (0..<self.leafCount, 1)
        while range.count > 1 {
            let (left, right) = Self.halves(of: range)
            let goesLeft = left.contains(index)
            // Below the lowest kept level, node numbers have left the list.
            let sibling = 2 * node + (goesLeft ? 1 : 0)
            path.append(sibling < self.kept.count ? self.kept[sibling] : Self.root(of: goesLeft ? right : left, leafHash: leafHash))
            (range, node) = goesLeft ? (left, 2 * node) : (right, 2 * node + 1)
        }
        return path.reversed()
    }

    /// How many branches lie above a leaf: ⌊log₂ m⌋ or ⌈log₂ m⌉.
    func depth(ofLeafAt index: Int) -> Int {
        precondition((0..<self.leafCount).contains(index), "the tree has no leaf at this position")
        var (range, depth) = (0..<self.leafCount, 0)
        while range.count > 1 {
            let (left, right) = Self.halves(of: range)
            range = left.contains(index) ? left : right
            depth += 1
        }
        return depth
    }

    /// The depth of the leaves that lie highest, and so are the cheapest to show.
    var depthMin: Int { Self.floorLog2(self.leafCount) }

    private static func floorLog2(_ value: Int) -> Int { Int.bitWidth - 1 - value.leadingZeroBitCount }
}
