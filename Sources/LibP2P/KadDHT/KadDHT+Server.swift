/// A stream on which a peer asks us.
struct KadInboundStream: Sendable {
    let peer: PeerID
    let household: [UInt8]
    var reader = FrameReader(byteCountMax: KadMessage.byteCountMax)
    /// When the last whole request came, or the stream.
    var activeAt: Duration
    /// The request that has not come whole: how many bytes of it are counted, and since when it comes.
    var partial: (byteCount: Int, since: Duration)?
}

/// What others ask of this node, and what it answers.
extension KadDHT {
    mutating func accept(_ stream: StreamID, from info: ConnectionInfo, now: Duration) {
        let count = self.inboundCounts[info.peer, default: 0]
        guard self.mode == .server, count < self.configuration.inboundStreamCountMaxPerPeer, self.makeRoomForStream(of: info.household)
        else {
            self.refuse(.tooManyStreams, of: info.peer)
            self.command(.reset(stream))
            return
        }
        self.inboundCounts[info.peer, default: 0] += 1
        self.inbound[stream] = KadInboundStream(peer: info.peer, household: info.household, activeAt: now)
        self.sweep(by: now + self.configuration.inboundIdleTimeout)
    }

    /// When all places are taken, the household that has most of them gives up its quietest, unless the newcomer's has as many: who holds
    /// streams open keeps nobody else out.
    private mutating func makeRoomForStream(of household: [UInt8]) -> Bool {
        guard self.inbound.count >= self.configuration.inboundStreamCountMax else { return true }
        let counts: [[UInt8]: Int] = self.inbound.values.reduce(into: [:]) { $0[$1.household, default: 0] += 1 }
        guard let most = counts.values.max(), most > counts[household, default: 0] + 1 else { return false }
        let crowded = self.inbound.filter { counts[$0.value.household] == most }
        guard let quietest = crowded.min(by: { ($0.value.activeAt, $0.key) < ($1.value.activeAt, $1.key) }) else { return false }
        self.giveUp(quietest.key, .tooManyStreams)
        return true
    }

    private mutating func giveUp(_ stream: StreamID, _ refusal: KadRefusal) {
        guard let peer = self.inbound[stream]?.peer else { return }
        self.refuse(refusal, of: peer)
        self.forgetInbound(stream)
        self.command(.reset(stream))
    }

    mutating func forgetInbound(_ stream: StreamID) {
        guard let entry = self.inbound.removeValue(forKey: stream) else { return }
        self.partialByteCount -= entry.partial?.byteCount ?? 0
        let rest = self.inboundCounts[entry.peer, default: 0] - 1
        self.inboundCounts[entry.peer] = rest > 0 ? rest : nil
    }

    mutating func serve(_ bytes: [UInt8], on stream: StreamID, now: Duration) {
        guard let peer = self.inbound[stream]?.peer else { return }
        do throws(KadServerRefusal) {
            let frames: [[UInt8]]
            do throws(FrameReader.Failure) {
                frames = try self.inbound[stream]?.reader.receive(bytes) ?? []
            } catch {
                throw KadServerRefusal(.frame(error))
            }
            self.countPartial(of: stream, isNew: !frames.isEmpty, now: now)
            for frame in frames {
                self.inbound[stream]?.activeAt = now
                try self.serve(frame: frame, on: stream, of: peer, now: now)
            }
        } catch {
            self.giveUp(stream, error.refusal)
        }
        self.giveUpPartials()
    }

    /// - Parameter isNew: whether the request that is not whole began after another one had come whole.
    private mutating func countPartial(of stream: StreamID, isNew: Bool, now: Duration) {
        guard let entry = self.inbound[stream] else { return }
        let byteCount = entry.reader.heldByteCount
        self.partialByteCount += byteCount - (entry.partial?.byteCount ?? 0)
        let since = isNew ? now : entry.partial?.since ?? now
        self.inbound[stream]?.partial = byteCount > 0 ? (byteCount, since) : nil
    }

    /// Requests may be half sent, and not without end: the household that has most of that gives up its oldest. Who leaves many unfinished
    /// keeps nobody else from asking.
    private mutating func giveUpPartials() {
        while self.partialByteCount > self.configuration.partialByteCountMax {
            let shares: [[UInt8]: Int] = self.inbound.values.reduce(into: [:]) {
                $0[$1.household, default: 0] += $1.partial?.byteCount ?? 0
            }
            let most = shares.values.max() ?? 0
            let partials = self.inbound.compactMap { stream, entry in
                shares[entry.household] == most ? entry.partial.map { (since: $0.since, stream: stream) } : nil
            }
            guard let oldest = partials.min(by: { ($0.since, $0.stream) < ($1.since, $1.stream) }) else { return }
            self.giveUp(oldest.stream, .tooManyPartialBytes)
        }
    }

