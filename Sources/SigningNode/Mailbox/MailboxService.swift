internal import CryptoPrimitives
internal import LibP2P
internal import Signing

/// Names what a mailbox's store has to do for a peer.
public struct MailboxJobID: Hashable, Sendable { let rawValue: UInt64 }

/// Both ends of mailboxes at one node, over one protocol: what it keeps for others, and what it leaves and fetches.
///
///     a peer's request ──▶ server ──▶ answer, or a job for the store ──▶ `done` ──▶ answer; the recipient is told, if it is connected
///     client ──▶ request ──▶ a mailbox ──▶ answer ──▶ client
struct MailboxService: Sendable {
    var client: MailboxClient
    /// `nil`: this node keeps nothing for others.
    var server: MailboxServer?
    /// The nodes that keep messages for us.
    let ownPeers: [PeerID]
    private var transport: RequestResponse
    /// What came and was not looked at.
    private var events: [RequestResponse.Event] = []
    private var asks: [RequestResponse.RequestID: MailboxClient.AskID] = [:]
    private var jobs: [MailboxJobID: (question: RequestResponse.Question, job: MailboxServer.Job)] = [:]
    private var lastJob: UInt64 = 0
    /// Recipients that are being told that something is there, and whether more has come meanwhile.
    private var notices: [PeerID: (id: RequestResponse.RequestID, hasMore: Bool)] = [:]

    /// What the machine has to do.
    enum Need: Sendable {
        case job(MailboxJobID, MailboxServer.Job)
        case deliver(MailboxReceipt, from: Ed25519.PublicKey, [UInt8])
    }

    init(_ configuration: SigningMachine.MailboxConfiguration) {
        var own: [PeerID] = []
        for address in configuration.own { if let peer = address.peerID, !own.contains(peer) { own.append(peer) } }
        self.ownPeers = own
        self.client = MailboxClient(limits: configuration.client)
        self.server = configuration.serves ? MailboxServer(limits: configuration.server, bounds: configuration.bounds) : nil
        var transport = MailboxProtocol.configuration
        // Who has mailboxes is told by them when something is there.
        transport.answers = configuration.serves || !own.isEmpty
        self.transport = RequestResponse(configuration: transport)
    }

    // MARK: - Requests of others

    private mutating func serve(_ question: RequestResponse.Question, _ bytes: [UInt8], now: Moment) -> Need? {
        if bytes == MailboxRequest.notice.serialized(), self.client.noticed(by: question.peer, now: now) {
            self.answer(question, MailboxAnswer.acknowledged.serialized(), now: now)
            return nil
        }
        guard let verdict = self.server?.receive(bytes, from: question.peer, household: question.household, now: now) else {
            self.answer(question, MailboxAnswer.refused(.unknownRecipient).serialized(), now: now)
            return nil
        }
        switch verdict {
        case .answer(let answer):
            self.answer(question, answer, now: now)
            return nil
        case .job(let job):
            self.lastJob += 1
            let id = MailboxJobID(rawValue: self.lastJob)
            self.jobs[id] = (question, job)
            return .job(id, job)
        }
    }

    private mutating func answer(_ question: RequestResponse.Question, _ bytes: [UInt8], now: Moment) {
        do { try self.transport.answer(question, with: bytes, now: now.uptime) } catch { self.transport.refuse(question) }
    }

    /// The store has done what a peer asked for, or cannot.
    ///
    /// - Parameter isConnected: whether the recipient of a message can be told of it.
    mutating func done(_ id: MailboxJobID, _ outcome: MailboxServer.Outcome, isConnected: (PeerID) -> Bool, now: Moment) {
        guard let (question, job) = self.jobs.removeValue(forKey: id),
            let answer = self.server?.answer(job, with: outcome, now: now)
        else { return }
        self.answer(question, answer, now: now)
        guard case .deposited = outcome, case .deposit(_, let recipient, _, _) = job.operation else { return }
        let peer = PeerID(of: recipient)
        if isConnected(peer) { self.tell(peer, now: now) }
    }

    /// One word at a time: who is told while it fetches is told once more.
    private mutating func tell(_ peer: PeerID, now: Moment) {
        guard self.notices[peer] == nil else {
            self.notices[peer]?.hasMore = true
            return
        }
        guard let id = try? self.transport.send(MailboxRequest.notice.serialized(), to: peer, now: now.uptime) else { return }
        self.notices[peer] = (id, false)
    }

