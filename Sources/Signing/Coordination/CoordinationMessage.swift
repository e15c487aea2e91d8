internal import Bitcoin
package import CryptoPrimitives
internal import MuSig2
public import Secp256k1

/// What members of a request say to each other, each pair over a channel that shows who is at its other end.
///
///     version 1 | T0 32 | series: incarnation of the sender's process 16, epoch | sequence
///     | count of sequences acknowledged, and each | the series that they are of, where there are any | kind 1 | content
///
/// Numbers without a length are CompactSize, as most are small.
///
/// What must hold towards a third one is a `Statement` in it. The rest is between the two, and lying there delays at most.
package struct CoordinationMessage: Hashable, Sendable {
    package let request: Bytes32
    package let series: Series
    /// Rising from 1 for what is sent again until it is acknowledged; 0 for what is not.
    package let sequence: UInt64
    package let acknowledged: Acknowledgement?
    package let content: Content

    /// A row of numbers from 1. Each life of the sender's process begins one, and each life of the receiver's that it hears of.
    package struct Series: Hashable, Sendable {
        package let incarnation: [UInt8]
        package var epoch: UInt32 = 0

        func write(to writer: inout ByteWriter) {
            writer.write(self.incarnation)
            writer.writeCompactSize(UInt64(self.epoch))
        }

        package init(incarnation: [UInt8], epoch: UInt32 = 0) {
            self.incarnation = incarnation
            self.epoch = epoch
        }

        init(_ reader: inout ByteReader) throws {
            self.incarnation = try reader.readBytes(NonceName.incarnationByteCount, "incarnation")
            self.epoch = try reader.readCompactUInt32("epoch")
        }
    }

    /// Messages that arrived, by the numbers and the series of who sent them.
    package struct Acknowledgement: Hashable, Sendable {
        package var series: Series
        package var sequences: [UInt64]

        /// Most numbers in one message: more than can be under way.
        static let countMax = 128
    }

    package enum Content: Hashable, Sendable {
        /// Nothing but what the message acknowledges.
        case acknowledgement
        /// The request, and the proposer's word on it.
        case proposal(SigningRequest, Statement)
        /// To whoever coordinates `turn`: an approval, and the highest attempt of the receiver that its signer signed. With turn 0 its nonces
        /// are for the receiver's attempts in whichever turn.
        case approval(turn: UInt32, highest: UInt32, Statement)
        /// An attempt begins: the coordinator's word on T1, and what it rests on, in the set's order.
        case begin(Statement, approvals: [Statement])
        case partialSignatures(Statement)
        /// The end: the signature of each signed input, in order, and the set whose key they verify against.
        case complete(CompletedSignatures)
        case refusal(Statement)
        case cancellation(Statement)
        case standing(Standing)
        /// The coordinator lacks unused nonces of the receiver, at this turn.
        case renewal(turn: UInt32)
        case evidence([UInt8])
        case enrolments([Enrolment])
        /// Enrolments that the sender lacks, by the members' places.
        case enrolmentsWanted([UInt16])
        /// A member's partial signatures with all nonces of the attempt, to whoever began another one with that member's same nonces.
        case nonceUse([UInt8])
        /// One nonce of a member has served two transcripts: both partial signatures are in it.
        case cloneAlarm([UInt8])
        /// Nonces ahead, for proposals of the receiver. About no request: the group's digest stands in its place.
        case pooledNonces([Statement])
        /// To the set of an attempt that is to come, by its coordinator: everybody's signed commitment, in the set's order.
        case commitments(attempt: UInt32, [Statement])
        /// To the coordinator of that attempt: the nonces that were committed to.
        case opening(attempt: UInt32, Statement)
    }

    /// Where a member stands. Unsigned: a lie here costs time, and no more than its sender's word counts.
    package struct Standing: Hashable, Sendable {
        package var turn: UInt32
        /// The highest attempt of the receiver that it signed.
        package var highest: UInt32
        /// Whether it has approved.
        package var hasApproved: Bool
        /// Whether an answer is asked for: its process has started.
        package var asks: Bool
        /// Places of the members whose approvals it has as a coordinator, rising.
        package var approvers: [UInt16] = []
    }

    package init(request: Bytes32, series: Series, sequence: UInt64, acknowledged: Acknowledgement?, content: Content) {
        self.request = request
        self.series = series
        self.sequence = sequence
        self.acknowledged = acknowledged
        self.content = content
    }

    /// Largest message that is read, in bytes.
    static let byteCountMax = 8 << 20
    /// Largest evidence in a message, in bytes.
    static let evidenceByteCountMax = (8 << 20) - 4_096
}

