public import CryptoPrimitives
public import Secp256k1
internal import SessionStore
public import Signing

/// A journal without a file, for simulations: its "disk" is a value, and it fails and crashes when told to.
public actor InMemoryJournal: SessionJournal {
    public enum Fault: Sendable {
        /// The next burn is refused as a full disk would; nothing is recorded and later burns succeed.
        case refuse
        /// The process dies in the next burn, before anything is durable.
        case crashBeforeDurable
        /// The process dies in the next burn, after the record is durable, and nobody is told.
        case crashAfterDurable
    }

    private var ledger: BurnLedger
    private var fault: Fault?
    private var isDead = false

    /// Name in the errors.
    private static let path = "memory"

    public init() { self.ledger = BurnLedger() }

    private init(ledger: BurnLedger) { self.ledger = ledger }

    /// What happens to the next burn that would write something.
    public func prepare(_ fault: Fault) { self.fault = fault }

    /// Ends this journal as a crash would; every later call is refused.
    public func kill() { self.isDead = true }

    /// The journal that the next process opens, after this one is dead.
    public func reopened() throws(JournalError) -> InMemoryJournal {
        guard self.isDead else { throw .heldByAnotherProcess(path: Self.path) }
        return InMemoryJournal(ledger: self.ledger)
    }

    public func burn(_ record: BurnRecord) throws(JournalError) {
        try self.checkAlive()
        guard try self.ledger.judge(record) == .new else { return }
        switch self.fault.take() {
        case nil:
            self.ledger.insert(record)
        case .refuse:
            throw .storage(path: Self.path, reason: "told to refuse")
        case .crashBeforeDurable:
            self.kill()
            try self.checkAlive()
        case .crashAfterDurable:
            self.ledger.insert(record)
            self.kill()
            try self.checkAlive()
        }
    }

    public func record(request: Bytes32, attempt: UInt32, signer: PublicKey) throws(JournalError) -> BurnRecord? {
        try self.checkAlive()
        return self.ledger.record(request: request, attempt: attempt, signer: signer)
    }

    public func records(request: Bytes32) throws(JournalError) -> [BurnRecord] {
        try self.checkAlive()
        return self.ledger.records(request: request)
    }

    public func forget(request: Bytes32) throws(JournalError) {
        try self.checkAlive()
        _ = self.ledger.forget(request: request)
    }

    private func checkAlive() throws(JournalError) {
        if self.isDead { throw .storage(path: Self.path, reason: "the process is dead") }
    }
}
