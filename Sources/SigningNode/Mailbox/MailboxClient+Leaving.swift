public import CryptoPrimitives
internal import LibP2P
public import Signing

// What is left for members.

extension MailboxClient {
    /// Leaves a message for a member whom no connection leads to.
    ///
    /// A newer word on a matter takes the place of one that still waits. One that a mailbox has already is not left again for a day, in case the
    /// mailbox lost it, and then later each time; a changed one waits a shorter time, which grows until the member shows that it is there.
    ///
    /// - Parameter expiry: Seconds since 1970; no mailbox keeps it longer than its own bounds say.
    public mutating func leave(
        _ payload: [UInt8], about matter: MailboxMatter, for recipient: Ed25519.PublicKey, expiry: UInt64, now: Moment
    ) throws(MailboxClientError) {
        guard var member = self.members[recipient] else { throw .unknownMember }
        guard !member.mailboxes.isEmpty else { throw .noMailbox }
        guard payload.count <= SealedMessage.messageByteCountMax else {
            throw .tooLarge(byteCount: payload.count, limit: SealedMessage.messageByteCountMax)
        }
        guard expiry > now.time else { throw .expired }
        let digest = SHA256.hash(payload)
        let standing = member.waiting.firstIndex { $0.matter == matter }
        if let standing, matter.isSettled || member.waiting[standing].digest == digest { return }
        let left = member.left[matter].flatMap { $0.expiry > now.time ? $0 : nil }
        let isSame = left.map { matter.isSettled || $0.digest == digest } ?? false
        if standing == nil, isSame, let left, now.uptime < left.at + left.repeatInterval { return }

        if let standing { self.remove(standing, from: &member) }
        while !self.hasRoom(for: payload.count, in: member) {
            // What one mailbox has may be forgotten before what none has.
            guard let place = member.waiting.firstIndex(where: \.isLeft) else {
                self.members[recipient] = member
                throw .full
            }
            self.remove(place, from: &member)
        }
        member.waiting.append(
            Waiting(
                number: self.nextNumber(), matter: matter, payload: payload, digest: digest, expiry: expiry,
                dueAt: isSame ? now.uptime : left.map { max(now.uptime, $0.at + $0.interval) } ?? now.uptime))
        member.waitingByteCount += payload.count
        self.waitingByteCount += payload.count
        self.members[recipient] = member
    }

    private func hasRoom(for byteCount: Int, in member: Member) -> Bool {
        member.waiting.count < self.limits.waitingPerMemberMax
            && member.waitingByteCount + byteCount <= self.limits.waitingByteCountPerMemberMax
            && self.waitingByteCount + byteCount <= self.limits.waitingByteCountMax
    }

    private mutating func remove(_ place: Int, from member: inout Member) {
        let waiting = member.waiting.remove(at: place)
        member.waitingByteCount -= waiting.payload.count
        self.waitingByteCount -= waiting.payload.count
    }

    private mutating func removeWaiting(of recipient: Ed25519.PublicKey, where isOver: (Waiting) -> Bool) {
        guard var member = self.members[recipient] else { return }
        for place in member.waiting.indices.reversed() where isOver(member.waiting[place]) { self.remove(place, from: &member) }
        self.members[recipient] = member
    }

    /// A member is connected: what waits for it is told directly.
    public mutating func reached(_ recipient: Ed25519.PublicKey) {
        self.removeWaiting(of: recipient) { _ in true }
        guard let matters = self.members[recipient]?.left.keys else { return }
        for matter in matters { self.members[recipient]?.left[matter]?.interval = self.limits.changeIntervalMin }
    }

    /// Nothing more is said of a request.
    public mutating func forget(_ request: Bytes32) {
        for recipient in self.memberOrder {
            self.removeWaiting(of: recipient) { $0.matter.request == request }
            guard let left = self.members[recipient]?.left, left.keys.contains(where: { $0.request == request }) else { continue }
            self.members[recipient]?.left = left.filter { $0.key.request != request }
        }
    }

    /// How many messages wait for a member that not all of its mailboxes have.
    public func waitingCount(for recipient: Ed25519.PublicKey) -> Int { self.members[recipient]?.waiting.count ?? 0 }

    mutating func dropExpired(now: Moment) {
        for recipient in self.memberOrder {
            guard let waiting = self.members[recipient]?.waiting, waiting.contains(where: { $0.expiry <= now.time }) else { continue }
            self.counters.expired += waiting.count { $0.expiry <= now.time && !$0.isLeft }
            self.removeWaiting(of: recipient) { $0.expiry <= now.time }
        }
    }

    // MARK: - Asking

    private func candidates(at peer: PeerID, _ box: Box) -> [(recipient: Ed25519.PublicKey, waiting: Waiting, at: Duration)] {
        box.members.compactMap { recipient in
            guard let member = self.members[recipient] else { return nil }
            let open = member.closed[peer]?.until ?? .zero
            // Of those that are due the oldest, else whichever is due first.
            let first = member.waiting.filter { !$0.settled.contains(peer) }.min { ($0.dueAt, $0.number) < ($1.dueAt, $1.number) }
            return first.map { (recipient, $0, max($0.dueAt, open)) }
        }
    }

