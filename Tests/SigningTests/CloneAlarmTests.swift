import Bitcoin
import CryptoPrimitives
import MuSig2
import Secp256k1
import Testing

@testable import Signing

/// One nonce under two transcripts: who finds it, who hears of it, and what is no such thing.
@Suite struct CloneAlarmTests {
    /// Three members of which the last one runs twice.
    private struct Scene {
        let group: CoordinationGroup
        let clone: ClonedSigner
        var first: CoordinationGroup.Member { self.group.members[0] }
        var second: CoordinationGroup.Member { self.group.members[1] }
        var cloned: CoordinationGroup.Member { self.group.members[2] }

        init(inputs: Int = 1) throws {
            self.group = try CoordinationGroup(3, inputs: inputs)
            self.clone = try ClonedSigner(self.group.members[2].signer, inputs: inputs)
        }

        func alarm() throws -> CloneAlarm {
            let uses = try [(1, 1), (2, 2)].map { attempt, salt in
                try self.group.use(of: self.clone, self.cloned, attempt: attempt, salt: salt)
            }
            return try #require(CloneAlarm(uses[0], uses[1]))
        }

        var approval: Statement {
            self.group.say(.approval(serial: 1, NonceName(known: self.cloned.incarnation, counter: 1), self.clone.nonces), of: self.cloned)
        }

        /// One of its two copies offers its nonces to who coordinates the turn.
        func offer(to coordinator: CoordinationGroup.Member, turn: UInt32) {
            self.group.deliver(
                self.group.message(.approval(turn: turn, highest: 0, self.approval), of: self.cloned), from: self.cloned, to: coordinator)
            self.group.step(coordinator)
        }

        /// And signs what that one begins.
        func sign(_ begin: CoordinationMessage.Content?, for coordinator: CoordinationGroup.Member) throws {
            guard case .begin(let statement, let approvals)? = begin else { throw CoordinationGroup.Missing() }
            let answer = try self.clone.answer(approvals, attempt: statement.attempt, self.group, as: self.cloned)
            self.group.deliver(
                self.group.message(.partialSignatures(answer), of: self.cloned), from: self.cloned, to: coordinator)
            self.group.step(coordinator)
        }
    }

    /// The alarms that a member told of, and whether it found them.
    private func alarms(_ member: CoordinationGroup.Member) -> [(signer: PublicKey, isFoundHere: Bool)] {
        member.events.compactMap { if case .cloneAlarm(let alarm, let isFoundHere) = $0 { (alarm.signer, isFoundHere) } else { nil } }
    }

    private func hasFault(_ member: CoordinationGroup.Member) -> Bool {
        member.events.contains { if case .fault = $0 { true } else { false } }
    }

    // MARK: Two coordinators, each with one signature

