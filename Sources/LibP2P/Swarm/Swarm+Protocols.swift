// Protocol machines: what they are told, and what they want done.

/// A machine of the swarm, for those who ask for it.
public struct ProtocolHandle<Machine: ProtocolMachine & ~Copyable>: Hashable, Sendable {
    let index: Int
}

/// A machine of any kind, in its place.
protocol MachineCell: AnyObject, Sendable {
    var servedProtocolIDs: [String] { get }
    /// Those that stand in the swarm's table.
    var registeredProtocolIDs: [String] { get set }
    var onLimited: Bool { get }
    var deadline: Duration? { get }
    var heldByteCount: Int { get }
    func handle(_ input: ProtocolInput, now: Duration)
    func tick(now: Duration)
    func nextCommand() -> ProtocolCommand?
}

/// What makes a machine's place.
struct HostedMachine<Machine: ProtocolMachine & ~Copyable>: ~Copyable, Sendable {
    var machine: Machine
    var registeredProtocolIDs: [String] = []
    let onLimited: Bool
}

extension Owned: MachineCell where Value: HostedMachineProtocol & ~Copyable {
    var servedProtocolIDs: [String] { self.value.servedProtocolIDs() }
    var registeredProtocolIDs: [String] {
        get { self.value.registeredProtocolIDs }
        set { self.value.registeredProtocolIDs = newValue }
    }
    var onLimited: Bool { self.value.onLimited }
    var deadline: Duration? { self.value.deadline() }
    var heldByteCount: Int { self.value.heldByteCount() }
    func handle(_ input: ProtocolInput, now: Duration) { self.value.handle(input, now: now) }
    func tick(now: Duration) { self.value.tick(now: now) }
    func nextCommand() -> ProtocolCommand? { self.value.nextCommand() }
}

/// `HostedMachine`, whatever its machine: what an extension can name.
protocol HostedMachineProtocol: ~Copyable, Sendable {
    var registeredProtocolIDs: [String] { get set }
    var onLimited: Bool { get }
    mutating func handle(_ input: ProtocolInput, now: Duration)
    mutating func tick(now: Duration)
    mutating func nextCommand() -> ProtocolCommand?
    // Mutating, though nothing changes: so a machine is asked in its place. To ask a copy costs a hundred times as much.
    mutating func servedProtocolIDs() -> [String]
    // So they may be asked only while the swarm itself may be changed.
    mutating func deadline() -> Duration?
    /// Not mutating: whoever only looks at a swarm, from any thread, may ask for this.
    func heldByteCount() -> Int
}

extension HostedMachine: HostedMachineProtocol where Machine: ~Copyable {
    mutating func handle(_ input: ProtocolInput, now: Duration) { self.machine.handle(input, now: now) }
    mutating func tick(now: Duration) { self.machine.tick(now: now) }
    mutating func nextCommand() -> ProtocolCommand? { self.machine.nextCommand() }
    mutating func servedProtocolIDs() -> [String] { self.machine.servedProtocolIDs }
    mutating func deadline() -> Duration? { self.machine.deadline }
    func heldByteCount() -> Int { self.machine.heldByteCount }
}

/// Places of machines, the lowest first. A set's own order changes from run to run, and a seed must replay.
struct MachinePlaces: Sendable {
    private var isIn: [Bool] = []
    private var count = 0

    mutating func insert(_ place: Int) {
        while self.isIn.count <= place { self.isIn.append(false) }
        guard !self.isIn[place] else { return }
        self.isIn[place] = true
        self.count += 1
    }

    mutating func popFirst() -> Int? {
        guard self.count > 0, let place = self.isIn.firstIndex(of: true) else { return nil }
        self.isIn[place] = false
        self.count -= 1
        return place
    }
}

extension Swarm {
    /// Adds a protocol. It is told of everything from now on, and of the connections that stand.
    ///
    /// - Parameter onLimited: whether its inbound streams are taken on connections whose duration and bytes a relay limits.
    public mutating func add<Machine: ProtocolMachine & ~Copyable>(
        _ machine: consuming Machine, onLimited: Bool = false, now: Duration
    ) -> ProtocolHandle<Machine> {
        let index = self.machines.count
        self.machines.append(Owned(HostedMachine(machine: machine, onLimited: onLimited)))
        self.machineDeadlines.append(nil)
        self.refreshServed(index)
        for peer in self.peers.keys.sorted() {
            for info in self.connections(to: peer) { self.machineInputs.append((index, .connected(info))) }
        }
        self.dirtyMachines.insert(index)
        self.settle(now: now)
        return ProtocolHandle(index: index)
    }

    /// Asks a machine for something, and carries out what it then wants.
    public mutating func update<Machine: ProtocolMachine & ~Copyable, Result, Failure: Error>(
        _ handle: ProtocolHandle<Machine>, now: Duration, _ body: (inout Machine) throws(Failure) -> Result
    ) throws(Failure) -> Result {
        defer {
            self.dirtyMachines.insert(handle.index)
            self.settle(now: now)
        }
        return try body(&self.machine(handle).value.machine)
    }

    /// Looks at a machine.
    public func read<Machine: ProtocolMachine & ~Copyable, Result>(
        _ handle: ProtocolHandle<Machine>, _ body: (borrowing Machine) -> Result
    ) -> Result {
        body(self.machine(handle).value.machine)
    }

    /// What a machine has to say next; `nil` when that is all. Take its events after each call.
    public mutating func nextEvent<Machine: ProtocolMachine & ~Copyable>(of handle: ProtocolHandle<Machine>) -> Machine.Event? {
        self.machine(handle).value.machine.nextEvent()
    }

