internal import Bitcoin
public import CryptoPrimitives
internal import Secp256k1
public import Signing

/// A group that is being made, as its inviter sees it: who has joined by which invitation.
///
///     gathering ──the last one joins──▶ made
///
/// An invitation belongs to the first signer that uses it with proof of its key. What was answered once stands: whoever repeats itself
/// gets the same place, another signer none.
public struct GroupGathering: Hashable, Sendable {
    public let terms: GroupTerms
    /// The inviter itself.
    public let own: GroupMember
    private var places: [Place]

    private struct Place: Hashable {
        let token: GroupToken
        var member: GroupMember?
    }

    /// What a join led to.
    public enum Reception: Hashable, Sendable {
        /// Nothing new. Answer, and that is all.
        case known(GroupAnswer)
        /// Somebody joined. Make the gathering durable, then answer; if that cannot be, put it back as it was and refuse.
        case joined(GroupMember, GroupAnswer)

        public var answer: GroupAnswer {
            switch self {
            case .known(let answer), .joined(_, let answer): answer
            }
        }
    }

    /// - Parameters:
    ///   - tokens: one for each member but the inviter, drawn at random.
    ///   - own: the inviter as a member.
    /// - Throws: `invalidTerms` when these do not go together.
    public init(_ terms: GroupTerms, tokens: [GroupToken], own: GroupMember) throws(GroupError) {
        guard tokens.count == terms.memberCount - 1, Set(tokens).count == tokens.count else {
            throw .invalidTerms("there is one invitation for each member but the inviter")
        }
        guard own.enrolment.identity == terms.inviter, own.enrolment.network == terms.network else {
            throw .invalidTerms("the inviter's enrolment is of another identity or network than the terms'")
        }
        if case .delegated(_, .owner(let owner)) = terms.shape, owner == own.signer.xOnly {
            throw .invalidTerms("the owner's key is the inviter's signer key: give the owner a key of its own")
        }
        self.terms = terms
        self.own = own
        self.places = tokens.map { Place(token: $0) }
    }

    // MARK: - What stands

    /// One invitation for each member to come, in the order of the tokens.
    public var invitations: [GroupInvitation] {
        self.places.map { GroupInvitation(terms: self.terms, token: $0.token, addresses: self.own.addresses) }
    }

    /// Those of them that nobody has used.
    public var openInvitations: [GroupInvitation] {
        zip(self.places, self.invitations).filter { $0.0.member == nil }.map(\.1)
    }

    /// Who is a member by now, the inviter first, then in the order of the tokens.
    public var joined: [GroupMember] { [self.own] + self.places.compactMap(\.member) }

    /// All members, sorted by their signer keys, once everybody has joined.
    public var members: [GroupMember]? {
        let joined = self.joined
        return joined.count == self.terms.memberCount ? joined.sorted { $0.signer < $1.signer } : nil
    }

    /// The group, once everybody has joined.
    public var record: GroupRecord? { self.members.map { self.terms.record(of: $0.map(\.signer)) } }

    public func holds(_ token: GroupToken) -> Bool { self.places.contains { $0.token == token } }

    // MARK: - Joining

    /// Takes a join.
    ///
    /// - Parameters:
    ///   - peer: the identity at the other end of the connection that brought it.
    ///   - now: seconds since 1970.
    ///   - identity: the inviter's, which signs the answer that makes the group.
    public mutating func receive(
        _ join: GroupJoin, from peer: Ed25519.PublicKey, now: UInt64, identity: borrowing Ed25519.SecretKey
    ) -> Reception {
        guard let index = self.places.firstIndex(where: { $0.token == join.token }) else { return .known(.refused(.unknown)) }
        let enrolment = join.member.enrolment
        guard enrolment.identity == peer, join.isSigned(under: self.terms) else { return .known(.refused(.notProved)) }
        if let member = self.places[index].member {
            // Whoever has the place asks how far it is, whatever the time, and with whichever enrolment its key has now.
            guard member.signer == enrolment.signer else { return .known(.refused(.used)) }
            return .known(self.answer(identity))
        }
        if let refusal = self.refusal(of: enrolment, now: now) { return .known(.refused(refusal)) }
        self.places[index].member = join.member
        return .joined(join.member, self.answer(identity))
    }

    private func refusal(of enrolment: Enrolment, now: UInt64) -> GroupRefusal? {
        guard !self.terms.isExpired(at: now) else { return .expired }
        guard enrolment.network == self.terms.network else { return .anotherNetwork }
        guard !enrolment.isExpired(at: now) else { return .enrolmentExpired }
        // Without their sign: whoever knows the secret of a key knows that of its negation.
        let isTaken = self.joined.contains { member in
            member.signer.xOnly == enrolment.signer.xOnly || member.enrolment.identity == enrolment.identity
        }
        if isTaken { return .keyTaken }
        if case .delegated(_, .owner(let owner)) = self.terms.shape, owner == enrolment.signer.xOnly { return .keyTaken }
        return nil
    }

