/// What a user can ask for. Each gives an id and ends in one ``KadEvent/finished(_:_:_:)``, even when it fails at once.
extension KadDHT {
    /// Puts a value under a key, here and with the k peers nearest to it, and keeps it alive until ``withdraw(key:)``.
    ///
    /// - Parameter key: `/namespace/name`, at most ``KadMessage/keyByteCountMax`` bytes.
    public mutating func put(key: [UInt8], value: [UInt8], now: Duration) -> KadOperationID {
        if let failure = self.reasonAgainst(key: key, value: value, now: now) { return self.fail(failure) }
        let publication = KadPublication.Key.value(key)
        guard self.hasRoom(for: publication) else { return self.fail(.tooManyPublished(maximum: self.configuration.publishedCountMax)) }
        _ = self.values.store(value, key: key, for: .own, now: now)
        self.publish(publication, value: value, now: now)
        return self.start(.put(key: key, value: value), owner: .user, now: now)
    }

    /// Looks for the best value under a key.
    ///
    /// - Parameter quorum: ends as soon as so many valid values were seen; 0 asks all of the k nearest peers, which is what finds the
    ///   newest of values that change. Those that had a worse one, or none, are sent the best.
    public mutating func get(key: [UInt8], quorum: Int = 0, now: Duration) -> KadOperationID {
        if let failure = self.reasonAgainst(key: key) { return self.fail(failure) }
        guard self.validators.validator(of: key) != nil else { return self.fail(.unknownNamespace) }
        return self.start(.get(key: key, quorum: quorum), owner: .user, now: now)
    }

    /// Tells the k peers nearest to a multihash that this node provides what it names, and again every
    /// ``Configuration/republishInterval`` until ``stopProviding(_:)``.
    public mutating func provide(_ multihash: [UInt8], now: Duration) -> KadOperationID {
        guard (1...Self.providerKeyByteCountMax).contains(multihash.count) else {
            return self.fail(.keyLength(byteCount: multihash.count, maximum: Self.providerKeyByteCountMax))
        }
        guard !self.ownAddresses.isEmpty else { return self.fail(.noOwnAddress) }
        let publication = KadPublication.Key.provider(multihash)
        guard self.hasRoom(for: publication) else { return self.fail(.tooManyPublished(maximum: self.configuration.publishedCountMax)) }
        _ = self.providers.add(
            self.peer, addresses: self.ownAddresses, key: multihash, household: self.peer.bytes, isOwn: true, now: now)
        self.publish(publication, value: [], now: now)
        return self.start(.provide(key: multihash), owner: .user, now: now)
    }

    /// Looks for peers that provide what a multihash names, until there are `count` of them.
    public mutating func findProviders(of multihash: [UInt8], count: Int = 20, now: Duration) -> KadOperationID {
        if let failure = self.reasonAgainst(key: multihash) { return self.fail(failure) }
        return self.start(.findProviders(key: multihash, count: count), owner: .user, now: now)
    }

    /// Looks for a peer's addresses and, where somebody knows any, for the peer itself.
    public mutating func findPeer(_ peer: PeerID, now: Duration) -> KadOperationID {
        self.start(.findPeer(peer), owner: .user, now: now)
    }

    /// Looks for the k peers nearest to a key.
    public mutating func findClosest(to key: [UInt8], now: Duration) -> KadOperationID {
        if let failure = self.reasonAgainst(key: key) { return self.fail(failure) }
        return self.start(.closest(key: key), owner: .user, now: now)
    }

    /// Fills the routing table: a lookup of this node itself, then one in each bucket (kad-dht, "Bootstrap process"). Afterwards it
    /// goes on by itself every ``Configuration/refreshInterval``.
    public mutating func bootstrap(now: Duration) -> KadOperationID {
        self.nextRefresh = now + self.configuration.refreshInterval
        self.wake(by: now + self.configuration.refreshInterval)
        return self.start(.bootstrap, owner: .user, now: now)
    }

    /// Ends an operation early.
    public mutating func cancel(_ id: KadOperationID, now: Duration) {
        guard self.operations[id.rawValue]?.owner == .user else { return }
        self.end(id.rawValue, .failed(.cancelled), now: now)
    }

    /// Stops keeping an own value alive; what others hold expires.
    public mutating func withdraw(key: [UInt8]) {
        self.published[.value(key)] = nil
        self.values.disown(key)
    }

    /// Stops keeping an own provider record alive; what others hold expires.
    public mutating func stopProviding(_ multihash: [UInt8]) {
        self.published[.provider(multihash)] = nil
        self.providers.remove(self.peer, key: multihash)
    }

    // MARK: Checks

    private func reasonAgainst(key: [UInt8]) -> KadFailure? {
        (1...KadMessage.keyByteCountMax).contains(key.count)
            ? nil : .keyLength(byteCount: key.count, maximum: KadMessage.keyByteCountMax)
    }

    func reasonAgainst(key: [UInt8], value: [UInt8], now: Duration) -> KadFailure? {
        if let failure = self.reasonAgainst(key: key) { return failure }
        guard (1...self.configuration.valueByteCountMax).contains(value.count) else {
            return .valueLength(byteCount: value.count, maximum: self.configuration.valueByteCountMax)
        }
        guard let validator = self.validators.validator(of: key) else { return .unknownNamespace }
        guard validator.isValid(key, value, self.unixTime(now: now)) else { return .invalidValue }
        if let current = self.values.value(of: key, now: now), current.value != value,
            validator.isValid(key, current.value, self.unixTime(now: now)), !validator.isBetter(key, current.value, value)
        {
            return .betterValueKnown
        }
        return nil
    }