    @Test func `two coordinators that have one signature each find it together, and everybody hears of it`() throws {
        let scene = try Scene()
        let group = scene.group
        scene.cloned.machine = nil
        var begins: [UInt32: CoordinationMessage.Content] = [:]
        var counts: [String: Int] = [:]
        func watch(_ from: CoordinationGroup.Member, _ to: CoordinationGroup.Member, _ bytes: [UInt8]) -> [UInt8]? {
            guard let content = group.content(bytes) else { return bytes }
            switch content {
            case .begin(let statement, _): begins[statement.attempt] = content
            // Of the others nobody completes anything.
            case .partialSignatures where from === scene.second: return nil
            case .nonceUse: counts["use of \(from === scene.first ? 1 : 2)", default: 0] += 1
            case .cloneAlarm: counts["alarm of \(from === scene.first ? 1 : 2)", default: 0] += 1
            default: break
            }
            return bytes
        }
        for member in [scene.first, scene.second] { member.machine?.approve(serial: 1) }
        scene.offer(to: scene.first, turn: 1)
        group.exchange(watch)
        try scene.sign(begins[1], for: scene.first)
        group.exchange(watch)
        #expect(self.alarms(scene.first).isEmpty && counts.isEmpty, "one signature is nothing")

        // The other copy goes to whoever comes next.
        for _ in 0..<400 where [scene.first, scene.second].contains(where: { $0.machine?.turn == 1 }) {
            group.pass(.milliseconds(250), watch)
        }
        #expect(scene.second.machine?.turn == 2)
        scene.offer(to: scene.second, turn: 2)
        group.exchange(watch)
        #expect(counts["use of 1"] == 1, "who holds one signature tells the one that may hold the other")
        #expect(self.alarms(scene.second).isEmpty, "a begin proves nothing")
        try scene.sign(begins[2], for: scene.second)
        group.exchange(watch)
        #expect(self.alarms(scene.second).map(\.signer) == [scene.cloned.key])
        #expect(self.alarms(scene.second).map(\.isFoundHere) == [true])
        #expect(self.alarms(scene.first).map(\.signer) == [scene.cloned.key])
        #expect(self.alarms(scene.first).map(\.isFoundHere) == [false])
        #expect(counts["alarm of 2"] ?? 0 >= 2, "the owner is told, too")
        #expect(counts["alarm of 1"] == nil, "what was told is not told on")
        #expect(scene.first.machine?.cloneAlarms.first == scene.second.machine?.cloneAlarms.first)
        // It is nobody's fault, as far as anybody can prove.
        #expect(!self.hasFault(scene.first) && !self.hasFault(scene.second))

        // Its own node hears of it, and believes it.
        try group.open(scene.cloned, resumes: true)
        guard let alarm = scene.second.machine?.cloneAlarms.first else { throw CoordinationGroup.Missing() }
        let message = group.message(.cloneAlarm(alarm.serialized()), of: scene.second)
        #expect(group.deliver(message, from: scene.second, to: scene.cloned) == .accepted)
        group.step(scene.cloned)
        #expect(self.alarms(scene.cloned).map(\.signer) == [scene.cloned.key])
    }

    // MARK: After a restart

    @Test(arguments: [true, false]) func `a coordinator knows from its transcript what a former life saw`(recalls: Bool) throws {
        let scene = try Scene()
        let group = scene.group
        scene.cloned.machine = nil
        var begin: CoordinationMessage.Content?
        var said: [[UInt8]] = []
        func watch(_ from: CoordinationGroup.Member, _ to: CoordinationGroup.Member, _ bytes: [UInt8]) -> [UInt8]? {
            if let content = group.content(bytes), case .begin = content {
                begin = content
                said.append(bytes)
            }
            if case .partialSignatures? = group.content(bytes) { return nil }
            return bytes
        }
        for member in [scene.first, scene.second] { member.machine?.approve(serial: 1) }
        scene.offer(to: scene.first, turn: 1)
        group.exchange(watch)
        guard case .begin(let statement, let approvals)? = begin else { throw CoordinationGroup.Missing() }
        let answer = try scene.clone.answer(approvals, attempt: statement.attempt, group, as: scene.cloned)
        let message = group.message(.partialSignatures(answer), of: scene.cloned)
        group.deliver(message, from: scene.cloned, to: scene.first)
        said.append(message)

        // It forgets all, and the copy offers the same nonces once more.
        try group.restart(scene.first)
        #expect(said.allSatisfy(Coordination.isWorthRecalling))
        if recalls { for message in said { scene.first.machine?.recall(message, now: group.moment) } }
        group.step(scene.first)
        #expect(self.alarms(scene.first).isEmpty)
        group.exchange(watch)
        scene.offer(to: scene.first, turn: 1)
        group.exchange(watch)
        guard case .begin(let again, _)? = begin, again != statement else { throw CoordinationGroup.Missing() }
        try scene.sign(begin, for: scene.first)
        group.exchange(watch)
        #expect(self.alarms(scene.first).count == (recalls ? 1 : 0))
        #expect(self.alarms(scene.second).count == (recalls ? 1 : 0))
    }

