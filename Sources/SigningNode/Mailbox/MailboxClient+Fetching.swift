internal import CryptoPrimitives
internal import LibP2P
internal import Signing

// What mailboxes have for us.

extension MailboxClient {
    /// Takes a page, which is opened with the next step.
    mutating func take(_ messages: [MailboxAnswer.Message], more: Bool, after: UInt64, in box: inout Box, now: Moment) {
        let byteCount = messages.reduce(0) { $0 + $1.sealed.count }
        // The page was asked for behind a cursor, and so long; one message may be longer. That cursors rise within it was seen when it was read.
        let isTooLong = messages.count > 1 && byteCount > MailboxProtocol.pageByteCountMax
        if let first = messages.first, first.cursor <= after { return self.noteLie(&box, now: now) }
        if isTooLong || (more && messages.isEmpty) { return self.noteLie(&box, now: now) }
        box.page = messages
        // Unless it was set back meanwhile.
        if box.cursor >= after { box.cursor = messages.last?.cursor ?? box.cursor }
        box.fetchedCount += messages.count
        box.fetchedByteCount += byteCount
        box.retryInterval = self.limits.retryIntervalMin
        let hasGivenAll =
            box.fetchedCount >= self.limits.fetchedPerLookMax || box.fetchedByteCount >= self.limits.fetchedByteCountPerLookMax
        guard !more || hasGivenAll else { return }
        // The look is over. What was found of use decides when the next one is; that shows when the page is opened.
        (box.fetchedCount, box.fetchedByteCount) = (0, 0)
        // Of what it told of meanwhile it may have given nothing.
        box.lookAt = now.uptime + (box.isNoticed ? self.limits.noticeIntervalMin : box.lookInterval)
        box.lookInterval = min(box.lookInterval * 2, self.limits.pollIntervalMax)
    }

    /// Opens what was fetched.
    mutating func openPage(of peer: PeerID, now: Moment, identity: borrowing Ed25519.SecretKey) -> [Action] {
        guard var box = self.boxes[peer], !box.page.isEmpty, box.notBefore <= now.uptime else { return [] }
        defer { self.boxes[peer] = box }
        var actions: [Action] = []
        var rest = box.page[...]
        while let message = rest.first {
            let digest = SHA256.hash(message.sealed)
            if self.seen.contains(digest) {
                self.counters.repeated += 1
                self.acknowledgeLater(message.cursor, in: &box)
            } else if let receipt = self.receipts[digest] {
                // It lies in more than one mailbox: once it is safe, both are told.
                self.counters.repeated += 1
                self.delivered[receipt]?.places[digest, default: [:]][peer] = message.cursor
            } else if self.parts.note(digest, at: peer, message.cursor) {
                self.counters.repeated += 1
            } else if self.held[digest] != nil {
                self.held[digest]?.places[peer] = message.cursor
            } else {
                do throws(SealedMessageError) {
                    let opened = try SealedMessage(opening: message.sealed, with: identity)
                    if self.noteSender(opened.sender, now: now) {
                        if let action = self.take(opened, digest, at: peer, message.cursor, now: now) { actions.append(action) }
                    } else {
                        self.counters.strangers += 1
                        self.held[digest] = Held(
                            number: self.nextNumber(), sender: opened.sender, byteCount: message.sealed.count,
                            until: now.uptime + self.limits.heldTime, places: [peer: message.cursor])
                    }
                } catch .secretMemory {
                    // Our own trouble: the rest of the page waits.
                    box.page = Array(rest)
                    self.backOff(&box, now: now)
                    return actions
                } catch {
                    self.drop(digest, message.cursor, in: &box)
                    self.counters.unreadable += 1
                }
            }
            rest = rest.dropFirst()
        }
        box.page = []
        return actions
    }

    /// Something came of a member: it is there after all, and changed words go to it soon again.
    ///
    /// - Returns: whether it is a member.
    private mutating func noteSender(_ identity: Ed25519.PublicKey, now: Moment) -> Bool {
        guard var sender = self.members[identity] else { return false }
        for matter in sender.left.keys { sender.left[matter]?.interval = self.limits.changeIntervalMin }
        for place in sender.waiting.indices {
            sender.waiting[place].dueAt = min(sender.waiting[place].dueAt, now.uptime + self.limits.changeIntervalMin)
        }
        self.members[identity] = sender
        return true
    }

    /// Delivers a member's message, if it is whole.
    private mutating func take(_ message: SealedMessage, _ digest: Bytes32, at peer: PeerID, _ cursor: UInt64, now: Moment) -> Action? {
        guard let part = message.part else {
            return self.deliver(message.payload, from: message.sender, lyingAt: [digest: [peer: cursor]])
        }
        let outcome = self.parts.take(
            part, message.payload, from: message.sender, number: self.nextNumber(), digest: digest, at: peer, cursor,
            until: now.uptime + self.limits.heldTime)
        switch outcome {
        case .incomplete: return nil
        case .whole(let bytes, let places): return self.deliver(bytes, from: message.sender, lyingAt: places)
        case .broken:
            self.counters.unreadable += 1
            return nil
        }
    }

