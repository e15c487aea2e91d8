// What we tell of ourselves (libp2p mDNS, "Response"; RFC 6762, sections 6 and 8).

/// What is to be answered.
struct MDNSAnswers: OptionSet, Sendable {
    let rawValue: UInt8

    /// Which peers are here.
    static let service = MDNSAnswers(rawValue: 1)
    /// Which services are here.
    static let meta = MDNSAnswers(rawValue: 2)
    /// What stands under our name.
    static let details = MDNSAnswers(rawValue: 4)
    /// The addresses of our host's name.
    static let host = MDNSAnswers(rawValue: 8)
}

extension MDNS {
    /// How long an answer waits, in milliseconds, so that not all come at once; and when the asker has more to say (sections 6 and 7.2).
    static let answerDelay = 20...120
    private static let undecidedDelay = 400...500
    /// Nothing is told to all more often than so (section 6).
    private static let answerGapMin = Duration.seconds(1)
    /// How often what is new is told unasked, a second apart (section 8.3).
    private static let announcementCount = 2
    /// Askers whose further words are waited for. Beyond it all are answered.
    private static let undecidedCountMax = 8
    /// Answers to one asker alone: they go beside those to all, so a forged sender must not get many.
    private static let directAnswerRate = ServiceBudget.Rate(burst: 8, interval: .milliseconds(250))
    /// How long such an answer holds at the most, in seconds (section 6.7).
    private static let directTimeToLiveMax: UInt32 = 10
    /// Most bytes of addresses in one message, which leaves room for the other records.
    private static let textByteCountMax = 700
    /// Addresses of our host's name that are told: the same room.
    private static let hostAddressCountMax = 8
    private static let addressKey = Array("dnsaddr=".utf8)

    private var timeToLive: UInt32 { UInt32(clamping: self.configuration.timeToLive.components.seconds) }

    // MARK: Telling unasked

    /// Finds out what is told on a link. If that is new, it is told; what is no longer is taken back.
    mutating func beginTelling(_ index: Int, now: Duration) {
        let told = self.links[index].link.told(of: self.addresses).filter { self.text(of: $0) != nil }.prefix(Self.addressCountMax)
        let wasTold = !self.links[index].told.isEmpty
        guard Array(told) != self.links[index].told else { return }
        self.links[index].told = Array(told)
        if told.isEmpty {
            if wasTold { self.sendGoodbye(index) }
            self.cancelAnswer(index)
        } else {
            self.links[index].announcementsLeft = Self.announcementCount
            self.scheduleAnswer(.service, index, after: self.delay(Self.answerDelay), now: now)
        }
    }

    mutating func sendGoodbye(_ index: Int) {
        let record = DNSRecord(name: MDNSNames.service, ttl: 0, data: .ptr(self.names.instance))
        self.send(DNSMessage(flags: Self.responseFlags, answers: [record]), on: index)
    }

    /// Another says that we are gone, or soon will be (section 6.6). Also what comes of our own words when the interface has changed.
    mutating func contradict(_ index: Int, timeToLive: UInt32, now: Duration) {
        guard timeToLive < self.timeToLive / 2 else { return }
        self.scheduleAnswer(.service, index, after: self.delay(Self.answerDelay), now: now)
    }

    // MARK: Being asked

    mutating func answer(_ message: DNSMessage, from source: MDNSEndpoint, on index: Int, now: Duration) {
        guard !self.links[index].told.isEmpty else { return }
        let knowsUs = message.answers.contains { self.isOurs($0, MDNSNames.service, self.names.instance) }
        if knowsUs, let position = self.links[index].undecided.firstIndex(of: source) {
            self.links[index].undecided.remove(at: position)
            self.rescheduleAnswer(index)
        }
        var wanted = message.questions.reduce(into: MDNSAnswers()) { $0.formUnion(self.answers(to: $1)) }
        if knowsUs { wanted.remove(.service) }
        if message.answers.contains(where: { self.isOurs($0, MDNSNames.meta, MDNSNames.service) }) { wanted.remove(.meta) }
        guard !wanted.isEmpty else { return }
        if source.port != Self.port { self.answerDirectly(message, wanted, source, index, now: now) }
        // Those who want the answer for themselves get it with all others (section 5.4 leaves it to us): a machine's programs share the
        // port, and what is sent to one address comes to only one of them. The same holds for those who ask from another port: that is
        // what rust-libp2p does, and it listens to the group alone.
        if message.isTruncated, wanted == .service, self.links[index].undecided.count < Self.undecidedCountMax {
            self.links[index].undecided.append(source)
            if self.links[index].undecidedAt == nil { self.links[index].undecidedAt = now + self.delay(Self.undecidedDelay) }
            self.rescheduleAnswer(index)
        } else {
            self.scheduleAnswer(wanted, index, after: self.delay(Self.answerDelay), now: now)
        }
    }

