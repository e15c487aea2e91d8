import Bitcoin
import CryptoPrimitives
import Secp256k1
import Signing

/// What the demo's folder has shown so far.
struct DemoSeen {
    /// One attempt, of which there are more when a signer is slow to come or starts again.
    struct Attempt {
        /// Who signs, in the order of aggregation; `nil` as long as that is open.
        var set: [PublicKey]?
        var nonces: Set<PublicKey> = []
        var signed: Set<PublicKey> = []
        /// When all nonces were there.
        var noncesAt: ContinuousClock.Instant?
    }

    var present: Set<PublicKey> = []
    private(set) var attempts: [UInt32: Attempt] = [:]
    private(set) var transaction: Transaction?
    private(set) var finalAt: ContinuousClock.Instant?

    /// The newest attempt that has a set; 0 before the first.
    var newestAttempt: UInt32 { self.attempts.filter { $0.value.set != nil }.keys.max() ?? 0 }

    /// Who signs in it; nobody as long as that is open.
    var newestSet: [PublicKey] { self.attempts[self.newestAttempt]?.set ?? [] }

    /// The one that made the signature: the newest in which everybody has given partial signatures.
    var signedAttempt: Attempt? {
        self.attempts.filter { $0.value.set.map($0.value.signed.isSuperset(of:)) ?? false }.max { $0.key < $1.key }?.value
    }

    mutating func take(_ file: ExchangeFile) {
        switch ExchangePath(file.path) {
        case .set(let attempt):
            guard self.attempts[attempt]?.set == nil, let psbt = try? PSBT(parsing: file.bytes) else { return }
            self.attempts[attempt, default: Attempt()].set = psbt.inputs.lazy.compactMap { $0.musig2Participants.values.first }.first
        case .nonces(let attempt, let signer): self.attempts[attempt, default: Attempt()].nonces.insert(signer)
        case .partialSignatures(let attempt, let signer): self.attempts[attempt, default: Attempt()].signed.insert(signer)
        case .final:
            let text = String(decoding: file.bytes, as: UTF8.self).filter { !$0.isWhitespace }
            self.transaction = (try? Hex.decode(text)).flatMap { try? Transaction(parsing: $0) }
        case .presence, .evidence, nil: break
        }
    }

    /// Notes the time at which something was complete, if it was not noted before.
    mutating func date(_ now: ContinuousClock.Instant) {
        for (number, attempt) in self.attempts where attempt.noncesAt == nil && attempt.set.map(attempt.nonces.isSuperset(of:)) ?? false {
            self.attempts[number]?.noncesAt = now
        }
        if self.transaction != nil, self.finalAt == nil { self.finalAt = now }
    }
}
