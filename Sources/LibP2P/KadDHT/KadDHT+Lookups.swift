/// How operations go on: whom they ask, what answers mean to them, how they end.
extension KadDHT {
    /// Asks whom there is to ask, and goes over to what comes after the lookup when that is over.
    mutating func advance(_ id: UInt64, now: Duration) {
        guard let phase = self.operations[id]?.phase, let deadline = self.operations[id]?.deadline else { return }
        if deadline <= now {
            self.operations[id]?.hasTimedOut = true
            switch phase {
            case .looking: self.finishLookup(id, now: now)
            case .storing: self.finishStoring(id, now: now)
            case .refreshing: self.end(id, .bootstrapped(contactCount: self.table.count), now: now)
            }
            return
        }
        guard phase == .looking else { return }
        while let candidate = self.operations[id]?.lookup.next(now: now) {
            guard let message = self.operations[id]?.message, let frame = self.operations[id]?.frame else { return }
            self.request(message, frame: frame, to: candidate.peer, addresses: candidate.addresses, for: .lookup(id), now: now)
        }
        guard let isOver = self.operations[id]?.lookup.isOver(now: now) else { return }
        if isOver { return self.finishLookup(id, now: now) }
        let wake = min(deadline, self.operations[id]?.lookup.nextSlow(now: now) ?? deadline)
        self.operations[id]?.wake = wake
        self.wake(by: wake)
    }

    // MARK: Answers

    mutating func lookupAnswered(_ id: UInt64, by peer: PeerID, _ answer: KadMessage, hasDialled: Bool, now: Duration) {
        guard self.operations[id]?.phase == .looking, let goal = self.operations[id]?.goal else { return }
        var named: [(peer: PeerID, addresses: [KadAddress])] = []
        for closer in answer.closerPeers where closer.id != self.peer {
            named.append((closer.id, self.usable(closer.addresses, of: closer.id, from: peer)))
        }
        let dropped = self.operations[id]?.lookup.droppedCount ?? 0
        self.operations[id]?.lookup.answered(peer, naming: named, hasDialled: hasDialled, now: now)
        self.counters.candidatesDropped += (self.operations[id]?.lookup.droppedCount ?? 0) - dropped
        let hopCount = self.operations[id]?.lookup.candidate(peer)?.hopCount ?? 0
        switch goal {
        case .get(let key, let quorum):
            self.take(answer.record, of: peer, for: id, key: key, hopCount: hopCount, now: now)
            if quorum > 0, let count = self.operations[id]?.validCount, count >= quorum { return self.finishLookup(id, now: now) }
        case .findProviders(_, let count):
            for provider in answer.providerPeers { self.take(provider, from: peer, for: id, hopCount: hopCount) }
            if self.endIfEnoughProviders(id, count: count, now: now) { return }
        case .findPeer(let target):
            for (named, addresses) in named where named == target { self.take(addresses, of: target, for: id, hopCount: hopCount) }
            if peer == target || self.connections[target] != nil, self.endFoundPeer(id, target, now: now) { return }
        case .put, .provide, .closest, .bootstrap:
            let deepest = max(hopCount, self.operations[id]?.hopCount ?? 0)
            self.operations[id]?.hopCount = deepest
        }
        self.advance(id, now: now)
    }

    mutating func lookupFailed(_ id: UInt64, by peer: PeerID, _ failure: KadRequestFailure, now: Duration) {
        guard self.operations[id]?.phase == .looking else { return }
        self.operations[id]?.lookup.failed(peer)
        // A peer that is there and serves no hash table is found all the same.
        if case .findPeer(let target) = self.operations[id]?.goal, self.connections[target] != nil, self.endFoundPeer(id, target, now: now)
        {
            return
        }
        self.advance(id, now: now)
    }

