public import CryptoPrimitives
public import LibP2P

/// How members' messages about requests cross the network: each is a frame, and is answered by a byte. A stream carries one after the other;
/// more streams, several at once.
///
/// That the answer came says that the message was taken in, and no more: what matters is acknowledged by `Coordination` itself, which
/// tells it again until then.
public enum CoordinationProtocol {
    public static let id = "/chorale/coordination/1.0.0"

    /// Most bytes of one message: a proposal, or a begin with everybody's nonces, of the largest group.
    public static let messageByteCountMax = 8 << 20

    /// What the receiver says of a message.
    public enum Answer: UInt8, Sendable {
        case taken = 0
        /// It counts against the connection that brought it.
        case refused = 1
        /// Nothing of this peer is listened to now; or not to what it gives ahead, which it may give again later.
        case blocked = 2
        /// The request is not known here, and was lost perhaps: whoever knows it may propose it again.
        case unknown = 3
        /// It came on top of more than is heard of one member at a time, and was not looked at: it may be told again later. It counts against
        /// nobody.
        case busy = 4
    }

    public static var configuration: RequestResponse.Configuration {
        var configuration = RequestResponse.Configuration(
            protocolIDs: [Self.id], requestByteCountMax: Self.messageByteCountMax, answerByteCountMax: 1)
        configuration.timeout = .seconds(30)
        configuration.usesLimitedConnections = true
        configuration.keepsStreams = true
        return configuration
    }
}

extension PeerID {
    /// The peer whose identity this is.
    public init(of identity: Ed25519.PublicKey) { self.init(of: PeerPublicKey(identity)) }

    /// The identity that this names; `nil` for peers with a key of another kind, none of which is enrolled.
    public var identity: Ed25519.PublicKey? { self.inlineKey?.ed25519 }
}
