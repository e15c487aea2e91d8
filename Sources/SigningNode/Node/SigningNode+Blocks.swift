public import LibP2P
internal import LibP2PPosix
internal import SessionStore
internal import Signing

// Who is not listened to.

extension SigningNode {
    /// Listens to nothing of a peer, in this process and in later ones, until it is unblocked: its connections end, and new ones are refused
    /// as soon as they show who is there. Returns when that is durable.
    ///
    /// It goes by the peer that a channel proves. Should a member's signer enrol another machine, that one is heard.
    public func block(_ peer: PeerID, note: String = "") async throws(SigningNodeError) {
        let standing = try await self.ask { machine, now throws(SigningMachineError) in try machine.block(peer, note: note, now: now) }
        try await self.makeDurable(standing, of: peer)
    }

    /// Listens to a peer again, whatever it was blocked for, and forgets what counted against it: a member takes part again at once.
    public func unblock(_ peer: PeerID) async throws(SigningNodeError) {
        do throws(SigningNodeError) {
            try await self.ask { machine, now throws(SigningMachineError) in try machine.unblock(peer, now: now) }
        } catch {
            // It was said before, and the disk did not take it.
            guard case .machine(.notBlocked) = error, self.peersToForget.contains(peer) else { throw error }
        }
        self.peersToForget.insert(peer)
        try await self.makeDurable(nil, of: peer)
        self.peersToForget.remove(peer)
    }

    /// Everybody to whom nobody listens here, for a while or until the owner says otherwise.
    public var blocks: [PeerBlock] { get async throws(SigningNodeError) { try await self.update { $0.blocks(now: $1) } } }

    private func makeDurable(_ standing: PeerStanding?, of peer: PeerID) async throws(SigningNodeError) {
        self.record.store.pendingCount += 1
        let failure = await self.write(standing, of: peer)
        self.hasWritten()
        if let failure { throw .blockNotStored("\(failure)") }
    }

    /// What a member's conduct led to is written down. Tasks of this actor begin in their order, and the database keeps it.
    func keep(_ standing: PeerStanding?, of peer: PeerID) {
        self.record.store.pendingCount += 1
        Task {
            _ = await self.write(standing, of: peer)
            self.hasWritten()
        }
    }

    private func write(_ standing: PeerStanding?, of peer: PeerID) async -> StoreError? {
        do throws(StoreError) {
            let standings = self.database.standings
            if let standing { try await standings.put(standing) } else { try await standings.remove(peer.bytes) }
            self.record.wrote()
            return nil
        } catch {
            self.record.failed(error, at: WallClock.secondsSince1970)
            return error
        }
    }

    /// What others have put on the network's list stays there.
    func deny(_ peers: Set<PeerID>) {
        let before = self.deniedPeers
        self.deniedPeers = peers
        Task {
            await self.network.withNode { node, _ in
                node.swarm.gate.deniedPeers = node.swarm.gate.deniedPeers.subtracting(before.subtracting(peers)).union(peers)
            }
        }
    }

    /// Who was blocked when the last process ended is so before anybody can connect.
    func restoreStandings(_ machine: inout SigningMachine, now: Duration) async throws(SigningNodeError) {
        var last: [UInt8]?
        while true {
            let page: [PeerStanding]
            do throws(StoreError) { page = try await self.database.standings.standings(after: last, countMax: 256) } catch {
                throw .store(error)
            }
            guard let end = page.last?.peer else { break }
            for standing in page { machine.restore(standing, now: now) }
            last = end
        }
        let denied = machine.deniedPeers
        self.deniedPeers = denied
        await self.network.withNode { node, _ in node.swarm.gate.deniedPeers.formUnion(denied) }
    }
}
