internal import Bitcoin
internal import CryptoPrimitives
internal import MuSig2
internal import Secp256k1

// The clone alarm. A nonce that signs under two transcripts gives its key away. No process does that, for a nonce goes with its use; two
// copies of one memory can, when each is asked to sign with other members. It cannot be undone, so what is left is to say so, to everybody
// and to the owner.
//
//     partial signatures, and the begin that they answer ──▶ a use of nonces ──▶ two of one nonce? ──▶ the alarm, to all
//     a begin that takes nonces whose use is known ──▶ its coordinator is told of that use: it may hold the other one
//
// Who coordinates sees signatures, so two coordinators may have one each, and each of them only a begin of the other's: hence the second
// line. A use that is told is compared, and goes no further. An alarm goes to everybody from whoever found it, and no further either.

extension Coordination {
    /// The signers of whom it is proved here that one nonce served two transcripts, with the proof.
    public var cloneAlarms: [CloneAlarm] { self.clones.alarms.map(\.alarm) }

    /// The same, with whether this process found it itself, in this life or a former one.
    public var cloneAlarmsByFinder: [(alarm: CloneAlarm, isFoundHere: Bool)] { self.clones.alarms }

    // MARK: What is seen

    /// An attempt begins, here or elsewhere. Whether anybody may sign it is another question.
    mutating func watch(begin statement: Statement, _ approvals: [Statement], plan: SigningPlan? = nil, now: Moment) {
        guard case .begin(_, let transcript) = statement.body, approvals.count <= self.policy.members.count else { return }
        let byteCount = approvals.reduce(0) { $0 + $1.contributionByteCount }
        let begun = CloneWatch.Begun(
            transcript: transcript, attempt: statement.attempt, coordinator: statement.sender, approvals: approvals, plan: plan,
            byteCount: byteCount)
        guard self.clones.note(begun), begun.coordinator != self.signer else { return }
        for approval in approvals {
            guard let nonce = approval.namedNonces?.items.first,
                let use = self.clones.sightings.use(of: approval.sender, nonce: nonce), use.transcript != transcript
            else { continue }
            self.tell(begun.coordinator, of: use, now: now)
        }
    }

    /// Somebody's partial signatures, its word on them verified, whether the attempt is still of any use or not. Ours too.
    mutating func watch(partialSignatures statement: Statement, now: Moment) {
        guard let transcript = statement.signedTranscript, self.policy.members.contains(statement.sender),
            !self.clones.sightings.holds(transcript, of: statement.sender)
        else { return }
        var plans: [[PublicKey]: SigningPlan] = [:]
        for begun in self.clones.begun where begun.transcript == transcript && begun.plan == nil {
            let set = begun.approvals.map(\.sender)
            plans[set] = try? self.plan(of: set)
        }
        guard let begun = self.clones.begun(transcript, attempt: statement.attempt, plan: { plans[$0] }), let plan = begun.plan,
            let use = NonceUse(plan: plan, attempt: begun.attempt, nonces: begun.approvals, statement: statement)
        else { return }
        self.note(use, now: now)
    }

    private mutating func note(_ use: NonceUse, now: Moment) {
        if let other = self.clones.sightings.note(use) {
            if let alarm = CloneAlarm(use, other) { self.raise(alarm, now: now) }
            return
        }
        // The same signer's nonces may serve in another of its requests.
        self.actions.append(.sighted(use))
        for begun in self.clones.begun where begun.coordinator != self.signer && begun.transcript != use.transcript {
            guard let nonce = begun.firstNonce(of: use.signer), nonce == use.items.first else { continue }
            self.tell(begun.coordinator, of: use, now: now)
        }
    }

    private mutating func tell(_ member: PublicKey, of use: NonceUse, now: Moment) {
        guard member != self.signer, self.links[member] != nil, let place = self.clones.mayTell(member, of: use) else { return }
        let bytes = use.evidence.serialized()
        guard bytes.count <= CoordinationMessage.evidenceByteCountMax else { return }
        self.put(.nonceUse(place), .nonceUse(bytes), to: member, now: now)
    }

