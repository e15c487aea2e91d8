import CryptoPrimitives
import MuSig2
import MuSig2Reference
import Secp256k1
import Signing

/// A signer's nonces that sign as often as one likes, as those of a copied memory do: by BIP-327 in plain Swift, for the library has no way
/// to. What they sign gives the key away, so it is a test's.
public struct RepeatingNonces: Sendable {
    private let secretKey: [UInt8]
    private let secrets: [[UInt8]]
    /// One for each input.
    public let nonces: [[UInt8]]

    public init(of key: borrowing SecretKey, inputs: Int = 1, salt: UInt8 = 0) throws {
        let publicKey = key.publicKey.bytes
        let made = try (0..<inputs).map { place in
            try BIP327.nonceGen(
                rand: SHA256.hash([salt, UInt8(truncatingIfNeeded: place)]).bytes, sk: nil, pk: publicKey, aggpk: nil, msg: nil,
                extraIn: nil)
        }
        self.secretKey = try key.encoded().withUnsafeBytes { Array($0) }
        self.secrets = made.map(\.secnonce)
        self.nonces = made.map(\.pubnonce)
    }

    public func partialSignatures(_ plan: SigningPlan, _ sets: [NonceSet]) throws -> [[UInt8]] {
        try plan.inputs.enumerated().map { place, input in
            let tweaks = input.keys.tweaks.map { tweak in
                switch tweak {
                case .plain(let scalar): BIP327.Tweak(scalar.bytes, isXonly: false)
                case .xOnly(let scalar): BIP327.Tweak(scalar.bytes, isXonly: true)
                }
            }
            let session = BIP327.SessionContext(
                aggnonce: try BIP327.nonceAgg(sets.map { $0.nonces[place].bytes }), pubkeys: input.keys.publicKeys.map(\.bytes),
                tweaks: tweaks, msg: input.message.bytes)
            return try BIP327.sign(secnonce: self.secrets[place], sk: self.secretKey, session: session)
        }
    }

    /// Round 2 over a set's nonces, by whoever speaks for the signer.
    public func answer(
        _ approvals: [Statement], _ plan: SigningPlan, attempt: UInt32, say: (Statement.Body, UInt32) -> Statement
    ) throws -> Statement {
        let sets = try approvals.compactMap { try $0.nonceSet() }
        let transcript = plan.transcript(attempt: attempt, nonceSets: sets)
        return say(.partialSignatures(transcript: transcript, try self.partialSignatures(plan, sets)), attempt)
    }
}