/// The signatures that complete a request, one for each input that the set signs, in the inputs' order.
public struct CompletedSignatures: Hashable, Sendable {
    /// The set, in the order of aggregation.
    public let signers: [PublicKey]
    public let signatures: [SchnorrSignature]

    public init(signers: [PublicKey], signatures: [SchnorrSignature]) {
        self.signers = signers
        self.signatures = signatures
    }
}

// MARK: - Encoding

extension CoordinationMessage {
    private static let formatVersion: UInt8 = 2

    package func serialized(_ roster: Roster) -> [UInt8] { self.serialized(withContent: self.content.serialized(roster)) }

    /// The same, its content written already.
    func serialized(withContent content: [UInt8]) -> [UInt8] {
        var writer = ByteWriter(capacity: Self.headByteCountUsual + content.count)
        writer.writeUInt8(Self.formatVersion)
        writer.write(self.request)
        self.series.write(to: &writer)
        writer.writeCompactSize(self.sequence)
        writer.writeCompactSize(self.acknowledged?.sequences.count ?? 0)
        if let acknowledged {
            for sequence in acknowledged.sequences { writer.writeCompactSize(sequence) }
            acknowledged.series.write(to: &writer)
        }
        writer.write(content)
        return writer.bytes
    }

    /// Of a head that acknowledges a message or two.
    private static let headByteCountUsual = 80

    /// A message's head: what is looked at before any signature is verified.
    package struct Head {
        package let request: Bytes32
        package let series: Series
        package let sequence: UInt64
        package let acknowledged: Acknowledgement?
        /// The content's kind and bytes.
        let rest: ArraySlice<UInt8>

        package init(parsing bytes: [UInt8]) throws(StatementError) {
            guard bytes.count <= CoordinationMessage.byteCountMax else {
                throw .tooLarge(byteCount: bytes.count, limit: CoordinationMessage.byteCountMax)
            }
            do {
                var reader = ByteReader(bytes)
                guard try reader.readUInt8("format version") == CoordinationMessage.formatVersion else {
                    throw StatementError.unknownFormat
                }
                self.request = try reader.readBytes32("request")
                self.series = try Series(&reader)
                self.sequence = try reader.readCompactSize("sequence")
                let count = try reader.readCount("acknowledged", minimumByteCount: 1)
                guard count <= Acknowledgement.countMax else { throw StatementError.malformed("\(count) acknowledgements") }
                let sequences = try (0..<count).map { _ in try reader.readCompactSize("acknowledged sequence") }
                self.acknowledged =
                    sequences.isEmpty ? nil : Acknowledgement(series: try Series(&reader), sequences: sequences)
                self.rest = reader.readRemaining()
            } catch let error as StatementError { throw error } catch { throw .malformed("\(error)") }
        }

        /// Whether nothing follows but the acknowledgement.
        var isOnlyAcknowledgement: Bool { self.rest.elementsEqual([Content.acknowledgement.kind]) }

        /// What kind of content follows; `nil` where nothing does, which is no message.
        package var kind: UInt8? { self.rest.first }

        /// Whether a statement follows, or what completes.
        var isStatement: Bool { self.kind.map { Content.statementKinds.contains($0) || Content.commitmentKinds.contains($0) } ?? false }

        /// Whether partial signatures follow.
        package var holdsPartialSignatures: Bool { self.kind == 5 }

        /// Whether somebody's partial signatures follow, with all nonces of their attempt.
        package var holdsNonceUse: Bool { self.kind == 15 }

        /// Whether commitments of a set follow, or nonces that were committed to.
        package var holdsCommitments: Bool { self.kind == 21 }
        package var holdsNoncesAlone: Bool { self.kind == 22 }

        /// Whether a proposal follows.
        var isProposal: Bool { self.kind == Content.proposalKind }

        /// Reads what follows, and verifies the statements in it.
        ///
        /// - Parameter heard: statements that were verified already, by their senders: one of them is not verified again.
        package func content(
            _ roster: Roster, heard: [PublicKey: [Statement]] = [:]
        ) throws(StatementError) -> Content {
            do {
                var reader = ByteReader(self.rest)
                let content = try Content(&reader, request: self.request, roster, heard)
                try reader.finish()
                return content
            } catch let error as StatementError { throw error } catch { throw .malformed("\(error)") }
        }
    }
}

