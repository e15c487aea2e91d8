internal import Bitcoin
internal import CryptoPrimitives
internal import LibP2P
internal import SessionStore

/// What is kept of groups beside the database, one file each in a folder of the node's: those that others are still to join, those that
/// this node is joining, and where the members of made ones are.
///
/// Names are hashes, for people choose names as they like.
struct GroupFiles {
    enum Content {
        case gathering(GroupGathering)
        /// An invitation that was taken, when that was in seconds since 1970, and what this node's owner calls the group.
        case joining(GroupInvitation, takenAt: UInt64, name: String)
        case members([GroupMember])
    }

    let folder: String

    /// Files that are read. Source: as many as gatherings and joinings may be, and groups of a database, with room for what was removed.
    private static let fileCountMax = 2_048

    // MARK: - Reading

    /// Everything in the folder. A file that cannot be read is named in `damaged`, and stays.
    func all() throws(FileError) -> (contents: [Content], damaged: [(path: String, reason: String)]) {
        var (contents, damaged): ([Content], [(path: String, reason: String)]) = ([], [])
        for name in try AtomicFile.names(in: self.folder, countMax: Self.fileCountMax).sorted() {
            let path = "\(self.folder)/\(name)"
            do {
                guard let kind = Kind.allCases.first(where: { name.hasSuffix($0.suffix) }) else { continue }
                contents.append(try Self.content(AtomicFile.read(path, byteCountMax: GroupGathering.byteCountMax), kind))
            } catch { damaged.append((path, "\(error)")) }
        }
        return (contents, damaged)
    }

    private static func content(_ bytes: [UInt8], _ kind: Kind) throws -> Content {
        switch kind {
        case .gathering: return .gathering(try GroupGathering(parsing: bytes))
        case .joining:
            var reader = ByteReader(bytes)
            guard let name = String(validating: try reader.readVariableBytes("name"), as: UTF8.self), GroupTerms.isName(name) else {
                throw GroupError.malformed("a name that is none")
            }
            let takenAt = try reader.readUInt64("time")
            return .joining(try GroupInvitation(parsing: Array(reader.readRemaining())), takenAt: takenAt, name: name)
        case .members:
            var reader = ByteReader(bytes)
            let count = try reader.readCount("count of members", minimumByteCount: GroupMember.byteCountMin)
            var members: [GroupMember] = []
            for _ in 0..<count { members.append(try GroupMember(&reader)) }
            try reader.finish()
            return .members(members)
        }
    }

    // MARK: - Writing

    private enum Kind: String, CaseIterable {
        case gathering, joining, members
        var suffix: String { ".\(self.rawValue)" }
    }

    func save(_ gathering: GroupGathering) throws(FileError) {
        try self.write(gathering.serialized(), self.path(of: Array(gathering.terms.name.utf8), .gathering))
    }

    func save(_ invitation: GroupInvitation, takenAt: UInt64, name: String) throws(FileError) {
        var writer = ByteWriter()
        writer.writeVariableBytes(Array(name.utf8))
        writer.writeUInt64(takenAt)
        writer.write(invitation.serialized())
        try self.write(writer.bytes, self.path(of: invitation.token.bytes, .joining))
    }

    func save(_ members: [GroupMember], of policyDigest: Bytes32) throws(FileError) {
        var writer = ByteWriter()
        writer.writeCompactSize(members.count)
        for member in members { member.write(to: &writer) }
        try self.write(writer.bytes, self.path(of: policyDigest.bytes, .members))
    }

    func removeGathering(_ name: String) throws(FileError) { try AtomicFile.remove(self.path(of: Array(name.utf8), .gathering)) }

    func removeJoining(_ token: GroupToken) throws(FileError) { try AtomicFile.remove(self.path(of: token.bytes, .joining)) }

    private func path(of key: [UInt8], _ kind: Kind) -> String {
        "\(self.folder)/\(Hex.encode(SHA256.hash(key).bytes.prefix(16)))\(kind.suffix)"
    }

    private func write(_ bytes: [UInt8], _ path: String) throws(FileError) {
        try AtomicFile.write(bytes, to: path, permissions: .ownerOnly)
    }
}
