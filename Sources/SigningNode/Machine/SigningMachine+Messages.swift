internal import CryptoPrimitives
internal import LibP2P
internal import Secp256k1
internal import Signing

// What comes from peers, and what goes to them.

extension SigningMachine {
    /// Takes what the transport has.
    mutating func takeWhatCame(now: Duration) {
        while let event = self.transport.nextEvent() {
            switch event {
            case .asked(let question, let bytes):
                let answer = self.take(bytes, from: question.peer, now: now)
                do { try self.transport.answer(question, with: [answer.rawValue], now: now) } catch { self.transport.refuse(question) }
            case .refused(let peer, _, let error):
                // A stream that broke off is nobody's fault.
                switch error {
                case .frame, .bytesBehind, .tooLong: self.count(.transport("\(error)"), against: peer, now: now)
                default: break
                }
            case .answered(let id, _, let answer):
                guard let sent = self.underWay.removeValue(forKey: id) else { continue }
                switch answer.first.flatMap(CoordinationProtocol.Answer.init) {
                case .blocked, .busy: self.notGiven(sent.request, to: sent.member)
                case .taken, .refused, .unknown, nil: break
                }
                guard let request = self.live[sent.request] else { continue }
                guard answer == [CoordinationProtocol.Answer.unknown.rawValue] else { continue }
                request.coordination.noteUnknown(to: sent.member, now: self.moment(now))
                self.step(request, now: now)
            case .failed(let id, _, _): if let sent = self.underWay.removeValue(forKey: id) { self.notGiven(sent.request, to: sent.member) }
            }
        }
    }

    private mutating func take(_ bytes: [UInt8], from peer: PeerID, now: Duration) -> CoordinationProtocol.Answer {
        guard let identity = peer.identity, self.isMember(identity) else { return self.turnAway(peer, now: now) }
        if self.blocks.isBlocked(peer) || self.conduct.isBlocked(peer, now: now) { return .blocked }
        guard self.isWithinRate(byteCount: bytes.count, of: peer, now: now) else { return .busy }
        guard let id = Coordination.request(of: bytes) else {
            return self.count(.coordination(.malformed(.unknownFormat)), against: peer, now: now)
        }
        if let answer = self.takePooled(bytes, about: id, from: identity, now: now) { return answer }
        if let request = self.live[id] { return self.take(bytes, from: identity, peer, about: request, isLive: true, now: now) }
        if self.arriving[id] != nil {
            // What finds no room its sender tells again.
            _ = self.keep(bytes, from: identity, about: id, isLive: true)
            return .taken
        }
        return self.takeNew(bytes, from: identity, peer, isLive: true, now: now)
    }

    /// Counts a message of a member against its rate.
    private mutating func isWithinRate(byteCount: Int, of peer: PeerID, now: Duration) -> Bool {
        var rate = self.rates[peer] ?? MemberRate(self.configuration.rates, now: now)
        let isWithin = rate.take(byteCount: byteCount, now: now)
        self.rates[peer] = rate
        if !isWithin { self.heldBackCount &+= 1 }
        return isWithin
    }

    /// A peer that is nobody's member wants to say something.
    @discardableResult
    mutating func turnAway(_ peer: PeerID, now: Duration) -> CoordinationProtocol.Answer {
        self.strangers.isBlocked(peer, now: now) ? .blocked : self.count(.stranger, against: peer, now: now)
    }

    func isMember(_ peer: PeerID) -> Bool { peer.identity.map { self.isMember($0) } ?? false }

    func isMember(_ identity: Ed25519.PublicKey) -> Bool {
        self.groups.values.contains { $0.roster.signer(speakingThrough: identity) != nil }
            || self.live.values.contains { $0.coordination.signer(speakingThrough: identity) != nil }
    }

    /// - Parameter isLive: whether it came over a connection. What came through a mailbox counts against nobody: who kept it cannot read it.
    mutating func take(
        _ bytes: [UInt8], from identity: Ed25519.PublicKey, _ peer: PeerID, about request: LiveRequest, isLive: Bool, now: Duration
    ) -> CoordinationProtocol.Answer {
        switch self.hear(bytes, from: identity, about: request, isLive: isLive, now: now) {
        case .accepted, .repeated, .ignored: break
        case .refused(let refusal):
            self.step(request, now: now)
            guard isLive, self.isProof(refusal, against: request.coordination.signer(speakingThrough: identity)) else {
                return self.refuse(.coordination(refusal), of: peer, now: now)
            }
            return self.count(.coordination(refusal), against: peer, now: now)
        }
        self.step(request, now: now)
        return .taken
    }