    // MARK: The alarm

    /// Somebody who sees all of a signer's requests found it.
    public mutating func raise(_ alarm: CloneAlarm, now: Moment) { self.raise(alarm, isFoundHere: true, now: now) }

    /// A former life of this process raised it: who has not heard of it then hears of it now. Its owner knows.
    public mutating func restore(_ alarm: CloneAlarm, isFoundHere: Bool, now: Moment) {
        let actionCount = self.actions.count
        self.raise(alarm, isFoundHere: isFoundHere, now: now)
        self.actions.removeSubrange(actionCount...)
    }

    private mutating func raise(_ alarm: CloneAlarm, isFoundHere: Bool, now: Moment) {
        guard self.policy.members.contains(alarm.signer), !self.clones.alarms.contains(where: { $0.alarm.signer == alarm.signer }),
            self.clones.alarms.count < CloneAlarm.countPerRequestMax
        else { return }
        let place = self.clones.alarms.count
        self.clones.alarms.append((alarm, isFoundHere))
        self.tell(.cloneAlarm(alarm, isFoundHere: isFoundHere))
        guard isFoundHere else { return }
        let bytes = alarm.serialized()
        guard bytes.count <= CloneAlarm.byteCountMax else { return }
        for member in self.others { self.put(.cloneAlarm(place), .cloneAlarm(bytes), to: member, now: now) }
    }

    // MARK: What others say of it

    mutating func take(nonceUse bytes: [UInt8], from sender: PublicKey, now: Moment) -> CoordinationReception {
        let count = self.clones.heard[sender]?.uses ?? 0
        guard count < CloneWatch.useCountPerMemberMax else { return .ignored }
        self.clones.heard[sender, default: (0, 0)].uses = count + 1
        let evidence: Evidence
        do { evidence = try Evidence(parsing: bytes) } catch { return .refused(.malformed(error)) }
        guard evidence.request.digest == self.requestDigest, let use = NonceUse(evidence), self.policy.members.contains(use.signer) else {
            return .refused(.inconsistent("no use of a member's nonces"))
        }
        self.note(use, now: now)
        return .accepted
    }

    mutating func take(cloneAlarm bytes: [UInt8], from sender: PublicKey, now: Moment) -> CoordinationReception {
        let count = self.clones.heard[sender]?.alarms ?? 0
        guard count < CloneWatch.alarmCountPerMemberMax else { return .ignored }
        self.clones.heard[sender, default: (0, 0)].alarms = count + 1
        let alarm: CloneAlarm
        do { alarm = try CloneAlarm(parsing: bytes) } catch { return .refused(.malformed(error)) }
        guard alarm.isAbout(self.requestDigest), self.policy.members.contains(alarm.signer) else {
            return .refused(.inconsistent("a clone alarm about other signers or requests"))
        }
        self.raise(alarm, isFoundHere: false, now: now)
        return .accepted
    }

    // MARK: After a restart

    /// What a former life of this process said or heard, out of its transcript: so that a nonce that served then is known now. Nothing else
    /// follows from it.
    ///
    /// - Parameter message: as it went or came.
    public mutating func recall(_ message: [UInt8], now: Moment) {
        guard let head = try? CoordinationMessage.Head(parsing: message), head.request == self.requestDigest, head.isOfClones,
            let content = try? head.content(self.roster)
        else { return }
        switch content {
        case .begin(let statement, let approvals): self.watch(begin: statement, approvals, now: now)
        case .partialSignatures(let statement): self.watch(partialSignatures: statement, now: now)
        default: break
        }
    }

    /// Whether a message is one of those that `recall` looks at.
    public static func isWorthRecalling(_ message: [UInt8]) -> Bool {
        (try? CoordinationMessage.Head(parsing: message))?.isOfClones ?? false
    }
}

extension CoordinationMessage.Head {
    /// Whether an attempt's begin follows, or partial signatures.
    fileprivate var isOfClones: Bool { self.kind == 4 || self.kind == 5 }
}
