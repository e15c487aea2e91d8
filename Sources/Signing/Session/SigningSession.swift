public import Bitcoin
public import CryptoPrimitives
internal import MuSig2
public import Secp256k1

/// One attempt of a set of signers to sign a plan (BIP-327, "General Signing Flow"), as one process sees it.
///
///     gathering ──sign, all nonces there──▶ signing ──all partial signatures there──▶ complete
///         └──────────────── close ────────────────┴──▶ closed
///
/// A value without clock, file or task. All inputs are signed in one exchange. Usually one of the signers is local; a process
/// that holds more keys makes nonces for each. Contributions may come in any order and any number of times: a repeat changes
/// nothing, and a contradiction is refused with the name of its signer.
///
/// Secret nonces live in here and nowhere else. They go with signing, with `close` and with the value itself.
public struct SigningSession: ~Copyable {
    /// Most names that one signer's nonces may have in one attempt, one a restart of its process.
    public static let nonceNameCountMax = NonceNameBook.nameCountMax

    public let plan: SigningPlan
    /// Number of the attempt, from 1. Nonces serve one attempt only.
    public let attempt: UInt32

    private var state: State
    private var names = NonceNameBook()
    private var ownSecrets = OwnedList<OwnNonces>()
    /// Signers for which this process made nonces; their contributions come from nowhere else.
    public private(set) var localSigners: Set<PublicKey> = []
    /// Shares that came before the transcript was fixed, the last of each signer.
    private var earlyShares: [PublicKey: SignatureShares] = [:]
    /// Signers whose shares came with another T1 than ours.
    private var sawOtherNonces: Set<PublicKey> = []

    private enum State {
        case gathering([PublicKey: NonceSet])
        case signing(Transcript)
        case complete(Transcript, [SchnorrSignature])
        case closed
    }

    /// What became of a contribution.
    public enum Outcome: Hashable, Sendable {
        case added
        /// The same as before; nothing changed.
        case repeated
        /// Shares that came early: the last of each signer wait until the transcript is fixed.
        case waiting
        /// A restarted signer's new nonces took the place of its old ones.
        case replaced
        /// Too late for this attempt, and no fault: its transcript is fixed, or the nonces were replaced already, or are older than
        /// those that stand.
        case ignored
    }

    public init(plan: SigningPlan, attempt: UInt32 = 1) {
        self.plan = plan
        self.attempt = attempt
        self.state = .gathering([:])
    }
}

// MARK: - Round 1

extension SigningSession {
    /// Makes the local signer's nonces, one for each signed input, or gives again the ones it made before.
    ///
    /// - Parameter name: this process's incarnation, and a counter never used with it.
    /// - Throws: `notASigner`, `closed`, `noOwnNonces` once another process or a signature used up the signer's place, or
    ///   `musig` with what stood in the way, a full arena for one.
    public mutating func generateNonces(for key: borrowing SecretKey, name: NonceName) throws(SigningError) -> NonceSet {
        let signer = key.publicKey
        try self.requireMember(signer)
        switch self.state {
        case .gathering(var sets):
            if let own = self.ownNonces(of: signer) { return own }
            let own = try OwnNonces(for: key, self.plan, attempt: self.attempt, name: name)
            let set = own.set
            self.ownSecrets.append(own)
            self.localSigners.insert(signer)
            self.names.note(name, set.digest, of: signer)
            sets[signer] = set
            self.state = .gathering(sets)
            return set
        case .signing, .complete:
            // A local signer's nonces stand in the transcript whether it has signed yet or another local signer fixed it first.
            guard let own = self.ownNonces(of: signer) else { throw .noOwnNonces(signer: signer) }
            return own
        case .closed: throw .closed
        }
    }

    /// Takes a local signer's nonces that were made before the set was known, and now serve this attempt.
    ///
    /// - Throws: `notASigner`, `closed`, `differentRequest`, `wrongCount`, `noOwnNonces` once the transcript is fixed. They are wiped
    ///   then.
    mutating func adopt(_ own: consuming OwnNonces) throws(SigningError) {
        let (signer, set) = (own.signer, own.set)
        try self.requireMember(signer)
        guard set.request == self.plan.requestDigest else { throw .differentRequest(signer: signer) }
        guard set.nonces.count == self.plan.inputs.count else {
            throw .wrongCount(.publicNonce, signer: signer, expected: self.plan.inputs.count, actual: set.nonces.count)
        }
        switch self.state {
        case .closed: throw .closed
        case .signing, .complete: throw .noOwnNonces(signer: signer)
        case .gathering(var sets):
            guard !self.localSigners.contains(signer) else { throw .noOwnNonces(signer: signer) }
            self.ownSecrets.append(own)
            self.localSigners.insert(signer)
            self.names.note(set.name, set.digest, of: signer)
            sets[signer] = set
            self.state = .gathering(sets)
        }
    }