    private func machine<Machine: ProtocolMachine & ~Copyable>(_ handle: ProtocolHandle<Machine>) -> Owned<HostedMachine<Machine>> {
        guard handle.index < self.machines.count, let machine = self.machines[handle.index] as? Owned<HostedMachine<Machine>> else {
            preconditionFailure("a handle is used with the swarm that gave it")
        }
        return machine
    }

    /// Which protocols a peer serves is known: identify said so. Machines hear of it, and streams for these open without a question.
    public mutating func learned(_ protocolIDs: [String], of peer: PeerID, now: Duration) {
        guard self.peers[peer] != nil else { return }
        var room = Self.protocolByteCountOfPeerMax
        let kept = protocolIDs.prefix(Self.protocolCountOfPeerMax).prefix { name in
            room -= name.utf8.count
            return room >= 0
        }
        self.peers[peer]?.protocolIDs = Set(kept)
        self.tellMachines(.protocols(of: peer, protocolIDs))
        self.settle(now: now)
    }

    /// Protocols that are remembered of one peer. js-libp2p nodes with everything on speak about twenty.
    public static let protocolCountOfPeerMax = 128
    /// Bytes of their names: 128 of twice the usual length.
    public static let protocolByteCountOfPeerMax = 8_192

    /// What a peer is known to speak; empty while nothing is known.
    public func protocolIDs(of peer: PeerID) -> Set<String> { self.peers[peer]?.protocolIDs ?? [] }

    mutating func tellMachines(_ input: ProtocolInput) {
        for index in self.machines.indices { self.machineInputs.append((index, input)) }
    }

    /// A machine may begin or stop to serve a protocol at any time.
    mutating func refreshServed(_ index: Int) {
        let machine = self.machines[index]
        let (current, registered) = (machine.servedProtocolIDs, machine.registeredProtocolIDs)
        guard current != registered else { return }
        for name in registered where self.served[name]?.owner == .machine(index) { self.served[name] = nil }
        for name in current { self.served[name] = ServedProtocol(owner: .machine(index), onLimited: machine.onLimited) }
        machine.registeredProtocolIDs = current
    }

    // MARK: Commands

    mutating func carryOut(_ command: ProtocolCommand, of index: Int, now: Duration) {
        switch command {
        case .open(let request, let peer, let protocolIDs, let onLimited):
            let info = self.connection(to: peer, onLimited: onLimited)
            self.open(protocolIDs, on: info?.id, .machine(index), request, now: now)
        case .openOn(let request, let id, let protocolIDs):
            self.open(protocolIDs, on: id, .machine(index), request, now: now)
        case .write(let id, let bytes): self.write(bytes, to: id, of: index, now: now)
        case .closeWrite(let id):
            guard let stream = self.streams[id], stream.owner == .machine(index), let link = self.links[stream.link] else { return }
            if stream.pendingWrites.isEmpty {
                link.value.connection.closeWrite(stream.yamux)
                self.touch(link)
            } else {
                self.streams[id]?.closesAfterWrites = true
            }
        case .reset(let id): if self.streams[id]?.owner == .machine(index) { self.dropStream(id, now: now) }
        case .pauseReading(let id): if self.streams[id]?.owner == .machine(index) { self.streams[id]?.isReadingPaused = true }
        case .resumeReading(let id):
            guard self.streams[id]?.owner == .machine(index) else { return }
            self.streams[id]?.isReadingPaused = false
            self.readForMachine(id, now: now)
        case .dial(let peer, let addresses, let isHearsay):
            var options = DialOptions()
            options.isHearsay = isHearsay
            self.startLadder(peer, addresses, options, now: now)
        case .disconnect(let peer): self.closeConnections(with: peer)
        }
    }

    /// A machine's bytes are kept when the stream does not take them now, up to a limit. Once it has them, the machine is told: it may
    /// wait for that before it writes more.
    private mutating func write(_ bytes: [UInt8], to id: StreamID, of index: Int, now: Duration) {
        guard !bytes.isEmpty, let stream = self.streams[id], stream.owner == .machine(index), !stream.closesAfterWrites,
            let link = self.links[stream.link]
        else { return }
        defer { self.touch(link) }
        if stream.pendingWrites.isEmpty {
            do throws(YamuxWriteError) {
                try link.value.connection.write(bytes, to: stream.yamux)
                return self.machineInputs.append((index, .writable(id)))
            } catch {
                guard case .bufferFull = error else { return }
            }
        }
        guard stream.pendingByteCount + bytes.count <= self.limits.pendingWriteByteCountMax else {
            self.streamRefused(.notReading(maximum: self.limits.pendingWriteByteCountMax), of: link, now: now)
            self.dropStream(id, now: now)
            self.machineInputs.append((index, .reset(id)))
            return
        }
        self.streams[id]?.pendingWrites.append(bytes)
        self.streams[id]?.pendingByteCount += bytes.count
        self.countPending(bytes.count, of: link)
    }

    mutating func countPending(_ change: Int, of link: Owned<SwarmLink>) {
        self.pendingWriteByteCount += change
        link.value.pendingWriteByteCount += change
    }

    /// Gives a stream what its machine wrote while it was full.
    mutating func writePending(_ id: StreamID, to link: Owned<SwarmLink>) {
        guard let yamux = self.streams[id]?.yamux else { return }
        while let chunk = self.streams[id]?.pendingWrites.first {
            do throws(YamuxWriteError) {
                try link.value.connection.write(chunk, to: yamux)
            } catch {
                if case .bufferFull = error { return }
            }
            _ = self.streams[id]?.pendingWrites.popFirst()
            self.streams[id]?.pendingByteCount -= chunk.count
            self.countPending(-chunk.count, of: link)
        }
        if self.streams[id]?.closesAfterWrites == true { link.value.connection.closeWrite(yamux) }
    }
}
