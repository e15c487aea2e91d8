internal import Bitcoin
public import CryptoPrimitives
public import MuSig2
public import Secp256k1

/// What a signer says about a request, signed by the identity that the signer key has enrolled.
///
/// Contributions are kept as bytes, valid or not: a signed contribution that is no point of the curve is proof against its sender,
/// and would be lost if it did not even parse.
public struct Statement: Hashable, Sendable {
    public enum Body: Hashable, Sendable {
        /// "I am here": the process's incarnation, a count that goes up while it runs, and the incarnation of another process with the
        /// same key, if it sees one: only who lives can name what was drawn at random a moment ago.
        case presence(incarnation: [UInt8], beat: UInt64, sees: [UInt8]? = nil)
        /// "These sign": a set for an attempt, in the order of aggregation.
        case set([PublicKey])
        /// Round 1: a named set of nonces, 66 bytes for each signed input.
        case nonces(NonceName, [[UInt8]])
        /// Round 2: the transcript T1, and 32 bytes for each signed input.
        case partialSignatures(transcript: Bytes32, [[UInt8]])

        /// The number of its kind in the encoding.
        var kind: UInt8 {
            switch self {
            case .presence: 1
            case .set: 2
            case .nonces: 3
            case .partialSignatures: 4
            }
        }
    }

    /// T0 of the request that it is about.
    public let request: Bytes32
    /// Number of the attempt, from 1; 0 for what belongs to none.
    public let attempt: UInt32
    public let enrolment: Enrolment
    public let body: Body
    private let signature: Ed25519.Signature

    /// The signer that says it.
    public var sender: PublicKey { self.enrolment.signer }

    /// Longest statement that is read, in bytes: one with the nonces of 1,000 inputs, and room beside.
    public static let byteCountMax = 100_000
    /// Most contributions or keys in a statement.
    public static let itemCountMax = SigningRequest.inputCountMax

    /// Says something, signed.
    ///
    /// - Precondition: the identity is the enrolment's.
    public init(_ body: Body, request: Bytes32, attempt: UInt32, enrolment: Enrolment, identity: borrowing Ed25519.SecretKey) {
        precondition(identity.publicKey == enrolment.identity, "a statement is signed by the enrolled identity")
        self.body = body
        self.request = request
        self.attempt = attempt
        self.enrolment = enrolment
        self.signature = identity.sign(Self.digest(Self.content(body, request, attempt, enrolment)).bytes)
    }

    private static func digest(_ content: [UInt8]) -> Bytes32 {
        var hash = Self.tag
        hash.update(content)
        return hash.finalize()
    }

    private static let tag = SHA256.tagged("chorale/statement")
}

// MARK: - Encoding

extension Statement {
    private static let formatVersion: UInt8 = 1

    public func serialized() -> [UInt8] {
        Self.content(self.body, self.request, self.attempt, self.enrolment) + self.signature.bytes
    }

    private static func content(_ body: Body, _ request: Bytes32, _ attempt: UInt32, _ enrolment: Enrolment) -> [UInt8] {
        var writer = ByteWriter()
        writer.writeUInt8(Self.formatVersion)
        writer.write(enrolment.serialized())
        writer.write(request)
        writer.writeUInt32(attempt)
        writer.writeUInt8(body.kind)
        switch body {
        case .presence(let incarnation, let beat, let other):
            writer.writeVariableBytes(incarnation)
            writer.writeUInt64(beat)
            writer.writeVariableBytes(other ?? [])
        case .set(let keys):
            writer.writeCompactSize(keys.count)
            for key in keys { writer.write(key.bytes) }
        case .nonces(let name, let nonces):
            name.write(to: &writer)
            writer.writeCompactSize(nonces.count)
            for nonce in nonces { writer.writeVariableBytes(nonce) }
        case .partialSignatures(let transcript, let partials):
            writer.write(transcript)
            writer.writeCompactSize(partials.count)
            for partial in partials { writer.writeVariableBytes(partial) }
        }
        return writer.bytes
    }

