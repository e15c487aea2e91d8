internal import Bitcoin
public import CryptoPrimitives
public import LibP2P
public import Secp256k1
public import Signing

/// How somebody who was invited joins: one stream for each time that it asks, with its join as the only frame and the inviter's answer as
/// the other.
///
/// Whoever joined asks again, the same, until the group is made.
public enum GroupProtocol {
    public static let id = "/chorale/group/1.0.0"

    /// Most bytes of an answer: a group of 1,000 with all its addresses.
    public static let answerByteCountMax = 1 << 20

    public static var configuration: RequestResponse.Configuration {
        var configuration = RequestResponse.Configuration(
            protocolIDs: [Self.id], requestByteCountMax: GroupJoin.byteCountMax, answerByteCountMax: Self.answerByteCountMax)
        configuration.timeout = .seconds(30)
        configuration.usesLimitedConnections = true
        return configuration
    }
}

/// A member of a group that is being made: who it is, and where.
public struct GroupMember: Hashable, Sendable {
    public let enrolment: Enrolment
    /// Where its node says that it is. Only hints: whoever is there must prove to be the enrolled identity.
    public let addresses: [Multiaddr]

    public init(_ enrolment: Enrolment, addresses: [Multiaddr]) {
        self.enrolment = enrolment
        self.addresses = GroupAddresses.kept(addresses)
    }

    public var signer: PublicKey { self.enrolment.signer }
    public var peer: PeerID { PeerID(of: self.enrolment.identity) }

    /// Fewest and most bytes of one.
    static let byteCountMin = Enrolment.byteCount + 1
    static let byteCountMax = Enrolment.byteCount + 1 + GroupAddresses.countMax * 2 + GroupAddresses.byteCountMax

    /// Enrolment 207, addresses.
    func write(to writer: inout ByteWriter) {
        writer.write(self.enrolment.serialized())
        GroupAddresses.write(self.addresses, to: &writer)
    }

    /// The enrolment's signatures are verified.
    init(_ reader: inout ByteReader) throws {
        self.enrolment = try Enrolment(parsing: reader.readSlice(Enrolment.byteCount, "enrolment"))
        self.addresses = try GroupAddresses.read(&reader)
    }
}

/// "I take this invitation, as this member": what is sent to the inviter.
///
/// The signer key proves itself by the enrolment, which it signed; it signs nothing here that a stranger put together. The identity that
/// it enrolled signs invitation and member, and is the peer that brings the message.
public struct GroupJoin: Hashable, Sendable {
    public let token: GroupToken
    public let member: GroupMember
    private let signature: Ed25519.Signature

    /// Most bytes of a join.
    public static let byteCountMax = 1 + GroupToken.byteCount + GroupMember.byteCountMax + Ed25519.Signature.byteCount

    /// - Precondition: the identity is the enrolment's.
    init(_ invitation: GroupInvitation, as member: GroupMember, identity: borrowing Ed25519.SecretKey) {
        precondition(identity.publicKey == member.enrolment.identity, "a join is signed by the enrolled identity")
        self.token = invitation.token
        self.member = member
        self.signature = identity.sign(Self.digest(invitation.token, invitation.terms, member).bytes)
    }

    /// Whether the member's identity signed that it joins under these terms.
    func isSigned(under terms: GroupTerms) -> Bool {
        self.signature.isValid(for: Self.digest(self.token, terms, self.member).bytes, by: self.member.enrolment.identity)
    }

    private static func digest(_ token: GroupToken, _ terms: GroupTerms, _ member: GroupMember) -> Bytes32 {
        var writer = ByteWriter()
        writer.write(token.bytes)
        terms.write(to: &writer)
        member.write(to: &writer)
        var hash = Self.tag
        hash.update(writer.bytes)
        return hash.finalize()
    }

    private static let tag = SHA256.tagged("chorale/group/join")

    // MARK: - Bytes

    private static let formatVersion: UInt8 = 1

    /// Version 1, token 16, member, signature 64.
    func serialized() -> [UInt8] {
        var writer = ByteWriter()
        writer.writeUInt8(Self.formatVersion)
        writer.write(self.token.bytes)
        self.member.write(to: &writer)
        writer.write(self.signature.bytes)
        return writer.bytes
    }

    /// The token in the bytes of a join, before anything in them is verified; `nil` where there is none.
    static func token(in bytes: [UInt8]) -> GroupToken? { GroupToken(Array(bytes.dropFirst().prefix(GroupToken.byteCount))) }

    /// Reads a join. Whether its own signature holds depends on the invitation's terms, which it does not repeat.
    init(parsing bytes: [UInt8]) throws(GroupError) {
        guard bytes.count <= Self.byteCountMax else { throw .malformed("a join of \(bytes.count) bytes") }
        do {
            var reader = ByteReader(bytes)
            guard try reader.readUInt8("format version") == Self.formatVersion else { throw GroupError.unknownFormat }
            guard let token = GroupToken(try reader.readBytes(GroupToken.byteCount, "token")) else { throw GroupError.unknownFormat }
            self.token = token
            self.member = try GroupMember(&reader)
            self.signature = try Ed25519.Signature(parsing: reader.readBytes(Ed25519.Signature.byteCount, "signature"))
            try reader.finish()
        } catch let error as GroupError { throw error } catch { throw .malformed("join: \(error)") }
    }
}

