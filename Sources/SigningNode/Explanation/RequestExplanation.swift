public import CryptoPrimitives
internal import LibP2P
public import Secp256k1
public import Signing

/// What a request waits for, and what anybody can do about it: worked out from what is known at this node, and no more than that.
public struct RequestExplanation: Hashable, Sendable {
    /// A member, and how its machine can be reached.
    public struct Member: Hashable, Sendable {
        public enum Reach: Hashable, Sendable {
            /// It is us.
            case own
            case connected(ConnectionMethod, roundTrip: Duration?)
            /// So many dials led to nothing, the last one for this reason as far as it was told. It is dialled again.
            case notConnected(failureCount: Int, ConnectivityError?)
            case noAddress
            /// No identity is enrolled for it here.
            case notEnrolled
            /// Nothing of it is listened to here, by the owner's word or for its conduct, until the owner says otherwise.
            case blocked(PeerStanding.Block)
            /// Its enrolment has ended, at this time in seconds since 1970: nothing of it is heard until its signer enrols it again.
            case enrolmentEnded(at: UInt64)
        }

        public let signer: PublicKey
        public let reach: Reach
    }

    /// A signer whose machine is heard no more, for its enrolment has ended.
    public struct EndedEnrolment: Hashable, Sendable {
        public let signer: PublicKey
        /// Seconds since 1970.
        public let endedAt: UInt64
    }

    /// What is missing, and from whom.
    public enum Missing: Hashable, Sendable {
        /// Nothing: the request is over.
        case nothing
        /// So many more must agree, of these. As far as this node knows: see ``approversMayBeMore``.
        case decisions(count: Int, of: [Member])
        /// Enough agree: this member, who coordinates, has to begin an attempt, or to bring one to its end.
        case coordinator(Member)
        /// An attempt that this node coordinates waits for the nonces of these, who have committed to them.
        case nonces([Member])
        /// An attempt that this node coordinates waits for the partial signatures of these.
        case partialSignatures([Member])
    }

    /// Who can end a request before its time.
    public enum Ending: Hashable, Sendable {
        /// Its proposer, by taking it back.
        case cancellation(by: PublicKey)
        /// So many of these, by saying no, or taking their agreement back: no set could sign without them.
        case refusals(count: Int, of: [PublicKey])
    }

    /// What its owner can do, or have others do.
    public enum Advice: Hashable, Sendable {
        /// Say yes or no: the own decision is missing.
        case decide
        /// Leave this process running: it holds secret nonces for the request.
        case keepRunning
        /// Ask the person: the machine is there, and says nothing.
        case remind(PublicKey)
        /// Have that machine started, or connected: nothing reaches it.
        case wakeMachine(PublicKey)
        /// Ask for the member's contact, once more: the machine is not known, or not where it was said to be.
        case askForContact(PublicKey)
        /// Listen to that member's machine again, if it is well: it is blocked here, and the group may not be able to sign without it.
        case unblock(PublicKey)
        /// Have that member's owner enrol its machine again, and ask for its new contact: the enrolment has ended.
        case askToEnrol(PublicKey)
        /// Enrol this machine again: its own enrolment has ended, and nobody hears it.
        case enrolAgain
        /// Ask this member how many agree: approvals come together there.
        case askCoordinator(PublicKey)
        /// Send the signed transaction to the Bitcoin network, if it is not there.
        case broadcast
        /// Spend one of the coins otherwise: only a confirmed transaction that does makes sure that this one never completes.
        case spendCoins
        /// Ask anew: this one has run out of time.
        case askAnew
        /// Move what the key of this signer helps to spend: others may know it.
        case moveFunds(of: PublicKey)
    }