    private mutating func serve(frame: [UInt8], on stream: StreamID, of peer: PeerID, now: Duration) throws(KadServerRefusal) {
        try self.draw(\.requests, 1, of: peer, .tooManyRequests, now: now)
        let message: KadMessage
        do throws(ProtobufError) {
            message = try KadMessage(parsing: frame)
        } catch {
            throw KadServerRefusal(.malformed(error))
        }
        let answer: KadMessage?
        switch message.type {
        case .findNode: answer = try self.answerFindNode(message, of: peer)
        case .getValue: answer = try self.answerGetValue(message, of: peer, now: now)
        case .putValue: answer = try self.answerPutValue(message, of: peer, in: self.inbound[stream]?.household ?? peer.bytes, now: now)
        case .getProviders: answer = try self.answerGetProviders(message, of: peer, now: now)
        case .addProvider:
            try self.takeProvider(message, of: peer, in: self.inbound[stream]?.household ?? peer.bytes, now: now)
            // Nobody reads an answer to it: on a stream that is used again, one would be taken for the next request's.
            answer = nil
        case .ping: answer = KadMessage(.ping)
        }
        self.counters.requestsServed += 1
        guard let answer else { return }
        let bytes = FrameReader.frame(answer.bytes)
        try self.draw(\.answerBytes, bytes.count, of: peer, .tooManyAnswerBytes, now: now)
        self.command(.write(stream, bytes))
    }

    private mutating func draw(
        _ rate: WritableKeyPath<KadRates, KadRate>, _ amount: Int, of peer: PeerID, _ refusal: KadRefusal, now: Duration
    ) throws(KadServerRefusal) {
        if self.rates[peer] == nil {
            let household = self.connections[peer]?.first?.household ?? peer.bytes
            guard self.makeRoomForRates(of: household, now: now) else { throw KadServerRefusal(refusal) }
            self.rates[peer] = KadRates(self.configuration, household: household, now: now)
        }
        guard self.rates[peer]?[keyPath: rate].take(amount, now: now) == true else { throw KadServerRefusal(refusal) }
    }

    /// When the use of no more peers can be counted, the household with most of them has one counted less, unless the newcomer's has as
    /// many: who makes up peers without end keeps nobody else from asking.
    private mutating func makeRoomForRates(of household: [UInt8], now: Duration) -> Bool {
        guard self.rates.count >= self.configuration.ratedPeerCountMax else { return true }
        self.forgetFullRates(now: now)
        guard self.rates.count >= self.configuration.ratedPeerCountMax else { return true }
        let counts: [[UInt8]: Int] = self.rates.values.reduce(into: [:]) { $0[$1.household, default: 0] += 1 }
        guard let most = counts.values.max(), most > counts[household, default: 0] + 1,
            let peer = self.rates.filter({ counts[$0.value.household] == most }).keys.min()
        else { return false }
        self.rates[peer] = nil
        return true
    }

    mutating func forgetFullRates(now: Duration) {
        for peer in Array(self.rates.keys) where self.rates[peer]?.areFull(now: now) == true { self.rates[peer] = nil }
    }

    // MARK: Peers

    private func answerFindNode(_ message: KadMessage, of peer: PeerID) throws(KadServerRefusal) -> KadMessage {
        guard !message.key.isEmpty else { throw KadServerRefusal(.missingKey) }
        var closer = self.closerPeers(to: message.key, for: peer)
        // The one that is looked for is told even when it is no server, or is this node itself.
        if let target = try? PeerID(parsing: message.key), target != peer, !closer.contains(where: { $0.id == target }) {
            let addresses = target == self.peer ? self.ownAddresses : self.knownAddresses(of: target)
            let told = self.describe(target, addresses: addresses, within: self.scope(of: peer))
            if !told.addresses.isEmpty { closer.insert(told, at: 0) }
        }
        return KadMessage(.findNode, closerPeers: closer)
    }

    /// The k contacts nearest to a key, without the one who asks and those of whom no address is known that it could use.
    private func closerPeers(to key: [UInt8], for peer: PeerID) -> [KadPeer] {
        let scope = self.scope(of: peer)
        var told: [KadPeer] = []
        for contact in self.table.closest(to: KadKey(hashing: key), count: self.configuration.replicationCount + 1) {
            guard contact.peer != peer, told.count < self.configuration.replicationCount else { continue }
            let description = self.describe(contact.peer, addresses: contact.addresses, within: scope)
            if !description.addresses.isEmpty { told.append(description) }
        }
        return told
    }

    private func describe(_ target: PeerID, addresses: [KadAddress], within scope: AddressScope) -> KadPeer {
        KadPeer(
            id: target, addresses: addresses.filter { $0.scope >= scope }.map(\.bytes),
            connection: self.connections[target] == nil ? .notConnected : .connected)
    }

    // MARK: Values