    private mutating func deliver(_ bytes: [UInt8], from sender: Ed25519.PublicKey, lyingAt places: MailboxPlaces) -> Action {
        let receipt = self.nextNumber()
        for digest in places.keys { self.receipts[digest] = receipt }
        self.delivered[receipt] = Delivered(places: places)
        self.counters.delivered += 1
        return .deliver(MailboxReceipt(rawValue: receipt), from: sender, bytes)
    }

    /// Parts that make up nothing, or whose rest does not come, need not be kept any longer.
    mutating func dropParts(now: Moment) {
        let (countMax, byteCountMax) = (self.limits.partCountMax, self.limits.partByteCountMax)
        for (digest, places) in self.parts.takeDropped(now: now.uptime, countMax: countMax, byteCountMax: byteCountMax) {
            self.acknowledge(digest, at: places)
        }
    }

    // MARK: Senders who are no members yet

    /// Drops what is held for too long, and where too much is, the oldest of the sender that has most.
    mutating func dropHeld(now: Moment) {
        for (digest, message) in self.held.sorted(by: { $0.value.number < $1.value.number }) where message.until <= now.uptime {
            self.dropHeld(digest)
        }
        while true {
            let isCountAbove = self.held.count > self.limits.heldCountMax
            guard isCountAbove || self.held.values.reduce(0, { $0 + $1.byteCount }) > self.limits.heldByteCountMax else { return }
            let shares: [Ed25519.PublicKey: Int] = self.held.values.reduce(into: [:]) {
                $0[$1.sender, default: 0] += isCountAbove ? 1 : $1.byteCount
            }
            let most = shares.values.max()
            guard let oldest = self.held.filter({ shares[$0.value.sender] == most }).min(by: { $0.value.number < $1.value.number }) else {
                return
            }
            self.dropHeld(oldest.key)
        }
    }

    private mutating func dropHeld(_ digest: Bytes32) {
        guard let message = self.held.removeValue(forKey: digest) else { return }
        self.acknowledge(digest, at: message.places)
    }

    /// Members have changed: what is held of those who are new is fetched again, at once.
    mutating func fetchHeld(now: Moment) {
        for (digest, message) in self.held where self.members[message.sender] != nil {
            self.held[digest] = nil
            for (peer, cursor) in message.places {
                guard var box = self.boxes[peer] else { continue }
                box.cursor = min(box.cursor, cursor == 0 ? 0 : cursor - 1)
                // Once more after a look that is under way.
                (box.lookAt, box.isNoticed) = (now.uptime, true)
                self.boxes[peer] = box
            }
        }
    }

    /// Of no use to us: it need not be kept any longer.
    private mutating func drop(_ digest: Bytes32, _ cursor: UInt64, in box: inout Box) {
        self.seen.insert(digest, countMax: self.limits.seenCountMax)
        self.acknowledgeLater(cursor, in: &box)
    }

    private func acknowledgeLater(_ cursor: UInt64, in box: inout Box) {
        guard !box.toAcknowledge.contains(cursor) else { return }
        // An honest mailbox has no more than this for us. What is passed over is seen, and acknowledged, when it comes again.
        guard box.toAcknowledge.count < self.limits.fetchedPerLookMax else { return }
        let place = box.toAcknowledge.firstIndex { $0 > cursor } ?? box.toAcknowledge.endIndex
        box.toAcknowledge.insert(cursor, at: place)
    }

    /// What was delivered may be forgotten: what follows from it is durable, or it is of no use.
    public mutating func safe(_ receipt: MailboxReceipt) {
        guard let done = self.delivered.removeValue(forKey: receipt.rawValue) else { return }
        for (digest, places) in done.places.sorted(by: { $0.key < $1.key }) {
            self.receipts[digest] = nil
            self.acknowledge(digest, at: places)
            for peer in places.keys { self.boxes[peer]?.wasOfUse = true }
        }
    }

    private mutating func acknowledge(_ digest: Bytes32, at places: [PeerID: UInt64]) {
        self.seen.insert(digest, countMax: self.limits.seenCountMax)
        for (peer, cursor) in places {
            guard var box = self.boxes[peer] else { continue }
            self.acknowledgeLater(cursor, in: &box)
            self.boxes[peer] = box
        }
    }

    /// Where something of use lay there may be more soon. What is given back is none: it would be fetched, and given back, without end.
    mutating func lookSooner(at peer: PeerID, now: Moment) {
        guard var box = self.boxes[peer], box.wasOfUse else { return }
        box.wasOfUse = false
        box.lookInterval = self.limits.pollIntervalMin
        box.lookAt = min(box.lookAt, now.uptime + box.lookInterval)
        self.boxes[peer] = box
    }

    /// What was delivered cannot be taken now: it is fetched again with a later look, with the one after the next connection at the latest.
    public mutating func giveBack(_ receipt: MailboxReceipt) {
        guard let refused = self.delivered.removeValue(forKey: receipt.rawValue) else { return }
        for (digest, places) in refused.places {
            self.receipts[digest] = nil
            for (peer, cursor) in places {
                guard let box = self.boxes[peer] else { continue }
                self.boxes[peer]?.cursor = min(box.cursor, cursor == 0 ? 0 : cursor - 1)
            }
        }
    }
}