    public let request: Bytes32
    /// Ours.
    public let signer: PublicKey
    public let state: CoordinationState
    /// What its owner said here.
    public let decision: StoredRequest.Decision
    public let turn: UInt32
    public let coordinator: PublicKey
    public let memberCount: Int
    public let threshold: Int
    /// Who is known here to agree, in the policy's order.
    public let approvers: [PublicKey]
    /// Who said no, or took its agreement back.
    public let refusers: [PublicKey]
    /// Whether others may have agreed of whom this node has not heard: approvals come to who coordinates, and it tells those who agreed, when
    /// they ask whether it is there.
    public let approversMayBeMore: Bool
    public let missing: Missing
    /// Those whose processes hold secret nonces for it: should one end, an attempt with it is lost, and nothing else.
    public let mustStayRunning: [PublicKey]
    /// Whether all that is missing is one decision, so that whoever makes it needs to be there once: all other nonces are there already, with
    /// the coordinator for who is connected with it, and for whoever is away in its mailbox.
    public let oneVisitSuffices: Bool
    /// Whether the missing decision is ours, and the nonces of a set with us are at this node: it signs at once, whoever is connected.
    public let hasAllOtherNonces: Bool
    /// Empty when it is over.
    public let endings: [Ending]
    /// Whether partial signatures of ours are out: however it ends here, others may still complete it.
    public let isSignatureOut: Bool
    /// Seconds since 1970, after which nothing is signed any more; 0 for never.
    public let expiry: UInt64
    /// Proved to be at fault, by their own signed messages, where that ended it.
    public let culprits: [PublicKey]
    /// Of whom it is proved that one nonce served two attempts: a copy of that signer's machine may be running. No fault is proved by it.
    public let clones: [PublicKey]
    /// When its owner said that the transaction was seen on the Bitcoin network, in seconds since 1970; `nil` where nobody has.
    public let broadcastSeenAt: UInt64?
    /// Members, ourselves among them, whose machines nobody hears any more, in the policy's order. Empty when it is over.
    public let endedEnrolments: [EndedEnrolment]
    /// The most urgent first.
    public let advice: [Advice]

    /// - Parameters:
    ///   - connectivity: of the members, as far as their machines are known.
    ///   - signer: ours.
    ///   - ownExpiry: of our own enrolment.
    ///   - time: now, in seconds since 1970.
    init(
        _ summary: RequestSummary, _ connectivity: [MemberConnectivity], signer: PublicKey, ownExpiry: UInt64 = 0, time: UInt64 = 0
    ) {
        let (state, progress) = (summary.state, summary.progress)
        let links = Dictionary(connectivity.map { ($0.signer, $0) }, uniquingKeysWith: { first, _ in first })
        func member(_ key: PublicKey) -> Member { Member(signer: key, reach: Self.reach(key, links[key], signer: signer, time: time)) }
        let ended =
            state.isOver
            ? []
            : summary.members.compactMap { key -> EndedEnrolment? in
                let expiry = key == signer ? ownExpiry : links[key]?.enrolmentExpiry ?? 0
                return expiry != 0 && time > expiry ? EndedEnrolment(signer: key, endedAt: expiry) : nil
            }
        let (approvers, refusers) = (summary.approvers, progress.refused)
        let isCoordinator = progress.coordinator == signer
        let missingCount = max(0, summary.threshold - approvers.count)
        let heard = Set(approvers + refusers)
        let silent = summary.members.filter { !heard.contains($0) }

        self.request = summary.id
        self.signer = signer
        self.state = state
        self.decision = summary.decision
        self.turn = progress.turn
        self.coordinator = progress.coordinator
        self.memberCount = summary.members.count
        self.threshold = summary.threshold
        self.approvers = approvers
        self.refusers = refusers
        self.approversMayBeMore = !state.isOver && !isCoordinator && !silent.isEmpty
        if state.isOver {
            self.missing = .nothing
        } else if missingCount > 0 {
            self.missing = .decisions(count: missingCount, of: silent.map(member))
        } else if isCoordinator, !progress.awaited.isEmpty {
            let awaited = progress.awaited.map(member)
            self.missing = progress.awaitsNonces ? .nonces(awaited) : .partialSignatures(awaited)
        } else {
            self.missing = .coordinator(member(progress.coordinator))
        }
        self.mustStayRunning = state.isOver ? [] : approvers
        self.hasAllOtherNonces = !state.isOver && progress.holdsNoncesOfASet && silent.contains(signer)
        // Of others' decisions only who coordinates knows that they are missing; of ours we know it.
        // Where nonces are committed to, the others show theirs only after that, so whoever comes last comes twice.
        self.oneVisitSuffices =
            self.hasAllOtherNonces
            || (!state.isOver && missingCount == 1 && (isCoordinator || silent.contains(signer))
                && Coordination.leavesNonces(about: summary.request, members: summary.members.count))
        self.isSignatureOut = !progress.signedAttempts.isEmpty
        self.expiry = summary.request.expiry
        self.culprits = state.culprits
        self.clones = summary.cloneAlarms
        self.broadcastSeenAt = summary.broadcastSeenAt
        let left = summary.members.filter { !refusers.contains($0) }
        self.endings =
            state.isOver
            ? [] : [.cancellation(by: summary.proposer), .refusals(count: max(1, left.count - summary.threshold + 1), of: left)]
        self.endedEnrolments = ended
        self.advice =
            summary.cloneAlarms.map { .moveFunds(of: $0) }
            + ended.map { ended -> Advice in ended.signer == signer ? .enrolAgain : .askToEnrol(ended.signer) }
            + Self.advice(
                state, isSeen: summary.broadcastSeenAt != nil, missing: self.missing, isSilent: silent.contains(signer),
                holdsNonces: self.mustStayRunning.contains(signer),
                askCoordinator: self.approversMayBeMore && missingCount > 0 ? progress.coordinator : nil)
    }

