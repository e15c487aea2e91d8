import Bitcoin
import CryptoPrimitives
import MuSig2
import Secp256k1
import Signing

extension Fuzzer {
    /// Honest members of a 2-of-3 policy between whom messages are lost, repeated, late, changed and made up, whose processes start anew and
    /// whose people change their minds. No nonce serves two transcripts, nobody is blamed, and what completes verifies.
    static let coordination = Fuzzer(
        name: "coordination", byteCountMax: 1_024, seeds: { CoordinationPlay.seeds },
        run: { start, count in CoordinationPlay.run(input(start, count), in: CoordinationScene.plain) })

    /// The same where nonces are committed to before they are shown.
    static let commitments = Fuzzer(
        name: "commitments", byteCountMax: 1_024, seeds: { CoordinationPlay.seeds },
        run: { start, count in CoordinationPlay.run(input(start, count), in: CoordinationScene.committed) })
}

extension CoordinationPlay {
    fileprivate static func run(_ bytes: [UInt8], in scene: CoordinationScene?) -> Int32 {
        // As what arrives before there is a machine.
        consume(Coordination.request(of: bytes))
        if let scene { consume(try? Coordination.proposal(in: bytes, roster: scene.roster)) }
        guard let play = try? CoordinationPlay(bytes, in: scene) else { fatalError("the play could not begin") }
        play.run()
        return 0
    }
}

/// What every play begins with: made once, for keys and policies are most of the work.
private final class CoordinationScene: Sendable {
    static let plain = try? CoordinationScene(usesNonceCommitments: false)
    static let committed = try? CoordinationScene(usesNonceCommitments: true)
    static let time: UInt64 = 1_800_000_000

    let people: [SecretKey.Shared]
    let identities: [Identity]
    let enrolments: [Enrolment]
    let policy: DelegatedMultisig
    let roster: Roster
    let request: SigningRequest
    let proposal: Statement

    final class Identity: Sendable {
        let key: Ed25519.SecretKey
        init(_ key: consuming Ed25519.SecretKey) { self.key = key }
    }

    private init(usesNonceCommitments: Bool) throws {
        self.people = try (1...3).map { try SecretKey.Shared(Known.secretKey($0)) }
        self.identities = try (1...3).map { try Identity(Known.identity($0)) }
        self.enrolments = try zip(self.people, self.identities).map { person, identity in
            try Enrolment(network: .regtest, signer: person.key, identity: identity.key)
        }
        let keys = self.people.map { $0.key.publicKey }
        self.policy = try DelegatedMultisig(internalKey: .unspendable, signers: keys, threshold: 2)
        self.roster = Roster(members: self.policy.members, network: .regtest, enrolments: self.enrolments)
        let coin = TransactionOutput(amount: 10_000, scriptPubKey: self.policy.scriptPubKey)
        let spent = TransactionInput(previousOutput: OutPoint(txid: Txid(SHA256.hash([1])), index: 0))
        let transaction = Transaction(inputs: [spent], outputs: [TransactionOutput(amount: 9_000, scriptPubKey: self.policy.scriptPubKey)])
        self.request = try SigningRequest(
            transaction: transaction, prevouts: [coin], policyDigest: self.policy.digest, proposer: keys[0], expiry: Self.time + 600,
            id: SHA256.hash([2]), usesNonceCommitments: usesNonceCommitments)
        guard let terms = RequestTerms(createdAt: Self.time) else { throw StatementError.unknownFormat }
        self.proposal = Coordination.propose(
            self.request, terms: terms, enrolment: self.enrolments[0], identity: self.identities[0].key)
    }
}

final class CoordinationPlay {
    private final class Member {
        let place: Int
        var machine: Coordination
        var life: UInt8 = 1
        var serial: UInt32 = 0
        /// What the journal holds, and what is on its way there.
        var records: [BurnRecord] = []
        var waiting: [BurnRecord] = []
        var isJournalSlow = false

        init(_ place: Int, _ scene: CoordinationScene) throws {
            self.place = place
            self.machine = try Self.machine(place, scene, life: 1, records: [])
        }

        static func incarnation(_ place: Int, _ life: UInt8) -> [UInt8] {
            [UInt8(place), life] + [UInt8](repeating: 0, count: NonceName.incarnationByteCount - 2)
        }

