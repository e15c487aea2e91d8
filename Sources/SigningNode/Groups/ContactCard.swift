internal import Bitcoin
public import LibP2P
public import Signing

/// What a signer gives to people who want to sign with it: its enrolment, which proves key and identity, and where its node is.
///
/// It is no secret. Who gets it over a channel that others can write to compares a ``SafetyNumber`` by voice.
public struct ContactCard: Hashable, Sendable {
    public let member: GroupMember

    public init(_ enrolment: Enrolment, addresses: [Multiaddr]) { self.member = GroupMember(enrolment, addresses: addresses) }

    public var enrolment: Enrolment { self.member.enrolment }
    public var addresses: [Multiaddr] { self.member.addresses }

    /// What the text begins with.
    public static let textPrefix = "chorale-contact"

    /// Most characters of a text. Source: Chorale's own bound; the longest that can be made has about 1,400.
    public static let characterCountMax = 2_048

    private static let formatVersion: UInt8 = 1

    /// One word to be copied: bech32m of version 1, enrolment 207 and addresses.
    public var text: String {
        var writer = ByteWriter()
        writer.writeUInt8(Self.formatVersion)
        self.member.write(to: &writer)
        return BytesText.encode(writer.bytes, prefix: Self.textPrefix, characterCountMax: Self.characterCountMax)
    }

    /// Reads a text, and verifies the enrolment's signatures. White space is passed over.
    public init(text: some StringProtocol) throws(GroupError) {
        let bytes = try BytesText.decode(text, prefix: Self.textPrefix, characterCountMax: Self.characterCountMax, what: "a contact")
        do {
            var reader = ByteReader(bytes)
            guard try reader.readUInt8("format version") == Self.formatVersion else { throw GroupError.unknownFormat }
            self.member = try GroupMember(&reader)
            try reader.finish()
        } catch let error as GroupError { throw error } catch { throw .malformed("contact: \(error)") }
    }
}
