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
    private let start = ContinuousClock.now
    /// Tells the node's actor, which calls `handle`. Holds it for as long as there are sockets.
    private(set) var notify: @Sendable (SocketEvent) -> Void

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
    private let writeBuffer = UnsafeMutableRawBufferPointer.allocate(
        byteCount: WebSocketPipe.headerByteCountMax + Connection.outputByteCount, alignment: 16)
    var unsentByteCount = 0

    /// Given up for a moment when there is no other descriptor to refuse a connection with.
    var reserve: Int32?
    var acceptRetryAt: Duration?
    /// Both in the order of time, since each kind has one time limit.
    var attemptDeadlines = DueList<SocketNumber>()
    var drainDeadlines = DueList<SocketNumber>()
    private var timer: (any DispatchSourceTimer)?
    private var armedAt: Duration?
    var isStopped = false
    private var whenStopped: [@Sendable () -> Void] = []

    init(queue: DispatchQueue, notify: @escaping @Sendable (SocketEvent) -> Void) {
        self.queue = queue
        self.notify = notify
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
            self.armedAt = nil
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
            self.dials[id] = nil
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

    // MARK: Time

    private func passTime<Owner: PipeOwner & ~Copyable>(_ owner: inout Owner) {
        let now = self.now
        if let deadline = owner.deadline, deadline <= now { owner.tick(now: now) }
        if let retry = self.acceptRetryAt, retry <= now {
            self.acceptRetryAt = nil
            for listener in self.listeners.values { listener.resume() }
        }
        while let number = self.attemptDeadlines.popDue(now) {
            guard let pipe = self.pipes[number], pipe.isOutbound, pipe.state == .connecting || pipe.state == .upgrading else { continue }
            self.attemptFailed(pipe, .timedOut, &owner)
        }
        while let number = self.drainDeadlines.popDue(now) {
            if let pipe = self.pipes[number], pipe.state == .draining { self.destroy(pipe) }
        }
    }

    /// The timer may fire too early, when what it was set for has gone; it is set again then. So it is seldom set.
    private func arm(_ ownerDeadline: Duration?) {
        guard !self.isStopped else { return }
        let deadlines = [ownerDeadline, self.acceptRetryAt, self.attemptDeadlines.first, self.drainDeadlines.first]
        guard let deadline = deadlines.compactMap({ $0 }).min() else { return }
        if let armedAt = self.armedAt, armedAt <= deadline { return }
        self.armedAt = deadline
        if self.timer == nil {
            let timer = DispatchSource.makeTimerSource(queue: self.queue)
            let notify = self.notify
            timer.setEventHandler { notify(.timer) }
            timer.schedule(deadline: .distantFuture)
            timer.resume()
            self.timer = timer
        }
        // At most a day ahead: the rest is for the next time.
        let wait = min(max(deadline - self.now, .zero), .seconds(86_400))
        let (seconds, attoseconds) = wait.components
        let nanoseconds = seconds * 1_000_000_000 + attoseconds / 1_000_000_000
        self.timer?.schedule(deadline: .now() + .nanoseconds(Int(nanoseconds)), leeway: .milliseconds(1))
    }
}

// MARK: - Output

extension SocketTable {
    /// Sends what there is, as long as the socket takes it.
    func flush<Owner: PipeOwner & ~Copyable>(_ pipe: Pipe, _ owner: inout Owner) {
        guard !pipe.isStalled, pipe.state == .open || pipe.state == .upgrading else { return }
        while true {
            if pipe.unsentByteCount > 0 {
                guard self.sendUnsent(pipe, &owner) else { return }
            } else if pipe.webSocket?.hasOutput ?? false, let output = pipe.webSocket?.takeOutput(), !output.isEmpty {
                self.keep(output, for: pipe)
            } else if pipe.state == .open, pipe.hasOutput {
                guard self.sendPiece(pipe, &owner) else { return }
            } else {
                break
            }
        }
        if pipe.closesAfterOutput { self.finish(pipe) }
    }

    /// Whether to go on: the socket took everything.
    private func sendPiece<Owner: PipeOwner & ~Copyable>(_ pipe: Pipe, _ owner: inout Owner) -> Bool {
        let room = self.unsentByteCount < Self.unsentByteCountMax ? Connection.outputByteCount : Self.smallPieceByteCount
        let start = WebSocketPipe.headerByteCountMax
        let target = UnsafeMutableRawBufferPointer(rebasing: self.writeBuffer[start..<start + room])
        let count = owner.fillOutput(of: pipe.id, into: target, now: self.now)
        guard count > 0 else {
            pipe.hasOutput = false
            return true
        }
        let range = pipe.webSocket?.frame(count, in: self.writeBuffer) ?? start..<start + count
        let piece = UnsafeRawBufferPointer(rebasing: self.writeBuffer[range])
        do throws(SystemError) {
            let sent = try System.send(pipe.descriptor, piece)
            guard sent < piece.count else { return true }
            self.keep(Array(piece[sent...]), for: pipe)
            self.stall(pipe)
        } catch {
            self.broke(pipe, &owner)
        }
        return false
    }

