import CryptoPrimitives
import Testing

@testable import LibP2P

/// The vector `Noise_XX_25519_ChaChaPoly_SHA256` of cacophony, which most implementations of Noise test themselves with.
struct `Noise XX by the published vector` {
    private let prologue = "4a6f686e2047616c74"
    private let initiatorEphemeral = "893e28b9dc6ca8d611ab664754b8ceb7bac5117349a4439a6b0569da977c464a"
    private let responderEphemeral = "bbdb4cdbd309f1a1f2e1456967fe288cadd6f712d65dc7b7793d5e63da6b375b"
    private let handshakeHash = "c8e5f64e846193be2a834104c2a009868d6c9f3bd3c186299888b488b2f1f58e"
    private let handshake = [
        (
            payload: "4c756477696720766f6e204d69736573",
            message: "ca35def5ae56cec33dc2036731ab14896bc4c75dbb07a61f879f8e3afa4c79444c756477696720766f6e204d69736573"
        ),
        (
            payload: "4d757272617920526f746862617264",
            message: "95ebc60d2b1fa672c1f46a8aa265ef51bfe38e7ccb39ec5be34069f14480884381cbad1f276e038c48378ffce2b65285e08d6b68"
                + "aaa3629a5a8639392490e5b9bd5269c2f1e4f488ed8831161f19b7815528f8982ffe09be9b5c412f8a0db50f8814c7194e83f23dbd8d162c9326ad"
        ),
        (
            payload: "462e20412e20486179656b",
            message: "c7195ffacac1307ff99046f219750fc47693e23c3cb08b89c2af808b444850a80ae475b9df0f169ae80a89be0865b57f58c9fea0"
                + "d4ec82a286427402f113e4b6ae769a1d95941d49b25030"
        ),
    ]
    private let transport = [
        (payload: "4361726c204d656e676572", message: "96763ed773f8e47bb3712f0e29b3060ffc956ffc146cee53d5e1df"),
        (
            payload: "4a65616e2d426170746973746520536179",
            message: "3e40f15f6f3a46ae446b253bf8b1d9ffb6ed9b174d272328ff91a7e2e5c79c07f5"
        ),
        (
            payload: "457567656e2042f6686d20766f6e2042617765726b",
            message: "eb3f3515110702e047a6c9da4478b6ead94873c11c0f2d710ddb3f09fce024b3a58502ae3f"
        ),
    ]

    // The vector has no identities; any will do.
    private let initiatorKey = Result {
        try NoiseStaticKey(
            .known(Hex.decode("e61ef9919cde45dd5f82166404bd08e38bceb5dfdfded0a34c8df7ed542214d1")), of: KnownIdentity.make(1))
    }
    private let responderKey = Result {
        try NoiseStaticKey(
            .known(Hex.decode("4a3acbfdb163dec651dfa3194dece676d437029c62a408b4c5ea9114246e4893")), of: KnownIdentity.make(2))
    }

    private func side(_ role: NoiseRole) throws -> NoiseXX {
        let staticKey = try (role == .initiator ? self.initiatorKey : self.responderKey).get()
        let ephemeral = role == .initiator ? self.initiatorEphemeral : self.responderEphemeral
        return try NoiseXX(role, staticKey: staticKey, ephemeral: .known(Hex.decode(ephemeral)), prologue: Hex.decode(self.prologue))
    }

