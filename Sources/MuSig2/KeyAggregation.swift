package import CSecp256k1
public import CryptoPrimitives
public import Secp256k1

/// A tweak of an aggregate key (BIP-327, "Tweaking the Aggregate Public Key").
public enum Tweak: Hashable, Sendable {
    /// Added to the key as it is: BIP-32 derivation.
    case plain(Bytes32)
    /// Added to the key with even y: Taproot.
    case xOnly(Bytes32)
}

/// Many keys as one: the aggregate of a group's public keys and the tweaks upon it, in order (BIP-327, "KeyAgg").
///
/// Aggregation costs about 30 µs a key; a value holds what the rounds need of it, so that it is done once a group and not once
/// a signature. Tweaked variants come from the same work at the price of one point addition.
public struct KeyAggregation: Sendable {
    /// The signers' keys in the order that was aggregated. One key may stand there twice, as BIP-327 allows.
    public let publicKeys: [PublicKey]
    /// The tweaks, in the order in which they were applied.
    public private(set) var tweaks: [Tweak] = []
    /// The aggregate before any tweak.
    public let untweakedKey: PublicKey
    /// The key that the group signs for: the aggregate with all tweaks.
    public private(set) var aggregateKey: PublicKey

    package private(set) var cache: secp256k1_musig_keyagg_cache
    /// The first eight bytes of each key. Each nonce and each signature looks for its signer, and among a thousand that takes
    /// microseconds in the keys themselves, which lie a cache line apart.
    private let firstWords: [UInt64]

    /// Aggregates the keys in the given order. The order matters: each order has its own aggregate.
    public init(_ publicKeys: [PublicKey]) throws(MuSig2Error) {
        guard !publicKeys.isEmpty else { throw .noSigners }
        var cache = secp256k1_musig_keyagg_cache()
        var aggregate = secp256k1_pubkey()
        let isMade = publicKeys.withLibraryPointers(of: secp256k1_pubkey.self) {
            secp256k1_musig_pubkey_agg(Context.shared, nil, &cache, $0, publicKeys.count) == 1
                && secp256k1_musig_pubkey_get(Context.shared, &aggregate, &cache) == 1
        }
        // Valid keys always aggregate, save for a chance of one in 2^128 that the sum is the point at infinity.
        guard isMade else { throw .invalid(.publicKey, signer: nil) }
        self.publicKeys = publicKeys
        self.cache = cache
        self.firstWords = publicKeys.map(Self.firstWord)
        self.untweakedKey = PublicKey(raw: aggregate)
        self.aggregateKey = self.untweakedKey
    }

    /// Aggregates the keys in the order of BIP-327's KeySort: the same group has one aggregate, whoever lists it.
    public init(sorting publicKeys: [PublicKey]) throws(MuSig2Error) {
        try self.init(publicKeys.sorted())
    }

    /// Parses 33-byte keys and aggregates them in the given order; an error names the signer whose bytes are no key.
    public init(parsing encodedKeys: [[UInt8]]) throws(MuSig2Error) {
        var keys: [PublicKey] = []
        keys.reserveCapacity(encodedKeys.count)
        for (signer, bytes) in encodedKeys.enumerated() {
            do { keys.append(try PublicKey(parsing: bytes)) } catch {
                switch error {
                case .wrongByteCount(let expected, let actual):
                    throw .wrongByteCount(.publicKey, signer: signer, expected: expected, actual: actual)
                case .notOnCurve, .scalarOutOfRange, .pointAtInfinity: throw .invalid(.publicKey, signer: signer)
                }
            }
        }
        try self.init(keys)
    }

    /// The x coordinate of `aggregateKey`: what BIP-340 verifies against.
    public var xOnlyKey: XOnlyPublicKey { self.aggregateKey.xOnly }

