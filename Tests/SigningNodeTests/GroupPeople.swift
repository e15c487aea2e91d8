import Bitcoin
import CryptoPrimitives
import LibP2P
import Secp256k1
import Signing
import SigningTestSupport

@testable import SigningNode

/// People with keys that follow from their names.
final class Person: Sendable {
    let key: SecretKey
    let identity: Ed25519.SecretKey
    let network: Network

    init(_ name: String, identity: String? = nil, network: Network = .regtest) throws {
        self.key = try Sample.secretKey(name)
        let seed = Sample.digest("identity \(identity ?? name)")
        self.identity = try Ed25519.SecretKey(seed: SecretBytes(count: 32) { $0.copyBytes(from: seed.bytes) })
        self.network = network
    }

    func enrolment(version: UInt32 = 1, expiry: UInt64 = 0) throws -> Enrolment {
        try Enrolment(network: self.network, signer: self.key, identity: self.identity, version: version, expiry: expiry)
    }

    func member(port: UInt16 = 4_001, version: UInt32 = 1, expiry: UInt64 = 0) throws -> GroupMember {
        GroupMember(
            try self.enrolment(version: version, expiry: expiry), addresses: [try Multiaddr(text: "/ip4/192.0.2.1/tcp/\(port)")])
    }

    /// Takes an invitation.
    func joining(_ invitation: GroupInvitation, now: UInt64 = Group.start) throws -> GroupJoining {
        try GroupJoining(invitation, as: self.member(), identity: self.identity, takenAt: now)
    }
}

/// Groups that the tests make.
enum Group {
    static let start: UInt64 = 1_800_000_000
    static let expiry = Self.start + 7 * 86_400

    static func token(_ number: UInt8) throws -> GroupToken {
        guard let token = GroupToken(Array(Sample.digest("token \(number)").bytes.prefix(GroupToken.byteCount))) else {
            throw GroupError.unknownFormat
        }
        return token
    }

    static func terms(
        _ inviter: Person, name: String = "family", memberCount: Int = 3, shape: GroupTerms.Shape = .everyone
    ) throws -> GroupTerms {
        try GroupTerms(
            network: inviter.network, name: name, memberCount: memberCount, shape: shape, inviter: inviter.identity.publicKey,
            expiry: Self.expiry)
    }

    static func gathering(
        _ inviter: Person, name: String = "family", memberCount: Int = 3, shape: GroupTerms.Shape = .everyone
    ) throws -> GroupGathering {
        try GroupGathering(
            self.terms(inviter, name: name, memberCount: memberCount, shape: shape),
            tokens: (1..<memberCount).map { try self.token(UInt8($0)) }, own: inviter.member())
    }
}
