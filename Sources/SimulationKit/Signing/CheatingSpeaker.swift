internal import Bitcoin
internal import CryptoPrimitives
internal import LibP2P
internal import MuSig2
internal import Secp256k1
internal import Signing

/// A member that cheats: what its machine says is changed on its way out, and signed anew with its own identity.
struct CheatingSpeaker {
    let cheat: SigningCheat
    let request: SigningRequest
    let terms: RequestTerms
    let policy: any SpendingPolicy
    let roster: Roster
    let enrolment: Enrolment
    /// Of the current life of its process.
    var incarnation: [UInt8] = []
    /// Of its last decision.
    var serial: UInt32?
    /// Messages that it sent so far.
    var sentCount = 0
    /// What it keeps to say again.
    private var heard: [[UInt8]] = []
    /// What a copied machine says.
    private var clone: ClonedMember?
    /// Whom it speaks to.
    var receiver: PublicKey?
    /// Nonce sets that it made up.
    var inventedCount: UInt32 = 0

    init(
        _ cheat: SigningCheat, _ request: SigningRequest, _ terms: RequestTerms, _ policy: any SpendingPolicy, _ roster: Roster,
        _ enrolment: Enrolment
    ) {
        self.cheat = cheat
        self.request = request
        self.terms = terms
        self.policy = policy
        self.roster = roster
        self.enrolment = enrolment
        if cheat == .clones { self.clone = ClonedMember(request, policy, enrolment) }
    }

    mutating func hear(_ message: [UInt8]) {
        if self.cheat == .replays, self.heard.count < 64 { self.heard.append(message) }
        guard self.clone != nil, let content = try? CoordinationMessage.Head(parsing: message).content(self.roster) else { return }
        self.clone?.hear(content)
    }

