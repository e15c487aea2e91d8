internal import CryptoPrimitives

/// Why bytes are no multihash.
public enum MultihashError: Error, Equatable, Sendable, CustomStringConvertible {
    case varint(VarintError)
    /// The digest has another length than the multihash says.
    case wrongDigestByteCount(stated: UInt64, actual: Int)
    /// The stated function always gives digests of another length.
    case wrongDigestByteCountForFunction(code: UInt64, actual: Int)
    /// More bytes than any digest has.
    case tooManyBytes(count: Int, maximum: Int)

    public var description: String {
        switch self {
        case .varint(let error): "multihash: \(error)"
        case .wrongDigestByteCount(let stated, let actual): "the multihash states a digest of \(stated) bytes, and here are \(actual)"
        case .wrongDigestByteCountForFunction(let code, let actual):
            "the hash function with code \(code) does not give digests of \(actual) bytes"
        case .tooManyBytes(let count, let maximum): "a multihash has at most \(maximum) bytes, and here are \(count)"
        }
    }
}

/// A digest that says which function made it: code, length, digest (multiformats/multihash).
public struct Multihash: Hashable, Sendable {
    /// Most bytes of a whole multihash: two varints and the longest digest in use, 128 bytes.
    public static let byteCountMax = 2 * Varint.byteCountMax + 128

    /// The bytes themselves take the place of a digest.
    public static let identityCode: UInt64 = 0x00
    public static let sha256Code: UInt64 = 0x12

    /// The function (multiformats/multicodec).
    public let code: UInt64
    public let digest: [UInt8]

    private init(code: UInt64, digest: [UInt8]) {
        self.code = code
        self.digest = digest
    }

    /// The bytes as their own "digest"; at most 128.
    public static func identity(_ bytes: [UInt8]) -> Multihash {
        precondition(bytes.count <= 128, "an identity multihash holds at most 128 bytes")
        return Multihash(code: Self.identityCode, digest: bytes)
    }

    /// The SHA-256 of the bytes.
    public static func sha256(of bytes: [UInt8]) -> Multihash {
        Multihash(code: Self.sha256Code, digest: SHA256.hash(bytes).bytes)
    }

    /// Reads a whole multihash; nothing may follow. Any function is taken; of SHA-256 the length is checked too.
    public init(parsing bytes: some Collection<UInt8>) throws(MultihashError) {
        guard bytes.count <= Self.byteCountMax else { throw .tooManyBytes(count: bytes.count, maximum: Self.byteCountMax) }
        var rest = Array(bytes)[...]
        let (code, stated): (UInt64, UInt64)
        do throws(VarintError) {
            code = try Varint.read(from: &rest)
            stated = try Varint.read(from: &rest)
        } catch {
            throw .varint(error)
        }
        guard stated == UInt64(rest.count) else { throw .wrongDigestByteCount(stated: stated, actual: rest.count) }
        guard code != Self.sha256Code || rest.count == 32 else {
            throw .wrongDigestByteCountForFunction(code: code, actual: rest.count)
        }
        self.init(code: code, digest: Array(rest))
    }

    /// The whole multihash.
    public var bytes: [UInt8] {
        var bytes = Varint.encode(self.code)
        Varint.append(UInt64(self.digest.count), to: &bytes)
        return bytes + self.digest
    }
}
