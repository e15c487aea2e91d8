internal import CryptoPrimitives
public import LibP2P

/// Whole nodes in one process, under virtual time, with a network between them that delays, breaks and cuts. Everything follows from
/// one seed: the keys, the network's whims, and what the nodes choose.
///
///     let network = try SimulatedNetwork(hostCount: 50, seed: 7, faults: .internet) { host, _ in Member(host) }
///     network.run(for: .seconds(10))
///     network.update(3) { node, program, now in node.swarm.dial(peer, at: [address], now: now) }
///     network.crash(5)
///     network.split { $0 % 2 }
///
/// The nodes are those of the product, with real handshakes and real bytes; only their pipes, their clock and their randomness are
/// made here. One thread drives a network; different networks may run at the same time. ``digest`` tells two runs apart.
public final class SimulatedNetwork<Program: SimulatedProgram> {
    /// What runs on a host: its number, and the program of its last start, whose disk outlives it.
    public typealias MakeProgram = (_ host: Int, _ previous: Program?) -> Program
    public typealias Configure = (_ host: Int, inout Node.Configuration) -> Void

    public let seed: UInt64
    public var faults: NetworkFaults
    public private(set) var now = Duration.zero
    public private(set) var hosts: [SimulatedHost<Program>] = []
    public internal(set) var counters = NetworkCounters()
    public internal(set) var digest = EventDigest()
    /// How long this thread has computed, in any unit. With one, each host's work is counted; nothing depends on it.
    public var processorClock: (() -> UInt64)?
    /// Why something that was planned could not be done.
    public private(set) var failure: (any Error)?

    /// The network's own whims.
    var random: SeededRandom
    var queue = EventQueue<Happening>()
    /// Pipes in which something waits for the network to heal.
    var heldPipes: [SimulatedPipe] = []
    private let makeProgram: MakeProgram
    private let configure: Configure
    private var hostsByAddress: [Multiaddr: Int] = [:]
    private var hostsByPeer: [PeerID: Int] = [:]
    /// What a node's output is written into, before it is cut to size.
    let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 65_536, alignment: 16)

    enum Happening {
        case tick(host: Int)
        /// A dial reaches the other side.
        case dialArrives(Dial)
        case dialEnds(Dial, SimulatedPipe?, RawDialFailure)
        case arrival(SimulatedPipe, to: SimulatedPipe.Side)
        /// The sender learns that the other end has read.
        case room(SimulatedPipe, to: SimulatedPipe.Side)
        case pipeBreaks(SimulatedPipe)
        /// An end that knows nothing of the pipe says so.
        case pipeResets(SimulatedPipe)
        case planned((SimulatedNetwork<Program>) throws -> Void)
    }

    struct Dial {
        let host: Int
        /// Which start of the host's process it belongs to.
        let start: Int
        let id: ConnectionID
        let raw: RawDial
    }

    /// - Parameters:
    ///   - configure: changes a node's configuration, at each of its starts.
    ///   - makeProgram: what runs on a host, at each of its starts.
    public init(
        hostCount: Int, seed: UInt64, faults: NetworkFaults = NetworkFaults(), configure: @escaping Configure = { _, _ in },
        makeProgram: @escaping MakeProgram
    ) throws {
        self.seed = seed
        self.faults = faults
        self.random = SeededRandom(seed: seed)
        self.makeProgram = makeProgram
        self.configure = configure
        for number in 0..<hostCount {
            let identity = try SimulatedKeys.identity(seed: seed, host: number)
            let address = Self.address(of: number)
            let node = try self.makeNode(number, identity, address, start: 1)
            let host = SimulatedHost(
                number: number, identity: identity, address: address, node: node, program: makeProgram(number, nil))
            self.hosts.append(host)
            self.hostsByAddress[address] = number
            self.hostsByPeer[identity.id] = number
        }
        for host in self.hosts { self.begin(host) }
    }

    deinit { self.buffer.deallocate() }

    /// `10.a.b.c`, TCP port 4001. Host 0 is 10.0.0.1.
    public static func address(of host: Int) -> Multiaddr { self.address(of: host, port: 4_001) }

    static func address(of host: Int, port: UInt16) -> Multiaddr {
        let number = UInt32(host + 1)
        let bytes = [10, UInt8(number >> 16 & 255), UInt8(number >> 8 & 255), UInt8(number & 255)]
        guard let ip = IPv4Address(bytes) else { preconditionFailure("four bytes are an address") }
        return Multiaddr([.ip4(ip), .tcp(port)])
    }

    /// The Unix time of the simulation's start: in November 2023.
    public static var unixTimeOffset: Duration { .seconds(1_700_000_000) }

    private func makeNode(_ number: Int, _ identity: PeerIdentity, _ address: Multiaddr, start: Int) throws(SecretMemoryError) -> Node {
        var configuration = Node.Configuration(agentVersion: "chorale-simulation/1", addresses: [address])
        self.configure(number, &configuration)
        let keys = SimulatedEphemeralKeys(seed: self.seed, host: number, start: start)
        return Node(
            identity, staticKey: try SimulatedKeys.staticKey(of: identity, seed: self.seed, host: number, start: start),
            makeEphemeralKey: { () throws(SecretMemoryError) in try keys.next() }, configuration: configuration,
            seed: self.random.next(), unixTimeOffset: Self.unixTimeOffset, now: self.now)
    }

    private func begin(_ host: SimulatedHost<Program>) {
        host.program.start(&host.node, now: self.now)
        self.settle(host)
    }

    public func host(of peer: PeerID) -> Int? { self.hostsByPeer[peer] }

    func host(at address: Multiaddr) -> Int? { self.hostsByAddress[address] }
}

