internal import CryptoPrimitives

/// What goes on by itself: refreshing the table, putting own records again, forgetting what is over.
extension KadDHT {
    /// Lookups of one refresh under way at a time; it is in no hurry.
    private static let refreshParallelCount = 3
    /// How often streams and measures are looked through.
    private static let sweepInterval: Duration = .seconds(15)
    /// How often the stores are looked through.
    private static let expiryInterval: Duration = .seconds(600)
    /// Own records that are put again at a time.
    private static let republishParallelCount = 8
    /// When an own record is put again that nobody took.
    private static let republishRetryInterval: Duration = .seconds(600)
    /// Deepest bucket for which a place is looked for: a place in it is found by trying, 2ⁿ⁺¹ times on average. Deeper ones hold the
    /// neighbours that a lookup of this node itself finds.
    private static let refreshedBucketMax = 8

    mutating func maintain(now: Duration) {
        if let time = self.nextSweep, time <= now { self.sweep(now: now) }
        if let time = self.nextRefresh, time <= now { self.refresh(now: now) }
        self.republish(now: now)
    }

    // MARK: Refresh

    private mutating func refresh(now: Duration) {
        self.nextRefresh = now + self.configuration.refreshInterval
        self.counters.refreshes += 1
        // Whether the quietest contacts are still there is shown by a lookup's request; PING is not sent.
        let message = KadMessage(.findNode, key: self.peer.bytes)
        let frame = FrameReader.frame(message.bytes)
        let quiet = self.table.contacts(unheardSince: now - self.configuration.refreshInterval, count: self.configuration.parallelCount)
        for contact in quiet {
            self.request(message, frame: frame, to: contact.peer, addresses: contact.addresses, for: .none, now: now)
        }
        self.start(.bootstrap, owner: .refresh, now: now)
    }

    /// After the lookup of ourselves: one towards a place in each bucket that holds someone.
    mutating func refreshBuckets(_ id: UInt64, now: Duration) {
        var targets: [[UInt8]] = []
        for bucket in self.table.usedBuckets.prefix(self.configuration.refreshBucketCountMax) where bucket <= Self.refreshedBucketMax {
            if let target = self.randomTarget(inBucket: bucket) { targets.append(target) }
        }
        self.operations[id]?.phase = .refreshing(runningCount: 0, targets: targets)
        self.continueRefresh(id, now: now)
    }

    mutating func refreshedBucket(of parent: UInt64, now: Duration) {
        guard case .refreshing(let runningCount, let targets) = self.operations[parent]?.phase else { return }
        self.operations[parent]?.phase = .refreshing(runningCount: runningCount - 1, targets: targets)
        self.continueRefresh(parent, now: now)
    }

    private mutating func continueRefresh(_ id: UInt64, now: Duration) {
        guard case .refreshing(let runningCount, let targets) = self.operations[id]?.phase else { return }
        if runningCount == 0, targets.isEmpty { return self.end(id, .bootstrapped(contactCount: self.table.count), now: now) }
        let next = targets.prefix(max(0, Self.refreshParallelCount - runningCount))
        guard !next.isEmpty else { return }
        // Its lookups end in their own time, each after at most the query timeout.
        let time = now + self.configuration.queryTimeout * (targets.count + 2)
        self.operations[id]?.deadline = time
        self.operations[id]?.wake = time
        self.operations[id]?.phase = .refreshing(runningCount: runningCount + next.count, targets: Array(targets.dropFirst(next.count)))
        for target in next { self.start(.closest(key: target), owner: .operation(id), now: now) }
    }

    /// A peer id, of nobody, whose place is in the bucket.
    private mutating func randomTarget(inBucket bucket: Int) -> [UInt8]? {
        for _ in 0..<(16 << bucket) {
            let digest = Bytes32 { target in
                for offset in stride(from: 0, to: 32, by: 8) {
                    target.storeBytes(of: self.random.next(), toByteOffset: offset, as: UInt64.self)
                }
            }
            let target = Varint.encode(Multihash.sha256Code) + [32] + digest.bytes
            if self.ownKey.commonPrefixBitCount(with: KadKey(hashing: target)) == bucket { return target }
        }
        return nil
    }

    // MARK: Own records

    private mutating func republish(now: Duration) {
        let due = self.published.filter { $0.value.due <= now }.keys.sorted(by: KadPublication.Key.precedes)
        for key in due.prefix(Self.republishParallelCount) {
            guard let value = self.published[key]?.value else { continue }
            self.published[key]?.due = now + self.configuration.republishInterval
            switch key {
            case .provider(let multihash):
                _ = self.providers.add(
                    self.peer, addresses: self.ownAddresses, key: multihash, household: self.peer.bytes, isOwn: true, now: now)
                self.start(.provide(key: multihash), owner: .publication(key), now: now)
            case .value(let name):
                guard self.reasonAgainst(key: name, value: value, now: now) == nil else {
                    // A better one is known by now, or its time is over: it is not this node's to keep alive.
                    self.published[key] = nil
                    continue
                }
                _ = self.values.store(value, key: name, for: .own, now: now)
                self.start(.put(key: name, value: value), owner: .publication(key), now: now)
            }
        }
        // The others come with the next look: a second later, not all at once.
        for key in due.dropFirst(Self.republishParallelCount) { self.published[key]?.due = now + .seconds(1) }
    }

    mutating func republished(_ key: KadPublication.Key, _ outcome: KadOutcome, now: Duration) {
        self.counters.republications += 1
        guard case .failed = outcome, self.published[key] != nil else { return }
        let due = now + Self.republishRetryInterval
        self.published[key]?.due = due
        self.wake(by: due)
    }

    // MARK: Forgetting

    mutating func sweep(by time: Duration) {
        let time = min(time, self.nextSweep ?? time)
        self.nextSweep = time
        self.wake(by: time)
    }

    private mutating func sweep(now: Duration) {
        for stream in self.inbound.filter({ now - $0.value.activeAt >= self.configuration.inboundIdleTimeout }).keys.sorted() {
            // A stream without anything on it is one that the peer keeps for later, and no fault.
            if let entry = self.inbound[stream], entry.reader.heldByteCount > 0 { self.refuse(.idle, of: entry.peer) }
            self.forgetInbound(stream)
            self.command(.reset(stream))
        }
        for stream in self.outbound.filter({ now - $0.value.since >= self.configuration.idleStreamTimeout }).keys.sorted() {
            switch self.outbound[stream]?.state {
            case .idle:
                self.command(.closeWrite(stream))
                self.dropOutbound(stream, resetting: false)
            case .closing: self.dropOutbound(stream, resetting: true)
            case .answering, nil: break
            }
        }
        self.forgetFullRates(now: now)
        self.counters.recordsExpired += self.values.removeExpired(now: now) + self.providers.removeExpired(now: now)
        let isBusy = !self.inbound.isEmpty || !self.outbound.isEmpty || !self.rates.isEmpty
        let hasRecords = !self.values.entries.isEmpty || self.providers.recordCount > 0
        self.nextSweep = isBusy ? now + Self.sweepInterval : hasRecords ? now + Self.expiryInterval : nil
    }
}
