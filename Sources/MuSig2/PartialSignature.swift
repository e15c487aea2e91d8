package import CSecp256k1
public import CryptoPrimitives
internal import Secp256k1

/// One signer's share of a signature: a scalar, 32 bytes (BIP-327, "Sign").
public struct PartialSignature: Sendable {
    public static let byteCount = 32

    // The only stored property, so that an array of these is also an array of the library's.
    package var raw: secp256k1_musig_partial_sig

    package init(raw: secp256k1_musig_partial_sig) { self.raw = raw }

    /// Reads 32 bytes, a number below the curve's order. `signer` goes into the error, to say whose they are.
    public init(parsing bytes: some Collection<UInt8>, signer: Int? = nil) throws(MuSig2Error) {
        guard bytes.count == Self.byteCount else {
            throw .wrongByteCount(.partialSignature, signer: signer, expected: Self.byteCount, actual: bytes.count)
        }
        var raw = secp256k1_musig_partial_sig()
        guard secp256k1_musig_partial_sig_parse(Context.shared, &raw, Array(bytes)) == 1 else {
            throw .invalid(.partialSignature, signer: signer)
        }
        self.raw = raw
    }

    public var bytes: Bytes32 {
        Bytes32 { target in
            var raw = self.raw
            _ = secp256k1_musig_partial_sig_serialize(Context.shared, target.bytePointer, &raw)
        }
    }
}

extension PartialSignature: Hashable, CustomStringConvertible {
    public static func == (left: PartialSignature, right: PartialSignature) -> Bool { left.bytes == right.bytes }

    public func hash(into hasher: inout Hasher) { hasher.combine(self.bytes) }

    public var description: String { self.bytes.description }
}