    private func answers(to question: DNSQuestion) -> MDNSAnswers {
        switch question.name {
        case MDNSNames.service: question.asks(for: .ptr) ? .service : []
        case MDNSNames.meta: question.asks(for: .ptr) ? .meta : []
        case self.names.instance: question.asks(for: .txt) || question.asks(for: .srv) ? .details : []
        case self.names.host: question.asks(for: .a) || question.asks(for: .aaaa) ? .host : []
        default: []
        }
    }

    /// Whether a record says what we would say, and at least half as long (section 7.1).
    private func isOurs(_ record: DNSRecord, _ name: DNSName, _ target: DNSName) -> Bool {
        record.name == name && record.data == .ptr(target) && record.isOfInternet && record.ttl >= self.timeToLive / 2
    }

    /// Another told the same just now (section 7.4): only which services there are is the same from all.
    mutating func spareAnswer(_ message: DNSMessage, on index: Int) {
        guard self.links[index].answers.contains(.meta),
            message.answers.contains(where: { self.isOurs($0, MDNSNames.meta, MDNSNames.service) })
        else { return }
        self.links[index].answers.remove(.meta)
        self.rescheduleAnswer(index)
    }

    // MARK: Answering

    mutating func scheduleAnswer(_ answers: MDNSAnswers, _ index: Int, after delay: Duration, now: Duration) {
        guard !self.links[index].told.isEmpty else { return }
        self.links[index].answers.formUnion(answers)
        if self.links[index].answerAt == nil { self.links[index].answerAt = now + delay }
        self.rescheduleAnswer(index)
    }

    private mutating func rescheduleAnswer(_ index: Int) {
        if self.links[index].answers.isEmpty { self.links[index].answerAt = nil }
        if self.links[index].undecided.isEmpty { self.links[index].undecidedAt = nil }
        let state = self.links[index]
        guard let time = earlier(state.answerAt, state.undecidedAt) else { return self.deadlines.remove(.answer(state.link.id)) }
        self.deadlines.set(.answer(state.link.id), at: max(time, (state.lastAnswerAt ?? time - Self.answerGapMin) + Self.answerGapMin))
    }

    private mutating func cancelAnswer(_ index: Int) {
        self.links[index].answers = []
        self.links[index].undecided = []
        self.links[index].announcementsLeft = 0
        self.rescheduleAnswer(index)
    }

    mutating func sendAnswer(_ index: Int, now: Duration) {
        var answers = self.links[index].answers
        if !self.links[index].undecided.isEmpty { answers.insert(.service) }
        let announcementsLeft = self.links[index].announcementsLeft
        self.cancelAnswer(index)
        guard !answers.isEmpty else { return }
        for message in self.messages(answers, index) { self.send(message, on: index) }
        self.counters.answersSent += 1
        self.links[index].lastAnswerAt = now
        guard announcementsLeft > 1, answers.contains(.service) else { return }
        self.links[index].announcementsLeft = announcementsLeft - 1
        self.scheduleAnswer(.service, index, after: Self.answerGapMin, now: now)
    }

    /// To a plain resolver, as a plain name server would (section 6.7). It gets one message.
    private mutating func answerDirectly(
        _ query: DNSMessage, _ wanted: MDNSAnswers, _ source: MDNSEndpoint, _ index: Int, now: Duration
    ) {
        guard self.links[index].directAnswerBudget.spend(Self.directAnswerRate, now: now),
            var message = self.messages(wanted, index).first
        else { return }
        message.id = query.id
        message.questions = query.questions.filter { !self.answers(to: $0).isEmpty }.prefix(1).map { question in
            DNSQuestion(name: question.name, type: question.type, classCode: question.classCode & ~DNSRecord.cacheFlushFlag)
        }
        message.answers = message.answers.map(Self.direct)
        message.additionals = message.additionals.map(Self.direct)
        let bytes = message.bytes
        guard bytes.count <= Self.datagramByteCountMax else { return }
        self.datagrams.append(MDNSDatagram(link: self.links[index].link.id, destination: source, bytes: bytes))
    }

