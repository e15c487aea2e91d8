public import Bitcoin
public import CryptoPrimitives
public import LibP2P
public import Secp256k1
internal import Signing

/// Where announcements and advertisements are: topics of gossip, and keys of the hash table.
public enum DiscoveryNames {
    /// Announcements of requests, sealed and public.
    public static func announcementTopic(_ network: Network) -> String { "chorale/\(network.rawValue)/announcements/1" }
    /// Advertisements of signers.
    public static func signerTopic(_ network: Network) -> String { "chorale/\(network.rawValue)/signers/1" }

    /// The namespace of advertisements in the hash table.
    public static let namespace = "chorale-signer"

    /// Where a signer's advertisement stands: `/chorale-signer/` and 32 bytes, the tagged hash `chorale/advertisement-key` of network 1,
    /// kind 1 (1 a signer's key, 2 an identity) and the key.
    public static func key(of signer: PublicKey, on network: Network) -> [UInt8] { Self.key(1, signer.bytes, network) }
    /// Where the advertisement of an identity stands.
    public static func key(of identity: Ed25519.PublicKey, on network: Network) -> [UInt8] { Self.key(2, identity.bytes, network) }

    private static func key(_ kind: UInt8, _ name: [UInt8], _ network: Network) -> [UInt8] {
        var hash = Self.tag
        hash.update(network.enrolmentCode)
        hash.update(kind)
        hash.update(name)
        return Array("/\(Self.namespace)/".utf8) + hash.finalize().bytes
    }

    private static let tag = SHA256.tagged("chorale/advertisement-key")

    /// What advertisers provide in the hash table, so that who knows none of them finds some: each tells of itself alone, so nobody's entry
    /// can be lost by another's, and none can be written for another.
    public static func advertisers(on network: Network) -> [UInt8] {
        Multihash.sha256(of: Array(Self.signerTopic(network).utf8)).bytes
    }

    /// All keys under which an advertisement may stand.
    static func keys(of advertisement: SignerAdvertisement) -> [[UInt8]] {
        [Self.key(of: advertisement.identity, on: advertisement.network)]
            + advertisement.signers.map { Self.key(of: $0, on: advertisement.network) }
    }

    /// Decides over values of the namespace: advertisements that are signed, in their time, and of the key under which they stand. So
    /// whoever keeps them can withhold, and neither make nor change any.
    public static let validator = KadValidator(
        isValid: { key, value, unixTime in
            guard let advertisement = try? SignerAdvertisement(parsing: value), Self.keys(of: advertisement).contains(key) else {
                return false
            }
            let now = UInt64(clamping: unixTime.components.seconds)
            return !advertisement.isExpired(at: now) && advertisement.createdAt <= now &+ SignerDirectory.Limits().clockSkewMax
        },
        isBetter: { key, current, candidate in
            guard let current = try? SignerAdvertisement(parsing: current) else { return true }
            guard let candidate = try? SignerAdvertisement(parsing: candidate) else { return false }
            return Self.rank(of: current, under: key).lexicographicallyPrecedes(Self.rank(of: candidate, under: key))
        })

    /// An order of all advertisements that may stand under a key, the same at every node: of a signer with two identities the one that was
    /// enrolled last, of one identity the one that was signed last, of two at one time the one with the greater hash.
    private static func rank(of advertisement: SignerAdvertisement, under key: [UInt8]) -> [UInt64] {
        let enrolment = advertisement.enrolments.first { Self.key(of: $0.signer, on: advertisement.network) == key }
        let tie = SHA256.hash(advertisement.serialized()).bytes.prefix(8).reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
        return [UInt64(enrolment?.version ?? 0), advertisement.sequence, tie]
    }
}
