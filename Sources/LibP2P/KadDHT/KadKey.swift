internal import CryptoPrimitives

/// A place in the space of the hash table: the SHA-256 of a peer id or of a record's key; or the distance between two places.
///
/// Kept as four numbers, so that distances of hundreds of peers are compared without touching the heap.
public struct KadKey: Hashable, Comparable, Sendable {
    private var words: (UInt64, UInt64, UInt64, UInt64)

    /// The place of a key or of a peer id's bytes (kad-dht, "Distance").
    public init(hashing bytes: [UInt8]) {
        self.words = SHA256.hash(bytes).withUnsafeBytes { digest in
            (
                UInt64(bigEndian: digest.loadUnaligned(fromByteOffset: 0, as: UInt64.self)),
                UInt64(bigEndian: digest.loadUnaligned(fromByteOffset: 8, as: UInt64.self)),
                UInt64(bigEndian: digest.loadUnaligned(fromByteOffset: 16, as: UInt64.self)),
                UInt64(bigEndian: digest.loadUnaligned(fromByteOffset: 24, as: UInt64.self))
            )
        }
    }

    public init(of peer: PeerID) { self.init(hashing: peer.bytes) }

    /// The exclusive or of both: smaller is closer.
    public func distance(to other: KadKey) -> KadKey {
        var result = self
        result.words.0 ^= other.words.0
        result.words.1 ^= other.words.1
        result.words.2 ^= other.words.2
        result.words.3 ^= other.words.3
        return result
    }

    /// How many bits both begin with in common, 0 to 256.
    public func commonPrefixBitCount(with other: KadKey) -> Int {
        let distance = self.distance(to: other).words
        if distance.0 != 0 { return distance.0.leadingZeroBitCount }
        if distance.1 != 0 { return 64 + distance.1.leadingZeroBitCount }
        if distance.2 != 0 { return 128 + distance.2.leadingZeroBitCount }
        return 192 + distance.3.leadingZeroBitCount
    }

    public static func == (left: KadKey, right: KadKey) -> Bool { left.words == right.words }

    public static func < (left: KadKey, right: KadKey) -> Bool {
        if left.words.0 != right.words.0 { return left.words.0 < right.words.0 }
        if left.words.1 != right.words.1 { return left.words.1 < right.words.1 }
        if left.words.2 != right.words.2 { return left.words.2 < right.words.2 }
        return left.words.3 < right.words.3
    }

    public func hash(into hasher: inout Hasher) {
        hasher.combine(self.words.0)
        hasher.combine(self.words.1)
    }
}