        /// In its present life, with what the journal holds.
        func start(_ scene: CoordinationScene) throws {
            self.machine = try Self.machine(self.place, scene, life: self.life, records: self.records)
        }

        private static func machine(_ place: Int, _ scene: CoordinationScene, life: UInt8, records: [BurnRecord]) throws -> Coordination {
            try Coordination(
                request: scene.request, proposal: scene.proposal, policy: scene.policy, roster: scene.roster,
                enrolment: scene.enrolments[place], incarnation: Known.incarnation(Self.incarnation(place, life)), records: records,
                resumes: life > 1)
        }
    }

    private struct Letter {
        var bytes: [UInt8]
        let from: Int
        let to: Int
    }

    /// Most messages of one step of a machine: some matters for each of two others, and 32 that are said once.
    private static let letterCountMax = 2 * (32 + 64)
    private static let underWayMax = 64

    /// All that was said, in order, where somebody wants to know.
    private var said: [[UInt8]]?
    private let scene: CoordinationScene
    private var script: PlayScript
    private let members: [Member]
    private var wire: [Letter] = []
    private var uptime = Duration.seconds(1)
    private var transcripts: [PublicNonce: Bytes32] = [:]

    fileprivate init(_ bytes: [UInt8], in scene: CoordinationScene?) throws {
        guard let scene else { throw StatementError.unknownFormat }
        self.scene = scene
        self.script = PlayScript(bytes)
        self.members = try (0..<3).map { try Member($0, scene) }
    }

    /// All agree, and everything arrives; the same with something in between; and what is only noise.
    static var seeds: [[UInt8]] {
        let agreed: [UInt8] = (0..<3).flatMap { [5, $0, 0] }
        let delivered = [UInt8](repeating: 0, count: 56)
        let middles: [[UInt8]] = [
            [], [1, 0, 1, 1], [2, 0, 2, 0], [3, 0, 1, 0, 40, 7], [4, 1, 0, 3, 0, 9, 0, 1, 2], [5, 1, 1], [5, 0, 3], [6, 40, 6, 255],
            [7, 1, 0], [7, 2, 1], [7, 0, 3],
        ]
        return middles.map { agreed + [6, 1] + delivered.prefix(6) + $0 + delivered } + [[4, 0, 1, 9, 0, 40] + delivered]
    }

    /// Three members agree, and two of them sign.
    static func honestSigning() throws -> (record: GroupRecord, roster: Roster, enrolments: [Enrolment], messages: [[UInt8]]) {
        guard let scene = CoordinationScene.plain, let seed = self.seeds.first else { throw StatementError.unknownFormat }
        let play = try CoordinationPlay(seed, in: scene)
        play.said = []
        play.run()
        return (.delegated(PolicyRecord(scene.policy)), scene.roster, scene.enrolments, play.said ?? [])
    }

    private var now: Moment {
        Moment(uptime: self.uptime, time: CoordinationScene.time + UInt64(self.uptime.components.seconds))
    }

    func run() {
        for member in self.members { self.step(member) }
        var stepCount = 0
        while !self.script.isOver, stepCount < 128 {
            self.act()
            stepCount += 1
        }
    }

    private func act() {
        switch self.script.choice(8) {
        case 0: if !self.wire.isEmpty { self.deliver(self.wire.removeFirst()) }
        case 1: if let letter = self.script.choice(of: self.wire) { self.deliver(letter) }
        case 2: if !self.wire.isEmpty { self.wire.remove(at: self.script.choice(self.wire.count)) }
        case 3:
            guard var letter = self.script.choice(of: self.wire), !letter.bytes.isEmpty else { return }
            for _ in 0...self.script.choice(4) { letter.bytes[self.script.number() % letter.bytes.count] ^= self.script.byte() }
            self.deliver(letter)
        case 4: self.deliver(self.madeUp())
        case 5: self.decide()
        case 6:
            self.uptime += .milliseconds(Int64(self.script.byte()) * 100)
            for member in self.members { self.step(member) }
        default: self.disturb()
        }
    }

    // MARK: What happens to a member

