public import CryptoPrimitives
internal import MuSig2
public import Secp256k1

// What follows from what is known: the actions of one step.

extension Coordination {
    /// Decides what to do now.
    ///
    /// - Parameters:
    ///   - key: this signer's key.
    ///   - identity: the identity that speaks for it.
    public mutating func step(
        now: Moment, key: borrowing SecretKey, identity: borrowing Ed25519.SecretKey
    ) -> [CoordinationAction] {
        self.lastMoment = now
        if self.isFirstStep { self.begin(now: now) }
        if !self.state.isOver, self.request.isExpired(at: now.time) { self.end(.expired) }
        self.release(now: now, identity: identity)
        if !self.state.isOver {
            self.takeTurns(now: now)
            // What this process coordinates may want nonces of its own: then once more.
            for _ in 0..<2 {
                self.offer(now: now, key: key, identity: identity)
                self.answerCommitments(now: now, identity: identity)
                self.answerBegins(now: now, key: key, identity: identity)
                self.coordinate(now: now, key: key, identity: identity)
                guard (self.wantsOffer && self.offered == nil && self.offerAt == nil) || !self.calls.isEmpty else { break }
            }
        }
        self.sayWhatStands(now: now, identity: identity)
        if self.isLongOver(now: now) { self.links.updateAll { $0.outbox.remove { _ in true } } }
        self.broadcast(now: now)
        self.flush(now: now)
        defer { self.actions = [] }
        return self.actions
    }

    /// When `step` is due at the latest, if nothing comes before: by the clock that never goes back. `nil` when nothing is left to do.
    public var nextStepAt: Duration? {
        guard let now = self.lastMoment else { return .zero }
        var next = self.broadcastAt
        func note(_ time: Duration) { next = min(next ?? time, time) }
        for place in self.links.values.indices { if let due = self.nextDueAt(to: place) { note(due) } }
        guard !self.state.isOver else { return next }
        if self.request.expiry != 0 {
            // Past it by a second: a request is expired after its second, not in it.
            let left = self.request.expiry >= now.time ? self.request.expiry - now.time + 1 : 0
            note(now.uptime + .seconds(Int64(clamping: min(left, 1 << 40))))
        }
        if self.decision.statement == .approved {
            if let deadline = self.turnDeadline { note(deadline) }
            if let probeAt { note(probeAt) }
            // While it cannot be made anyway, its time is none to wake up at: what it waits for is a step itself.
            if let offerAt, self.lacksOffer { note(offerAt) }
        }
        if !self.attempts.isEmpty || !self.gatherings.isEmpty {
            let stuckAfter = self.stuckAfter
            for attempt in self.attempts.values where attempt.isLive && attempt.beganAt + stuckAfter > now.uptime {
                note(attempt.beganAt + stuckAfter)
            }
            for since in self.gatherings.values where since + stuckAfter > now.uptime { note(since + stuckAfter) }
        }
        if let patientUntil, patientUntil > now.uptime { note(patientUntil) }
        return next
    }

    /// When something has to be said to a member at the latest.
    private func nextDueAt(to place: Int) -> Duration? {
        guard let due = self.links.values[place].outbox.nextDueAt else { return self.links.values[place].acknowledgeAt }
        return self.links.values[place].acknowledgeAt.map { min($0, due) } ?? due
    }

    /// What happens once, when the machine begins.
    private mutating func begin(now: Moment) {
        self.isFirstStep = false
        self.turnBeganAt = now.uptime
        if self.signer == self.request.proposer {
            for member in self.others { self.put(.proposal, .proposal(self.request, self.proposal), to: member, now: now) }
        }
        guard self.resumes else { return }
        for member in self.others {
            self.put(.greeting, .standing(self.standing(for: member, asks: true)), to: member, now: now)
        }
    }

    /// Where we stand, as a member is told.
    func standing(for member: PublicKey, asks: Bool) -> CoordinationMessage.Standing {
        let approvers = self.policy.members.enumerated().filter { self.desk[$1]?.hasApproved ?? false }.map {
            UInt16(truncatingIfNeeded: $0.offset)
        }
        return .init(
            turn: self.turn, highest: self.highestSigned(of: member), hasApproved: self.decision.statement == .approved, asks: asks,
            approvers: approvers)
    }