    private mutating func take(
        _ record: KadRecord?, of peer: PeerID, for id: UInt64, key: [UInt8], hopCount: Int, now: Duration
    ) {
        guard let record else {
            self.operations[id]?.empty.insert(peer)
            return
        }
        guard record.key == key, (1...self.configuration.valueByteCountMax).contains(record.value.count),
            let validator = self.validators.validator(of: key), validator.isValid(key, record.value, self.unixTime(now: now))
        else {
            self.counters.invalidValuesFound += 1
            self.refuse(record.key == key ? .invalidValue : .wrongKey, of: peer)
            self.operations[id]?.empty.insert(peer)
            return
        }
        self.operations[id]?.validCount += 1
        guard let best = self.operations[id]?.best, best != record.value else {
            if self.operations[id]?.best == nil { self.operations[id]?.hopCount = hopCount }
            self.operations[id]?.best = record.value
            self.operations[id]?.holders.append(peer)
            return
        }
        if validator.isBetter(key, best, record.value) {
            let holders = self.operations[id]?.holders ?? []
            self.operations[id]?.stale += holders
            self.operations[id]?.holders = [peer]
            self.operations[id]?.best = record.value
            self.operations[id]?.hopCount = hopCount
        } else {
            self.operations[id]?.stale.append(peer)
        }
    }

    /// Providers kept of one search, whatever it asks for.
    private static let foundProviderCountMax = 256

    private mutating func take(_ provider: KadPeer, from peer: PeerID, for id: UInt64, hopCount: Int) {
        guard provider.id != self.peer else { return }
        guard let found = self.operations[id]?.providers, found[provider.id] != nil || found.count < Self.foundProviderCountMax else {
            return
        }
        if found.isEmpty { self.operations[id]?.hopCount = hopCount }
        let addresses = KadAddress.unique((found[provider.id] ?? []) + self.usable(provider.addresses, of: provider.id, from: peer))
        self.operations[id]?.providers[provider.id] = Array(addresses.prefix(KadRoutingTable.addressCountMax))
    }

    /// The peer that is looked for was named. It is the nearest candidate there is, so it is asked next; if it is being dialled, it is
    /// with these addresses too: the first that named it may have lied.
    private mutating func take(_ addresses: [KadAddress], of target: PeerID, for id: UInt64, hopCount: Int) {
        guard let known = self.operations[id]?.addresses else { return }
        let new = addresses.filter { !known.contains($0) }.prefix(max(0, 2 * KadRoutingTable.addressCountMax - known.count))
        guard !new.isEmpty else { return }
        if known.isEmpty { self.operations[id]?.hopCount = hopCount }
        self.operations[id]?.addresses += new
        let isAsked = self.operations[id]?.lookup.candidate(target).map { $0.state != .heard } ?? false
        if isAsked, self.connections[target] == nil { self.command(.dial(target, new.map(\.address), isHearsay: true)) }
    }

    private mutating func endFoundPeer(_ id: UInt64, _ target: PeerID, now: Duration) -> Bool {
        let told = self.operations[id]?.addresses ?? []
        let addresses = KadAddress.unique(self.knownAddresses(of: target) + told)
        guard !addresses.isEmpty else { return false }
        self.end(
            id, .peer(KadFoundPeer(id: target, addresses: addresses.map(\.address), isConnected: self.connections[target] != nil)), now: now
        )
        return true
    }

    // MARK: After the lookup

    private mutating func finishLookup(_ id: UInt64, now: Duration) {
        guard let operation = self.operations[id] else { return }
        let closest = operation.lookup.closest
        self.orphanRequests(of: id)
        switch operation.goal {
        case .put(let key, let value):
            let message = KadMessage(.putValue, key: key, record: KadRecord(key: key, value: value))
            let frame = FrameReader.frame(message.bytes)
            self.store(id, closest.map { ($0, message, frame) }, now: now)
        case .provide(let key):
            let records = closest.map { candidate in
                let message = KadMessage(.addProvider, key: key, providerPeers: [self.ownDescription(for: candidate.peer)])
                return (candidate, message, FrameReader.frame(message.bytes))
            }
            self.store(id, records, now: now)
        case .get(let key, _): self.finishGet(id, operation, key: key, closest: closest, now: now)
        case .findProviders:
            let isUnanswered = operation.providers.isEmpty && closest.isEmpty
            self.end(id, isUnanswered ? self.noAnswer(operation) : self.outcome(ofProviders: operation.providers), now: now)
        case .findPeer(let target):
            guard !self.endFoundPeer(id, target, now: now) else { return }
            self.end(id, closest.isEmpty ? self.noAnswer(operation) : .failed(.notFound), now: now)
        case .closest: self.end(id, closest.isEmpty ? self.noAnswer(operation) : .closest(closest.map(\.peer)), now: now)
        case .bootstrap: closest.isEmpty ? self.end(id, self.noAnswer(operation), now: now) : self.refreshBuckets(id, now: now)
        }
    }