    @Test func `an alarm that was written down is told again to who has not heard of it, and its owner is not told twice`() throws {
        let scene = try Scene()
        let alarm = try scene.alarm()
        scene.first.machine?.restore(alarm, isFoundHere: true, now: scene.group.moment)
        scene.second.machine?.restore(alarm, isFoundHere: false, now: scene.group.moment)
        var tellers: Set<PublicKey> = []
        scene.group.exchange { from, _, bytes in
            if case .cloneAlarm? = scene.group.content(bytes) { tellers.insert(from.key) }
            return bytes
        }
        #expect(tellers == [scene.first.key])
        #expect(self.alarms(scene.first).isEmpty && self.alarms(scene.second).isEmpty)
        #expect(self.alarms(scene.cloned).count == 1)
    }

    // MARK: What is proof

    @Test(arguments: [1, 3]) func `an alarm reads as it was written, and names who it is about`(inputs: Int) throws {
        let scene = try Scene(inputs: inputs)
        let alarm = try scene.alarm()
        let read = try CloneAlarm(parsing: alarm.serialized())
        #expect(read == alarm && read.signer == scene.cloned.key && read.nonce == scene.clone.nonces[0])
        #expect(read.isAbout(scene.group.request.digest) && !read.isAbout(Bytes32()))
        #expect(read.transcripts[0] < read.transcripts[1])
    }

    @Test func `an alarm is the same, whichever signature was seen first`() throws {
        let scene = try Scene()
        let uses = try [(1, 1), (2, 2)].map { try scene.group.use(of: scene.clone, scene.cloned, attempt: $0, salt: $1) }
        #expect(CloneAlarm(uses[0], uses[1]) == CloneAlarm(uses[1], uses[0]))
    }

    @Test func `no changed byte leaves an alarm standing`() throws {
        let bytes = try Scene().alarm().serialized()
        for place in stride(from: 0, to: bytes.count, by: 37) {
            var changed = bytes
            changed[place] ^= 1
            #expect(throws: StatementError.self, "byte \(place)") { try CloneAlarm(parsing: changed) }
        }
        for count in stride(from: 0, to: bytes.count, by: 61) {
            #expect(throws: StatementError.self) { try CloneAlarm(parsing: Array(bytes.prefix(count))) }
        }
    }