// MARK: - Time

extension SimulatedNetwork {
    /// Lets time pass.
    public func run(for duration: Duration) { self.run(until: self.now + duration) }

    public func run(until end: Duration) {
        while let (time, happening) = self.queue.popFirst(until: end) {
            self.now = max(self.now, time)
            self.happen(happening)
        }
        self.now = max(self.now, end)
    }

    /// Lets time pass until the condition holds, which is asked in steps.
    ///
    /// - Returns: whether it holds.
    @discardableResult
    public func run(
        until condition: (SimulatedNetwork<Program>) -> Bool, within duration: Duration, step: Duration = .milliseconds(100)
    ) -> Bool {
        let end = self.now + duration
        while !condition(self) {
            guard self.now < end else { return false }
            self.run(until: min(end, self.now + step))
        }
        return true
    }

    private func happen(_ happening: Happening) {
        guard let number = self.host(of: happening) else { return self.carryOut(happening) }
        self.count(of: self.hosts[number]) { self.carryOut(happening) }
    }

    /// Whose work it is.
    private func host(of happening: Happening) -> Int? {
        switch happening {
        case .tick(let host): host
        case .dialArrives(let dial): self.host(at: dial.raw.address)
        case .dialEnds(let dial, _, _): dial.host
        case .arrival(let pipe, let side): pipe.ends[side.rawValue].host
        case .room(let pipe, let side): pipe.ends[side.other.rawValue].host
        case .pipeBreaks, .pipeResets, .planned: nil
        }
    }

    /// Counts what a host computes.
    private func count<Result, Failure: Error>(
        of host: SimulatedHost<Program>, _ body: () throws(Failure) -> Result
    ) throws(Failure) -> Result {
        guard let clock = self.processorClock else { return try body() }
        let start = clock()
        defer { host.processorTime += clock() - start }
        return try body()
    }

    private func carryOut(_ happening: Happening) {
        switch happening {
        case .tick(let number): self.tick(self.hosts[number])
        case .dialArrives(let dial): self.arrive(dial)
        case .dialEnds(let dial, let pipe, let failure): self.end(dial, pipe, failure)
        case .arrival(let pipe, let side): self.arrive(pipe, to: side)
        case .room(let pipe, let side): self.makeRoom(in: pipe, to: side)
        case .pipeBreaks(let pipe):
            guard !pipe.isBroken else { return }
            self.breakPipe(pipe, silently: self.happens(self.faults.silentBreakShare))
        case .pipeResets(let pipe): self.breakPipe(pipe, silently: false)
        case .planned(let body):
            do { try body(self) } catch { self.failure = self.failure ?? error }
        }
    }

    /// Does something to the network when its time comes. Of what fails the first is kept in ``failure``.
    public func plan(at time: Duration, _ body: @escaping (SimulatedNetwork<Program>) throws -> Void) {
        self.queue.add(.planned(body), at: max(time, self.now))
    }

    private func tick(_ host: SimulatedHost<Program>) {
        // Of several that were planned only the last plan counts.
        guard host.isUp, host.tickTime == self.now else { return }
        host.tickTime = nil
        self.counters.tickCount += 1
        self.digest.note(1, UInt64(host.number), UInt64(bitPattern: self.now.nanoseconds))
        host.node.swarm.tick(now: self.now)
        if let deadline = host.program.deadline, deadline <= self.now { host.program.tick(&host.node, now: self.now) }
        self.settle(host)
    }

    /// Tells what a host's node has to tell and carries out what it wants, until it wants nothing more now.
    func settle(_ host: SimulatedHost<Program>) {
        var isBusy = true
        while isBusy {
            isBusy = false
            while let event = host.node.nextEvent(now: self.now) {
                isBusy = true
                host.program.handle(event, &host.node, now: self.now)
            }
            while host.takeEvents(now: self.now) { isBusy = true }
            while let command = host.node.swarm.nextCommand() {
                isBusy = true
                self.carryOut(command, of: host)
            }
        }
        guard let deadline = host.deadline else { return }
        let time = max(deadline, self.now)
        if let planned = host.tickTime, planned <= time { return }
        host.tickTime = time
        self.queue.add(.tick(host: host.number), at: time)
    }
}

