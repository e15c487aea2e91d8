public import CryptoPrimitives
public import LibP2P
public import Signing

/// Why nothing can be left for a member.
public enum MailboxClientError: Error, Equatable, Sendable, CustomStringConvertible {
    /// Nobody of this identity is a member of ours.
    case unknownMember
    /// No mailbox is known that keeps messages for it.
    case noMailbox
    case tooLarge(byteCount: Int, limit: Int)
    /// Too much waits for it, or for all members together, and no mailbox took any of it.
    case full
    /// Its time is over.
    case expired

    public var description: String {
        switch self {
        case .unknownMember: "nobody of this identity is a member of ours"
        case .noMailbox: "no mailbox is known that keeps messages for this member"
        case .tooLarge(let byteCount, let limit): "a message of \(byteCount) bytes is above a mailbox's limit of \(limit)"
        case .full: "too much waits to be left in mailboxes: none of them can be reached, or none takes it"
        case .expired: "the message's time is over"
        }
    }
}

/// A message that came through a mailbox, to be named when it is safe with its receiver.
public struct MailboxReceipt: Hashable, Sendable { let rawValue: UInt64 }

/// What a node leaves in mailboxes for members whom it cannot reach, and fetches from those that keep messages for it.
///
///     leave ──▶ waiting ──ask──▶ in every mailbox of its member
///     connected, or time ──▶ fetch, page by page ──▶ deliver ──`safe`──▶ acknowledge
///
/// Mailboxes are not trusted: one can withhold, repeat and delay. What it gives is opened and its signature verified, and what is not for us, or
/// came before, is dropped; what is of strangers stays there for a day at most, for they may be members by then. That a message comes twice all the same changes nothing at its receiver.
public struct MailboxClient: Sendable {
    /// One question to a mailbox, which wants exactly one `answered` or `failed`.
    public struct AskID: Hashable, Sendable { let rawValue: UInt64 }

    public enum Action: Hashable, Sendable {
        /// A request, over `MailboxProtocol`, to a connected peer.
        case ask(AskID, of: PeerID, [UInt8])
        /// A member's message, proved to be its own as if it came over a channel. To be named as `safe` once it may be forgotten.
        case deliver(MailboxReceipt, from: Ed25519.PublicKey, [UInt8])
    }

    public struct Limits: Hashable, Sendable {
        public var memberCountMax = 1_000
        /// Mailboxes that keep messages for one member, and for ourselves.
        public var mailboxesPerMemberMax = 4
        /// Messages that wait to be left for one member, and bytes of all: below what a mailbox takes from one source for one recipient.
        public var waitingPerMemberMax = 96
        public var waitingByteCountPerMemberMax = 768 << 10
        public var waitingByteCountMax = 16 << 20
        /// Matters of one member of which is remembered that they were left.
        public var leftPerMemberMax = 512
        /// Between two looks into a connected mailbox; doubles while nothing comes.
        public var pollIntervalMin = Duration.seconds(15)
        public var pollIntervalMax = Duration.seconds(600)
        /// Between two looks that mailboxes themselves ask for.
        public var noticeIntervalMin = Duration.seconds(1)
        /// After a failure; doubles.
        public var retryIntervalMin = Duration.seconds(5)
        public var retryIntervalMax = Duration.seconds(600)
        /// Between two different words on one matter, once a mailbox has the first; doubles until the member shows that it is there.
        public var changeIntervalMin = Duration.seconds(60)
        public var changeIntervalMax = Duration.seconds(7 * 86_400)
        /// Before the same word is left again, in case the mailbox lost it; doubles.
        public var repeatIntervalMin = Duration.seconds(86_400)
        /// Messages, and their bytes, that are fetched in one look: all that an honest mailbox keeps for one recipient.
        public var fetchedPerLookMax = 1_000
        public var fetchedByteCountPerLookMax = 8 << 20
        /// Delivered messages that are not safe yet; no more is fetched beyond.
        public var unsafeCountMax = 512
        /// Messages of which is remembered that they came.
        public var seenCountMax = 4_096
        /// Messages of senders who are no members yet, with their bytes, that stay where they lie, and for how long.
        public var heldCountMax = 64
        public var heldByteCountMax = 1 << 20
        public var heldTime = Duration.seconds(86_400)
        /// Parts of messages of which others are missing, with their bytes: of members alone. They wait as long as what is held.
        public var partCountMax = 256
        public var partByteCountMax = 8 << 20

