import MuSig2

/// Why there is no such k-of-n policy, leaf or path.
///
/// A *signer* is an index: where a list was just given, into that list; else into the policy's sorted keys.
public enum DelegatedMultisigError: Error, Equatable, Sendable {
    case noSigners
    /// The threshold goes from 1 to the count of signers.
    case thresholdOutOfRange(threshold: Int, signers: Int)
    /// One leaf stands for each subset of k signers. `leaves` is `nil` when the count does not even fit 64 bits.
    case tooManyLeaves(threshold: Int, signers: Int, leaves: UInt64?, limit: Int)
    /// Each leaf takes work for each of its k keys; `keys` is their product.
    case tooMuchWork(leaves: Int, threshold: Int, keys: Int, limit: Int)
    /// The owner's key, or its negation, is also the key of this signer of the given list.
    case ownerIsSigner(signer: Int)
    /// Two signers of the given list have one key, or a key and its negation: whoever holds one secret holds the other.
    case duplicateSigner(Int, Int)
    /// No key came out of the aggregation; valid keys do that with a chance of one in 2^128.
    case aggregation(MuSig2Error)
    case output(TaprootError)
    /// The task was cancelled before the last leaf was computed.
    case cancelled
    /// Leaf keys that were given from outside are not one for each set.
    case wrongLeafKeyCount(Int, leaves: Int)
    /// A leaf key that was given from outside is no key.
    case invalidLeafKey(Int)
    case noSuchLeaf(Int, leaves: Int)
    case noSuchSigner(Int, signers: Int)
    /// A leaf belongs to exactly k different signers.
    case wrongSignerCount(Int, threshold: Int)
    case notEnoughSigners(present: Int, threshold: Int)
    /// The internal key is not of the kind that this path spends with.
    case pathNotInPolicy(DelegatedMultisig.Path)
    /// The owner signs alone: there is no group to aggregate.
    case pathHasNoGroup(DelegatedMultisig.Path)
    case descriptorTooLong(leaves: Int, limit: Int)
}

extension DelegatedMultisigError: CustomStringConvertible {
    public var description: String {
        switch self {
        case .noSigners:
            "a k-of-n policy needs at least one signer"
        case .thresholdOutOfRange(let threshold, let signers):
            "the threshold is \(threshold), and with \(signers) signers it must be from 1 to \(signers)"
        case .tooManyLeaves(let threshold, let signers, let leaves, let limit):
            "\(threshold)-of-\(signers) has \(leaves.map(String.init) ?? "more than \(UInt64.max)") possible sets of signers, and "
                + "\(limit) is the limit: choose fewer signers, or a threshold nearer to 1 or to \(signers)"
        case .tooMuchWork(let leaves, let threshold, let keys, let limit):
            "\(leaves) sets of \(threshold) signers are \(keys) keys to aggregate, and \(limit) is the limit: choose "
                + "fewer signers, or allow a large tree by name if the policy is your own"
        case .ownerIsSigner(let signer):
            "the owner's key is also that of signer \(signer): give the owner a key of its own"
        case .duplicateSigner(let first, let second):
            "signers \(first) and \(second) have the same key up to its sign, so one person would count twice: give each its own"
        case .aggregation(let error):
            "the keys did not aggregate: \(error)"
        case .output(let error):
            "the policy has no output: \(error)"
        case .cancelled:
            "the computation of the leaves was cancelled"
        case .wrongLeafKeyCount(let count, let leaves):
            "\(count) leaf keys were given, and the policy has \(leaves) leaves: leave them away to compute them again"
        case .invalidLeafKey(let leaf):
            "the key given for leaf \(leaf) is no key: leave the leaf keys away to compute them again"
        case .noSuchLeaf(let leaf, let leaves):
            "there is no leaf \(leaf): the policy has \(leaves), counted from 0"
        case .noSuchSigner(let signer, let signers):
            "there is no signer \(signer): the policy has \(signers), counted from 0"
        case .wrongSignerCount(let count, let threshold):
            "a leaf belongs to exactly \(threshold) different signers, and here are \(count)"
        case .notEnoughSigners(let present, let threshold):
            "\(threshold) signers are needed and \(present) are present"
        case .pathNotInPolicy(let path):
            "this policy cannot be spent by \(path): its internal key is of another kind"
        case .pathHasNoGroup(let path):
            "\(path) is signed by one key alone, so there is nothing to aggregate"
        case .descriptorTooLong(let leaves, let limit):
            "the descriptor would list \(leaves) leaves, and \(limit) is the limit: leave the descriptor away; the keys, k and the kind of "
                + "key path make the policy again"
        }
    }
}
