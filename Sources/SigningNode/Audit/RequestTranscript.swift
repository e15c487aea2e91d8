public import Bitcoin
internal import CryptoPrimitives
internal import Secp256k1
public import Signing

/// A request as one of its members has kept it: what was asked, of whom, and every signed word about it that came or went, in order. Anybody
/// can look at it with nothing else in hand.
///
///     "chorale transcript 1\n" | network 1 | var group record | count, enrolments 207 each | var proposal | count, then for each entry
///     kind 1, var bytes | hash of the last entry 32
///
/// The words are signed by those who said them. That nothing is left out, and the order, is the word of whoever wrote it down: but whoever
/// knows the last hash from before finds any change.
public struct RequestTranscript: Hashable, Sendable {
    public let network: Network
    public let record: GroupRecord
    /// Of the members, as far as they are known.
    public let enrolments: [Enrolment]
    /// The message that the request came as.
    public let proposal: [UInt8]
    public let entries: [TranscriptEntry]
    /// The chain's end.
    public let head: TranscriptHead

    /// Longest file that is written or read, in bytes: what one source's requests may take, twice.
    public static let byteCountMax = 64 << 20

    /// - Throws: `tooLarge`; `malformed` where the proposal is none, or the entries are not a chain from its T0 on.
    init(
        network: Network, record: GroupRecord, enrolments: [Enrolment], proposal: [UInt8], entries: [TranscriptEntry]
    ) throws(StatementError) {
        guard let request = Coordination.request(of: proposal) else { throw .malformed("transcript: its proposal is no message") }
        var head = TranscriptHead(request: request)
        for entry in entries {
            guard head.follow(entry) else { throw .malformed("transcript: its chain breaks at entry \(entry.sequence)") }
        }
        self.network = network
        self.record = record
        self.enrolments = enrolments
        self.proposal = proposal
        self.entries = entries
        self.head = head
        let byteCount = entries.reduce(proposal.count) { $0 + $1.bytes.count }
        guard byteCount <= Self.byteCountMax - (1 << 20) else {
            throw .tooLarge(byteCount: byteCount, limit: Self.byteCountMax - (1 << 20))
        }
    }

    // MARK: - Bytes

    static let magic = Array("chorale transcript 1\n".utf8)

    public func serialized() -> [UInt8] {
        var writer = ByteWriter()
        writer.write(Self.magic)
        writer.writeUInt8(self.network.code)
        writer.writeVariableBytes(self.record.serialized())
        writer.writeCompactSize(self.enrolments.count)
        for enrolment in self.enrolments { writer.write(enrolment.serialized()) }
        writer.writeVariableBytes(self.proposal)
        writer.writeCompactSize(self.entries.count)
        for entry in self.entries {
            writer.writeUInt8(entry.kind)
            writer.writeVariableBytes(entry.bytes)
        }
        writer.write(self.head.hash)
        return writer.bytes
    }

    /// Reads what `serialized()` gives. The chain is worked out anew; enrolments are verified here, and what was said by `audit`.
    public init(parsing bytes: [UInt8]) throws(StatementError) {
        guard bytes.count <= Self.byteCountMax else { throw .tooLarge(byteCount: bytes.count, limit: Self.byteCountMax) }
        do { self = try Self.read(bytes) } catch let error as StatementError { throw error } catch {
            throw .malformed("transcript: \(error)")
        }
    }

    private static func read(_ bytes: [UInt8]) throws -> RequestTranscript {
        var reader = ByteReader(bytes)
        guard try reader.readBytes(Self.magic.count, "first line") == Self.magic else { throw StatementError.unknownFormat }
        let code = try reader.readUInt8("network")
        guard let network = Network.allCases.first(where: { $0.code == code }) else { throw StatementError.unknownFormat }
        let record = try GroupRecord(parsing: reader.readVariableBytes("group"))
        let enrolmentCount = try reader.readCount("enrolments", minimumByteCount: Enrolment.byteCount)
        guard enrolmentCount <= StoredGroup.memberCountMax else { throw StatementError.malformed("\(enrolmentCount) enrolments") }
        let enrolments = try (0..<enrolmentCount).map { _ in
            try Enrolment(parsing: reader.readBytes(Enrolment.byteCount, "enrolment"))
        }
        let proposal = try reader.readVariableBytes("proposal")
        guard let request = Coordination.request(of: proposal) else { throw StatementError.malformed("its proposal is no message") }
        let count = try reader.readCount("entries", minimumByteCount: 2)
        guard count <= Int(TranscriptHead.entryCountMax) else { throw StatementError.malformed("\(count) entries") }
        var (head, entries): (TranscriptHead, [TranscriptEntry]) = (TranscriptHead(request: request), [])
        for _ in 0..<count {
            let kind = try reader.readUInt8("kind of an entry")
            entries.append(try head.append(kind: kind, reader.readVariableBytes("entry")))
        }
        guard try reader.readBytes32("last hash") == head.hash else {
            throw StatementError.malformed("transcript: its last hash is not that of its entries: something was changed, left out or moved")
        }
        try reader.finish()
        return try RequestTranscript(network: network, record: record, enrolments: enrolments, proposal: proposal, entries: entries)
    }
}

extension Network {
    /// As in enrolments.
    fileprivate var code: UInt8 {
        switch self {
        case .mainnet: 0
        case .testnet4: 1
        case .signet: 2
        case .regtest: 3
        }
    }
}