        public init() {}
    }

    public struct Counters: Hashable, Sendable {
        public var delivered = 0
        /// Came before.
        public var repeated = 0
        /// Sealed for another, altered, or no message.
        public var unreadable = 0
        /// Of senders who are no members, or were none when they came.
        public var strangers = 0
        /// Messages that a mailbox has.
        public var left = 0
        /// Messages that a mailbox will never take, and those whose time was over before one took them.
        public var rejected = 0
        public var expired = 0
        public var refused = 0
        public var failures = 0
        /// Answers that no honest mailbox gives.
        public var lies = 0
    }

    // MARK: State

    /// One mailbox: a peer that keeps messages for us, for members, or both.
    struct Box: Sendable {
        var isOurs = false
        /// For whom of the members it keeps messages, in their order.
        var members: [Ed25519.PublicKey] = []
        var isConnected = false
        var underWay: Ask?
        var notBefore = Duration.zero
        var retryInterval: Duration

        // What it has for us
        var lookAt = Duration.zero
        /// When the last look began, and whether the mailbox said since then that something is there.
        var lookedAt: Duration?
        var isNoticed = false
        /// Whether something that lay there is safe here since the last step.
        var wasOfUse = false
        var lookInterval: Duration
        var cursor: UInt64 = 0
        /// Fetched in this look.
        var fetchedCount = 0
        var fetchedByteCount = 0
        /// A page that waits to be opened.
        var page: [MailboxAnswer.Message] = []
        /// Cursors of what is safe or of no use. Rising.
        var toAcknowledge: [UInt64] = []
    }

    struct Ask: Sendable {
        enum Kind: Sendable {
            case fetch(after: UInt64)
            case acknowledge([UInt64])
            case deposit(Ed25519.PublicKey, entry: UInt64)
        }

        let id: UInt64
        let kind: Kind
    }

    struct Member: Sendable {
        var mailboxes: [PeerID] = []
        /// Oldest first.
        var waiting: [Waiting] = []
        var waitingByteCount = 0
        /// The last word on each matter that a mailbox has.
        var left: [MailboxMatter: Left] = [:]
        /// Mailboxes that do not take anything for this member now.
        var closed: [PeerID: (until: Duration, interval: Duration)] = [:]
    }

    struct Waiting: Sendable {
        /// No two have the same.
        let number: UInt64
        let matter: MailboxMatter
        let payload: [UInt8]
        let digest: Bytes32
        /// Seconds since 1970.
        let expiry: UInt64
        var dueAt: Duration
        /// Made once, so that a mailbox that took it without our knowing takes it for the same. In parts, if it is longer than a box.
        var sealed: [[UInt8]] = []
        /// How many of these each mailbox has.
        var takenCounts: [PeerID: Int] = [:]
        /// Mailboxes that have it or will never take it, and whether one has it.
        var settled: Set<PeerID> = []
        var isLeft = false
    }

    struct Left: Sendable {
        let number: UInt64
        let digest: Bytes32
        let expiry: UInt64
        let at: Duration
        /// Before another word on it.
        var interval: Duration
        /// Before the same word again.
        let repeatInterval: Duration
    }

    struct Delivered: Sendable {
        /// Where it lies, with all of its parts.
        var places: MailboxPlaces
    }

    /// A message of somebody who is no member, and may be one once a group is known: its mailbox keeps it meanwhile.
    struct Held: Sendable {
        let number: UInt64
        let sender: Ed25519.PublicKey
        let byteCount: Int
        let until: Duration
        /// Where it lies, at each mailbox once.
        var places: [PeerID: UInt64]
    }

    let limits: Limits
    /// In the order in which the owner named them: what is done for each is done in this order.
    var boxOrder: [PeerID] = []
    var boxes: [PeerID: Box] = [:]
    private var ownMailboxes: [PeerID] = []
    var memberOrder: [Ed25519.PublicKey] = []
    var members: [Ed25519.PublicKey: Member] = [:]
    var delivered: [UInt64: Delivered] = [:]
    var receipts: [Bytes32: UInt64] = [:]
    var held: [Bytes32: Held] = [:]
    var parts = MailboxParts()
    var seen = RecentDigests()
    var waitingByteCount = 0
    private var lastNumber: UInt64 = 0
    public internal(set) var counters = Counters()