    @Test func `nothing less than one nonce under two transcripts is an alarm`() throws {
        let scene = try Scene()
        let (group, cloned) = (scene.group, scene.cloned)
        let use = try group.use(of: scene.clone, cloned, attempt: 1, salt: 1)
        // The same once more.
        #expect(CloneAlarm(use, use) == nil)
        // Other nonces, as an honest signer takes them.
        let fresh = try ClonedSigner(cloned.signer, salt: 9)
        #expect(CloneAlarm(use, try group.use(of: fresh, cloned, attempt: 2, salt: 2)) == nil)
        // Another signer.
        let other = try ClonedSigner(scene.first.signer)
        #expect(CloneAlarm(use, try group.use(of: other, scene.first, attempt: 2, salt: 2)) == nil)
        // A partial signature that its identity signed, and that does not verify: who speaks for a key need not have it.
        let second = try group.use(of: scene.clone, cloned, attempt: 2, salt: 2)
        let wrong = group.say(
            .partialSignatures(transcript: second.transcript, [[UInt8](repeating: 0, count: 31) + [1]]), attempt: 2, of: cloned)
        let unproved = try #require(NonceUse(plan: second.plan, attempt: 2, nonces: second.nonces, statement: wrong))
        #expect(CloneAlarm(use, unproved) == nil && CloneAlarm(use, second) != nil)
        // A transcript that does not come out of the nonces beside it.
        let lie = group.say(
            .partialSignatures(transcript: Bytes32(), try #require(second.statement.partialItems)), attempt: 2, of: cloned)
        #expect(NonceUse(Evidence(plan: second.plan, attempt: 2, statements: second.nonces + [lie])) == nil)
        #expect(NonceUse(second.evidence)?.transcript == second.transcript)
        #expect(NonceUse(Evidence(plan: second.plan, attempt: 2, statements: [second.statement])) == nil)
    }

    // MARK: Hostility

    @Test func `strangers, forgers and those who repeat themselves raise nothing`() throws {
        let scene = try Scene()
        let (group, member) = (scene.group, scene.first)
        let alarm = try scene.alarm().serialized()
        let stranger = try CoordinationGroup.Member(try Signer(77))
        let message = group.message(.cloneAlarm(alarm), of: scene.second)
        #expect(group.deliver(message, from: stranger, to: member) == .refused(.stranger))
        // Of the cheat's own making: its identity signs, and the key is not its.
        let forged = try CloneAlarmTests.forgery(group, by: scene.second, against: scene.cloned)
        let slander = group.message(.cloneAlarm(forged), of: scene.second)
        for _ in 0..<CloneWatch.alarmCountPerMemberMax {
            guard case .refused(.malformed)? = group.deliver(slander, from: scene.second, to: member) else {
                Issue.record("it is believed, or not looked at")
                return
            }
        }
        // Each look costs verifications, so there are few.
        #expect(group.deliver(slander, from: scene.second, to: member) == .ignored)
        group.step(member)
        #expect(self.alarms(member).isEmpty && member.machine?.cloneAlarms.isEmpty == true)
        // Others are heard, and once.
        let cloned = scene.cloned
        for _ in 0..<3 { group.deliver(group.message(.cloneAlarm(alarm), of: cloned), from: cloned, to: member) }
        group.step(member)
        #expect(self.alarms(member).count == 1)
    }

    /// Two uses of a nonce of somebody else, signed by the forger's own identity in the other's place.
    private static func forgery(
        _ group: CoordinationGroup, by forger: CoordinationGroup.Member, against victim: CoordinationGroup.Member
    ) throws -> [UInt8] {
        let own = try ClonedSigner(forger.signer)
        let uses = try [(1, 1), (2, 2)].map { try group.use(of: own, forger, attempt: $0, salt: $1) }
        var bytes = try #require(CloneAlarm(uses[0], uses[1])).serialized()
        // The victim's enrolment in place of the forger's, everywhere.
        let (from, to) = (forger.enrolment.serialized(), victim.enrolment.serialized())
        var place = 0
        while place + from.count <= bytes.count {
            if Array(bytes[place..<(place + from.count)]) == from { bytes.replaceSubrange(place..<(place + from.count), with: to) }
            place += 1
        }
        return bytes
    }

    @Test func `an alarm about another request, or of no member, is refused`() throws {
        let scene = try Scene()
        let foreign = try CoordinationGroup(2, inputs: 2)
        let clone = try ClonedSigner(foreign.members[0].signer, inputs: 2)
        let uses = try [(1, 1), (2, 2)].map { try foreign.use(of: clone, foreign.members[0], attempt: $0, salt: $1) }
        let alarm = try #require(CloneAlarm(uses[0], uses[1]))
        let message = scene.group.message(.cloneAlarm(alarm.serialized()), of: scene.second)
        guard case .refused(.inconsistent)? = scene.group.deliver(message, from: scene.second, to: scene.first) else {
            Issue.record("it is taken")
            return
        }
        let use = scene.group.message(.nonceUse(uses[0].evidence.serialized()), of: scene.second)
        guard case .refused(.inconsistent)? = scene.group.deliver(use, from: scene.second, to: scene.first) else {
            Issue.record("it is taken")
            return
        }
    }

    @Test func `uses that are told are compared, a few of each member`() throws {
        let scene = try Scene()
        let (group, member) = (scene.group, scene.first)
        let uses = try (1...2).map { try group.use(of: scene.clone, scene.cloned, attempt: UInt32($0), salt: UInt8($0)) }
        let messages = uses.map { group.message(.nonceUse($0.evidence.serialized()), of: scene.second) }
        for _ in 1..<CloneWatch.useCountPerMemberMax {
            #expect(group.deliver(messages[0], from: scene.second, to: member) == .accepted)
        }
        group.step(member)
        #expect(self.alarms(member).isEmpty, "the same one again is nothing")
        #expect(group.deliver(messages[1], from: scene.second, to: member) == .accepted)
        #expect(group.deliver(messages[1], from: scene.second, to: member) == .ignored)
        group.step(member)
        #expect(self.alarms(member).map(\.isFoundHere) == [true])
    }

    // MARK: Memory

    @Test func `the newest attempts are remembered, and one transcript twice is one`() throws {
        let scene = try Scene()
        var sightings = NonceSightings(countMax: 4)
        let uses = try (1...6).map { number in
            try scene.group.use(
                of: ClonedSigner(scene.cloned.signer, salt: UInt8(number + 50)), scene.cloned, attempt: UInt32(number), salt: 1)
        }
        for use in uses + uses.suffix(4) {
            let other = sightings.note(use)
            #expect(other == nil && sightings.count <= 4)
        }
        #expect(sightings.use(of: scene.cloned.key, nonce: uses[1].items[0]) == nil)
        #expect(sightings.use(of: scene.cloned.key, nonce: uses[2].items[0])?.transcript == uses[2].transcript)
        let held = sightings.heldByteCount
        for use in uses { _ = sightings.note(use) }
        #expect(sightings.count == 4 && sightings.heldByteCount == held)
    }

    @Test func `who makes up any number of signatures pushes out its own and nobody else's`() throws {
        let scene = try Scene()
        var sightings = NonceSightings(countMax: 4)
        let use = try scene.group.use(of: ClonedSigner(scene.first.signer, salt: 9), scene.first, attempt: 1, salt: 1)
        let flood = try (2...9).map { number in
            try scene.group.use(
                of: ClonedSigner(scene.cloned.signer, salt: UInt8(number + 50)), scene.cloned, attempt: UInt32(number), salt: 1)
        }
        for use in [use] + flood { _ = sightings.note(use) }
        #expect(sightings.count == 4)
        #expect(sightings.use(of: scene.first.key, nonce: use.items[0])?.transcript == use.transcript)
        #expect(sightings.use(of: scene.cloned.key, nonce: flood[4].items[0]) == nil)
        #expect(sightings.use(of: scene.cloned.key, nonce: flood[5].items[0]) != nil)
    }

    @Test func `a nonce that serves two requests is found where both are seen`() throws {
        let (one, other) = (try CoordinationGroup(3), try CoordinationGroup(3, inputs: 2))
        let nonces = try ClonedSigner(one.members[2].signer, inputs: 2)
        let single = try ClonedSigner(one.members[2].signer, inputs: 1)
        #expect(single.nonces[0] == nonces.nonces[0])
        var sightings = NonceSightings()
        let first = try one.use(of: single, one.members[2], attempt: 1, salt: 1)
        #expect(sightings.count == 0)
        _ = sightings.note(first)
        let second = try other.use(of: nonces, other.members[2], attempt: 1, salt: 2)
        guard let found = sightings.note(second) else { throw CoordinationGroup.Missing() }
        let alarm = try #require(CloneAlarm(found, second))
        #expect(alarm.isAbout(one.request.digest) && alarm.isAbout(other.request.digest))
        // Whoever finds it tells the members of the request in which it was found.
        other.members[0].machine?.raise(alarm, now: other.moment)
        other.exchange()
        for member in other.members { #expect(self.alarms(member).count == 1) }
    }

    @Test func `what honest members sign is seen to be used once`() throws {
        let group = try CoordinationGroup(4, threshold: 3)
        var sightings = NonceSightings()
        group.approveAll()
        group.exchange()
        let uses = group.members.flatMap(\.uses)
        #expect(uses.count >= 3)
        for use in uses {
            let other = sightings.note(use)
            #expect(other == nil)
        }
        #expect(group.members.allSatisfy { $0.state == .complete && self.alarms($0).isEmpty })
    }
}

extension Statement {
    fileprivate var partialItems: [[UInt8]]? { if case .partialSignatures(_, let items) = self.body { items } else { nil } }
}
