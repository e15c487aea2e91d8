internal import Bitcoin
internal import CryptoPrimitives
public import LibP2P

/// What shows that somebody was invited: 16 random bytes, good for one member.
public struct GroupToken: Hashable, Sendable {
    public static let byteCount = 16

    public let bytes: [UInt8]

    /// - Parameter bytes: drawn at random by whoever invites; `nil` unless there are 16.
    public init?(_ bytes: [UInt8]) {
        guard bytes.count == Self.byteCount else { return nil }
        self.bytes = bytes
    }
}

/// An invitation into a group that is being made: one member's, by whoever uses it first.
///
/// It travels as text, over any channel that the two trust not to be read by others: who reads it can take the place of whoever it was
/// meant for. That shows when members compare the group's number (``SafetyNumber``).
public struct GroupInvitation: Hashable, Sendable {
    public let terms: GroupTerms
    public let token: GroupToken
    /// Where the inviter's node is.
    public let addresses: [Multiaddr]

    public init(terms: GroupTerms, token: GroupToken, addresses: [Multiaddr]) {
        self.terms = terms
        self.token = token
        self.addresses = GroupAddresses.kept(addresses)
    }

    /// The inviter's node.
    public var peer: PeerID { PeerID(of: self.terms.inviter) }

    // MARK: - Bytes

    private static let formatVersion: UInt8 = 1

    /// Version 1, token 16, terms, addresses.
    func serialized() -> [UInt8] {
        var writer = ByteWriter()
        writer.writeUInt8(Self.formatVersion)
        writer.write(self.token.bytes)
        self.terms.write(to: &writer)
        GroupAddresses.write(self.addresses, to: &writer)
        return writer.bytes
    }

    init(parsing bytes: [UInt8]) throws(GroupError) {
        do {
            var reader = ByteReader(bytes)
            guard try reader.readUInt8("format version") == Self.formatVersion else { throw GroupError.unknownFormat }
            guard let token = GroupToken(try reader.readBytes(GroupToken.byteCount, "token")) else { throw GroupError.unknownFormat }
            self.token = token
            self.terms = try GroupTerms(&reader)
            self.addresses = try GroupAddresses.read(&reader)
            try reader.finish()
        } catch let error as GroupError { throw error } catch { throw .malformed("invitation: \(error)") }
    }
}

// MARK: - Text

extension GroupInvitation {
    /// What the text begins with, so that people see what it is.
    public static let textPrefix = "chorale-group"

    /// Most characters of a text. Source: Chorale's own bound; the longest that can be made has about 1,500.
    public static let characterCountMax = 2_048

    /// One word of letters and digits, to be copied: bech32m with a checksum of its own (BIP-350), longer than an address.
    public var text: String { BytesText.encode(self.serialized(), prefix: Self.textPrefix, characterCountMax: Self.characterCountMax) }

    /// Reads a text. White space is passed over wherever it stands: programs that carry letters break lines.
    public init(text: some StringProtocol) throws(GroupError) {
        try self.init(
            parsing: BytesText.decode(text, prefix: Self.textPrefix, characterCountMax: Self.characterCountMax, what: "an invitation"))
    }
}

/// Bytes as one word that people copy.
enum BytesText {
    static func encode(_ bytes: [UInt8], prefix: String, characterCountMax: Int) -> String {
        do throws(Bech32Error) {
            return try Bech32.encode(
                humanReadablePart: prefix, data5: Bech32.convertBits(bytes, from: 8, to: 5, padding: true), variant: .bech32m,
                maximumLength: characterCountMax)
        } catch { preconditionFailure("what is written as text has bounds that keep it short: \(error)") }
    }

    static func decode(
        _ text: some StringProtocol, prefix: String, characterCountMax: Int, what: String
    ) throws(GroupError) -> [UInt8] {
        // Of white space there may be some, too, and not without end.
        guard text.utf8.count <= 2 * characterCountMax else { throw .malformed("\(text.utf8.count) characters are too many for \(what)") }
        let word = String(decoding: text.utf8.filter { !Self.whiteSpace.contains($0) }, as: UTF8.self)
        guard word.lowercased().hasPrefix("\(prefix)1") else { throw .malformed("\(what) begins with \(prefix)1") }
        do throws(Bech32Error) {
            let (_, groups, variant) = try Bech32.decode(word, maximumLength: characterCountMax)
            guard variant == .bech32m else { throw Bech32Error.wrongChecksum }
            return try Bech32.convertBits(groups, from: 5, to: 8, padding: false)
        } catch { throw .malformed("\(error)") }
    }

    private static let whiteSpace: Set<UInt8> = [0x20, 0x09, 0x0a, 0x0d]
}

/// Where a member's node says that it is, as it travels in invitations and joins.
enum GroupAddresses {
    /// Addresses of one node, and bytes of all of them. Source: Chorale's own bounds; a node with both families, TCP and WebSocket and a
    /// relay has five, of 60 bytes at most.
    static let countMax = 8
    static let byteCountMax = 640

    /// Those that travel: the first ones, as many as the bounds allow.
    static func kept(_ addresses: [Multiaddr]) -> [Multiaddr] {
        var (kept, byteCount): ([Multiaddr], Int) = ([], 0)
        for address in addresses {
            let bytes = address.bytes.count
            guard kept.count < Self.countMax else { break }
            guard bytes > 0, byteCount + bytes <= Self.byteCountMax, !kept.contains(address) else { continue }
            kept.append(address)
            byteCount += bytes
        }
        return kept
    }

    /// Count 1, and each with its length.
    static func write(_ addresses: [Multiaddr], to writer: inout ByteWriter) {
        writer.writeUInt8(UInt8(clamping: addresses.count))
        for address in addresses { writer.writeVariableBytes(address.bytes) }
    }

    /// Reads them. An address of a kind that is not known here is refused: it could not be written again as it was.
    static func read(_ reader: inout ByteReader) throws -> [Multiaddr] {
        let count = try reader.readUInt8("count of addresses")
        guard count <= Self.countMax else { throw GroupError.malformed("\(count) addresses") }
        var addresses: [Multiaddr] = []
        for _ in 0..<count { addresses.append(try Multiaddr(parsing: reader.readVariableSlice("address"))) }
        guard Self.kept(addresses) == addresses else { throw GroupError.malformed("addresses that are too long, or one twice") }
        return addresses
    }
}
