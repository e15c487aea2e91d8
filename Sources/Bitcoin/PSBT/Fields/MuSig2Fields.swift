import CryptoPrimitives
import Secp256k1

extension PSBT {
    /// Whose nonce or partial signature it is, and for what: the key of PSBT_IN_MUSIG2_PUB_NONCE and
    /// PSBT_IN_MUSIG2_PARTIAL_SIG (BIP-373).
    public struct MuSig2Contribution: Hashable, Sendable {
        /// The signer's plain public key.
        public var participant: PublicKey
        /// The aggregate key that is signed for, as it stands in the output or the script.
        public var aggregateKey: PublicKey
        /// The leaf whose script is signed, or `nil` for the key path.
        public var leafHash: TapLeafHash?

        /// Bytes without leaf hash: two keys.
        static let keyPathByteCount = 2 * PublicKey.byteCount
        /// Bytes with leaf hash.
        static let scriptPathByteCount = Self.keyPathByteCount + 32

        public init(participant: PublicKey, aggregateKey: PublicKey, leafHash: TapLeafHash? = nil) {
            self.participant = participant
            self.aggregateKey = aggregateKey
            self.leafHash = leafHash
        }

        init(parsing keyData: ArraySlice<UInt8>) throws(Flaw) {
            guard keyData.count == Self.keyPathByteCount || keyData.count == Self.scriptPathByteCount else {
                throw .wrongKeyDataLength(expected: [Self.keyPathByteCount, Self.scriptPathByteCount], actual: keyData.count)
            }
            let rest = keyData.dropFirst(PublicKey.byteCount)
            self.participant = try Flaw.publicKey(keyData.prefix(PublicKey.byteCount))
            self.aggregateKey = try Flaw.publicKey(rest.prefix(PublicKey.byteCount))
            self.leafHash = Bytes32(rest.dropFirst(PublicKey.byteCount)).map { TapLeafHash($0) }
        }

        var serialized: [UInt8] { self.participant.bytes + self.aggregateKey.bytes + (self.leafHash?.hash.bytes ?? []) }
    }

    /// The participants of an aggregate key, in the order of aggregation, as its value holds them: 33 bytes each.
    static func participants(parsing value: ArraySlice<UInt8>) throws(Flaw) -> [PublicKey] {
        guard value.count % PublicKey.byteCount == 0 else {
            throw .valueNotMultiple(of: PublicKey.byteCount, actual: value.count)
        }
        let count = value.count / PublicKey.byteCount
        guard count <= Self.participantCountMax else { throw .tooManyParticipants(count) }
        var keys: [PublicKey] = []
        var rest = value
        while !rest.isEmpty {
            keys.append(try Flaw.publicKey(rest.prefix(PublicKey.byteCount)))
            rest = rest.dropFirst(PublicKey.byteCount)
        }
        return keys
    }
}
