public import Bitcoin
public import CryptoPrimitives
public import Secp256k1
public import Signing

/// What a group is to be, before its members' keys are known: what its inviter asks for, and what each member agrees to by joining.
///
/// With the members' keys, the group follows from it (``record(of:)``), so that nobody has to be told, or to believe, what it is.
public struct GroupTerms: Hashable, Sendable {
    /// Who of the members can spend.
    public enum Shape: Hashable, Sendable {
        /// All together, by the key path.
        case everyone
        /// Any `threshold` of them by a leaf, and whom the internal key lets by the key path.
        case delegated(threshold: Int, DelegatedMultisig.InternalKey)
    }

    public let network: Network
    /// What the inviter calls the group: 1 to 64 bytes of UTF-8 that can be read on one line.
    public let name: String
    /// Members in all, the inviter among them.
    public let memberCount: Int
    public let shape: Shape
    /// Who invites: the identity of a member, and so a peer of the network.
    public let inviter: Ed25519.PublicKey
    /// Seconds since 1970 until which invitations can be used.
    public let expiry: UInt64

    /// Fewest and most members. Source: a group of one signs alone; `SigningPlan` takes no more.
    public static let memberCounts = 2...SigningPlan.signerCountMax

    /// - Throws: `invalidTerms` with the reason, for a policy's size as well: an invitation must not make its readers compute for hours.
    public init(
        network: Network, name: String, memberCount: Int, shape: Shape, inviter: Ed25519.PublicKey, expiry: UInt64
    ) throws(GroupError) {
        guard Self.isName(name) else {
            throw .invalidTerms("a group's name has 1 to \(StoredGroup.nameByteCountMax) bytes and nothing in it that cannot be seen")
        }
        guard Self.memberCounts.contains(memberCount) else {
            throw .invalidTerms("a group has \(Self.memberCounts.lowerBound) to \(Self.memberCounts.upperBound) members")
        }
        if case .delegated(let threshold, _) = shape {
            do throws(DelegatedMultisigError) { _ = try DelegatedMultisig.leafCount(signers: memberCount, threshold: threshold) } catch {
                throw .invalidTerms("\(error)")
            }
        }
        self.network = network
        self.name = name
        self.memberCount = memberCount
        self.shape = shape
        self.inviter = inviter
        self.expiry = expiry
    }

    /// Whether a group, or anything else that people call by a name, may be called so.
    public static func isName(_ text: String) -> Bool {
        guard (1...StoredGroup.nameByteCountMax).contains(text.utf8.count) else { return false }
        guard text.unicodeScalars.first?.properties.isWhitespace == false, text.unicodeScalars.last?.properties.isWhitespace == false else {
            return false
        }
        return text.unicodeScalars.allSatisfy { scalar in
            switch scalar.properties.generalCategory {
            case .control, .format, .lineSeparator, .paragraphSeparator, .surrogate, .unassigned, .privateUse: false
            default: true
            }
        }
    }

    /// How many members a signature takes.
    public var threshold: Int {
        switch self.shape {
        case .everyone: self.memberCount
        case .delegated(let threshold, _): threshold
        }
    }

    /// Whether an invitation to it is over, in seconds since 1970.
    public func isExpired(at now: UInt64) -> Bool { now > self.expiry }

    /// The group of these signers.
    public func record(of signers: [PublicKey]) -> GroupRecord {
        switch self.shape {
        case .everyone: .everyone(signers.sorted())
        case .delegated(let threshold, let internalKey):
            .delegated(PolicyRecord(internalKey: internalKey, signers: signers, threshold: threshold))
        }
    }

    // MARK: - Bytes

    /// Network 1, inviter 32, expiry 8, members 4, shape 1 (0 all, 1 owner, 2 aggregate, 3 unspendable), of a shape that is not 0 the
    /// threshold 4 and the owner 32 if there is one, name with its length. Numbers are little endian.
    func write(to writer: inout ByteWriter) {
        writer.writeUInt8(self.network.enrolmentCode)
        writer.write(self.inviter.bytes)
        writer.writeUInt64(self.expiry)
        writer.writeUInt32(UInt32(clamping: self.memberCount))
        switch self.shape {
        case .everyone: writer.writeUInt8(0)
        case .delegated(let threshold, .owner(let owner)):
            writer.writeUInt8(1)
            writer.writeUInt32(UInt32(clamping: threshold))
            writer.write(owner.bytes)
        case .delegated(let threshold, .aggregate):
            writer.writeUInt8(2)
            writer.writeUInt32(UInt32(clamping: threshold))
        case .delegated(let threshold, .unspendable):
            writer.writeUInt8(3)
            writer.writeUInt32(UInt32(clamping: threshold))
        }
        writer.writeVariableBytes(Array(self.name.utf8))
    }

    init(_ reader: inout ByteReader) throws {
        guard let network = Network(enrolmentCode: try reader.readUInt8("network")) else { throw GroupError.unknownFormat }
        let inviter = try Ed25519.PublicKey(parsing: reader.readBytes(Ed25519.PublicKey.byteCount, "inviter"))
        let expiry = try reader.readUInt64("expiry")
        let memberCount = Int(try reader.readUInt32("count of members"))
        let kind = try reader.readUInt8("shape")
        let shape: Shape
        switch kind {
        case 0: shape = .everyone
        case 1...3:
            let threshold = Int(try reader.readUInt32("threshold"))
            switch kind {
            case 1: shape = .delegated(threshold: threshold, .owner(try XOnlyPublicKey(parsing: reader.readBytes(32, "owner"))))
            case 2: shape = .delegated(threshold: threshold, .aggregate)
            default: shape = .delegated(threshold: threshold, .unspendable)
            }
        default: throw GroupError.unknownFormat
        }
        // One byte of length is enough for every name that there can be.
        let byteCount = Int(try reader.readUInt8("length of the name"))
        guard let name = String(validating: try reader.readBytes(byteCount, "name"), as: UTF8.self) else {
            throw GroupError.malformed("a name that is no text")
        }
        try self.init(network: network, name: name, memberCount: memberCount, shape: shape, inviter: inviter, expiry: expiry)
    }
}

/// Why an invitation, a message about one, or what is to become of it cannot be used.
public enum GroupError: Error, Hashable, Sendable, CustomStringConvertible {
    /// Not the bytes or the text that they should be, with what stood in the way.
    case malformed(String)
    /// A version or kind that this program does not know.
    case unknownFormat
    /// There can be no such group.
    case invalidTerms(String)
    /// The invitation's time is over.
    case expired
    /// The invitation is for keys on another network than one's own.
    case anotherNetwork(invitation: Network, own: Network)
    /// One's own invitation: its maker is a member already.
    case ownInvitation
    /// The inviter says that the group is made, and what it says does not hold.
    case inconsistent(String)
    /// More than a node keeps at a time.
    case tooMany(limit: Int)

    public var description: String {
        switch self {
        case .malformed(let problem): "not what Chorale wrote: \(problem)"
        case .unknownFormat: "written by another version of Chorale: update this one"
        case .invalidTerms(let reason): reason
        case .expired: "the invitation's time is over: ask for a new one"
        case .anotherNetwork(let invitation, let own): "the invitation is for keys on \(invitation), and this node's key is for \(own)"
        case .ownInvitation: "this node made the invitation, and is a member already: give it to somebody else"
        case .inconsistent(let problem): "the inviter's answer does not hold: \(problem)"
        case .tooMany(let limit): "\(limit) groups are being made already: wait for them, or remove one"
        }
    }
}
