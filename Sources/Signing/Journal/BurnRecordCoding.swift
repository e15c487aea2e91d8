internal import Bitcoin
internal import MuSig2
internal import Secp256k1

// How a journal writes a record. Numbers are little endian:
//
//     version 1 | request 32 | attempt 4 | signer 33 | transcript 32 | count 2 | count × (nonce 66, partial signature 32)

extension BurnRecord {
    /// Version of the encoding that this code writes and reads.
    fileprivate static let version: UInt8 = 1

    package func encoded() -> [UInt8] {
        precondition(self.nonces.count <= Self.inputCountMax, "a request's limit on inputs is below this one")
        var writer = ByteWriter()
        writer.writeUInt8(Self.version)
        writer.write(self.request)
        writer.writeUInt32(self.attempt)
        writer.write(self.signer.bytes)
        writer.write(self.transcript)
        writer.writeUInt16(UInt16(self.nonces.count))
        for (nonce, partial) in zip(self.nonces, self.partialSignatures) {
            writer.write(nonce.bytes)
            writer.write(partial.bytes)
        }
        return writer.bytes
    }

    /// Reads `encoded()`'s bytes; `nil` for any others.
    package init?(decoding bytes: [UInt8]) {
        guard let record = try? Self.read(bytes) else { return nil }
        self = record
    }

    private static func read(_ bytes: [UInt8]) throws -> BurnRecord? {
        var reader = ByteReader(bytes)
        guard try reader.readUInt8("version") == Self.version else { return nil }
        let request = try reader.readBytes32("request")
        let attempt = try reader.readUInt32("attempt")
        let signer = try PublicKey(parsing: reader.readBytes(PublicKey.byteCount, "signer"))
        let transcript = try reader.readBytes32("transcript")
        let count = Int(try reader.readUInt16("count"))
        let contributions = try (0..<count).map { _ in
            (
                nonce: try PublicNonce(parsing: reader.readBytes(PublicNonce.byteCount, "nonce")),
                partialSignature: try PartialSignature(parsing: reader.readBytes(PartialSignature.byteCount, "partial signature"))
            )
        }
        try reader.finish()
        return BurnRecord(
            request: request, attempt: attempt, signer: signer, transcript: transcript, contributions: contributions)
    }
}

/// What stands in a record's bytes, without taking its points of the curve apart: for a look at many records.
package struct BurnRecordOutline {
    package let request: ArraySlice<UInt8>
    package let attempt: UInt32
    package let signer: ArraySlice<UInt8>
    package let nonces: [ArraySlice<UInt8>]

    /// `nil` for bytes that are no record's.
    package init?(_ bytes: [UInt8]) {
        guard let outline = try? Self(reading: bytes) else { return nil }
        self = outline
    }

    private init?(reading bytes: [UInt8]) throws {
        var reader = ByteReader(bytes)
        guard try reader.readUInt8("version") == BurnRecord.version else { return nil }
        self.request = try reader.readSlice(32, "request")
        self.attempt = try reader.readUInt32("attempt")
        self.signer = try reader.readSlice(PublicKey.byteCount, "signer")
        _ = try reader.readSlice(32, "transcript")
        let count = Int(try reader.readUInt16("count"))
        self.nonces = try (0..<count).map { _ in
            let nonce = try reader.readSlice(PublicNonce.byteCount, "nonce")
            _ = try reader.readSlice(PartialSignature.byteCount, "partial signature")
            return nonce
        }
        try reader.finish()
    }
}
