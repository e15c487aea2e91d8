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
        /// "I ask for this": T0 says what, the terms say how. Attempt 0, as all that follows but `begin`.
        case proposal(RequestTerms)
        /// "I agree, and these nonces serve one attempt, whichever takes them": round 1, in the signer's `serial`-th decision. There
        /// are none from a signer that cannot keep any.
        case approval(serial: UInt32, NonceName, [[UInt8]])
        /// "I do not, or no longer, agree", in the signer's `serial`-th decision.
        case refusal(serial: UInt32, RefusalReason)
        /// "I do not ask for it any more", by the proposer.
        case cancellation
        /// "This attempt rests on T1", by a coordinator in the life `incarnation` of its process.
        case begin(incarnation: [UInt8], transcript: Bytes32)
        /// "I agree, and this is what I commit to for the nonces of this name": round 0, where the request has one, in the signer's
        /// `serial`-th decision. Attempt 0. The nonces follow in an approval, under the same name.
        case commitment(serial: UInt32, NonceName, Bytes32)
        /// "These nonces serve one request of ours, whichever you take them for": given ahead, to one member, until a time in seconds since
        /// 1970. In place of a request's T0 stands the group's (`Roster.poolDigest`).
        case pooledNonces(until: UInt64, NonceName, [[UInt8]])

        /// The number of its kind in the encoding.
        var kind: UInt8 {
            switch self {
            case .presence: 1
            case .set: 2
            case .nonces: 3
            case .partialSignatures: 4
            case .proposal: 5
            case .approval: 6
            case .refusal: 7
            case .cancellation: 8
            case .begin: 9
            case .commitment: 17
            case .pooledNonces: 10
            }
        }
    }

    /// T0 of the request that it is about.
    public let request: Bytes32
    /// Number of the attempt, from 1; 0 for what belongs to none.
    public let attempt: UInt32
    public let enrolment: Enrolment
    public let body: Body
    let signature: Ed25519.Signature

    /// The signer that says it.
    public var sender: PublicKey { self.enrolment.signer }

    /// Longest statement that is read, in bytes: one with the nonces of 1,000 inputs, and room beside.
    public static let byteCountMax = 100_000
    /// Version, enrolment, request, attempt and signature: all but kind and content.
    static let byteCountBesideBody = 1 + Enrolment.byteCount + 32 + 4 + Ed25519.Signature.byteCount
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

    /// What somebody else said; the signature is verified.
    ///
    /// - Throws: `badSignature`.
    init(
        _ body: Body, request: Bytes32, attempt: UInt32, enrolment: Enrolment, signature: Ed25519.Signature
    ) throws(StatementError) {
        self.body = body
        self.request = request
        self.attempt = attempt
        self.enrolment = enrolment
        self.signature = signature
        guard signature.isValid(for: Self.digest(Self.content(body, request, attempt, enrolment)).bytes, by: enrolment.identity) else {
            throw .badSignature(sender: enrolment.signer)
        }
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
        // Most have the nonces or the partial signatures of an input or two.
        var writer = ByteWriter(capacity: Self.byteCountBesideBody + 256)
        writer.writeUInt8(Self.formatVersion)
        writer.write(enrolment.serialized())
        writer.write(request)
        writer.writeUInt32(attempt)
        writer.writeUInt8(body.kind)
        body.write(to: &writer)
        return writer.bytes
    }

    /// Reads a statement and verifies enrolment and signature: a value of this type was really said by its sender.
    public init(parsing bytes: [UInt8]) throws(StatementError) { try self.init(parsing: bytes, nil) }

    /// The same. An enrolment that the roster holds was verified before.
    init(parsing bytes: [UInt8], _ roster: Roster?) throws(StatementError) {
        guard bytes.count <= Self.byteCountMax else { throw .tooLarge(byteCount: bytes.count, limit: Self.byteCountMax) }
        do {
            var reader = ByteReader(bytes)
            guard try reader.readUInt8("format version") == Self.formatVersion else { throw StatementError.unknownFormat }
            let enrolment = try Enrolment(parsing: reader.readBytes(Enrolment.byteCount, "enrolment"), knownFrom: roster)
            let request = try reader.readBytes32("request")
            let attempt = try reader.readUInt32("attempt")
            let body = try Body(&reader)
            let signature = try Ed25519.Signature(parsing: reader.readBytes(Ed25519.Signature.byteCount, "signature"))
            try reader.finish()
            try self.init(body, request: request, attempt: attempt, enrolment: enrolment, signature: signature)
        } catch let error as StatementError { throw error } catch { throw .malformed("\(error)") }
    }
}

// MARK: - Meaning

extension Statement {
    /// Whether it agrees to the request: then its nonces, if any, serve the attempt that takes them.
    var isApproval: Bool {
        if case .approval = self.body { true } else { false }
    }

    /// Round 1 as it was signed: the name and the bytes of the nonces, valid or not.
    public var namedNonces: (name: NonceName, items: [[UInt8]])? {
        switch self.body {
        case .nonces(let name, let items), .approval(_, let name, let items), .pooledNonces(_, let name, let items): (name, items)
        case .presence, .set, .partialSignatures, .proposal, .refusal, .cancellation, .begin, .commitment: nil
        }
    }

    /// The named nonces, when this is round 1 and every nonce is valid. Those of an approval have attempt 0: they serve the one that
    /// takes them.
    ///
    /// - Throws: `musig` naming the sender and the input (counted among the signed ones) for a nonce that is none.
    public func nonceSet() throws(SigningError) -> NonceSet? {
        guard let (name, items) = self.namedNonces else { return nil }
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
