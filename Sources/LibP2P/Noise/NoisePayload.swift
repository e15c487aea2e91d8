public import CryptoPrimitives

/// The Diffie-Hellman key of a node, bound to its identity by a signature (libp2p noise, "Static Key Authentication").
///
/// One for a process, made at its start and never stored: the signature is made once and serves all handshakes.
public final class NoiseStaticKey: Sendable {
    let secret: X25519.SecretKey
    /// Whose key it is.
    public let peerID: PeerID
    let identityKey: [UInt8]
    let signature: [UInt8]

    public init(_ secret: consuming X25519.SecretKey, of identity: PeerIdentity) {
        self.peerID = identity.id
        self.identityKey = identity.publicKey.encoded
        self.signature = identity.sign(NoisePayload.signedBytes(secret.publicKey))
        self.secret = secret
    }
}

/// What the second and third handshake messages carry (libp2p noise, "The libp2p Handshake Payload").
struct NoisePayload: Equatable, Sendable {
    /// Most multiplexers in one list. There are two in the world.
    static let muxerCountMax = 16
    /// Longest name of one, in bytes.
    static let muxerByteCountMax = 128

    let identityKey: [UInt8]
    let signature: [UInt8]
    /// In the order of preference; empty when the other side does not negotiate here.
    let muxers: [String]

    init(_ staticKey: NoiseStaticKey, muxers: [String]) {
        self.identityKey = staticKey.identityKey
        self.signature = staticKey.signature
        self.muxers = muxers
    }

    init(parsing bytes: [UInt8]) throws(ProtobufError) {
        var (key, signature, muxers): ([UInt8]?, [UInt8]?, [String]) = (nil, nil, [])
        var reader = ProtobufReader(bytes[...])
        while let field = try reader.next() {
            switch field.number {
            case 1: key = Array(try field.bytes())
            case 2: signature = Array(try field.bytes())
            case 4:
                var extensions = try field.message()
                while let inner = try extensions.next() {
                    guard inner.number == 2 else { continue }
                    guard muxers.count < Self.muxerCountMax else { throw .tooManyFields(field: 2, maximum: Self.muxerCountMax) }
                    muxers.append(try inner.string(byteCountMax: Self.muxerByteCountMax))
                }
            default: break
            }
        }
        guard let key else { throw .missing(field: 1) }
        guard let signature else { throw .missing(field: 2) }
        (self.identityKey, self.signature, self.muxers) = (key, signature, muxers)
    }

    var encoded: [UInt8] {
        ProtobufWriter.message { message in
            message.bytes(self.identityKey, field: 1)
            message.bytes(self.signature, field: 2)
            if !self.muxers.isEmpty {
                message.message(field: 4) { extensions in
                    for muxer in self.muxers { extensions.string(muxer, field: 2) }
                }
            }
        }
    }

    /// The identity, once it is found to have signed the static key of this very handshake.
    func verifiedKey(for staticKey: X25519.PublicKey) throws(PeerKeyError) -> PeerPublicKey {
        let key = try PeerPublicKey(parsing: self.identityKey)
        try key.verify(self.signature, of: Self.signedBytes(staticKey))
        return key
    }

    static func signedBytes(_ staticKey: X25519.PublicKey) -> [UInt8] { Array("noise-libp2p-static-key:".utf8) + staticKey.bytes.bytes }
}
