import Secp256k1

/// Why there is no such leaf, tree, control block or output, or none that fits the other.
public enum TaprootError: Error, Equatable, Sendable {
    case malformed(ByteDecodingError)
    /// Odd, or 0x50.
    case invalidLeafVersion(UInt8)
    /// A tree has at least one leaf.
    case emptyTree
    /// An encoded tree has more leaves than are read; `limit` is less than `TaprootTree.leafCountMax` where other trees and
    /// witnesses of the same PSBT have used up what it may hold (`PSBT.itemCountMax`).
    case tooManyLeaves(limit: Int)
    /// A leaf, counted from 0, lies deeper than 128 branches.
    case tooDeep(leaf: Int, depth: Int)
    /// In a list of leaves by depth, this leaf cannot stand where it stands: an earlier branch still lacks its second half, or
    /// the tree was already whole.
    case misplacedLeaf(leaf: Int, depth: Int)
    /// The list of leaves ends before every branch has two halves.
    case incompleteTree
    /// A control block has 33 + 32·m bytes, m from 0 to 128.
    case controlBlockByteCount(Int)
    /// The internal key is no key, or no key comes out when the tree is added to it.
    case internalKey(KeyError)
    /// The output commits to another tree.
    case otherTree
    /// The tree has no leaf at this position, from 0.
    case noSuchLeaf(Int, count: Int)
}

extension TaprootError: CustomStringConvertible {
    public var description: String {
        switch self {
        case .malformed(let error):
            "not a Taproot tree: \(error)"
        case .invalidLeafVersion(let version):
            "0x\(String(version, radix: 16)) is no leaf version: it must be even and not 0x50; tapscript is 0xc0"
        case .emptyTree:
            "a Taproot tree needs at least one leaf; leave the tree away for an output without scripts"
        case .tooManyLeaves(let limit):
            "the tree has more than the \(limit) leaves that may be read here; ask for the output without its tree"
        case .tooDeep(let leaf, let depth):
            "leaf \(leaf) lies at depth \(depth), and 128 is the deepest"
        case .misplacedLeaf(let leaf, let depth):
            "leaf \(leaf) cannot stand at depth \(depth) here: list the leaves depth first, left before right"
        case .incompleteTree:
            "the tree is not whole: a branch lacks its second half"
        case .controlBlockByteCount(let count):
            "a control block has 33 bytes and 32 more for each level up to 128, and this one has \(count)"
        case .internalKey(let error):
            "internal key: \(error)"
        case .otherTree:
            "the output commits to another tree than this one"
        case .noSuchLeaf(let index, let count):
            "there is no leaf \(index): the tree has \(count), counted from 0"
        }
    }
}
