/// Why an envelope does not count.
public enum SignedEnvelopeError: Error, Equatable, Sendable, CustomStringConvertible {
    case protobuf(ProtobufError)
    case key(PeerKeyError)
    /// The envelope holds something else than was expected.
    case wrongPayloadType([UInt8])
    /// The payload speaks of another peer than the one who signed.
    case signedByAnother(signer: PeerID)
    case peerID(PeerIDError)

    public var description: String {
        switch self {
        case .protobuf(let error): "signed envelope: \(error)"
        case .key(let error): "signed envelope: \(error)"
        case .wrongPayloadType(let type): "the envelope's payload has type \(type), another than was expected"
        case .signedByAnother(let signer): "\(signer) signed this for another peer, which nobody may"
        case .peerID(let error): "signed envelope: \(error)"
        }
    }
}

/// Bytes that a peer signed for one purpose (libp2p RFC 0002). Not yet verified: `open` does that.
public struct SignedEnvelope: Hashable, Sendable {
    /// Most bytes of an envelope: far above a record with the most addresses that are read (`PeerRecord.addressCountMax`).
    public static let byteCountMax = 32_768

    public let publicKey: PeerPublicKey
    /// What the payload is: a multicodec, compared byte by byte.
    public let payloadType: [UInt8]
    private let payload: [UInt8]
    private let signature: [UInt8]

    /// Signs a payload.
    ///
    /// - Parameter domain: The purpose; a signature counts in no other.
    public init(sealing payload: [UInt8], type: [UInt8], domain: String, by identity: PeerIdentity) {
        self.publicKey = identity.publicKey
        self.payloadType = type
        self.payload = payload
        self.signature = identity.sign(Self.signedBytes(domain: domain, type: type, payload: payload))
    }

    /// Reads the protobuf message `Envelope`.
    public init(parsing bytes: some Collection<UInt8>) throws(SignedEnvelopeError) {
        var (key, type, payload, signature) = ([UInt8](), [UInt8](), [UInt8](), [UInt8]())
        do throws(ProtobufError) {
            var reader = try ProtobufReader(bytes, byteCountMax: Self.byteCountMax)
            while let field = try reader.next() {
                switch field.number {
                case 1: key = Array(try field.bytes())
                case 2: type = Array(try field.bytes())
                case 3: payload = Array(try field.bytes())
                case 5: signature = Array(try field.bytes())
                default: break
                }
            }
        } catch {
            throw .protobuf(error)
        }
        do throws(PeerKeyError) {
            self.publicKey = try PeerPublicKey(parsing: key)
        } catch {
            throw .key(error)
        }
        (self.payloadType, self.payload, self.signature) = (type, payload, signature)
    }

    /// The protobuf message `Envelope`.
    public var bytes: [UInt8] {
        ProtobufWriter.message { message in
            message.bytes(self.publicKey.encoded, field: 1)
            message.bytes(self.payloadType, field: 2)
            message.bytes(self.payload, field: 3)
            message.bytes(self.signature, field: 5)
        }
    }

    /// Whether a signature that is wrong here is wrong for everybody, so that nobody can have passed the envelope on in good faith.
    var isJudgedAlike: Bool { self.publicKey.judgesAsAll(self.signature) }

    /// The payload, once type, purpose and signature are found right.
    public func open(type: [UInt8], domain: String) throws(SignedEnvelopeError) -> [UInt8] {
        guard self.payloadType == type else { throw .wrongPayloadType(self.payloadType) }
        do throws(PeerKeyError) {
            try self.publicKey.verify(self.signature, of: Self.signedBytes(domain: domain, type: type, payload: self.payload))
        } catch {
            throw .key(error)
        }
        return self.payload
    }

    /// Each part with its length before it (RFC 0002, "Signature Production / Verification").
    private static func signedBytes(domain: String, type: [UInt8], payload: [UInt8]) -> [UInt8] {
        [Array(domain.utf8), type, payload].reduce(into: []) { bytes, part in
            Varint.append(UInt64(part.count), to: &bytes)
            bytes += part
        }
    }
}