    private func hasRoom(for key: KadPublication.Key) -> Bool {
        self.published[key] != nil || self.published.count < self.configuration.publishedCountMax
    }

    private mutating func publish(_ key: KadPublication.Key, value: [UInt8], now: Duration) {
        let due = now + self.configuration.republishInterval
        self.published[key] = KadPublication(value: value, due: due)
        self.wake(by: due)
    }

    private mutating func fail(_ failure: KadFailure) -> KadOperationID {
        let id = KadOperationID(rawValue: self.makeNumber())
        self.event(.finished(id, .failed(failure), KadReport()))
        return id
    }

    // MARK: Start

    /// So many times k contacts begin a lookup. Only the k nearest of those that answer are asked.
    private static let spareFactor = 3

    @discardableResult mutating func start(_ goal: KadOperation.Goal, owner: KadOperation.Owner, now: Duration) -> KadOperationID {
        let id = self.makeNumber()
        self.counters.operations += 1
        let (key, message) = self.question(of: goal)
        let target = KadKey(hashing: key)
        var parameters = KadLookup.Parameters()
        parameters.closestCount = self.configuration.replicationCount
        parameters.parallelCount = self.configuration.parallelCount
        parameters.resilienceCount = self.configuration.resilienceCount
        // More than are looked for: when a network is cut, all of the nearest may be on the other side, and one must still get on.
        let contacts = self.table.closest(to: target, count: Self.spareFactor * self.configuration.replicationCount)
        var lookup = KadLookup(target: target, ownKey: self.ownKey, contacts: contacts, parameters: parameters)
        // Also when the table is full: after a cut of the network it is full of one side.
        if contacts.count < self.configuration.replicationCount || goal == .bootstrap {
            for (peer, addresses) in self.bootstrapPeers.sorted(by: { $0.key < $1.key }) { lookup.add(peer, addresses: addresses) }
        }
        let operation = KadOperation(
            id: id, goal: goal, owner: owner, message: message, lookup: lookup, now: now, timeout: self.configuration.queryTimeout)
        let isTooMany = self.operations.count >= self.configuration.operationCountMax
        self.operations[id] = operation
        self.wake(by: operation.deadline)
        if isTooMany {
            self.end(id, .failed(.tooManyOperations(maximum: self.configuration.operationCountMax)), now: now)
        } else if !self.answerOwn(id, now: now) {
            self.advance(id, now: now)
        }
        return KadOperationID(rawValue: id)
    }

    /// What is asked on the way, and where to.
    private func question(of goal: KadOperation.Goal) -> (key: [UInt8], KadMessage) {
        switch goal {
        case .get(let key, _): (key, KadMessage(.getValue, key: key))
        case .findProviders(let key, _): (key, KadMessage(.getProviders, key: key))
        case .findPeer(let peer): (peer.bytes, KadMessage(.findNode, key: peer.bytes))
        case .bootstrap: (self.peer.bytes, KadMessage(.findNode, key: self.peer.bytes))
        case .put(let key, _), .provide(let key), .closest(let key):
            // py-libp2p 0.8.1 refuses FIND_NODE for longer keys unless they are multihashes; GET_VALUE names the same peers.
            (key, KadMessage(key.count <= 50 || (try? Multihash(parsing: key)) != nil ? .findNode : .getValue, key: key))
        }
    }

    /// Notes what this node itself has, and ends what is answered by that.
    private mutating func answerOwn(_ id: UInt64, now: Duration) -> Bool {
        switch self.operations[id]?.goal {
        case .get(let key, let quorum):
            guard let entry = self.values.value(of: key, now: now), let validator = self.validators.validator(of: key),
                validator.isValid(key, entry.value, self.unixTime(now: now))
            else { return false }
            self.operations[id]?.best = entry.value
            self.operations[id]?.holders = [self.peer]
            self.operations[id]?.validCount = 1
            guard quorum == 1 else { return false }
            self.end(id, .value(entry.value, holderCount: 1), now: now)
            return true
        case .findProviders(let key, let count):
            for (peer, entry) in self.providers.providers(of: key, now: now) {
                self.operations[id]?.providers[peer] = peer == self.peer ? self.ownAddresses : entry.addresses
            }
            return self.endIfEnoughProviders(id, count: count, now: now)
        case .findPeer(let peer):
            let known = self.knownAddresses(of: peer)
            guard peer == self.peer || (self.connections[peer] != nil && !known.isEmpty) else { return false }
            let addresses = peer == self.peer ? self.ownAddresses : known
            self.end(id, .peer(KadFoundPeer(id: peer, addresses: addresses.map(\.address), isConnected: peer != self.peer)), now: now)
            return true
        case .put, .provide, .closest, .bootstrap, nil: return false
        }
    }

    mutating func endIfEnoughProviders(_ id: UInt64, count: Int, now: Duration) -> Bool {
        guard let found = self.operations[id]?.providers, !found.isEmpty, found.count >= count else { return false }
        self.end(id, self.outcome(ofProviders: found), now: now)
        return true
    }

    func outcome(ofProviders found: [PeerID: [KadAddress]]) -> KadOutcome {
        found.isEmpty
            ? .failed(.notFound)
            : .providers(
                found.sorted { $0.key < $1.key }.map { peer, addresses in
                    KadFoundPeer(id: peer, addresses: addresses.map(\.address), isConnected: self.connections[peer] != nil)
                })
    }
}
