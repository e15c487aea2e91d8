import Bitcoin
import CryptoPrimitives
import LibP2P
import LibP2PPosix
import Secp256k1
import SessionStore
import Signing
import SigningNode

/// One member of a demo's group, played by somebody who cheats: what its machine works out is right, and what it says is not.
///
/// It gives partial signatures that are wrong; where it coordinates, it begins one attempt in two ways. All it needs to be believed by
/// the others is its key, and that is all it has: an honest node cannot be told to do this. It lives in the demo's own process, plays
/// with keys that the demo made and that guard nothing, and keeps no journal, for none of its real partial signatures ever leave.
/// No command that takes a key file leads here.
actor CheatingMember {
    let number: Int
    private let network: PosixNode
    private let key: SecretKey
    private let identity: PeerIdentity
    private let enrolment: Enrolment
    private let policy: any SpendingPolicy
    private let roster: Roster
    /// Where the others' nodes are.
    private let others: [ContactCard]
    private var transport: ProtocolHandle<RequestResponse>?
    /// What came and was not looked at yet.
    private var inbox: [RequestResponse.Event] = []
    private var coordination: Coordination?
    private var told: [CoordinationEvent] = []
    /// What it did that nobody was told of yet, and all so far.
    private var news: [NetworkStep.What] = []
    private var done: Set<NetworkStep.What> = []

    nonisolated var unownedExecutor: UnownedSerialExecutor { self.network.executor.asUnownedSerialExecutor() }

    /// - Parameters:
    ///   - number: which of the scene's signers it plays.
    ///   - others: the other members.
    init(_ number: Int, in scene: DemoScene, others: [ContactCard]) throws(CommandError) {
        let unlocked = try Self.unlock(scene.signers[number - 1].path, passphrase: scene.passphrase)
        do {
            self.enrolment = try Enrolment(network: DemoScene.network, signer: unlocked.key, identity: unlocked.identity)
            self.identity = PeerIdentity(unlocked.identity)
            self.network = try PosixNode(self.identity, configuration: .bare(agentVersion: PeerArguments.agentVersion))
        } catch { throw .failed("\(error)") }
        self.key = unlocked.key
        self.number = number
        self.policy = scene.policy
        self.others = others
        self.roster = Roster(
            members: scene.policy.members, network: DemoScene.network, enrolments: others.map(\.enrolment) + [self.enrolment])
    }

    private static func unlock(_ path: String, passphrase: String) throws(CommandError) -> UnlockedKeys {
        do {
            let secret = try SecretBytes(count: passphrase.utf8.count) { $0.copyBytes(from: passphrase.utf8) }
            return try KeyFile(readingFrom: path).unlock(passphrase: secret)
        } catch let error as KeyFileError { throw KeyCommands.failure(error) } catch { throw .failed("\(error)") }
    }

    // MARK: - Start and end

    /// Takes the member's place in the network, and gets in touch with all others.
    func start(listeningOn address: String) async throws(CommandError) {
        self.transport = await self.network.add(RequestResponse(configuration: CoordinationProtocol.configuration)) { [weak self] event in
            self?.assumeIsolated { $0.inbox.append(event) }
        }
        do {
            try await self.network.listen(on: Multiaddr(text: address))
            for other in self.others { _ = try await self.network.dial(other.member.peer, at: other.addresses) }
        } catch { throw .failed("the member that cheats does not get into the network: \(error)") }
    }

    func stop() async {
        self.coordination = nil
        await self.network.close()
    }

    // MARK: - Its part

    /// Agrees to the request, once it has it.
    ///
    /// - Returns: whether it has it.
    func approve() -> Bool {
        guard self.coordination != nil else { return false }
        self.coordination?.approve(serial: UInt32(clamping: WallClock.secondsSince1970))
        return true
    }

    /// Looks at what came, and does what is due.
    ///
    /// - Returns: what its machine tells of the request, and what it did itself.
    func step() async -> (told: [SigningNodeEvent], did: [NetworkStep.What]) {
        guard let transport = self.transport else { return ([], []) }
        var now = await self.moment()
        // More may come meanwhile.
        let events = self.inbox
        self.inbox = []
        for event in events {
            guard case .asked(let question, let bytes) = event else { continue }
            self.hear(bytes, from: question.peer, now: now)
            // Who has gone meanwhile needs no answer.
            await self.network.update(transport) { try? $0.answer(question, with: [CoordinationProtocol.Answer.taken.rawValue], now: $1) }
        }
        now = await self.moment()
        for action in self.actions(now: now) {
            switch action {
            case .send(let bytes, let member):
                guard let enrolment = self.roster.enrolment(of: member) else { continue }
                for said in self.said(bytes) {
                    await self.network.update(transport) { _ = try? $0.send(said, to: PeerID(of: enrolment.identity), now: $1) }
                }
            case .record(let record): self.coordination?.recorded(record)
            case .sighted, .takePooled: break
            case .tell(let event): self.told.append(event)
            }
        }
        defer { (self.told, self.news) = ([], []) }
        guard let request = self.coordination?.requestDigest else { return ([], self.news) }
        return (self.told.map { .request(request, $0) }, self.news)
    }

    private func moment() async -> Moment { Moment(uptime: await self.network.now, time: WallClock.secondsSince1970) }

    private func hear(_ bytes: [UInt8], from peer: PeerID, now: Moment) {
        guard let identity = peer.identity else { return }
        if self.coordination == nil {
            guard let (request, proposal) = try? Coordination.proposal(in: bytes, roster: self.roster) else { return }
            self.coordination = try? Coordination(
                request: request, proposal: proposal, policy: self.policy, roster: self.roster, enrolment: self.enrolment,
                incarnation: .random())
            if self.coordination != nil { self.note(.received) }
        }
        _ = self.coordination?.receive(bytes, from: identity, now: now)
    }

    private func actions(now: Moment) -> [CoordinationAction] {
        self.identity.withSecretKey { self.coordination?.step(now: now, key: self.key, identity: $0) ?? [] }
    }

    // MARK: - Its lies

    /// What it says in place of a message.
    private func said(_ message: [UInt8]) -> [[UInt8]] {
        guard let head = try? CoordinationMessage.Head(parsing: message), let content = try? head.content(self.roster) else {
            return [message]
        }
        switch content {
        case .partialSignatures(let statement):
            guard case .partialSignatures(let transcript, let items) = statement.body else { return [message] }
            self.note(.gaveWrongSignatures(statement.attempt))
            // The number one: it is a partial signature by its form, and nobody's.
            let one = [UInt8](repeating: 0, count: 31) + [1]
            let wrong = Statement.Body.partialSignatures(transcript: transcript, items.map { _ in one })
            return [self.message(head, .partialSignatures(self.say(wrong, like: statement)))]
        case .begin(let statement, let approvals):
            guard case .begin(let incarnation, let transcript) = statement.body else { return [message] }
            self.note(.beganTwice(statement.attempt))
            let other = self.say(.begin(incarnation: incarnation, transcript: SHA256.hash(transcript.bytes)), like: statement)
            return [message, self.message(head, .begin(other, approvals: approvals), sequence: 0)]
        // What it could still finish stays with it.
        case .complete: return []
        case .acknowledgement, .proposal, .approval, .refusal, .cancellation, .standing, .renewal, .evidence, .enrolments,
            .enrolmentsWanted, .nonceUse, .cloneAlarm, .commitments, .opening, .pooledNonces:
            return [message]
        }
    }

    /// What it says again it did once.
    private func note(_ what: NetworkStep.What) { if self.done.insert(what).inserted { self.news.append(what) } }

    private func say(_ body: Statement.Body, like statement: Statement) -> Statement {
        self.identity.withSecretKey {
            Statement(body, request: statement.request, attempt: statement.attempt, enrolment: self.enrolment, identity: $0)
        }
    }

    private func message(
        _ head: CoordinationMessage.Head, _ content: CoordinationMessage.Content, sequence: UInt64? = nil
    ) -> [UInt8] {
        CoordinationMessage(
            request: head.request, series: head.series, sequence: sequence ?? head.sequence, acknowledged: head.acknowledged,
            content: content
        ).serialized(self.roster)
    }
}