    /// Gives a request's machine what a member says, and writes it down.
    private mutating func hear(
        _ bytes: [UInt8], from identity: Ed25519.PublicKey, about request: LiveRequest, isLive: Bool, now: Duration
    ) -> CoordinationReception {
        let revision = request.coordination.enrolmentRevision
        let reception = request.coordination.receive(bytes, from: identity, isLive: isLive, now: self.moment(now))
        if request.coordination.enrolmentRevision != revision { self.takeEnrolments(of: request, now: now) }
        if case .accepted = reception, Coordination.isStatement(bytes),
            let member = request.coordination.signer(speakingThrough: identity)
        {
            self.transcribe(.received, head: identity.bytes, bytes, of: request, by: member, now: now)
        }
        return reception
    }

    /// Whether no honest member can have said it. What comes late, or rests on what we forgot, may be refused too; and what another signed
    /// may verify for whom it was passed on by and not here, for a signer can enrol two identities.
    private func isProof(_ refusal: CoordinationRefusal, against member: PublicKey?) -> Bool {
        switch refusal {
        case .malformed(.badSignature(let sender)): sender == member
        case .malformed(.malformed), .malformed(.tooLarge), .malformed(.badEnrolment): true
        case .malformed, .stranger, .anotherRequest, .sequenceGap, .notEntitled, .inconsistent: false
        }
    }

    /// Keeps what comes about a request that is on its way to the disk.
    ///
    /// - Returns: whether there was room for it.
    mutating func keep(_ bytes: [UInt8], from identity: Ed25519.PublicKey, about id: Bytes32, isLive: Bool) -> Bool {
        guard var arriving = self.arriving[id] else { return false }
        let byteCount = arriving.waiting.reduce(bytes.count) { $0 + $1.bytes.count }
        guard arriving.waiting.count < ArrivingRequest.waitingCountMax, byteCount <= ArrivingRequest.waitingByteCountMax else {
            return false
        }
        arriving.waiting.append((bytes, identity, isLive))
        self.arriving[id] = arriving
        return true
    }

    private mutating func refuse(_ refusal: SigningRefusal, of peer: PeerID, now: Duration) -> CoordinationProtocol.Answer {
        self.report(refusal, of: peer, now: now)
        return .refused
    }

    /// Tells of a refusal, unless so many were told that more would only push out what matters.
    private mutating func report(_ refusal: SigningRefusal, of peer: PeerID, now: Duration) {
        let isOfMember = self.isMember(peer)
        guard self.refusalReports[isOfMember ? 1 : 0].holds(1, now: now) else { return }
        self.refusalReports[isOfMember ? 1 : 0].draw(1)
        self.outbox.report(.refused(peer, refusal))
    }

    /// Counts a refusal against the peer that brought the message.
    @discardableResult
    private mutating func count(_ refusal: SigningRefusal, against peer: PeerID, now: Duration) -> CoordinationProtocol.Answer {
        self.report(refusal, of: peer, now: now)
        let (most, time) = (self.configuration.refusalCountMax, self.configuration.blockTime)
        let until =
            refusal == .stranger
            ? self.strangers.refused(peer, most: most, for: time, now: now) : self.conduct.refused(peer, most: most, for: time, now: now)
        guard let until else { return .refused }
        self.outbox.report(.blocked(peer, until: until))
        if refusal != .stranger, self.isMember(peer) { self.noteBlocked(peer, now: now) }
        self.outbox.send(.disconnect(peer))
        return .blocked
    }

    // MARK: New requests

