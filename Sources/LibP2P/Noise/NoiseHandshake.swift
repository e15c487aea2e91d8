public import CryptoPrimitives

/// The encryption handshake of a connection: Noise XX with libp2p's identities and early multiplexer negotiation.
///
///     var handshake = try NoiseHandshake(.initiator, staticKey: key, ephemeral: .generate(), expecting: peer)
///     send(try handshake.start())
///     while !handshake.isComplete { send(try handshake.receive(bytesFromTheNetwork)) }
///     let session = handshake.finish()
///
/// A value without socket, clock or randomness: the ephemeral key comes from outside. An error ends it: close the connection.
public struct NoiseHandshake: ~Copyable, Sendable {
    /// Most bytes of one handshake message: keys and tags take 160; an RSA-4096 identity with its signature takes about 1,100, and
    /// each extension a few dozen. Noise itself would allow 65,535 to everybody who connects.
    public static let messageByteCountMax = 8_192

    private let role: NoiseRole
    private let staticKey: NoiseStaticKey
    private let expectedPeer: PeerID?
    private let muxers: [String]
    private var noise: NoiseXX
    private var isStarted: Bool
    private var received: [UInt8] = []  // at most one message that is not whole, or what came after the last
    private var failure: NoiseError?
    private var remote: (key: PeerPublicKey, id: PeerID, muxers: [String])?

    /// - Parameters:
    ///   - ephemeral: A new key, which serves this handshake and no other.
    ///   - peer: Who must answer; `nil` takes everybody.
    ///   - muxers: What this side speaks, the most preferred first; empty leaves the choice to multistream-select.
    ///   - prologue: What both sides must have said before; empty on TCP and WebSocket.
    public init(
        _ role: NoiseRole, staticKey: NoiseStaticKey, ephemeral: consuming X25519.SecretKey, expecting peer: PeerID? = nil,
        muxers: [String] = [], prologue: [UInt8] = []
    ) throws(NoiseError) {
        self.role = role
        self.staticKey = staticKey
        self.expectedPeer = peer
        self.muxers = muxers
        self.isStarted = role == .responder
        do throws(SecretMemoryError) {
            self.noise = try NoiseXX(role, staticKey: staticKey, ephemeral: ephemeral, prologue: prologue)
        } catch {
            throw .secretMemory(error)
        }
    }

    /// Whether all three messages are done. What `receive` gave last must still be sent.
    public var isComplete: Bool { self.noise.isComplete && self.failure == nil }

    /// The bytes with which the initiator opens; they may go out together with what precedes them. For the responder there are none.
    public mutating func start() throws(NoiseError) -> [UInt8] {
        guard !self.isStarted else { return [] }
        self.isStarted = true
        return try self.write([])
    }

    /// Takes bytes in, however they were cut on their way, and gives the bytes to send.
    ///
    /// What comes after the last message is kept for the channel.
    public mutating func receive(_ bytes: some Collection<UInt8>) throws(NoiseError) -> [UInt8] {
        if let failure = self.failure { throw failure }
        precondition(self.isStarted, "the initiator starts before it receives")
        self.received += bytes
        var answer: [UInt8] = []
        do throws(NoiseError) {
            while !self.noise.isComplete, let message = try self.nextMessage() {
                let payload = try self.noise.read(message)
                // The first message is not authenticated by anybody, and nothing may stand in it that counts.
                if self.noise.messagesDone > 1 { try self.identify(payload) }
                if self.noise.isOwnTurn {
                    let payload = NoisePayload(self.staticKey, muxers: self.muxers)
                    answer += try self.write(payload.encoded)
                }
            }
        } catch {
            self.failure = error
            self.received = []
            throw error
        }
        return answer
    }

    /// Takes one whole message from what was received.
    private mutating func nextMessage() throws(NoiseError) -> ArraySlice<UInt8>? {
        guard self.received.count >= 2 else { return nil }
        let count = Int(self.received[0]) << 8 | Int(self.received[1])
        guard count <= Self.messageByteCountMax else {
            throw .handshakeMessageTooLong(byteCount: count, maximum: Self.messageByteCountMax)
        }
        guard self.received.count >= 2 + count else { return nil }
        let message = self.received[2..<(2 + count)]
        self.received.removeFirst(2 + count)
        return message
    }

    /// Checks who the other side is.
    private mutating func identify(_ payload: [UInt8]) throws(NoiseError) {
        guard let remoteStatic = self.noise.remoteStatic else { throw .notAuthentic }
        let parsed: NoisePayload
        do throws(ProtobufError) { parsed = try NoisePayload(parsing: payload) } catch { throw .payload(error) }
        let key: PeerPublicKey
        do throws(PeerKeyError) { key = try parsed.verifiedKey(for: remoteStatic) } catch { throw .identity(error) }
        let id = PeerID(of: key)
        if let expected = self.expectedPeer, expected != id { throw .wrongPeer(expected: expected, actual: id) }
        if !self.muxers.isEmpty, !parsed.muxers.isEmpty, self.commonMuxer(parsed.muxers) == nil { throw .noCommonMuxer }
        self.remote = (key, id, parsed.muxers)
    }

    /// The first on the initiator's list that stands on both (libp2p, "Multiplexer Negotiation over Noise").
    private func commonMuxer(_ others: [String]) -> String? {
        switch self.role {
        case .initiator: self.muxers.first { others.contains($0) }
        case .responder: others.first { self.muxers.contains($0) }
        }
    }

    private mutating func write(_ payload: [UInt8]) throws(NoiseError) -> [UInt8] {
        let message = try self.noise.write(payload)
        precondition(message.count <= NoiseChannel.messageByteCountMax, "the own payload is short")
        return [UInt8(message.count >> 8), UInt8(message.count & 255)] + message
    }

    /// What the handshake has made. Only once it is complete.
    public consuming func finish() -> NoiseSession {
        guard self.isComplete, let remote = self.remote else { preconditionFailure("the handshake is not complete") }
        let muxer = self.commonMuxer(remote.muxers)
        let (role, hash, received) = (self.role, self.noise.transcriptHash, self.received)
        return NoiseSession(
            channel: NoiseChannel(role, keys: self.noise.split()), remoteKey: remote.key, remotePeer: remote.id, muxer: muxer,
            handshakeHash: hash, received: received)
    }
}

/// A finished handshake.
public struct NoiseSession: ~Copyable, Sendable {
    public var channel: NoiseChannel
    /// The identity that the other side proved.
    public let remoteKey: PeerPublicKey
    public let remotePeer: PeerID
    /// The multiplexer on which both agreed in the handshake; `nil` when one side named none, and multistream-select decides.
    public let muxer: String?
    /// The same 32 bytes on both sides, and on no other connection.
    public let handshakeHash: Bytes32
    /// Bytes that came after the handshake: the channel's first.
    public let received: [UInt8]
}
