public import Bitcoin
public import CryptoPrimitives
internal import LibP2P
internal import Secp256k1
public import Signing

// What the signer's owner says.

/// Why something that the owner wants is not done.
public enum SigningMachineError: Error, Equatable, Sendable, CustomStringConvertible {
    case unknownGroup
    case unknownRequest
    /// The request is over, or was decided so that this cannot be said any more.
    case tooLate(CoordinationState)
    case notProposer
    /// There is nothing to take back.
    case notApproved
    /// Another request that is not over spends one of the coins.
    case coinsReserved(by: Bytes32)
    /// It spends none of the coins of the request that it is to replace: both could be mined.
    case replacesNothing(of: Bytes32)
    case request(SigningError)
    case tooManyRequests(limit: Int)
    case noteTooLong
    /// There is no signed transaction yet that could have been seen.
    case notComplete(CoordinationState)
    /// A node that does not listen to itself is none.
    case ownPeer
    case notBlocked
    case tooManyBlocks(limit: Int)
    case blockNoteTooLong
    /// The coins that the policy is about are not this group's.
    case policyOfAnotherGroup
    case policyOfAnotherNetwork(Network, own: Network)
    /// A person decides everything here.
    case noPolicy
    /// There is neither a request nor a group of this name here.
    case unknownRequestOrGroup
    /// So many connected members can never spend, or are more than there are.
    case connectedCount(Int, allowed: ClosedRange<Int>)
    case tooManyChecks(limit: Int)

    public var description: String {
        switch self {
        case .unknownGroup: "there is no such group here"
        case .unknownRequest: "there is no such request here"
        case .tooLate(let state): "the request is over: \(state)"
        case .notProposer: "only its proposer cancels a request; withdraw your own agreement in place of it"
        case .notApproved: "you have not agreed to it: to say no, reject it"
        case .coinsReserved(let id):
            "request \(id) spends one of these coins and is not over: wait for it, withdraw it, or say that this replaces it"
        case .replacesNothing(let id):
            "it spends no coin of request \(id), so both could be mined: spend one of them, or do not say that this replaces it"
        case .request(let error): "\(error)"
        case .tooManyRequests(let limit): "there are \(limit) open requests, and no more are taken"
        case .unknownRequestOrGroup: "there is no such request or group here"
        case .connectedCount(let count, let allowed):
            "\(count) connected members, yourself among them, are not what this group can spend with: ask for "
                + (allowed.lowerBound == allowed.upperBound ? "\(allowed.lowerBound)" : "\(allowed.lowerBound) to \(allowed.upperBound)")
        case .tooManyChecks(let limit): "\(limit) checks of connections are under way, and no more are begun: wait for one of them"
        case .noteTooLong: "the note has more than \(RequestTerms.noteByteCountMax) bytes"
        case .notComplete(let state): "there is no signed transaction of the request here that could have been sent: \(state)"
        case .ownPeer: "that is this node itself: name another one's peer id"
        case .notBlocked: "it is not blocked"
        case .tooManyBlocks(let limit): "\(limit) peers are blocked, and no more are: unblock one of them first"
        case .blockNoteTooLong: "the note has more than \(PeerStanding.noteByteCountMax) bytes, or a zero byte"
        case .policyOfAnotherGroup: "the policy is about another group: its line \"group\" has to be this one's address"
        case .policyOfAnotherNetwork(let network, let own): "the policy is for \(network), and this signer signs for \(own)"
        case .noPolicy: "this group has no policy: a person decides about everything"
        }
    }
}

