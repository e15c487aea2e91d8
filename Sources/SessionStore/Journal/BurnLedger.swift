package import CryptoPrimitives
package import Secp256k1
package import Signing

/// The decisions that a journal holds, in memory, and the judgement of a new one. Knows no file.
package struct BurnLedger: Sendable {
    private struct Decision: Hashable {
        let attempt: UInt32
        let signer: PublicKey
    }

    private var requests: [Bytes32: [Decision: BurnRecord]] = [:]
    /// SHA-256 of each public nonce in a record: half its size, and all that is needed to know it again.
    private var nonces: Set<Bytes32> = []

    package init() {}

    package var count: Int { self.requests.values.reduce(0) { $0 + $1.count } }

    /// All records, in no particular order.
    package var allRecords: [BurnRecord] { self.requests.values.flatMap(\.values) }

    package enum Verdict: Equatable, Sendable {
        /// Nothing speaks against writing it.
        case new
        /// Exactly this stands already.
        case repeated
    }

    /// What the protocol `SessionJournal` says about burning this record now.
    ///
    /// A nonce may stand in one record only, and there once: a second use reveals the key, whatever the transcripts say of themselves.
    package func judge(_ record: BurnRecord) throws(JournalError) -> Verdict {
        if let standing = self.record(request: record.request, attempt: record.attempt, signer: record.signer) {
            guard standing == record else { throw .differentRecordStands(attempt: record.attempt, signer: record.signer) }
            return .repeated
        }
        var own: Set<Bytes32> = []
        for nonce in record.nonces {
            let digest = SHA256.hash(nonce.bytes)
            guard !self.nonces.contains(digest), own.insert(digest).inserted else { throw .nonceServedAlready(nonce) }
        }
        return .new
    }

    /// Adds a record that `judge` found new.
    package mutating func insert(_ record: BurnRecord) {
        self.requests[record.request, default: [:]][Decision(attempt: record.attempt, signer: record.signer)] = record
        for nonce in record.nonces { self.nonces.insert(SHA256.hash(nonce.bytes)) }
    }

    /// Takes a record out again that never became durable.
    package mutating func remove(_ record: BurnRecord) {
        self.requests[record.request]?[Decision(attempt: record.attempt, signer: record.signer)] = nil
        if self.requests[record.request]?.isEmpty == true { self.requests[record.request] = nil }
        for nonce in record.nonces { self.nonces.remove(SHA256.hash(nonce.bytes)) }
    }

    /// Drops a request's records and their nonces; gives them back.
    package mutating func forget(request: Bytes32) -> [BurnRecord] {
        let forgotten = self.requests[request].map { Array($0.values) } ?? []
        for record in forgotten { self.remove(record) }
        return forgotten
    }

    package func record(request: Bytes32, attempt: UInt32, signer: PublicKey) -> BurnRecord? {
        self.requests[request]?[Decision(attempt: attempt, signer: signer)]
    }

    /// By attempt, then signer.
    package func records(request: Bytes32) -> [BurnRecord] {
        (self.requests[request].map { Array($0.values) } ?? [])
            .sorted { ($0.attempt, $0.signer) < ($1.attempt, $1.signer) }
    }
}