    private static func reach(_ key: PublicKey, _ link: MemberConnectivity?, signer: PublicKey, time: UInt64) -> Member.Reach {
        if key == signer { return .own }
        guard let link else { return .notEnrolled }
        if let block = link.block { return .blocked(block) }
        if link.isEnrolmentOver(at: time) { return .enrolmentEnded(at: link.enrolmentExpiry) }
        if let method = link.method { return .connected(method, roundTrip: link.roundTrip) }
        return link.addresses.isEmpty ? .noAddress : .notConnected(failureCount: link.failures, link.lastError)
    }

    private static func advice(
        _ state: CoordinationState, isSeen: Bool, missing: Missing, isSilent: Bool, holdsNonces: Bool, askCoordinator: PublicKey?
    ) -> [Advice] {
        switch state {
        case .complete: return isSeen ? [] : [.broadcast]
        case .expired: return [.askAnew]
        case .endedMayStillComplete: return [.spendCoins]
        case .rejected, .withdrawn, .aborted: return []
        case .proposed, .approved, .signing: break
        }
        var advice: [Advice] = isSilent ? [.decide] : []
        if holdsNonces { advice.append(.keepRunning) }
        if let askCoordinator { advice.append(.askCoordinator(askCoordinator)) }
        let (awaited, isForPeople): ([Member], Bool) =
            switch missing {
            case .nothing: ([], false)
            case .decisions(_, let members): (members, true)
            case .coordinator(let member): ([member], false)
            case .nonces(let members), .partialSignatures(let members): (members, false)
            }
        return advice + awaited.compactMap { Self.advice(about: $0, isForPerson: isForPeople) }
    }

    /// - Parameter isForPerson: whether a person is waited for, and not only a machine.
    private static func advice(about member: Member, isForPerson: Bool) -> Advice? {
        switch member.reach {
        // Of those whose enrolment has ended it is told whether they are waited for or not.
        case .own, .enrolmentEnded: nil
        case .connected: isForPerson ? .remind(member.signer) : nil
        case .notConnected(_, .peerNotFound?), .notConnected(_, .noRelayAddress?): .askForContact(member.signer)
        case .notConnected: .wakeMachine(member.signer)
        case .noAddress, .notEnrolled: .askForContact(member.signer)
        case .blocked: .unblock(member.signer)
        }
    }
}

extension CoordinationState {
    /// Who is proved to have made it end.
    public var culprits: [PublicKey] {
        switch self {
        case .aborted(.fault(let signers)), .endedMayStillComplete(.aborted(.fault(let signers))): signers
        case .proposed, .approved, .signing, .complete, .rejected, .withdrawn, .expired, .aborted, .endedMayStillComplete: []
        }
    }
}

extension SigningMachine {
    func explain(_ id: Bytes32, now: Duration) -> RequestExplanation? {
        self.request(id).map {
            RequestExplanation(
                $0, self.connectivity, signer: self.keys.signer, ownExpiry: self.keys.enrolment.expiry, time: self.moment(now).time)
        }
    }
}

extension SigningNode {
    /// What a request waits for, who must stay running for it, who can end it, and what to do.
    ///
    /// - Throws: `machine` with `unknownRequest`; `notRunning`.
    public func explain(_ id: Bytes32) async throws(SigningNodeError) -> RequestExplanation {
        if let explanation = try await self.update({ $0.explain(id, now: $1) }) { return explanation }
        guard let past = try await self.pastRequests(named: "\(id)").first else { throw .machine(.unknownRequest) }
        return RequestExplanation(past, [], signer: self.signer)
    }
}