    /// Reads a statement and verifies enrolment and signature: a value of this type was really said by its sender.
    public init(parsing bytes: [UInt8]) throws(StatementError) {
        guard bytes.count <= Self.byteCountMax else { throw .tooLarge(byteCount: bytes.count, limit: Self.byteCountMax) }
        do {
            var reader = ByteReader(bytes)
            guard try reader.readUInt8("format version") == Self.formatVersion else { throw StatementError.unknownFormat }
            self.enrolment = try Enrolment(parsing: reader.readBytes(Enrolment.byteCount, "enrolment"))
            self.request = try reader.readBytes32("request")
            self.attempt = try reader.readUInt32("attempt")
            self.body = try Self.readBody(&reader)
            self.signature = try Ed25519.Signature(parsing: reader.readBytes(Ed25519.Signature.byteCount, "signature"))
            try reader.finish()
        } catch let error as StatementError { throw error } catch { throw .malformed("\(error)") }
        let content = Self.content(self.body, self.request, self.attempt, self.enrolment)
        guard self.signature.isValid(for: Self.digest(content).bytes, by: self.enrolment.identity) else {
            throw .badSignature(sender: self.enrolment.signer)
        }
    }

    private static func readBody(_ reader: inout ByteReader) throws -> Body {
        switch try reader.readUInt8("kind") {
        case 1:
            let incarnation = try reader.readVariableBytes("incarnation")
            let beat = try reader.readUInt64("beat")
            let other = try reader.readVariableBytes("incarnation of another process")
            guard incarnation.count == NonceName.incarnationByteCount, [0, NonceName.incarnationByteCount].contains(other.count) else {
                throw StatementError.malformed("incarnation of another length")
            }
            return .presence(incarnation: incarnation, beat: beat, sees: other.isEmpty ? nil : other)
        case 2:
            var keys: [PublicKey] = []
            for _ in 0..<(try Self.readCount(&reader, itemByteCount: PublicKey.byteCount)) {
                keys.append(try PublicKey(parsing: reader.readBytes(PublicKey.byteCount, "signer key")))
            }
            return .set(keys)
        case 3:
            let incarnation = try reader.readBytes(NonceName.incarnationByteCount, "incarnation")
            let name = NonceName(known: incarnation, counter: try reader.readUInt32("counter"))
            return .nonces(name, try Self.readItems(&reader))
        case 4:
            let transcript = try reader.readBytes32("transcript")
            return .partialSignatures(transcript: transcript, try Self.readItems(&reader))
        default: throw StatementError.unknownFormat
        }
    }

    private static func readItems(_ reader: inout ByteReader) throws -> [[UInt8]] {
        try (0..<Self.readCount(&reader, itemByteCount: 1)).map { _ in try reader.readVariableBytes("contribution") }
    }

    private static func readCount(_ reader: inout ByteReader, itemByteCount: Int) throws -> Int {
        let count = try reader.readCount("count", minimumByteCount: itemByteCount)
        guard count <= Self.itemCountMax else { throw StatementError.malformed("\(count) items, and the limit is \(Self.itemCountMax)") }
        return count
    }
}

// MARK: - Meaning

extension Statement {
    /// The named nonces, when this is round 1 and every nonce is valid.
    ///
    /// - Throws: `musig` naming the sender and the input (counted among the signed ones) for a nonce that is none.
    public func nonceSet() throws(SigningError) -> NonceSet? {
        guard case .nonces(let name, let items) = self.body else { return nil }
        var nonces: [PublicNonce] = []
        for (place, bytes) in items.enumerated() {
            do { nonces.append(try PublicNonce(parsing: bytes)) } catch {
                throw .musig(error, signer: self.sender, input: place)
            }
        }
        return NonceSet(request: self.request, attempt: self.attempt, name: name, nonces: nonces)
    }

    /// The partial signatures, when this is round 2 and every one is a valid number. Compare T1 before they count.
    ///
    /// - Throws: `musig` naming the sender and the input (counted among the signed ones).
    public func partialSignatures() throws(SigningError) -> [PartialSignature]? {
        guard case .partialSignatures(_, let items) = self.body else { return nil }
        var partials: [PartialSignature] = []
        for (place, bytes) in items.enumerated() {
            do { partials.append(try PartialSignature(parsing: bytes)) } catch {
                throw .musig(error, signer: self.sender, input: place)
            }
        }
        return partials
    }
}