    @Test func `gives every message, the hash and both keys as published`() throws {
        var initiator = try self.side(.initiator)
        var responder = try self.side(.responder)
        for (index, figure) in self.handshake.enumerated() {
            let message: [UInt8]
            let read: [UInt8]
            if index % 2 == 0 {
                let isItsTurn = initiator.isOwnTurn && !responder.isOwnTurn
                #expect(isItsTurn)
                message = try initiator.write(Hex.decode(figure.payload))
                read = try responder.read(message[...])
            } else {
                let isItsTurn = !initiator.isOwnTurn && responder.isOwnTurn
                #expect(isItsTurn)
                message = try responder.write(Hex.decode(figure.payload))
                read = try initiator.read(message[...])
            }
            #expect(Hex.encode(message) == figure.message)
            #expect(Hex.encode(read) == figure.payload)
        }
        let areComplete = initiator.isComplete && responder.isComplete
        #expect(areComplete)
        let hashes = [initiator.transcriptHash.description, responder.transcriptHash.description]
        #expect(hashes == [self.handshakeHash, self.handshakeHash])

        // The vector goes on with the responder's first message: after a third one, the fourth is its turn.
        var one = NoiseChannel(.initiator, keys: initiator.split())
        var other = NoiseChannel(.responder, keys: responder.split())
        for (index, figure) in self.transport.enumerated() {
            let text = try Hex.decode(figure.payload)
            let message: [UInt8]
            let read: [UInt8]
            if index % 2 == 0 {
                message = try other.send(text)
                read = try one.receive(message)
            } else {
                message = try one.send(text)
                read = try other.receive(message)
            }
            #expect(Hex.encode(message.dropFirst(2)) == figure.message)
            #expect(message.prefix(2) == [0, UInt8(figure.message.count / 2)])
            #expect(read == text)
        }
    }

    @Test func `refuses every message cut short anywhere or with any one bit flipped`() throws {
        for (index, figure) in self.handshake.enumerated() {
            let good = try Hex.decode(figure.message)
            let cut = good.indices.map { Array(good[..<$0]) }
            let flipped = (0..<(good.count * 8)).map { bit in
                var wrong = good
                wrong[bit / 8] ^= 1 << (bit % 8)
                return wrong
            }
            for wrong in cut + flipped + [good + [0]] {
                // The first message is not encrypted: that it was altered shows with the answer to it.
                #expect(throws: NoiseError.self, "message \(index)") { try self.run(replacing: index, with: wrong) }
            }
        }
    }

    private func run(replacing replaced: Int, with wrong: [UInt8]) throws {
        var initiator = try self.side(.initiator)
        var responder = try self.side(.responder)
        for (index, figure) in self.handshake.enumerated() {
            let payload = try Hex.decode(figure.payload)
            if index % 2 == 0 {
                let message = try initiator.write(payload)
                _ = try responder.read(index == replaced ? wrong[...] : message[...])
            } else {
                let message = try responder.write(payload)
                _ = try initiator.read(index == replaced ? wrong[...] : message[...])
            }
        }
    }

    @Test func `refuses a public key of small order in either place`() throws {
        let zero = [UInt8](repeating: 0, count: 32)
        var responder = try self.side(.responder)
        _ = try responder.read(zero[...])
        #expect(throws: NoiseError.publicKeyOfSmallOrder) { try responder.write([]) }

        var initiator = try self.side(.initiator)
        _ = try initiator.write([])
        #expect(throws: NoiseError.publicKeyOfSmallOrder) { try initiator.read((zero + zero + zero)[...]) }

        // As a static key it comes encrypted, so only a handshake partner can send it.
        let messages = try self.messagesWithZeroStatic()
        #expect(throws: NoiseError.publicKeyOfSmallOrder) { try initiatorReading(messages) }
    }

    /// What a responder sends whose static public key is zero: the second message made by hand.
    private func messagesWithZeroStatic() throws -> [UInt8] {
        var state = try NoiseSymmetricState(protocolName: "Noise_XX_25519_ChaChaPoly_SHA256")
        try state.mixHash(Hex.decode(self.prologue))
        let initiator = try X25519.SecretKey.known(Hex.decode(self.initiatorEphemeral)).publicKey
        state.mixHash(initiator.bytes.bytes)
        _ = state.encryptAndHash([])
        let ephemeral = try X25519.SecretKey.known(Hex.decode(self.responderEphemeral))
        state.mixHash(ephemeral.publicKey.bytes.bytes)
        try state.mixKey(ephemeral, initiator)
        return ephemeral.publicKey.bytes.bytes + state.encryptAndHash([UInt8](repeating: 0, count: 32)) + [UInt8](repeating: 0, count: 16)
    }

    private func initiatorReading(_ message: [UInt8]) throws {
        var initiator = try self.side(.initiator)
        _ = try initiator.write([])
        _ = try initiator.read(message[...])
    }
}
