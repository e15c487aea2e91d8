internal import LibP2P
internal import SigningNode

/// The product's signing machine, and a window through which it is seen what leaves it, before anybody else has it.
struct WatchedMachine: ~Copyable, ProtocolMachine {
    var machine: SigningMachine
    /// What is wrong with it on purpose.
    let fault: NodeSigningFault?
    /// Messages that left and were not looked at.
    private var left: [[UInt8]] = []
    /// Messages that it says once more, by the stream that is asked for, to whom and how often.
    private var repeats: [UInt64: (frame: [UInt8], peer: PeerID, count: Int)] = [:]
    private var receivers: [UInt64: PeerID] = [:]
    private var requests: [StreamID: UInt64] = [:]
    private var extra: [ProtocolCommand] = []
    private var nextRepeat = UInt64.max / 2
    /// What a machine that lets nothing go still holds.
    private var hoardedByteCount = 0

    init(_ machine: consuming SigningMachine, fault: NodeSigningFault?) {
        self.machine = machine
        self.fault = fault
    }

    var hasLeft: Bool { !self.left.isEmpty }

    mutating func takeLeft() -> [[UInt8]] {
        defer { self.left = [] }
        return self.left
    }

    /// How often each message is said by a machine that repeats itself.
    private static let repeatCount = 200

    mutating func nextCommand() -> ProtocolCommand? {
        if let command = self.extra.popLast() { return command }
        guard let command = self.machine.nextCommand() else { return nil }
        switch command {
        case .open(let request, let peer, _, _): if self.fault == .repeatsItself { self.receivers[request] = peer }
        case .write(let stream, let frame):
            // Whatever else is written is an answer, a byte long.
            guard frame.count > 2 else { break }
            var reader = FrameReader(byteCountMax: CoordinationProtocol.messageByteCountMax)
            self.left += (try? reader.receive(frame)) ?? []
            if self.fault == .letsNothingGo { self.hoardedByteCount += 1_000 * frame.count }
            guard let request = self.requests.removeValue(forKey: stream), let peer = self.receivers.removeValue(forKey: request) else {
                break
            }
            self.sayAgain(frame, to: peer, count: Self.repeatCount)
        default: break
        }
        return command
    }

    /// One stream after the other, or the receiver would take few of them.
    private mutating func sayAgain(_ frame: [UInt8], to peer: PeerID, count: Int) {
        guard count > 0 else { return }
        self.nextRepeat += 1
        self.repeats[self.nextRepeat] = (frame, peer, count)
        self.extra.append(.open(request: self.nextRepeat, peer, protocolIDs: [CoordinationProtocol.id], onLimited: true))
    }

    mutating func handle(_ input: ProtocolInput, now: Duration) {
        if self.fault == .repeatsItself {
            switch input {
            case .opened(let request, let stream, _):
                if let again = self.repeats.removeValue(forKey: request) {
                    self.left.append(again.frame)
                    self.extra += [.closeWrite(stream), .write(stream, again.frame)]
                    self.sayAgain(again.frame, to: again.peer, count: again.count - 1)
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
        guard self.fault != .forgetsTimers else { return }
        self.machine.tick(now: now)
    }

    var servedProtocolIDs: [String] { self.machine.servedProtocolIDs }
    var deadline: Duration? { self.fault == .forgetsTimers ? nil : self.machine.deadline }
    var heldByteCount: Int { self.machine.heldByteCount + self.hoardedByteCount }
    mutating func nextEvent() -> SigningMachineEvent? { self.machine.nextEvent() }
}
