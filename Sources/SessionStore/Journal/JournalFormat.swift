internal import Bitcoin
internal import CryptoPrimitives
internal import Signing

// The bytes of a journal file. Numbers are little endian, offsets count from the start of the file:
//
//     file     magic 7 "CHORJNL" | version 1 | frame*
//     frame    length 4 | head check 4 | payload | checksum 8      length: bytes of the payload
//     payload  entry+
//     entry    kind 1 | length 4 | content                         1: a record as BurnRecord writes it; 2: a forgotten request, 32
//
// head check: first 4 bytes of SHA-256(frame's offset 8 | length); checksum: first 8 of SHA-256(frame's offset 8 | length | payload).
//
// All that is made durable together is one frame, and a frame is begun only when the one before it is durable. So after a crash
// only the last frame can be torn, and it can be dropped whole: nothing of it was released. The head check tells a torn last
// frame from an altered length in the middle, which would otherwise swallow everything behind it; offsets in the checks make
// a frame good in its own place only.

/// One step in the life of a journal.
enum JournalEntry: Equatable, Sendable {
    case burn(BurnRecord)
    case forget(request: Bytes32)
}

enum JournalFormat {
    static let version: UInt8 = 1
    private static let magic = Array("CHORJNL".utf8)
    static let header = Self.magic + [Self.version]

    /// Largest journal, in bytes. It holds more than a million decisions about one input each; it is read into memory at once.
    static let fileByteCountMax = 256 << 20

    /// How far a journal may grow over that by what forgets requests, in bytes: or a full one could never be made smaller.
    static let forgettingByteCountMax = 64 << 10

    /// Most bytes of a frame's payload: the largest record (65,535 inputs) takes 6.4 MB.
    static let payloadByteCountMax = 8 << 20

    private static let headByteCount = 8
    private static let checksumByteCount = 8

    // MARK: - Writing

    static func encode(_ entry: JournalEntry) -> [UInt8] {
        let (kind, content): (UInt8, [UInt8]) =
            switch entry {
            case .burn(let record): (1, record.encoded())
            case .forget(let request): (2, request.bytes)
            }
        var writer = ByteWriter(capacity: content.count + 5)
        writer.writeUInt8(kind)
        writer.writeUInt32(UInt32(content.count))
        writer.write(content)
        return writer.bytes
    }

    /// The frame around encoded entries, for its place in the file.
    static func frame(_ payload: [UInt8], at offset: Int) -> [UInt8] {
        precondition((1...Self.payloadByteCountMax).contains(payload.count), "the journal divides what it writes into frames")
        var writer = ByteWriter(capacity: Self.headByteCount + payload.count + Self.checksumByteCount)
        writer.writeUInt32(UInt32(payload.count))
        writer.write(Self.headCheck(length: UInt32(payload.count), offset: offset))
        writer.write(payload)
        writer.write(Self.checksum(payload[...], offset: offset))
        return writer.bytes
    }

    // MARK: - Reading

    /// An entry, and where its frame begins.
    typealias Placed = (entry: JournalEntry, offset: Int)

    enum Reading {
        /// Every entry, and where the last good frame ends; behind it there may be a torn one.
        case entries([Placed], byteCount: Int)
        /// A file that was never finished being created.
        case unborn
        case otherVersion(UInt8)
        case damaged(offset: Int)
    }

    /// Reads a whole file, whatever is in it.
    static func read(_ bytes: [UInt8]) -> Reading {
        // Some file systems set the length before the bytes: then a power cut leaves zeros.
        if bytes.count <= Self.header.count, Self.header != bytes, Self.header.starts(with: bytes) || bytes.allSatisfy({ $0 == 0 }) {
            return .unborn
        }
        guard bytes.starts(with: Self.magic), bytes.count >= Self.header.count else { return .damaged(offset: 0) }
        let version = bytes[Self.magic.count]
        guard version == Self.version else { return .otherVersion(version) }

        var entries: [Placed] = []
        var offset = Self.header.count
        while offset < bytes.count {
            switch Self.readFrame(bytes, at: offset) {
            case .good(let payload):
                guard let read = Self.readEntries(payload) else { return .damaged(offset: offset) }
                entries += read.map { ($0, offset) }
                offset += Self.headByteCount + payload.count + Self.checksumByteCount
            case .torn:
                return .entries(entries, byteCount: offset)
            case .headUnreadable:
                return Self.mayBeTorn(bytes, at: offset) ? .entries(entries, byteCount: offset) : .damaged(offset: offset)
            case .altered:
                return .damaged(offset: offset)
            }
        }
        return .entries(entries, byteCount: offset)
    }

    private enum Frame {
        case good(payload: ArraySlice<UInt8>)
        /// It ends with the file or would end behind it, and is not whole.
        case torn
        /// How long it is cannot be known.
        case headUnreadable
        /// Another frame follows, so this one was durable once.
        case altered
    }

    private static func readFrame(_ bytes: [UInt8], at offset: Int) -> Frame {
        var reader = ByteReader(bytes[offset...])
        guard let length = try? reader.readUInt32("length"), let check = try? reader.readBytes(4, "head check"),
            check == Self.headCheck(length: length, offset: offset), (1...Self.payloadByteCountMax).contains(Int(length))
        else { return .headUnreadable }
        guard let payload = try? reader.readSlice(Int(length), "payload"),
            let checksum = try? reader.readBytes(Self.checksumByteCount, "checksum")
        else { return .torn }
        if checksum == Self.checksum(payload, offset: offset) { return .good(payload: payload) }
        return reader.isAtEnd ? .torn : .altered
    }

    /// Whether what begins here can be one torn frame: not longer than a frame, and with no good frame behind its start.
    private static func mayBeTorn(_ bytes: [UInt8], at offset: Int) -> Bool {
        guard bytes.count - offset <= Self.headByteCount + Self.payloadByteCountMax + Self.checksumByteCount else { return false }
        for later in (offset + 1)..<max(bytes.count, offset + 1) {
            if case .good = Self.readFrame(bytes, at: later) { return false }
        }
        return true
    }

    /// The entries of a good frame; `nil` when they are none of this version.
    private static func readEntries(_ payload: ArraySlice<UInt8>) -> [JournalEntry]? {
        var reader = ByteReader(payload)
        var entries: [JournalEntry] = []
        while !reader.isAtEnd {
            guard let kind = try? reader.readUInt8("kind"), let length = try? reader.readUInt32("length"),
                let content = try? reader.readBytes(Int(length), "content")
            else { return nil }
            switch kind {
            case 1:
                guard let record = BurnRecord(decoding: content) else { return nil }
                entries.append(.burn(record))
            case 2:
                guard let request = Bytes32(content) else { return nil }
                entries.append(.forget(request: request))
            default: return nil
            }
        }
        return entries
    }

    // MARK: - Checks

    private static func headCheck(length: UInt32, offset: Int) -> [UInt8] {
        var writer = ByteWriter(capacity: 12)
        writer.writeUInt64(UInt64(offset))
        writer.writeUInt32(length)
        return Array(SHA256.hash(writer.bytes).bytes.prefix(4))
    }

    private static func checksum(_ payload: ArraySlice<UInt8>, offset: Int) -> [UInt8] {
        var writer = ByteWriter(capacity: 12)
        writer.writeUInt64(UInt64(offset))
        writer.writeUInt32(UInt32(payload.count))
        var hash = SHA256()
        hash.update(writer.bytes)
        payload.withUnsafeBytes { hash.update($0) }
        return Array(hash.finalize().bytes.prefix(Self.checksumByteCount))
    }
}
