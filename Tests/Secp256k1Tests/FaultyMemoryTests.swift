import CryptoPrimitives
import Testing

@testable import Secp256k1

/// A bit of memory that turns at the wrong moment makes a signature from which the secret key can be computed. It must not leave.
struct FaultyMemoryTests {
    /// The library's key pair: the scalar, then the point.
    @Test(arguments: [0, 31])
    func `a key that changed in memory gives no signature`(position: Int) throws {
        var key = try SecretKey.generate()
        #expect(try key.sign(Bytes32()).isValid(for: Bytes32(), by: key.publicKey.xOnly))

        key.slot.withUnsafeMutableBytes { $0[position] ^= 1 }
        var thrown: SecretKeyError?
        do { _ = try key.sign(Bytes32()) } catch { thrown = error }
        #expect(thrown == .signingFailed)
    }
}
