import CryptoPrimitives

/// The scripts that a Taproot output commits to, as a binary tree of leaves (BIP-341).
///
/// All hashes are computed once, when the tree is made; the path of a leaf is then read off on demand.
public struct TaprootTree: Hashable, Sendable {
    /// Most branches above a leaf.
    ///
    /// Source: BIP-341, "Script validation rules" (a control block holds at most 128 hashes).
    public static let depthMax = 128

    /// The shape of a tree, written out.
    public indirect enum Node: Hashable, Sendable {
        case leaf(TapLeaf)
        case branch(Node, Node)
    }

    /// A leaf, and how many branches lie above it.
    public struct PlacedLeaf: Hashable, Sendable {
        public var depth: Int
        public var leaf: TapLeaf

        public init(depth: Int, leaf: TapLeaf) {
            self.depth = depth
            self.leaf = leaf
        }
    }

    /// The leaves, left before right: a depth-first walk, which is the order of PSBT_OUT_TAP_TREE (BIP-371).
    ///
    /// With their depths they say everything about the tree.
    public let placedLeaves: [PlacedLeaf]

    private let hashes: MerkleTree
}

// MARK: - Making a tree

extension TaprootTree {
    /// A tree of one leaf.
    public init(leaf: TapLeaf) {
        self.placedLeaves = [PlacedLeaf(depth: 0, leaf: leaf)]
        self.hashes = MerkleTree(leaf: leaf.hash.hash)
    }

    /// A tree of the given shape.
    ///
    /// - Throws: `TaprootError.tooDeep` for a leaf below 128 branches.
    public init(_ root: Node) throws(TaprootError) {
        var placed: [PlacedLeaf] = []
        // The right halves that are still to be walked; the walk itself uses no stack of calls.
        var pending = [(depth: 0, node: root)]
        while let (depth, node) = pending.popLast() {
            switch node {
            case .leaf(let leaf):
                placed.append(PlacedLeaf(depth: depth, leaf: leaf))
            case .branch(let left, let right):
                guard depth < Self.depthMax else { throw .tooDeep(leaf: placed.count, depth: depth + 1) }
                pending.append((depth + 1, right))
                pending.append((depth + 1, left))
            }
        }
        try self.init(depthFirst: placed)
    }

    /// A tree from its leaves in depth-first order, each with its depth (BIP-371, PSBT_OUT_TAP_TREE).
    ///
    /// - Throws: `TaprootError` naming the leaf, counted from 0, that makes the list no tree.
    public init(depthFirst leaves: [PlacedLeaf]) throws(TaprootError) {
        self.hashes = try MerkleTree(depthFirst: leaves.lazy.map { ($0.depth, $0.leaf.hash.hash) })
        self.placedLeaves = leaves
    }

    /// A tree as even as can be: a list of m leaves splits into the first ⌈m/2⌉ and the rest, recursively.
    ///
    /// - Throws: `TaprootError.emptyTree` for no leaf.
    public init(balanced leaves: [TapLeaf]) throws(TaprootError) {
        let depths = MerkleTree.balancedDepths(leafCount: leaves.count)
        try self.init(depthFirst: zip(depths, leaves).map { PlacedLeaf(depth: $0, leaf: $1) })
    }
}

// MARK: - Reading a tree

extension TaprootTree {
    public var leafCount: Int { self.placedLeaves.count }

    /// The leaf at a position of the depth-first order.
    public func leaf(at index: Int) -> TapLeaf { self.placedLeaves[index].leaf }

    /// The first position of a leaf; `nil` if the tree has no such leaf.
    public func firstIndex(of leaf: TapLeaf) -> Int? { self.placedLeaves.firstIndex { $0.leaf == leaf } }

    /// What the output key commits to.
    public var merkleRoot: Bytes32 { self.hashes.root }

    /// The hashes beside the way from a leaf up to the root, the leaf's own sibling first.
    ///
    /// Takes work in proportion to the leaf's depth.
    public func merklePath(ofLeafAt index: Int) -> [Bytes32] { self.hashes.path(ofLeafAt: index) }
}

// MARK: - The encoding of BIP-371

extension TaprootTree {
    /// Longest encoding that is read, in bytes.
    ///
    /// Source: the limit on a whole PSBT, which such a tree comes in.
    public static let byteCountMax = 16 << 20

    /// Most leaves of an encoded tree that are read.
    ///
    /// A leaf takes three bytes at least and, decoded, some hundred with its hashes.
    ///
    /// Source: Chorale's own bound; more than the 19,600 leaves of 47 of 50 signers.
    public static let leafCountMax = 100_000

    /// Parses the value of PSBT_OUT_TAP_TREE: for each leaf its depth, version and script, depth first.
    ///
    /// - Throws: `TaprootError`; `tooManyLeaves` above `leafCountMax`.
    public init(parsing bytes: [UInt8]) throws(TaprootError) {
        var allowance = ItemAllowance.unlimited
        try self.init(parsing: bytes, leaves: &allowance)
    }

    /// The same, its leaves taken off an allowance.
    init(parsing bytes: [UInt8], leaves allowance: inout ItemAllowance) throws(TaprootError) {
        guard bytes.count <= Self.byteCountMax else {
            throw .malformed(.tooLarge(field: "tree", offset: 0, value: UInt64(bytes.count), limit: UInt64(Self.byteCountMax)))
        }
        var reader = ByteReader(bytes)
        var placed: [PlacedLeaf] = []
        while !reader.isAtEnd {
            guard placed.count < Self.leafCountMax else { throw .tooManyLeaves(limit: Self.leafCountMax) }
            guard allowance.take(1) else { throw .tooManyLeaves(limit: placed.count) }
            let (depth, version, script) = try Self.readLeaf(from: &reader)
            placed.append(PlacedLeaf(depth: Int(depth), leaf: try TapLeaf(version: version, script: script)))
        }
        try self.init(depthFirst: placed)
    }

    private static func readLeaf(from reader: inout ByteReader) throws(TaprootError) -> (UInt8, UInt8, Script) {
        do throws(ByteDecodingError) {
            let depth = try reader.readUInt8("leaf depth")
            let version = try reader.readUInt8("leaf version")
            return (depth, version, Script(try reader.readVariableBytes("leaf script")))
        } catch {
            throw .malformed(error)
        }
    }

    /// The value of PSBT_OUT_TAP_TREE.
    public func serialized() -> [UInt8] {
        var writer = ByteWriter()
        for placed in self.placedLeaves {
            writer.writeUInt8(UInt8(truncatingIfNeeded: placed.depth))
            writer.writeUInt8(placed.leaf.version)
            writer.writeVariableBytes(placed.leaf.script.bytes)
        }
        return writer.bytes
    }
}
