import CSodium
import CryptoPrimitives
import Testing

struct `Sealed boxes` {
    private func key(_ byte: UInt8) throws -> Ed25519.SecretKey {
        try Ed25519.SecretKey(seed: .known([UInt8](repeating: byte, count: 32)))
    }

    private func ephemeral(_ byte: UInt8) throws -> X25519.SecretKey {
        try X25519.SecretKey { $0.copyBytes(from: [UInt8](repeating: byte, count: 32)) }
    }

    @Test(arguments: [0, 1, 15, 16, 17, 64, 1_000, 100_000])
    func `give back what was put in, to their recipient only`(count: Int) throws {
        let ada = try self.key(1)
        let bo = try self.key(2)
        let message = (0..<count).map { UInt8(truncatingIfNeeded: $0) }
        let box = try SealedBox.seal(message, to: ada.publicKey)
        #expect(box.count == count + SealedBox.overheadByteCount)
        #expect(try SealedBox.open(box, with: ada) == message)
        #expect(throws: SealedBoxError.forAnotherOrDamaged) { try SealedBox.open(box, with: bo) }
    }

    @Test func `are never twice the same, unless their key is`() throws {
        let ada = try self.key(1)
        let (one, other) = (try SealedBox.seal([1], to: ada.publicKey), try SealedBox.seal([1], to: ada.publicKey))
        #expect(one != other)
        let repeated = try (0..<2).map { _ in try SealedBox.seal([1], to: ada.publicKey, ephemeral: self.ephemeral(7)) }
        #expect(repeated[0] == repeated[1])
        #expect(try SealedBox.open(repeated[0], with: ada) == [1])
        #expect(try Array(repeated[0].prefix(32)) == self.ephemeral(7).publicKey.bytes.bytes)
    }

    @Test func `are libsodium's own, in both directions`() throws {
        let ada = try self.key(1)
        // The keys as libsodium converts them, from its form of the identity: the seed and the public key.
        var (secret, publicKey) = ([UInt8](repeating: 0, count: 32), [UInt8](repeating: 0, count: 32))
        let whole = [UInt8](repeating: 1, count: 32) + ada.publicKey.bytes
        #expect(crypto_sign_ed25519_sk_to_curve25519(&secret, whole) == 0)
        #expect(crypto_sign_ed25519_pk_to_curve25519(&publicKey, ada.publicKey.bytes) == 0)
        let message = Array("from one to the other".utf8)

        let ours = try SealedBox.seal(message, to: ada.publicKey)
        var opened = [UInt8](repeating: 0, count: message.count)
        #expect(crypto_box_seal_open(&opened, ours, UInt64(ours.count), publicKey, secret) == 0)
        #expect(opened == message)

        var theirs = [UInt8](repeating: 0, count: message.count + SealedBox.overheadByteCount)
        #expect(crypto_box_seal(&theirs, message, UInt64(message.count), publicKey) == 0)
        #expect(try SealedBox.open(theirs, with: ada) == message)
    }

    @Test func `cut short anywhere or with any bit flipped stay shut`() throws {
        let ada = try self.key(1)
        let box = try SealedBox.seal([1, 2, 3], to: ada.publicKey)
        for count in 0..<SealedBox.overheadByteCount {
            #expect(throws: SealedBoxError.wrongByteCount(count)) { try SealedBox.open(Array(box.prefix(count)), with: ada) }
        }
        for count in SealedBox.overheadByteCount..<box.count {
            #expect(throws: SealedBoxError.forAnotherOrDamaged) { try SealedBox.open(Array(box.prefix(count)), with: ada) }
        }
        #expect(throws: SealedBoxError.forAnotherOrDamaged) { try SealedBox.open(box + [0], with: ada) }
        for bit in 0..<(box.count * 8) {
            var altered = box
            altered[bit / 8] ^= 1 << (bit % 8)
            #expect(throws: SealedBoxError.forAnotherOrDamaged) { try SealedBox.open(altered, with: ada) }
        }
    }

    @Test func `under a key that shares zero with everybody stay shut`() throws {
        let ada = try self.key(1)
        // Whoever knows that the shared secret is zero could seal for everybody at once.
        for first in [UInt8(0), 1] {
            let box = [first] + [UInt8](repeating: 0, count: 100)
            #expect(throws: SealedBoxError.forAnotherOrDamaged) { try SealedBox.open(box, with: ada) }
        }
    }
}
