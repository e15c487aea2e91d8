import CryptoPrimitives
import LibP2P

/// Identities that everybody knows.
enum KnownIdentity {
    /// The identity whose seed is 32 times this byte.
    static func make(_ seed: UInt8) throws -> PeerIdentity { try self.make(seed: [UInt8](repeating: seed, count: 32)) }

    static func make(seed: [UInt8]) throws -> PeerIdentity {
        try PeerIdentity(Ed25519.SecretKey(seed: SecretBytes(count: 32) { $0.copyBytes(from: seed) }))
    }
}

extension X25519.SecretKey {
    /// A secret that everybody knows.
    static func known(_ bytes: [UInt8]) throws -> X25519.SecretKey { try X25519.SecretKey { $0.copyBytes(from: bytes) } }
}
