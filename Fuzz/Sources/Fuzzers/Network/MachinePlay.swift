import LibP2P

/// What is tried with one kind of protocol machine, and what it promises.
struct MachinePlan<Machine: ProtocolMachine>: Sendable {
    let machine: @Sendable () -> Machine
    /// Well-formed bytes of streams of this protocol: whole messages with their lengths, one or several.
    let messages: [[UInt8]]
    /// What peers may say that they serve.
    var protocolIDs: [String] = []
    /// The most that the machine may hold with so many peers, connections and streams, in bytes.
    let heldByteCountMax: @Sendable (MachineWorld) -> Int
    /// The most that is left when nobody is connected and a day has passed.
    let restByteCountMax: Int
    /// What the machine's user does; the events are the newest.
    let use: @Sendable (inout Machine, inout PlayScript, inout MachineWorld, [Machine.Event]) -> Void
    /// How many different things `use` does, for seeds.
    let useCount: UInt8
}

/// What a swarm would have below a machine: connections, streams, requests for streams, and the time.
struct MachineWorld {
    struct Stream {
        let id: StreamID
        let connection: ConnectionInfo
        let isInbound: Bool
        var hasEnded = false
        /// The machine wants no more of it for now.
        var isPaused = false
    }

    struct Request {
        let number: UInt64
        let peer: PeerID?
        let connection: ConnectionID?
        let protocolIDs: [String]
    }

    // As the defaults of `SwarmLimits`, beyond which machines hear of nothing.
    static let connectionCountOfPeerMax = 8
    static let inboundStreamCountMax = 32

    var now = KnownPeers.start
    var connections: [ConnectionInfo] = []
    var streams: [Stream] = []
    var requests: [Request] = []
    /// What the machine wrote last, for echoes.
    var written: [[UInt8]] = []
    /// Streams whose writes are not in the connection's buffers yet.
    var unwritten: [StreamID] = []
    var takesWrites = true
    private var lastID: UInt64 = 0

    mutating func newID() -> UInt64 {
        self.lastID += 1
        return self.lastID
    }

    var peerCount: Int { Set(self.connections.map(\.peer)).count }
}

/// What a step of a script is.
enum MachineStep: UInt8, CaseIterable {
    case connect, disconnect, inbound, answerRequest, sendMessage, sendChanged, sendMany, sendFrame, sendBytes, echo, end, reset, writable
    case holdWrites, tellProtocols, wait, use
}

/// One machine in a world that a script plays.
///
/// The world does what a swarm does: it connects before it tells of streams, ends streams before their connection, answers each request
/// once. What comes through streams, when, and what the user wants meanwhile, is the script's.
final class MachinePlay<Machine: ProtocolMachine> {
    private let plan: MachinePlan<Machine>
    private var machine: Machine
    private var world = MachineWorld()
    private var events: [Machine.Event] = []

    /// What one step may give rise to: commands and events together. The longest frames here have some thousand entries.
    private static var outputCountMax: Int { 20_000 }

    init(_ plan: MachinePlan<Machine>) {
        self.plan = plan
        self.machine = plan.machine()
    }

    static func run(_ plan: MachinePlan<Machine>, _ start: UnsafePointer<UInt8>?, _ count: Int) -> Int32 {
        let play = MachinePlay(plan)
        var script = PlayScript(input(start, count))
        while !script.isOver { play.carryOut(&script) }
        play.finish()
        return 0
    }

    private func carryOut(_ script: inout PlayScript) {
        let step = MachineStep.allCases[script.choice(MachineStep.allCases.count)]
        switch step {
        case .connect: self.connect(&script)
        case .disconnect: if let info = script.choice(of: self.world.connections) { self.disconnect(info) }
        case .inbound: self.openInbound(&script)
        case .answerRequest: self.answerRequest(&script)
        case .sendMessage, .sendChanged, .sendMany, .sendFrame, .sendBytes, .echo: self.send(step, &script)
        case .end: self.end(&script)
        case .reset: if let stream = script.choice(of: self.world.streams) { self.reset(stream.id) }
        case .writable: self.takeWrites(script.choice(8))
        case .holdWrites: self.world.takesWrites.toggle()
        case .tellProtocols:
            let names = self.plan.protocolIDs.filter { _ in script.flag() }
            if let info = script.choice(of: self.world.connections) { self.give(.protocols(of: info.peer, names)) }
        case .wait: self.wait(&script)
        case .use:
            self.plan.use(&self.machine, &script, &self.world, self.events)
            self.settle()
        }
    }

