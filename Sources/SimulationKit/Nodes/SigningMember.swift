internal import CryptoPrimitives
internal import LibP2P
internal import Signing
internal import SigningNode

/// A member of a signing group on a simulated host: the product's signing machine, with a disk that takes its time and a person who
/// thinks.
struct SigningMember {
    /// A write that has not come to its end.
    private struct Pending {
        let due: Duration
        let id: SigningWriteID
        let request: Bytes32
        let write: SigningWrite
        let time: UInt64
    }

    let person: SigningPerson
    private(set) var machine: ProtocolHandle<WatchedMachine>?
    private var pending: [Pending] = []
    private var thoughts: [(due: Duration, request: Bytes32)] = []
    private var meeting: MemberMeeting?
    private var approvals: [(due: Duration, id: SigningWriteID, group: Bytes32, approval: StoredApproval)] = []

    /// - Parameter previous: the life before. What it had under way to its disk got there, or did not.
    init(_ person: SigningPerson, after previous: SigningMember?) {
        self.person = person
        person.life += 1
        self.meeting = person.meeting.map(MemberMeeting.init)
        for pending in previous?.pending ?? [] where person.draw(0...1) == 0 {
            _ = person.store.write(pending.write, of: pending.request, at: pending.time, getsThere: true)
        }
        for pending in previous?.approvals ?? [] where person.draw(0...1) == 0 { person.keep(pending.approval, of: pending.group) }
        person.store.open()
    }

    mutating func start(_ node: inout Node, now: Duration) {
        let (person, clock, incarnations) = (self.person, self.person.clock, self.person.incarnations())
        var configuration = SigningMachine.Configuration()
        configuration.noncePoolCount = person.noncePool
        if person.fault == .hearsLittle {
            (configuration.rates.messageBurst, configuration.rates.messagesPerSecond) = (2, 1)
            (configuration.rates.byteBurst, configuration.rates.bytesPerSecond) = (2_000, 1_000)
        }
        var machine = SigningMachine(
            keys: person.keys, configuration: configuration, clocks: { SigningClocks(wall: clock.wall(at: $0), running: $0) },
            makeIncarnation: { incarnations.next() }, now: now)
        machine.add(person.policy, name: "group", members: person.enrolments)
        for standing in person.standings.values.sorted(by: { $0.peer.lexicographicallyPrecedes($1.peer) }) {
            machine.restore(standing, now: now)
        }
        node.swarm.gate.deniedPeers = machine.deniedPeers
        if let stored = person.store.approvals[person.policy.digest] {
            machine.restoreApproval(stored, of: person.policy.digest, now: now)
        } else if let rules = person.rules {
            do { try machine.setApprovalPolicy(rules, of: person.policy.digest, now: now) } catch {
                preconditionFailure("a member's own policy is for its group: \(error)")
            }
        }
        for (id, row) in person.store.rows.sorted(by: { $0.key < $1.key }) {
            guard let stored = person.store.stored(id), stored.state != .expired else { continue }
            let records = person.store.journal.filter { $0.request == id }
            do {
                try machine.restore(
                    stored, proposal: row.proposal, records: records, completion: row.completion, said: row.said, now: now)
            } catch { preconditionFailure("what a member wrote down it cannot read: \(error)") }
            if self.hasToSay(stored.decision) { self.think(about: id, now: now) }
        }
        for (peer, address) in person.addresses { machine.learn([address], of: peer, now: now) }
        self.machine = node.swarm.add(WatchedMachine(machine, fault: person.fault, sleepsAt: person.sleepsAt), onLimited: true, now: now)
        self.meeting?.start(&node, now: now)
        node.announce(now: now)
    }

    mutating func handle(_ event: Node.Event, _ node: inout Node, now: Duration) {
        guard let machine, case .gossipsub(.message(let id, let message, let bearer, _)) = event else { return }
        if self.meeting?.hear(id, message, from: bearer, self.person, machine, &node, now: now) ?? false {
            self.person.watch?.announced(isHeard: true, by: self.person)
        }
    }

    /// Whether a decision that stands is not the person's last word.
    private func hasToSay(_ decision: StoredRequest.Decision) -> Bool {
        switch decision {
        case .undecided: true
        case .approved: self.person.mind == .withdraws
        case .rejected, .withdrawn, .cancelled: false
        }
    }

    mutating func takeEvents(_ node: inout Node, now: Duration) -> Bool {
        guard let machine else { return false }
        self.tellWhatLeft(machine, &node, now: now)
        guard let event = node.swarm.nextEvent(of: machine) else { return false }
        switch event {
        case .write(let id, let request, let write, let time):
            let due = self.dueTime(from: now)
            self.pending.append(Pending(due: due, id: id, request: request, write: write, time: time))
            self.person.watch?.writes(write, of: self.person, from: now, due: due)
            if self.person.fault == .releasesBeforeDurable, case .burn = write {
                node.swarm.update(machine, now: now) { $0.machine.written(id, of: request, .done(), now: now) }
            }
        case .writeApproval(let id, let group, let approval):
            self.approvals.append((self.dueTime(from: now), id, group, approval))
        case .requested(let id): self.think(about: id, now: now)
        case .request(let id, let event):
            if case .complete = event { self.thoughts.removeAll { $0.request == id } }
            self.person.watch?.happened(event, to: id, at: self.person)
        case .refused(let peer, let refusal):
            let count = self.person.fault == .tellsRefusalsAgain ? Self.faultyRefusalCount : 1
            for _ in 0..<count { self.person.watch?.refused(refusal, from: peer, at: self.person) }
        case .blocked(let peer, _), .blockedLastingly(let peer, _): self.person.watch?.blocked(peer, at: self.person)
        case .keep(let peer, let standing): self.person.standings[peer] = standing
        case .deny(let peers): node.swarm.gate.deniedPeers = peers
        case .notStored(let id, _):
            // Whoever sees that a word of theirs was not kept says it again.
            if let stored = self.person.store.stored(id), self.hasToSay(stored.decision) { self.think(about: id, now: now) }
        case .addressesWanted(let peer):
            if self.meeting?.announce(wanting: peer, self.person, machine, &node, now: now) ?? false {
                self.person.watch?.announced(isHeard: false, by: self.person)
            }
        case .connected(_, let method): self.person.watch?.connected(by: method, member: self.person)
        case .approval, .policy, .clocksJumped, .disconnected, .connectivity, .notLeft, .mailbox, .enrolled, .superseded,
            .cleanStore:
            break
        }
        return true
    }