    /// The same group with one more tweak (BIP-327, "ApplyTweak").
    public func tweaked(by tweak: Tweak) throws(MuSig2Error) -> KeyAggregation {
        var result = self
        var key = secp256k1_pubkey()
        let isDone =
            switch tweak {
            case .plain(let scalar):
                scalar.withUnsafeBytes {
                    secp256k1_musig_pubkey_ec_tweak_add(Context.shared, &key, &result.cache, $0.bytePointer) == 1
                }
            case .xOnly(let scalar):
                scalar.withUnsafeBytes {
                    secp256k1_musig_pubkey_xonly_tweak_add(Context.shared, &key, &result.cache, $0.bytePointer) == 1
                }
            }
        guard isDone else { throw .invalidTweak(index: self.tweaks.count) }
        result.tweaks.append(tweak)
        result.aggregateKey = PublicKey(raw: key)
        return result
    }

    /// The same group with these tweaks, in order.
    public func tweaked(by tweaks: [Tweak]) throws(MuSig2Error) -> KeyAggregation {
        var result = self
        for tweak in tweaks { result = try result.tweaked(by: tweak) }
        return result
    }

    /// The group as it signs for a Taproot output's key path (BIP-341): the tweak commits to the script tree's root, or to
    /// having no scripts.
    public func tweakedForTaproot(merkleRoot: Bytes32?) throws(MuSig2Error) -> KeyAggregation {
        try self.tweaked(by: .xOnly(self.xOnlyKey.taprootTweak(merkleRoot: merkleRoot)))
    }

    /// Places of the key in the group, empty for a stranger.
    public func signers(holding key: PublicKey) -> [Int] {
        let wanted = Self.firstWord(of: key)
        return self.firstWords.withUnsafeBufferPointer { words in
            var places: [Int] = []
            for place in words.indices where words[place] == wanted && self.publicKeys[place] == key { places.append(place) }
            return places
        }
    }

    private static func firstWord(of key: PublicKey) -> UInt64 { withUnsafeBytes(of: key.raw) { $0.loadUnaligned(as: UInt64.self) } }
}

/// Aggregates only the x-only key, for the many leaves of a k-of-n tree that no one signs for.
public enum AggregateKey {
    /// The x-only aggregate of the keys in the given order, without the data that signing needs.
    public static func xOnly(of publicKeys: [PublicKey]) throws(MuSig2Error) -> XOnlyPublicKey {
        guard !publicKeys.isEmpty else { throw .noSigners }
        var aggregate = secp256k1_xonly_pubkey()
        let isMade = publicKeys.withLibraryPointers(of: secp256k1_pubkey.self) {
            secp256k1_musig_pubkey_agg(Context.shared, &aggregate, nil, $0, publicKeys.count) == 1
        }
        guard isMade else { throw .invalid(.publicKey, signer: nil) }
        return XOnlyPublicKey(raw: aggregate)
    }
}

extension Array {
    /// Calls `body` with what the library takes for many: an array of pointers to its structures.
    ///
    /// `Element` must store exactly one library structure of the type and nothing else, so that the array's storage is an array
    /// of those structures; a difference in size is a broken promise of this package and stops here.
    package func withLibraryPointers<Structure, Result>(
        of type: Structure.Type, _ body: (UnsafePointer<UnsafePointer<Structure>?>) -> Result
    ) -> Result {
        precondition(MemoryLayout<Element>.stride == MemoryLayout<Structure>.stride, "not a plain wrapper of the library's structure")
        return self.withUnsafeBytes { storage in
            withUnsafeTemporaryAllocation(of: UnsafePointer<Structure>?.self, capacity: Swift.max(1, self.count)) { pointers in
                pointers.initialize(repeating: nil)
                if let first = storage.baseAddress?.assumingMemoryBound(to: Structure.self) {
                    for index in 0..<self.count { pointers[index] = first + index }
                }
                guard let base = pointers.baseAddress else { preconditionFailure("a temporary allocation of one or more has a start") }
                return body(UnsafePointer(base))
            }
        }
    }
}
