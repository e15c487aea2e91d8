public import Bitcoin
public import CryptoPrimitives
public import MuSig2
public import Secp256k1

/// Who may spend a group's coins together, and how: what a signing session asks of a wallet.
public protocol SpendingPolicy: Sendable {
    /// The script of every coin of this policy.
    var scriptPubKey: Script { get }

    /// Digest of the policy, which the request's digest T0 covers.
    var digest: Bytes32 { get }

    /// How a set of signers spends: its keys in the order of aggregation, and the path.
    ///
    /// - Parameter signers: the chosen set, in any order, or `nil` for all signers of an n-of-n group.
    /// - Throws: `SigningError.transaction` when this set cannot spend, with the reason.
    func spend(by signers: [PublicKey]?) throws(SigningError) -> (signers: [PublicKey], path: SpendPath)
}

/// All signers together: a Taproot output whose internal key is the MuSig2 aggregate of its signers.
public struct SignerGroup: SpendingPolicy {
    public let keys: KeyAggregation
    /// Root of a script tree under the aggregate key, if there is one.
    public let merkleRoot: Bytes32?
    public let scriptPubKey: Script

    /// - Parameters:
    ///   - publicKeys: the signers; they are sorted (BIP-327, "KeySort").
    public init(_ publicKeys: [PublicKey], merkleRoot: Bytes32? = nil) throws(SigningError) {
        try self.init(inOrder: publicKeys.sorted(), merkleRoot: merkleRoot)
    }

    /// A group whose maker aggregated the keys in this order, as a PSBT's participants field tells it (BIP-373).
    public init(inOrder publicKeys: [PublicKey], merkleRoot: Bytes32? = nil) throws(SigningError) {
        guard Set(publicKeys).count == publicKeys.count else { throw .transaction("a signer stands twice in the group") }
        do {
            self.keys = try KeyAggregation(publicKeys)
            self.scriptPubKey = .payToTaproot(try self.keys.tweakedForTaproot(merkleRoot: merkleRoot).xOnlyKey)
        } catch { throw .musig(error, signer: nil, input: nil) }
        self.merkleRoot = merkleRoot
    }

    public var digest: Bytes32 {
        var hash = Self.tag
        hash.update(self.scriptPubKey.bytes)
        for key in self.keys.publicKeys { hash.update(key.bytes) }
        return hash.finalize()
    }

    private static let tag = SHA256.tagged("chorale/group")

    public func spend(by signers: [PublicKey]?) throws(SigningError) -> (signers: [PublicKey], path: SpendPath) {
        if let signers, Set(signers) != Set(self.keys.publicKeys) {
            throw .transaction("all \(self.keys.publicKeys.count) signers of this group are needed, and \(signers.count) were named")
        }
        return (self.keys.publicKeys, .keyPath(merkleRoot: self.merkleRoot))
    }
}
