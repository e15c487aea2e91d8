internal import Bitcoin
public import CryptoPrimitives
public import MuSig2

/// A signer's partial signatures for one attempt, one for each signed input in the plan's order, and the transcript T1 that they
/// rest on.
///
/// The two never travel apart. Where two members saw different nonces of a third, each signs rightly and neither verifies the
/// other's: so only partial signatures under one's own T1 can prove anything against their signer.
public struct SignatureShares: Hashable, Sendable {
    /// T1: everything that the partial signatures rest on.
    public let transcript: Bytes32
    public let partialSignatures: [PartialSignature]

    public init(transcript: Bytes32, partialSignatures: [PartialSignature]) {
        self.transcript = transcript
        self.partialSignatures = partialSignatures
    }
}

// MARK: - Encoding

extension SignatureShares {
    /// Most partial signatures that are read together, one for each signed input.
    public static let partialSignatureCountMax = SigningRequest.inputCountMax
    /// Longest shares that are read, in bytes: those for 1,000 inputs.
    public static let byteCountMax = 2 + 32 + 3 + Self.partialSignatureCountMax * PartialSignature.byteCount

    /// Version of the encoding, and what is encoded: a `NonceSet` begins otherwise.
    private static let prefix: [UInt8] = [1, 2]

    /// The bytes that travel between the managers of two processes: prefix 2, transcript 32, count (CompactSize), then 32 for each
    /// partial signature.
    public func serialized() -> [UInt8] {
        var writer = ByteWriter()
        writer.write(Self.prefix)
        writer.write(self.transcript)
        writer.writeCompactSize(self.partialSignatures.count)
        for partial in self.partialSignatures { writer.write(partial.bytes) }
        return writer.bytes
    }

    /// Reads `serialized()`'s bytes, and no others.
    ///
    /// - Throws: `malformed` for a number that is not below the order too, `unknownFormat`, `tooLarge`.
    public init(parsing bytes: [UInt8]) throws(StatementError) {
        guard bytes.count <= Self.byteCountMax else { throw .tooLarge(byteCount: bytes.count, limit: Self.byteCountMax) }
        do {
            var reader = ByteReader(bytes)
            guard try reader.readBytes(2, "prefix") == Self.prefix else { throw StatementError.unknownFormat }
            self.transcript = try reader.readBytes32("transcript")
            let count = try reader.readCount("count", minimumByteCount: PartialSignature.byteCount)
            self.partialSignatures = try (0..<count).map { _ in
                try PartialSignature(parsing: reader.readBytes(PartialSignature.byteCount, "partial signature"))
            }
            try reader.finish()
        } catch let error as StatementError { throw error } catch { throw .malformed("signature shares: \(error)") }
    }
}
