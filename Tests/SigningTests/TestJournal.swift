import CryptoPrimitives
import MuSig2
import Secp256k1
import Signing

/// A journal in memory, which fails when it is told to.
actor TestJournal: SessionJournal {
    /// What becomes of the next record.
    enum Fault: Sendable {
        case refuse
        /// The record is durable, and the writer does not learn of it.
        case failAfterwards
    }

    static let failure = JournalError.storage(path: "memory", reason: "told to fail")

    private(set) var stored: [BurnRecord] = []
    private(set) var burnCount = 0
    private var fault: Fault?

    init(_ stored: [BurnRecord] = []) { self.stored = stored }

    func prepare(_ fault: Fault) { self.fault = fault }

    func burn(_ record: BurnRecord) throws(JournalError) {
        self.burnCount += 1
        for other in self.stored {
            if other == record { return }
            let isSameDecision = other.request == record.request && other.attempt == record.attempt && other.signer == record.signer
            guard !isSameDecision else { throw .differentRecordStands(attempt: record.attempt, signer: record.signer) }
            if let nonce = record.nonces.first(where: other.nonces.contains) { throw .nonceServedAlready(nonce) }
        }
        switch self.fault.take() {
        case nil: self.stored.append(record)
        case .refuse: throw Self.failure
        case .failAfterwards:
            self.stored.append(record)
            throw Self.failure
        }
    }

    func record(request: Bytes32, attempt: UInt32, signer: PublicKey) throws(JournalError) -> BurnRecord? {
        self.stored.first { $0.request == request && $0.attempt == attempt && $0.signer == signer }
    }

    func records(request: Bytes32) throws(JournalError) -> [BurnRecord] {
        self.stored.filter { $0.request == request }.sorted { ($0.attempt, $0.signer) < ($1.attempt, $1.signer) }
    }

    func forget(request: Bytes32) throws(JournalError) { self.stored.removeAll { $0.request == request } }
}
