/// The distributed hash table of libp2p (kad-dht), as a value: finds peers, keeps and finds values, finds who provides something.
///
/// Operations (`put`, `get`, `provide`, …) give an id at once and end in exactly one ``KadEvent/finished(_:_:_:)``. Streams are used
/// again while the peer keeps them open. What others name is never believed: a peer is a contact only after it has shown that it serves
/// the protocol, values are validated, and providers are told only as they told themselves.
///
/// Whoever drives it also calls ``learn(_:of:)`` with the addresses that identify gives, and ``setOwnAddresses(_:)``.
public struct KadDHT: ProtocolMachine {
    public typealias Event = KadEvent

    public let peer: PeerID
    public let configuration: Configuration
    public private(set) var mode: Mode
    public internal(set) var counters = KadCounters()

    let ownKey: KadKey
    let validators: KadValidators
    let protocolIDs: [String]
    var random: SeededRandom
    /// What to add to `now` for the Unix time.
    var unixTimeOffset: Duration
    var ownAddresses: [KadAddress] = []

    var table: KadRoutingTable
    var values: KadValueStore
    var providers: KadProviderStore
    var connections: [PeerID: [ConnectionInfo]] = [:]
    /// Addresses that connected peers told of themselves.
    var learned: [PeerID: [KadAddress]] = [:]
    private var learnedByteCount = 0
    var bootstrapPeers: [PeerID: [KadAddress]] = [:]

    var operations: [UInt64: KadOperation] = [:]
    var requests: [UInt64: KadRequest] = [:]
    var outbound: [StreamID: KadOutboundStream] = [:]
    var idleStreams: [PeerID: StreamID] = [:]
    var inbound: [StreamID: KadInboundStream] = [:]
    var inboundCounts: [PeerID: Int] = [:]
    var rates: [PeerID: KadRates] = [:]
    var partialByteCount = 0
    /// Bytes of answers that are not whole.
    var answerShares = HouseholdShares()
    var published: [KadPublication.Key: KadPublication] = [:]

    private var nextNumber: UInt64 = 0
    /// The time is never later than the next thing to do; `nil` when there is none.
    private var wake: Duration?
    var nextSweep: Duration?
    var nextRefresh: Duration?
    private var commands = YamuxQueue<ProtocolCommand>()
    private var events = YamuxQueue<KadEvent>()

    /// - Parameters:
    ///   - seed: what random choices (places to refresh) come from; nothing secret depends on it.
    ///   - unixTimeOffset: what to add to `now` for the time since 1970.
    public init(peer: PeerID, configuration: Configuration = Configuration(), seed: UInt64, unixTimeOffset: Duration) {
        self.peer = peer
        self.configuration = configuration
        self.mode = configuration.mode
        self.ownKey = KadKey(of: peer)
        self.validators = KadValidators(configuration.validators)
        self.protocolIDs = [configuration.protocolID]
        self.random = SeededRandom(seed: seed)
        self.unixTimeOffset = unixTimeOffset
        self.table = KadRoutingTable(
            ownKey: self.ownKey, bucketSize: configuration.replicationCount, networkShareMax: configuration.networkShareMax)
        self.values = KadValueStore(
            ownKey: self.ownKey, byteCountMax: configuration.valueStoreByteCountMax, lifetime: configuration.valueLifetime)
        self.providers = KadProviderStore(
            recordCountMax: configuration.providerRecordCountMax, byteCountMax: configuration.providerStoreByteCountMax,
            lifetime: configuration.providerLifetime)
    }

    // MARK: What the node around it knows

    /// From now on serves others, or not. The node tells its peers by identify push.
    public mutating func setMode(_ mode: Mode) {
        self.mode = mode
        guard mode == .client else { return }
        for stream in self.inbound.keys.sorted() {
            self.forgetInbound(stream)
            self.command(.reset(stream))
        }
    }

    /// Corrects the clock.
    public mutating func setUnixTimeOffset(_ offset: Duration) { self.unixTimeOffset = offset }