    public init(limits: Limits = Limits()) { self.limits = limits }

    mutating func nextNumber() -> UInt64 {
        self.lastNumber += 1
        return self.lastNumber
    }

    // MARK: - Who is who

    /// The mailboxes that keep messages for us; beyond the limit they are passed over.
    public mutating func setOwnMailboxes(_ peers: [PeerID], now: Moment) {
        self.ownMailboxes = Array(peers.prefix(self.limits.mailboxesPerMemberMax))
        self.arrangeBoxes(now: now)
    }

    /// The members, and the mailboxes of each; beyond the limits they are passed over. What waits for those who stay goes on.
    public mutating func setMembers(_ members: [(identity: Ed25519.PublicKey, mailboxes: [PeerID])], now: Moment) {
        let old = self.members
        (self.memberOrder, self.members) = ([], [:])
        for (identity, mailboxes) in members where self.members[identity] == nil {
            guard self.memberOrder.count < self.limits.memberCountMax else { break }
            var member = old[identity] ?? Member()
            var distinct: [PeerID] = []
            for peer in mailboxes where !distinct.contains(peer) { distinct.append(peer) }
            member.mailboxes = Array(distinct.prefix(self.limits.mailboxesPerMemberMax))
            member.closed = member.closed.filter { member.mailboxes.contains($0.key) }
            self.memberOrder.append(identity)
            self.members[identity] = member
        }
        self.waitingByteCount = self.members.values.reduce(0) { $0 + $1.waitingByteCount }
        self.arrangeBoxes(now: now)
        self.fetchHeld(now: now)
    }

    private mutating func arrangeBoxes(now: Moment) {
        let old = self.boxes
        (self.boxOrder, self.boxes) = ([], [:])
        func box(of peer: PeerID) -> Box {
            if let known = self.boxes[peer] { return known }
            self.boxOrder.append(peer)
            var box = old[peer] ?? Box(retryInterval: self.limits.retryIntervalMin, lookInterval: self.limits.pollIntervalMin)
            (box.isOurs, box.members) = (false, [])
            return box
        }
        for peer in self.ownMailboxes {
            var found = box(of: peer)
            found.isOurs = true
            self.boxes[peer] = found
        }
        for identity in self.memberOrder {
            for peer in self.members[identity]?.mailboxes ?? [] {
                var found = box(of: peer)
                found.members.append(identity)
                self.boxes[peer] = found
            }
        }
    }

    /// Mailboxes with which there is something to do, and no connection: for the owner to dial.
    public func wanted(now: Moment) -> [PeerID] {
        self.boxOrder.filter { peer in
            guard let box = self.boxes[peer], !box.isConnected else { return false }
            return self.needsAt(peer, box).map { $0 <= now.uptime } ?? false
        }
    }

    // MARK: - The network

    public mutating func connected(_ peer: PeerID, now: Moment) {
        guard var box = self.boxes[peer] else { return }
        box.isConnected = true
        // Something may have come meanwhile, and a mailbox that was set up anew counts from the beginning.
        (box.lookAt, box.notBefore) = (now.uptime, now.uptime)
        (box.cursor, box.fetchedCount, box.fetchedByteCount) = (0, 0, 0)
        (box.lookInterval, box.retryInterval) = (self.limits.pollIntervalMin, self.limits.retryIntervalMin)
        self.boxes[peer] = box
    }

    /// Those of which no connection was told.
    var unconnectedMailboxes: [PeerID] { self.boxOrder.filter { !(self.boxes[$0]?.isConnected ?? true) } }

    public mutating func disconnected(_ peer: PeerID) { self.boxes[peer]?.isConnected = false }

    /// Looks into all of our mailboxes as soon as may be: somebody told us that something is there.
    public mutating func look(now: Moment) {
        for peer in self.boxOrder where self.boxes[peer]?.isOurs ?? false {
            self.boxes[peer]?.lookAt = now.uptime
            self.boxes[peer]?.lookInterval = self.limits.pollIntervalMin
        }
    }