    private func sendUnsent<Owner: PipeOwner & ~Copyable>(_ pipe: Pipe, _ owner: inout Owner) -> Bool {
        do throws(SystemError) {
            let sent = try Self.sendRest(of: pipe)
            pipe.unsentOffset += sent
            self.unsentByteCount -= sent
        } catch {
            self.broke(pipe, &owner)
            return false
        }
        guard pipe.unsentByteCount == 0 else {
            self.stall(pipe)
            return false
        }
        pipe.unsent = []
        pipe.unsentOffset = 0
        return true
    }

    private static func sendRest(of pipe: Pipe) throws(SystemError) -> Int {
        try pipe.unsent.withUnsafeBufferPointer { bytes throws(SystemError) in
            try System.send(pipe.descriptor, UnsafeRawBufferPointer(UnsafeBufferPointer(rebasing: bytes[pipe.unsentOffset...])))
        }
    }

    private func keep(_ bytes: [UInt8], for pipe: Pipe) {
        pipe.unsent = bytes
        pipe.unsentOffset = 0
        self.unsentByteCount += bytes.count
    }

    private func stall(_ pipe: Pipe) {
        pipe.isStalled = true
        pipe.watchOutput(on: self.queue, self.notify)
    }

    private func becameWritable<Owner: PipeOwner & ~Copyable>(_ pipe: Pipe, _ owner: inout Owner) {
        pipe.pauseOutput()
        if pipe.state == .connecting { return self.connectionDecided(pipe, &owner) }
        pipe.isStalled = false
        self.flush(pipe, &owner)
    }
}

// MARK: - Input

extension SocketTable {
    private func read<Owner: PipeOwner & ~Copyable>(_ pipe: Pipe, _ owner: inout Owner) {
        for _ in 0..<Self.readCountMax where pipe.state != .gone {
            let count: Int
            do throws(SystemError) {
                count = try System.receive(pipe.descriptor, into: self.readBuffer)
            } catch {
                if !error.isWouldBlock { self.broke(pipe, &owner) }
                return
            }
            guard count > 0 else { return self.inputEnded(pipe, &owner) }
            self.take(UnsafeMutableRawBufferPointer(rebasing: self.readBuffer[..<count]), from: pipe, &owner)
            // There is no more now. But where both ends are done, an end that is here already may not be reported again: it is read.
            if count < self.readBuffer.count, pipe.state != .draining { return }
        }
    }

    private func take<Owner: PipeOwner & ~Copyable>(_ bytes: UnsafeMutableRawBufferPointer, from pipe: Pipe, _ owner: inout Owner) {
        if pipe.state == .draining {
            pipe.drainedByteCount += bytes.count
            if pipe.drainedByteCount > Self.drainByteCountMax { self.destroy(pipe) }
        } else if pipe.webSocket != nil {
            self.takeFrames(bytes, from: pipe, &owner)
        } else {
            owner.receive(bytes, from: pipe.id, now: self.now)
        }
    }

    private func takeFrames<Owner: PipeOwner & ~Copyable>(_ bytes: UnsafeMutableRawBufferPointer, from pipe: Pipe, _ owner: inout Owner) {
        do throws(WebSocketError) {
            // What is deferred until a dialled pipe is announced: a server may speak right behind its answer.
            var early: [UInt8] = []
            let isAnnounced = pipe.state == .open || !pipe.isOutbound
            try Self.unframe(bytes, pipe) { piece in
                if isAnnounced { owner.receive(piece, from: pipe.id, now: self.now) } else { early += piece }
            }
            if pipe.state == .upgrading, pipe.webSocket?.isOpen ?? false {
                pipe.state = .open
                if pipe.isOutbound {
                    self.dials[pipe.id] = nil
                    owner.dialled(pipe.id, now: self.now)
                    early.withUnsafeMutableBytes { if !$0.isEmpty { owner.receive($0, from: pipe.id, now: self.now) } }
                }
            }
        } catch {
            if pipe.isOutbound, pipe.state == .upgrading { return self.attemptFailed(pipe, .transport(error.description), &owner) }
            return self.leave(pipe, &owner)
        }
        if pipe.webSocket?.isEndedByPeer ?? false { return self.leave(pipe, &owner) }
        self.markDirty(pipe)
    }

    private static func unframe(
        _ bytes: UnsafeMutableRawBufferPointer, _ pipe: Pipe, _ deliver: (UnsafeMutableRawBufferPointer) -> Void
    ) throws(WebSocketError) {
        try pipe.webSocket?.receive(bytes, deliver: deliver)
    }

