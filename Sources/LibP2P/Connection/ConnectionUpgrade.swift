internal import CryptoPrimitives

/// The way from a bare pipe to an encrypted, multiplexed one, for both sides:
///
///     negotiatingSecurity ──/noise──▶ encrypting ──both named yamux──▶ established
///                                         │ one of them did not            ▲
///                                         └──▶ negotiatingMuxer ──/yamux───┘
///
/// Which way it goes after the handshake is for both sides' lists to say, never for one's own alone.
struct ConnectionUpgrade: ~Copyable, Sendable {
    /// multistream-select, of either side.
    private enum Negotiation: Sendable {
        case dialer(MultistreamDialer)
        case listener(MultistreamListener)

        init(_ role: ConnectionRole, _ protocolID: String) {
            self = role == .dialer ? .dialer(MultistreamDialer(proposing: [protocolID])) : .listener(MultistreamListener())
        }

        var isAgreed: Bool {
            switch self {
            case .dialer(let dialer): dialer.agreed != nil
            case .listener(let listener): listener.agreed != nil
            }
        }

        mutating func takeOutput() -> [UInt8] {
            switch self {
            case .dialer(var dialer):
                let output = dialer.takeOutput()
                self = .dialer(dialer)
                return output
            case .listener(var listener):
                let output = listener.takeOutput()
                self = .listener(listener)
                return output
            }
        }

        /// - Returns: what is left of the bytes once there is agreement.
        mutating func receive(_ bytes: [UInt8], _ protocolID: String) throws(MultistreamError) -> [UInt8] {
            let count: Int
            switch self {
            case .dialer(var dialer):
                count = try dialer.receive(bytes.span.bytes)
                self = .dialer(dialer)
            case .listener(var listener):
                count = try listener.receive(bytes.span.bytes) { $0 == protocolID }
                self = .listener(listener)
            }
            return Array(bytes[count...])
        }
    }

    static let securityProtocolID = "/noise"
    static let muxerProtocolID = YamuxSession.protocolID

    private let role: ConnectionRole
    private(set) var step = ConnectionStep.negotiatingSecurity
    private var negotiation: Negotiation
    private var handshake: NoiseHandshake?
    private(set) var peer: PeerID?
    private(set) var peerKey: PeerPublicKey?
    private var output: [UInt8] = []

    init(
        _ role: ConnectionRole, staticKey: NoiseStaticKey, ephemeral: consuming X25519.SecretKey, expecting peer: PeerID?
    ) throws(NoiseError) {
        self.role = role
        self.negotiation = Negotiation(role, Self.securityProtocolID)
        self.handshake = try NoiseHandshake(
            role.noise, staticKey: staticKey, ephemeral: ephemeral, expecting: peer, muxers: [Self.muxerProtocolID])
        if role == .dialer { self.output = self.negotiation.takeOutput() }
    }

    /// Bytes for the pipe as they are; empty when there are none.
    mutating func takeOutput() -> [UInt8] {
        let output = self.output
        self.output = []
        return output
    }

    /// Takes in bytes of the pipe, in pieces of any size.
    ///
    /// - Parameter channel: is set when the handshake is done.
    /// - Returns: the multiplexer's first bytes, perhaps none, once the step is `established`; before that `nil`.
    mutating func receive(_ bytes: [UInt8], channel: inout NoiseChannel?) throws(ConnectionError) -> [UInt8]? {
        var bytes = bytes
        if self.step == .negotiatingSecurity {
            do throws(MultistreamError) {
                bytes = try self.negotiation.receive(bytes, Self.securityProtocolID)
            } catch {
                throw .security(error)
            }
            self.output += self.negotiation.takeOutput()
            guard self.negotiation.isAgreed else { return nil }
            self.step = .encrypting
            do throws(NoiseError) { try self.startHandshake() } catch { throw .handshake(error) }
        }
        if self.step == .encrypting {
            do throws(NoiseError) {
                guard let rest = try self.encrypt(bytes, channel: &channel) else { return nil }
                bytes = rest
            } catch {
                throw .handshake(error)
            }
        }
        // What is left is the channel's.
        let text: [UInt8]
        do throws(NoiseError) {
            text = try Self.open(bytes, &channel)
        } catch {
            throw .encryption(error)
        }
        guard self.step == .negotiatingMuxer else { return text }
        return try self.negotiateMuxer(text, channel: &channel)
    }

    private mutating func startHandshake() throws(NoiseError) {
        guard let first = try self.handshake?.start() else { return }
        self.output += first
    }

    /// - Returns: the bytes that came after the handshake, once it is done.
    private mutating func encrypt(_ bytes: [UInt8], channel: inout NoiseChannel?) throws(NoiseError) -> [UInt8]? {
        guard var handshake = self.handshake.take() else { return nil }
        let answer = try handshake.receive(bytes)
        self.output += answer
        guard handshake.isComplete else {
            self.handshake = consume handshake
            return nil
        }
        let session = handshake.finish()
        (self.peer, self.peerKey) = (session.remotePeer, session.remoteKey)
        let (rest, hasMuxer) = (session.received, session.muxer != nil)
        channel = Self.channel(of: session)
        if hasMuxer {
            self.step = .established
        } else {
            self.step = .negotiatingMuxer
            self.negotiation = Negotiation(self.role, Self.muxerProtocolID)
            if self.role == .dialer { try self.sendNegotiation(&channel) }
        }
        return rest
    }

    private static func channel(of session: consuming NoiseSession) -> NoiseChannel { session.channel }

    private mutating func negotiateMuxer(_ text: [UInt8], channel: inout NoiseChannel?) throws(ConnectionError) -> [UInt8]? {
        let rest: [UInt8]
        do throws(MultistreamError) {
            rest = try self.negotiation.receive(text, Self.muxerProtocolID)
        } catch {
            throw .muxer(error)
        }
        do throws(NoiseError) { try self.sendNegotiation(&channel) } catch { throw .encryption(error) }
        guard self.negotiation.isAgreed else { return nil }
        self.step = .established
        return rest
    }

    private mutating func sendNegotiation(_ channel: inout NoiseChannel?) throws(NoiseError) {
        let text = self.negotiation.takeOutput()
        guard !text.isEmpty, let message = try channel?.send(text) else { return }
        self.output += message
    }

    private static func open(_ bytes: [UInt8], _ channel: inout NoiseChannel?) throws(NoiseError) -> [UInt8] {
        try channel?.receive(bytes) ?? []
    }
}
