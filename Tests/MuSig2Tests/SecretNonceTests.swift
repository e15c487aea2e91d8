import CSecp256k1
import CryptoPrimitives
import MuSig2
import Secp256k1
import TestVectors
import Testing

struct SecretNonceTests {
    /// Nonces and keys are compared and hashed by the library's own bytes, whose form it does not promise.
    @Test func `a nonce and an aggregate key have the same bytes in memory as their parsed copies`() throws {
        for _ in 0..<32 {
            let key = try SecretKey.generate()
            let other = try SecretKey.generate()
            let keys = try KeyAggregation([key.publicKey, other.publicKey])
            let made = try SecretNonce(for: key, keys: keys, extraInput: Bytes32()).publicNonce
            let parsed = try PublicNonce(parsing: made.bytes)
            #expect(Self.memory(made.raw) == Self.memory(parsed.raw))
            let aggregate = try PublicKey(parsing: keys.aggregateKey.bytes)
            #expect(Self.memory(keys.aggregateKey.raw) == Self.memory(aggregate.raw))
            #expect(Self.memory(keys.xOnlyKey.raw) == Self.memory(aggregate.xOnly.raw))
        }
    }

    private static func memory(_ value: some BitwiseCopyable) -> [UInt8] { withUnsafeBytes(of: value) { Array($0) } }

    @Test(arguments: [1, 2, 3, 15])
    func `a group signs, and its signature is one of the aggregate key`(count: Int) async throws {
        let tweaks: [Tweak] = [.plain(.random), .xOnly(.random)]
        for tweaks in [[], tweaks] {
            let (group, message) = (try TestGroup(count: count, tweaks: tweaks), Bytes32.random)
            let (context, partials) = try group.sign(message)
            let signature = try context.finish(partials)
            #expect(signature.isValid(for: message, by: group.keys.xOnlyKey))
            #expect(!signature.isValid(for: message.reversed, by: group.keys.xOnlyKey))
            #expect(try await context.culprits(in: partials) == [])
        }
    }

    @Test func `a key whose memory was wiped, as a forked child's is, makes no nonce and no signature`() throws {
        let (group, message) = (try TestGroup(count: 2), Bytes32.random)
        let key = try SecretKey.generate()
        let keys = try KeyAggregation([key.publicKey, group.signers[0].publicKey])
        let nonce = try SecretNonce(for: key, keys: keys, message: message, extraInput: Bytes32())
        let nonces = [nonce.publicNonce, try group.signers[0].makeNonce(keys: keys, message: message)]
        let context = try SigningContext(keys: keys, nonces: nonces, message: message)
        // What no borrower may do, a fork or a fault of the memory does.
        key.withKeyPair { UnsafeMutablePointer(mutating: $0).pointee = secp256k1_keypair() }
        #expect(throws: MuSig2Error.nonceNotMade) { _ = try SecretNonce(for: key, keys: keys, message: message, extraInput: Bytes32()) }
        do throws(MuSig2Error) {
            _ = try nonce.sign(with: key, in: context)
            Issue.record("signed without a key")
        } catch { #expect(error == .selfCheckFailed) }
    }

    @Test func `two nonces of one key for one message differ`() throws {
        let (group, message) = (try TestGroup(count: 2), Bytes32.random)
        let one = try group.signers[0].makeNonce(keys: group.keys, message: message)
        let other = try group.signers[0].makeNonce(keys: group.keys, message: message)
        #expect(one != other)
        #expect(Set([one.bytes.prefix(33), one.bytes.suffix(33), other.bytes.prefix(33), other.bytes.suffix(33)]).count == 4)
    }

    @Test func `a key that stands twice in its group signs once for each place`() throws {
        let (signer, other, message) = (try TestSigner(), try TestSigner(), Bytes32.random)
        let keys = try KeyAggregation([signer, other, signer].map(\.publicKey))
        #expect(keys.signers(holding: signer.publicKey) == [0, 2])
        let first = try SecretNonce(for: signer.key, keys: keys, message: message, extraInput: Bytes32())
        let second = try SecretNonce(for: signer.key, keys: keys, message: message, extraInput: Bytes32())
        let nonces = [first.publicNonce, try other.makeNonce(keys: keys, message: message), second.publicNonce]
        let context = try SigningContext(keys: keys, nonces: nonces, message: message)
        let partials = [
            try first.sign(with: signer.key, in: context), try other.sign(in: context), try second.sign(with: signer.key, in: context),
        ]
        #expect(try context.finish(partials).isValid(for: message, by: keys.xOnlyKey))
    }

    @Test func `the sum of the nonces is enough to sign, and not enough to judge`() async throws {
        let (group, message) = (try TestGroup(count: 3), Bytes32.random)
        let nonces = try group.signers.map { try $0.makeNonce(keys: group.keys, message: message) }
        let context = try SigningContext(keys: group.keys, aggregateNonce: AggregateNonce(nonces), message: message)
        let partials = try group.signers.map { try $0.sign(in: context) }
        #expect(try context.finish(partials).isValid(for: message, by: group.keys.xOnlyKey))
        #expect(throws: MuSig2Error.noncesUnknown) { try context.isValid(partials[0], of: 0) }
        await #expect(throws: MuSig2Error.noncesUnknown) { try await context.culprits(in: partials) }
    }

    // MARK: What signing refuses

    @Test func `a nonce for a group is refused to a key outside it`() throws {
        let (group, stranger) = (try TestGroup(count: 2), try TestSigner())
        #expect(throws: MuSig2Error.notAMember(stranger.publicKey)) {
            try stranger.makeNonce(keys: group.keys, message: nil)
        }
    }