    /// A message about a request that is not known here.
    mutating func takeNew(
        _ bytes: [UInt8], from identity: Ed25519.PublicKey, _ peer: PeerID, isLive: Bool, now: Duration
    ) -> CoordinationProtocol.Answer {
        var reason: String?
        for digest in self.groups.keys.sorted() {
            guard let group = self.groups[digest], group.roster.signer(speakingThrough: identity) != nil else { continue }
            do throws(StatementError) {
                // Who speaks of a request knows it, and can propose it, even if somebody else did first.
                guard let found = try Coordination.proposal(in: bytes, roster: group.roster) else { return .unknown }
                guard found.request.policyDigest == digest else { continue }
                // It acknowledges itself, once it is durable.
                let arriving = ArrivingRequest(
                    request: found.request, proposal: found.proposal,
                    bytes: Self.message(proposing: found.request, found.proposal, group.roster), group: digest, isOurs: false,
                    bringer: identity, waiting: [(bytes, identity, isLive)])
                if let refusal = self.objection(to: arriving, now: now) { return self.refuse(.proposal(refusal), of: peer, now: now) }
                guard self.openCount < self.configuration.openCountMax, self.hasRoom(for: arriving) else { return .taken }
                // The store would say so, too, each time that it is told.
                let most = self.configuration.openCountPerProposerMax
                guard self.openCount(of: arriving.proposal.sender) < most else {
                    return self.refuse(.proposal("\(most) requests of its proposer are open here"), of: peer, now: now)
                }
                // Its proposer has to answer for it, whoever brings it.
                self.store(arriving, source: Self.source(arriving.proposal.sender), now: now)
                return .taken
            } catch {
                reason = "\(error)"
            }
        }
        guard let reason else {
            // Its group may come later, and what lay in a mailbox is not told again.
            guard isLive else { return .unknown }
            return self.refuse(.proposal("it is of no group that its sender and we belong to"), of: peer, now: now)
        }
        return isLive ? self.count(.proposal(reason), against: peer, now: now) : self.refuse(.proposal(reason), of: peer, now: now)
    }

    /// A request as it is kept: without what the channel adds that brought it, so that it is the same whoever tells it, and how often.
    static func message(proposing request: SigningRequest, _ proposal: Statement, _ roster: Roster) -> [UInt8] {
        CoordinationMessage(
            request: request.digest, series: .init(incarnation: [UInt8](repeating: 0, count: NonceName.incarnationByteCount)),
            sequence: 0, acknowledged: nil, content: .proposal(request, proposal)
        ).serialized(roster)
    }

    /// What a member's requests and words count for in the store.
    private static func source(_ member: PublicKey) -> String { String(member.description.suffix(64)) }

    /// The disk may be slow, and one member must not fill our memory meanwhile.
    private func hasRoom(for arriving: ArrivingRequest) -> Bool {
        let byteCount = self.arriving.values.reduce(arriving.bytes.count) { $0 + $1.bytes.count }
        return byteCount <= ArrivingRequest.byteCountMax
            && self.arriving.values.count { $0.bringer == arriving.bringer } < ArrivingRequest.countPerMemberMax
    }

    /// Requests that are not over.
    var openCount: Int { self.live.values.reduce(self.arriving.count) { $0 + ($1.overSince == nil ? 1 : 0) } }

    private func openCount(of proposer: PublicKey) -> Int {
        self.arriving.values.count { $0.proposal.sender == proposer }
            + self.live.values.count { $0.overSince == nil && $0.coordination.request.proposer == proposer }
    }

    /// What stands in the way of taking part in a request at all.
    private func objection(to arriving: ArrivingRequest, now: Duration) -> String? {
        guard case .proposal(let terms) = arriving.proposal.body, let policy = self.groups[arriving.group]?.policy else {
            return "it is no proposal of a group here"
        }
        // What no machine can be made for would lie on the disk until its end.
        do throws(SigningError) { try Coordination.check(arriving.request, proposal: arriving.proposal, under: policy) } catch {
            return "\(error)"
        }
        let time = self.moment(now).time
        let (request, created) = (arriving.request, terms.createdAt)
        if created > time &+ self.configuration.clockSkewMax { return "it was made at a time that is to come: compare the clocks" }
        guard request.expiry != 0 else { return "it has no end" }
        if request.isExpired(at: time) { return "its time is over" }
        let latest = created.addingReportingOverflow(self.configuration.lifeMax)
        if !latest.overflow, request.expiry > latest.partialValue { return "it may not last longer than \(self.configuration.lifeMax) s" }
        return nil
    }

    /// Has a request made durable, before anything is said about it.
    mutating func store(_ arriving: ArrivingRequest, source: String?, now: Duration) {
        let id = arriving.request.digest
        self.arriving[id] = arriving
        let created: UInt64 = if case .proposal(let terms) = arriving.proposal.body { terms.createdAt } else { 0 }
        let new = NewRequest(id: id, source: source, proposal: arriving.bytes, created: created, expiry: arriving.request.expiry)
        self.outbox.report(.write(self.newWriteID(), request: id, .request(new), time: self.moment(now).time))
    }

