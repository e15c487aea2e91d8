public import LibP2P

extension PosixNode {
    /// Puts a value under a key, here and with the peers nearest to it, and keeps it alive.
    ///
    /// - Parameters:
    ///   - value: what the namespace's validator takes (`KadDHT.Configuration.validators`).
    ///   - key: `/namespace/name`.
    /// - Returns: how many peers keep it.
    @discardableResult
    public func putValue(_ value: [UInt8], under key: [UInt8]) async throws(NodeError) -> Int {
        let outcome = try await self.kadOutcome { $0.put(key: key, value: value, now: $1) }
        guard case .stored(let count, _) = outcome else { throw .kad(.nobodyAnswered) }
        return count
    }

    /// Looks for the best value under a key.
    ///
    /// - Parameter quorum: how many valid values are enough; 0 asks all of the nearest peers.
    public func getValue(of key: [UInt8], quorum: Int = 0) async throws(NodeError) -> [UInt8] {
        let outcome = try await self.kadOutcome { $0.get(key: key, quorum: quorum, now: $1) }
        guard case .value(let value, _) = outcome else { throw .kad(.notFound) }
        return value
    }

    /// Tells the peers nearest to a multihash that this node provides what it names, and again while it runs.
    ///
    /// - Returns: how many peers were told.
    @discardableResult
    public func provide(_ multihash: [UInt8]) async throws(NodeError) -> Int {
        let outcome = try await self.kadOutcome { $0.provide(multihash, now: $1) }
        guard case .provided(let count) = outcome else { throw .kad(.nobodyAnswered) }
        return count
    }

    /// Tells nobody any more that this node provides what a multihash names; what others hold expires.
    public func stopProviding(_ multihash: [UInt8]) {
        guard let kad = self.node.kad else { return }
        self.node.swarm.update(kad, now: self.now) { $0.stopProviding(multihash) }
        self.carryOut()
    }

    /// Looks for peers that provide what a multihash names, until there are `count` of them.
    public func findProviders(of multihash: [UInt8], count: Int = 20) async throws(NodeError) -> [KadFoundPeer] {
        let outcome = try await self.kadOutcome { $0.findProviders(of: multihash, count: count, now: $1) }
        guard case .providers(let found) = outcome else { throw .kad(.notFound) }
        return found
    }

    /// Looks for a peer's addresses and, where somebody knows any, for the peer itself.
    public func findPeer(_ peer: PeerID) async throws(NodeError) -> KadFoundPeer {
        let outcome = try await self.kadOutcome { $0.findPeer(peer, now: $1) }
        guard case .peer(let found) = outcome else { throw .kad(.notFound) }
        return found
    }

    /// Fills the routing table by looking for this node itself. Afterwards the table is kept fresh without this.
    ///
    /// - Returns: how many contacts there are.
    @discardableResult
    public func bootstrap() async throws(NodeError) -> Int {
        let outcome = try await self.kadOutcome { $0.bootstrap(now: $1) }
        guard case .bootstrapped(let count) = outcome else { throw .kad(.nobodyAnswered) }
        return count
    }

    /// Asks a connected peer what it serves, and takes it into the routing table if that is the hash table.
    ///
    /// - Returns: whether it is in the table; its bucket may be full.
    public func addContact(_ peer: PeerID) async throws(NodeError) -> Bool {
        guard let kad = self.node.kad else { throw .notConfigured(.kad) }
        _ = try await self.identify(peer)
        return self.node.swarm.read(kad) { $0.isContact(peer) }
    }

    /// How many contacts the routing table has.
    public var contactCount: Int { self.node.kad.map { self.node.swarm.read($0) { $0.contactCount } } ?? 0 }

    // MARK: How operations end

    private func kadOutcome(_ begin: (inout KadDHT, Duration) -> KadOperationID) async throws(NodeError) -> KadOutcome {
        guard self.state == .open else { throw .closed }
        guard let kad = self.node.kad else { throw .notConfigured(.kad) }
        if Task.isCancelled { throw .cancelled }
        let now = self.now
        let operation = self.node.swarm.update(kad, now: now) { begin(&$0, now) }
        return try await self.answer(
            \.kad, for: operation,
            whenCancelled: { node in
                let now = node.now
                node.node.swarm.update(kad, now: now) { $0.cancel(operation, now: now) }
                node.carryOut()
            })
    }

    func tell(_ event: KadEvent) {
        guard case .finished(let operation, let outcome, _) = event else { return }
        if case .failed(let failure) = outcome {
            self.waiters.kad.answerFirst(operation, .failure(.kad(failure)))
        } else {
            self.waiters.kad.answerFirst(operation, .success(outcome))
        }
    }
}