    private func noAnswer(_ operation: KadOperation) -> KadOutcome {
        .failed(operation.lookup.requestCount == 0 ? .noPeers : .nobodyAnswered)
    }

    private mutating func finishGet(_ id: UInt64, _ operation: KadOperation, key: [UInt8], closest: [KadLookup.Candidate], now: Duration) {
        guard let best = operation.best else {
            return self.end(id, closest.isEmpty ? self.noAnswer(operation) : .failed(.notFound), now: now)
        }
        self.end(id, .value(best, holderCount: operation.holders.count), now: now)
        // Those that had a worse value, and the nearest that had none, get this one (kad-dht, "Value retrieval", "Entry correction").
        let targets = operation.stale.filter { $0 != self.peer } + closest.map(\.peer).filter { operation.empty.contains($0) }
        let message = KadMessage(.putValue, key: key, record: KadRecord(key: key, value: best))
        let frame = FrameReader.frame(message.bytes)
        for peer in targets.prefix(2 * self.configuration.replicationCount) {
            self.counters.corrections += 1
            self.request(message, frame: frame, to: peer, addresses: self.knownAddresses(of: peer), for: .none, now: now)
        }
        if operation.stale.contains(self.peer) { _ = self.values.store(best, key: key, for: .fetched, now: now) }
    }

    /// This node as it is told to a peer: with the addresses that reach as far, or all where none does.
    private func ownDescription(for peer: PeerID) -> KadPeer {
        let scope = self.scope(of: peer)
        let reaching = self.ownAddresses.filter { $0.scope >= scope }
        return KadPeer(
            id: self.peer, addresses: (reaching.isEmpty ? self.ownAddresses : reaching).prefix(KadMessage.addressCountMax).map(\.bytes),
            connection: .connected)
    }

    private mutating func store(_ id: UInt64, _ records: [(KadLookup.Candidate, KadMessage, frame: [UInt8])], now: Duration) {
        guard !records.isEmpty, let operation = self.operations[id] else {
            if let operation = self.operations[id] { self.end(id, self.noAnswer(operation), now: now) }
            return
        }
        self.operations[id]?.phase = .storing(pendingCount: records.count)
        self.operations[id]?.deadline = now + self.configuration.queryTimeout
        self.operations[id]?.wake = now + self.configuration.queryTimeout
        self.wake(by: now + self.configuration.queryTimeout)
        for (candidate, message, frame) in records {
            self.request(message, frame: frame, to: candidate.peer, addresses: candidate.addresses, for: .store(operation.id), now: now)
        }
    }

    mutating func storeEnded(_ id: UInt64, failure: KadRequestFailure?, now: Duration) {
        guard case .storing(let pendingCount) = self.operations[id]?.phase else { return }
        switch failure {
        case nil: self.operations[id]?.storedCount += 1
        case .refused, .wrongAnswer, .notSupported: self.operations[id]?.refusedCount += 1
        case .timedOut, .unreachable: self.operations[id]?.silentCount += 1
        }
        self.operations[id]?.phase = .storing(pendingCount: pendingCount - 1)
        if pendingCount == 1 { self.finishStoring(id, now: now) }
    }

    private mutating func finishStoring(_ id: UInt64, now: Duration) {
        guard let operation = self.operations[id], case .storing(let pendingCount) = operation.phase else { return }
        let silentCount = operation.silentCount + pendingCount
        guard operation.storedCount > 0 else {
            return self.end(id, .failed(.nobodyStored(refusedCount: operation.refusedCount, silentCount: silentCount)), now: now)
        }
        switch operation.goal {
        case .put: self.end(id, .stored(count: operation.storedCount, refusedCount: operation.refusedCount), now: now)
        case .provide, .get, .findProviders, .findPeer, .closest, .bootstrap:
            self.end(id, .provided(count: operation.storedCount), now: now)
        }
    }

    mutating func end(_ id: UInt64, _ outcome: KadOutcome, now: Duration) {
        guard let operation = self.operations.removeValue(forKey: id) else { return }
        self.orphanRequests(of: id)
        switch operation.owner {
        case .user: self.event(.finished(KadOperationID(rawValue: id), outcome, operation.report(now: now)))
        case .operation(let parent): self.refreshedBucket(of: parent, now: now)
        case .publication(let key): self.republished(key, outcome, now: now)
        case .refresh: break
        }
    }
}
