public import CryptoPrimitives

/// What makes a node a peer: an Ed25519 secret key, which never leaves guarded memory, and the names that follow from it.
///
/// One object for a node; its handshakes, records and messages share it.
public final class PeerIdentity: Sendable {
    private let secret: Ed25519.SecretKey
    public let publicKey: PeerPublicKey
    public let id: PeerID

    public init(_ secret: consuming Ed25519.SecretKey) {
        self.publicKey = PeerPublicKey(secret.publicKey)
        self.id = PeerID(of: self.publicKey)
        self.secret = secret
    }

    /// The signature of a message. The caller puts the domain in front: each use of the key has its own.
    public func sign(_ message: [UInt8]) -> [UInt8] { self.secret.sign(message).bytes }

    /// Lends the key to a protocol that signs with it under a domain of its own.
    public func withSecretKey<Result, Failure: Error>(
        _ body: (borrowing Ed25519.SecretKey) throws(Failure) -> Result
    ) throws(Failure) -> Result {
        try body(self.secret)
    }
}
