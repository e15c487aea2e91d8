/// What the other end of a WebSocket did that a WebSocket does not do (RFC 6455).
public enum WebSocketError: Error, Hashable, Sendable, CustomStringConvertible {
    /// The request or answer before the first frame is longer than this, or never ends.
    case headTooLong(maximum: Int)
    /// The first line is no request for a WebSocket.
    case notAnUpgrade
    /// The server answered with another status than 101.
    case refused(status: String)
    /// A header that must be there once, with a certain value, is not.
    case wrongHeader(String)
    /// The server agreed on something that was not asked for.
    case unaskedExtension
    case reservedBitsSet
    case unknownOpcode(UInt8)
    /// libp2p sends bytes, never text.
    case textFrame
    /// A client's frames are masked, a server's are not (section 5.1).
    case wrongMasking
    /// A length in a longer form than it needs, or above 2⁶³ (section 5.2).
    case wrongLength
    case messageTooLong(maximum: Int)
    /// A control frame in pieces, or with more than 125 bytes.
    case wrongControlFrame
    /// A continuation of nothing, or a new message within another.
    case wrongFragment

    public var description: String {
        switch self {
        case .headTooLong(let maximum): "WebSocket: the handshake has more than \(maximum) bytes"
        case .notAnUpgrade: "WebSocket: the other end speaks something else"
        case .refused(let status): "WebSocket: the server answered \"\(status)\""
        case .wrongHeader(let name): "WebSocket: the header \(name) is missing, wrong or there twice"
        case .unaskedExtension: "WebSocket: the server uses an extension that nobody asked for"
        case .reservedBitsSet: "WebSocket: a frame has bits set that mean nothing"
        case .unknownOpcode(let code): "WebSocket: a frame has the unknown kind \(code)"
        case .textFrame: "WebSocket: a text where only bytes belong"
        case .wrongMasking: "WebSocket: a client's frames must be masked, a server's must not"
        case .wrongLength: "WebSocket: a frame's length is not written as it must be"
        case .messageTooLong(let maximum): "WebSocket: a message has more than \(maximum) bytes"
        case .wrongControlFrame: "WebSocket: a control frame is in pieces or too long"
        case .wrongFragment: "WebSocket: the pieces of messages are out of order"
        }
    }

    /// What is said to the other end (section 7.4.1).
    var closeCode: UInt16 {
        switch self {
        case .textFrame: 1003
        case .messageTooLong: 1009
        case .headTooLong, .notAnUpgrade, .refused, .wrongHeader, .unaskedExtension, .reservedBitsSet, .unknownOpcode, .wrongMasking,
            .wrongLength, .wrongControlFrame, .wrongFragment:
            1002
        }
    }
}
