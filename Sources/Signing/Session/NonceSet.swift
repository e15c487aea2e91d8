internal import Bitcoin
public import CryptoPrimitives
public import MuSig2

/// One start of a process: 16 random bytes that no other start has, also of a copy of the same memory.
public struct Incarnation: Hashable, Sendable {
    public static let byteCount = NonceName.incarnationByteCount

    public let bytes: [UInt8]

    /// `nil` unless there are 16 bytes. They must be fresh from a random source: two starts with the same ones look like a fault.
    public init?(_ bytes: [UInt8]) {
        guard bytes.count == Self.byteCount else { return nil }
        self.bytes = bytes
    }

    /// For bytes that this program drew.
    ///
    /// - Precondition: there are 16.
    package init(known bytes: [UInt8]) {
        precondition(bytes.count == Self.byteCount, "an incarnation has 16 bytes")
        self.bytes = bytes
    }

    /// A new one, of the system's random source.
    public static func random() -> Incarnation { Incarnation(known: SystemRandom.bytes(count: Self.byteCount)) }
}

/// The name of a nonce set: which start of a process made it, and its number there.
///
/// Every start draws a random 16-byte incarnation. So two different contents under one name can only come from a faulty or
/// dishonest process, and a restart, which has a new incarnation, is never mistaken for one.
public struct NonceName: Hashable, Sendable, CustomStringConvertible {
    /// Bytes of an incarnation.
    public static let incarnationByteCount = 16

    public let incarnation: [UInt8]
    public let counter: UInt32

    /// `nil` unless the incarnation has 16 bytes.
    public init?(incarnation: [UInt8], counter: UInt32) {
        guard incarnation.count == Self.incarnationByteCount else { return nil }
        self.incarnation = incarnation
        self.counter = counter
    }

    /// For an incarnation that this program drew, or that was read as 16 bytes.
    ///
    /// - Precondition: the incarnation has 16 bytes.
    package init(known incarnation: [UInt8], counter: UInt32) {
        precondition(incarnation.count == Self.incarnationByteCount, "an incarnation has 16 bytes")
        self.incarnation = incarnation
        self.counter = counter
    }

    /// The first name of a new incarnation, which it draws.
    public static func first() -> NonceName {
        NonceName(known: Incarnation.random().bytes, counter: 1)
    }

    public var description: String { "\(Hex.encode(self.incarnation))/\(self.counter)" }

    func write(to writer: inout ByteWriter) {
        writer.write(self.incarnation)
        writer.writeUInt32(self.counter)
    }
}

/// A signer's public nonces for one attempt: one for each signed input, in the plan's order, under a name.
public struct NonceSet: Hashable, Sendable {
    /// T0 of the request that they are for.
    public let request: Bytes32
    /// Number of the attempt that they are for, from 1; 0 where they serve the one attempt that takes them, whichever it is.
    public let attempt: UInt32
    public let name: NonceName
    public let nonces: [PublicNonce]

    public init(request: Bytes32, attempt: UInt32, name: NonceName, nonces: [PublicNonce]) {
        self.request = request
        self.attempt = attempt
        self.name = name
        self.nonces = nonces
    }

    /// Name and nonces: what a transcript covers of each set, beside the request and attempt that all share.
    func write(to writer: inout ByteWriter) {
        self.name.write(to: &writer)
        writer.writeCompactSize(self.nonces.count)
        for nonce in self.nonces { writer.write(nonce.bytes) }
    }

    /// What two sets under one name are compared by.
    var digest: Bytes32 { SHA256.hash(self.serialized()) }
}

// MARK: - Encoding

extension NonceSet {
    /// Most nonces in a set that is read, one for each signed input.
    public static let nonceCountMax = SigningRequest.inputCountMax
    /// Longest set that is read, in bytes: one of 1,000 nonces.
    public static let byteCountMax = 2 + 32 + 4 + NonceName.incarnationByteCount + 4 + 3 + Self.nonceCountMax * PublicNonce.byteCount

    /// Version of the encoding, and what is encoded: `SignatureShares` begin otherwise.
    private static let prefix: [UInt8] = [1, 1]

    /// The bytes that travel between the managers of two processes: prefix 2, request 32, attempt 4, incarnation 16, counter 4,
    /// count (CompactSize), then 66 for each nonce. Numbers are little endian.
    public func serialized() -> [UInt8] {
        var writer = ByteWriter()
        writer.write(Self.prefix)
        writer.write(self.request)
        writer.writeUInt32(self.attempt)
        self.write(to: &writer)
        return writer.bytes
    }

    /// Reads `serialized()`'s bytes, and no others.
    ///
    /// - Throws: `malformed` for a nonce that is no two points of the curve too, `unknownFormat`, `tooLarge`.
    public init(parsing bytes: [UInt8]) throws(StatementError) {
        guard bytes.count <= Self.byteCountMax else { throw .tooLarge(byteCount: bytes.count, limit: Self.byteCountMax) }
        do {
            var reader = ByteReader(bytes)
            guard try reader.readBytes(2, "prefix") == Self.prefix else { throw StatementError.unknownFormat }
            self.request = try reader.readBytes32("request")
            self.attempt = try reader.readUInt32("attempt")
            let incarnation = try reader.readBytes(NonceName.incarnationByteCount, "incarnation")
            self.name = NonceName(known: incarnation, counter: try reader.readUInt32("counter"))
            let count = try reader.readCount("count", minimumByteCount: PublicNonce.byteCount)
            self.nonces = try (0..<count).map { _ in try PublicNonce(parsing: reader.readBytes(PublicNonce.byteCount, "nonce")) }
            try reader.finish()
        } catch let error as StatementError { throw error } catch { throw .malformed("nonces: \(error)") }
    }
}
