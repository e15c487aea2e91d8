import CryptoPrimitives
import Testing

struct `Anonymous envelopes` {
    private func key(_ byte: UInt8) throws -> Ed25519.SecretKey {
        try Ed25519.SecretKey(seed: .known([UInt8](repeating: byte, count: 32)))
    }

    private func ephemeral(_ byte: UInt8) throws -> X25519.SecretKey {
        try X25519.SecretKey { $0.copyBytes(from: [UInt8](repeating: byte, count: 32)) }
    }

    private func seal(
        _ content: [UInt8], for readers: ClosedRange<UInt8>, beside head: [UInt8] = [], ephemeral: UInt8 = 200
    ) throws -> [UInt8] {
        try AnonymousEnvelope.seal(
            content, for: readers.map { try self.key($0).publicKey }, beside: head, ephemeral: self.ephemeral(ephemeral),
            fill: SystemRandom.fill)
    }

    @Test(arguments: [1, 2, 15, 16] as [UInt8])
    func `open for each of their readers and for nobody else, and are of one length however many they are`(count: UInt8) throws {
        let content = (0..<100).map { UInt8($0) }
        let envelope = try self.seal(content, for: 1...count, beside: [9])
        #expect(envelope.count == AnonymousEnvelope.byteCount(ofContent: 100))
        for reader in 1...count { #expect(try AnonymousEnvelope.open(envelope, beside: [9], with: self.key(reader)) == content) }
        for stranger in [UInt8(0), count + 1, 99] {
            #expect(throws: AnonymousEnvelopeError.forOthersOrDamaged) {
                try AnonymousEnvelope.open(envelope, beside: [9], with: self.key(stranger))
            }
        }
        #expect(throws: AnonymousEnvelopeError.forOthersOrDamaged) {
            try AnonymousEnvelope.open(envelope, beside: [8], with: self.key(1))
        }
    }

    @Test func `for nobody, for too many or for one reader twice cannot be sealed`() throws {
        let keys = try (1...17).map { try self.key($0).publicKey }
        for readers in [[], keys, [keys[0], keys[1], keys[0]]] {
            #expect(throws: AnonymousEnvelopeError.wrongReaders(count: readers.count)) {
                try AnonymousEnvelope.seal([1], for: readers, ephemeral: self.ephemeral(3), fill: SystemRandom.fill)
            }
        }
    }

    @Test func `hold any content, and none`() throws {
        for count in [0, 1, 63, 10_000] {
            let content = [UInt8](repeating: 5, count: count)
            #expect(try AnonymousEnvelope.open(self.seal(content, for: 1...3), with: self.key(2)) == content)
        }
    }

    @Test func `any bit flipped shuts one for all its readers, but a slot's only for its own`() throws {
        let envelope = try self.seal([1, 2, 3, 4], for: 1...2)
        var openings = 0
        for bit in 0..<envelope.count * 8 {
            var altered = envelope
            altered[bit / 8] ^= 1 << (bit % 8)
            // The content's seal covers the slots, too: so nobody takes one reader out unseen.
            for reader in 1...2 as ClosedRange<UInt8> where (try? AnonymousEnvelope.open(altered, with: self.key(reader))) != nil {
                openings += 1
            }
        }
        #expect(openings == 0)
    }

    @Test func `cut short or with more behind them stay shut, and noise does`() throws {
        let envelope = try self.seal([1, 2, 3], for: 1...1)
        for count in 0..<envelope.count {
            #expect(throws: AnonymousEnvelopeError.self) { try AnonymousEnvelope.open(Array(envelope.prefix(count)), with: self.key(1)) }
        }
        #expect(throws: AnonymousEnvelopeError.forOthersOrDamaged) { try AnonymousEnvelope.open(envelope + [0], with: self.key(1)) }
        for _ in 0..<200 {
            let noise = SystemRandom.bytes(count: envelope.count)
            #expect(throws: AnonymousEnvelopeError.forOthersOrDamaged) { try AnonymousEnvelope.open(noise, with: self.key(1)) }
        }
    }

    @Test func `an ephemeral key that gives the same with every secret opens nothing`() throws {
        let envelope = try self.seal([1], for: 1...1)
        // All points of small order (RFC 7748 has 0 and 1 among them) give zero.
        for small in [UInt8(0), 1] {
            var altered = envelope
            altered.replaceSubrange(0..<32, with: [small] + [UInt8](repeating: 0, count: 31))
            #expect(throws: AnonymousEnvelopeError.forOthersOrDamaged) { try AnonymousEnvelope.open(altered, with: self.key(1)) }
        }
    }

    @Test func `readers stand in slots by chance, and every slot of an envelope looks used`() throws {
        // With all random bytes zero but the ephemeral key, unused slots are zero: so which are used can be seen here, and only here.
        let envelope = try AnonymousEnvelope.seal(
            [1], for: [self.key(1).publicKey], ephemeral: self.ephemeral(3),
            fill: { $0.initializeMemory(as: UInt8.self, repeating: 0) })
        let slots = (0..<16).map { Array(envelope[(32 + $0 * 49)..<(32 + ($0 + 1) * 49)]) }
        #expect(slots.count { $0.contains { $0 != 0 } } == 1)
        var places: Set<Int> = []
        for random in 0..<64 as Range<UInt8> {
            let one = try AnonymousEnvelope.seal(
                [1], for: [self.key(1).publicKey], ephemeral: self.ephemeral(3),
                fill: { target in
                    // Slots and key stay zero; only what chooses the order differs.
                    if target.count == 16 {
                        for place in 0..<16 { target[place] = random &* UInt8(place + 3) }
                    } else {
                        target.initializeMemory(as: UInt8.self, repeating: 0)
                    }
                })
            let place = (0..<16).first { place in one[(32 + place * 49)..<(32 + (place + 1) * 49)].contains { $0 != 0 } }
            places.insert(try #require(place))
        }
        #expect(places.count > 8)
    }

    @Test func `nothing of one is as in another of the same content`() throws {
        let (one, other) = (try self.seal([1, 2, 3], for: 1...4, ephemeral: 5), try self.seal([1, 2, 3], for: 1...4, ephemeral: 6))
        let alike = zip(one, other).count { $0 == $1 }
        // By chance one byte in 256 is.
        #expect(alike < one.count / 16)
    }
}
