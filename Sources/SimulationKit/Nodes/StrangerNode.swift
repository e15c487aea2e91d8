internal import CryptoPrimitives
internal import LibP2P
internal import SigningNode

/// A node of nobody's group that floods the members' protocol: with noise, with frames that never end or are too long, and with what it
/// overheard.
struct StrangerNode {
    private let targets: [(peer: PeerID, address: Multiaddr)]
    /// Messages between members that it knows.
    private let overheard: () -> [[UInt8]]
    private var random: SeededRandom
    private var talker: ProtocolHandle<RawTalker>?
    private var nextAt: Duration = .zero
    private var redialAt: Duration = .zero
    private var saidCount = 0

    /// So much it says, then it has had enough.
    private static let sayingCountMax = 1_500
    private static let interval = Duration.milliseconds(100)
    private static let redialInterval = Duration.seconds(5)

    init(_ targets: [(peer: PeerID, address: Multiaddr)], seed: UInt64, overheard: @escaping () -> [[UInt8]]) {
        self.targets = targets
        self.overheard = overheard
        self.random = SeededRandom(seed: seed)
    }

    mutating func start(_ node: inout Node, now: Duration) {
        self.talker = node.swarm.add(RawTalker(), onLimited: true, now: now)
        (self.nextAt, self.redialAt) = (now, now)
    }

    var deadline: Duration? { self.saidCount < Self.sayingCountMax ? min(self.nextAt, self.redialAt) : nil }

    mutating func tick(_ node: inout Node, now: Duration) {
        guard let talker else { return }
        if self.redialAt <= now {
            self.redialAt = now + Self.redialInterval
            for (peer, address) in self.targets { node.swarm.dial(peer, at: [address], now: now) }
        }
        guard self.nextAt <= now else { return }
        self.nextAt = now + Self.interval
        for (peer, _) in self.targets {
            for _ in 0..<Int.random(in: 1...6, using: &self.random) {
                let (bytes, ending) = self.saying()
                self.saidCount += 1
                node.swarm.update(talker, now: now) { $0.say(bytes, to: peer, ending) }
            }
        }
    }

    private mutating func saying() -> ([UInt8], RawTalker.Ending) {
        let noise = (0..<Int.random(in: 1...400, using: &self.random)).map { _ in UInt8.random(in: 0...255, using: &self.random) }
        let ending = RawTalker.Ending.allCases.randomElement(using: &self.random) ?? .ends
        switch Int.random(in: 0..<5, using: &self.random) {
        case 0: return (FrameReader.frame(noise), .ends)
        // More than any message has.
        case 1: return ([0x81, 0x80, 0x80, 0x08] + noise, ending)
        // A frame of which the rest never comes.
        case 2: return ([0xff, 0x7f] + noise, ending)
        default:
            guard let message = self.overheard().randomElement(using: &self.random) else { return (noise, ending) }
            return (FrameReader.frame(message), .ends)
        }
    }

}

/// Opens a stream for each thing that it says, and leaves it in one way or another.
struct RawTalker: ProtocolMachine {
    enum Ending: CaseIterable { case ends, resets, stays }
    enum Event: Sendable {}

    private var sayings: [UInt64: (bytes: [UInt8], ending: Ending)] = [:]
    private var commands: [ProtocolCommand] = []
    private var nextRequest: UInt64 = 0

    mutating func say(_ bytes: [UInt8], to peer: PeerID, _ ending: Ending) {
        self.nextRequest += 1
        self.sayings[self.nextRequest] = (bytes, ending)
        self.commands.append(.open(request: self.nextRequest, peer, protocolIDs: [CoordinationProtocol.id]))
    }

    let servedProtocolIDs: [String] = []
    let deadline: Duration? = nil
    let heldByteCount = 0
    mutating func tick(now: Duration) {}
    mutating func nextEvent() -> Event? { nil }
    mutating func nextCommand() -> ProtocolCommand? { self.commands.isEmpty ? nil : self.commands.removeFirst() }

    mutating func handle(_ input: ProtocolInput, now: Duration) {
        switch input {
        case .opened(let request, let stream, _):
            guard let (bytes, ending) = self.sayings.removeValue(forKey: request) else { return }
            self.commands.append(.write(stream, bytes))
            switch ending {
            case .ends: self.commands.append(.closeWrite(stream))
            case .resets: self.commands.append(.reset(stream))
            case .stays: break
            }
        case .failed(let request, _): self.sayings[request] = nil
        default: break
        }
    }
}