    // MARK: Steps

    private func connect(_ script: inout PlayScript) {
        let (what, address) = (script.byte(), script.choice(KnownPeers.addresses.count))
        let peer = KnownPeers.others[Int(what) % KnownPeers.others.count].id
        guard self.world.connections.count(where: { $0.peer == peer }) < MachineWorld.connectionCountOfPeerMax else { return }
        let info = ConnectionInfo(
            id: ConnectionID(rawValue: self.world.newID()), peer: peer, isOutbound: what & 0x40 != 0,
            remoteAddress: KnownPeers.addresses[address], isLimited: what & 0x80 != 0)
        self.world.connections.append(info)
        self.give(.connected(info))
    }

    private func disconnect(_ info: ConnectionInfo) {
        for stream in self.world.streams where stream.connection.id == info.id { self.reset(stream.id) }
        self.world.connections.removeAll { $0.id == info.id }
        self.give(.disconnected(info))
    }

    private func openInbound(_ script: inout PlayScript) {
        let (connection, name) = (script.choice(of: self.world.connections), script.choice(of: self.machine.servedProtocolIDs))
        guard let connection, let name else { return }
        let count = self.world.streams.count { $0.isInbound && $0.connection.peer == connection.peer }
        guard count < MachineWorld.inboundStreamCountMax * self.machine.servedProtocolIDs.count else { return }
        let stream = MachineWorld.Stream(id: StreamID(rawValue: self.world.newID()), connection: connection, isInbound: true)
        self.world.streams.append(stream)
        self.give(.inbound(stream.id, connection, protocolID: name))
    }

    private func answerRequest(_ script: inout PlayScript) {
        guard !self.world.requests.isEmpty else { return }
        let request = self.world.requests.remove(at: script.choice(self.world.requests.count))
        let connection = self.world.connections.first { $0.id == request.connection || $0.peer == request.peer }
        let what = script.byte()
        guard let connection, what & 7 != 7, let name = request.protocolIDs.first else {
            let failures: [StreamFailure] = [.notConnected, .notSupported, .timedOut, .tooManyStreams, .ended]
            return self.give(.failed(request: request.number, failures[Int(what >> 3) % failures.count]))
        }
        let stream = MachineWorld.Stream(id: StreamID(rawValue: self.world.newID()), connection: connection, isInbound: false)
        self.world.streams.append(stream)
        let last = request.protocolIDs[Int(what >> 3) % request.protocolIDs.count]
        self.give(.opened(request: request.number, stream.id, protocolID: what & 4 == 0 ? name : last))
    }

    private func send(_ step: MachineStep, _ script: inout PlayScript) {
        guard let stream = script.choice(of: self.world.streams.filter { !$0.hasEnded && !$0.isPaused }) else { return }
        let message = step == .sendFrame || step == .sendBytes || step == .echo ? nil : script.choice(of: self.plan.messages)
        switch step {
        case .sendChanged:
            var bytes = message ?? []
            let (place, mask) = (script.number(), script.byte())
            if mask == 0 {
                bytes = Array(bytes.prefix(place % (bytes.count + 1)))
            } else if !bytes.isEmpty {
                bytes[place % bytes.count] ^= mask
            }
            self.deliver(bytes, to: stream.id)
        case .sendMany: for _ in 0...Int(script.byte()) { self.deliver(message ?? [], to: stream.id) }
        case .sendFrame: self.deliver(FrameReader.frame(script.bytes()), to: stream.id)
        case .sendBytes: self.deliver(script.bytes(), to: stream.id)
        case .echo: if let bytes = script.choice(of: self.world.written) { self.deliver(bytes, to: stream.id) }
        // One byte at a time where the next byte says so, as a slow network may bring it.
        default:
            let bytes = message ?? []
            if script.choice(8) == 7, bytes.count < 512 {
                for byte in bytes { self.deliver([byte], to: stream.id) }
            } else {
                self.deliver(bytes, to: stream.id)
            }
        }
    }

