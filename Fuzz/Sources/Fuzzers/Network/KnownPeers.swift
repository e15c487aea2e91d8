import CryptoPrimitives
import LibP2P

/// Peers that every run has alike.
enum KnownPeers {
    /// The node under test, then those that talk to it.
    static let identities: [PeerIdentity] = (1...5).compactMap { try? PeerIdentity(Known.identity($0)) }
    static let own = identities[0]
    static let others = Array(identities[1...])

    /// Of the identities, in their order: one for a process, so that each is made once.
    static let staticKeys: [NoiseStaticKey] = identities.enumerated().compactMap { index, identity in
        try? NoiseStaticKey(Self.ephemeralKey(1 << 32 + UInt64(index)), of: identity)
    }

    /// A key that no other call with another number gives: unpredictable it need not be here, and a replay must have the same.
    static func ephemeralKey(_ number: UInt64) throws(SecretMemoryError) -> X25519.SecretKey {
        try X25519.SecretKey { $0.storeBytes(of: number | 1 << 63, as: UInt64.self) }
    }

    /// Where machines believe to be in time: what is added to their clock for the time since 1970.
    static let unixOffset = Duration.seconds(1_700_000_000)
    /// When every play begins, on the machines' clock.
    static let start = Duration.seconds(100)

    static let addresses: [Multiaddr] =
        [
            "/ip4/8.8.8.8/tcp/4001", "/ip4/127.0.0.1/tcp/4001", "/ip4/192.168.1.9/tcp/4002/ws", "/ip6/2001:db8::1/tcp/4001",
            "/dns4/example.org/tcp/443", "/ip4/8.8.4.4/tcp/1/p2p/\(others[3].id)/p2p-circuit", "/ip4/1.1.1.1/udp/9/quic-v1",
        ].compactMap { try? Multiaddr(text: $0) }
}
