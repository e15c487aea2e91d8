internal import Bitcoin
public import CryptoPrimitives
public import Secp256k1

/// What a proposer asks for beside the request: how members take turns at coordinating, since when, and a word to the others.
///
/// Signed with the proposal. Nothing rests on it but the order of turns and their length, so a proposer that tells members different
/// terms gains nothing but delay.
public struct RequestTerms: Hashable, Sendable {
    public let election: CoordinatorElection
    /// Seconds since 1970 at which it was proposed, by the proposer's clock.
    public let createdAt: UInt64
    /// What it is for, in the proposer's words; shown to people and otherwise ignored.
    public let note: String

    /// Longest note, in bytes of UTF-8.
    public static let noteByteCountMax = 200

    /// `nil` for a note that is too long.
    public init?(election: CoordinatorElection = .hash, createdAt: UInt64, note: String = "") {
        guard note.utf8.count <= Self.noteByteCountMax else { return nil }
        self.election = election
        self.createdAt = createdAt
        self.note = note
    }

    func write(to writer: inout ByteWriter) {
        writer.writeUInt8(self.election.rawValue)
        writer.writeUInt64(self.createdAt)
        writer.writeVariableBytes(Array(self.note.utf8))
    }

    init(_ reader: inout ByteReader) throws {
        guard let election = CoordinatorElection(rawValue: try reader.readUInt8("election")) else { throw StatementError.unknownFormat }
        self.election = election
        self.createdAt = try reader.readUInt64("creation time")
        let bytes = try reader.readVariableBytes("note")
        guard bytes.count <= Self.noteByteCountMax, let note = String(validating: bytes, as: UTF8.self) else {
            throw StatementError.malformed("a note that is too long or no text")
        }
        self.note = note
    }
}

/// In which order members take turns at coordinating a request.
///
/// A coordinator can delay and no more, so the order need not be hard to influence: whoever grinds keys or request ids to come first
/// wins a turn that the others take over from it.
public enum CoordinatorElection: UInt8, Hashable, Sendable, CaseIterable {
    /// By the keys' 33 bytes, rising.
    case lexicographic = 1
    /// By tagged hash `chorale/turn` of T0 and key, rising: another order for each request.
    case hash = 2
    /// The policy's first signer, then the next ones.
    case firstSigner = 3
    /// The policy's last signer, then the ones before.
    case lastSigner = 4
    /// The proposer first, then the others as by `hash`: what begins at once, with nonces that were given ahead, begins at its proposer.
    case proposerFirst = 5

    /// All members, the coordinator of the first attempt first.
    public func priority(of members: [PublicKey], request: Bytes32, proposer: PublicKey? = nil) -> [PublicKey] {
        switch self {
        case .lexicographic: return members.sorted()
        case .firstSigner: return members
        case .lastSigner: return members.reversed()
        case .proposerFirst:
            let others = Self.hash.priority(of: members.filter { $0 != proposer }, request: request)
            return members.filter { $0 == proposer } + others
        case .hash:
            let ranked = members.map { member -> (rank: Bytes32, member: PublicKey) in
                var hash = Self.tag
                hash.update(request.bytes)
                hash.update(member.bytes)
                return (hash.finalize(), member)
            }
            return ranked.sorted { $0.rank.bytes.lexicographicallyPrecedes($1.rank.bytes) }.map(\.member)
        }
    }

    private static let tag = SHA256.tagged("chorale/turn")
}

/// Why a signer does not, or no longer, agree.
public enum RefusalReason: UInt8, Hashable, Sendable, CaseIterable, CustomStringConvertible {
    case rejected = 1
    case withdrawn = 2
    /// The request ended for it, and it had signed nothing: as far as it knows no set can sign, or the proposer took it back. Told to who
    /// still waits for it.
    case aborted = 3

    public var description: String {
        switch self {
        case .rejected: "rejected it"
        case .withdrawn: "withdrew its approval"
        case .aborted: "gave it up"
        }
    }
}
