internal import Secp256k1

/// The nonces of each member's newest statement, as they were read: that takes two square roots a nonce, and an attempt's are asked for by
/// whoever takes note of them, begins it, and signs it.
struct ReadNonces: Sendable {
    private var newest: [PublicKey: (statement: Statement, set: NonceSet)] = [:]

    mutating func note(_ set: NonceSet, of statement: Statement) { self.newest[statement.sender] = (statement, set) }

    /// What `statement.nonceSet()` gives.
    mutating func nonceSet(of statement: Statement) throws(SigningError) -> NonceSet? {
        if let (known, set) = self.newest[statement.sender], known == statement { return set }
        guard let set = try statement.nonceSet() else { return nil }
        self.note(set, of: statement)
        return set
    }
}
