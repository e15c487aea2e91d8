import CryptoPrimitives
import Secp256k1
import Signing
import SigningTestSupport

/// The journal in memory, which also counts, and can lose its answer on the way back.
actor TestJournal: SessionJournal {
    static let refusal = JournalError.storage(path: "memory", reason: "told to refuse")
    static let lostAnswer = JournalError.storage(path: "memory", reason: "the answer was lost")

    private let journal = InMemoryJournal()
    /// What is durable, in the order in which it became so.
    private(set) var stored: [BurnRecord] = []
    private(set) var burnCount = 0
    private var losesNextAnswer = false
    private var interruption: (@Sendable () -> Void)?

    /// The next record is refused, as by a full disk.
    func refuseNext() async { await self.journal.prepare(.refuse) }

    /// The next record is durable, and the writer does not learn of it.
    func loseNextAnswer() { self.losesNextAnswer = true }

    /// What happens while somebody waits for a decision that is looked up.
    func interrupt(_ action: @escaping @Sendable () -> Void) { self.interruption = action }

    func burn(_ record: BurnRecord) async throws(JournalError) {
        self.burnCount += 1
        try await self.journal.burn(record)
        if !self.stored.contains(record) { self.stored.append(record) }
        guard !self.losesNextAnswer else {
            self.losesNextAnswer = false
            throw Self.lostAnswer
        }
    }

    func record(request: Bytes32, attempt: UInt32, signer: PublicKey) async throws(JournalError) -> BurnRecord? {
        self.interruption?()
        return try await self.journal.record(request: request, attempt: attempt, signer: signer)
    }

    func records(request: Bytes32) async throws(JournalError) -> [BurnRecord] { try await self.journal.records(request: request) }

    func forget(request: Bytes32) async throws(JournalError) { try await self.journal.forget(request: request) }
}