extension CoordinationMessage.Content {
    var kind: UInt8 {
        switch self {
        case .acknowledgement: 1
        case .proposal: 2
        case .approval: 3
        case .begin: 4
        case .partialSignatures: 5
        case .complete: 6
        case .refusal: 7
        case .cancellation: 8
        case .standing: 9
        case .renewal: 10
        case .evidence: 11
        case .enrolments: 12
        case .enrolmentsWanted: 13
        case .cloneAlarm: 14
        case .nonceUse: 15
        case .pooledNonces: 16
        case .commitments: 21
        case .opening: 22
        }
    }

    private func write(to writer: inout ByteWriter, _ roster: Roster) {
        writer.writeUInt8(self.kind)
        switch self {
        case .acknowledgement: break
        case .proposal(let request, let statement):
            writer.writeVariableBytes(request.serialized())
            // Whole: it may be the first that the receiver hears of the proposer's enrolment.
            writer.writeVariableBytes(statement.serialized())
        case .approval(let turn, let highest, let statement):
            writer.writeCompactSize(UInt64(turn))
            writer.writeCompactSize(UInt64(highest))
            statement.write(compactTo: &writer, roster)
        case .begin(let statement, let approvals):
            statement.write(compactTo: &writer, roster)
            writer.writeCompactSize(approvals.count)
            for approval in approvals { approval.write(compactTo: &writer, roster) }
        case .partialSignatures(let statement), .refusal(let statement), .cancellation(let statement):
            statement.write(compactTo: &writer, roster)
        case .complete(let completed):
            Self.writePlaces(completed.signers.compactMap { roster.place(of: $0) }.map { UInt16(truncatingIfNeeded: $0) }, to: &writer)
            writer.writeCompactSize(completed.signatures.count)
            for signature in completed.signatures { writer.write(signature.bytes) }
        case .standing(let standing):
            writer.writeCompactSize(UInt64(standing.turn))
            writer.writeCompactSize(UInt64(standing.highest))
            writer.writeUInt8((standing.hasApproved ? 1 : 0) | (standing.asks ? 2 : 0))
            Self.writePlaces(standing.approvers, to: &writer)
        case .renewal(let turn): writer.writeCompactSize(UInt64(turn))
        case .evidence(let bytes), .nonceUse(let bytes), .cloneAlarm(let bytes): writer.writeVariableBytes(bytes)
        case .pooledNonces(let statements):
            writer.writeCompactSize(statements.count)
            for statement in statements { statement.write(compactTo: &writer, roster) }
        case .enrolments(let enrolments):
            writer.writeCompactSize(enrolments.count)
            for enrolment in enrolments { writer.write(enrolment.serialized()) }
        case .enrolmentsWanted(let places): Self.writePlaces(places, to: &writer)
        case .commitments(let attempt, let statements):
            writer.writeCompactSize(UInt64(attempt))
            writer.writeCompactSize(statements.count)
            for statement in statements { statement.write(compactTo: &writer, roster) }
        case .opening(let attempt, let statement):
            writer.writeCompactSize(UInt64(attempt))
            statement.write(compactTo: &writer, roster)
        }
    }

    private static func writePlaces(_ places: [UInt16], to writer: inout ByteWriter) {
        writer.writeCompactSize(places.count)
        for place in places { writer.writeUInt16(place) }
    }

    func serialized(_ roster: Roster) -> [UInt8] {
        // Room for most: few have more than two signers' nonces of one input.
        var writer = ByteWriter(capacity: 768)
        self.write(to: &writer, roster)
        return writer.bytes
    }