    private func answer(_ identity: borrowing Ed25519.SecretKey) -> GroupAnswer {
        guard let members = self.members else { return .waiting(joined: self.joined.count, of: self.terms.memberCount) }
        return .made(members, under: self.terms, identity: identity)
    }

    // MARK: - Bytes

    private static let formatVersion: UInt8 = 1

    /// Most bytes of a gathering: one of 1,000 members.
    public static let byteCountMax = 1 << 20

    /// Version 1, terms, inviter, and for each invitation token 16 and 0, or 1 and the member.
    public func serialized() -> [UInt8] {
        var writer = ByteWriter()
        writer.writeUInt8(Self.formatVersion)
        self.terms.write(to: &writer)
        self.own.write(to: &writer)
        for place in self.places {
            writer.write(place.token.bytes)
            writer.writeUInt8(place.member == nil ? 0 : 1)
            place.member?.write(to: &writer)
        }
        return writer.bytes
    }

    /// Reads what this node wrote, and checks it as if it came from anywhere.
    public init(parsing bytes: [UInt8]) throws(GroupError) {
        guard bytes.count <= Self.byteCountMax else { throw .malformed("a gathering of \(bytes.count) bytes") }
        do {
            var reader = ByteReader(bytes)
            guard try reader.readUInt8("format version") == Self.formatVersion else { throw GroupError.unknownFormat }
            let terms = try GroupTerms(&reader)
            let own = try GroupMember(&reader)
            var places: [Place] = []
            for _ in 1..<terms.memberCount {
                guard let token = GroupToken(try reader.readBytes(GroupToken.byteCount, "token")) else { throw GroupError.unknownFormat }
                let isTaken = try reader.readUInt8("mark")
                guard isTaken <= 1 else { throw GroupError.unknownFormat }
                places.append(Place(token: token, member: isTaken == 1 ? try GroupMember(&reader) : nil))
            }
            try reader.finish()
            try self.init(terms, tokens: places.map(\.token), own: own)
            self.places = places
        } catch let error as GroupError { throw error } catch { throw .malformed("gathering: \(error)") }
        let joined = self.joined
        guard Set(joined.map(\.signer.xOnly)).count == joined.count, Set(joined.map(\.enrolment.identity)).count == joined.count,
            joined.allSatisfy({ $0.enrolment.network == self.terms.network })
        else { throw .malformed("members that make no group") }
    }
}

/// All groups that a node's owner is inviting others to.
public struct GroupGatherings: Sendable {
    /// By the group's name, under which its owner knows it.
    public private(set) var all: [String: GroupGathering] = [:]

    /// Groups that are being made at a time, and those made that some member may not know of yet. Source: Chorale's own bound.
    public static let countMax = 64
    /// How long a gathering is kept after its invitations are over, in seconds: members that joined in time come back for the group.
    public static let keptSeconds: UInt64 = 30 * 86_400

    public init() {}

    /// - Throws: `tooMany`; `invalidTerms` where a group of this name is being made already.
    public mutating func add(_ gathering: GroupGathering) throws(GroupError) {
        guard self.all[gathering.terms.name] == nil else {
            throw .invalidTerms("a group of this name is being made already: choose another name, or remove that one")
        }
        guard self.all.count < Self.countMax else { throw .tooMany(limit: Self.countMax) }
        self.all[gathering.terms.name] = gathering
    }

    /// Takes back all invitations to a group. Whoever asks is told that there is none.
    public mutating func remove(_ name: String) { self.all[name] = nil }

    /// Those whose time is over.
    public func outdated(at now: UInt64) -> [String] {
        self.all.values.filter { gathering in
            let (end, overflows) = gathering.terms.expiry.addingReportingOverflow(Self.keptSeconds)
            return !overflows && now > end
        }.map(\.terms.name).sorted()
    }

    /// Takes a message of a peer.
    ///
    /// - Returns: the answer, and the name of the group that somebody joined by it. Make that gathering durable before the answer leaves;
    ///   where that cannot be, `replace` it with what stood before, and answer `refused(notKept)`.
    public mutating func receive(
        _ bytes: [UInt8], from peer: Ed25519.PublicKey, now: UInt64, identity: borrowing Ed25519.SecretKey
    ) -> (answer: GroupAnswer, changed: String?) {
        guard let token = GroupJoin.token(in: bytes) else { return (.refused(.notProved), nil) }
        // Before any signature is verified: whoever was not invited costs nothing.
        guard var gathering = self.all.values.first(where: { $0.holds(token) }) else { return (.refused(.unknown), nil) }
        let join: GroupJoin
        do throws(GroupError) { join = try GroupJoin(parsing: bytes) } catch { return (.refused(.notProved), nil) }
        switch gathering.receive(join, from: peer, now: now, identity: identity) {
        case .known(let answer): return (answer, nil)
        case .joined(_, let answer):
            self.all[gathering.terms.name] = gathering
            return (answer, gathering.terms.name)
        }
    }

    /// Puts a gathering back as it was.
    public mutating func replace(_ gathering: GroupGathering) {
        guard self.all[gathering.terms.name] != nil else { return }
        self.all[gathering.terms.name] = gathering
    }
}