    @Test func `a key outside the group does not sign`() throws {
        let (group, stranger) = (try TestGroup(count: 2), try TestSigner())
        let context = try Self.context(for: group)
        _ = try stranger.makeNonce(keys: nil, message: nil)
        #expect(throws: MuSig2Error.notAMember(stranger.publicKey)) { try stranger.sign(in: context) }
    }

    // BIP-327 leaves this case to the implementation and libsecp256k1 signs in it; `SecretNonce.sign` looks.
    @Test(.enabled(if: BIP327Files.areThere, "needs the bips folder: set CHORALE_BIPS"))
    func `the signer outside the group of BIP-327's figures does not sign`() throws {
        struct SignVerify: Decodable {
            struct SignError: Decodable {
                let keyIndices: [Int]
                let aggnonceIndex: Int
                let msgIndex: Int
                let error: OfficialError
            }
            let sk: String
            let pubkeys: [String]
            let aggnonces: [String]
            let msgs: [String]
            let signErrorTestCases: [SignError]
        }
        let file: SignVerify = try BIP327Files.load("sign_verify_vectors.json")
        let vector = file.signErrorTestCases[0]
        #expect(vector.error.message == "The signer's pubkey must be included in the list of pubkeys.")
        let context = try SigningContext(
            keys: KeyAggregation(parsing: file.pubkeys.decoded(at: vector.keyIndices)),
            aggregateNonce: AggregateNonce(parsing: Hex.decode(file.aggnonces[vector.aggnonceIndex])),
            message: #require(Bytes32(hex: file.msgs[vector.msgIndex])))
        let key = try SecretKey(knownScalar: Hex.decode(file.sk))
        let nonce = try SecretNonce(for: key, extraInput: Bytes32())
        do {
            _ = try nonce.sign(with: key, in: context)
            Issue.record("it signed")
        } catch { #expect(error == .notAMember(key.publicKey)) }
    }

    @Test func `a nonce of another key does not sign`() throws {
        let group = try TestGroup(count: 2)
        let context = try Self.context(for: group)
        let nonce = try SecretNonce(for: group.signers[0].key, extraInput: Bytes32())
        do {
            _ = try nonce.sign(with: group.signers[1].key, in: context)
            Issue.record("it signed")
        } catch { #expect(error == .nonceOfAnotherKey) }
    }

    @Test func `a nonce made for a message signs no other`() throws {
        let group = try TestGroup(count: 2)
        let context = try Self.context(for: group)
        _ = try group.signers[0].makeNonce(keys: nil, message: context.message.reversed)
        #expect(throws: MuSig2Error.nonceOfAnotherSigning) { try group.signers[0].sign(in: context) }
    }

    @Test func `a nonce made for a group signs for no other, be it another order or another tweak of the same keys`() throws {
        let group = try TestGroup(count: 3)
        let context = try Self.context(for: group)
        let others = [
            try KeyAggregation([group.signers[0].publicKey]),
            try KeyAggregation(group.keys.publicKeys.reversed()),
            try group.keys.tweaked(by: .plain(.random)),
            try group.keys.tweakedForTaproot(merkleRoot: nil),
        ]
        for other in others {
            _ = try group.signers[0].makeNonce(keys: other, message: nil)
            #expect(throws: MuSig2Error.nonceOfAnotherSigning) { try group.signers[0].sign(in: context) }
        }
    }

    @Test func `a nonce that is not among the signing's does not sign`() throws {
        let group = try TestGroup(count: 3)
        let context = try Self.context(for: group)
        for (place, signer) in group.signers.enumerated() {
            _ = try signer.makeNonce(keys: group.keys, message: context.message)
            #expect(throws: MuSig2Error.ownNonceMissing(signer: place)) { try signer.sign(in: context) }
        }
    }

    @Test func `a nonce in another signer's place does not sign`() throws {
        let (group, message) = (try TestGroup(count: 2), Bytes32.random)
        let nonces = try group.signers.map { try $0.makeNonce(keys: group.keys, message: message) }
        let swapped = try SigningContext(keys: group.keys, nonces: nonces.reversed(), message: message)
        #expect(throws: MuSig2Error.ownNonceMissing(signer: 0)) { try group.signers[0].sign(in: swapped) }
    }

    // MARK: Secret memory

    @Test func `secret memory is given back on every way out of a signing`() async {
        // A process of its own, for the shared arena counts everybody's secrets.
        await #expect(processExitsWith: .success) {
            try SecretArena.configure(SecretArena.Configuration(byteCount: 4_096))
            let arena = try SecretArena.shared
            let (group, stranger) = (try TestGroup(count: 3), try TestSigner())
            let context = try SecretNonceTests.context(for: group)
            let (_, partials) = try group.sign(context.message)
            #expect(partials.count == 3)
            let baseline = arena.usedSlotCount
            #expect(baseline == 4, "the four keys; the nonces of the group's signature are gone")

            let signer = group.signers[0]
            let ways: [(KeyAggregation?, Bytes32?, TestSigner)] = [
                (nil, nil, stranger),
                (nil, context.message.reversed, signer),
                (try KeyAggregation([signer.publicKey]), nil, signer),
                (group.keys, context.message, signer),
            ]
            for (keys, message, signer) in ways {
                let before = arena.usedSlotCount
                _ = try signer.makeNonce(keys: keys, message: message)
                #expect(arena.usedSlotCount == before + 1, "the scratch slot of making is back already")
                #expect(throws: MuSig2Error.self) { try signer.sign(in: context) }
                #expect(arena.usedSlotCount == before)
            }
            #expect(throws: MuSig2Error.notAMember(stranger.publicKey)) {
                try stranger.makeNonce(keys: group.keys, message: nil)
            }
            #expect(arena.usedSlotCount == baseline)
        }
    }

    @Test func `without secret memory no nonce and no key is made, and with it again they are`() async {
        await #expect(processExitsWith: .success) {
            try SecretArena.configure(SecretArena.Configuration(byteCount: 4_096))
            let arena = try SecretArena.shared
            let signer = try TestSigner()
            var others: [TestSigner] = []
            while arena.usedSlotCount < arena.slotCount - 1 { others.append(try TestSigner()) }
            // One slot is left, and making a nonce or a key takes two for a moment.
            let full = SecretMemoryError.secretMemoryFull(slots: arena.slotCount)
            #expect(throws: MuSig2Error.memory(full)) { try signer.makeNonce(keys: nil, message: nil) }
            #expect(throws: full) { try TestSigner() }
            #expect(arena.usedSlotCount == arena.slotCount - 1)
            others.removeLast()
            _ = try signer.makeNonce(keys: nil, message: nil)
            #expect(arena.usedSlotCount == arena.slotCount - 1)
        }
    }

    /// A signing for which each signer has given a nonce that is not theirs to use.
    static func context(for group: TestGroup) throws -> SigningContext {
        let message = Bytes32.random
        let nonces = try group.signers.map {
            try SecretNonce(for: $0.key, keys: group.keys, message: message, extraInput: Bytes32()).publicNonce
        }
        return try SigningContext(keys: group.keys, nonces: nonces, message: message)
    }
}
