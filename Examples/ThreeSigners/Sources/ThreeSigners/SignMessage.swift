import CryptoPrimitives
import MuSig2
import Secp256k1

/// The two rounds of BIP-327, with all three signers in one place.
func signMessage() throws {
    let alice = try SecretKey.generate()
    let bob = try SecretKey.generate()
    let carol = try SecretKey.generate()

    // Once for a group: many keys become one.
    let group = try KeyAggregation([alice.publicKey, bob.publicKey, carol.publicKey])
    let message = SHA256.hash(Array("three signers, one signature".utf8))

    // Round 1: everyone makes a nonce, keeps the secret half and shows the public one. A secret nonce cannot be copied.
    let purpose = SHA256.hash(Array("an example".utf8))
    let aliceNonce = try SecretNonce(for: alice, keys: group, message: message, extraInput: purpose)
    let bobNonce = try SecretNonce(for: bob, keys: group, message: message, extraInput: purpose)
    let carolNonce = try SecretNonce(for: carol, keys: group, message: message, extraInput: purpose)

    // Round 2: with all public nonces there is a context, and only with a context can anyone sign. Signing consumes the nonce:
    // a second signature with it would not compile.
    let nonces = [aliceNonce.publicNonce, bobNonce.publicNonce, carolNonce.publicNonce]
    let context = try SigningContext(keys: group, nonces: nonces, message: message)
    let partials = [
        try aliceNonce.sign(with: alice, in: context),
        try bobNonce.sign(with: bob, in: context),
        try carolNonce.sign(with: carol, in: context),
    ]

    // Whoever holds the partial signatures finishes; the sum is verified once.
    let signature = try context.finish(partials)

    print("  aggregate key  \(group.xOnlyKey)")
    print("  signature      \(signature)")
    print("  verifies       \(signature.isValid(for: message, by: group.xOnlyKey))")
}
