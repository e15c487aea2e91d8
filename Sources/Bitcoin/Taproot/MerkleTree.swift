import CryptoPrimitives

/// The hashes of a Taproot tree without its scripts: two for each leaf, and so a path for each leaf on demand (BIP-341).
///
/// Who can make the scripts again, as a policy of many equal leaves can, keeps only this.
struct MerkleTree: Hashable, Sendable {
    // Both children of every branch stand before the branch itself, so that the root is the last.
    private var hashes: [Bytes32] = []
    /// Nodes in the subtree of each node, itself included: they say where its right child's subtree begins.
    private var subtreeCounts: [Int32] = []

    /// A tree of one leaf, which is its own root.
    init(leaf hash: Bytes32) { self.append(hash, subtreeCount: 1) }

    /// Hashes a tree from its leaves in depth-first order, each with its depth.
    ///
    /// - Throws: `TaprootError` naming the leaf, counted from 0, that makes the list no tree.
    init(depthFirst leaves: some Collection<(depth: Int, hash: Bytes32)>) throws(TaprootError) {
        guard !leaves.isEmpty else { throw .emptyTree }
        self.hashes.reserveCapacity(leaves.count * 2 - 1)
        self.subtreeCounts.reserveCapacity(leaves.count * 2 - 1)
        // The left halves that wait for a right half, their depths strictly rising; at most 129.
        var waiting: [(depth: Int, node: Int)] = []
        for (index, leaf) in leaves.enumerated() {
            var depth = leaf.depth
            guard (0...TaprootTree.depthMax).contains(depth) else { throw .tooDeep(leaf: index, depth: depth) }
            // A whole tree waits at depth 0, and what waits below this leaf's depth would wait for ever.
            if let last = waiting.last, last.depth == 0 || last.depth > depth { throw .misplacedLeaf(leaf: index, depth: depth) }
            self.append(leaf.hash, subtreeCount: 1)
            while let left = waiting.last, left.depth == depth {
                waiting.removeLast()
                self.appendBranch(left: left.node)
                depth -= 1
            }
            waiting.append((depth, self.hashes.count - 1))
        }
        guard waiting.count == 1, waiting.first?.depth == 0 else { throw .incompleteTree }
    }

    private mutating func append(_ hash: Bytes32, subtreeCount: Int32) {
        self.hashes.append(hash)
        self.subtreeCounts.append(subtreeCount)
    }

    /// Joins the subtree that ends at `left` with the one that follows it.
    private mutating func appendBranch(left: Int) {
        let right = self.hashes.count - 1
        self.append(
            Self.branchHash(self.hashes[left], self.hashes[right]),
            subtreeCount: self.subtreeCounts[left] + self.subtreeCounts[right] + 1)
    }

    /// The depths, left before right, of a tree in which m leaves split into the first ⌈m/2⌉ and the rest, recursively.
    static func balancedDepths(leafCount: Int) -> [Int] {
        var depths: [Int] = []
        depths.reserveCapacity(leafCount)
        var pending = [(depth: 0, count: leafCount)]
        while let (depth, count) = pending.popLast() {
            if count > 1 {
                pending.append((depth + 1, count / 2))
                pending.append((depth + 1, count - count / 2))
            } else if count == 1 {
                depths.append(depth)
            }
        }
        return depths
    }
}

// MARK: - Reading

extension MerkleTree {
    var leafCount: Int { (self.hashes.count + 1) / 2 }

    var root: Bytes32 { self.hashes[self.hashes.count - 1] }

    /// The hashes beside the way from a leaf up to the root, the leaf's own sibling first.
    ///
    /// Takes work in proportion to the leaf's depth.
    func path(ofLeafAt index: Int) -> [Bytes32] {
        precondition((0..<self.leafCount).contains(index), "the tree has no leaf at this position")
        var path: [Bytes32] = []
        var node = self.hashes.count - 1
        var leavesBefore = 0
        while self.subtreeCounts[node] > 1 {
            let right = node - 1
            let left = right - Int(self.subtreeCounts[right])
            // A binary tree of n nodes has (n + 1) / 2 leaves.
            let leftLeafCount = (Int(self.subtreeCounts[left]) + 1) / 2
            if index - leavesBefore < leftLeafCount {
                path.append(self.hashes[right])
                node = left
            } else {
                path.append(self.hashes[left])
                leavesBefore += leftLeafCount
                node = right
            }
        }
        return path.reversed()
    }
}

// MARK: - Branches

extension MerkleTree {
    /// The tagged hash `TapBranch`. It does not tell left from right: the lesser child comes first (BIP-341).
    static func branchHash(_ left: Bytes32, _ right: Bytes32) -> Bytes32 {
        var hash = Self.tapBranch
        hash.update(min(left, right))
        hash.update(max(left, right))
        return hash.finalize()
    }

    private static let tapBranch = SHA256.tagged("TapBranch")
}
