public import CryptoPrimitives
public import MuSig2
public import Secp256k1
public import Signing

/// Burn records out of a name: the same ones in every process and on every run.
public enum Sample {
    public static func digest(_ name: String) -> Bytes32 { SHA256.hash(Array(name.utf8)) }

    public static func secretKey(_ name: String) throws -> SecretKey {
        let scalar = Self.digest("key \(name)")
        return try SecretKey(parsing: SecretBytes(count: 32) { target in scalar.withUnsafeBytes { target.copyMemory(from: $0) } })
    }

    public static func signer(_ name: String) throws -> PublicKey { try Self.secretKey(name).publicKey }

    public static func nonce(_ name: String) throws -> PublicNonce {
        try PublicNonce(parsing: Self.signer("\(name) first").bytes + Self.signer("\(name) second").bytes)
    }

    /// A record with nonces and partial signatures of its own, as long as `nonces` does not name others'.
    public static func record(
        request: String, attempt: UInt32 = 1, signer: String = "Ada", transcript: String = "transcript", inputs: Int = 1,
        nonces: String? = nil
    ) throws -> BurnRecord {
        let name = "\(request) \(attempt) \(signer) \(transcript)"
        return BurnRecord(
            request: Self.digest(request), attempt: attempt, signer: try Self.signer(signer), transcript: Self.digest(name),
            contributions: try (0..<inputs).map { input in
                // Any number below the order will do, and one with a leading zero always is.
                let partial = try PartialSignature(parsing: [0] + Self.digest("\(name) \(input)").bytes.dropFirst())
                return (nonce: try Self.nonce("\(nonces ?? name) \(input)"), partialSignature: partial)
            })
    }
}
