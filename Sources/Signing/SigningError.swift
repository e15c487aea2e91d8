public import Bitcoin
public import MuSig2
public import Secp256k1

/// Everything that can go wrong while several signers sign together: who, what, and what to do.
public enum SigningError: Error, Equatable, Sendable {
    // What is to be signed
    /// The transaction cannot be signed as it is.
    case transaction(String)
    /// The coin's script is not what these keys and this path make of it, so signing would not spend it.
    case scriptDoesNotMatch(input: Int)
    case sighash(SighashError)
    /// More inputs, signers or both than the limits allow.
    case tooLarge(what: String, actual: Int, limit: Int)

    // What signers contribute
    case notASigner(PublicKey)
    /// Two different nonce sets under one name: proof against this signer, where both carry its identity's signature.
    case conflictingNonces(signer: PublicKey, name: NonceName)
    /// Two different sets of partial signatures in one attempt.
    case conflictingPartialSignatures(signer: PublicKey)
    /// One contribution for each signed input is needed. No proof: its signer may have sent them for other inputs.
    case wrongCount(Contribution, signer: PublicKey, expected: Int, actual: Int)
    /// Somebody else gave nonces in the name of a signer of this process.
    case ownNoncesFromOutside(signer: PublicKey)
    /// Somebody else gave partial signatures in the name of a signer of this process.
    case ownPartialSignaturesFromOutside(signer: PublicKey)
    /// Partial signatures that rest on other nonces than ours: no fault of their signer, who may have seen a third one's other nonces.
    case differentTranscript(signer: PublicKey)
    /// Nonces for another request: no fault of their signer, whom the caller may have mistaken.
    case differentRequest(signer: PublicKey)
    /// Nonces for another attempt at this request.
    case differentAttempt(signer: PublicKey, expected: UInt32, actual: UInt32)
    /// A signer renamed its nonces too often; a new attempt is needed.
    case tooManyNonceNames(signer: PublicKey, limit: Int)
    /// These partial signatures do not verify, one at least, and all others do: proof against each signer that signed the message its
    /// own came in.
    case invalidPartialSignatures([BadPartialSignature])
    /// The signatures of this input do not add up; `SigningSession.inquiry` finds whose.
    case signatureDoesNotVerify(input: Int)

    // The order of calls
    case missingNonces([PublicKey])
    case missingPartialSignatures([PublicKey])
    /// This signer has no nonces of its own here: they were never made, or are spent or wiped.
    case noOwnNonces(signer: PublicKey)
    /// This signer decided the attempt before, under other nonces: begin the next attempt.
    case attemptDecided(attempt: UInt32, signer: PublicKey)
    /// The request's time is over: nothing new is signed for it.
    case expired(UInt64)
    case closed
    /// Time of day and running time went apart, as when a snapshot is resumed: all sessions were closed and their nonces wiped.
    case clocksJumped
    case noSuchSession
    case tooManySessions(limit: Int)

    // From below
    case musig(MuSig2Error, signer: PublicKey?, input: Int?)
    case journal(JournalError)

    /// The signers whose own contributions prove their faults, each once; empty if nothing is proved against anyone.
    ///
    /// It is proof towards others only together with the signed messages that carried the contributions.
    public var culprits: [PublicKey] {
        if case .invalidPartialSignatures(let faults) = self {
            var seen: Set<PublicKey> = []
            return faults.map(\.signer).filter { seen.insert($0).inserted }
        }
        return self.culprit.map { [$0] } ?? []
    }

    /// The first of the `culprits`, who is the only one but where several gave bad partial signatures.
    public var culprit: PublicKey? {
        switch self {
        case .conflictingNonces(let signer, _), .conflictingPartialSignatures(let signer): signer
        case .invalidPartialSignatures(let faults): faults.first?.signer
        case .musig(.invalid, let signer, _), .musig(.wrongByteCount, let signer, _): signer
        case .transaction, .scriptDoesNotMatch, .sighash, .tooLarge, .notASigner, .ownNoncesFromOutside,
            .ownPartialSignaturesFromOutside, .wrongCount, .differentTranscript, .differentRequest, .differentAttempt, .tooManyNonceNames,
            .musig, .signatureDoesNotVerify, .missingNonces,
            .missingPartialSignatures, .noOwnNonces, .attemptDecided, .expired, .closed,
            .clocksJumped, .noSuchSession, .tooManySessions, .journal:
            nil
        }
    }
}