    private static func direct(_ record: DNSRecord) -> DNSRecord {
        DNSRecord(name: record.name, ttl: min(record.ttl, Self.directTimeToLiveMax), data: record.data)
    }

    // MARK: Messages

    private static var responseFlags: UInt16 { DNSMessage.responseFlag | DNSMessage.authoritativeFlag }

    /// What was asked for as answers, what belongs to it beside them; in several messages if the addresses need it.
    private func messages(_ wanted: MDNSAnswers, _ index: Int) -> [DNSMessage] {
        let told = self.links[index].told
        guard !told.isEmpty else { return [] }
        let pointer = self.shared(MDNSNames.service, self.names.instance)
        let hosts = self.hostRecords(told)
        let texts = Self.chunks(told.compactMap { self.text(of: $0) }).map { self.unique(self.names.instance, .txt($0)) }
        let service = self.unique(
            self.names.instance, .srv(priority: 0, weight: 0, port: told.lazy.compactMap(\.port).first ?? 0, target: self.names.host))

        var first = DNSMessage(flags: Self.responseFlags)
        if wanted.contains(.service) { first.answers.append(pointer) }
        if wanted.contains(.meta) { first.answers.append(self.shared(MDNSNames.meta, MDNSNames.service)) }
        let details = Array(texts.prefix(1)) + [service]
        if wanted.contains(.details) { first.answers += details }
        if wanted.contains(.host) { first.answers += hosts }
        guard wanted.contains(.service) || wanted.contains(.details) else { return [first] }
        if !wanted.contains(.details) { first.additionals += details }
        if !wanted.contains(.host) { first.additionals += hosts }
        // Each message says by itself whose addresses they are.
        return [first] + texts.dropFirst().map { DNSMessage(flags: Self.responseFlags, answers: [pointer], additionals: [$0]) }
    }

    private func shared(_ name: DNSName, _ target: DNSName) -> DNSRecord {
        DNSRecord(name: name, ttl: self.timeToLive, data: .ptr(target))
    }

    /// A record that is ours alone: what was known before is no longer so (section 10.2).
    private func unique(_ name: DNSName, _ data: DNSRecord.Data) -> DNSRecord {
        DNSRecord(name: name, classCode: DNSRecord.internet | DNSRecord.cacheFlushFlag, ttl: self.timeToLive, data: data)
    }

    /// go-libp2p and py-libp2p take no peer without them, though only the texts are read.
    private func hostRecords(_ told: [Multiaddr]) -> [DNSRecord] {
        var hosts: [IPAddress] = []
        for case let address? in told.map(\.ipAddress) where !hosts.contains(address) { hosts.append(address) }
        return hosts.prefix(Self.hostAddressCountMax).map { address in
            switch address {
            case .ip4(let address): self.unique(self.names.host, .a(address))
            case .ip6(let address): self.unique(self.names.host, .aaaa(address))
            }
        }
    }

    /// `nil` for an address that is too long for one text: 255 bytes (RFC 6763, section 6.1).
    private func text(of address: Multiaddr) -> [UInt8]? {
        let text = Self.addressKey + address.appending(.p2p(self.peer)).description.utf8
        return text.count <= 255 ? text : nil
    }

    private static func chunks(_ texts: [[UInt8]]) -> [[[UInt8]]] {
        var chunks: [[[UInt8]]] = []
        var byteCount = Self.textByteCountMax
        for text in texts {
            byteCount += text.count + 1
            if byteCount > Self.textByteCountMax {
                chunks.append([])
                byteCount = text.count + 1
            }
            chunks[chunks.count - 1].append(text)
        }
        return chunks
    }

    mutating func send(_ message: DNSMessage, on index: Int) {
        self.datagrams.append(MDNSDatagram(link: self.links[index].link.id, destination: nil, bytes: message.bytes))
    }
}