    private func deliver(_ bytes: [UInt8], to id: StreamID) {
        guard !bytes.isEmpty, self.world.streams.contains(where: { $0.id == id && !$0.hasEnded && !$0.isPaused }) else { return }
        self.give(.received(id, bytes))
    }

    private func end(_ script: inout PlayScript) {
        guard let stream = script.choice(of: self.world.streams.filter { !$0.hasEnded }),
            let index = self.world.streams.firstIndex(where: { $0.id == stream.id })
        else { return }
        self.world.streams[index].hasEnded = true
        self.give(.ended(stream.id))
    }

    private func reset(_ id: StreamID) {
        guard self.world.streams.contains(where: { $0.id == id }) else { return }
        self.forget(id)
        self.give(.reset(id))
    }

    private func forget(_ id: StreamID) {
        self.world.streams.removeAll { $0.id == id }
        self.world.unwritten.removeAll { $0 == id }
    }

    private func takeWrites(_ count: Int) {
        for _ in 0...count where !self.world.unwritten.isEmpty { self.give(.writable(self.world.unwritten.removeFirst())) }
    }

    private func wait(_ script: inout PlayScript) {
        let (unit, count) = (script.choice(6), Int(script.byte()))
        switch unit {
        case 0: self.world.now += .milliseconds(count)
        case 1: self.world.now += .seconds(count)
        case 2: self.world.now += .seconds(count * 60)
        case 3: self.world.now += .seconds(count * 3_600)
        default: self.world.now = max(self.world.now, self.machine.deadline ?? self.world.now)
        }
        self.settle()
    }

    // MARK: The machine

    private func give(_ input: ProtocolInput) {
        self.machine.handle(input, now: self.world.now)
        self.settle()
    }

    /// Takes all that the machine wants and tells, and gives it the time that it asked for.
    private func settle() {
        var outputCount = 0
        self.drain(&outputCount)
        var tickCount = 0
        while let deadline = self.machine.deadline, deadline <= self.world.now {
            self.machine.tick(now: self.world.now)
            self.drain(&outputCount)
            tickCount += 1
            require(tickCount < 16, "a tick takes the deadline on")
        }
        let heldByteCount = self.machine.heldByteCount
        require(heldByteCount >= 0, "no machine holds less than nothing")
        require(heldByteCount <= self.plan.heldByteCountMax(self.world), "a machine holds no more than it may")
    }

    private func drain(_ outputCount: inout Int) {
        var isSilent = false
        while !isSilent {
            isSilent = true
            while let event = self.machine.nextEvent() {
                self.events.append(event)
                isSilent = false
                Self.count(&outputCount)
            }
            if self.events.count > 64 { self.events.removeFirst(self.events.count - 8) }
            while let command = self.machine.nextCommand() {
                self.carryOut(command)
                isSilent = false
                Self.count(&outputCount)
            }
            while self.world.takesWrites, !self.world.unwritten.isEmpty {
                self.machine.handle(.writable(self.world.unwritten.removeFirst()), now: self.world.now)
                isSilent = false
                Self.count(&outputCount)
            }
        }
    }

    private static func count(_ outputCount: inout Int) {
        outputCount += 1
        require(outputCount <= Self.outputCountMax, "what a step gives rise to has an end")
    }

