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
        /// What it decides by; `machine.mailboxes` says where messages for it are kept, and whether it keeps some for others.
        public var machine = SigningMachine.Configuration()
        /// Nodes, each with its peer id in the address, that others reach this one through, where nobody can dial it.
        public var relays: [Multiaddr] = []
        public var requests = RequestBounds()
        public var node = Node.Configuration(agentVersion: "chorale/0.1.0")
        public var discovery = DiscoveryConfiguration()

        public init() {}
    }

    /// The node's place in the network, for protocols beside signing.
    public nonisolated let network: PosixNode
    public nonisolated let keys: SignerKeys
    let database: SessionDatabase
    let configuration: Configuration
    var log = EventLog()
    var machine: ProtocolHandle<SigningMachine>?
    /// A start that is under way or has led to its end: whoever starts it once more shares it.
    private var starting: Task<Result<Void, SigningNodeError>, Never>?
    private var isStopped = false
    /// Where it is still to listen.
    private var addressesToListen: [Multiaddr]
    /// `nil` where it is off.
    var discovery: Discovery?
    /// Tells anew what is advertised.
    var refreshing: Task<Void, Never>?
    /// Of contacts whose addresses were given.
    var heardOfIdentities: Set<Ed25519.PublicKey> = []
    /// Members and mailboxes whose connections are kept.
    var protectedPeers: Set<PeerID> = []
    /// Peers whose connections are refused because they are blocked.
    var deniedPeers: Set<PeerID> = []
    /// Peers that are unblocked here and may still be blocked on the disk.
    var peersToForget: Set<PeerID> = []
    private var searches: Set<PeerID> = []
    /// Ask relays for places.
    private var relayTasks: [Task<Void, Never>] = []
    var checkWaiters = ConnectivityWaiters()
    var record = HealthRecord()
    private var whenWritten: [CheckedContinuation<Void, Never>] = []

    public nonisolated var unownedExecutor: UnownedSerialExecutor { self.network.executor.asUnownedSerialExecutor() }

    public init(
        _ keys: SignerKeys, database: SessionDatabase, configuration: Configuration = Configuration()
    ) throws(SecretMemoryError) {
        self.keys = keys
        self.database = database
        self.configuration = configuration
        self.addressesToListen = configuration.listenAddresses
        var network = configuration.node
        // Whether or not this node advertises: the hash table keeps what is valid for everybody.
        network.kad?.validators[DiscoveryNames.namespace] = DiscoveryNames.validator
        self.network = try PosixNode(keys.identity, configuration: network)
    }

    public nonisolated var signer: PublicKey { self.keys.signer }
    public nonisolated var id: PeerID { self.network.id }
    public nonisolated var enrolment: Enrolment { self.keys.enrolment }

    // MARK: Start and end

    /// Goes on where the last process ended, listens, and looks for others.
    ///
    /// Whoever calls it while it is under way waits for the same end. After an error it may be called again, and goes on from there:
    /// what listens already goes on listening, until `stop`.
    public func start() async throws(SigningNodeError) {
        if self.isStopped { throw .notRunning }
        let starting = self.starting ?? Task { await self.attemptToStart() }
        self.starting = starting
        let result = await starting.value
        if case .failure = result, self.starting == starting { self.starting = nil }
        try result.get()
    }

    private func attemptToStart() async -> Result<Void, SigningNodeError> {
        do throws(SigningNodeError) {
            if self.machine == nil { try await self.addMachine() }
            if self.discovery == nil { try await self.startDiscovery() }
            while let address = self.addressesToListen.first {
                do throws(ListenError) { _ = try await self.network.listen(on: address) } catch { throw .listen(error) }
                self.addressesToListen.removeFirst()
            }
        } catch { return .failure(error) }
        for address in self.configuration.bootstrap { self.reach(address) }
        return .success(())
    }

    /// The machine, with all that the last process left.
    private func addMachine() async throws(SigningNodeError) {
        let time = WallClock.secondsSince1970
        do { try await self.removeOver(at: time) } catch { throw .store(error) }
        let now = await self.network.now
        (self.record.startedAt, self.record.started) = (time, now)
        var machine = SigningMachine(
            keys: self.keys, configuration: self.configuration.machine, clocks: Self.clocks,
            makeIncarnation: { .random() }, now: now)
        try await self.restoreGroups(&machine, now: now)
        try await self.restoreRequests(&machine, now: now)
        try await self.restoreAddresses(&machine, now: now)
        try await self.restoreStandings(&machine, now: now)
        // Messages of limited relayed connections count too: signing takes few bytes.
        self.machine = await self.network.add(machine, onLimited: true) { [weak self] event in
            self?.assumeIsolated { $0.handle(event) }
        }
        await self.noteKnown()
        for address in self.configuration.relays { self.takePlace(at: address) }
    }

    /// What is over for a month goes, and its place with it.
    private func removeOver(at time: UInt64) async throws(StoreError) {
        _ = try await self.database.requests(within: self.configuration.requests)
            .removeOver(updatedBefore: time > Self.keptFor ? time - Self.keptFor : 0, countMax: Self.removedMax)
    }

    /// Seconds for which a request that is over is kept, for who asks: 30 days.
    private static let keptFor: UInt64 = 30 * 86_400
    /// Most requests, and most sealed messages, that go at a time.
    private static let removedMax = 1_000

    /// A node runs for months: what is over goes while it does.
    func cleanStore(at time: UInt64) {
        self.record.store.pendingCount += 1
        Task {
            // What could not be removed is tried again in a minute.
            do throws(StoreError) {
                try await self.removeOver(at: time)
                if self.configuration.machine.mailboxes.serves {
                    _ = try await self.mailboxStore.removeExpired(at: time, countMax: Self.removedMax)
                }
                self.record.wrote()
            } catch { self.record.failed(error, at: WallClock.secondsSince1970) }
            self.hasWritten()
        }
    }

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

    /// Asks a relay for a place, until there is one. One that is lost later the node itself asks for again.
    private func takePlace(at relay: Multiaddr) {
        guard let peer = relay.peerID else { return }
        let task = Task {
            var pause = Self.relayPauses.shortest
            while !Task.isCancelled {
                if let _ = try? await self.network.reserve(at: peer, addresses: [relay]) { return }
                try? await Task.sleep(for: pause)
                pause = min(pause * 2, Self.relayPauses.longest)
            }
        }
        self.relayTasks.append(task)
    }

    /// Between two tries for a first place at a relay.
    private static let relayPauses = (shortest: Duration.seconds(1), longest: Duration.seconds(60))

    /// Ends the node: what waits for the disk is written, sockets are closed. Secret nonces are wiped with the machine.
    public func stop() async {
        self.isStopped = true
        _ = await self.starting?.value
        if let machine = self.machine { await self.network.update(machine) { $0.noteApprovalTime(now: $1) } }
        self.checkWaiters.finish()
        for task in self.relayTasks { task.cancel() }
        self.refreshing?.cancel()
        // What is written makes way for what waits behind it.
        await self.allWritten()
        if let machine = self.machine { await self.network.update(machine) { machine, _ in machine.wipe() } }
        await self.network.close()
        await self.allWritten()
        self.log.finish()
        self.machine = nil
    }

    private func allWritten() async {
        if self.record.store.pendingCount > 0 { await withCheckedContinuation { self.whenWritten.append($0) } }
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

    /// Tells what a part of the node beside its machine saw.
    func note(_ event: SigningNodeEvent) { self.log.append(event) }

    private func handle(_ event: SigningMachineEvent) {
        switch event {
        case .write(let id, let request, let write, let time): self.perform(id, request, write, at: time)
        case .writeApproval(let id, let group, let approval): self.perform(id, group, approval)
        case .requested(let id): self.log.append(.requested(id))
        case .approval(let id, let notice): self.log.append(.approval(id, notice))
        case .policy(let group, let notice): self.log.append(.policy(group: group, notice))
        case .request(let id, let event): self.log.append(.request(id, event))
        case .notStored(let id, let reason): self.log.append(.notStored(id, reason: reason))
        case .refused(let peer, let refusal): self.log.append(.refused(peer, refusal))
        case .blocked(let peer, _): self.log.append(.blocked(peer))
        case .blockedLastingly(let peer, let signer): self.log.append(.blockedLastingly(peer, signer))
        case .keep(let peer, let standing): self.keep(standing, of: peer)
        case .deny(let peers): self.deny(peers)
        case .enrolled(let enrolment):
            self.keep(enrolment)
            self.log.append(.enrolled(enrolment.signer, PeerID(of: enrolment.identity)))
        case .superseded(let peer): self.log.append(.superseded(by: peer))
        case .addressesWanted(let peer):
            self.search(peer)
            if self.discovery != nil { Task { await self.announce(wanting: peer) } }
        case .clocksJumped:
            self.record.clocksJumped(at: WallClock.secondsSince1970)
            self.log.append(.clocksJumped)
        case .connected(let signer, let method): self.log.append(.connected(signer, method))
        case .disconnected(let signer): self.log.append(.disconnected(signer))
        case .connectivity(let step): self.carryOut(step)
        case .notLeft(let id, let signer, let error): self.log.append(.notLeft(id, for: signer, error))
        case .mailbox(let id, let job, let time): self.perform(id, job, at: time)
        case .cleanStore(let time): self.cleanStore(at: time)
        }
    }

    // MARK: The store

    private func perform(_ id: SigningWriteID, _ request: Bytes32, _ write: SigningWrite, at time: UInt64) {
        self.record.store.pendingCount += 1
        Task {
            let result = await self.result(of: write, request, at: time)
            if let machine = self.machine {
                await self.network.update(machine) { $0.written(id, of: request, result, now: $1) }
            }
            if case .done = result, case .decision(let decision, _, _) = write { self.log.append(.decided(request, decision)) }
            self.hasWritten()
        }
    }

    private func perform(_ id: SigningWriteID, _ group: Bytes32, _ approval: StoredApproval) {
        self.record.store.pendingCount += 1
        Task {
            var failure: String?
            do throws(StoreError) {
                try await self.database.approvals.put(approval, of: group)
                self.record.wrote()
            } catch {
                self.record.failed(error, at: WallClock.secondsSince1970)
                failure = "\(error)"
            }
            if let machine = self.machine {
                let failure = failure
                await self.network.update(machine) { $0.approvalWritten(id, of: group, failure: failure, now: $1) }
            }
            self.hasWritten()
        }
    }

    /// A write that was counted came to its end.
    func hasWritten() {
        self.record.store.pendingCount -= 1
        guard self.record.store.pendingCount == 0 else { return }
        for waiter in self.whenWritten { waiter.resume() }
        self.whenWritten = []
    }

    private func result(of write: SigningWrite, _ request: Bytes32, at time: UInt64) async -> SigningWriteResult {
        do {
            let stored = try await SigningWriter(self.database, self.configuration.requests).perform(write, of: request, at: time)
            self.record.wrote()
            return .done(stored)
        } catch {
            self.record.failed(error, at: WallClock.secondsSince1970)
            return .failed("\(error)")
        }
    }

    // MARK: Finding members

    /// Asks the hash table where a member's node is.
    private func search(_ peer: PeerID) {
        guard self.searches.insert(peer).inserted else { return }
        Task {
            if let found = try? await self.network.findPeer(peer) {
                await self.learn(found.addresses, of: peer, from: .table)
            } else {
                await self.searchAdvertisement(of: peer)
            }
            self.searches.remove(peer)
            try? await self.update { $0.searched(peer, now: $1) }
        }
    }

    /// Where a member's node may be found, and its mailboxes, by its owner's word.
    public func learn(_ addresses: [Multiaddr], of peer: PeerID) async {
        if let identity = peer.identity { self.heardOfIdentities.insert(identity) }
        await self.noteKnown()
        await self.learn(addresses, of: peer, from: .owner)
    }

    /// The same, by whoever says so.
    func learn(_ addresses: [Multiaddr], of peer: PeerID, from source: PeerDirectory.Source) async {
        guard let machine = self.machine else { return }
        await self.network.update(machine) { $0.learn(addresses, of: peer, from: source, now: $1) }
    }
}
