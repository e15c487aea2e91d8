internal import CryptoPrimitives
internal import MuSig2
internal import Secp256k1
internal import Signing

/// Two copies of one member's memory, as others see them: the same nonces are offered to everybody, and used as often as somebody begins an
/// attempt with them.
///
/// Nothing is signed before two attempts have begun, and nothing else is let out that would bring the request to its end: a clone that is
/// of use to nobody, and gives its key away.
struct ClonedMember {
    private let request: SigningRequest
    private let policy: any SpendingPolicy
    private let enrolment: Enrolment
    private let nonces: [RepeatedNonce]
    /// Attempts that take its nonces.
    private var begun: [(coordinator: PublicKey, attempt: UInt32, plan: SigningPlan, transcript: Bytes32, sets: [NonceSet])] = []
    /// How often each was signed, so that it arrives.
    private var signedCounts: [Bytes32: Int] = [:]

    private static let (begunCountMax, signedCountMax) = (4, 12)

    init(_ request: SigningRequest, _ policy: any SpendingPolicy, _ enrolment: Enrolment) {
        self.request = request
        self.policy = policy
        self.enrolment = enrolment
        let script = policy.scriptPubKey
        let inputs = request.prevouts.indices.filter { request.prevouts[$0].scriptPubKey == script }
        do {
            self.nonces = try inputs.map { try RepeatedNonce(seed: enrolment.signer.bytes + request.digest.bytes + [UInt8($0)]) }
        } catch { preconditionFailure("a hash is a secret key: \(error)") }
    }

    mutating func hear(_ content: CoordinationMessage.Content) {
        guard case .begin(let statement, let approvals) = content, self.begun.count < Self.begunCountMax,
            let own = approvals.first(where: { $0.sender == self.enrolment.signer })?.namedNonces?.items,
            own == self.nonces.map(\.publicNonce),
            let plan = try? SigningPlan(request: self.request, under: self.policy, set: approvals.map(\.sender))
        else { return }
        let sets = approvals.compactMap { try? $0.nonceSet() }
        guard sets.count == plan.signers.count else { return }
        let transcript = plan.transcript(attempt: statement.attempt, nonceSets: sets)
        guard !self.begun.contains(where: { $0.transcript == transcript }) else { return }
        self.begun.append((statement.sender, statement.attempt, plan, transcript, sets))
    }

    /// What it says to a receiver beside, or in place of, what its machine does; `nil` for that itself.
    mutating func said(
        _ content: CoordinationMessage.Content, to receiver: PublicKey, incarnation: [UInt8], key: borrowing SecretKey,
        identity: borrowing Ed25519.SecretKey
    ) -> (content: CoordinationMessage.Content?, beside: [CoordinationMessage.Content]) {
        var beside: [CoordinationMessage.Content] = []
        if self.begun.count > 1 {
            for attempt in self.begun where attempt.coordinator == receiver {
                let count = self.signedCounts[attempt.transcript] ?? 0
                guard count < Self.signedCountMax, let statement = self.sign(attempt, key: key, identity: identity) else { continue }
                self.signedCounts[attempt.transcript] = count + 1
                beside.append(.partialSignatures(statement))
            }
        }
        switch content {
        case .begin, .partialSignatures, .complete: return (nil, beside)
        case .approval(let turn, let highest, let statement):
            guard case .approval(let serial, _, let items) = statement.body, !items.isEmpty else { return (content, beside) }
            let body = Statement.Body.approval(
                serial: serial, NonceName(known: incarnation, counter: 1), self.nonces.map(\.publicNonce))
            return (.approval(turn: turn, highest: highest, self.say(body, attempt: 0, identity)), beside)
        default: return (content, beside)
        }
    }

    private func sign(
        _ begun: (coordinator: PublicKey, attempt: UInt32, plan: SigningPlan, transcript: Bytes32, sets: [NonceSet]),
        key: borrowing SecretKey, identity: borrowing Ed25519.SecretKey
    ) -> Statement? {
        var partials: [[UInt8]] = []
        for (place, input) in begun.plan.inputs.enumerated() {
            guard
                let context = try? SigningContext(
                    keys: input.keys, nonces: begun.sets.map { $0.nonces[place] }, message: input.message),
                let partial = self.nonces[place].sign(with: key, in: context)
            else { return nil }
            partials.append(partial.bytes.bytes)
        }
        return self.say(.partialSignatures(transcript: begun.transcript, partials), attempt: begun.attempt, identity)
    }

    private func say(_ body: Statement.Body, attempt: UInt32, _ identity: borrowing Ed25519.SecretKey) -> Statement {
        Statement(body, request: self.request.digest, attempt: attempt, enrolment: self.enrolment, identity: identity)
    }
}
