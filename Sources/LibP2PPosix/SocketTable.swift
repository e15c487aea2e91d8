internal import Dispatch
internal import LibP2P

/// The sockets of one node, and what its swarm wants done with them.
///
/// Everything happens on the node's loop. Each call gets the owner of the bytes, and afterwards carries out what it wants:
///
///     sockets.handle(event, &swarm)
///
/// Memory is bounded: one buffer to read into and one to write from serve all sockets, and only while a socket takes bytes is its
/// connection asked for some. What a socket did not take of the last piece is all that is kept for it.
final class SocketTable {
    /// Bytes read at once.
    static let readByteCount = 262_144
    /// Pieces read from one socket before the others have their turn.
    static let readCountMax = 4
    /// Connections taken before others have their turn.
    static let acceptCountMax = 64
    /// How long nobody is accepted when the system has no descriptor left.
    static let acceptPause = Duration.milliseconds(100)
    /// Connections that the system holds for us before they are accepted.
    static let backlog: Int32 = 1_024
    /// How long a closed pipe waits for the other end to be done, and how much it still throws away.
    static let drainTimeout = Duration.seconds(2)
    static let drainByteCountMax = 1_048_576
    /// Bytes that sockets did not take, all together. Beyond it connections are asked for small pieces only.
    static let unsentByteCountMax = 67_108_864
    static let smallPieceByteCount = 4_096

    let queue: DispatchQueue
    let resolver: NameResolver
    private let start: ContinuousClock.Instant
    /// Tells the node's actor, which calls `handle`. Holds it for as long as there are sockets.
    var notify: @Sendable (SocketEvent) -> Void

    var listeners: [SocketNumber: Listener] = [:]
    var pipes: [SocketNumber: Pipe] = [:]
    var numbers: [ConnectionID: SocketNumber] = [:]
    var dials: [ConnectionID: Dial] = [:]
    /// Descriptors whose sources have not let go yet.
    var closing: [SocketNumber: (descriptor: Int32, sourceCount: Int)] = [:]
    private var dirty: [SocketNumber] = []
    private var isTurnAsked = false
    private var nextNumber: UInt64 = 1

    let readBuffer = UnsafeMutableRawBufferPointer.allocate(byteCount: SocketTable.readByteCount, alignment: 16)
    let writeBuffer = UnsafeMutableRawBufferPointer.allocate(
        byteCount: WebSocketPipe.headerByteCountMax + Connection.outputByteCount, alignment: 16)
    var unsentByteCount = 0

    /// Given up for a moment when there is no other descriptor to refuse a connection with.
    var reserve: Int32?
    var acceptRetryAt: Duration?
    /// Both in the order of time, since each kind has one time limit.
    var attemptDeadlines = DueList<SocketNumber>()
    var drainDeadlines = DueList<SocketNumber>()
    var timer: LoopTimer
    var isStopped = false
    var whenStopped: [@Sendable () -> Void] = []

    /// - Parameter start: where the node's clock begins.
    init(queue: DispatchQueue, start: ContinuousClock.Instant, notify: @escaping @Sendable (SocketEvent) -> Void) {
        self.queue = queue
        self.start = start
        self.notify = notify
        self.timer = LoopTimer(queue: queue)
        self.resolver = NameResolver(queue: queue, notify: notify)
    }

    deinit {
        self.readBuffer.deallocate()
        self.writeBuffer.deallocate()
        if let reserve = self.reserve { System.close(reserve) }
    }

    var now: Duration { self.start.duration(to: .now) }

    func takeNumber() -> SocketNumber {
        defer { self.nextNumber += 1 }
        return SocketNumber(rawValue: self.nextNumber)
    }

    // MARK: Events

    /// Does what a source asks for, and then what the owner wants.
    func handle<Owner: PipeOwner & ~Copyable>(_ event: SocketEvent, _ owner: inout Owner) {
        switch event {
        case .acceptable(let number):
            if let listener = self.listeners[number] { self.accept(on: listener, &owner) }
        case .readable(let number):
            if let pipe = self.pipes[number] { self.read(pipe, &owner) }
        case .writable(let number):
            if let pipe = self.pipes[number] { self.becameWritable(pipe, &owner) }
        case .cancelled(let number): self.sourceEnded(number)
        case .timer:
            self.timer.fired()
            self.passTime(&owner)
        case .turn: self.isTurnAsked = false
        case .resolved(let id, let result): self.resolved(id, result, &owner)
        }
        self.carryOut(&owner)
    }

    /// Carries out what the owner wants once the loop has done what it is doing: small writes then leave together.
    func carryOutSoon() {
        guard !self.isTurnAsked else { return }
        self.isTurnAsked = true
        let notify = self.notify
        self.queue.async { notify(.turn) }
    }

    /// Carries out what the owner wants, until it wants nothing more.
    func carryOut<Owner: PipeOwner & ~Copyable>(_ owner: inout Owner) {
        while true {
            while let command = owner.nextCommand() { self.carryOut(command, &owner) }
            guard !self.dirty.isEmpty else { break }
            let numbers = self.dirty
            self.dirty.removeAll(keepingCapacity: true)
            for number in numbers {
                guard let pipe = self.pipes[number] else { continue }
                pipe.isDirty = false
                self.flush(pipe, &owner)
            }
        }
        self.arm(owner.deadline)
    }

    private func carryOut<Owner: PipeOwner & ~Copyable>(_ command: SwarmCommand, _ owner: inout Owner) {
        switch command {
        case .dial(let id, let raw): self.dial(id, raw, &owner)
        case .send(let id):
            guard let pipe = self.pipe(id) else { return }
            pipe.hasOutput = true
            self.markDirty(pipe)
        case .close(let id, let afterOutput):
            if self.dials.removeValue(forKey: id) != nil { self.resolver.callOff(id) }
            guard let pipe = self.pipe(id) else { return }
            if afterOutput, pipe.state == .open || pipe.state == .upgrading {
                pipe.hasOutput = true
                pipe.closesAfterOutput = true
                self.markDirty(pipe)
            } else if pipe.state != .draining {
                self.destroy(pipe)
            }
        }
    }

    func pipe(_ id: ConnectionID) -> Pipe? { self.numbers[id].flatMap { self.pipes[$0] } }

    func markDirty(_ pipe: Pipe) {
        guard !pipe.isDirty, !pipe.isStalled else { return }
        pipe.isDirty = true
        self.dirty.append(pipe.number)
    }
}
