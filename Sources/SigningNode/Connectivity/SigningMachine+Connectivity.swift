public import CryptoPrimitives
public import LibP2P
internal import Signing

// Whether the members are there: asked by the owner, before a request that wants them all at once.

extension SigningMachine {
    /// Checks under way. Each has a deadline, and costs a dial a member.
    static let checkCountMax = 64
    /// For how long after a check its members are dialled again when they are lost: a person may ask for something meanwhile.
    static let attention = Duration.seconds(600)

    /// Dials all members of a group, or those that a request may still want, at once, and finds out who is there.
    ///
    /// ``ConnectivityStep/over(_:_:)`` follows in any case, at the latest when the options' time is over.
    ///
    /// - Parameter id: a request's id (T0), or a group's policy digest.
    /// - Throws: `unknownRequestOrGroup`, `connectedCount` for a number with which the policy cannot be spent, `tooManyChecks`.
    public mutating func checkConnectivity(
        of id: Bytes32, _ options: ConnectivityOptions, now: Duration
    ) throws(SigningMachineError) -> ConnectivityCheckID {
        let request = self.live[id]
        guard let group = self.groups[request?.group ?? id] else { throw .unknownRequestOrGroup }
        if case .atLeast(let count) = options.requirement {
            let allowed = group.policy.threshold...group.policy.members.count
            guard allowed.contains(count) else { throw .connectedCount(count, allowed: allowed) }
        }
        guard self.checks.count < Self.checkCountMax else { throw .tooManyChecks(limit: Self.checkCountMax) }
        // Who said no takes no part.
        let refused = Set(request?.coordination.progress.refused ?? [])
        let members = group.policy.members.filter { !refused.contains($0) }.map { member in
            let enrolment = request?.coordination.enrolment(of: member) ?? group.roster.enrolment(of: member)
            return (signer: member, peer: enrolment.map { PeerID(of: $0.identity) })
        }
        let check = ConnectivityCheck(members, own: self.keys.signer, policy: group.policy, options: options, now: now)
        self.nextCheck += 1
        let number = ConnectivityCheckID(rawValue: self.nextCheck)
        self.checks[number] = check
        self.deadlines.set(.check(number), at: check.deadline)
        for peer in check.peers { self.members.attend(to: peer, until: check.deadline + Self.attention) }
        let links = self.members
        self.proceed(number, now: now) { $0.begin(links.isConnected) }
        // After the check's own dials, which they join.
        for peer in check.peers { self.want(peer, now: now) }
        return number
    }

    /// Ends a check with what was found so far. One that is over already is none.
    public mutating func endCheck(_ id: ConnectivityCheckID, now: Duration) {
        guard var check = self.checks.removeValue(forKey: id) else { return }
        self.deadlines.remove(.check(id))
        if now >= check.deadline { check.timeIsOver() }
        self.report(check, id, now: now)
    }

    /// A dial that was wanted is over.
    public mutating func dialled(_ peer: PeerID, _ end: ConnectivityDialEnd, now: Duration) {
        let error: ConnectivityError? =
            switch end {
            case .connected: nil
            case .failed(let error): ConnectivityError(error, isAnyAddressKnown: !self.members.addresses(of: peer).isEmpty)
            case .calledOff: .networkError("the dial was called off")
            }
        self.members.endDial(peer, error)
        guard !self.members.isConnected(peer) else { return }
        self.tellChecks(now: now) { check in error.map { check.notReached(peer, $0) } ?? check.vanished(peer) }
    }

    /// A ping that was wanted has its answer, or will have none.
    public mutating func pinged(_ peer: PeerID, _ result: Result<Duration, PingError>, now: Duration) {
        let isConnected = self.members.isConnected(peer)
        switch result {
        case .success(let time):
            self.members.endPing(peer, time)
            self.noteRoundTrip(of: peer, now: now)
            self.tellChecks(now: now) { $0.pinged(peer, nil, isConnected: isConnected) }
        case .failure(let error):
            self.members.endPing(peer, nil)
            self.tellChecks(now: now) { $0.pinged(peer, error, isConnected: isConnected) }
        }
    }

    /// Others were asked where a member's node is, and what they said is known.
    public mutating func searched(_ peer: PeerID, now: Duration) {
        self.tellChecks(now: now) { check in
            check.searched(peer)
            return []
        }
    }

    // MARK: What follows

    /// Tells all checks what happened, and does what they then want.
    mutating func tellChecks(now: Duration, _ happened: (inout ConnectivityCheck) -> [ConnectivityCheck.Want]) {
        for id in self.checks.keys.sorted(by: { $0.rawValue < $1.rawValue }) { self.proceed(id, now: now, happened) }
    }

    private mutating func proceed(
        _ id: ConnectivityCheckID, now: Duration, _ happened: (inout ConnectivityCheck) -> [ConnectivityCheck.Want]
    ) {
        guard var check = self.checks[id] else { return }
        let wants = happened(&check)
        self.checks[id] = check
        for want in wants {
            switch want {
            case .dial(let peer):
                guard self.members.beginDial(peer) else { continue }
                self.outbox.report(.connectivity(.dial(peer, self.members.dialAddresses(of: peer))))
            case .search(let peer):
                self.members.noteSearch(for: peer, now: now)
                self.outbox.report(.addressesWanted(peer))
            case .ping(let peer): self.ping(peer)
            }
        }
        guard check.isOver else { return }
        self.checks[id] = nil
        self.deadlines.remove(.check(id))
        self.report(check, id, now: now)
    }

    /// Measures the round trip to a member, if that is not under way.
    mutating func ping(_ peer: PeerID) {
        if self.members.beginPing(peer) { self.outbox.report(.connectivity(.ping(peer))) }
    }

    private mutating func report(_ check: ConnectivityCheck, _ id: ConnectivityCheckID, now: Duration) {
        let members = self.members
        let report = check.report(now: now) { peer in
            guard let method = members.method(of: peer), let since = members.connectedSince(peer) else { return nil }
            return ParticipantConnectivity.Link(method: method, since: since, roundTrip: members.roundTrip(to: peer))
        }
        self.outbox.report(.connectivity(.over(id, report)))
    }
}
