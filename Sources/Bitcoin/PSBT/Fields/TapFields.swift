import CryptoPrimitives
import Secp256k1

extension PSBT {
    /// A Schnorr signature as the witness of a Taproot input holds it (BIP-341, "Script validation rules").
    public struct TapSignature: Hashable, Sendable {
        public var signature: SchnorrSignature
        /// The byte after the 64 of the signature, or `nil` where there is none: SIGHASH_DEFAULT.
        public var sighashType: UInt8?

        public init(_ signature: SchnorrSignature, sighashType: UInt8? = nil) {
            self.signature = signature
            self.sighashType = sighashType
        }

        public init(parsing bytes: some Collection<UInt8>) throws(Flaw) {
            let bytes = Array(bytes)
            let expected = [SchnorrSignature.byteCount, SchnorrSignature.byteCount + 1]
            guard expected.contains(bytes.count) else { throw .wrongValueLength(expected: expected, actual: bytes.count) }
            do throws(KeyError) {
                self.signature = try SchnorrSignature(parsing: bytes.prefix(SchnorrSignature.byteCount))
            } catch {
                throw .wrongValueLength(expected: expected, actual: bytes.count)
            }
            self.sighashType = bytes.count == SchnorrSignature.byteCount ? nil : bytes.last
        }

        /// 64 or 65 bytes.
        public var bytes: [UInt8] { self.signature.bytes + (self.sighashType.map { [$0] } ?? []) }
    }

    /// Which signature of a script path spend it is: the key of PSBT_IN_TAP_SCRIPT_SIG.
    public struct TapScriptSigner: Hashable, Sendable {
        /// The key in the leaf's script.
        public var key: XOnlyPublicKey
        public var leafHash: TapLeafHash

        /// Bytes of both.
        static let byteCount = XOnlyPublicKey.byteCount + 32

        public init(key: XOnlyPublicKey, leafHash: TapLeafHash) {
            self.key = key
            self.leafHash = leafHash
        }

        init(parsing keyData: ArraySlice<UInt8>) throws(Flaw) {
            guard let leafHash = Bytes32(keyData.dropFirst(XOnlyPublicKey.byteCount)) else {
                throw .wrongKeyDataLength(expected: [Self.byteCount], actual: keyData.count)
            }
            self.key = try Flaw.xOnlyPublicKey(keyData.prefix(XOnlyPublicKey.byteCount))
            self.leafHash = TapLeafHash(leafHash)
        }

        var serialized: [UInt8] { self.key.bytes.bytes + self.leafHash.hash.bytes }
    }
}
