public import CryptoPrimitives

/// One entry of a request's transcript: what was said or decided, chained to all before it.
public struct TranscriptEntry: Hashable, Sendable {
    /// From 1, without gaps.
    public let sequence: UInt32
    /// What the bytes are; whoever writes entries gives the kinds their meaning.
    public let kind: UInt8
    public let bytes: [UInt8]
    /// Tagged hash of the hash before and of this entry.
    public let hash: Bytes32

    package init(sequence: UInt32, kind: UInt8, bytes: [UInt8], hash: Bytes32) {
        self.sequence = sequence
        self.kind = kind
        self.bytes = bytes
        self.hash = hash
    }
}

/// The end of a transcript: whoever knows it knows whether an entry was changed, left out or moved.
///
/// Each hash is the tagged hash `chorale/transcript-entry` of the one before (32 bytes; the request's id before the first), the sequence (4),
/// the kind (1), the count of bytes (4), and the bytes. Numbers are little endian.
public struct TranscriptHead: Hashable, Sendable {
    /// The sequence of the last entry; 0 when there is none.
    public private(set) var sequence: UInt32
    public private(set) var hash: Bytes32

    /// Before the first entry about a request.
    public init(request: Bytes32) {
        self.sequence = 0
        self.hash = request
    }

    package init(sequence: UInt32, hash: Bytes32) {
        self.sequence = sequence
        self.hash = hash
    }

    /// Most entries of one transcript. Source: Chorale's own bound; an attempt of a hundred signers has a few hundred.
    public static let entryCountMax: UInt32 = 20_000
    /// Places behind them that are kept for how the request was completed, and for clone alarms, of which there are few.
    static let conclusionCountMax: UInt32 = 16 + UInt32(CloneAlarm.countPerRequestMax)
    /// Most bytes of one entry: what a message in chunks may have in all.
    public static let entryByteCountMax = 8 << 20

    /// The entry that comes next.
    ///
    /// - Parameter concludes: whether it says how the request was completed, or is a clone alarm: for those there are places behind the
    ///   others.
    public mutating func append(kind: UInt8, _ bytes: [UInt8], concludes: Bool = false) throws(StoreError) -> TranscriptEntry {
        guard bytes.count <= Self.entryByteCountMax else { throw .tooLarge(what: "transcript entry", limit: Self.entryByteCountMax) }
        let countMax = Self.entryCountMax + (concludes ? Self.conclusionCountMax : 0)
        guard self.sequence < countMax else { throw .full(.transcript, limit: Int(countMax)) }
        self.sequence += 1
        self.hash = Self.hash(after: self.hash, self.sequence, kind, bytes)
        return TranscriptEntry(sequence: self.sequence, kind: kind, bytes: bytes, hash: self.hash)
    }

    /// Whether the entry is the one that comes next; then this is the end with it.
    public mutating func follow(_ entry: TranscriptEntry) -> Bool {
        guard self.sequence < UInt32.max, entry.sequence == self.sequence + 1, entry.bytes.count <= Self.entryByteCountMax,
            entry.hash == Self.hash(after: self.hash, entry.sequence, entry.kind, entry.bytes)
        else { return false }
        self = TranscriptHead(sequence: entry.sequence, hash: entry.hash)
        return true
    }

    private static let tag = SHA256.tagged("chorale/transcript-entry")

    private static func hash(after previous: Bytes32, _ sequence: UInt32, _ kind: UInt8, _ bytes: [UInt8]) -> Bytes32 {
        var hash = Self.tag
        hash.update(previous)
        hash.update(withUnsafeBytes(of: sequence.littleEndian) { Array($0) })
        hash.update(kind)
        hash.update(withUnsafeBytes(of: UInt32(bytes.count).littleEndian) { Array($0) })
        hash.update(bytes)
        return hash.finalize()
    }
}
