public import CryptoPrimitives
public import Secp256k1

/// What a signer contributes to a MuSig2 signature (BIP-327 calls it so where it names who disrupted a session).
public enum Contribution: String, Sendable, Hashable, CustomStringConvertible {
    case publicKey = "public key"
    case publicNonce = "public nonce"
    case aggregateNonce = "aggregate nonce"
    case partialSignature = "partial signature"

    public var description: String { self.rawValue }
}

/// Everything that can go wrong in MuSig2: who, what, and why.
///
/// A *signer* is an index into the group's keys, in the group's order.
public enum MuSig2Error: Error, Equatable, Sendable {
    /// A group needs at least one key.
    case noSigners
    /// A contribution has the wrong length. `signer` is `nil` where the bytes came without a place.
    case wrongByteCount(Contribution, signer: Int?, expected: Int, actual: Int)
    /// A contribution is no valid point or scalar.
    case invalid(Contribution, signer: Int?)
    /// A tweak is not below the curve's order, or makes the key the point at infinity.
    case invalidTweak(index: Int)
    /// Not one contribution for each signer.
    case wrongCount(Contribution, expected: Int, actual: Int)
    /// The group, of `count` signers, has none with this index.
    case noSuchSigner(Int, count: Int)
    /// The key is none of the group's.
    case notAMember(PublicKey)
    /// The nonces of this signing do not hold the signer's own, so its secret nonce must not be used with them.
    case ownNonceMissing(signer: Int)
    /// The secret nonce was made for another key.
    case nonceOfAnotherKey
    /// The secret nonce was made for another message or another aggregate key than this signing's.
    case nonceOfAnotherSigning
    /// The signer's partial signature does not verify: proof against whoever signed and sent it.
    case partialSignatureDoesNotVerify(signer: Int)
    /// The aggregated signature does not verify; `SigningContext.culprits(in:)` says whose contributions are bad.
    case signatureDoesNotVerify
    /// No nonce could be made, for the secret key reads as none: its memory was wiped, as in a forked child, or is faulty.
    case nonceNotMade
    /// The signer's own partial signature does not verify. Nothing was released, and the nonce is gone.
    case selfCheckFailed
    /// The context was made from an aggregate nonce alone, so single contributions cannot be judged.
    case noncesUnknown
    case memory(SecretMemoryError)

    /// The signer whose own contribution proves the fault, or `nil` if nothing is proved against anyone.
    public var culprit: Int? {
        switch self {
        case .wrongByteCount(_, let signer, _, _), .invalid(_, let signer): signer
        case .partialSignatureDoesNotVerify(let signer): signer
        case .noSigners, .invalidTweak, .wrongCount, .noSuchSigner, .notAMember, .ownNonceMissing, .nonceOfAnotherKey,
            .nonceOfAnotherSigning, .signatureDoesNotVerify, .nonceNotMade, .selfCheckFailed, .noncesUnknown, .memory:
            nil
        }
    }
}

extension MuSig2Error: CustomStringConvertible {
    public var description: String {
        switch self {
        case .noSigners: "a group needs at least one signer"
        case .wrongByteCount(let what, let signer, let expected, let actual):
            "the \(what)\(Self.of(signer)) must have \(expected) bytes and has \(actual)"
        case .invalid(let what, let signer): "the \(what)\(Self.of(signer)) is not valid: ask for it again"
        case .invalidTweak(let index): "tweak \(index) is out of range for this key"
        case .wrongCount(let what, let expected, let actual): "\(expected) \(what)s are needed, one a signer, and here are \(actual)"
        case .noSuchSigner(let signer, let count): "there is no signer \(signer) in this group of \(count): they count from 0"
        case .notAMember(let key): "the key \(key) is not in this group"
        case .ownNonceMissing(let signer): "the nonces hold another nonce than our own for signer \(signer): not signed"
        case .nonceOfAnotherKey: "the secret nonce was made for another key: make one for this key"
        case .nonceOfAnotherSigning: "the secret nonce was made for another message or group: make one for this signing"
        case .partialSignatureDoesNotVerify(let signer): "the partial signature of signer \(signer) does not verify"
        case .signatureDoesNotVerify: "the aggregated signature does not verify: at least one contribution is bad"
        case .nonceNotMade: "no nonce was made, for the secret key reads as none: a forked process must load its key anew"
        case .selfCheckFailed: "the partial signature just made does not verify, so it was not released: suspect this machine's memory"
        case .noncesUnknown: "only the aggregate nonce is known here, so no single signer can be judged"
        case .memory(let error): error.description
        }
    }

    private static func of(_ signer: Int?) -> String { signer.map { " of signer \($0)" } ?? "" }
}