    // MARK: - What is due

    /// Takes what came, and does what is due. Called until it gives nothing more.
    mutating func step(now: Moment, _ keys: SignerKeys) -> [Need] {
        var needs: [Need] = []
        for event in self.events {
            switch event {
            case .asked(let question, let bytes): if let need = self.serve(question, bytes, now: now) { needs.append(need) }
            case .answered(let id, let peer, let bytes):
                if let ask = self.asks.removeValue(forKey: id) {
                    self.client.answered(ask, by: peer, bytes, now: now)
                } else {
                    self.noteTold(peer, id, now: now)
                }
            case .failed(let id, let peer, _):
                if let ask = self.asks.removeValue(forKey: id) { self.client.failed(ask, of: peer, now: now) }
                // Who cannot be told looks by itself.
                if self.notices[peer]?.id == id { self.notices[peer] = nil }
            case .refused(let peer, _, let error):
                switch error {
                // A stream that broke off is nobody's fault.
                case .frame, .bytesBehind, .tooLong: self.server?.noteMalformed(from: peer, now: now)
                default: break
                }
            }
        }
        self.events = []
        for action in keys.identity.withSecretKey({ self.client.step(now: now, identity: $0) }) {
            switch action {
            case .ask(let ask, let peer, let bytes):
                if let id = try? self.transport.send(bytes, to: peer, now: now.uptime) {
                    self.asks[id] = ask
                } else {
                    self.client.failed(ask, of: peer, now: now)
                }
            case .deliver(let receipt, let sender, let payload): needs.append(.deliver(receipt, from: sender, payload))
            }
        }
        return needs
    }

    private mutating func noteTold(_ peer: PeerID, _ id: RequestResponse.RequestID, now: Moment) {
        guard let notice = self.notices[peer], notice.id == id else { return }
        self.notices[peer] = nil
        if notice.hasMore { self.tell(peer, now: now) }
    }

    /// Whether the owner should dial a node, for what lies there or is to be left there.
    func wants(_ peer: PeerID, now: Moment) -> Bool { self.ownPeers.contains(peer) || self.client.wanted(now: now).contains(peer) }

    /// Whom it should dial, as far as they are not connected.
    func wanted(now: Moment) -> [PeerID] { self.ownPeers + self.client.wanted(now: now).filter { !self.ownPeers.contains($0) } }

    // MARK: - Its place in the machine

    /// Two protocols of one machine number their streams, each from 1: those of this one have a mark.
    private static let requestMark: UInt64 = 1 << 63

    var servedProtocolIDs: [String] { self.transport.servedProtocolIDs }
    var deadline: Duration? { self.transport.deadline }
    /// Whether `step` has something to look at.
    var hasEvents: Bool { !self.events.isEmpty }

    mutating func tick(now: Duration) {
        self.transport.tick(now: now)
        self.takeEvents()
    }

    private mutating func takeEvents() { while let event = self.transport.nextEvent() { self.events.append(event) } }

    mutating func nextCommand() -> ProtocolCommand? {
        guard let command = self.transport.nextCommand() else { return nil }
        guard case .open(let request, let peer, let protocolIDs, let onLimited) = command else { return command }
        return .open(request: request | Self.requestMark, peer, protocolIDs: protocolIDs, onLimited: onLimited)
    }

    /// Takes an input of the swarm.
    ///
    /// - Returns: whether it concerns nobody else. Of streams that it did not open it takes no notice.
    mutating func handle(_ input: ProtocolInput, now: Duration) -> Bool {
        defer { self.takeEvents() }
        switch input {
        case .opened(let request, let stream, let protocolID):
            guard request & Self.requestMark != 0 else { return false }
            self.transport.handle(.opened(request: request & ~Self.requestMark, stream, protocolID: protocolID), now: now)
            return true
        case .failed(let request, let failure):
            guard request & Self.requestMark != 0 else { return false }
            self.transport.handle(.failed(request: request & ~Self.requestMark, failure), now: now)
            return true
        case .inbound(_, _, let protocolID):
            guard protocolID == MailboxProtocol.id else { return false }
            self.transport.handle(input, now: now)
            return true
        default:
            self.transport.handle(input, now: now)
            return false
        }
    }

    var heldByteCount: Int {
        self.transport.heldByteCount + self.client.heldByteCount + (self.server?.heldCount ?? 0) * 256 + self.jobs.count * 256
    }
}