    /// Where others reach this node; told with what it provides.
    public mutating func setOwnAddresses(_ addresses: [Multiaddr]) {
        self.ownAddresses = addresses.compactMap { KadAddress($0, of: self.peer) }
    }

    /// A peer to begin with. It is asked while few others are known, and becomes a contact once it shows that it is a server.
    ///
    /// - Returns: whether there was room for it.
    @discardableResult public mutating func addPeer(_ peer: PeerID, addresses: [Multiaddr], now: Duration) -> Bool {
        guard peer != self.peer else { return false }
        guard self.bootstrapPeers[peer] != nil || self.bootstrapPeers.count < self.configuration.bootstrapPeerCountMax else { return false }
        let addresses = addresses.compactMap { KadAddress($0, of: peer) }
        self.bootstrapPeers[peer] = Array(addresses.prefix(KadRoutingTable.addressCountMax))
        self.table.learn(addresses, of: peer)
        return true
    }

    /// Addresses that a connected peer told of itself (identify). Others are told them when they look for it.
    public mutating func learn(_ addresses: [Multiaddr], of peer: PeerID) {
        guard self.connections[peer] != nil else { return }
        let scope = self.scope(of: peer)
        let known = addresses.lazy.compactMap { KadAddress($0, of: peer) }.filter { $0.scope >= scope }
        let kept = KadAddress.fitting(known.prefix(KadRoutingTable.addressCountMax))
        self.forgetLearned(of: peer)
        self.learned[peer] = kept
        self.learnedByteCount += kept.reduce(0) { $0 + $1.heldByteCount }
        self.table.learn(kept, of: peer)
    }

    /// How many contacts the routing table has.
    public var contactCount: Int { self.table.count }

    public func isContact(_ peer: PeerID) -> Bool { self.table.contact(peer) != nil }

    /// Keys of the values that this node keeps, for the network or of its own.
    public var storedKeys: Set<[UInt8]> { Set(self.values.entries.keys) }

    public func storedValue(of key: [UInt8], now: Duration) -> [UInt8]? { self.values.value(of: key, now: now)?.value }

    public var providerRecordCount: Int { self.providers.recordCount }

    // MARK: ProtocolMachine

    public var servedProtocolIDs: [String] { self.mode == .server ? self.protocolIDs : [] }

    public mutating func handle(_ input: ProtocolInput, now: Duration) {
        switch input {
        case .connected(let info): self.connected(info)
        case .disconnected(let info): self.disconnected(info)
        case .protocols(let peer, let protocols):
            if protocols.contains(self.configuration.protocolID) {
                self.noteServer(peer, addresses: [], now: now)
            } else {
                self.forgetContact(peer)
            }
        case .opened(let request, let stream, _): self.opened(stream, for: request, now: now)
        case .failed(let request, let failure): self.streamFailed(request, failure, now: now)
        case .inbound(let stream, let info, _): self.accept(stream, from: info, now: now)
        case .received(let stream, let bytes):
            if self.inbound[stream] != nil {
                self.serve(bytes, on: stream, now: now)
            } else {
                self.receivedAnswer(bytes, on: stream, now: now)
            }
        case .ended(let stream):
            if self.inbound[stream] != nil {
                self.forgetInbound(stream)
                self.command(.closeWrite(stream))
            } else {
                self.outboundEnded(stream, isReset: false, now: now)
            }
        case .reset(let stream):
            if self.inbound[stream] != nil { self.forgetInbound(stream) } else { self.outboundEnded(stream, isReset: true, now: now) }
        // Answers are bounded by what a peer may cause, so nothing waits here for room.
        case .writable: break
        }
    }

    public var deadline: Duration? { self.wake }

    public mutating func tick(now: Duration) {
        guard let wake = self.wake, wake <= now else { return }
        self.expireRequests(now: now)
        for id in self.operations.keys.sorted() { self.advance(id, now: now) }
        self.maintain(now: now)
        self.wake = nil
        for request in self.requests.values { self.wake(by: request.deadline) }
        for operation in self.operations.values { self.wake(by: operation.wake) }
        for publication in self.published.values { self.wake(by: publication.due) }
        if let time = self.nextSweep { self.wake(by: time) }
        if let time = self.nextRefresh { self.wake(by: time) }
    }