    /// Tells everybody what concerns everybody: a refusal, a cancellation, the end.
    private mutating func sayWhatStands(now: Moment, identity: borrowing Ed25519.SecretKey) {
        if let completion {
            if !self.hasSaidEnd {
                self.hasSaidEnd = true
                self.links.updateAll { $0.outbox.remove { !$0.outlivesEnd } }
            }
            for (place, member) in self.others.enumerated() where self.links.values[place].isToBeToldOfCompletion {
                self.links.values[place].isToBeToldOfCompletion = false
                self.put(.completion, .complete(completion), to: member, now: now)
            }
            return
        }
        guard self.state.isOver else { return }
        self.sayEnd(now: now, identity: identity)
        guard !self.hasSaidEnd else { return }
        self.hasSaidEnd = true
        self.links.updateAll { $0.outbox.remove { !$0.outlivesEnd } }
        if case .refused(let reason) = self.decision.statement {
            let statement = self.say(.refusal(serial: self.decision.serial, reason), identity: identity)
            self.tellAll(.decision, .refusal(statement), now: now)
        } else if self.isCancelledByUs {
            self.tellAll(.cancellation, .cancellation(self.say(.cancellation, identity: identity)), now: now)
        }
    }

    /// Tells those who still go on that it ended here: for them it is as if this signer had refused.
    private mutating func sayEnd(now: Moment, identity: borrowing Ed25519.SecretKey) {
        for (place, member) in self.others.enumerated() where self.links.values[place].isToBeToldOfEnd {
            (self.links.values[place].isToBeToldOfEnd, self.links.values[place].hasBeenToldOfEnd) = (false, true)
            // After the decision to agree, which it follows.
            let serial = self.decision.serial == .max ? .max : self.decision.serial + 1
            self.put(.decision, .refusal(self.say(.refusal(serial: serial, .aborted), identity: identity)), to: member, now: now)
        }
    }

    /// Has a member told of this until it acknowledges it.
    mutating func put(_ matter: Outbox.Matter, _ content: CoordinationMessage.Content, to member: PublicKey, now: Moment) {
        let interval = self.retryInterval(to: member)
        self.links.update(member) { $0.outbox.put(matter, content, now: now.uptime, interval: interval) }
    }

    /// Tells a member where we stand, once: it is behind, or asked. The same again only after a while, or one that says it over and over
    /// would have us answer as often.
    mutating func sendStanding(to member: PublicKey) {
        let standing = self.standing(for: member, asks: false)
        let now = self.lastMoment?.uptime ?? .zero
        if let last = self.links[member]?.standingSent, last.standing == standing, now - last.at < self.retryInterval(to: member) { return }
        self.links.update(member) { $0.standingSent = (standing, now) }
        self.sendOnce(.standing(standing), to: member)
    }

    /// Tells a member this once, whether it arrives or not.
    mutating func sendOnce(_ content: CoordinationMessage.Content, to member: PublicKey) {
        guard self.links[member]?.once.count ?? 0 < Self.onceCountMax else { return }
        self.links.update(member) { $0.once.append(content) }
    }

    /// Most messages for a member between two steps that are sent once.
    private static let onceCountMax = 32

    mutating func tellAll(_ matter: Outbox.Matter, _ content: CoordinationMessage.Content, now: Moment) {
        for member in self.others { self.put(matter, content, to: member, now: now) }
    }

    func say(_ body: Statement.Body, attempt: UInt32 = 0, identity: borrowing Ed25519.SecretKey) -> Statement {
        Statement(body, request: self.requestDigest, attempt: attempt, enrolment: self.enrolment, identity: identity)
    }

    /// Whether the request's time ended so long ago that nobody who has not heard how it ended needs to be told again and again. Who asks
    /// still is.
    private func isLongOver(now: Moment) -> Bool {
        let (end, overflows) = self.request.expiry.addingReportingOverflow(Self.afterlife)
        return self.state.isOver && self.request.expiry != 0 && !overflows && now.time > end
    }

    /// Seconds after a request's expiry for which its end is told to who does not acknowledge it.
    private static let afterlife: UInt64 = 3_600