    /// A request is durable, or cannot be.
    mutating func arrived(_ id: Bytes32, _ result: SigningWriteResult, now: Duration) {
        guard let arriving = self.arriving.removeValue(forKey: id) else { return }
        switch result {
        case .failed(let reason):
            for receipt in arriving.receipts { self.mailboxes.client.giveBack(receipt) }
            self.outbox.report(.notStored(id, reason: reason))
        case .done(nil): break
        case .done(let stored?):
            // What was decided on in a former life, or ended, is not begun again by who tells its proposal again: what was released for
            // it would be missing here.
            guard stored.state == .proposed, stored.decision == .undecided else {
                for receipt in arriving.receipts { self.mailboxes.client.safe(receipt) }
                return
            }
            let request: LiveRequest
            do throws(SigningError) { request = try self.open(arriving, stored, [], resumes: false) } catch {
                for receipt in arriving.receipts { self.mailboxes.client.safe(receipt) }
                return self.outbox.report(.notStored(id, reason: "\(error)"))
            }
            self.live[id] = request
            self.takeEnrolments(of: request, now: now)
            request.receipts = arriving.receipts
            if !arriving.pooled.isEmpty { request.coordination.begin(withPooled: arriving.pooled) }
            if arriving.isOurs { self.decide(.approved, about: request, now: now) } else { self.outbox.report(.requested(id)) }
            self.connect(request, now: now)
            // The message that proposed it, and what came meanwhile.
            for (bytes, identity, isLive) in arriving.waiting {
                _ = self.hear(bytes, from: identity, about: request, isLive: isLive, now: now)
                self.step(request, now: now)
            }
            self.step(request, now: now)
            self.consider(request, now: now)
            self.giveReceipts(of: request, now: now)
            self.takeEarly(about: id, now: now)
        }
    }

    // MARK: What goes out

    /// Gives a message to the member's node, if it is connected: if not, to its mailboxes, or it is told again once it is.
    mutating func send(_ bytes: [UInt8], to member: PublicKey, about request: LiveRequest, now: Duration) {
        if Coordination.isStatement(bytes) { self.transcribe(.sent, head: member.bytes, bytes, of: request, by: nil, now: now) }
        guard let identity = request.coordination.enrolment(of: member)?.identity else { return }
        let peer = PeerID(of: identity)
        // Neither is anything said to whom nobody listens to: all of it is told again once that ends.
        guard !self.blocks.isBlocked(peer) else { return }
        guard self.members.isConnected(peer) else { return self.leave(bytes, to: member, identity, about: request, now: now) }
        // A queue that is full is emptied by time, and the message is told again.
        if let id = try? self.transport.send(bytes, to: peer, now: now) { self.underWay[id] = (request.id, member) }
    }

    /// Writes down what was said, once, and of each member no more than its share: nobody takes the others' place.
    ///
    /// - Parameter member: who said it; `nil` for us.
    private mutating func transcribe(
        _ kind: TranscriptLine.Kind, head: [UInt8], _ bytes: [UInt8], of request: LiveRequest, by member: PublicKey?, now: Duration
    ) {
        let most = Self.transcribedCountMax
        let countMax = member == nil ? most : max(Self.transcribedCountMin, most / request.coordination.policy.members.count)
        let share = request.transcribedShares[member ?? self.keys.signer] ?? (0, 0)
        let byteCount = head.count + bytes.count
        guard share.count < countMax, share.byteCount + byteCount <= Self.transcribedByteCountMax,
            request.transcribed.insert(SHA256.hash(head + Coordination.contentBytes(bytes))).inserted
        else { return }
        request.transcribedShares[member ?? self.keys.signer] = (share.count + 1, share.byteCount + byteCount)
        let line = TranscriptLine(kind: kind, bytes: head + bytes, source: member.map(Self.source))
        self.write(.transcript([line]), of: request, now: now)
    }

    /// Statements of one request that a process writes down: of ours so many, and of all others together; far above what any signing has,
    /// and below what a transcript may hold. And of one member at least.
    private static let transcribedCountMax = 8_192
    private static let transcribedCountMin = 32
    /// Bytes of one member's statements, and of ours, about one request.
    private static let transcribedByteCountMax = 8 << 20
}
