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
    /// An honest member's machine was said to run twice.
    case falseAlarm(member: Int, by: Int)
    /// One nonce served two transcripts before this member's eyes, and nobody said so.
    case cloneUnnoticed(by: Int)
    /// Somebody honest is not heard any more.
    case honestBlocked(member: Int, by: Int)
    /// Nonces were shown before everybody's commitments had come.
    case shownEarly(member: Int)
    /// What a member holds complete does not verify.
    case doesNotVerify(member: Int)
    /// What a member holds complete is another transaction than the one that it was asked for; or it holds signatures that no attempt made
    /// which all honest members of their set decided to sign.
    case differentTransactions(member: Int)
    /// Enough honest members agreed and could talk long enough, and this one does not hold it complete.
    case notCompleted(member: Int)
    /// A member signed that had not agreed.
    case signedUnapproved(member: Int)
    /// A member signed by itself what its owner's policy does not let out.
    case signedBeyondPolicy(member: Int, String)
    /// Long after the request's time a member still holds it open.
    case notOver(member: Int)
    /// It does not come to an end: something is due again and again.
    case endless(atSecond: Int)
    /// More than its bound.
    case bound(String, member: Int, actual: Int, limit: Int)

    /// The rule that it breaks, by a name that does not tell by whom.
    public var rule: String {
        switch self {
        case .nonceReused: "nonceReused"
        case .releasedBeforeDurable: "releasedBeforeDurable"
        case .honestBlamed: "honestBlamed"
        case .falseAlarm: "falseAlarm"
        case .cloneUnnoticed: "cloneUnnoticed"
        case .honestBlocked: "honestBlocked"
        case .shownEarly: "shownEarly"
        case .doesNotVerify: "doesNotVerify"
        case .differentTransactions: "differentTransactions"
        case .notCompleted: "notCompleted"
        case .signedUnapproved: "signedUnapproved"
        case .signedBeyondPolicy: "signedBeyondPolicy"
        case .notOver: "notOver"
        case .endless: "endless"
        case .bound(let what, _, _, _): what
        }
    }

    public var description: String {
        switch self {
        case .nonceReused(let member): "member \(member) used one nonce for two transcripts"
        case .releasedBeforeDurable(let member): "member \(member) released a partial signature before its decision was durable"
        case .honestBlamed(let member, let by): "member \(by) blamed member \(member), which is honest"
        case .falseAlarm(let member, let by): "member \(by) said that member \(member) runs twice, which it does not"
        case .cloneUnnoticed(let by): "member \(by) saw one nonce under two transcripts, and nobody heard of it"
        case .honestBlocked(let member, let by): "member \(by) does not hear member \(member) any more, which is honest"
        case .shownEarly(let member): "member \(member) showed its nonces before it had heard what all others committed to"
        case .doesNotVerify(let member): "what member \(member) holds complete does not verify"
        case .differentTransactions(let member):
            "member \(member) holds another transaction complete than was asked for, or signatures of no attempt that its signers decided on"
        case .notCompleted(let member): "member \(member) did not complete, though enough honest members agreed"
        case .signedUnapproved(let member): "member \(member) signed without having agreed"
        case .signedBeyondPolicy(let member, let what): "member \(member) signed by itself, and its policy does not allow that: \(what)"
        case .notOver(let member): "member \(member) holds the request open after its time"
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
    /// Who decided to sign under a transcript.
    private var deciders: [Bytes32: Set<Int>] = [:]
    /// What members hold complete and verifies, with its signatures, and whose they are.
    private var completions: [(place: Int, transaction: Transaction, signers: Set<PublicKey>)] = []
    /// Transcripts under which each honest member saw a cloned member sign, in the life of its process that it is in.
    private var clonesHeard: [Int: Set<Bytes32>] = [:]
    /// Members that lost their disks.
    private var forgetful: Set<Int> = []
    private(set) var isAlarmed = false
    /// What each member heard that all of a set committed to: by its own commitment.
    private var shown: [Int: [NonceName: [Statement]]] = [:]

    /// Most messages that an honest member sends in a request, for each other member, beside one for each that a cheat sends it: nobody is
    /// made to say more than was said to it.
    static let messageCountMax = 2_000

    mutating func decided(_ record: BurnRecord, by place: Int, hasApproved: Bool) {
        for nonce in record.nonces {
            if let other = self.transcripts[nonce], other != record.transcript { self.violations.insert(.nonceReused(member: place)) }
            self.transcripts[nonce] = record.transcript
        }
        self.deciders[record.transcript, default: []].insert(place)
        if !hasApproved { self.violations.insert(.signedUnapproved(member: place)) }
    }

    /// Commitments that a member is shown.
    mutating func heard(_ message: [UInt8], by place: Int, _ roster: Roster) {
        guard let head = try? CoordinationMessage.Head(parsing: message), head.holdsCommitments,
            case .commitments(_, let statements)? = try? head.content(roster)
        else { return }
        for case .commitment(_, let name, _) in statements.map(\.body) where self.shown[place]?[name] == nil {
            self.shown[place, default: [:]][name] = statements
        }
    }

    /// Nonces leave a member for themselves: what all of a set committed to, itself among them, was there before.
    mutating func showed(_ message: [UInt8], by place: Int, _ roster: Roster) {
        guard let head = try? CoordinationMessage.Head(parsing: message), head.holdsNoncesAlone,
            case .opening(_, let statement)? = try? head.content(roster)
        else { return }
        if let name = statement.namedNonces?.name, let set = self.shown[place]?[name],
            set.contains(where: { $0.sender == statement.sender }),
            set.allSatisfy({ if case .commitment = $0.body { true } else { false } })
        {
            return
        }
        self.violations.insert(.shownEarly(member: place))
    }

    /// What an honest member sends is looked at as any stranger could.
    mutating func sent(_ message: [UInt8], by place: Int, journal: [BurnRecord], _ roster: Roster) {
        guard let head = try? CoordinationMessage.Head(parsing: message), head.holdsPartialSignatures,
            case .partialSignatures(let statement)? = try? head.content(roster),
            case .partialSignatures(let transcript, _) = statement.body
        else { return }
        guard !journal.contains(where: { $0.attempt == statement.attempt && $0.transcript == transcript }) else { return }
        self.violations.insert(.releasedBeforeDurable(member: place))
    }

    mutating func blamed(_ signer: PublicKey, by host: SigningHost, among hosts: [SigningHost]) {
        guard let blamed = hosts.first(where: { $0.signer == signer }), blamed.cheat == nil else { return }
        self.violations.insert(.honestBlamed(member: blamed.place, by: host.place))
    }

    /// Partial signatures of a member that runs twice arrive at an honest one, from itself or out of the hands of who compares them.
    mutating func heardClone(_ message: [UInt8], by place: Int, clones: Set<PublicKey>, _ roster: Roster) {
        guard let head = try? CoordinationMessage.Head(parsing: message), head.holdsPartialSignatures || head.holdsNonceUse,
            let content = try? head.content(roster)
        else { return }
        let statement: Statement? =
            switch content {
            case .partialSignatures(let statement): statement
            case .nonceUse(let bytes): (try? Evidence(parsing: bytes))?.statements.last
            default: nil
            }
        guard let statement, clones.contains(statement.sender), case .partialSignatures(let transcript, _) = statement.body else { return }
        self.clonesHeard[place, default: []].insert(transcript)
    }

    /// A process ends, and what it has heard with it; with its disk also what it began, which what comes then can rest on.
    mutating func forgot(_ place: Int, losesDisk: Bool) {
        self.clonesHeard[place] = nil
        if losesDisk { self.forgetful.insert(place) }
    }

    mutating func alarmed(about signer: PublicKey, by place: Int, isClone: Bool, member: Int) {
        if isClone { self.isAlarmed = true } else { self.violations.insert(.falseAlarm(member: member, by: place)) }
    }

    /// - Parameter signers: whose signatures they are, as the member itself says.
    mutating func completed(
        _ transaction: Transaction, by signers: [PublicKey], of request: SigningRequest, at place: Int, policy: any SpendingPolicy
    ) {
        guard Self.verifies(transaction, request, policy) else {
            self.violations.insert(.doesNotVerify(member: place))
            return
        }
        if transaction.txid != request.transaction.txid { self.violations.insert(.differentTransactions(member: place)) }
        self.completions.append((place, transaction, Set(signers)))
    }

    /// Everywhere the same: that is the requested transaction, whose id says all of it but the witnesses; and in them signatures that may
    /// differ only as far as there were different attempts, each of which makes one list of signatures. So of one set there are no more
    /// lists than transcripts on which all of its honest members decided.
    ///
    /// - Parameter honest: the honest members' places.
    mutating func compareCompletions(honest: [PublicKey: Int]) {
        var lists: [Set<PublicKey>: [[UInt8]]] = [:]
        for (place, transaction, signers) in self.completions {
            let places = Set(signers.compactMap { honest[$0] })
            // Those who all cheat sign as often as they like.
            guard !places.isEmpty else { continue }
            let bytes = transaction.serialized()
            guard !(lists[signers]?.contains(bytes) ?? false) else { continue }
            lists[signers, default: []].append(bytes)
            let attemptCount = self.deciders.values.count { places.isSubset(of: $0) }
            if lists[signers]?.count ?? 0 > attemptCount { self.violations.insert(.differentTransactions(member: place)) }
        }
    }

    /// The signatures in the witnesses against the coins' own scripts, worked out anew.
    private static func verifies(_ transaction: Transaction, _ request: SigningRequest, _ policy: any SpendingPolicy) -> Bool {
        guard let cache = try? SighashCache(transaction, prevouts: request.prevouts) else { return false }
        // What the policy's signers do not sign has no witness of theirs.
        for (index, prevout) in request.prevouts.enumerated()
        where prevout.scriptPubKey != policy.scriptPubKey && !transaction.inputs[index].witness.items.isEmpty { return false }
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

    /// Whether it was broken off: then nothing can be said of what would have come.
    private var wasBrokenOff: Bool { self.violations.contains { if case .endless = $0 { true } else { false } } }

    /// When all is over.
    mutating func close(_ hosts: [SigningHost], scenario: SigningScenario) {
        self.compareCompletions(
            honest: Dictionary(uniqueKeysWithValues: hosts.filter { $0.cheat == nil }.map { ($0.signer, $0.place) }))
        for (place, transcripts) in self.clonesHeard
        where transcripts.count > 1 && !self.isAlarmed && !self.forgetful.contains(place) {
            self.violations.insert(.cloneUnnoticed(by: place))
        }
        for host in hosts where host.cheat == nil {
            let limit = Self.messageCountMax * (hosts.count - 1) + host.heardFromCheats
            if host.sentCount > limit {
                self.violations.insert(.bound("messages", member: host.place, actual: host.sentCount, limit: limit))
            }
            guard scenario.mustComplete, !self.wasBrokenOff, !scenario.refusers.contains(host.place), host.transaction == nil else {
                continue
            }
            self.violations.insert(.notCompleted(member: host.place))
        }
    }
}