    /// When the next message may be left at this mailbox.
    func nextDepositAt(at peer: PeerID, _ box: Box) -> Duration? { self.candidates(at: peer, box).map(\.at).min() }

    /// The oldest message that may be left at this mailbox now, sealed.
    mutating func nextDeposit(
        at peer: PeerID, _ box: Box, now: Moment, identity: borrowing Ed25519.SecretKey,
        ephemeral: () throws(SecretMemoryError) -> X25519.SecretKey
    ) -> (Ask.Kind, MailboxRequest)? {
        let due = self.candidates(at: peer, box).filter { $0.at <= now.uptime }.min { $0.waiting.number < $1.waiting.number }
        guard let (recipient, waiting, _) = due, let name = Bytes32(recipient.bytes),
            let place = self.members[recipient]?.waiting.firstIndex(where: { $0.number == waiting.number })
        else { return nil }
        var boxes = waiting.sealed
        if boxes.isEmpty {
            guard let made = try? SealedMessage.sealAll(of: waiting.payload, from: identity, to: recipient, ephemeral: ephemeral) else {
                // No secret memory now.
                self.members[recipient]?.waiting[place].dueAt = now.uptime + self.limits.retryIntervalMin
                return nil
            }
            boxes = made
            self.members[recipient]?.waiting[place].sealed = made
        }
        let taken = waiting.takenCounts[peer] ?? 0
        guard boxes.indices.contains(taken) else { return nil }
        return (.deposit(recipient, entry: waiting.number), .deposit(recipient: name, expiry: waiting.expiry, sealed: boxes[taken]))
    }

    // MARK: - What became of it

    /// A mailbox has it, durably.
    mutating func noteLeft(_ entry: UInt64, for recipient: Ed25519.PublicKey, at peer: PeerID, now: Moment) {
        self.counters.left += 1
        guard var member = self.members[recipient] else { return }
        member.closed[peer] = nil
        defer { self.members[recipient] = member }
        // A newer word may have taken its place meanwhile.
        guard let place = member.waiting.firstIndex(where: { $0.number == entry }) else { return }
        let waiting = member.waiting[place]
        let taken = (waiting.takenCounts[peer] ?? 0) + 1
        member.waiting[place].takenCounts[peer] = taken
        // Its next part is due.
        guard taken >= waiting.sealed.count else { return }
        if !waiting.isLeft {
            member.waiting[place].isLeft = true
            let last = member.left[waiting.matter]
            let isRepeated = last.map { waiting.matter.isSettled || $0.digest == waiting.digest } ?? false
            member.left[waiting.matter] = Left(
                number: entry, digest: waiting.digest, expiry: waiting.expiry, at: now.uptime,
                interval: last.map { min($0.interval * 2, self.limits.changeIntervalMax) } ?? self.limits.changeIntervalMin,
                repeatInterval: (isRepeated ? last?.repeatInterval : nil).map { min($0 * 2, self.limits.changeIntervalMax) }
                    ?? self.limits.repeatIntervalMin)
            if member.left.count > self.limits.leftPerMemberMax, let oldest = member.left.min(by: { $0.value.number < $1.value.number }) {
                member.left[oldest.key] = nil
            }
        }
        self.settle(place, at: peer, in: &member)
    }

    /// Nothing more is to be done about it at this mailbox; and once that holds at all of them, nothing at all.
    private mutating func settle(_ place: Int, at peer: PeerID, in member: inout Member) {
        member.waiting[place].settled.insert(peer)
        guard member.mailboxes.allSatisfy(member.waiting[place].settled.contains) else { return }
        if !member.waiting[place].isLeft { self.counters.rejected += 1 }
        self.remove(place, from: &member)
    }

    mutating func noteRefused(
        _ entry: UInt64, for recipient: Ed25519.PublicKey, at peer: PeerID, _ refusal: MailboxRefusal, in box: inout Box, now: Moment
    ) {
        switch refusal {
        case .full, .tooOften, .blocked, .unavailable: self.backOff(&box, now: now)
        case .fullForSource, .fullForRecipient, .unknownRecipient:
            // Others' messages it may take all the same.
            guard var member = self.members[recipient] else { return }
            let interval = member.closed[peer]?.interval ?? self.limits.retryIntervalMin
            member.closed[peer] = (now.uptime + interval, min(interval * 2, self.limits.retryIntervalMax))
            self.members[recipient] = member
        case .malformed, .tooLarge, .expired:
            guard var member = self.members[recipient], let place = member.waiting.firstIndex(where: { $0.number == entry }) else { return }
            self.settle(place, at: peer, in: &member)
            self.members[recipient] = member
        }
    }
}
