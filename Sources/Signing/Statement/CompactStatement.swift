internal import Bitcoin
internal import CryptoPrimitives
internal import Secp256k1

// A statement between members, who know each other's enrolments and the request that they talk about: its signature covers the same
// as everywhere, and what both sides know is left out.
//
//     place of the sender among the members | version of its enrolment | attempt | kind 1 | body | signature 64
//
// The first three are CompactSize.

extension Statement {
    /// - Precondition: the sender is a member.
    func write(compactTo writer: inout ByteWriter, _ roster: Roster) {
        guard let place = roster.place(of: self.sender) else { preconditionFailure("a statement of a member") }
        writer.writeCompactSize(place)
        writer.writeCompactSize(UInt64(self.enrolment.version))
        writer.writeCompactSize(UInt64(self.attempt))
        writer.writeUInt8(self.body.kind)
        self.body.write(to: &writer)
        writer.write(self.signature.bytes)
    }

    /// Reads one about the request, and verifies it.
    ///
    /// - Parameter heard: statements that were verified already, by their senders.
    /// - Throws: `unknownEnrolment` for a version that the roster does not hold: newer, or older and thus void.
    init(compact reader: inout ByteReader, request: Bytes32, _ roster: Roster, heard: [PublicKey: [Statement]]) throws {
        let place = Int(try reader.readCompactUInt32("sender"))
        guard let sender = roster.member(at: place) else { throw StatementError.malformed("member \(place) of \(roster.members.count)") }
        let version = try reader.readCompactUInt32("version of the enrolment")
        guard let enrolment = roster.enrolment(of: sender), enrolment.version == version else {
            throw StatementError.unknownEnrolment(signer: sender, version: version)
        }
        let attempt = try reader.readCompactUInt32("attempt")
        let start = reader.offset
        let body = try Body(&reader)
        // Whatever is taken here must be taken where it is shown whole, or who shows it as evidence would be to blame.
        let byteCount = Self.byteCountBesideBody + reader.offset - start
        guard byteCount <= Self.byteCountMax else { throw StatementError.tooLarge(byteCount: byteCount, limit: Self.byteCountMax) }
        let signature = try Ed25519.Signature(parsing: reader.readBytes(Ed25519.Signature.byteCount, "signature"))
        // What was given ahead names the group in place of a request.
        let subject = if case .pooledNonces = body { roster.poolDigest } else { request }
        let same = heard[sender]?.first {
            $0.signature == signature && $0.attempt == attempt && $0.enrolment == enrolment && $0.request == subject && $0.body == body
        }
        if let same {
            self = same
            return
        }
        try self.init(body, request: subject, attempt: attempt, enrolment: enrolment, signature: signature)
    }
}