    fileprivate init(_ reader: inout ByteReader, request: Bytes32, _ roster: Roster, _ heard: [PublicKey: [Statement]]) throws {
        func statement() throws -> Statement { try Statement(compact: &reader, request: request, roster, heard: heard) }
        switch try reader.readUInt8("kind") {
        case 1: self = .acknowledgement
        case 2:
            let asked = try SigningRequest(parsing: reader.readVariableBytes("request"))
            // Its enrolment is the roster's mostly, and was verified when that learned it.
            let proposal = try Statement(parsing: reader.readVariableBytes("proposal"), roster)
            guard asked.digest == request, proposal.request == request else {
                throw StatementError.malformed("a proposal of another request than it names")
            }
            self = .proposal(asked, proposal)
        case 3:
            let turn = try reader.readCompactUInt32("turn")
            let highest = try reader.readCompactUInt32("highest attempt")
            self = .approval(turn: turn, highest: highest, try statement())
        case 4:
            let begin = try statement()
            let count = try reader.readCount("approvals", minimumByteCount: Self.statementByteCountMin)
            guard count <= roster.members.count else { throw StatementError.malformed("\(count) approvals") }
            self = .begin(begin, approvals: try (0..<count).map { _ in try statement() })
        case 5: self = .partialSignatures(try statement())
        case 6:
            let signers = try Self.readPlaces(&reader, roster).map { roster.members[Int($0)] }
            let count = try reader.readCount("signatures", minimumByteCount: SchnorrSignature.byteCount)
            guard count <= SigningRequest.inputCountMax else { throw StatementError.malformed("\(count) signatures") }
            let signatures = try (0..<count).map { _ in
                try SchnorrSignature(parsing: reader.readBytes(SchnorrSignature.byteCount, "signature"))
            }
            self = .complete(CompletedSignatures(signers: signers, signatures: signatures))
        case 7: self = .refusal(try statement())
        case 8: self = .cancellation(try statement())
        case 9:
            let turn = try reader.readCompactUInt32("turn")
            let highest = try reader.readCompactUInt32("highest attempt")
            let flags = try reader.readUInt8("flags")
            guard flags < 4 else { throw StatementError.unknownFormat }
            self = .standing(
                .init(
                    turn: turn, highest: highest, hasApproved: flags & 1 != 0, asks: flags & 2 != 0,
                    approvers: try Self.readPlaces(&reader, roster)))
        case 10: self = .renewal(turn: try reader.readCompactUInt32("turn"))
        case 11:
            let bytes = try reader.readVariableBytes("evidence")
            guard bytes.count <= CoordinationMessage.evidenceByteCountMax else { throw StatementError.malformed("evidence too large") }
            self = .evidence(bytes)
        case 12:
            let count = try reader.readCount("enrolments", minimumByteCount: Enrolment.byteCount)
            guard count <= Self.enrolmentCountMax else { throw StatementError.malformed("\(count) enrolments") }
            self = .enrolments(try (0..<count).map { _ in try Enrolment(parsing: reader.readBytes(Enrolment.byteCount, "enrolment")) })
        case 13: self = .enrolmentsWanted(try Self.readPlaces(&reader, roster))
        case 14:
            let bytes = try reader.readVariableBytes("clone alarm")
            guard bytes.count <= CloneAlarm.byteCountMax else { throw StatementError.malformed("clone alarm too large") }
            self = .cloneAlarm(bytes)
        case 15:
            let bytes = try reader.readVariableBytes("use of nonces")
            guard bytes.count <= CoordinationMessage.evidenceByteCountMax else { throw StatementError.malformed("use of nonces too large") }
            self = .nonceUse(bytes)
        case 16:
            let count = try reader.readCount("entries", minimumByteCount: Self.statementByteCountMin)
            guard count <= NoncePool.countMax else { throw StatementError.malformed("\(count) entries of a pool") }
            self = .pooledNonces(try (0..<count).map { _ in try statement() })
        case 21:
            let attempt = try reader.readCompactUInt32("attempt")
            let count = try reader.readCount("commitments", minimumByteCount: Self.statementByteCountMin)
            guard count <= roster.members.count else { throw StatementError.malformed("\(count) commitments") }
            let statements = try (0..<count).map { _ in try statement() }
            self = .commitments(attempt: attempt, statements)
        case 22:
            let attempt = try reader.readCompactUInt32("attempt")
            self = .opening(attempt: attempt, try statement())
        default: throw StatementError.unknownFormat
        }
    }

    static let proposalKind: UInt8 = 2

    /// Those that hold a statement, or what completes.
    static let statementKinds: ClosedRange<UInt8> = 2...8
    static let commitmentKinds: ClosedRange<UInt8> = 21...22

    /// Most enrolments in a message: two signatures each have to be verified.
    static let enrolmentCountMax = 64

    /// Place, version, attempt, kind, name, no nonces, signature.
    private static let statementByteCountMin = 1 + 1 + 1 + 1 + 64

    /// Places of members, rising as one list has one encoding.
    private static func readPlaces(_ reader: inout ByteReader, _ roster: Roster) throws -> [UInt16] {
        let count = try reader.readCount("places", minimumByteCount: 2)
        var places: [UInt16] = []
        for _ in 0..<count {
            let place = try reader.readUInt16("place")
            guard Int(place) < roster.members.count, places.last.map({ $0 < place }) ?? true else {
                throw StatementError.malformed("places out of order, or of no member")
            }
            places.append(place)
        }
        return places
    }
}

extension ByteReader {
    /// A CompactSize number of at most 32 bits.
    mutating func readCompactUInt32(_ field: String) throws -> UInt32 {
        let value = try self.readCompactSize(field)
        guard let number = UInt32(exactly: value) else { throw StatementError.malformed("\(field) \(value)") }
        return number
    }
}