    private func decide() {
        let member = self.members[self.script.choice(3)]
        member.serial += 1
        switch self.script.choice(4) {
        case 0: member.machine.approve(serial: member.serial)
        case 1: member.machine.refuse(.rejected, serial: member.serial)
        case 2: member.machine.refuse(.withdrawn, serial: member.serial)
        default: if member.place == 0 { member.machine.cancel() }
        }
        self.step(member)
    }

    private func disturb() {
        let member = self.members[self.script.choice(3)]
        switch self.script.choice(4) {
        case 0:
            guard member.life < 200 else { return }
            member.life += 1
            member.waiting = []
            guard (try? member.start(self.scene)) != nil else { fatalError("broken property: a process starts again") }
            if member.serial > 0 { member.machine.approve(serial: member.serial) }
        case 1:
            guard member.life < 200 else { return }
            member.life += 1
            member.machine.discardNonces(incarnation: Known.incarnation(Member.incarnation(member.place, member.life)))
        case 2: member.isJournalSlow.toggle()
        default: for other in self.scene.policy.members { member.machine.noteConnected(other, now: self.now) }
        }
        self.step(member)
    }

    // MARK: What is said

    private func deliver(_ letter: Letter) {
        let member = self.members[letter.to]
        consume(member.machine.receive(letter.bytes, from: self.scene.identities[letter.from].key.publicKey, now: self.now))
        self.step(member)
    }

    /// A head that is looked behind, and any content.
    private func madeUp() -> Letter {
        let (from, to) = (self.script.choice(3), self.script.choice(3))
        var bytes: [UInt8] = [1]
        bytes += self.scene.request.digest.bytes
        bytes += Member.incarnation(from, self.members[from].life) + [0, 0, 0, self.script.byte()]
        bytes += [0, 0, 0, 0, 0, 0, 0, self.script.byte(), 0]
        bytes += self.script.bytes()
        return Letter(bytes: bytes, from: from, to: to)
    }

    private func step(_ member: Member) {
        for _ in 0..<8 {
            let actions = member.machine.step(
                now: self.now, key: self.scene.people[member.place].key, identity: self.scene.identities[member.place].key)
            self.carryOut(actions, of: member)
            guard !member.isJournalSlow, !member.waiting.isEmpty else { return }
            for record in member.waiting {
                member.records.append(record)
                member.machine.recorded(record)
            }
            member.waiting = []
        }
        fatalError("broken property: what is durable is released, and no more to be recorded")
    }

    private func carryOut(_ actions: [CoordinationAction], of member: Member) {
        var letterCount = 0
        for action in actions {
            switch action {
            case .send(let bytes, let to):
                letterCount += 1
                guard let place = self.scene.people.firstIndex(where: { $0.key.publicKey == to }) else {
                    fatalError("broken property: messages are for members")
                }
                require(Coordination.request(of: bytes) == self.scene.request.digest, "what is sent can be read")
                self.said?.append(bytes)
                self.wire.append(Letter(bytes: bytes, from: member.place, to: place))
                if self.wire.count > Self.underWayMax { self.wire.removeFirst() }
            case .record(let record):
                for nonce in record.nonces where record.signer == member.machine.signer {
                    let other = self.transcripts.updateValue(record.transcript, forKey: nonce)
                    require(other == nil || other == record.transcript, "no nonce serves two transcripts")
                }
                member.waiting.append(record)
            case .tell(.fault): fatalError("broken property: nobody honest is blamed")
            case .tell(.cloneAlarm): fatalError("broken property: no honest machine is said to run twice")
            case .sighted, .takePooled: break
            case .tell(.complete(_, let completed)): self.verify(completed)
            case .tell: break
            }
        }
        require(letterCount <= Self.letterCountMax, "no step says more than so much")
    }

    private func verify(_ completed: CompletedSignatures) {
        guard let plan = try? SigningPlan(request: self.scene.request, under: self.scene.policy, set: completed.signers),
            let input = plan.inputs.first, let signature = completed.signatures.first
        else { fatalError("broken property: whoever completes is a set of the policy") }
        require(completed.signatures.count == 1, "one signature an input")
        require(signature.isValid(for: input.message, by: input.keys.xOnlyKey), "what completes verifies")
    }
}
