import CryptoPrimitives
import Secp256k1
import Testing

@testable import MuSig2

/// A bit of memory that turns at the wrong moment makes a signature from which the secret key can be computed. It must not leave.
struct FaultyMemoryTests {
    /// The library's secret nonce: four bytes of magic number, then the two scalars.
    @Test(arguments: [4 + 31, 4 + 63])
    func `a nonce that changed in memory gives no partial signature`(position: Int) throws {
        let key = try SecretKey.generate()
        let other = try TestSigner()
        let keys = try KeyAggregation([key.publicKey, other.publicKey])
        let message = Bytes32()
        var nonce = try SecretNonce(for: key, keys: keys, message: message, extraInput: Bytes32())
        let others = try other.makeNonce(keys: keys, message: message)
        let context = try SigningContext(keys: keys, nonces: [nonce.publicNonce, others], message: message)

        nonce.slot.withUnsafeMutableBytes { $0[position] ^= 1 }
        // An expectation's macro would copy what cannot be copied.
        var thrown: MuSig2Error?
        do { _ = try nonce.sign(with: key, in: context) } catch { thrown = error }
        #expect(thrown == .selfCheckFailed)
    }
}
