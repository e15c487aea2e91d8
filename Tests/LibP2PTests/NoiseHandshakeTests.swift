import CryptoPrimitives
import Testing

@testable import LibP2P

struct `The Noise handshake` {
    /// Of the initiator, then of the responder. Made once for all handshakes, as a node does it.
    private let staticKeys = Result {
        try [UInt8(1), 2].map { try NoiseStaticKey(.known([UInt8](repeating: $0 &+ 100, count: 32)), of: KnownIdentity.make($0)) }
    }

    private func staticKey(_ seed: Int) throws -> NoiseStaticKey { try self.staticKeys.get()[seed - 1] }

    private func initiator(expecting peer: PeerID? = nil, muxers: [String] = ["/yamux/1.0.0"]) throws -> NoiseHandshake {
        try NoiseHandshake(
            .initiator, staticKey: self.staticKey(1), ephemeral: .known([UInt8](repeating: 3, count: 32)), expecting: peer, muxers: muxers)
    }

    private func responder(
        _ key: NoiseStaticKey? = nil, expecting peer: PeerID? = nil, muxers: [String] = ["/yamux/1.0.0"], ephemeral: UInt8 = 4
    ) throws -> NoiseHandshake {
        try NoiseHandshake(
            .responder, staticKey: key ?? self.staticKey(2), ephemeral: .known([UInt8](repeating: ephemeral, count: 32)), expecting: peer,
            muxers: muxers)
    }

    private struct Pair: ~Copyable {
        var initiator: NoiseSession
        var responder: NoiseSession
    }

    private func connect(_ initiator: consuming NoiseHandshake, _ responder: consuming NoiseHandshake) throws -> Pair {
        let first = try initiator.start()
        let second = try responder.receive(first)
        let third = try initiator.receive(second)
        #expect(try responder.receive(third).isEmpty)
        let areComplete = initiator.isComplete && responder.isComplete
        #expect(areComplete)
        return Pair(initiator: initiator.finish(), responder: responder.finish())
    }

    @Test func `tells both sides who the other is, and gives them one channel`() throws {
        let (one, other) = (try KnownIdentity.make(1), try KnownIdentity.make(2))
        var pair = try self.connect(self.initiator(expecting: other.id), self.responder(expecting: one.id))
        #expect(pair.initiator.remotePeer == other.id)
        #expect(pair.initiator.remoteKey == other.publicKey)
        #expect(pair.responder.remotePeer == one.id)
        #expect(pair.initiator.handshakeHash == pair.responder.handshakeHash)
        #expect(pair.initiator.received.isEmpty && pair.responder.received.isEmpty)
        #expect(try pair.responder.channel.receive(pair.initiator.channel.send([1, 2, 3])) == [1, 2, 3])
        #expect(try pair.initiator.channel.receive(pair.responder.channel.send([4, 5])) == [4, 5])
    }

    @Test func `goes on whatever the network cuts, and keeps what follows for the channel`() throws {
        var initiator = try self.initiator()
        var responder = try self.responder()
        var (toResponder, toInitiator) = (try initiator.start(), [UInt8]())
        while !initiator.isComplete || !responder.isComplete {
            if !toResponder.isEmpty { toInitiator += try responder.receive([toResponder.removeFirst()]) }
            if !toInitiator.isEmpty { toResponder += try initiator.receive([toInitiator.removeFirst()]) }
        }
        var session = initiator.finish()
        _ = responder.finish()

        // The last message and the first of the channel in one piece.
        var again = try self.initiator()
        var listener = try self.responder()
        let second = try listener.receive(again.start())
        let third = try again.receive(second)
        session = again.finish()
        let early = try session.channel.send([9, 9])
        _ = try listener.receive(third + early)
        var accepted = listener.finish()
        #expect(accepted.received == early)
        #expect(try accepted.channel.receive(accepted.received) == [9, 9])
    }

