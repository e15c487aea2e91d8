import CryptoPrimitives
import MuSig2
import Secp256k1

extension DelegatedMultisig {
    /// Whose key stands before the script tree, and so who can spend by the key path alone.
    public enum InternalKey: Hashable, Sendable {
        /// One owner, who needs no signer.
        case owner(XOnlyPublicKey)
        /// All n signers together: the MuSig2 aggregate of the sorted keys.
        case aggregate
        /// Nobody: a point that is proved to have no known secret, different for each policy.
        case unspendable
    }
}

extension DelegatedMultisig.InternalKey {
    /// One owner. Taproot takes the key's x coordinate alone.
    public static func owner(_ key: PublicKey) -> Self { .owner(key.xOnly) }

    /// The key itself, and for an unspendable one the scalar that proves it.
    func resolved(
        sortedSigners: [PublicKey], threshold: Int
    ) throws(DelegatedMultisigError) -> (key: XOnlyPublicKey, unspendableTweak: Bytes32?) {
        switch self {
        case .owner(let key):
            return (key, nil)
        case .aggregate:
            do { return (try AggregateKey.xOnly(of: sortedSigners), nil) } catch { throw .aggregation(error) }
        case .unspendable:
            let tweak = UnspendableKey.tweak(sortedSigners: sortedSigners, threshold: threshold)
            do { return (try UnspendableKey.key(tweak: tweak), tweak) } catch { throw .output(.internalKey(error)) }
        }
    }
}

/// A point without a known discrete logarithm, as BIP-341 proposes for outputs that only scripts may spend: H + r·G.
///
/// H has no known logarithm because it was made from a hash. With r in hand anyone checks that the key is H + r·G and so has
/// none either; without r the key looks like any other, and two policies do not share one.
public enum UnspendableKey {
    /// The x coordinate of H: the SHA-256 of the generator's uncompressed encoding (BIP-341, "Constructing and spending Taproot
    /// outputs").
    public static let base: XOnlyPublicKey = {
        guard let bytes = Bytes32(hex: "50929b74c1a04954b78b4b6035e97a5e078a5a0f28ec96d547bfee9ace803ac0"),
            let key = try? XOnlyPublicKey(bytes)
        else { preconditionFailure("the point H of BIP-341 is on the curve") }
        return key
    }()

    /// r: the tagged hash `chorale/unspendable` of the threshold, as 4 bytes big endian, and the sorted signers' 33-byte keys.
    public static func tweak(sortedSigners: [PublicKey], threshold: Int) -> Bytes32 {
        var hash = Self.tag
        // Policies of 2^32 signers would not fit into memory.
        withUnsafeBytes(of: UInt32(clamping: threshold).bigEndian) { hash.update($0) }
        for key in sortedSigners { hash.update(key.bytes) }
        return hash.finalize()
    }

    /// H + r·G.
    public static func key(tweak: Bytes32) throws(KeyError) -> XOnlyPublicKey { try Self.base.tweaked(adding: tweak).xOnly }

    private static let tag = SHA256.tagged("chorale/unspendable")
}