    /// A mailbox says that something is there: it is looked into, and not more often than the limits say.
    ///
    /// - Returns: whether it is one of ours. Nobody else is believed.
    public mutating func noticed(by peer: PeerID, now: Moment) -> Bool {
        guard var box = self.boxes[peer], box.isOurs else { return false }
        box.isNoticed = true
        box.lookInterval = self.limits.pollIntervalMin
        let soonest = box.lookedAt.map { max(now.uptime, $0 + self.limits.noticeIntervalMin) } ?? now.uptime
        box.lookAt = min(box.lookAt, soonest)
        self.boxes[peer] = box
        return true
    }

    /// Whether a mailbox is known that keeps messages for a member.
    public func hasMailbox(_ recipient: Ed25519.PublicKey) -> Bool { !(self.members[recipient]?.mailboxes.isEmpty ?? true) }

    /// What was asked got no answer.
    public mutating func failed(_ ask: AskID, of peer: PeerID, now: Moment) {
        guard var box = self.boxes[peer], box.underWay?.id == ask.rawValue else { return }
        box.underWay = nil
        self.counters.failures += 1
        self.backOff(&box, now: now)
        self.boxes[peer] = box
    }

    public mutating func answered(_ ask: AskID, by peer: PeerID, _ bytes: [UInt8], now: Moment) {
        guard var box = self.boxes[peer], let asked = box.underWay, asked.id == ask.rawValue else { return }
        box.underWay = nil
        defer { self.boxes[peer] = box }
        guard let answer = try? MailboxAnswer(parsing: bytes) else { return self.noteLie(&box, now: now) }
        switch (asked.kind, answer) {
        case (.fetch(let after), .messages(let messages, let more)):
            self.take(messages, more: more, after: after, in: &box, now: now)
        case (.acknowledge(let cursors), .acknowledged):
            box.toAcknowledge.removeAll { cursors.contains($0) }
            box.retryInterval = self.limits.retryIntervalMin
        case (.deposit(let member, let entry), .deposited):
            self.noteLeft(entry, for: member, at: peer, now: now)
            box.retryInterval = self.limits.retryIntervalMin
        case (.deposit(let member, let entry), .refused(let refusal)):
            self.counters.refused += 1
            self.noteRefused(entry, for: member, at: peer, refusal, in: &box, now: now)
        case (.fetch, .refused), (.acknowledge, .refused):
            self.counters.refused += 1
            self.backOff(&box, now: now)
        case (.fetch, _), (.acknowledge, _), (.deposit, _): self.noteLie(&box, now: now)
        }
    }

    func backOff(_ box: inout Box, now: Moment) {
        box.notBefore = now.uptime + box.retryInterval
        box.retryInterval = min(box.retryInterval * 2, self.limits.retryIntervalMax)
    }

    /// The mailbox said what no honest one says: it is asked less often, and nothing else follows.
    mutating func noteLie(_ box: inout Box, now: Moment) {
        self.counters.lies += 1
        box.retryInterval = max(box.retryInterval, min(self.limits.pollIntervalMin * 4, self.limits.retryIntervalMax))
        self.backOff(&box, now: now)
    }

    // MARK: - What is to be done

    /// Decides what to do now.
    ///
    /// - Parameters:
    ///   - identity: ours, to open what came and to sign what is left.
    ///   - ephemeral: a fresh key for each message that is sealed.
    public mutating func step(
        now: Moment, identity: borrowing Ed25519.SecretKey,
        ephemeral: () throws(SecretMemoryError) -> X25519.SecretKey = X25519.SecretKey.generate
    ) -> [Action] {
        self.dropExpired(now: now)
        var actions: [Action] = []
        for peer in self.boxOrder { actions += self.openPage(of: peer, now: now, identity: identity) }
        self.dropHeld(now: now)
        self.dropParts(now: now)
        for peer in self.boxOrder {
            self.lookSooner(at: peer, now: now)
            guard let box = self.boxes[peer], box.isConnected, box.underWay == nil, box.notBefore <= now.uptime else { continue }
            guard let (kind, request) = self.nextRequest(to: peer, box, now: now, identity: identity, ephemeral: ephemeral) else {
                continue
            }
            let id = self.nextNumber()
            self.boxes[peer]?.underWay = Ask(id: id, kind: kind)
            if case .fetch = kind, box.fetchedCount == 0 {
                self.boxes[peer]?.lookedAt = now.uptime
                self.boxes[peer]?.isNoticed = false
            }
            actions.append(.ask(AskID(rawValue: id), of: peer, request.serialized()))
        }
        return actions
    }

