import CryptoPrimitives
import Testing

@testable import LibP2P

struct `The Noise channel` {
    private struct Pair: ~Copyable {
        var one: NoiseChannel
        var other: NoiseChannel
    }

    // Both ends may have one: this is not about who they are.
    private let staticKey = Result { try NoiseStaticKey(.known([UInt8](repeating: 1, count: 32)), of: KnownIdentity.make(1)) }

    /// The two ends of a channel; its counters may start late.
    private func pair(from count: UInt64 = 0) throws -> Pair {
        func side(_ role: NoiseRole) throws -> NoiseXX {
            try NoiseXX(
                role, staticKey: self.staticKey.get(), ephemeral: .known([UInt8](repeating: role == .initiator ? 3 : 4, count: 32)),
                prologue: [])
        }
        var initiator = try side(.initiator)
        var responder = try side(.responder)
        _ = try responder.read(initiator.write([])[...])
        _ = try initiator.read(responder.write([])[...])
        _ = try responder.read(initiator.write([])[...])
        return Pair(
            one: NoiseChannel(.initiator, keys: initiator.split(), sentCount: count, receivedCount: count),
            other: NoiseChannel(.responder, keys: responder.split(), sentCount: count, receivedCount: count))
    }

    private func text(_ count: Int) -> [UInt8] { (0..<count).map { UInt8(truncatingIfNeeded: $0 &* 31 &+ $0 >> 8) } }

    @Test(arguments: [0, 1, 65_518, 65_519, 65_520, 2 * 65_519, 200_000])
    func `carries texts of every length in as few messages as it takes`(count: Int) throws {
        var pair = try self.pair()
        let text = self.text(count)
        let sent = try pair.one.send(text)
        #expect(sent.count == NoiseChannel.encryptedByteCount(of: count))
        #expect(sent.count == count + (count + 65_518) / 65_519 * 18)
        #expect(try pair.other.receive(sent) == text)
        #expect(pair.other.bufferedByteCount == 0)
    }

    @Test(arguments: [1, 2, 3, 17, 18, 19, 1_000, 65_536, 65_537, 65_538])
    func `puts messages together however they were cut`(piece: Int) throws {
        var pair = try self.pair()
        let texts = [self.text(1), self.text(70_000), [], self.text(16), self.text(3_000)]
        let wire = try texts.reduce(into: [UInt8]()) { $0 += try pair.one.send($1) }
        var received: [UInt8] = []
        for start in stride(from: 0, to: wire.count, by: piece) {
            received += try pair.other.receive(Array(wire[start..<min(start + piece, wire.count)]))
            #expect(pair.other.bufferedByteCount <= 65_536)
        }
        #expect(received == texts.flatMap { $0 })
        #expect(pair.other.bufferedByteCount == 0)
    }

    @Test func `delivers where the bytes lie, message by message`() throws {
        var pair = try self.pair()
        var wire = try pair.one.send([1, 2, 3]) + pair.one.send([4])
        var delivered: [[UInt8]] = []
        try wire.withUnsafeMutableBytes { bytes in
            let range = (bytes.baseAddress.map { UInt(bitPattern: $0) } ?? 0)
            try pair.other.receive(bytes) { text in
                let offset = (text.baseAddress.map { UInt(bitPattern: $0) } ?? 0) - range
                #expect(offset < UInt(bytes.count))
                delivered.append(Array(text))
            }
        }
        #expect(delivered == [[1, 2, 3], [4]])
    }

    @Test func `refuses a message with any bit flipped, and everything after it`() throws {
        let text = Array("a text".utf8)
        for bit in 0..<((text.count + 18) * 8) {
            var pair = try self.pair()
            var wire = try pair.one.send(text)
            let next = try pair.one.send(text)
            wire[bit / 8] ^= 1 << (bit % 8)
            // A length that grew waits for more and fails then; one that shrank below the tag fails at once.
            var failure: NoiseError?
            for _ in 0..<5_000 where failure == nil {
                do throws(NoiseError) {
                    #expect(try pair.other.receive(wire).isEmpty)
                    wire = next
                } catch {
                    failure = error
                }
            }
            let error = try #require(failure, "bit \(bit)")
            #expect(error == .notAuthentic || error == .messageTooShort(byteCount: Int(wire[0]) << 8 | Int(wire[1])))
            #expect(throws: error) { try pair.other.receive(next) }
            #expect(throws: error) { try pair.other.send([1]) }
            #expect(pair.other.bufferedByteCount == 0)
        }
    }

    @Test func `refuses messages repeated, left out, exchanged or sent back`() throws {
        func fails(_ make: (inout NoiseChannel) throws -> [UInt8]) throws {
            var pair = try self.pair()
            let wire = try make(&pair.one)
            #expect(throws: NoiseError.notAuthentic) { try pair.other.receive(wire) }
        }
        try fails { channel in
            let message = try channel.send([1])
            return message + message
        }
        try fails { channel in
            _ = try channel.send([1])
            return try channel.send([2])
        }
        try fails { channel in
            let (first, second) = (try channel.send([1]), try channel.send([2]))
            return second + first
        }
        var pair = try self.pair()
        let sent = try pair.one.send([1])
        #expect(throws: NoiseError.notAuthentic) { try pair.one.receive(sent) }
    }

    @Test func `delivers what came whole before a bad message`() throws {
        var pair = try self.pair()
        var wire = try pair.one.send([1, 2]) + [0, 16] + [UInt8](repeating: 0, count: 16)
        var delivered: [UInt8] = []
        #expect(throws: NoiseError.notAuthentic) {
            try wire.withUnsafeMutableBytes { try pair.other.receive($0) { delivered += $0 } }
        }
        #expect(delivered == [1, 2])
    }

    @Test(arguments: [0, 1, 15])
    func `refuses a message shorter than its tag as soon as its length is there`(count: UInt8) throws {
        var pair = try self.pair()
        #expect(try pair.other.receive([0]) == [])
        #expect(throws: NoiseError.messageTooShort(byteCount: Int(count))) { try pair.other.receive([count]) }
    }

    @Test func `waits with a message that is cut, whatever it announces, holding only what came`() throws {
        var pair = try self.pair()
        #expect(try pair.other.receive([0xff, 0xff, 1, 2, 3]) == [])
        #expect(pair.other.bufferedByteCount == 5)
        #expect(try pair.other.receive([]) == [])
    }

    @Test func `never uses the last nonce, on either side`() throws {
        var pair = try self.pair(from: .max - 1)
        let last = try pair.one.send([1])
        #expect(try pair.other.receive(last) == [1])
        #expect(throws: NoiseError.noncesExhausted) { try pair.one.send([2]) }
        #expect(throws: NoiseError.noncesExhausted) { try pair.other.receive([0, 17] + [UInt8](repeating: 0, count: 17)) }
        var again = try self.pair(from: .max - 1)
        #expect(throws: NoiseError.noncesExhausted) { try again.one.send(self.text(65_520)) }
    }
}
