public import Bitcoin
public import CryptoPrimitives
internal import LibP2P
internal import Secp256k1
internal import SessionStore
public import Signing

// What the signer's owner says and asks.

extension SigningNode {
    // MARK: Groups

    /// Takes part in a group's requests from now on, in this process and in later ones.
    ///
    /// - Parameters:
    ///   - members: the enrolments of its members, as far as they are known. Who has none is not heard.
    /// - Returns: the policy's digest, which is the same at every member.
    @discardableResult
    public func addGroup(
        _ record: GroupRecord, name: String, members: [Enrolment]
    ) async throws(SigningNodeError) -> Bytes32 {
        let policy: any SpendingPolicy
        do { policy = try await record.policy() } catch { throw .group(error) }
        guard policy.members.contains(self.signer) else { throw .group(.notASigner(self.signer)) }
        let standing: StoredGroup?
        do { standing = try await self.database.groups.group(policy.digest) } catch { throw .store(error) }
        if let standing, standing.name != name { throw .groupExists(name: standing.name) }
        let group = StoredGroup(name: name, policy: record.serialized(), policyDigest: policy.digest, members: members)
        do { try await self.database.groups.put(group) } catch { throw .store(error) }
        try await self.update { $0.add(policy, name: name, members: members) }
        await self.noteKnown()
        return policy.digest
    }

    // MARK: Requests

    /// Asks a group to sign a transaction, and agrees to it.
    ///
    /// - Parameters:
    ///   - prevouts: the output that each input spends, in the inputs' order.
    ///   - group: the policy's digest.
    ///   - seconds: how long the request lives.
    ///   - election: `nil` for `hash`; or for `proposerFirst`, where others have given nonces ahead with which it begins at once.
    ///   - replaces: a request whose coins this one may spend as well; it spends one of them at least, so that only one of both is ever mined.
    ///   - connectivity: who of the group must be connected first. Nobody, if it is left out: members may come and go as long as the request
    ///     lives, and need not be there at one time.
    ///   - usesNonceCommitments: whether all of a set commit to their nonces before any of them shows its own. BIP-327 does not need it, and
    ///     it costs a round trip; every member sees it, and none can be told otherwise.
    /// - Returns: T0, by which everybody knows the request.
    /// - Throws: `notConnected`, with who was reached, before anything is asked of anybody; `machine`; `notRunning`.
    public func propose(
        _ transaction: Transaction, prevouts: [TransactionOutput], group: Bytes32, note: String = "", seconds: UInt64,
        election: CoordinatorElection? = nil, replaces: Bytes32? = nil, connectivity: ConnectivityOptions? = nil,
        usesNonceCommitments: Bool = false
    ) async throws(SigningNodeError) -> Bytes32 {
        if let connectivity {
            let report = try await self.connectivity(of: group, connectivity)
            guard report.isMet else { throw .notConnected(report) }
        }
        return try await self.ask { machine, now throws(SigningMachineError) in
            try machine.propose(
                transaction, prevouts: prevouts, group: group, note: note, seconds: seconds, election: election,
                id: SigningRequest.randomID(), replaces: replaces, usesNonceCommitments: usesNonceCommitments, now: now)
        }
    }

    /// Whether another request that is not over, but for the one that is to be replaced, spends one of the coins.
    ///
    /// - Throws: `machine` with `coinsReserved` or `replacesNothing`, as `propose` does; `notRunning`.
    public func checkCoins(of transaction: Transaction, replacing replaced: Bytes32?) async throws(SigningNodeError) {
        try await self.ask { machine, _ throws(SigningMachineError) in try machine.checkCoins(of: transaction, replacing: replaced) }
    }

    public func approve(_ id: Bytes32) async throws(SigningNodeError) {
        try await self.ask { machine, now throws(SigningMachineError) in try machine.approve(id, now: now) }
    }

    public func reject(_ id: Bytes32) async throws(SigningNodeError) {
        try await self.ask { machine, now throws(SigningMachineError) in try machine.reject(id, now: now) }
    }

    /// Takes an agreement back. What was released before stays out.
    public func withdraw(_ id: Bytes32) async throws(SigningNodeError) {
        try await self.ask { machine, now throws(SigningMachineError) in try machine.withdraw(id, now: now) }
    }

    /// Ends a request of ours for everybody.
    public func cancel(_ id: Bytes32) async throws(SigningNodeError) {
        try await self.ask { machine, now throws(SigningMachineError) in try machine.cancel(id, now: now) }
    }

    /// The transaction of a request was seen on the Bitcoin network: nobody here is asked to send it any more, in this process and in later
    /// ones. A power cut right after it may take the word back.
    ///
    /// - Throws: `machine` with `unknownRequest` or `notComplete`; `notRunning`.
    public func noteBroadcast(_ id: Bytes32) async throws(SigningNodeError) {
        do throws(SigningNodeError) {
            try await self.ask { machine, now throws(SigningMachineError) in try machine.noteBroadcast(id, now: now) }
        } catch {
            guard case .machine(.unknownRequest) = error else { throw error }
            try await self.noteBroadcastOfPast(id)
        }
    }

    /// The requests of this process, by their ids: those that are not over, and those that were a while ago.
    public var requests: [RequestSummary] { get async throws(SigningNodeError) { try await self.update { $0.requests } } }

    public func request(_ id: Bytes32) async throws(SigningNodeError) -> RequestSummary? {
        try await self.update { $0.request(id) }
    }

    /// The members of all groups, and how each can be reached now.
    public var connectivity: [MemberConnectivity] { get async throws(SigningNodeError) { try await self.update { $0.connectivity } } }

    // MARK: The machine

    func update<Result: Sendable>(
        _ body: @escaping @Sendable (inout SigningMachine) -> Result
    ) async throws(SigningNodeError) -> Result {
        try await self.update { machine, _ in body(&machine) }
    }

    func update<Result: Sendable>(
        _ body: @escaping @Sendable (inout SigningMachine, Duration) -> Result
    ) async throws(SigningNodeError) -> Result {
        guard let machine = self.machine else { throw .notRunning }
        return await self.network.update(machine, body)
    }

    func ask<Answer: Sendable>(
        _ body: @escaping @Sendable (inout SigningMachine, Duration) throws(SigningMachineError) -> Answer
    ) async throws(SigningNodeError) -> Answer {
        guard let machine = self.machine else { throw .notRunning }
        let result = await self.network.update(machine) { machine, now in
            Result { () throws(SigningMachineError) in try body(&machine, now) }
        }
        do { return try result.get() } catch { throw .machine(error) }
    }
}
