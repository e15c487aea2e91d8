public import CryptoPrimitives
internal import Secp256k1

/// Why bytes are no public key of a peer, or a signature does not count.
public enum PeerKeyError: Error, Equatable, Sendable, CustomStringConvertible {
    case protobuf(ProtobufError)
    /// A type of key that the specification does not have.
    case unknownType(UInt64)
    /// The data is no key of its type.
    case invalidKey(PeerPublicKey.KeyType)
    /// Keys of this type are named and compared here; their signatures are not verified.
    case cannotVerify(PeerPublicKey.KeyType)
    /// The signature is not this key's, or not of these bytes.
    case wrongSignature

    public var description: String {
        switch self {
        case .protobuf(let error): "public key of a peer: \(error)"
        case .unknownType(let type): "a peer's public key has type \(type), which is none of RSA, Ed25519, secp256k1 and ECDSA"
        case .invalidKey(let type): "the bytes are no \(type) public key"
        case .cannotVerify(let type): "signatures by \(type) keys are not verified here; the peer needs an Ed25519 or secp256k1 identity"
        case .wrongSignature: "the signature was not made by this key over these bytes"
        }
    }
}

/// The public key of a peer (libp2p peer-ids, "Keys").
///
/// Ed25519 and secp256k1 keys verify signatures. RSA and ECDSA keys are carried unread: their owners can be named and compared.
public struct PeerPublicKey: Hashable, Sendable {
    public enum KeyType: UInt64, Sendable, CaseIterable, CustomStringConvertible {
        case rsa = 0
        case ed25519 = 1
        case secp256k1 = 2
        case ecdsa = 3

        public var description: String {
            switch self {
            case .rsa: "RSA"
            case .ed25519: "Ed25519"
            case .secp256k1: "secp256k1"
            case .ecdsa: "ECDSA"
            }
        }
    }

    /// Most bytes of the encoding: an RSA key of 8,192 bits takes about 1,070.
    public static let byteCountMax = 2_048

    private enum Material: Hashable {
        case ed25519(Ed25519.PublicKey)
        case secp256k1(Secp256k1.PublicKey)
        case unread
    }

    public let type: KeyType
    /// The key in the encoding of its type: 32 bytes of Ed25519, 33 of secp256k1, DER of the others.
    public let data: [UInt8]
    private let material: Material

    public init(_ key: Ed25519.PublicKey) {
        self.type = .ed25519
        self.data = key.bytes
        self.material = .ed25519(key)
    }

    /// The key, where it is one of Ed25519.
    public var ed25519: Ed25519.PublicKey? {
        if case .ed25519(let key) = self.material { key } else { nil }
    }

    /// Reads the protobuf message `PublicKey`.
    ///
    /// Fields in another order and fields that are not known are passed over: a peer's id comes from `encoded`, which is always
    /// the one canonical form.
    public init(parsing bytes: some Collection<UInt8>) throws(PeerKeyError) {
        let fields: (type: UInt64?, data: [UInt8]?)
        do throws(ProtobufError) {
            fields = try Self.fields(of: bytes)
        } catch {
            throw .protobuf(error)
        }
        guard let number = fields.type else { throw .protobuf(.missing(field: 1)) }
        guard let data = fields.data else { throw .protobuf(.missing(field: 2)) }
        guard let type = KeyType(rawValue: number) else { throw .unknownType(number) }
        self.type = type
        self.data = data
        switch type {
        case .ed25519:
            guard let key = try? Ed25519.PublicKey(parsing: data) else { throw .invalidKey(type) }
            self.material = .ed25519(key)
        case .secp256k1:
            guard let key = try? Secp256k1.PublicKey(parsing: data) else { throw .invalidKey(type) }
            self.material = .secp256k1(key)
        case .rsa, .ecdsa:
            guard !data.isEmpty else { throw .invalidKey(type) }
            self.material = .unread
        }
    }

    private static func fields(of bytes: some Collection<UInt8>) throws(ProtobufError) -> (type: UInt64?, data: [UInt8]?) {
        var reader = try ProtobufReader(bytes, byteCountMax: Self.byteCountMax)
        var fields: (type: UInt64?, data: [UInt8]?) = (nil, nil)
        while let field = try reader.next() {
            switch field.number {
            case 1: fields.type = try field.unsigned()
            case 2: fields.data = Array(try field.bytes())
            default: break
            }
        }
        return fields
    }

    /// The protobuf message in its canonical form: both fields, in order.
    public var encoded: [UInt8] {
        ProtobufWriter.message { message in
            message.unsigned(self.type.rawValue, field: 1)
            message.bytes(self.data, field: 2)
        }
    }

    /// Accepts a signature of exactly this message by the owner of this key, and nothing else.
    ///
    /// - Parameter signature: 64 bytes (Ed25519), or DER over the message's SHA-256 (secp256k1).
    public func verify(_ signature: [UInt8], of message: [UInt8]) throws(PeerKeyError) {
        let isValid: Bool
        switch self.material {
        case .ed25519(let key):
            isValid = (try? Ed25519.Signature(parsing: signature))?.isValid(for: message, by: key) ?? false
        case .secp256k1(let key):
            isValid = (try? ECDSASignature(parsingDER: signature))?.isValid(for: SHA256.hash(message), by: key) ?? false
        case .unread:
            throw .cannotVerify(self.type)
        }
        guard isValid else { throw .wrongSignature }
    }

    /// Whether all implementations judge a signature of this form alike: where they do, one that is wrong here is wrong everywhere.
    ///
    /// - Ed25519: those that multiply by the cofactor, or take any encoding of R, take more than RFC 8032's plain equation, and libsodium
    ///   less: no R of small order. They differ only about an R that is no canonical point of the group of prime order.
    /// - secp256k1: some read more than strict DER.
    func judgesAsAll(_ signature: [UInt8]) -> Bool {
        switch self.material {
        case .ed25519:
            guard signature.count == Ed25519.Signature.byteCount else { return true }
            return (try? Ed25519.PublicKey(parsing: signature.prefix(Ed25519.PublicKey.byteCount))) != nil
        case .secp256k1: return (try? ECDSASignature(parsingDER: signature)) != nil
        case .unread: return false
        }
    }
}