    /// Takes the public nonces of another signer, or of a local one back from the wire.
    ///
    /// Of one incarnation the highest counter stands, in whatever order the sets come.
    ///
    /// - Throws: `conflictingNonces` for another content under a known name, `notASigner`, `differentRequest`, `differentAttempt`,
    ///   `wrongCount`, `ownNoncesFromOutside`, `tooManyNonceNames`, `closed`.
    public mutating func add(_ set: NonceSet, from signer: PublicKey) throws(SigningError) -> Outcome {
        try self.requireMember(signer)
        guard set.request == self.plan.requestDigest else { throw .differentRequest(signer: signer) }
        guard set.attempt == self.attempt || set.attempt == 0 else {
            throw .differentAttempt(signer: signer, expected: self.attempt, actual: set.attempt)
        }
        guard set.nonces.count == self.plan.inputs.count else {
            throw .wrongCount(.publicNonce, signer: signer, expected: self.plan.inputs.count, actual: set.nonces.count)
        }
        if case .closed = self.state { throw .closed }
        let digest = set.digest
        let isKnown = try self.names.knows(set.name, digest, of: signer)
        // A local signer's nonces are made here and come from nowhere else.
        guard isKnown || !self.localSigners.contains(signer) else { throw .ownNoncesFromOutside(signer: signer) }
        switch self.state {
        case .gathering(var sets):
            if let standing = sets[signer] {
                if standing == set { return .repeated }
                guard !isKnown else { return .ignored }
                if standing.name.incarnation == set.name.incarnation, set.name.counter < standing.name.counter {
                    self.names.note(set.name, digest, of: signer)
                    return .ignored
                }
            }
            self.names.note(set.name, digest, of: signer)
            self.state = .gathering([:])  // So that `sets` has one owner, and nothing is copied for each of a thousand signers.
            let outcome: Outcome = sets.updateValue(set, forKey: signer) == nil ? .added : .replaced
            self.state = .gathering(sets)
            return outcome
        case .signing(let transcript), .complete(let transcript, _):
            if transcript.nonceSets[signer] == set { return .repeated }
            self.names.note(set.name, digest, of: signer)
            return .ignored
        case .closed: throw .closed
        }
    }

    /// Secret nonces that are here and have not signed.
    var secretNonceCount: Int { self.ownSecrets.sum { $0.set.nonces.count } }

    /// The signers whose nonces are not here yet, in the set's order.
    public var missingNonces: [PublicKey] {
        guard case .gathering(let sets) = self.state else { return [] }
        return self.plan.signers.filter { sets[$0] == nil }
    }

    /// The nonces that this process made for the signer, or that a decision taken back rests on.
    public func ownNonces(of signer: PublicKey) -> NonceSet? {
        switch self.state {
        case .gathering(let sets): self.localSigners.contains(signer) ? sets[signer] : nil
        case .signing(let transcript), .complete(let transcript, _):
            self.localSigners.contains(signer) || transcript.decisions[signer] != nil ? transcript.nonceSets[signer] : nil
        case .closed: nil
        }
    }

    /// All nonce sets that stand, by signer.
    public var nonceSets: [PublicKey: NonceSet] {
        switch self.state {
        case .gathering(let sets): sets
        case .signing(let transcript), .complete(let transcript, _): transcript.nonceSets
        case .closed: [:]
        }
    }
}

// MARK: - Round 2

