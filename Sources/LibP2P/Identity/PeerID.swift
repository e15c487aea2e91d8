/// Why bytes or a text are no peer id.
public enum PeerIDError: Error, Equatable, Sendable, CustomStringConvertible {
    case multihash(MultihashError)
    /// Peer ids are SHA-256 digests, or keys of 1 to 42 bytes as they are.
    case wrongHash(code: UInt64, digestByteCount: Int)
    case multibase(MultibaseError)
    /// The text is a CID, and not version 1 of a libp2p key.
    case notALibP2PKey

    public var description: String {
        switch self {
        case .multihash(let error): "peer id: \(error)"
        case .wrongHash(let code, let count): "peer id: hash function \(code) with \(count) bytes is not one that peer ids use"
        case .multibase(let error): "peer id: \(error)"
        case .notALibP2PKey: "this text names something else than a libp2p key; a peer id begins with 1, Qm, b or k"
        }
    }
}

/// The name of a peer: its public key or, where that is long, the key's SHA-256 (libp2p peer-ids, "Peer Ids").
public struct PeerID: Hashable, Sendable {
    /// Keys up to this length, encoded, stand in the id as they are.
    public static let inlineKeyByteCountMax = 42

    /// Most characters of a text: SHA-256 in base 16 with everything before it has 73, an inline key 93.
    public static let characterCountMax = 128

    /// `libp2p-key` (multiformats/multicodec).
    private static let keyCodec: UInt64 = 0x72

    /// The multihash: at most 44 bytes.
    public let bytes: [UInt8]

    /// The id of a key.
    public init(of key: PeerPublicKey) {
        let encoded = key.encoded
        let hash: Multihash = encoded.count <= Self.inlineKeyByteCountMax ? .identity(encoded) : .sha256(of: encoded)
        self.bytes = hash.bytes
    }

    /// Reads the multihash, the form in which ids travel.
    public init(parsing bytes: some Collection<UInt8>) throws(PeerIDError) {
        let hash: Multihash
        do throws(MultihashError) {
            hash = try Multihash(parsing: bytes)
        } catch {
            throw .multihash(error)
        }
        let isInlineKey = hash.code == Multihash.identityCode && (1...Self.inlineKeyByteCountMax).contains(hash.digest.count)
        guard isInlineKey || hash.code == Multihash.sha256Code else {
            throw .wrongHash(code: hash.code, digestByteCount: hash.digest.count)
        }
        self.bytes = hash.bytes
    }

    /// Reads either text form: base 58 without a prefix (`12D3…`, `Qm…`), or a CID of version 1 in any base (`bafz…`, `k51…`).
    public init(text: some StringProtocol) throws(PeerIDError) {
        guard text.utf8.count <= Self.characterCountMax else {
            throw .multibase(.tooManyCharacters(count: text.utf8.count, maximum: Self.characterCountMax))
        }
        let isBare = text.hasPrefix("1") || text.hasPrefix("Qm")
        var bytes: ArraySlice<UInt8>
        do throws(MultibaseError) {
            bytes = try Multibase.decode(isBare ? "z" + String(text) : String(text)).bytes[...]
        } catch {
            throw .multibase(error)
        }
        if !isBare {
            guard (try? Varint.read(from: &bytes)) == 1, (try? Varint.read(from: &bytes)) == Self.keyCodec else {
                throw .notALibP2PKey
            }
        }
        try self.init(parsing: bytes)
    }

    /// The newer text form: a CID of version 1 in base 32.
    public var cid: String { Multibase.base32.encode(Varint.encode(1) + Varint.encode(Self.keyCodec) + self.bytes) }

    /// The key itself, where the id holds it.
    public var inlineKey: PeerPublicKey? {
        guard let hash = try? Multihash(parsing: self.bytes), hash.code == Multihash.identityCode else { return nil }
        return try? PeerPublicKey(parsing: hash.digest)
    }
}

extension PeerID: Comparable {
    /// By the bytes, lexicographically.
    public static func < (left: PeerID, right: PeerID) -> Bool { left.bytes.lexicographicallyPrecedes(right.bytes) }
}

extension PeerID: CustomStringConvertible {
    /// The form that everybody reads: base 58.
    public var description: String { String(Multibase.base58btc.encode(self.bytes).dropFirst()) }
}
