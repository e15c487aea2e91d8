internal import Bitcoin
internal import CryptoPrimitives
internal import MuSig2
internal import Secp256k1
internal import Signing

/// What must hold of a signing, whatever happens, and each breach of it that was seen.
public enum SigningViolation: Hashable, Sendable, CustomStringConvertible {
    /// One nonce served two transcripts.
    case nonceReused(member: Int)
    /// A partial signature left before its decision was durable.
    case releasedBeforeDurable(member: Int)
    /// Somebody honest was said to be at fault.
    case honestBlamed(member: Int, by: Int)
    /// What a member holds complete does not verify.
    case doesNotVerify(member: Int)
    /// Two members hold different transactions complete.
    case differentTransactions
    /// Enough honest members agreed and could talk long enough, and this one does not hold it complete.
    case notCompleted(member: Int)
    /// A member signed that had not agreed.
    case signedUnapproved(member: Int)
    /// It does not come to an end: something is due again and again.
    case endless(atSecond: Int)
    /// More than its bound.
    case bound(String, member: Int, actual: Int, limit: Int)

    public var description: String {
        switch self {
        case .nonceReused(let member): "member \(member) used one nonce for two transcripts"
        case .releasedBeforeDurable(let member): "member \(member) released a partial signature before its decision was durable"
        case .honestBlamed(let member, let by): "member \(by) blamed member \(member), which is honest"
        case .doesNotVerify(let member): "what member \(member) holds complete does not verify"
        case .differentTransactions: "members hold different transactions complete"
        case .notCompleted(let member): "member \(member) did not complete, though enough honest members agreed"
        case .signedUnapproved(let member): "member \(member) signed without having agreed"
        case .endless(let second): "at second \(second) something is due again and again"
        case .bound(let what, let member, let actual, let limit): "member \(member): \(actual) \(what), and the limit is \(limit)"
        }
    }
}

/// Keeps count of what honest members did, and says what of it must not be.
///
/// Each rule is checked by itself, from what left the processes and what stands in their journals, not from what machines say of
/// themselves.
struct SigningLedger {
    private(set) var violations: Set<SigningViolation> = []
    private var transcripts: [PublicNonce: Bytes32] = [:]
    private var completed: Transaction?

    /// Most messages that an honest member sends in a request, for each other member, beside one for each that a cheat sends it: nobody is
    /// made to say more than was said to it.
    static let messageCountMax = 2_000

    mutating func decided(_ record: BurnRecord, by place: Int, hasApproved: Bool) {
        for nonce in record.nonces {
            if let other = self.transcripts[nonce], other != record.transcript { self.violations.insert(.nonceReused(member: place)) }
            self.transcripts[nonce] = record.transcript
        }
        if !hasApproved { self.violations.insert(.signedUnapproved(member: place)) }
    }

    /// What an honest member sends is looked at as any stranger could.
    mutating func sent(_ message: [UInt8], by host: SigningHost, _ roster: Roster) {
        guard let head = try? CoordinationMessage.Head(parsing: message), let content = try? head.content(roster),
            case .partialSignatures(let statement) = content, case .partialSignatures(let transcript, _) = statement.body
        else { return }
        guard !host.journal.contains(where: { $0.attempt == statement.attempt && $0.transcript == transcript }) else { return }
        self.violations.insert(.releasedBeforeDurable(member: host.place))
    }

    mutating func blamed(_ signer: PublicKey, by host: SigningHost, among hosts: [SigningHost]) {
        guard let blamed = hosts.first(where: { $0.signer == signer }), blamed.cheat == nil else { return }
        self.violations.insert(.honestBlamed(member: blamed.place, by: host.place))
    }

    mutating func completed(_ transaction: Transaction, of request: SigningRequest, by place: Int, policy: any SpendingPolicy) {
        if !Self.verifies(transaction, request, policy) { self.violations.insert(.doesNotVerify(member: place)) }
        if let completed, completed.txid != transaction.txid { self.violations.insert(.differentTransactions) }
        self.completed = self.completed ?? transaction
    }

    /// The signatures in the witnesses against the coins' own scripts, worked out anew.
    private static func verifies(_ transaction: Transaction, _ request: SigningRequest, _ policy: any SpendingPolicy) -> Bool {
        guard let cache = try? SighashCache(transaction, prevouts: request.prevouts) else { return false }
        for (index, prevout) in request.prevouts.enumerated() where prevout.scriptPubKey == policy.scriptPubKey {
            let witness = transaction.inputs[index].witness.items
            guard let first = witness.first, let signature = try? SchnorrSignature(parsing: first),
                case .payToTaproot(let output) = prevout.scriptPubKey.kind
            else { return false }
            let key: XOnlyPublicKey?
            var leaf: TapLeafHash?
            if witness.count == 1 {
                key = try? XOnlyPublicKey(output)
            } else {
                // <32-byte key> OP_CHECKSIG, and the control block that proves it to be the coin's.
                let script = Script(witness[1])
                guard witness.count == 3, let block = try? ControlBlock(parsing: witness[2]),
                    block.output(committingTo: script)?.scriptPubKey == prevout.scriptPubKey, script.bytes.count == 34,
                    let bytes = Bytes32(script.bytes[1..<33])
                else { return false }
                key = try? XOnlyPublicKey(bytes)
                leaf = TapLeaf(script: script).hash
            }
            guard let key, let message = try? cache.taprootSighash(input: index, type: request.sighashTypes[index], leaf: leaf),
                signature.isValid(for: message, by: key)
            else { return false }
        }
        return true
    }

    mutating func note(_ violation: SigningViolation) { self.violations.insert(violation) }

    mutating func wentOnForEver(at time: Duration) {
        self.violations.insert(.endless(atSecond: Int(time.components.seconds)))
    }

    /// When all is over.
    mutating func close(_ hosts: [SigningHost], scenario: SigningScenario) {
        for host in hosts where host.cheat == nil {
            let limit = Self.messageCountMax * (hosts.count - 1) + host.heardFromCheats
            if host.sentCount > limit {
                self.violations.insert(.bound("messages", member: host.place, actual: host.sentCount, limit: limit))
            }
            guard scenario.mustComplete, !scenario.refusers.contains(host.place), host.transaction == nil else { continue }
            self.violations.insert(.notCompleted(member: host.place))
        }
    }
}