extension SigningSession {
    /// Signs all inputs as the local signer, and says what has to be recorded before anything is released.
    ///
    /// The first call fixes the transcript, for which all nonces must be here; from there on the signer's secret nonces are spent
    /// whatever happens. Write the record to a `SessionJournal`; when it is durable, `release` gives the partial signatures out.
    /// Called again, it gives the same record.
    ///
    /// - Throws: `missingNonces`, `noOwnNonces`, `notASigner`, `closed`, or what MuSig2 found.
    public mutating func sign(with key: borrowing SecretKey) throws(SigningError) -> BurnRecord {
        let signer = key.publicKey
        try self.requireMember(signer)
        if case .closed = self.state { throw .closed }
        guard self.localSigners.contains(signer) else { throw .noOwnNonces(signer: signer) }
        var transcript = try self.fixedTranscript()
        if let decision = transcript.decisions[signer] { return decision }
        guard let own = self.ownSecrets.remove(where: { $0.signer == signer }) else { throw .noOwnNonces(signer: signer) }
        let record = try own.sign(with: key, self.plan, attempt: self.attempt, transcript)
        transcript.decisions[signer] = record
        self.state = .signing(transcript)
        return record
    }

    /// The transcript, fixed now if it was not before.
    private mutating func fixedTranscript() throws(SigningError) -> Transcript {
        switch self.state {
        case .signing(let transcript), .complete(let transcript, _): return transcript
        case .closed: throw .closed
        case .gathering(let sets):
            let transcript = self.withEarlyShares(try Transcript(self.plan, attempt: self.attempt, nonceSets: sets))
            self.state = .signing(transcript)
            return transcript
        }
    }

    /// Takes in the shares that waited for the transcript and rest on it. A local signer's come from nowhere else than here.
    private mutating func withEarlyShares(_ transcript: Transcript) -> Transcript {
        var transcript = transcript
        for (signer, shares) in self.earlyShares where !self.localSigners.contains(signer) {
            if shares.transcript == transcript.digest {
                transcript.partials[signer] = shares.partialSignatures
            } else {
                self.sawOtherNonces.insert(signer)
            }
        }
        self.earlyShares = [:]
        return transcript
    }

    /// Gives the local signer's partial signatures out, its record being durable.
    ///
    /// - Throws: `noOwnNonces` when nothing was decided here, `closed`.
    public mutating func release(_ record: BurnRecord) throws(SigningError) -> SignatureShares {
        switch self.state {
        case .signing(var transcript):
            guard transcript.decisions[record.signer] == record else { throw .noOwnNonces(signer: record.signer) }
            transcript.partials[record.signer] = record.partialSignatures
            self.state = .signing(transcript)
            return record.shares
        case .complete(let transcript, _):
            guard transcript.decisions[record.signer] == record else { throw .noOwnNonces(signer: record.signer) }
            return record.shares
        case .gathering: throw .noOwnNonces(signer: record.signer)
        case .closed: throw .closed
        }
    }

    /// Takes back a decision that a journal holds, after a restart: the same partial signatures go out again, and nothing is signed.
    ///
    /// All nonces of the attempt must be here again, the signer's own old ones among them. When others stand, nothing changes.
    ///
    /// - Throws: `attemptDecided` when the decision rests on other nonces or belongs to another request or attempt, `missingNonces`,
    ///   `notASigner`, `closed`.
    public mutating func resume(_ record: BurnRecord) throws(SigningError) -> SignatureShares {
        try self.requireMember(record.signer)
        var transcript: Transcript
        switch self.state {
        case .closed: throw .closed
        case .gathering(let sets): transcript = try Transcript(self.plan, attempt: self.attempt, nonceSets: sets)
        case .signing(let standing), .complete(let standing, _): transcript = standing
        }
        guard record.request == self.plan.requestDigest, record.attempt == self.attempt, record.transcript == transcript.digest,
            transcript.decisions[record.signer, default: record] == record,
            // T1 covers the nonces; a journal that gives other ones, or too few signatures, is not believed.
            record.nonces == transcript.nonceSets[record.signer]?.nonces, record.partialSignatures.count == self.plan.inputs.count
        else { throw .attemptDecided(attempt: record.attempt, signer: record.signer) }
        if case .complete = self.state { return record.shares }
        if case .gathering = self.state { transcript = self.withEarlyShares(transcript) }
        transcript.decisions[record.signer] = record
        transcript.partials[record.signer] = record.partialSignatures
        self.state = .signing(transcript)
        return record.shares
    }