extension SigningMachine {
    /// Asks a group to sign a transaction, and agrees to it.
    ///
    /// - Parameters:
    ///   - prevouts: the output that each input spends, in the inputs' order.
    ///   - seconds: how long the request lives.
    ///   - election: `nil` for `hash`; or for `proposerFirst`, where others have given nonces ahead with which it begins at once.
    ///   - id: 32 fresh random bytes.
    ///   - replaces: a request whose coins this one may spend as well; it spends one of them at least, so that only one of both is ever mined.
    ///   - usesNonceCommitments: whether all of a set commit to their nonces before any of them shows its own.
    /// - Returns: T0, by which everybody knows the request.
    public mutating func propose(
        _ transaction: Transaction, prevouts: [TransactionOutput], group digest: Bytes32, note: String = "", seconds: UInt64,
        election: CoordinatorElection? = nil, id: Bytes32, replaces: Bytes32? = nil, usesNonceCommitments: Bool = false, now: Duration
    ) throws(SigningMachineError) -> Bytes32 {
        guard let group = self.groups[digest] else { throw .unknownGroup }
        guard self.openCount < self.configuration.openCountMax else { throw .tooManyRequests(limit: self.configuration.openCountMax) }
        try self.checkCoins(of: transaction, replacing: replaces)
        let time = self.moment(now).time
        let script = group.policy.scriptPubKey
        let inputs = prevouts.count { $0.scriptPubKey == script }
        // What is committed to after the proposal cannot have been given before it.
        let isPooled =
            !usesNonceCommitments && (election ?? .proposerFirst) == .proposerFirst
            && self.canBeginAtOnce(inputs: inputs, of: digest, now: now)
        let election = election ?? (isPooled ? .proposerFirst : .hash)
        guard let terms = RequestTerms(election: election, createdAt: time, note: note) else { throw .noteTooLong }
        let life = min(max(seconds, 1), self.configuration.lifeMax)
        let request: SigningRequest
        do throws(SigningError) {
            request = try SigningRequest(
                transaction: transaction, prevouts: prevouts, policyDigest: digest, proposer: self.keys.signer, expiry: time + life, id: id,
                usesNonceCommitments: usesNonceCommitments)
            // Whatever stands in its way is told here, before anybody else hears of it.
            let statement = self.keys.propose(request, terms)
            _ = try Coordination(
                request: request, proposal: statement, policy: group.policy, roster: group.roster, enrolment: self.keys.enrolment,
                incarnation: Incarnation(known: [UInt8](repeating: 0, count: Incarnation.byteCount)))
            var arriving = ArrivingRequest(
                request: request, proposal: statement, bytes: Self.message(proposing: request, statement, group.roster), group: digest,
                isOurs: true)
            if isPooled { arriving.pooled = self.takeOthers(inputs: inputs, of: digest, now: now) }
            self.store(arriving, source: nil, now: now)
        } catch { throw .request(error) }
        return request.digest
    }

    /// - Throws: `coinsReserved`, `replacesNothing`.
    func checkCoins(of transaction: Transaction, replacing replaces: Bytes32?) throws(SigningMachineError) {
        for input in transaction.inputs {
            guard let holder = self.reservation(of: input.previousOutput), holder != replaces else { continue }
            throw .coinsReserved(by: holder)
        }
        if let replaces, !transaction.inputs.contains(where: { self.isSpent($0.previousOutput, by: replaces) }) {
            throw .replacesNothing(of: replaces)
        }
    }

    /// The request that is not over, or may still complete, and spends a coin.
    func reservation(of coin: OutPoint) -> Bytes32? {
        let holder = self.live.values.filter { request in
            (request.overSince == nil || request.state == .endedMayStillComplete)
                && request.coordination.request.transaction.inputs.contains { $0.previousOutput == coin }
        }.map(\.id).min()
        return holder ?? self.reserved[coin]
            ?? self.arriving.filter { $0.value.request.transaction.inputs.contains { $0.previousOutput == coin } }.keys.min()
    }

    /// Whether a request that is known spends a coin.
    private func isSpent(_ coin: OutPoint, by id: Bytes32) -> Bool {
        let request = self.live[id]?.coordination.request ?? self.arriving[id]?.request
        return request?.transaction.inputs.contains { $0.previousOutput == coin } ?? (self.reserved[coin] == id)
    }

    public mutating func approve(_ id: Bytes32, now: Duration) throws(SigningMachineError) {
        let request = try self.undecided(id)
        self.approvals[request.group]?.forget(id)
        self.decide(.approved, about: request, now: now)
    }

    public mutating func reject(_ id: Bytes32, now: Duration) throws(SigningMachineError) {
        try self.refuse(.rejected, self.undecided(id), now: now)
    }

    /// Takes an agreement back. What was released before stays out.
    public mutating func withdraw(_ id: Bytes32, now: Duration) throws(SigningMachineError) {
        let request = try self.undecided(id)
        guard request.decision == .approved else { throw .notApproved }
        self.refuse(.withdrawn, request, now: now)
    }

    /// Ends a request of ours for everybody, once that is durable.
    public mutating func cancel(_ id: Bytes32, now: Duration) throws(SigningMachineError) {
        guard let known = self.live[id] else { throw .unknownRequest }
        guard known.coordination.request.proposer == self.keys.signer else { throw .notProposer }
        let request = try self.undecided(id)
        self.decide(.cancelled, about: request, now: now)
    }

    private func undecided(_ id: Bytes32) throws(SigningMachineError) -> LiveRequest {
        guard let request = self.live[id] else { throw .unknownRequest }
        guard !request.coordination.state.isOver else { throw .tooLate(request.coordination.state) }
        return request
    }

    /// Makes a decision durable; it counts once it is.
    ///
    /// Its number is the time, so that a disk that was set back does not lock its owner out.
    ///
    /// - Parameter byPolicy: whether the group's policy says so, and no person.
    mutating func decide(_ decision: StoredRequest.Decision, about request: LiveRequest, byPolicy: Bool = false, now: Duration) {
        guard decision != request.decision else { return }
        request.decision = decision
        request.isByPolicy = byPolicy
        request.serial = max(request.serial + 1, UInt64(UInt32(clamping: self.moment(now).time)))
        let reason = StoredRequest.reason("", byPolicy: byPolicy)
        self.write(.decision(decision, serial: request.serial, reason: reason), of: request, now: now)
    }
}