// MARK: - What is done to it

extension SimulatedNetwork {
    /// Does something with a host's node and program, and carries out what follows. Nothing, if the host is down.
    @discardableResult
    public func update<Result, Failure: Error>(
        _ number: Int, _ body: (inout Node, inout Program, _ now: Duration) throws(Failure) -> Result
    ) throws(Failure) -> Result? {
        let host = self.hosts[number]
        guard host.isUp else { return nil }
        return try self.count(of: host) { () throws(Failure) -> Result in
            defer { self.settle(host) }
            return try body(&host.node, &host.program, self.now)
        }
    }

    /// A host's process ends without a word. Its system ends the pipes, so that the others hear of it. If the machine itself goes,
    /// `silently`, they hear nothing; what they send then is answered by a reset only when the machine is back.
    public func crash(_ number: Int, silently: Bool = false) {
        let host = self.hosts[number]
        guard host.isUp else { return }
        self.digest.note(2, UInt64(number), UInt64(bitPattern: self.now.nanoseconds))
        host.isUp = false
        host.tickTime = nil
        host.pendingDials = []
        for (pipe, side) in self.pipes(of: host) {
            if silently {
                pipe.isOrphaned = true
                host.orphans.append(pipe)
            } else {
                self.send(.end, through: pipe, from: side, of: host)
            }
        }
        host.pipes = [:]
    }

    /// Starts the process of a host that crashed again, with the same identity and nothing that the old one held in memory.
    public func restart(_ number: Int) throws {
        let host = self.hosts[number]
        guard !host.isUp else { return }
        self.digest.note(3, UInt64(number), UInt64(bitPattern: self.now.nanoseconds))
        host.startCount += 1
        host.node = try self.makeNode(number, host.identity, host.address, start: host.startCount)
        host.program = self.makeProgram(number, host.program)
        (host.isUp, host.uplinkFreeAt, host.readsAgainAt) = (true, self.now, self.now)
        // What others sent meanwhile is still on its way: their systems send it again and again.
        for pipe in host.orphans where pipe.directions.contains(where: { $0.byteCount > 0 }) {
            self.queue.add(.pipeResets(pipe), at: self.now + pipe.delay)
        }
        host.orphans = []
        self.begin(host)
    }

    /// Cuts the network into parts, or heals it (`{ _ in 0 }`).
    ///
    /// - Parameter breakingPipes: whether pipes between the parts break at once. Otherwise what is under way waits for the network to
    ///   heal, as TCP would, unless one end loses its patience.
    public func split(breakingPipes: Bool = false, _ part: (Int) -> Int) {
        self.digest.note(4, UInt64(bitPattern: self.now.nanoseconds))
        for host in self.hosts { host.part = part(host.number) }
        for host in self.hosts where breakingPipes {
            for (pipe, _) in self.pipes(of: host) where self.isCut(pipe) { self.breakPipe(pipe, silently: false) }
        }
        let held = self.heldPipes
        self.heldPipes = held.filter { self.isCut($0) && !$0.isBroken }
        for pipe in held where !self.isCut(pipe) { self.release(pipe) }
    }

    /// How fast a host reads from now on, in bytes a second; `nil`: at once.
    public func setReading(of number: Int, bytesPerSecond: Int?) { self.hosts[number].readBytesPerSecond = bytesPerSecond }

    /// Lets no dial reach a host any more, or lets them.
    public func setHidden(_ number: Int, _ isHidden: Bool) { self.hosts[number].isHidden = isHidden }

    /// How many bytes may be under way to a host from now on, in each of its pipes; `nil`: as many as to others.
    public func setWindow(of number: Int, byteCount: Int?) { self.hosts[number].windowByteCount = byteCount }

    /// Pipes to a host in which no more has room, though their senders have more.
    public func fullPipeCount(to number: Int) -> Int {
        self.hosts[number].pipes.values.count { $0.pipe.directions[$0.side.rawValue].wantsRoom }
    }

    /// A host reads nothing for a while.
    public func stopReading(_ number: Int, for duration: Duration) {
        self.hosts[number].readsAgainAt = max(self.hosts[number].readsAgainAt, self.now + duration)
    }

    /// Breaks all pipes between two hosts.
    public func breakPipes(_ one: Int, _ other: Int, silently: Bool = false) {
        for (pipe, side) in self.pipes(of: self.hosts[one]) where pipe.ends[side.other.rawValue].host == other {
            self.breakPipe(pipe, silently: silently)
        }
    }

    /// In a fixed order, so that a seed replays.
    func pipes(of host: SimulatedHost<Program>) -> [(pipe: SimulatedPipe, side: SimulatedPipe.Side)] {
        host.pipes.sorted { $0.key < $1.key }.map(\.value)
    }
}