    private func answerGetValue(_ message: KadMessage, of peer: PeerID, now: Duration) throws(KadServerRefusal) -> KadMessage {
        guard !message.key.isEmpty else { throw KadServerRefusal(.missingKey) }
        let record = self.values.value(of: message.key, now: now).map { entry in
            KadRecord(
                key: message.key, value: entry.value,
                timeReceived: KadTime.rfc3339(unixTime: self.unixTime(now: entry.receivedAt)))
        }
        return KadMessage(.getValue, key: message.key, record: record, closerPeers: self.closerPeers(to: message.key, for: peer))
    }

    private mutating func answerPutValue(
        _ message: KadMessage, of peer: PeerID, in household: [UInt8], now: Duration
    ) throws(KadServerRefusal) -> KadMessage {
        guard !message.key.isEmpty else { throw KadServerRefusal(.missingKey) }
        guard let record = message.record else { throw KadServerRefusal(.missingRecord) }
        guard record.key == message.key else { throw KadServerRefusal(.wrongKey) }
        guard (1...self.configuration.valueByteCountMax).contains(record.value.count) else {
            throw KadServerRefusal(.valueLength(record.value.count))
        }
        guard let validator = self.validators.validator(of: record.key) else { throw KadServerRefusal(.unknownNamespace) }
        // Validating may cost a signature's verification, so it is drawn for first.
        try self.draw(\.records, 1, of: peer, .tooManyRequests, now: now)
        guard validator.isValid(record.key, record.value, self.unixTime(now: now)) else { throw KadServerRefusal(.invalidValue) }
        if let current = self.values.value(of: record.key, now: now), current.value != record.value,
            validator.isValid(record.key, current.value, self.unixTime(now: now)),
            !validator.isBetter(record.key, current.value, record.value)
        {
            throw KadServerRefusal(.betterValueKnown)
        }
        guard self.values.store(record.value, key: record.key, for: .household(household), now: now) == .stored else {
            throw KadServerRefusal(.noRoom)
        }
        self.counters.valuesStored += 1
        return KadMessage(.putValue, key: record.key, record: KadRecord(key: record.key, value: record.value))
    }

    // MARK: Providers

    private func answerGetProviders(_ message: KadMessage, of peer: PeerID, now: Duration) throws(KadServerRefusal) -> KadMessage {
        guard !message.key.isEmpty else { throw KadServerRefusal(.missingKey) }
        let scope = self.scope(of: peer)
        let providers = self.providers.providers(of: message.key, now: now).map { provider, entry in
            let isFresh = now - entry.receivedAt < self.configuration.providerAddressLifetime
            let addresses = provider == self.peer ? self.ownAddresses : self.knownAddresses(of: provider) + (isFresh ? entry.addresses : [])
            return self.describe(provider, addresses: KadAddress.unique(addresses), within: scope)
        }
        return KadMessage(
            .getProviders, key: message.key, closerPeers: self.closerPeers(to: message.key, for: peer), providerPeers: providers)
    }

    private mutating func takeProvider(
        _ message: KadMessage, of peer: PeerID, in household: [UInt8], now: Duration
    ) throws(KadServerRefusal) {
        guard (1...Self.providerKeyByteCountMax).contains(message.key.count) else { throw KadServerRefusal(.wrongKey) }
        try self.draw(\.records, 1, of: peer, .tooManyRequests, now: now)
        // Nobody speaks for another.
        guard let own = message.providerPeers.first(where: { $0.id == peer }) else { throw KadServerRefusal(.foreignProvider) }
        let addresses = self.usable(own.addresses, of: peer, from: peer)
        guard self.providers.add(peer, addresses: addresses, key: message.key, household: household, isOwn: false, now: now) == .stored
        else {
            throw KadServerRefusal(.noRoom)
        }
        self.counters.providersStored += 1
    }

    /// Longest key of a provider record, in bytes. Source: go-libp2p-kad-dht, `handleAddProvider`.
    static let providerKeyByteCountMax = 80

    /// Of the addresses that `source` names those that mean something from where it stands.
    mutating func usable(_ addresses: [[UInt8]], of peer: PeerID, from source: PeerID) -> [KadAddress] {
        let scope = self.scope(of: source)
        let usable = addresses.compactMap { KadAddress(bytes: $0, of: peer) }.filter { $0.scope >= scope }
        self.counters.addressesDropped += addresses.count - usable.count
        return usable
    }
}

extension KadAddress {
    static func unique(_ addresses: [KadAddress]) -> [KadAddress] {
        var seen: Set<KadAddress> = []
        return addresses.filter { seen.insert($0).inserted }
    }
}

/// Why a request gets no answer; its stream is reset (kad-dht, "RPC messages").
private struct KadServerRefusal: Error {
    let refusal: KadRefusal

    init(_ refusal: KadRefusal) { self.refusal = refusal }
}