    /// Sends what is due, with acknowledgements.
    private mutating func flush(now: Moment) {
        // A begin is told to all of its set, and is as long as that is great: it is written once.
        var last: (content: CoordinationMessage.Content, bytes: [UInt8])?
        for (place, member) in self.others.enumerated() where self.hasToSay(to: place, now: now.uptime) {
            var link = self.links.values[place]
            var due = link.outbox.takeDue(now: now.uptime).map { (sequence: $0.sequence, content: $0.content) }
            due += link.once.map { (0, $0) }
            link.once = []
            let mustAcknowledge = link.acknowledgeAt.map { $0 <= now.uptime } ?? false
            if due.isEmpty, mustAcknowledge { due = [(0, .acknowledgement)] }
            for (sequence, content) in due {
                var acknowledged: CoordinationMessage.Acknowledgement?
                if let series = link.window.series, !link.unacknowledged.isEmpty {
                    let part = link.unacknowledged.prefix(CoordinationMessage.Acknowledgement.countMax)
                    acknowledged = .init(series: series, sequences: Array(part))
                    link.unacknowledged.removeFirst(part.count)
                    if link.unacknowledged.isEmpty { link.acknowledgeAt = nil }
                }
                let message = CoordinationMessage(
                    request: self.requestDigest, series: .init(incarnation: self.incarnation, epoch: link.outbox.epoch), sequence: sequence,
                    acknowledged: acknowledged, content: content)
                let known = last.flatMap { $0.content == content ? $0.bytes : nil }
                let bytes = known ?? content.serialized(self.roster)
                last = (content, bytes)
                self.actions.append(.send(message.serialized(withContent: bytes), to: member))
            }
            self.links.values[place] = link
        }
    }

    /// Whether something for a member is due: most steps concern one of them.
    private func hasToSay(to place: Int, now: Duration) -> Bool {
        if let due = self.nextDueAt(to: place), due <= now { return true }
        return !self.links.values[place].once.isEmpty
    }

    /// After completion, whose turn it is to broadcast: the coordinator's at once, then the others' in the order of turns.
    private mutating func broadcast(now: Moment) {
        guard let broadcastAt, now.uptime >= broadcastAt, let transaction else { return }
        self.broadcastAt = nil
        if !self.isBroadcastSeen { self.tell(.shouldBroadcast(transaction)) }
    }

    /// The transaction was seen on the network or in a block: nobody has to broadcast it any more.
    public mutating func noteBroadcast() {
        self.isBroadcastSeen = true
        self.broadcastAt = nil
    }

    /// A member can be reached again: what it has to be told is told now.
    public mutating func noteConnected(_ member: PublicKey, now: Moment) {
        let interval = self.retryInterval(to: member)
        self.links.update(member) { $0.outbox.sendAgain(now: now.uptime, interval: interval) }
    }

    /// A member does not know the request, for it never heard of it or lost its disk: it is told the proposal, whoever proposed it.
    public mutating func noteUnknown(to member: PublicKey, now: Moment) {
        guard let link = self.links[member], !self.request.isExpired(at: now.time) else { return }
        // Whoever says so over and over is not told as often.
        if let last = link.proposedAt, now.uptime < last + Outbox.intervalMax { return }
        self.links.update(member) { $0.proposedAt = now.uptime }
        self.put(.proposal, .proposal(self.request, self.proposal), to: member, now: now)
    }

    /// No connection leads to a member, and what it has to be told waits for it in a mailbox; or it is reached again.
    ///
    /// - Parameter roundTrip: how long a word and its answer take that way; `nil` for as long as over a connection.
    public mutating func setDistance(_ roundTrip: Duration?, of member: PublicKey, now: Moment) {
        guard let link = self.links[member], link.distance != roundTrip else { return }
        self.links.update(member) { $0.distance = roundTrip }
        self.awayCount += (roundTrip == nil ? 0 : 1) - (link.distance == nil ? 0 : 1)
        if roundTrip != nil { self.shareReleased(with: member, now: now) }
        guard roundTrip ?? .zero < link.distance ?? .zero else { return }
        // The long way is no reason to be impatient on the short one: that is counted from now on.
        self.links.update(member) { $0.outbox.restartWaiting(now: now.uptime) }
        if member == self.currentCoordinator, self.signedAt != nil { self.signedAt = now.uptime }
    }

    /// The longest round trip to a member, as far as it is known.
    var roundTrip: Duration {
        var longest = self.timing.roundTrip
        for place in self.links.values.indices { longest = max(longest, self.links.values[place].distance ?? .zero) }
        return longest
    }

    /// Time after which what was not acknowledged is told again.
    func retryInterval(to member: PublicKey) -> Duration {
        let distance = self.links.place(of: member).flatMap { self.links.values[$0].distance }
        let roundTrip = max(self.timing.roundTrip, distance ?? .zero)
        return max(.seconds(1), roundTrip * 2 + self.timing.acknowledgementDelay)
    }
}

extension Outbox.Matter {
    /// Whether it is still told once a request is over for us.
    fileprivate var outlivesEnd: Bool {
        switch self {
        case .proposal, .decision, .cancellation, .completion, .evidence, .partialSignatures, .nonceUse, .cloneAlarm: true
        case .approval, .turn, .greeting, .probe, .leftNonces, .begin, .renewal, .commitments, .opening: false
        }
    }
}