extension SigningError: CustomStringConvertible {
    public var description: String {
        switch self {
        case .transaction(let problem): "the transaction cannot be signed: \(problem)"
        case .scriptDoesNotMatch(let input):
            "input \(input): the coin's script does not belong to these keys on this path; check the signers, the threshold and the owner"
        case .sighash(let error): error.description
        case .tooLarge(let what, let actual, let limit): "\(what): \(actual), and the limit is \(limit)"
        case .notASigner(let key): "the key \(key) is not among this session's signers"
        case .conflictingNonces(let signer, let name):
            "signer \(signer) gave two different sets of nonces under the name \(name): a proven fault; begin a new attempt without it"
        case .conflictingPartialSignatures(let signer): "signer \(signer) gave two different sets of partial signatures in one attempt"
        case .wrongCount(let what, let signer, let expected, let actual):
            "signer \(signer) gave \(actual) \(what)s where \(expected) are needed, one for each signed input"
        case .ownNoncesFromOutside(let signer):
            "other nonces came in the name of our own signer \(signer): is its key in use in another process?"
        case .ownPartialSignaturesFromOutside(let signer):
            "other partial signatures came in the name of our own signer \(signer): is its key in use in another process?"
        case .differentTranscript(let signer):
            "signer \(signer) signed over other nonces than ours: begin a new attempt, in which all see the same nonces"
        case .differentRequest(let signer):
            "signer \(signer) sent nonces for another request: agree on the transaction, its policy and the request's id first"
        case .differentAttempt(let signer, let expected, let actual):
            "signer \(signer) sent nonces for attempt \(actual), and this is attempt \(expected)"
        case .tooManyNonceNames(let signer, let limit): "signer \(signer) renamed its nonces over \(limit) times: begin a new attempt"
        case .invalidPartialSignatures(let faults): Self.description(of: faults, by: self.culprits)
        case .signatureDoesNotVerify(let input): "the signature of input \(input) does not verify: ask who is to blame"
        case .missingNonces(let signers): "nonces are missing from \(Self.list(signers))"
        case .missingPartialSignatures(let signers): "partial signatures are missing from \(Self.list(signers))"
        case .noOwnNonces(let signer): "signer \(signer) has no nonces in this session: they are spent or were never made"
        case .attemptDecided(let attempt, let signer):
            "signer \(signer) signed attempt \(attempt) before, under other nonces: begin attempt \(attempt &+ 1)"
        case .expired(let expiry): "the request expired at second \(expiry) since 1970: ask the signers for a new one"
        case .closed: "the session is closed"
        case .clocksJumped:
            "the machine's clocks went apart, as those of a resumed snapshot do: all sessions were closed and their nonces wiped; "
                + "open them again with the next attempt"
        case .noSuchSession: "there is no such session: it was closed, it expired, or this process has restarted"
        case .tooManySessions(let limit): "\(limit) sessions are open, which is the limit: close finished ones"
        case .musig(let error, let signer, let input):
            [signer.map { "signer \($0)" }, input.map { "input \($0)" }, error.description].compactMap(\.self).joined(separator: ": ")
        case .journal(let error): error.description
        }
    }

    private static func description(of faults: [BadPartialSignature], by culprits: [PublicKey]) -> String {
        let inputs = Dictionary(grouping: faults, by: \.signer).mapValues { $0.map(\.input) }
        let whose = culprits.map { signer in
            let own = inputs[signer] ?? []
            let more = own.count > 1 ? " and \(own.count - 1) more" : ""
            return "signer \(signer) for input \(own.first.map(String.init) ?? "?")\(more)"
        }
        let whom = culprits.count == 1 ? "it" : "them"
        return "partial signatures do not verify: of \(whose.joined(separator: ", of ")); begin a new attempt without \(whom)"
    }

    private static func list(_ signers: [PublicKey]) -> String { signers.map(\.description).joined(separator: ", ") }
}
