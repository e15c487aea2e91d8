import CryptoPrimitives
import Secp256k1

extension PSBT {
    /// Where a key comes from: a master key and the path from there (BIP-32).
    public struct KeyOrigin: Hashable, Sendable {
        /// The first four bytes of the master key's HASH160, the first one the most significant.
        public var fingerprint: UInt32
        /// Child numbers; hardened ones have the highest bit set.
        public var path: [UInt32]

        public init(fingerprint: UInt32, path: [UInt32]) {
            self.fingerprint = fingerprint
            self.path = path
        }

        init(parsing bytes: ArraySlice<UInt8>) throws(Flaw) {
            guard bytes.count >= 4 else { throw .wrongValueLength(expected: [4], actual: bytes.count) }
            guard bytes.count % 4 == 0 else { throw .valueNotMultiple(of: 4, actual: bytes.count) }
            var reader = ByteReader(bytes)
            (self.fingerprint, self.path) = try Flaw.inValue { () throws(ByteDecodingError) in
                let fingerprint = try reader.readUInt32("fingerprint").byteSwapped
                var path: [UInt32] = []
                while !reader.isAtEnd { path.append(try reader.readUInt32("path element")) }
                return (fingerprint, path)
            }
        }

        func write(to writer: inout ByteWriter) {
            writer.writeUInt32(self.fingerprint.byteSwapped)
            for element in self.path { writer.writeUInt32(element) }
        }

        var serialized: [UInt8] {
            var writer = ByteWriter(capacity: 4 + 4 * self.path.count)
            self.write(to: &writer)
            return writer.bytes
        }
    }

    /// Where a key of a Taproot output comes from, and in which leaves it stands (BIP-371).
    public struct TapKeyOrigin: Hashable, Sendable {
        /// Hashes of the leaves that hold the key; none for the internal key.
        public var leafHashes: [TapLeafHash]
        public var origin: KeyOrigin

        public init(leafHashes: [TapLeafHash] = [], origin: KeyOrigin) {
            self.leafHashes = leafHashes
            self.origin = origin
        }

        init(parsing bytes: ArraySlice<UInt8>) throws(Flaw) {
            var reader = ByteReader(bytes)
            self.leafHashes = try Flaw.inValue { () throws(ByteDecodingError) in
                let count = try reader.readCount("count of leaf hashes", minimumByteCount: 32)
                var hashes: [TapLeafHash] = []
                for _ in 0..<count { hashes.append(TapLeafHash(try reader.readBytes32("leaf hash"))) }
                return hashes
            }
            self.origin = try KeyOrigin(parsing: reader.readRemaining())
        }

        var serialized: [UInt8] {
            var writer = ByteWriter()
            writer.writeCompactSize(self.leafHashes.count)
            for leaf in self.leafHashes { writer.write(leaf.hash) }
            self.origin.write(to: &writer)
            return writer.bytes
        }
    }

    /// A serialized extended public key, without its Base58 clothing: 78 bytes (BIP-32, "Serialization format").
    public struct ExtendedPublicKey: Hashable, Sendable {
        public static let byteCount = 78

        public let bytes: [UInt8]

        public init(parsing bytes: some Collection<UInt8>) throws(Flaw) {
            guard bytes.count == Self.byteCount else {
                throw .wrongKeyDataLength(expected: [Self.byteCount], actual: bytes.count)
            }
            do throws(KeyError) {
                _ = try PublicKey(parsing: bytes.suffix(PublicKey.byteCount))
            } catch {
                throw .invalidPublicKey(error)
            }
            self.bytes = Array(bytes)
        }

        /// How many derivations lie between the master key and this one.
        public var depth: Int { Int(self.bytes[4]) }

        /// The key itself: the last 33 bytes.
        public var publicKeyBytes: [UInt8] { Array(self.bytes.suffix(PublicKey.byteCount)) }

        func checkDepth(of origin: KeyOrigin) throws(Flaw) {
            guard origin.path.count == self.depth else {
                throw .wrongPathLength(depth: self.depth, actual: origin.path.count)
            }
        }
    }
}
