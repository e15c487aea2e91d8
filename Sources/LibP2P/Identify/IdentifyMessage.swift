/// The protobuf message `Identify` (libp2p identify, "The Identify Message"; field 8 by RFC 0003), read, but not yet believed.
///
/// A push says only what changed: what is `nil` or empty here was not in it.
public struct IdentifyMessage: Equatable, Sendable {
    /// Most bytes of a message that we send: js-libp2p reads no more.
    public static let sentByteCountMax = 8_192
    /// Most bytes of all messages of one stream. go-libp2p sends ten of 8 KiB at most, and others one.
    public static let receivedByteCountMax = 65_536
    /// Most messages of one stream (go-libp2p, `maxMessages`).
    public static let messageCountMax = 10
    /// Most bytes of an agent's or a protocol family's name, and of a protocol id.
    public static let textByteCountMax = 256
    /// Most addresses that are kept of one stream; those behind are passed over.
    public static let addressCountMax = 64
    /// Most protocol ids that are kept of one stream; those behind are passed over.
    public static let protocolCountMax = 256

    public var protocolVersion: String?
    public var agentVersion: String?
    public var publicKey: [UInt8]?
    public var listenAddresses: [Multiaddr] = []
    public var observedAddress: Multiaddr?
    public var protocols: [String] = []
    public var signedPeerRecord: [UInt8]?

    public init() {}

    /// Reads a message, or several one behind the other: by the rules of protobuf that is the message which they make together.
    ///
    /// Addresses that cannot be read are left out: newer peers use protocols that this one does not know.
    public init(parsing bytes: some Collection<UInt8>) throws(ProtobufError) {
        var reader = try ProtobufReader(bytes, byteCountMax: Self.receivedByteCountMax)
        while let field = try reader.next() {
            switch field.number {
            case 1: self.publicKey = try field.bytes(byteCountMax: PeerPublicKey.byteCountMax)
            case 2:
                let address = try field.bytes()
                guard self.listenAddresses.count < Self.addressCountMax else { continue }
                if let address = try? Multiaddr(parsing: address) { self.listenAddresses.append(address) }
            case 3:
                let name = try field.string(byteCountMax: Self.textByteCountMax)
                if self.protocols.count < Self.protocolCountMax { self.protocols.append(name) }
            case 4: self.observedAddress = try? Multiaddr(parsing: try field.bytes())
            case 5: self.protocolVersion = try field.string(byteCountMax: Self.textByteCountMax)
            case 6: self.agentVersion = try field.string(byteCountMax: Self.textByteCountMax)
            case 8: self.signedPeerRecord = try field.bytes(byteCountMax: SignedEnvelope.byteCountMax)
            default: break
            }
        }
    }

    /// The protobuf message.
    public var bytes: [UInt8] {
        ProtobufWriter.message { message in
            if let key = self.publicKey { message.bytes(key, field: 1) }
            for address in self.listenAddresses { message.bytes(address.bytes, field: 2) }
            for name in self.protocols { message.string(name, field: 3) }
            if let address = self.observedAddress { message.bytes(address.bytes, field: 4) }
            if let version = self.protocolVersion { message.string(version, field: 5) }
            if let version = self.agentVersion { message.string(version, field: 6) }
            if let record = self.signedPeerRecord { message.bytes(record, field: 8) }
        }
    }
}