/// Why nobody joins by this message.
public enum GroupRefusal: UInt8, Error, Hashable, Sendable, CaseIterable, CustomStringConvertible {
    /// No such invitation is open here: it was never made, or is long over.
    case unknown = 1
    /// Another signer used it.
    case used = 2
    case expired = 3
    /// A member of the group has this signer key, or its negation, or this identity.
    case keyTaken = 4
    case anotherNetwork = 5
    /// It is no join, or its signature or the connection is not that of the identity in it.
    case notProved = 6
    /// The enrolment's time is over.
    case enrolmentExpired = 7
    /// The inviter's node cannot keep what it would promise now.
    case notKept = 8

    public var description: String {
        switch self {
        case .unknown: "the inviter knows no such invitation, or has taken it back: ask for a new one"
        case .used: "somebody else has used this invitation: tell the inviter at once, and ask for a new one"
        case .expired: "the invitation's time is over: ask for a new one"
        case .keyTaken: "a member of the group has the same key already: join with a key of your own"
        case .anotherNetwork: "the key is for another network than the group"
        case .notProved: "the inviter found no proof of the key in the message: update Chorale on both sides"
        case .enrolmentExpired: "the key's enrolment is no longer valid: restart the node for a new one"
        case .notKept: "the inviter's node could not write it down: tell its owner, and try again"
        }
    }
}

/// What the inviter answers.
public enum GroupAnswer: Hashable, Sendable {
    /// The invitation is the asker's, and others are still to come.
    case waiting(joined: Int, of: Int)
    /// Everybody has joined: the members, sorted by their signer keys, signed by the inviter.
    case made([GroupMember], Ed25519.Signature)
    case refused(GroupRefusal)

    /// Says that a group is made.
    ///
    /// - Precondition: the identity is the inviter's.
    static func made(_ members: [GroupMember], under terms: GroupTerms, identity: borrowing Ed25519.SecretKey) -> GroupAnswer {
        precondition(identity.publicKey == terms.inviter, "who invited says that the group is made")
        return .made(members, identity.sign(Self.digest(members, terms).bytes))
    }

    static func digest(_ members: [GroupMember], _ terms: GroupTerms) -> Bytes32 {
        var writer = ByteWriter()
        terms.write(to: &writer)
        for member in members { member.write(to: &writer) }
        var hash = Self.tag
        hash.update(writer.bytes)
        return hash.finalize()
    }

    private static let tag = SHA256.tagged("chorale/group/made")

    // MARK: - Bytes

    private static let formatVersion: UInt8 = 1

    /// Version 1, kind 1 (0 waiting, 1 made, 2 refused); counts 4 and 4; or count 4, members, signature 64; or reason 1.
    public func serialized() -> [UInt8] {
        var writer = ByteWriter()
        writer.writeUInt8(Self.formatVersion)
        switch self {
        case .waiting(let joined, let wanted):
            writer.writeUInt8(0)
            writer.writeUInt32(UInt32(clamping: joined))
            writer.writeUInt32(UInt32(clamping: wanted))
        case .made(let members, let signature):
            writer.writeUInt8(1)
            writer.writeUInt32(UInt32(clamping: members.count))
            for member in members { member.write(to: &writer) }
            writer.write(signature.bytes)
        case .refused(let reason):
            writer.writeUInt8(2)
            writer.writeUInt8(reason.rawValue)
        }
        return writer.bytes
    }

    /// Reads an answer. The enrolments in it are verified; whether they make the group is ``GroupJoining``'s to say.
    public init(parsing bytes: [UInt8]) throws(GroupError) {
        guard bytes.count <= GroupProtocol.answerByteCountMax else { throw .malformed("an answer of \(bytes.count) bytes") }
        do {
            var reader = ByteReader(bytes)
            guard try reader.readUInt8("format version") == Self.formatVersion else { throw GroupError.unknownFormat }
            switch try reader.readUInt8("kind") {
            case 0:
                self = .waiting(
                    joined: Int(try reader.readUInt32("count of the joined")), of: Int(try reader.readUInt32("count of members")))
            case 1:
                let count = try reader.readUInt32("count of members")
                guard count <= SigningPlan.signerCountMax else { throw GroupError.malformed("\(count) members") }
                var members: [GroupMember] = []
                for _ in 0..<count { members.append(try GroupMember(&reader)) }
                self = .made(members, try Ed25519.Signature(parsing: reader.readBytes(Ed25519.Signature.byteCount, "signature")))
            case 2:
                guard let reason = GroupRefusal(rawValue: try reader.readUInt8("reason")) else { throw GroupError.unknownFormat }
                self = .refused(reason)
            default: throw GroupError.unknownFormat
            }
            try reader.finish()
        } catch let error as GroupError { throw error } catch { throw .malformed("answer: \(error)") }
    }
}