    /// The WebSocket is over, by its peer's word or fault: a last frame goes out, and the owner hears of the end.
    private func leave<Owner: PipeOwner & ~Copyable>(_ pipe: Pipe, _ owner: inout Owner) {
        owner.endOfInput(pipe.id, now: self.now)
        pipe.hasOutput = false
        pipe.closesAfterOutput = true
        if pipe.state == .upgrading { pipe.state = .open }
        self.flush(pipe, &owner)
    }

    private func inputEnded<Owner: PipeOwner & ~Copyable>(_ pipe: Pipe, _ owner: inout Owner) {
        switch pipe.state {
        case .draining: self.destroy(pipe)
        case .upgrading where pipe.isOutbound: self.attemptFailed(pipe, .transport("the server ended the connection"), &owner)
        case .upgrading, .open:
            // It would be readable for ever.
            pipe.pauseInput()
            owner.endOfInput(pipe.id, now: self.now)
        case .connecting, .gone: break
        }
    }
}

// MARK: - Ends

extension SocketTable {
    /// Everything is sent: says so, and waits for the other end.
    private func finish(_ pipe: Pipe) {
        if var webSocket = pipe.webSocket.take() {
            webSocket.close()
            let goodbye = webSocket.takeOutput()
            // A full socket means that nobody reads any more.
            _ = try? System.send(pipe.descriptor, goodbye)
        }
        System.endOutput(pipe.descriptor)
        if pipe.isReadPaused { return self.destroy(pipe) }
        pipe.state = .draining
        self.numbers[pipe.id] = nil
        self.drainDeadlines.append(pipe.number, at: self.now + Self.drainTimeout)
    }

    /// The system says that the connection is no more.
    private func broke<Owner: PipeOwner & ~Copyable>(_ pipe: Pipe, _ owner: inout Owner) {
        if pipe.isOutbound, pipe.state == .upgrading {
            return self.attemptFailed(pipe, .transport("the server broke the connection"), &owner)
        }
        let isKnown = pipe.state != .draining
        self.destroy(pipe)
        if isKnown { owner.endOfInput(pipe.id, now: self.now) }
    }

    /// Gives a socket up at once.
    func destroy(_ pipe: Pipe) {
        guard pipe.state != .gone else { return }
        pipe.state = .gone
        self.pipes[pipe.number] = nil
        if self.numbers[pipe.id] == pipe.number { self.numbers[pipe.id] = nil }
        self.unsentByteCount -= pipe.unsentByteCount
        pipe.unsent = []
        self.close(pipe.descriptor, of: pipe.number, after: pipe.cancelSources())
    }

    func close(_ descriptor: Int32, of number: SocketNumber, after sourceCount: Int) {
        if sourceCount == 0 { return System.close(descriptor) }
        self.closing[number] = (descriptor, sourceCount)
    }

    private func sourceEnded(_ number: SocketNumber) {
        guard let (descriptor, count) = self.closing[number] else { return }
        if count > 1 {
            self.closing[number] = (descriptor, count - 1)
        } else {
            self.closing[number] = nil
            System.close(descriptor)
            self.tellIfStopped()
        }
    }

    /// Takes no further connections.
    func stopListening() {
        for listener in self.listeners.values {
            listener.cancel()
            self.close(listener.descriptor, of: listener.number, after: 1)
        }
        self.listeners = [:]
    }

    /// Gives up everything; `done` is called once no descriptor is left. Nothing happens here afterwards.
    func stop(_ done: @escaping @Sendable () -> Void) {
        self.isStopped = true
        self.whenStopped.append(done)
        self.dials = [:]
        self.stopListening()
        for pipe in Array(self.pipes.values) { self.destroy(pipe) }
        self.timer?.cancel()
        self.timer = nil
        if let reserve = self.reserve.take() { System.close(reserve) }
        self.tellIfStopped()
    }

    private func tellIfStopped() {
        guard self.isStopped, self.closing.isEmpty else { return }
        let waiting = self.whenStopped
        self.whenStopped = []
        self.notify = { _ in }
        self.resolver.stop()
        for done in waiting { done() }
    }
}

/// Deadlines that come in the order of time.
struct DueList<Element> {
    private var entries: [(at: Duration, element: Element)] = []
    private var start = 0

    var first: Duration? { self.start < self.entries.count ? self.entries[self.start].at : nil }

    mutating func append(_ element: Element, at: Duration) { self.entries.append((at, element)) }

    mutating func popDue(_ now: Duration) -> Element? {
        guard let first = self.first, first <= now else { return nil }
        let element = self.entries[self.start].element
        self.start += 1
        if self.start > 64, self.start * 2 > self.entries.count {
            self.entries.removeFirst(self.start)
            self.start = 0
        }
        return element
    }
}