    /// Takes another signer's shares: T1 as it saw it, and one partial signature for each signed input. They are judged together, at
    /// the end.
    ///
    /// Shares that come before the transcript is fixed wait, the last of each signer, and count then if they rest on it.
    ///
    /// - Throws: `differentTranscript`, `conflictingPartialSignatures` where both sets rest on our transcript,
    ///   `ownPartialSignaturesFromOutside`, `wrongCount`, `notASigner`, `closed`.
    public mutating func add(_ shares: SignatureShares, from signer: PublicKey) throws(SigningError) -> Outcome {
        try self.requireMember(signer)
        if let own = self.transcriptDigest, shares.transcript != own {
            self.sawOtherNonces.insert(signer)
            throw .differentTranscript(signer: signer)
        }
        let partials = shares.partialSignatures
        guard partials.count == self.plan.inputs.count else {
            throw .wrongCount(.partialSignature, signer: signer, expected: self.plan.inputs.count, actual: partials.count)
        }
        switch self.state {
        case .closed: throw .closed
        case .gathering:
            // Ours have not been made yet.
            guard !self.localSigners.contains(signer) else { throw .ownPartialSignaturesFromOutside(signer: signer) }
            return self.earlyShares.updateValue(shares, forKey: signer) == shares ? .repeated : .waiting
        case .signing(let transcript) where self.localSigners.contains(signer) || transcript.decisions[signer] != nil:
            // Ours count once they are released, and come from nowhere else.
            guard transcript.decisions[signer]?.partialSignatures == partials else {
                throw .ownPartialSignaturesFromOutside(signer: signer)
            }
            return .repeated
        case .complete(let transcript, _):
            guard transcript.partials[signer] == partials else {
                throw self.localSigners.contains(signer)
                    ? .ownPartialSignaturesFromOutside(signer: signer) : .conflictingPartialSignatures(signer: signer)
            }
            return .repeated
        case .signing(var transcript):
            if let standing = transcript.partials[signer] {
                guard standing == partials else { throw .conflictingPartialSignatures(signer: signer) }
                return .repeated
            }
            self.state = .closed  // As above: `transcript` has one owner while it changes.
            transcript.partials[signer] = partials
            self.state = .signing(transcript)
            return .added
        }
    }

    /// Fixes the transcript without signing, for a process that only watches or finishes.
    public mutating func fixTranscript() throws(SigningError) { _ = try self.fixedTranscript() }

    /// T1, once the transcript is fixed.
    public var transcriptDigest: Bytes32? {
        switch self.state {
        case .signing(let transcript), .complete(let transcript, _): transcript.digest
        case .gathering, .closed: nil
        }
    }

    /// The signers who signed over other nonces than those that stand here, and from whom nothing else came: only a new attempt can
    /// finish with them. No fault of theirs.
    public var signersOfOtherTranscripts: [PublicKey] { self.missingPartialSignatures.filter(self.sawOtherNonces.contains) }

    /// The signers whose partial signatures are not here yet, in the set's order; all of them before the transcript is fixed.
    public var missingPartialSignatures: [PublicKey] {
        switch self.state {
        case .gathering: self.plan.signers
        case .signing(let transcript): self.plan.signers.filter { transcript.partials[$0] == nil }
        case .complete, .closed: []
        }
    }
}

// MARK: - The end

extension SigningSession {
    /// The transaction with the set's signatures, or `nil` while contributions are missing.
    ///
    /// Each input's partial signatures are summed and the result verified once.
    ///
    /// - Throws: `signatureDoesNotVerify`; then `culprits` tells who is to blame.
    public mutating func tryFinalize() throws(SigningError) -> Transaction? {
        switch self.state {
        case .gathering: return nil
        case .closed: throw .closed
        case .complete(_, let signatures): return self.plan.transaction(with: signatures)
        case .signing(let transcript):
            guard let signatures = try transcript.signatures(of: self.plan) else { return nil }
            self.state = .complete(transcript, signatures)
            return self.plan.transaction(with: signatures)
        }
    }

    /// The signatures of a complete session, one for each signed input.
    public var signatures: [SchnorrSignature]? {
        if case .complete(_, let signatures) = self.state { signatures } else { nil }
    }

    /// What is needed to find who is to blame, off this value; `nil` before the transcript is fixed.
    public var inquiry: Inquiry? {
        guard case .signing(let transcript) = self.state else { return nil }
        return Inquiry(plan: self.plan, contexts: transcript.contexts, partials: transcript.partials)
    }

    /// Ends the session and wipes its secret nonces. Nothing is accepted afterwards.
    public mutating func close() {
        self.ownSecrets = OwnedList()
        self.earlyShares = [:]
        self.state = .closed
    }

    private func requireMember(_ signer: PublicKey) throws(SigningError) {
        guard self.plan.members.contains(signer) else { throw .notASigner(signer) }
    }
}