    private func tellWhatLeft(_ machine: ProtocolHandle<WatchedMachine>, _ node: inout Node, now: Duration) {
        guard node.swarm.read(machine, { $0.hasLeft }) else { return }
        for message in node.swarm.update(machine, now: now, { $0.takeLeft() }) { self.person.watch?.sent(message, by: self.person) }
    }

    private mutating func think(about request: Bytes32, now: Duration) {
        guard self.person.rules == nil else { return }
        let thought = self.person.draw(0...max(1, Int64(self.person.thoughtMax / .milliseconds(1))))
        self.thoughts.append((now + .milliseconds(thought), request))
    }

    /// When the disk is done with what is given to it now.
    private func dueTime(from now: Duration) -> Duration {
        let microseconds = Int64(self.person.diskDelayMax / .microseconds(1))
        return now + .microseconds(self.person.draw(1...max(1, microseconds)))
    }

    var deadline: Duration? {
        let due = self.pending.map(\.due) + self.thoughts.map(\.due) + self.approvals.map(\.due)
        return (due + (self.meeting.map { [$0.nextCareAt] } ?? [])).min()
    }

    mutating func tick(_ node: inout Node, now: Duration) {
        guard let machine else { return }
        self.meeting?.tick(&node, now: now)
        while let index = self.pending.firstIndex(where: { $0.due <= now }) {
            let done = self.pending.remove(at: index)
            let result: SigningWriteResult
            switch (done.write, self.person.fault) {
            case (.decision, .losesDecisions?): result = .done()
            case (.burn, .losesAnswers?): continue
            default:
                let getsThere = self.person.store.trouble == .unknown && self.person.draw(0...1) == 0
                result = self.person.store.write(done.write, of: done.request, at: done.time, getsThere: getsThere)
            }
            if self.person.fault == .writesWithoutEnd, case .transcript = done.write {
                for _ in 0..<2_000 { _ = self.person.store.perform(done.write, of: done.request, at: done.time) }
            }
            self.writeMore(after: done.write, of: done.request, at: done.time, now: now)
            node.swarm.update(machine, now: now) { $0.machine.written(done.id, of: done.request, result, now: now) }
            self.tellWhatLeft(machine, &node, now: now)
        }
        while let index = self.approvals.firstIndex(where: { $0.due <= now }) {
            let done = self.approvals.remove(at: index)
            self.person.keep(done.approval, of: done.group)
            node.swarm.update(machine, now: now) { $0.machine.approvalWritten(done.id, of: done.group, failure: nil, now: now) }
            self.tellWhatLeft(machine, &node, now: now)
        }
        while let index = self.thoughts.firstIndex(where: { $0.due <= now }) {
            let (_, request) = self.thoughts.remove(at: index)
            self.say(about: request, machine, &node, now: now)
        }
    }

    private static let (faultyRefusalCount, faultyWriteCount, faultyDecisionCount) = (10_000, 10_000, 100)

    /// On purpose: what is on the disk once is written again and again, or more is decided than anybody began.
    private func writeMore(after write: SigningWrite, of request: Bytes32, at time: UInt64, now: Duration) {
        switch (self.person.fault, write) {
        case (.writesAgain, .decision), (.writesAgain, .state):
            for _ in 0..<Self.faultyWriteCount {
                self.person.watch?.writes(write, of: self.person, from: now, due: now)
                _ = self.person.store.perform(write, of: request, at: time)
            }
        case (.signsWithoutEnd, .burn(let record)):
            for number in 1...UInt32(Self.faultyDecisionCount) {
                let other = BurnRecord(
                    request: request, attempt: record.attempt + number * 1_000, signer: record.signer, transcript: record.transcript,
                    contributions: [])
                _ = self.person.store.perform(.burn(other), of: request, at: time)
            }
        default: break
        }
    }

    /// The person's word. What is over meanwhile needs none.
    private mutating func say(about request: Bytes32, _ machine: ProtocolHandle<WatchedMachine>, _ node: inout Node, now: Duration) {
        let mind = self.person.fault == .signsUnapproved ? .approves : self.person.mind
        let hasApproved = node.swarm.read(machine) { $0.machine.request(request)?.decision == .approved }
        node.swarm.update(machine, now: now) { watched in
            switch mind {
            case .approves: try? watched.machine.approve(request, now: now)
            case .rejects: try? watched.machine.reject(request, now: now)
            case .withdraws:
                if hasApproved { try? watched.machine.withdraw(request, now: now) } else { try? watched.machine.approve(request, now: now) }
            }
        }
        let isOpen = node.swarm.read(machine) { $0.machine.request(request)?.state.isOver == false }
        if mind == .withdraws, !hasApproved, isOpen { self.think(about: request, now: now) }
    }

    /// The proposer takes a request back.
    func cancel(_ request: Bytes32, _ node: inout Node, now: Duration) {
        guard let machine else { return }
        node.swarm.update(machine, now: now) { try? $0.machine.cancel(request, now: now) }
    }
}
