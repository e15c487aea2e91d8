import CryptoPrimitives
import LibP2P
import SigningNode
import Testing

@Suite struct CoordinationProtocolTests {
    @Test func `a peer's id and its identity name each other`() throws {
        let identity = try Ed25519.SecretKey.generate().publicKey
        #expect(PeerID(of: identity).identity == identity)
        // RSA and the like are hashed, and enrolled by nobody.
        let hashed = try PeerID(text: "QmYyQSo1c1Ym7orWxLYvCrM2EmxFTANf8wXmmE7DWjhx5N")
        #expect(hashed.identity == nil)
    }
}
