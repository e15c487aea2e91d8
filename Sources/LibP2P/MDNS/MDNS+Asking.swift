// Who is there? Asked often at first and then seldom, and before what is known expires (RFC 6762, sections 5.2 and 7).

extension MDNS {
    /// How long the first question waits, so that machines that start together do not all ask at once.
    static let firstDelay = 20...120
    /// Questions closer together than this are one: what was just asked is still being answered. Our own ones come back, too.
    private static let queryGapMin = Duration.milliseconds(500)
    /// What is about to expire makes us ask, but not more often than so.
    private static let refreshGapMin = Duration.seconds(10)
    /// For how many seconds we leave the questions to others. Then we ask: who asks instead of us must not be able to silence us.
    /// Everybody chooses another time, so that not all ask then.
    private static let sparedTime = 240...600

    mutating func beginAsking(_ index: Int, now: Duration) { self.scheduleQuery(index, at: now + self.delay(Self.firstDelay)) }

    private mutating func scheduleQuery(_ index: Int, at time: Duration) {
        self.links[index].queryAt = time
        self.deadlines.set(.query(self.links[index].link.id), at: time)
    }

    /// The next question comes after twice the time, and a little.
    private mutating func scheduleNextQuery(_ index: Int, now: Duration) {
        let interval = self.links[index].queryInterval
        self.links[index].queryInterval = min(interval * 2, self.configuration.queryIntervalMax)
        self.scheduleQuery(index, at: now + interval + interval * Int.random(in: 0...100, using: &self.random) / 800)
    }

    mutating func ask(_ index: Int, now: Duration) {
        let messages = Self.queries(knowing: self.knownAnswers(on: self.links[index].link.id.interface, now: now))
        for message in messages { self.send(message, on: index) }
        self.counters.queriesSent += 1
        self.links[index].lastQueryAt = now
        self.links[index].spareableUntil = now + .seconds(Int.random(in: Self.sparedTime, using: &self.random))
        self.links[index].sparedBy = nil
        self.scheduleNextQuery(index, now: now)
        // "Note that a peer must respond to its own query" (libp2p mDNS): who listens only hears of us.
        self.scheduleAnswer(.service, index, after: self.delay(Self.answerDelay), now: now)
    }

    /// What we know, so that it is not told again: as long as half of its time is left (section 7.1).
    private func knownAnswers(on interface: UInt32, now: Duration) -> [DNSRecord] {
        let known = self.instances.filter { _, instance in
            instance.addresses.contains { $0.interface == interface } && now - instance.heardAt < instance.lifetime / 2
        }
        let sorted = known.sorted { $0.key.bytes.lexicographicallyPrecedes($1.key.bytes) }
        return sorted.compactMap { name, instance in
            // Less than half of what its owner says, and it would answer all the same.
            let age = (now - instance.heardAt).components.seconds
            guard age * 2 < Int64(instance.timeToLive) else { return nil }
            return DNSRecord(name: MDNSNames.service, ttl: instance.timeToLive - UInt32(clamping: age), data: .ptr(name))
        }
    }

    /// One question, and what is known in as many messages as it takes: each but the last says that more follows (section 7.2).
    private static func queries(knowing known: [DNSRecord]) -> [DNSMessage] {
        var messages = [DNSMessage(questions: [DNSQuestion(name: MDNSNames.service, type: .ptr)])]
        let emptyByteCount = DNSMessage.headerByteCount + MDNSNames.service.bytes.count + 4
        var byteCount = emptyByteCount
        for record in known {
            // Pointer, type, class, time and length; the name's own part; a pointer to the rest.
            let recordByteCount = 12 + (record.data.labelByteCount + 1) + 2
            if byteCount + recordByteCount > Self.datagramByteCountMax {
                messages[messages.count - 1].flags |= DNSMessage.truncatedFlag
                messages.append(DNSMessage())
                byteCount = emptyByteCount
            }
            messages[messages.count - 1].answers.append(record)
            byteCount += recordByteCount
        }
        return messages
    }

    /// Something is about to expire.
    mutating func hastenQuery(on link: MDNSLink.ID, now: Duration) {
        guard let index = self.index(of: link) else { return }
        var time = now + self.delay(Self.answerDelay)
        if let last = self.links[index].lastQueryAt { time = max(time, last + Self.refreshGapMin) }
        if let planned = self.links[index].queryAt, planned <= time { return }
        self.scheduleQuery(index, at: time)
    }

    /// Another's question stands for ours, if its asker knows nothing that we do not (section 7.3).
    mutating func spareQuery(_ message: DNSMessage, from source: MDNSEndpoint, on index: Int, now: Duration) {
        let state = self.links[index]
        let isKnown = message.answers.allSatisfy { self.isKnown($0) }
        // The rest of what the other knows: if something is new, its owner was silent and is to be asked after all.
        if message.questions.isEmpty, source == state.sparedBy, !isKnown {
            self.links[index].sparedBy = nil
            return self.scheduleQuery(index, at: now + self.delay(Self.firstDelay))
        }
        guard message.questions.contains(where: { $0.name == MDNSNames.service && $0.asks(for: .ptr) }), isKnown,
            now < state.spareableUntil, state.lastQueryAt.map({ now - $0 >= Self.queryGapMin }) ?? false
        else { return }
        self.links[index].lastQueryAt = now
        self.links[index].sparedBy = message.isTruncated ? source : nil
        self.counters.queriesSpared += 1
        self.scheduleNextQuery(index, now: now)
    }

    private func isKnown(_ record: DNSRecord) -> Bool {
        guard record.name == MDNSNames.service, case .ptr(let name) = record.data else { return true }
        return name == self.names.instance || self.instances[name] != nil
    }
}

extension DNSRecord.Data {
    /// The bytes of the first part of the name that it points to.
    fileprivate var labelByteCount: Int {
        guard case .ptr(let name) = self else { return 0 }
        return Int(name.bytes.first ?? 0)
    }
}
