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
                guard let sent = self.underWay.removeValue(forKey: id), let request = self.live[sent.request] else { continue }
                guard answer == [CoordinationProtocol.Answer.unknown.rawValue] else { continue }
                request.coordination.noteUnknown(to: sent.member, now: self.moment(now))
                self.step(request, now: now)
            case .failed(let id, _, _): self.underWay[id] = nil
            }
        }
    }

    private mutating func take(_ bytes: [UInt8], from peer: PeerID, now: Duration) -> CoordinationProtocol.Answer {
        if self.conduct.isBlocked(peer, now: now) { return .blocked }
        guard let identity = peer.identity, self.isMember(identity) else { return self.count(.stranger, against: peer, now: now) }
        guard let id = Coordination.request(of: bytes) else {
            return self.count(.coordination(.malformed(.unknownFormat)), against: peer, now: now)
        }
        if let request = self.live[id] { return self.take(bytes, from: identity, peer, about: request, now: now) }
        if self.arriving[id] != nil { return self.keep(bytes, from: identity, about: id) }
        return self.takeNew(bytes, from: identity, peer, now: now)
    }

    private func isMember(_ identity: Ed25519.PublicKey) -> Bool {
        self.groups.values.contains { $0.roster.signer(speakingThrough: identity) != nil }
            || self.live.values.contains { $0.coordination.signer(speakingThrough: identity) != nil }
    }

    private mutating func take(
        _ bytes: [UInt8], from identity: Ed25519.PublicKey, _ peer: PeerID, about request: LiveRequest, now: Duration
    ) -> CoordinationProtocol.Answer {
        let reception = request.coordination.receive(bytes, from: identity, now: self.moment(now))
        switch reception {
        case .accepted:
            if Coordination.isStatement(bytes) {
                self.transcribe(.received, head: identity.bytes, bytes, of: request, now: now)
            }
        case .repeated, .ignored: break
        case .refused(let refusal):
            self.step(request, now: now)
            guard self.isProof(refusal, against: request.coordination.signer(speakingThrough: identity)) else {
                return self.refuse(.coordination(refusal), of: peer)
            }
            return self.count(.coordination(refusal), against: peer, now: now)
        }
        self.step(request, now: now)
        return .taken
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
    private mutating func keep(_ bytes: [UInt8], from identity: Ed25519.PublicKey, about id: Bytes32) -> CoordinationProtocol.Answer {
        guard var arriving = self.arriving[id] else { return .taken }
        let byteCount = arriving.waiting.reduce(bytes.count) { $0 + $1.bytes.count }
        guard arriving.waiting.count < ArrivingRequest.waitingCountMax, byteCount <= ArrivingRequest.waitingByteCountMax else {
            return .taken
        }
        arriving.waiting.append((bytes, identity))
        self.arriving[id] = arriving
        return .taken
    }

    private mutating func refuse(_ refusal: SigningRefusal, of peer: PeerID) -> CoordinationProtocol.Answer {
        self.outbox.report(.refused(peer, refusal))
        return .refused
    }

    /// Counts a refusal against the peer that brought the message.
    @discardableResult
    private mutating func count(_ refusal: SigningRefusal, against peer: PeerID, now: Duration) -> CoordinationProtocol.Answer {
        self.outbox.report(.refused(peer, refusal))
        let until = self.conduct.refused(
            peer, most: self.configuration.refusalCountMax, for: self.configuration.blockTime, now: now)
        guard let until else { return .refused }
        self.outbox.report(.blocked(peer, until: until))
        self.outbox.send(.disconnect(peer))
        return .blocked
    }

    // MARK: New requests

    /// A message about a request that is not known here.
    private mutating func takeNew(
        _ bytes: [UInt8], from identity: Ed25519.PublicKey, _ peer: PeerID, now: Duration
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
                    request: found.request, proposal: found.proposal, bytes: bytes, group: digest, isOurs: false,
                    bringer: identity, waiting: [(bytes, identity)])
                if let refusal = self.objection(to: arriving, now: now) { return self.refuse(.proposal(refusal), of: peer) }
                guard self.openCount < self.configuration.openCountMax, self.hasRoom(for: arriving) else { return .taken }
                // Its proposer has to answer for it, whoever brings it.
                self.store(arriving, source: String(arriving.proposal.sender.description.suffix(64)), now: now)
                return .taken
            } catch {
                reason = "\(error)"
            }
        }
        guard let reason else { return self.refuse(.proposal("it is of no group that its sender and we belong to"), of: peer) }
        return self.count(.proposal(reason), against: peer, now: now)
    }

    /// The disk may be slow, and one member must not fill our memory meanwhile.
    private func hasRoom(for arriving: ArrivingRequest) -> Bool {
        let byteCount = self.arriving.values.reduce(arriving.bytes.count) { $0 + $1.bytes.count }
        return byteCount <= ArrivingRequest.byteCountMax
            && self.arriving.values.count { $0.bringer == arriving.bringer } < ArrivingRequest.countPerMemberMax
    }

    /// Requests that are not over.
    var openCount: Int { self.live.values.reduce(self.arriving.count) { $0 + ($1.overSince == nil ? 1 : 0) } }

    /// What stands in the way of taking part in a request at all.
    private func objection(to arriving: ArrivingRequest, now: Duration) -> String? {
        guard case .proposal(let terms) = arriving.proposal.body else { return "it is no proposal" }
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
        case .failed(let reason): self.outbox.report(.notStored(id, reason: reason))
        case .done(nil): break
        case .done(let stored?):
            // What ended in a former life is not begun again by who tells its proposal again.
            guard !stored.state.isOver else { return }
            let request: LiveRequest
            do throws(SigningError) { request = try self.open(arriving, stored, [], resumes: false) } catch {
                return self.outbox.report(.notStored(id, reason: "\(error)"))
            }
            self.live[id] = request
            if arriving.isOurs { self.decide(.approved, about: request, now: now) } else { self.outbox.report(.requested(id)) }
            self.connect(request, now: now)
            // The message that proposed it, and what came meanwhile.
            for (bytes, identity) in arriving.waiting {
                _ = request.coordination.receive(bytes, from: identity, now: self.moment(now))
            }
            self.step(request, now: now)
        }
    }

    // MARK: What goes out

    /// Gives a message to the member's node, if it is connected: if not, what matters is told again once it is.
    mutating func send(_ bytes: [UInt8], to member: PublicKey, about request: LiveRequest, now: Duration) {
        if Coordination.isStatement(bytes) { self.transcribe(.sent, head: member.bytes, bytes, of: request, now: now) }
        guard let identity = request.coordination.enrolment(of: member)?.identity else { return }
        let peer = PeerID(of: identity)
        guard self.members.isConnected(peer) else { return }
        // A queue that is full is emptied by time, and the message is told again.
        if let id = try? self.transport.send(bytes, to: peer, now: now) { self.underWay[id] = (request.id, member) }
    }

    /// Writes down what was said, once.
    private mutating func transcribe(
        _ kind: TranscriptLine.Kind, head: [UInt8], _ bytes: [UInt8], of request: LiveRequest, now: Duration
    ) {
        guard request.transcribed.count < Self.transcribedCountMax,
            request.transcribed.insert(SHA256.hash(head + Coordination.contentBytes(bytes))).inserted
        else { return }
        self.write(.transcript([TranscriptLine(kind: kind, bytes: head + bytes)]), of: request, now: now)
    }

    /// Statements of one request that a process writes down: far above what any signing has, and below what a transcript may hold.
    private static let transcribedCountMax = 8_192
}
