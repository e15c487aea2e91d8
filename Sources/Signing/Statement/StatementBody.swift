internal import Bitcoin
internal import CryptoPrimitives
internal import MuSig2
internal import Secp256k1

// How what a statement says is written, after its kind.

extension Statement.Body {
    func write(to writer: inout ByteWriter) {
        switch self {
        case .presence(let incarnation, let beat, let other):
            writer.writeVariableBytes(incarnation)
            writer.writeUInt64(beat)
            writer.writeVariableBytes(other ?? [])
        case .set(let keys):
            writer.writeCompactSize(keys.count)
            for key in keys { writer.write(key.bytes) }
        case .nonces(let name, let nonces):
            name.write(to: &writer)
            Self.write(nonces, to: &writer)
        case .partialSignatures(let transcript, let partials):
            writer.write(transcript)
            Self.write(partials, to: &writer)
        case .proposal(let terms): terms.write(to: &writer)
        case .approval(let serial, let name, let nonces):
            writer.writeUInt32(serial)
            name.write(to: &writer)
            Self.write(nonces, to: &writer)
        case .refusal(let serial, let reason):
            writer.writeUInt32(serial)
            writer.writeUInt8(reason.rawValue)
        case .cancellation: break
        case .begin(let incarnation, let transcript):
            writer.write(incarnation)
            writer.write(transcript)
        case .pooledNonces(let until, let name, let nonces):
            writer.writeUInt64(until)
            name.write(to: &writer)
            Self.write(nonces, to: &writer)
        case .commitment(let serial, let name, let digest):
            writer.writeUInt32(serial)
            name.write(to: &writer)
            writer.write(digest)
        }
    }

    private static func write(_ items: [[UInt8]], to writer: inout ByteWriter) {
        writer.writeCompactSize(items.count)
        for item in items { writer.writeVariableBytes(item) }
    }

    /// Reads kind and content.
    init(_ reader: inout ByteReader) throws {
        switch try reader.readUInt8("kind") {
        case 1:
            let incarnation = try reader.readVariableBytes("incarnation")
            let beat = try reader.readUInt64("beat")
            let other = try reader.readVariableBytes("incarnation of another process")
            guard incarnation.count == NonceName.incarnationByteCount, [0, NonceName.incarnationByteCount].contains(other.count) else {
                throw StatementError.malformed("incarnation of another length")
            }
            self = .presence(incarnation: incarnation, beat: beat, sees: other.isEmpty ? nil : other)
        case 2:
            var keys: [PublicKey] = []
            for _ in 0..<(try Self.readCount(&reader, itemByteCount: PublicKey.byteCount)) {
                keys.append(try PublicKey(parsing: reader.readBytes(PublicKey.byteCount, "signer key")))
            }
            self = .set(keys)
        case 3:
            let name = try Self.readName(&reader)
            self = .nonces(name, try Self.readItems(&reader))
        case 4:
            let transcript = try reader.readBytes32("transcript")
            self = .partialSignatures(transcript: transcript, try Self.readItems(&reader))
        case 5: self = .proposal(try RequestTerms(&reader))
        case 6:
            let serial = try reader.readUInt32("serial")
            let name = try Self.readName(&reader)
            self = .approval(serial: serial, name, try Self.readItems(&reader))
        case 7:
            let serial = try reader.readUInt32("serial")
            guard let reason = RefusalReason(rawValue: try reader.readUInt8("reason")) else { throw StatementError.unknownFormat }
            self = .refusal(serial: serial, reason)
        case 8: self = .cancellation
        case 9:
            let incarnation = try reader.readBytes(NonceName.incarnationByteCount, "incarnation")
            self = .begin(incarnation: incarnation, transcript: try reader.readBytes32("transcript"))
        case 10:
            let until = try reader.readUInt64("end of the nonces")
            let name = try Self.readName(&reader)
            self = .pooledNonces(until: until, name, try Self.readItems(&reader))
        case 17:
            let serial = try reader.readUInt32("serial")
            let name = try Self.readName(&reader)
            self = .commitment(serial: serial, name, try reader.readBytes32("commitment"))
        default: throw StatementError.unknownFormat
        }
    }

    private static func readName(_ reader: inout ByteReader) throws -> NonceName {
        let incarnation = try reader.readBytes(NonceName.incarnationByteCount, "incarnation")
        return NonceName(known: incarnation, counter: try reader.readUInt32("counter"))
    }

    private static func readItems(_ reader: inout ByteReader) throws -> [[UInt8]] {
        try (0..<Self.readCount(&reader, itemByteCount: 1)).map { _ in try reader.readVariableBytes("contribution") }
    }

    private static func readCount(_ reader: inout ByteReader, itemByteCount: Int) throws -> Int {
        let count = try reader.readCount("count", minimumByteCount: itemByteCount)
        guard count <= Statement.itemCountMax else {
            throw StatementError.malformed("\(count) items, and the limit is \(Statement.itemCountMax)")
        }
        return count
    }
}