    private mutating func nextRequest(
        to peer: PeerID, _ box: Box, now: Moment, identity: borrowing Ed25519.SecretKey,
        ephemeral: () throws(SecretMemoryError) -> X25519.SecretKey
    ) -> (Ask.Kind, MailboxRequest)? {
        // A page's worth of acknowledgements first: it makes room. Fewer wait until there is nothing else to say.
        if box.toAcknowledge.count >= MailboxProtocol.pageCountMax { return self.acknowledgement(box) }
        if let deposit = self.nextDeposit(at: peer, box, now: now, identity: identity, ephemeral: ephemeral) { return deposit }
        if box.isOurs, box.lookAt <= now.uptime, self.mayFetch {
            return (
                .fetch(after: box.cursor),
                .fetch(
                    after: box.cursor, countMax: UInt16(MailboxProtocol.pageCountMax),
                    byteCountMax: UInt32(MailboxProtocol.pageByteCountMax))
            )
        }
        return box.toAcknowledge.isEmpty ? nil : self.acknowledgement(box)
    }

    private func acknowledgement(_ box: Box) -> (Ask.Kind, MailboxRequest) {
        let cursors = Array(box.toAcknowledge.prefix(MailboxProtocol.acknowledgedCountMax))
        return (.acknowledge(cursors), .acknowledge(cursors))
    }

    /// Whether a page of messages could be delivered.
    var mayFetch: Bool { self.delivered.count + MailboxProtocol.pageCountMax <= self.limits.unsafeCountMax }

    /// When there is something to do with a mailbox: the time may have passed. `nil` for never, unless something comes.
    private func needsAt(_ peer: PeerID, _ box: Box) -> Duration? {
        guard box.underWay == nil else { return nil }
        var times: [Duration] = []
        if !box.page.isEmpty || !box.toAcknowledge.isEmpty { times.append(box.notBefore) }
        if box.isOurs, self.mayFetch { times.append(box.lookAt) }
        if let due = self.nextDepositAt(at: peer, box) { times.append(due) }
        return times.min().map { max($0, box.notBefore) }
    }

    /// When a mailbox without a connection will be among those that are wanted, if none is that is not among them now; `nil` for never.
    public func nextWantedAt(now: Moment) -> Duration? {
        self.boxOrder.compactMap { peer in
            guard let box = self.boxes[peer], !box.isConnected, let due = self.needsAt(peer, box), due > now.uptime else { return nil }
            return due
        }.min()
    }

    /// Bytes that wait to be left, of parts whose messages are not whole, and of pages that were not opened yet.
    public var heldByteCount: Int {
        self.boxes.values.reduce(2 * self.waitingByteCount + self.parts.byteCount) { $0 + $1.page.reduce(0) { $0 + $1.sealed.count } }
    }

    /// When `step` is due at the latest, if nothing comes before: by the clock that never goes back.
    public var nextStepAt: Duration? {
        self.boxOrder.compactMap { peer in
            guard let box = self.boxes[peer], box.isConnected || !box.page.isEmpty else { return nil }
            return self.needsAt(peer, box)
        }.min()
    }
}

/// The newest digests, so many at most.
struct RecentDigests: Sendable {
    private var known: Set<Bytes32> = []
    private var order: [Bytes32] = []
    private var next = 0

    func contains(_ digest: Bytes32) -> Bool { self.known.contains(digest) }

    mutating func insert(_ digest: Bytes32, countMax: Int) {
        guard self.known.insert(digest).inserted else { return }
        guard self.order.count >= countMax else { return self.order.append(digest) }
        // The oldest gives up its place.
        self.known.remove(self.order[self.next])
        self.order[self.next] = digest
        self.next = (self.next + 1) % self.order.count
    }
}
