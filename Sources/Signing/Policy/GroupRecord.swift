internal import Bitcoin
internal import CryptoPrimitives
public import Secp256k1

/// All that a group's policy follows from: what a group store keeps, and what an invitation carries.
///
/// Everybody sees the same group if everybody sees the same `policyDigest`.
public enum GroupRecord: Hashable, Sendable {
    /// All of these together, by the key path (BIP-327, BIP-341).
    case everyone([PublicKey])
    /// Any k of these, or an owner.
    case delegated(PolicyRecord)

    /// Who signs, sorted by their 33 bytes.
    public var signers: [PublicKey] {
        switch self {
        case .everyone(let signers): signers.sorted()
        case .delegated(let record): record.signers
        }
    }

    /// How many of them a signature takes.
    public var threshold: Int {
        switch self {
        case .everyone(let signers): signers.count
        case .delegated(let record): record.threshold
        }
    }

    /// First byte of a record of all. That of k-of-n begins with its own version, 1.
    private static let everyoneVersion: UInt8 = 2

    /// A k-of-n record as it stands; of all: version 2, count 4, signers 33 each, sorted. Numbers are little endian.
    public func serialized() -> [UInt8] {
        guard case .delegated(let record) = self else {
            var writer = ByteWriter()
            writer.writeUInt8(Self.everyoneVersion)
            writer.writeUInt32(UInt32(clamping: self.signers.count))
            for signer in self.signers { writer.write(signer.bytes) }
            return writer.bytes
        }
        return record.serialized()
    }

    /// Reads a record. Whether its signers make a policy is checked when the policy is made.
    public init(parsing bytes: [UInt8]) throws(StatementError) {
        guard bytes.first == Self.everyoneVersion else {
            self = .delegated(try PolicyRecord(parsing: bytes))
            return
        }
        do {
            var reader = ByteReader(bytes)
            _ = try reader.readUInt8("format version")
            let count = try reader.readUInt32("count of signers")
            guard count <= SigningPlan.signerCountMax else { throw StatementError.malformed("\(count) signers") }
            var signers: [PublicKey] = []
            for _ in 0..<count { signers.append(try PublicKey(parsing: reader.readBytes(PublicKey.byteCount, "signer"))) }
            try reader.finish()
            guard signers == signers.sorted() else { throw StatementError.malformed("signers that are not sorted") }
            self = .everyone(signers)
        } catch let error as StatementError { throw error } catch { throw .malformed("group: \(error)") }
    }

    /// Computes the policy; a k-of-n tree on all cores.
    ///
    /// - Throws: `transaction` with why these make no policy.
    public func policy(
        progress: (@Sendable (_ completed: Int, _ total: Int) -> Void)? = nil
    ) async throws(SigningError) -> any SpendingPolicy {
        switch self {
        case .everyone(let signers): return try SignerGroup(signers)
        case .delegated(let record):
            do throws(DelegatedMultisigError) { return try await record.policy(progress: progress) } catch {
                throw .transaction("\(error)")
            }
        }
    }
}