    public mutating func nextCommand() -> ProtocolCommand? { self.commands.popFirst() }

    public mutating func nextEvent() -> KadEvent? { self.events.popFirst() }

    public var heldByteCount: Int {
        let streams = self.partialByteCount + self.answerShares.total
        let operations = self.operations.values.reduce(0) { $0 + $1.heldByteCount }
        let published = self.published.values.reduce(0) { $0 + 128 + $1.byteCount }
        return streams + operations + published + self.learnedByteCount + self.table.heldByteCount + self.values.byteCount
            + self.providers.heldByteCount
            + 256 * (self.inbound.count + self.outbound.count + self.requests.count + self.rates.count + self.connections.count)
    }

    // MARK: For the other files of this machine

    mutating func command(_ command: ProtocolCommand) { self.commands.append(command) }

    mutating func event(_ event: KadEvent) { self.events.append(event) }

    mutating func wake(by time: Duration) { self.wake = min(time, self.wake ?? time) }

    mutating func makeNumber() -> UInt64 {
        defer { self.nextNumber += 1 }
        return self.nextNumber
    }

    func unixTime(now: Duration) -> Duration { now + self.unixTimeOffset }

    mutating func refuse(_ refusal: KadRefusal, of peer: PeerID) {
        self.counters.refusals += 1
        self.event(.refused(peer, refusal))
    }

    // MARK: Peers

    private mutating func connected(_ info: ConnectionInfo) {
        self.connections[info.peer, default: []].append(info)
        self.openStreams(to: info.peer)
    }

    private mutating func disconnected(_ info: ConnectionInfo) {
        self.connections[info.peer]?.removeAll { $0.id == info.id }
        if self.connections[info.peer]?.isEmpty == true {
            self.connections[info.peer] = nil
            self.forgetLearned(of: info.peer)
        }
    }

    private mutating func forgetLearned(of peer: PeerID) {
        self.learnedByteCount -= self.learned.removeValue(forKey: peer)?.reduce(0) { $0 + $1.heldByteCount } ?? 0
    }

    /// A peer that serves the protocol, by its own word or by an answer.
    mutating func noteServer(_ peer: PeerID, addresses: [KadAddress], now: Duration) {
        let own = self.knownAddresses(of: peer)
        switch self.table.insert(peer, addresses: own.isEmpty ? addresses : own, networks: self.networks(of: peer), now: now) {
        case .added:
            self.event(.contactAdded(peer))
            if self.nextRefresh == nil {
                self.nextRefresh = now + self.configuration.refreshInterval
                self.wake(by: now + self.configuration.refreshInterval)
            }
        case .updated, .waiting, .networkIsFull, .isSelf: break
        }
    }

    mutating func forgetContact(_ peer: PeerID) {
        guard self.table.contact(peer) != nil else { return }
        self.table.remove(peer)
        self.event(.contactRemoved(peer))
    }

    /// Where a peer was reached or says that it can be.
    func knownAddresses(of peer: PeerID) -> [KadAddress] {
        var known: [KadAddress] = []
        for info in self.connections[peer] ?? [] where info.isOutbound {
            if let address = KadAddress(info.remoteAddress, of: peer), !known.contains(address) { known.append(address) }
        }
        for address in (self.learned[peer] ?? []) + (self.table.contact(peer)?.addresses ?? []) where !known.contains(address) {
            known.append(address)
        }
        return Array(known.prefix(KadRoutingTable.addressCountMax))
    }

    /// From which networks a peer is connected. Of what it says about itself it could say something else each time.
    private func networks(of peer: PeerID) -> Set<[UInt8]> {
        Set((self.connections[peer] ?? []).compactMap { KadAddress.network(of: $0.remoteAddress) })
    }

    /// How near a peer is: over the farthest of its connections. Of one that is gone nothing is known.
    func scope(of peer: PeerID) -> AddressScope {
        guard let connections = self.connections[peer] else { return .everywhere }
        return connections.compactMap(\.distance).max() ?? .loopback
    }
}
