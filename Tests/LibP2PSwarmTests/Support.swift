import CryptoPrimitives
import LibP2P

/// Everything of a node that must not be unpredictable in a test.
struct KnownNode: Sendable {
    let identity: PeerIdentity
    let staticKey: NoiseStaticKey

    init(_ seed: UInt8) throws {
        self.identity = try PeerIdentity(
            Ed25519.SecretKey(seed: SecretBytes(count: 32) { $0.copyBytes(from: [UInt8](repeating: seed, count: 32)) }))
        self.staticKey = try NoiseStaticKey(
            X25519.SecretKey { $0.copyBytes(from: [UInt8](repeating: seed ^ 0x55, count: 32)) }, of: self.identity)
    }

    var id: PeerID { self.identity.id }

    func connection(
        _ role: ConnectionRole, expecting peer: PeerID? = nil, limits: ConnectionLimits = ConnectionLimits(), now: Duration = .zero
    ) throws -> Connection {
        let seed: UInt8 = role == .dialer ? 1 : 2
        return try Connection(
            role, staticKey: self.staticKey, ephemeral: X25519.SecretKey { $0.copyBytes(from: [UInt8](repeating: seed, count: 32)) },
            expecting: peer, limits: limits, now: now)
    }
}

extension Connection {
    mutating func takeEvents() -> [ConnectionEvent] {
        var events: [ConnectionEvent] = []
        while let event = self.nextEvent() { events.append(event) }
        return events
    }

    mutating func readAll(_ id: YamuxStreamID, now: Duration = .zero) -> [UInt8] {
        var bytes: [UInt8] = []
        while let chunk = self.read(from: id, now: now) { bytes += chunk }
        return bytes
    }
}

/// Two connections back to back.
struct ConnectionPair: ~Copyable {
    var dialer: Connection
    var listener: Connection
    var now = Duration.zero
    /// What the listener speaks.
    var served: Set<String> = ["/echo/1.0.0"]
    /// Both directions are cut into pieces of random sizes up to this.
    var pieceByteCountMax = Int.max
    var random: SeededRandom

    init(expecting peer: PeerID? = nil, limits: ConnectionLimits = ConnectionLimits(), seed: UInt64 = 1) throws {
        let dialer = try KnownNode(1).connection(.dialer, expecting: peer, limits: limits)
        let listener = try KnownNode(2).connection(.listener, limits: limits)
        self.dialer = dialer
        self.listener = listener
        self.random = SeededRandom(seed: seed)
    }

    private mutating func pieces(_ bytes: [UInt8]) -> [[UInt8]] {
        var (rest, pieces) = (bytes[...], [[UInt8]]())
        while !rest.isEmpty {
            let count = min(
                rest.count, self.pieceByteCountMax == .max ? .max : Int.random(in: 1...self.pieceByteCountMax, using: &self.random))
            pieces.append(Array(rest.prefix(count)))
            rest = rest.dropFirst(count)
        }
        return pieces
    }

    /// Carries everything across that is to be sent, until both are silent.
    mutating func exchange() {
        let served = self.served
        while self.dialer.hasOutput || self.listener.hasOutput {
            let there = self.dialer.takeOutput(now: self.now)
            for piece in self.pieces(there) { self.listener.receive(piece, now: self.now) { served.contains($0) } }
            let back = self.listener.takeOutput(now: self.now)
            for piece in self.pieces(back) { self.dialer.receive(piece, now: self.now) { _ in false } }
        }
    }
}

extension [ConnectionEvent] {
    var inbound: YamuxStreamID? {
        for case .inbound(let id, _) in self { return id }
        return nil
    }

    var closed: ConnectionError? {
        for case .closed(let error) in self { return error }
        return nil
    }
}
