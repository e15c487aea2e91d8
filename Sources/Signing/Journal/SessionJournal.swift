public import CryptoPrimitives
public import MuSig2
public import Secp256k1

/// Where decisions to sign are written before any signature leaves: "burn before release".
///
/// A partial signature whose record is not durable may not leave the process. After a crash the same request, attempt and
/// signer get the recorded bytes again; nothing signs a second time. Only public data is written, never a nonce's secret.
///
/// Implementations hold to what `SessionJournalConformance` (in the tests) checks: a record survives a kill and a power cut once
/// `burn` has returned, a repeat changes nothing, and two different records for one decision are refused.
public protocol SessionJournal: Sendable {
    /// Makes the record durable before it returns.
    ///
    /// An equal record that stands already makes this a repeat, which changes nothing.
    ///
    /// - Throws: `JournalError.differentRecordStands` when the same request, attempt and signer already decided otherwise;
    ///   `nonceServedAlready` when one of its nonces stands in a record with another transcript; `storage` when it could not
    ///   be written: then nothing may be released.
    func burn(_ record: BurnRecord) async throws(JournalError)

    /// The decision of this signer in this attempt, if there is one.
    func record(request: Bytes32, attempt: UInt32, signer: PublicKey) async throws(JournalError) -> BurnRecord?

    /// All decisions about a request, by attempt, then signer.
    func records(request: Bytes32) async throws(JournalError) -> [BurnRecord]

    /// Drops a request's records, when its transaction is confirmed or can never be.
    func forget(request: Bytes32) async throws(JournalError)
}

/// Why a decision to sign could not be recorded. In each case nothing may be released.
public enum JournalError: Error, Equatable, Sendable, CustomStringConvertible {
    /// The attempt was decided already, with another transcript or other signatures.
    case differentRecordStands(attempt: UInt32, signer: PublicKey)
    /// A nonce of this record was used before, under another transcript. Signing would reveal the key.
    case nonceServedAlready(PublicNonce)
    /// Another process has this journal open: two processes with one key.
    case heldByAnotherProcess(path: String)
    /// The file's bytes are not what was written; `offset` is where they stop making sense.
    case damaged(path: String, offset: Int)
    /// What was read from a database is not what was written; `detail` says what was found.
    case corrupt(path: String, detail: String)
    /// The system refused: a full disk, a missing folder, no permission.
    case storage(path: String, reason: String)

    public var description: String {
        switch self {
        case .differentRecordStands(let attempt, let signer):
            "attempt \(attempt) was already decided otherwise by signer \(signer): its recorded signatures stand, nothing new is signed"
        case .nonceServedAlready(let nonce):
            "the nonce \(nonce) was already used for another transcript: not signed, for a second use reveals the key"
        case .heldByAnotherProcess(let path):
            "\(path) is in use by another process: end it, or wait for it; one key signs in one process at a time"
        case .damaged(let path, let offset):
            "\(path) is damaged at byte \(offset): restore it, or move it away and begin every open request anew"
        case .corrupt(let path, let detail):
            "\(path) is damaged (\(detail)): restore it, or move it away and begin every open request anew"
        case .storage(let path, let reason): "\(path) could not be written: \(reason); nothing was released"
        }
    }
}

/// A decision to sign: who, for what, under which transcript, and the partial signatures that followed from it.
public struct BurnRecord: Hashable, Sendable {
    /// T0, the digest of the request.
    public let request: Bytes32
    /// Number of the attempt, from 1.
    public let attempt: UInt32
    public let signer: PublicKey
    /// T1, the digest of everything the signatures rest on.
    public let transcript: Bytes32
    /// The signer's own public nonces, one for each signed input.
    public let nonces: [PublicNonce]
    /// One for each signed input, in the order of `nonces`.
    public let partialSignatures: [PartialSignature]

    /// What the signer sends: the partial signatures with the transcript that they rest on.
    public var shares: SignatureShares { SignatureShares(transcript: self.transcript, partialSignatures: self.partialSignatures) }

    /// Most inputs in a record: far above the limit of any request, and what two bytes count.
    public static let inputCountMax = Int(UInt16.max)

    /// Takes a record's parts, as a journal read them; `nil` unless each signed input has one nonce and one partial signature, and there
    /// are no more inputs than a record can hold.
    public init?(
        request: Bytes32, attempt: UInt32, signer: PublicKey, transcript: Bytes32, nonces: [PublicNonce],
        partialSignatures: [PartialSignature]
    ) {
        guard nonces.count == partialSignatures.count, nonces.count <= Self.inputCountMax else { return nil }
        self.init(
            request: request, attempt: attempt, signer: signer, transcript: transcript,
            contributions: Array(zip(nonces, partialSignatures)))
    }

    package init(
        request: Bytes32, attempt: UInt32, signer: PublicKey, transcript: Bytes32,
        contributions: [(nonce: PublicNonce, partialSignature: PartialSignature)]
    ) {
        self.request = request
        self.attempt = attempt
        self.signer = signer
        self.transcript = transcript
        self.nonces = contributions.map(\.nonce)
        self.partialSignatures = contributions.map(\.partialSignature)
    }
}
