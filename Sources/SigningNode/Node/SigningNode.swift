internal import Bitcoin
public import CryptoPrimitives
public import LibP2P
public import LibP2PPosix
public import Secp256k1
public import SessionStore
public import Signing

/// A signer's node: it takes part in its groups' requests over the network, through restarts, until each is signed or can never be.
///
///     let database = try await SessionDatabase.open("chorale.db")
///     let node = try SigningNode(keys, database: database, configuration: SigningNode.Configuration())
///     try await node.start()
///     let group = try await node.addGroup(.everyone(signers), name: "family", members: enrolments)
///     let id = try await node.propose(transaction, prevouts: coins, group: group, note: "rent", seconds: 3_600)
///     for await (_, event) in await node.events() { … }
///
/// What it decides, `SigningMachine` decides; here are the sockets, the disk, the clock and those who wait. It runs on its network node's
/// loop.
public actor SigningNode {
    public struct Configuration: Sendable {
        /// Where it listens; none: it only dials.
        public var listenAddresses: [Multiaddr] = []
        /// Peers that it dials when it starts, each with its peer id in the address.
        public var bootstrap: [Multiaddr] = []
        public var machine = SigningMachine.Configuration()
        public var requests = RequestBounds()
        public var node = Node.Configuration(agentVersion: "chorale/0.1.0")

        public init() {}
    }

    /// The node's place in the network, for protocols beside signing.
    public nonisolated let network: PosixNode
    public nonisolated let keys: SignerKeys
    let database: SessionDatabase
    let configuration: Configuration
    var log = EventLog()
    var machine: ProtocolHandle<SigningMachine>?
    private var isStarted = false
    private var searches: Set<PeerID> = []
    /// Writes that have not come to their end.
    private var writeCount = 0
    private var whenWritten: [CheckedContinuation<Void, Never>] = []

    public nonisolated var unownedExecutor: UnownedSerialExecutor { self.network.executor.asUnownedSerialExecutor() }

    public init(
        _ keys: SignerKeys, database: SessionDatabase, configuration: Configuration = Configuration()
    ) throws(SecretMemoryError) {
        self.keys = keys
        self.database = database
        self.configuration = configuration
        self.network = try PosixNode(keys.identity, configuration: configuration.node)
    }

    public nonisolated var signer: PublicKey { self.keys.signer }
    public nonisolated var id: PeerID { self.network.id }
    public nonisolated var enrolment: Enrolment { self.keys.enrolment }

    // MARK: Start and end

    /// Goes on where the last process ended, listens, and looks for others.
    public func start() async throws(SigningNodeError) {
        guard !self.isStarted else { return }
        self.isStarted = true
        // What is over for a month goes, and its place with it.
        let time = WallClock.secondsSince1970
        do {
            _ = try await self.database.requests(within: self.configuration.requests)
                .removeOver(updatedBefore: time > Self.keptFor ? time - Self.keptFor : 0, countMax: 1_000)
        } catch { throw .store(error) }
        let now = await self.network.now
        var machine = SigningMachine(
            keys: self.keys, configuration: self.configuration.machine, clocks: Self.clocks,
            makeIncarnation: { SystemRandom.bytes(count: NonceName.incarnationByteCount) }, now: now)
        try await self.restoreGroups(&machine)
        try await self.restoreRequests(&machine, now: now)
        try await self.restoreAddresses(&machine, now: now)
        // Messages of limited relayed connections count too: signing takes few bytes.
        self.machine = await self.network.add(machine, onLimited: true) { [weak self] event in
            self?.assumeIsolated { $0.handle(event) }
        }
        for address in self.configuration.listenAddresses {
            do throws(ListenError) { _ = try await self.network.listen(on: address) } catch { throw .listen(error) }
        }
        for address in self.configuration.bootstrap { self.reach(address) }
    }

    /// Seconds for which a request that is over is kept, for who asks: 30 days.
    private static let keptFor: UInt64 = 30 * 86_400

    private static let clocks: @Sendable (Duration) -> SigningClocks = { now in
        SigningClocks(wall: .seconds(Int64(clamping: WallClock.secondsSince1970)), running: now)
    }

    private func reach(_ address: Multiaddr) {
        guard let peer = address.peerID else { return }
        Task {
            // Who is not there now is found in another way, or dials us.
            guard let _ = try? await self.network.dial(peer, at: [address]) else { return }
            _ = try? await self.network.addContact(peer)
            _ = try? await self.network.bootstrap()
        }
    }

    /// Ends the node: what waits for the disk is written, sockets are closed. Secret nonces are wiped with the machine.
    public func stop() async {
        // What is written makes way for what waits behind it.
        await self.allWritten()
        if let machine = self.machine { await self.network.update(machine) { machine, _ in machine.wipe() } }
        await self.network.close()
        await self.allWritten()
        self.log.finish()
        self.machine = nil
    }

    private func allWritten() async {
        if self.writeCount > 0 { await withCheckedContinuation { self.whenWritten.append($0) } }
    }

    /// Where it listens, with its peer id.
    public var addresses: [Multiaddr] {
        get async { await self.network.listenAddresses.map { $0.appending(.p2p(self.id)) } }
    }

    // MARK: Events

    /// What happened after the cursor, and what will: cursors rise by one, from 1, within one life of the process.
    public func events(after cursor: UInt64 = 0) -> AsyncStream<(cursor: UInt64, event: SigningNodeEvent)> {
        self.log.read(after: cursor) { [weak self] reader in
            guard let self else { return }
            self.network.executor.queue.async { self.assumeIsolated { $0.log.forget(reader) } }
        }
    }

    private func handle(_ event: SigningMachineEvent) {
        switch event {
        case .write(let id, let request, let write, let time): self.perform(id, request, write, at: time)
        case .requested(let id): self.log.append(.requested(id))
        case .request(let id, let event): self.log.append(.request(id, event))
        case .notStored(let id, let reason): self.log.append(.notStored(id, reason: reason))
        case .refused(let peer, let refusal): self.log.append(.refused(peer, refusal))
        case .blocked(let peer, _): self.log.append(.blocked(peer))
        case .addressesWanted(let peer): self.search(peer)
        case .clocksJumped: self.log.append(.clocksJumped)
        case .connected(let signer): self.log.append(.connected(signer))
        case .disconnected(let signer): self.log.append(.disconnected(signer))
        }
    }

    // MARK: The store

    private func perform(_ id: SigningWriteID, _ request: Bytes32, _ write: SigningWrite, at time: UInt64) {
        self.writeCount += 1
        Task {
            let result = await self.result(of: write, request, at: time)
            if let machine = self.machine {
                await self.network.update(machine) { $0.written(id, of: request, result, now: $1) }
            }
            if case .done = result, case .decision(let decision, _) = write { self.log.append(.decided(request, decision)) }
            self.writeCount -= 1
            guard self.writeCount == 0 else { return }
            for waiter in self.whenWritten { waiter.resume() }
            self.whenWritten = []
        }
    }

    private func result(of write: SigningWrite, _ request: Bytes32, at time: UInt64) async -> SigningWriteResult {
        let requests = self.database.requests(within: self.configuration.requests)
        do {
            switch write {
            case .request(let new):
                try await requests.add(new)
                return .done(try await requests.request(request))
            case .decision(let decision, let serial): try await requests.decide(decision, serial: serial, about: request, at: time)
            case .burn(let record): try await self.database.journal.burn(record)
            case .state(let state, let reason): try await requests.setState(state, reason: reason, of: request, at: time)
            case .transcript(let lines):
                try await requests.append(lines.map { (kind: $0.kind.rawValue, bytes: $0.bytes) }, to: request, at: time)
            case .completion(let line):
                try await requests.append([(kind: line.kind.rawValue, bytes: line.bytes)], to: request, at: time)
            }
            return .done()
        } catch { return .failed("\(error)") }
    }

    // MARK: Finding members

    /// Asks the hash table where a member's node is.
    private func search(_ peer: PeerID) {
        guard self.searches.insert(peer).inserted else { return }
        Task {
            defer { self.searches.remove(peer) }
            guard let found = try? await self.network.findPeer(peer) else { return }
            await self.learn(found.addresses, of: peer)
        }
    }

    /// Where a member's node may be found.
    public func learn(_ addresses: [Multiaddr], of peer: PeerID) async {
        guard let machine = self.machine else { return }
        await self.network.update(machine) { $0.learn(addresses, of: peer, now: $1) }
    }
}