    private func carryOut(_ command: ProtocolCommand) {
        switch command {
        case .open(let number, let peer, let names, _):
            require(!names.isEmpty, "a stream is opened for some protocol")
            self.world.requests.append(.init(number: number, peer: peer, connection: nil, protocolIDs: names))
        case .openOn(let number, let connection, let names):
            require(!names.isEmpty, "a stream is opened for some protocol")
            self.world.requests.append(.init(number: number, peer: nil, connection: connection, protocolIDs: names))
        case .write(let id, let bytes):
            guard self.world.streams.contains(where: { $0.id == id }) else { return }
            self.world.written.append(bytes)
            if self.world.written.count > 16 { self.world.written.removeFirst() }
            self.world.unwritten.append(id)
        case .reset(let id): self.forget(id)
        case .pauseReading(let id): self.pause(id, true)
        case .resumeReading(let id): self.pause(id, false)
        case .closeWrite, .dial: break
        case .disconnect(let peer):
            for info in self.world.connections where info.peer == peer {
                let gone = self.world.streams.filter { $0.connection.id == info.id }
                self.world.connections.removeAll { $0.id == info.id }
                for stream in gone {
                    self.forget(stream.id)
                    self.machine.handle(.reset(stream.id), now: self.world.now)
                }
                self.machine.handle(.disconnected(info), now: self.world.now)
            }
        }
    }

    private func pause(_ id: StreamID, _ isPaused: Bool) {
        for index in self.world.streams.indices where self.world.streams[index].id == id { self.world.streams[index].isPaused = isPaused }
    }

    /// Everybody leaves, and a day passes: nothing that strangers caused may stay.
    private func finish() {
        self.world.takesWrites = true
        self.settle()
        self.failRequests()
        while let info = self.world.connections.last { self.disconnect(info) }
        for _ in 0..<4 {
            self.failRequests()
            self.world.now += .seconds(8 * 3_600)
            self.settle()
        }
        self.failRequests()
        require(self.machine.heldByteCount <= self.plan.restByteCountMax, "what strangers caused is forgotten in time")
    }

    private func failRequests() {
        while let request = self.world.requests.popLast() { self.give(.failed(request: request.number, .notConnected)) }
    }
}

// MARK: - Seeds

extension MachinePlan {
    /// Each message on a stream of each kind, and each thing that the user does with answers of each kind.
    var seeds: [[UInt8]] {
        func step(_ step: MachineStep, _ bytes: UInt8...) -> [UInt8] { [step.rawValue] + bytes }
        let indices = self.messages.indices.map { UInt8($0) }
        let served = UInt8(self.machine().servedProtocolIDs.count)
        let connect = step(.connect, 0, 0) + step(.connect, 0x41, 1) + step(.connect, 0x82, 5)
        let flags = self.protocolIDs.map { _ in UInt8(1) }
        let hello = connect + [0, 1, 2].flatMap { [MachineStep.tellProtocols.rawValue] + flags + [$0] }
        var seeds: [[UInt8]] = []
        for connection in UInt8(0)..<3 {
            for name in 0..<served {
                let open = hello + step(.inbound, connection, name)
                seeds.append(open + indices.flatMap { step(.sendMessage, 0, $0, 0) + step(.echo, 0, 0) } + step(.end, 0))
                for index in indices where connection == 0 {
                    seeds.append(open + step(.sendMessage, 0, index, 7) + step(.end, 0) + step(.wait, 5, 0) + step(.wait, 1, 60))
                    seeds.append(open + [MachineStep.sendBytes.rawValue, 0] + PlayScript.encode(self.messages[Int(index)]))
                    seeds.append(open + step(.sendMany, 0, index, 255))
                }
            }
        }
        let everyUse = (0..<self.useCount).flatMap { step(.use, $0, 0, 0, 0, 0) }
        for use in 0..<self.useCount {
            for argument in UInt8(0)..<3 {
                seeds.append(
                    hello + step(.use, use, argument, 0, 0, 0) + step(.answerRequest, 0, 0) + step(.answerRequest, 0, 0) + step(.echo, 0, 0)
                        + step(.use, use, argument, 1, 0, 0) + step(.wait, 5, 0))
            }
            for index in indices {
                seeds.append(
                    hello + step(.use, use, 0, 0, 0, 0) + step(.answerRequest, 0, 0) + step(.answerRequest, 0, 0)
                        + step(.sendMessage, 0, index, 0) + step(.inbound, 0, 0) + step(.sendMessage, 1, index, 0) + everyUse
                        + step(.wait, 5, 0) + step(.wait, 1, 40))
            }
        }
        return seeds
    }
}
