internal import Bitcoin
public import CryptoPrimitives
internal import MuSig2
public import Secp256k1

/// One nonce of a signer has signed under two transcripts: both partial signatures are here, verify, and are signed by the identity that
/// speaks for the signer.
///
/// No process does that, for signing uses a nonce up. Two copies of one process's memory can. It cannot be undone, and from signatures
/// under one nonce the signer's secret key may be computed: so whoever holds coins with that key moves them, and nothing is signed with it
/// automatically. It is no proof of a fault: a copied machine may be nobody's ill will.
///
/// A value of this type is proved, whoever brought it. Who holds the signer's identity alone cannot have made what is in it; who holds it
/// and also chooses the nonces of another signer of both sets can, for a partial signature verifies against all nonces and proves no
/// knowledge of its key beside them. So it is a reason to stop and look, and names a signer whose identity or memory is in other hands.
public struct CloneAlarm: Hashable, Sendable {
    /// Nonces of a whole set, and the signer's partial signatures: the lower transcript first, so that there is one encoding.
    public let first: Evidence
    public let second: Evidence
    public let signer: PublicKey
    /// The nonce that served both: 66 bytes.
    public let nonce: [UInt8]
    /// T1 of either.
    public let transcripts: [Bytes32]

    /// Longest alarm that is read or told, in bytes: what fits into one message, and into one entry of a transcript.
    public static let byteCountMax = (8 << 20) - 4_096
    /// Most alarms about one request that are kept and told: each names another signer.
    public static let countPerRequestMax = 8

    /// - Returns: `nil` unless a nonce of one signer serves both, with partial signatures that verify, under different transcripts.
    package init?(_ one: NonceUse, _ other: NonceUse) {
        guard one.signer == other.signer, one.transcript != other.transcript else { return nil }
        let isInOrder = one.transcript < other.transcript
        let (first, second) = isInOrder ? (one, other) : (other, one)
        guard let nonce = Self.reusedNonce(first, second) else { return nil }
        self.first = first.evidence
        self.second = second.evidence
        self.signer = one.signer
        self.nonce = nonce
        self.transcripts = [first.transcript, second.transcript]
    }

    /// From what somebody put together: of each use the nonces of the whole set, in its order, then the signer's partial signatures.
    public init?(_ one: Evidence, _ other: Evidence) {
        guard let one = NonceUse(one), let other = NonceUse(other) else { return nil }
        self.init(one, other)
    }

    /// How many inputs are tried of those whose nonces stand in both: where a machine was copied, any one shows it.
    private static let placeCountMax = 4

    private static func reusedNonce(_ first: NonceUse, _ second: NonceUse) -> [UInt8]? {
        var places: [[UInt8]: Int] = [:]
        for (place, nonce) in first.items.enumerated() where places[nonce] == nil { places[nonce] = place }
        let common = second.items.enumerated().filter { places[$0.element] != nil }
        for (place, nonce) in common.prefix(Self.placeCountMax) {
            if let other = places[nonce], first.isValid(at: other), second.isValid(at: place) { return nonce }
        }
        return nil
    }

    /// Whether one of the two is about this request.
    public func isAbout(_ request: Bytes32) -> Bool { self.first.request.digest == request || self.second.request.digest == request }
}

// MARK: - Encoding

extension CloneAlarm {
    private static let magic = Array("chorale clone alarm 1\n".utf8)

    public func serialized() -> [UInt8] {
        var writer = ByteWriter()
        writer.write(Self.magic)
        writer.writeVariableBytes(self.first.serialized())
        writer.writeVariableBytes(self.second.serialized())
        return writer.bytes
    }

    /// Reads what `serialized()` gives, and proves it anew.
    public init(parsing bytes: [UInt8]) throws(StatementError) {
        guard bytes.count <= Self.byteCountMax else { throw .tooLarge(byteCount: bytes.count, limit: Self.byteCountMax) }
        let first: NonceUse?, second: NonceUse?
        do {
            var reader = ByteReader(bytes)
            guard try reader.readBytes(Self.magic.count, "first line") == Self.magic else { throw StatementError.unknownFormat }
            first = NonceUse(try Evidence(parsing: reader.readVariableBytes("first use")))
            second = NonceUse(try Evidence(parsing: reader.readVariableBytes("second use")))
            try reader.finish()
        } catch let error as StatementError { throw error } catch { throw .malformed("clone alarm: \(error)") }
        guard let first, let second, first.transcript < second.transcript, let alarm = CloneAlarm(first, second) else {
            throw .malformed("clone alarm: it does not show one nonce under two transcripts")
        }
        self = alarm
    }
}

extension CloneAlarm: CustomStringConvertible {
    public var description: String {
        "one nonce of signer \(self.signer) has signed two transcripts: a copy of its machine may be running, and its secret key may be "
            + "computable by whoever saw both. Move the funds that need it"
    }
}
