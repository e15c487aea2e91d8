import CryptoPrimitives
import Secp256k1

extension PSBT {
    /// A public key as legacy and segwit v0 scripts hold it: 33 bytes, or 65 uncompressed ones.
    ///
    /// The x coordinate is checked to be on the curve; of an uncompressed key's y only the parity is used in that.
    public struct ECDSAPublicKey: Hashable, Sendable, CustomStringConvertible {
        /// Bytes of a compressed key, which starts with 2 or 3.
        public static let compressedByteCount = 33
        /// Bytes of an uncompressed key, which starts with 4.
        public static let uncompressedByteCount = 65

        public let bytes: [UInt8]

        public init(_ key: PublicKey) { self.bytes = key.bytes }

        public init(parsing bytes: some Collection<UInt8>) throws(Flaw) {
            let bytes = Array(bytes)
            let compressed: [UInt8]
            switch bytes.count {
            case Self.compressedByteCount:
                compressed = bytes
            case Self.uncompressedByteCount:
                guard bytes.first == 4, let last = bytes.last else { throw .invalidPublicKey(.notOnCurve) }
                compressed = [2 | last & 1] + bytes[1...32]
            default:
                throw .wrongKeyDataLength(expected: [Self.compressedByteCount, Self.uncompressedByteCount], actual: bytes.count)
            }
            do throws(KeyError) { _ = try PublicKey(parsing: compressed) } catch { throw .invalidPublicKey(error) }
            self.bytes = bytes
        }

        public var description: String { Hex.encode(self.bytes) }

        /// HASH160 of the key: what P2PKH and P2WPKH outputs hold.
        var hash160: [UInt8] { RIPEMD160.ofSHA256(self.bytes) }
    }

    /// An ECDSA signature as it is pushed onto the stack: DER, then one byte of sighash type (BIP-66).
    public struct ECDSASignature: Hashable, Sendable, CustomStringConvertible {
        public let bytes: [UInt8]

        public init(parsing bytes: some Collection<UInt8>) throws(Flaw) {
            let bytes = Array(bytes)
            guard Self.isStrictDER(bytes) else { throw .invalidSignatureEncoding }
            self.bytes = bytes
        }

        /// The last byte.
        public var sighashType: UInt8 { self.bytes.last ?? 0 }

        public var description: String { Hex.encode(self.bytes) }

        /// `0x30 length 0x02 length r 0x02 length s sighash`, both numbers positive and no longer than need be (BIP-66).
        private static func isStrictDER(_ bytes: [UInt8]) -> Bool {
            guard (9...73).contains(bytes.count), bytes[0] == 0x30, Int(bytes[1]) == bytes.count - 3 else { return false }
            var rest = bytes[2..<bytes.count - 1]
            return Self.takeInteger(from: &rest) && Self.takeInteger(from: &rest) && rest.isEmpty
        }

        private static func takeInteger(from rest: inout ArraySlice<UInt8>) -> Bool {
            guard rest.popFirst() == 0x02, let count = rest.popFirst(), count > 0, Int(count) <= rest.count else { return false }
            let number = Array(rest.prefix(Int(count)))
            rest = rest.dropFirst(Int(count))
            guard number[0] & 0x80 == 0 else { return false }
            return number.count == 1 || number[0] != 0 || number[1] & 0x80 != 0
        }
    }
}