    /// What it sends in place of a message.
    ///
    /// - Parameter receiver: the receiver's place.
    mutating func said(
        _ message: [UInt8], to receiver: Int, now: Duration, key: borrowing SecretKey, identity: borrowing Ed25519.SecretKey,
        random: inout SeededRandom
    ) -> [[UInt8]] {
        guard let head = try? CoordinationMessage.Head(parsing: message), let content = try? head.content(self.roster) else {
            return [message]
        }
        let roster = self.roster
        func with(_ content: CoordinationMessage.Content, sequence: UInt64? = nil) -> [UInt8] {
            CoordinationMessage(
                request: head.request, series: head.series, sequence: sequence ?? head.sequence, acknowledged: head.acknowledged,
                content: content
            ).serialized(roster)
        }
        if var clone = self.clone, let receiver = self.receiver {
            let said = clone.said(content, to: receiver, incarnation: self.incarnation, key: key, identity: identity)
            self.clone = clone
            return (said.content.map { [with($0)] } ?? []) + said.beside.map { with($0, sequence: 0) }
        }
        let isOdd = receiver % 2 == 1
        if let said = self.saidOfProposals(content, message, head, to: receiver, identity: identity) { return said }
        if self.request.usesNonceCommitments,
            let said = self.saidWithCommitments(
                content, message, to: receiver, key: key, identity: identity, with: { with($0, sequence: $1) })
        {
            return said
        }
        switch (self.cheat, content) {
        case (.silent, _): return now > .seconds(1) ? [] : [message]
        case (.withholds, .partialSignatures), (.withholds, .complete): return []
        case (.wrongPartialSignatures, .partialSignatures(let statement)):
            guard case .partialSignatures(let transcript, let items) = statement.body else { return [message] }
            // The number one: less than the order, and nobody's partial signature.
            let one = [UInt8](repeating: 0, count: 31) + [1]
            return [
                with(
                    .partialSignatures(
                        self.say(.partialSignatures(transcript: transcript, items.map { _ in one }), like: statement, identity)))
            ]
        case (.malformedPartialSignatures, .partialSignatures(let statement)):
            guard case .partialSignatures(let transcript, let items) = statement.body else { return [message] }
            let none = [UInt8](repeating: 0xff, count: 32)
            return [
                with(
                    .partialSignatures(
                        self.say(.partialSignatures(transcript: transcript, items.map { _ in none }), like: statement, identity)))
            ]
        case (.malformedNonces, .approval(let turn, let highest, let statement)):
            guard case .approval(let serial, let name, let items) = statement.body else { return [message] }
            let none = [UInt8](repeating: 0xff, count: 66)
            return [
                with(
                    .approval(
                        turn: turn, highest: highest,
                        self.say(.approval(serial: serial, name, items.map { _ in none }), like: statement, identity)))
            ]
        case (.conflictingNonces, .approval(let turn, let highest, let statement)):
            guard case .approval(let serial, let name, let items) = statement.body, let other = try? Self.nonces(items.count, of: key)
            else { return [message] }
            let second = self.say(.approval(serial: serial, name, other), like: statement, identity)
            return [message, with(.approval(turn: turn, highest: highest, second), sequence: 0)]
        case (.conflictingBegins, .begin(let statement, let approvals)):
            guard case .begin(let incarnation, _) = statement.body else { return [message] }
            let other = self.say(
                .begin(incarnation: incarnation, transcript: SHA256.hash(Array("\(receiver)".utf8))), like: statement, identity)
            return [message, with(.begin(other, approvals: approvals), sequence: 0)]
        case (.begins, .begin(let statement, let approvals)):
            let ahead = Statement(
                statement.body, request: statement.request, attempt: statement.attempt + UInt32(self.policy.members.count) * 40,
                enrolment: self.enrolment,
                identity: identity)
            return [message, with(.begin(ahead, approvals: approvals), sequence: 0)]
        case (.turns, .standing(var standing)):
            // The farthest that is believed of one, or beyond.
            standing.turn = isOdd ? 256 * UInt32(self.policy.members.count) : 900_000
            standing.highest = 900_000
            return [with(.standing(standing))]
        case (.turns, .approval(let turn, _, let statement)):
            return [with(.approval(turn: isOdd ? turn : turn + UInt32(self.policy.members.count) * 200, highest: 900_000, statement))]
        case (.climbs, .approval(let turn, let highest, let statement)):
            let size = UInt32(self.policy.members.count)
            let claim = max(turn, highest) + size * [2, 7, 8, 63][Int.random(in: 0..<4, using: &random)]
            return [with(.approval(turn: turn, highest: claim, statement))]
        case (.climbs, .partialSignatures): return []
        case (.leaves, .partialSignatures(let statement)):
            guard case .partialSignatures(_, let items) = statement.body, let serial,
                let set = try? Self.nonces(items.count, of: key)
            else { return [message] }
            self.inventedCount += 1
            let name = NonceName(known: self.incarnation, counter: 1_000_000 + self.inventedCount)
            let approval = Statement(
                .approval(serial: serial, name, set), request: statement.request, attempt: 0, enrolment: self.enrolment,
                identity: identity)
            return [with(.approval(turn: statement.attempt, highest: 0, approval))]
        case (.replays, _): return [message, message] + self.heard.suffix(2)
        case (.garbles, _):
            guard Int.random(in: 0..<3, using: &random) == 0 else { return [message] }
            var garbled = message
            let place = Int.random(in: 0..<garbled.count, using: &random)
            garbled[place] ^= 1 << UInt8.random(in: 0..<8, using: &random)
            return [garbled, Array(message.prefix(place)), message]
        // So much is enough to see what it does to the others.
        case (.floods, _): return Array(repeating: message, count: self.sentCount < 2_000 ? 20 : 1)
        case (.frames, .begin(let statement, let approvals)):
            return [message, with(.evidence(self.slander(statement, approvals).serialized()), sequence: 0)]
        case (.frames, .approval(_, _, let statement)):
            return [message, with(.evidence(self.slander(statement, [statement]).serialized()), sequence: 0)]
        case (.lies, .standing), (.lies, .approval), (.lies, .partialSignatures):
            return [
                message, with(.cancellation(self.statement(.cancellation, identity: identity)), sequence: 0),
                with(.complete(.init(signers: self.policy.onlySet ?? self.policy.members, signatures: [])), sequence: 0),
                with(.renewal(turn: 1), sequence: 0), with(.enrolmentsWanted([0]), sequence: 0),
            ]
        default: return [message]
        }
    }

    /// Says something in the place of a statement of its machine.
    func say(_ body: Statement.Body, like statement: Statement, _ identity: borrowing Ed25519.SecretKey) -> Statement {
        Statement(body, request: statement.request, attempt: statement.attempt, enrolment: self.enrolment, identity: identity)
    }

    private func statement(_ body: Statement.Body, identity: borrowing Ed25519.SecretKey) -> Statement {
        Statement(body, request: self.request.digest, attempt: 0, enrolment: self.enrolment, identity: identity)
    }

    /// Nonces that are some, of which nobody keeps the secret halves.
    static func nonces(_ count: Int, of key: borrowing SecretKey) throws(MuSig2Error) -> [[UInt8]] {
        var nonces: [[UInt8]] = []
        for _ in 0..<count { nonces.append(try SecretNonce(for: key, extraInput: Bytes32()).publicNonce.bytes) }
        return nonces
    }

    /// What is said in good faith, put together as if it proved something.
    func slander(_ statement: Statement, _ others: [Statement]) -> Evidence {
        let set = self.policy.onlySet ?? self.policy.chooseSet(among: Set(self.policy.members)) ?? self.policy.members
        guard let plan = try? SigningPlan(request: self.request, under: self.policy, set: set) else {
            preconditionFailure("all members can sign")
        }
        return Evidence(plan: plan, attempt: statement.attempt, statements: others + [statement])
    }
}
