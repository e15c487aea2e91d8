/// A stream on which a peer asks us.
struct KadInboundStream: Sendable {
    let peer: PeerID
    var reader: FrameReader
    /// When the last whole request came, or the stream.
    var activeAt: Duration
}

/// What others ask of this node, and what it answers.
extension KadDHT {
    mutating func accept(_ stream: StreamID, from info: ConnectionInfo, now: Duration) {
        let count = self.inboundCounts[info.peer, default: 0]
        guard self.mode == .server, count < self.configuration.inboundStreamCountMaxPerPeer,
            self.inbound.count < self.configuration.inboundStreamCountMax
        else {
            self.refuse(.tooManyStreams, of: info.peer)
            self.command(.reset(stream))
            return
        }
        self.inboundCounts[info.peer] = count + 1
        self.inbound[stream] = KadInboundStream(peer: info.peer, reader: FrameReader(byteCountMax: KadMessage.byteCountMax), activeAt: now)
        self.sweep(by: now + self.configuration.inboundIdleTimeout)
    }

    mutating func forgetInbound(_ stream: StreamID) {
        guard let entry = self.inbound.removeValue(forKey: stream) else { return }
        self.partialByteCount -= entry.reader.heldByteCount
        let rest = self.inboundCounts[entry.peer, default: 0] - 1
        self.inboundCounts[entry.peer] = rest > 0 ? rest : nil
    }

    mutating func serve(_ bytes: [UInt8], on stream: StreamID, now: Duration) {
        guard let peer = self.inbound[stream]?.peer, let held = self.inbound[stream]?.reader.heldByteCount else { return }
        do throws(KadServerRefusal) {
            // The bound is on what others leave half sent: checked before the bytes are kept.
            guard self.partialByteCount + bytes.count <= self.configuration.partialByteCountMax else {
                throw KadServerRefusal(.tooManyPartialBytes)
            }
            let frames: [[UInt8]]
            do throws(FrameReader.Failure) {
                frames = try self.inbound[stream]?.reader.receive(bytes) ?? []
            } catch {
                throw KadServerRefusal(.frame(error))
            }
            self.partialByteCount += (self.inbound[stream]?.reader.heldByteCount ?? 0) - held
            for frame in frames {
                self.inbound[stream]?.activeAt = now
                try self.serve(frame: frame, on: stream, of: peer, now: now)
            }
        } catch {
            self.refuse(error.refusal, of: peer)
            self.forgetInbound(stream)
            self.command(.reset(stream))
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
        case .putValue: answer = try self.answerPutValue(message, of: peer, now: now)
        case .getProviders: answer = try self.answerGetProviders(message, of: peer, now: now)
        case .addProvider:
            try self.takeProvider(message, of: peer, now: now)
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
            if self.rates.count >= self.configuration.ratedPeerCountMax { self.forgetFullRates(now: now) }
            guard self.rates.count < self.configuration.ratedPeerCountMax else { throw KadServerRefusal(refusal) }
            self.rates[peer] = KadRates(self.configuration, now: now)
        }
        guard self.rates[peer]?[keyPath: rate].take(amount, now: now) == true else { throw KadServerRefusal(refusal) }
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

    private func describe(_ target: PeerID, addresses: [KadAddress], within scope: KadAddressScope) -> KadPeer {
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

    private mutating func answerPutValue(_ message: KadMessage, of peer: PeerID, now: Duration) throws(KadServerRefusal) -> KadMessage {
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
        guard self.values.store(record.value, key: record.key, from: peer, isOwn: false, now: now) == .stored else {
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

    private mutating func takeProvider(_ message: KadMessage, of peer: PeerID, now: Duration) throws(KadServerRefusal) {
        guard (1...Self.providerKeyByteCountMax).contains(message.key.count) else { throw KadServerRefusal(.wrongKey) }
        try self.draw(\.records, 1, of: peer, .tooManyRequests, now: now)
        // Nobody speaks for another.
        guard let own = message.providerPeers.first(where: { $0.id == peer }) else { throw KadServerRefusal(.foreignProvider) }
        let addresses = self.usable(own.addresses, of: peer, from: peer)
        guard self.providers.add(peer, addresses: addresses, key: message.key, isOwn: false, now: now) == .stored else {
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
