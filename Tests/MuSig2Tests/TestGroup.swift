import CSecp256k1
import CryptoPrimitives
import MuSig2
import Secp256k1
import Synchronization
import Testing

/// A key and, between the rounds, its nonce. A class, so that what cannot be copied can stand in a list.
final class TestSigner: Sendable {
    let key: SecretKey
    private let nonce = Mutex<SecretNonce?>(nil)

    init() throws { self.key = try SecretKey.generate() }

    var publicKey: PublicKey { self.key.publicKey }

    /// Round 1.
    func makeNonce(keys: KeyAggregation?, message: Bytes32?) throws -> PublicNonce {
        try self.nonce.withLock { kept in
            let nonce = try SecretNonce(for: self.key, keys: keys, message: message, extraInput: Bytes32())
            let publicNonce = nonce.publicNonce
            kept = consume nonce
            return publicNonce
        }
    }

    /// Round 2.
    func sign(in context: SigningContext) throws -> PartialSignature {
        let nonce = self.nonce.withLock { (nonce: inout sending SecretNonce?) -> sending SecretNonce? in nonce.take() }
        guard let nonce else { throw NoNonce() }
        return try nonce.sign(with: self.key, in: context)
    }

    struct NoNonce: Error {}
}

/// A group whose secret keys are all here.
struct TestGroup: Sendable {
    let signers: [TestSigner]
    let keys: KeyAggregation

    init(signers: [TestSigner], keys: KeyAggregation) {
        self.signers = signers
        self.keys = keys
    }

    init(count: Int, tweaks: [Tweak] = []) throws {
        self.signers = try (0..<count).map { _ in try TestSigner() }
        self.keys = try KeyAggregation(self.signers.map(\.publicKey)).tweaked(by: tweaks)
    }

    /// Runs both rounds: everybody's nonce, then everybody's partial signature.
    func sign(_ message: Bytes32) throws -> (SigningContext, [PartialSignature]) {
        let nonces = try self.signers.map { try $0.makeNonce(keys: self.keys, message: message) }
        let context = try SigningContext(keys: self.keys, nonces: nonces, message: message)
        return (context, try self.signers.map { try $0.sign(in: context) })
    }
}

extension Bytes32 {
    static var random: Bytes32 { Bytes32 { SystemRandom.fill($0) } }
}

extension PartialSignature {
    /// Another partial signature: this one and a number, added modulo the order.
    func adding(_ scalar: Bytes32) throws -> PartialSignature {
        var sum = self.bytes.bytes
        try #require(secp256k1_ec_seckey_tweak_add(Context.shared, &sum, scalar.bytes) == 1)
        return try PartialSignature(parsing: sum)
    }
}
