internal import LibP2P
internal import SigningNode

/// The product's signing machine, and a window through which it is seen what leaves it, before anybody else has it.
struct WatchedMachine: ~Copyable, ProtocolMachine {
    var machine: SigningMachine
    /// What is wrong with it on purpose.
    let fault: NodeSigningFault?
    /// From when on time makes it do nothing, where that is what is wrong with it.
    private let sleepsAt: Duration?
    /// Peers to which it has said what is no message.
    private var garbled: Set<PeerID> = []
    /// Messages that left and were not looked at.
    private var left: [[UInt8]] = []
    /// Messages that it says once more, by the stream that is asked for, to whom and how often.
    private var repeats: [UInt64: (frame: [UInt8], peer: PeerID, count: Int, isMessage: Bool)] = [:]
    private var receivers: [UInt64: PeerID] = [:]
    private var requests: [StreamID: UInt64] = [:]
    private var extra: [ProtocolCommand] = []
    private var nextRepeat = UInt64.max / 2
    /// What a machine that lets nothing go still holds.
    private var hoardedByteCount = 0

    init(_ machine: consuming SigningMachine, fault: NodeSigningFault?, sleepsAt: Duration? = nil) {
        self.machine = machine
        self.fault = fault
        self.sleepsAt = sleepsAt
    }

    /// Whether it says more than it has to.
    private var isTalkative: Bool { self.fault == .repeatsItself || self.fault == .garblesItsWords || self.fault == .padsItsWords }

    var hasLeft: Bool { !self.left.isEmpty }

    mutating func takeLeft() -> [[UInt8]] {
        defer { self.left = [] }
        return self.left
    }

    /// How often each message is said by a machine that repeats itself.
    private static let repeatCount = 200
    /// How often one that garbles or pads its words does so to each peer: so often that it is not heard any more, and less often; and how
    /// many bytes such a word has.
    private static let (garbledCount, paddedCount) = (12, 9)
    private static let (garbledByteCount, paddedByteCount) = (40, 2 << 20)

    mutating func nextCommand() -> ProtocolCommand? {
        if let command = self.extra.popLast() { return command }
        guard let command = self.machine.nextCommand() else { return nil }
        switch command {
        case .open(let request, let peer, _, _): if self.isTalkative { self.receivers[request] = peer }
        case .write(let stream, let frame):
            // Whatever else is written is an answer, a byte long.
            guard frame.count > 2 else { break }
            var reader = FrameReader(byteCountMax: CoordinationProtocol.messageByteCountMax)
            self.left += (try? reader.receive(frame)) ?? []
            if self.fault == .letsNothingGo { self.hoardedByteCount += 1_000 * frame.count }
            guard let request = self.requests.removeValue(forKey: stream), let peer = self.receivers.removeValue(forKey: request) else {
                break
            }
            if self.fault == .repeatsItself {
                self.sayAgain(frame, to: peer, count: Self.repeatCount, isMessage: true)
            } else if self.garbled.insert(peer).inserted {
                let isPadding = self.fault == .padsItsWords
                let noise = [UInt8](repeating: 0xff, count: isPadding ? Self.paddedByteCount : Self.garbledByteCount)
                self.sayAgain(
                    FrameReader.frame(noise), to: peer, count: isPadding ? Self.paddedCount : Self.garbledCount, isMessage: false)
            }
        default: break
        }
        return command
    }

    /// One stream after the other, or the receiver would take few of them.
    private mutating func sayAgain(_ frame: [UInt8], to peer: PeerID, count: Int, isMessage: Bool) {
        guard count > 0 else { return }
        self.nextRepeat += 1
        self.repeats[self.nextRepeat] = (frame, peer, count, isMessage)
        self.extra.append(.open(request: self.nextRepeat, peer, protocolIDs: [CoordinationProtocol.id], onLimited: true))
    }

    mutating func handle(_ input: ProtocolInput, now: Duration) {
        if self.isTalkative {
            switch input {
            case .opened(let request, let stream, _):
                if let again = self.repeats.removeValue(forKey: request) {
                    if again.isMessage { self.left.append(again.frame) }
                    self.extra += [.closeWrite(stream), .write(stream, again.frame)]
                    self.sayAgain(again.frame, to: again.peer, count: again.count - 1, isMessage: again.isMessage)
                    return
                }
                self.requests[stream] = request
            case .failed(let request, _):
                if self.repeats.removeValue(forKey: request) != nil { return }
            default: break
            }
        }
        self.machine.handle(input, now: now)
    }

    mutating func tick(now: Duration) {
        guard self.fault != .forgetsTimers, self.sleepsAt.map({ now < $0 }) ?? true else { return }
        self.machine.tick(now: now)
    }

    var servedProtocolIDs: [String] { self.machine.servedProtocolIDs }
    var deadline: Duration? {
        guard self.fault != .forgetsTimers, let deadline = self.machine.deadline else { return nil }
        return self.sleepsAt.map { deadline < $0 } ?? true ? deadline : nil
    }
    var heldByteCount: Int { self.machine.heldByteCount + self.hoardedByteCount }
    mutating func nextEvent() -> SigningMachineEvent? { self.machine.nextEvent() }
}
