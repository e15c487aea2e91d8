public import Bitcoin
public import CryptoPrimitives
public import Secp256k1

/// All that a k-of-n policy follows from, small enough to travel in a PSBT: threshold, kind of internal key, signers.
///
/// Nobody has to be believed for it: the policy's script follows from the record, and the coin's own script must be equal to it.
/// In a PSBT it is a proprietary field of the global map, identifier `chorale`, subtype 16.
public struct PolicyRecord: Hashable, Sendable {
    public let internalKey: DelegatedMultisig.InternalKey
    /// Sorted by their 33 bytes.
    public let signers: [PublicKey]
    public let threshold: Int

    public init(internalKey: DelegatedMultisig.InternalKey, signers: [PublicKey], threshold: Int) {
        self.internalKey = internalKey
        self.signers = signers.sorted()
        self.threshold = threshold
    }

    public init(_ policy: DelegatedMultisig) {
        self.init(internalKey: policy.internalKey, signers: policy.signers, threshold: policy.threshold)
    }

    /// Tagged hash `chorale/policy` of the record's bytes.
    public var digest: Bytes32 {
        var hash = Self.tag
        hash.update(self.serialized())
        return hash.finalize()
    }

    private static let tag = SHA256.tagged("chorale/policy")

    /// The key under which a PSBT's global map holds the record.
    public static let psbtKey = PSBT.ProprietaryKey(identifier: Array("chorale".utf8), subtype: 16)

    private static let formatVersion: UInt8 = 1

    /// Version 1, kind of internal key 1 (0 owner, 1 aggregate, 2 unspendable), owner 32 where there is one, threshold 4, count 4,
    /// signers 33 each. Numbers are little endian.
    public func serialized() -> [UInt8] {
        var writer = ByteWriter()
        writer.writeUInt8(Self.formatVersion)
        switch self.internalKey {
        case .owner(let key):
            writer.writeUInt8(0)
            writer.write(key.bytes)
        case .aggregate: writer.writeUInt8(1)
        case .unspendable: writer.writeUInt8(2)
        }
        writer.writeUInt32(UInt32(clamping: self.threshold))
        writer.writeUInt32(UInt32(clamping: self.signers.count))
        for signer in self.signers { writer.write(signer.bytes) }
        return writer.bytes
    }

    /// Reads a record. Whether its numbers make a policy is checked when the policy is made.
    public init(parsing bytes: [UInt8]) throws(StatementError) {
        do {
            var reader = ByteReader(bytes)
            guard try reader.readUInt8("format version") == Self.formatVersion else { throw StatementError.unknownFormat }
            switch try reader.readUInt8("kind of internal key") {
            case 0: self.internalKey = .owner(try XOnlyPublicKey(parsing: reader.readBytes(XOnlyPublicKey.byteCount, "owner")))
            case 1: self.internalKey = .aggregate
            case 2: self.internalKey = .unspendable
            default: throw StatementError.unknownFormat
            }
            self.threshold = Int(try reader.readUInt32("threshold"))
            let count = try reader.readUInt32("count of signers")
            guard count <= SigningPlan.signerCountMax else { throw StatementError.malformed("\(count) signers") }
            var signers: [PublicKey] = []
            for _ in 0..<count { signers.append(try PublicKey(parsing: reader.readBytes(PublicKey.byteCount, "signer"))) }
            self.signers = signers.sorted()
            try reader.finish()
        } catch let error as StatementError { throw error } catch { throw .malformed("policy: \(error)") }
    }

    /// The key under which a PSBT's global map may hold the policy's leaf keys, 32 bytes each, so that no signer has to compute them.
    static let leafKeysKey = PSBT.ProprietaryKey(identifier: Array("chorale".utf8), subtype: 17)

    /// Most leaves whose keys are put into a PSBT: 6.4 MB of its 16 MiB.
    static let leafCountInPSBTMax = 200_000

    /// Computes the policy, on all cores.
    public func policy(
        progress: (@Sendable (_ completed: Int, _ total: Int) -> Void)? = nil
    ) async throws(DelegatedMultisigError) -> DelegatedMultisig {
        try await DelegatedMultisig.make(
            internalKey: self.internalKey, signers: self.signers, threshold: self.threshold, progress: progress)
    }
}

extension PSBT {
    /// Adds what signers of a k-of-n policy need: its record, and for all but huge policies the keys of its leaves.
    public mutating func addPolicy(_ policy: DelegatedMultisig) {
        self.proprietary[PolicyRecord.psbtKey] = PolicyRecord(policy).serialized()
        guard policy.leafCount <= PolicyRecord.leafCountInPSBTMax else { return }
        self.proprietary[PolicyRecord.leafKeysKey] = policy.leafKeys.flatMap(\.bytes)
    }

    /// The policy of the PSBT's record made from the leaf keys that travel with it; `nil` where they are missing or too few.
    ///
    /// Whoever made the PSBT chose the keys: only a script that was computed independently shows that they are right.
    func policyFromLeafKeys(_ record: PolicyRecord) -> DelegatedMultisig? {
        guard let bytes = self.proprietary[PolicyRecord.leafKeysKey], bytes.count % 32 == 0 else { return nil }
        let keys = stride(from: 0, to: bytes.count, by: 32).compactMap { Bytes32(bytes[$0..<$0 + 32]) }
        return try? DelegatedMultisig(
            internalKey: record.internalKey, signers: record.signers, threshold: record.threshold, leafKeys: keys)
    }
}