    @Test func `refuses another peer than the dialled one`() throws {
        let one = try KnownIdentity.make(1)
        let other = try KnownIdentity.make(2)
        let third = try KnownIdentity.make(3)
        #expect(throws: NoiseError.wrongPeer(expected: third.id, actual: other.id)) {
            _ = try self.connect(self.initiator(expecting: third.id), self.responder())
        }
        #expect(throws: NoiseError.wrongPeer(expected: third.id, actual: one.id)) {
            _ = try self.connect(self.initiator(), self.responder(expecting: third.id))
        }
    }

    // MARK: Multiplexers

    @Test(
        arguments: [
            // libp2p, "Multiplexer Negotiation over Noise": the initiator's order decides.
            (["/yamux/1.0.0", "/mplex/6.7.0"], ["/mplex/6.7.0", "/yamux/1.0.0"], "/yamux/1.0.0"),
            (["/mplex/6.7.0"], ["/yamux/1.0.0", "/mplex/6.7.0"], "/mplex/6.7.0"),
            (["/yamux/1.0.0"], [], nil), ([], ["/yamux/1.0.0"], nil), ([], [], nil),
        ] as [([String], [String], String?)])
    func `chooses the multiplexer only when both sides name theirs`(initiator: [String], responder: [String], muxer: String?) throws {
        let pair = try self.connect(self.initiator(muxers: initiator), self.responder(muxers: responder))
        #expect(pair.initiator.muxer == muxer)
        #expect(pair.responder.muxer == muxer)
    }

    @Test func `fails where both name multiplexers and none is common`() throws {
        #expect(throws: NoiseError.noCommonMuxer) {
            _ = try self.connect(self.initiator(muxers: ["/yamux/1.0.0"]), self.responder(muxers: ["/mplex/6.7.0"]))
        }
    }

    // MARK: Forgery

    /// The other side with a payload that is made by hand, in the form in which it would go out.
    private func answer(_ payload: [UInt8]) throws -> [UInt8] {
        var responder = try NoiseXX(
            .responder, staticKey: self.staticKey(2), ephemeral: .known([UInt8](repeating: 4, count: 32)), prologue: [])
        var initiator = try self.initiator()
        _ = try responder.read(initiator.start()[2...])
        let message = try responder.write(payload)
        return [UInt8(message.count >> 8), UInt8(message.count & 255)] + message
    }

    private func receive(_ payload: [UInt8]) throws {
        var initiator = try self.initiator()
        _ = try initiator.start()
        _ = try initiator.receive(self.answer(payload))
    }

    private func payload(_ key: [UInt8]?, _ signature: [UInt8]?, muxers: [String] = []) -> [UInt8] {
        ProtobufWriter.message { message in
            if let key { message.bytes(key, field: 1) }
            if let signature { message.bytes(signature, field: 2) }
            message.message(field: 4) { inner in
                for muxer in muxers { inner.string(muxer, field: 2) }
            }
        }
    }

    @Test func `takes the other's signature under its own static key and no other`() throws {
        let (honest, thief) = (try KnownIdentity.make(2), try KnownIdentity.make(9))
        let key = try self.staticKey(2)
        let domain = Array("noise-libp2p-static-key:".utf8)
        let good = honest.sign(domain + key.secret.publicKey.bytes.bytes)
        try self.receive(self.payload(honest.publicKey.encoded, good))

        let forgeries = [
            // Somebody else's name over the own signature; the signature of another static key; of another domain; none.
            self.payload(thief.publicKey.encoded, good),
            self.payload(honest.publicKey.encoded, thief.sign(domain + key.secret.publicKey.bytes.bytes)),
            self.payload(honest.publicKey.encoded, honest.sign(domain + [UInt8](repeating: 0, count: 32))),
            self.payload(honest.publicKey.encoded, honest.sign(key.secret.publicKey.bytes.bytes)),
            self.payload(honest.publicKey.encoded, []),
        ]
        for forgery in forgeries { #expect(throws: NoiseError.identity(.wrongSignature)) { try self.receive(forgery) } }
        for bit in 0..<512 {
            var wrong = good
            wrong[bit / 8] ^= 1 << (bit % 8)
            #expect(throws: NoiseError.identity(.wrongSignature)) { try self.receive(self.payload(honest.publicKey.encoded, wrong)) }
        }
    }

    @Test func `refuses payloads without identity or signature, malformed, or without a bound`() throws {
        let honest = try KnownIdentity.make(2)
        let good = try honest.sign(Array("noise-libp2p-static-key:".utf8) + self.staticKey(2).secret.publicKey.bytes.bytes)
        let key = honest.publicKey.encoded
        #expect(throws: NoiseError.payload(.missing(field: 1))) { try self.receive([]) }
        #expect(throws: NoiseError.payload(.missing(field: 1))) { try self.receive(self.payload(nil, good)) }
        #expect(throws: NoiseError.payload(.missing(field: 2))) { try self.receive(self.payload(key, nil)) }
        #expect(throws: NoiseError.identity(.protobuf(.missing(field: 1)))) { try self.receive(self.payload([], good)) }
        #expect(throws: NoiseError.identity(.cannotVerify(.rsa))) { try self.receive(self.payload([8, 0, 0x12, 1, 1], good)) }
        #expect(throws: NoiseError.identity(.unknownType(9))) { try self.receive(self.payload([8, 9, 0x12, 1, 1], good)) }
        #expect(throws: NoiseError.payload(.tooManyFields(field: 2, maximum: 16))) {
            try self.receive(self.payload(key, good, muxers: [String](repeating: "/yamux/1.0.0", count: 17)))
        }
        #expect(throws: NoiseError.payload(.tooManyBytes(count: 129, maximum: 128))) {
            try self.receive(self.payload(key, good, muxers: [String(repeating: "m", count: 129)]))
        }
        let whole = self.payload(key, good, muxers: ["/yamux/1.0.0"])
        try self.receive(whole)
        // Cut where fields end, it may still be whole without the extensions.
        let withoutExtensions = ProtobufWriter.message {
            $0.bytes(key, field: 1)
            $0.bytes(good, field: 2)
        }.count
        for count in whole.indices where count != withoutExtensions {
            #expect(throws: NoiseError.self, "\(count) bytes") { try self.receive(Array(whole[..<count])) }
        }
    }

    @Test func `refuses garbage, and an announced length beyond its bound as soon as it is announced`() throws {
        var initiator = try self.initiator()
        _ = try initiator.start()
        #expect(throws: NoiseError.handshakeMessageTooLong(byteCount: 65_535, maximum: 8_192)) { try initiator.receive([0xff, 0xff]) }
        // It is over: nothing revives it.
        #expect(throws: NoiseError.handshakeMessageTooLong(byteCount: 65_535, maximum: 8_192)) { try initiator.receive([]) }
        let isComplete = initiator.isComplete
        #expect(!isComplete)
        var responder = try self.responder()
        #expect(throws: NoiseError.messageTooShort(byteCount: 0)) { try responder.receive([0, 0]) }
        for seed in UInt8(0)..<100 {
            var responder = try self.responder()
            var (random, bytes) = (UInt64(seed) &+ 1, [UInt8]())
            for _ in 0..<400 {
                random = random &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
                bytes.append(UInt8(truncatingIfNeeded: random >> 56))
            }
            // As a first message of 64 bytes it is any key with any payload; what follows it cannot be right.
            #expect(throws: NoiseError.self) { try responder.receive([0, 64] + bytes[..<64] + [1, 0] + bytes[64...]) }
        }
    }

    @Test func `refuses the messages of another handshake`() throws {
        var initiator = try self.initiator()
        var first = try self.responder()
        var second = try self.responder(ephemeral: 5)
        let opening = try initiator.start()
        let answer = try first.receive(opening)
        _ = try second.receive(opening)
        let last = try initiator.receive(answer)
        _ = try first.receive(last)
        // Replayed to a responder with a fresh ephemeral key.
        #expect(throws: NoiseError.notAuthentic) { try second.receive(last) }
        // The opening again, in the place of the last message.
        var third = try self.responder()
        _ = try third.receive(opening)
        #expect(throws: NoiseError.self) { try third.receive(opening) }
        // Its own opening mirrored to the initiator.
        var mirrored = try self.initiator()
        let own = try mirrored.start()
        #expect(throws: NoiseError.messageTooShort(byteCount: 32)) { try mirrored.receive(own) }
    }
}
