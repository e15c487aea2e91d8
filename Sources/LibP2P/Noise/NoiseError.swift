public import CryptoPrimitives

/// Why a connection's encryption failed. There is no going on after any of these: the connection ends.
public enum NoiseError: Error, Equatable, Sendable, CustomStringConvertible {
    /// A handshake message is longer than any honest one.
    case handshakeMessageTooLong(byteCount: Int, maximum: Int)
    /// A message is too short for what it must hold.
    case messageTooShort(byteCount: Int)
    /// A message is not what the other side sent: altered, repeated, out of order, or meant for another handshake.
    case notAuthentic
    /// The other side sent a Diffie-Hellman key with which every secret is known to all.
    case publicKeyOfSmallOrder
    /// The payload is no `NoiseHandshakePayload`.
    case payload(ProtobufError)
    /// The identity key is none, or it did not sign the connection's static key.
    case identity(PeerKeyError)
    /// Somebody else answered.
    case wrongPeer(expected: PeerID, actual: PeerID)
    /// Both sides named their multiplexers, and none is on both lists.
    case noCommonMuxer
    /// So many messages were sent or received that the next would use a nonce again.
    case noncesExhausted
    /// There was no guarded memory for the keys.
    case secretMemory(SecretMemoryError)

    public var description: String {
        switch self {
        case .handshakeMessageTooLong(let count, let maximum):
            "a Noise handshake message of \(count) bytes was announced, and at most \(maximum) are allowed"
        case .messageTooShort(let count): "a Noise message of \(count) bytes is too short for its keys and tags"
        case .notAuthentic: "a Noise message is not what the other side sent: altered, repeated or out of order"
        case .publicKeyOfSmallOrder: "the other side sent a Noise key that gives no secret"
        case .payload(let error): "Noise handshake payload: \(error)"
        case .identity(let error): "the other side did not prove its identity: \(error)"
        case .wrongPeer(let expected, let actual): "\(expected) was dialled, and \(actual) answered; the address is outdated or a trap"
        case .noCommonMuxer: "the two sides have no stream multiplexer in common"
        case .noncesExhausted: "the connection has carried as many messages as its keys may protect; open a new one"
        case .secretMemory(let error): error.description
        }
    }
}
