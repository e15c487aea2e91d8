import CSecp256k1
import CryptoPrimitives
import MuSig2
import Secp256k1
import Testing

struct SigningContextTests {
    // MARK: Blame

    @Test func `of a hundred signers, the three with bad partial signatures are named in order`() async throws {
        let (context, good) = try TestGroup(count: 100).sign(.random)
        #expect(try await context.culprits(in: good) == [])
        var partials = good
        partials[96] = try good[96].adding(.random)
        partials[3] = good[4]
        partials[47] = try PartialSignature(parsing: [UInt8](repeating: 0, count: 32))
        #expect(throws: MuSig2Error.signatureDoesNotVerify) { try context.finish(partials) }
        #expect(try await context.culprits(in: partials) == [3, 47, 96])
        #expect(try context.culpritsAtOnce(in: partials) == [3, 47, 96])
        #expect(try context.isValid(partials[2], of: 2))
        #expect(try !context.isValid(partials[3], of: 3))
        #expect(try context.finish(good).isValid(for: context.message, by: context.keys.xOnlyKey))
    }

    @Test func `everybody is named when every partial signature is bad`() async throws {
        let (context, good) = try TestGroup(count: 33).sign(.random)
        let partials = try good.map { try $0.adding(.random) }
        #expect(try await context.culprits(in: partials) == Array(0..<33))
    }

    // Why blame comes only after the final signature fails: it says more than any single contribution.
    @Test func `two wrong partial signatures whose errors cancel still give a valid signature`() async throws {
        let (context, good) = try TestGroup(count: 3).sign(.random)
        let one = Bytes32 { $0[31] = 1 }
        let minusOne = try #require(Bytes32(hex: "fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364140"))
        let partials = [try good[0].adding(one), try good[1].adding(minusOne), good[2]]
        #expect(try context.finish(partials) == context.finish(good))
        #expect(try await context.culprits(in: partials) == [0, 1])
    }

    @Test func `a signer whose nonce was exchanged on the way is named, and nobody else`() async throws {
        let (group, message) = (try TestGroup(count: 4), Bytes32.random)
        var nonces = try group.signers.map { try $0.makeNonce(keys: group.keys, message: message) }
        // Signer 2 claims one nonce towards the others and signs with another, under a context of its own.
        let claimed = nonces
        nonces[2] = try group.signers[2].makeNonce(keys: group.keys, message: message)
        let (honest, own) = (
            try SigningContext(keys: group.keys, nonces: claimed, message: message),
            try SigningContext(keys: group.keys, nonces: nonces, message: message)
        )
        let partials = try group.signers.enumerated().map { try $1.sign(in: $0 == 2 ? own : honest) }
        #expect(throws: MuSig2Error.signatureDoesNotVerify) { try honest.finish(partials) }
        #expect(try await honest.culprits(in: partials) == [2])
    }

    // MARK: What the parts mean together

    @Test func `a group signs for the Taproot output of its aggregate key`() throws {
        for merkleRoot in [nil, Bytes32.random] {
            let untweaked = try TestGroup(count: 3)
            let internalKey = untweaked.keys.xOnlyKey
            let output = try internalKey.tweaked(adding: internalKey.taprootTweak(merkleRoot: merkleRoot))
            let group = TestGroup(signers: untweaked.signers, keys: try untweaked.keys.tweakedForTaproot(merkleRoot: merkleRoot))
            #expect(group.keys.aggregateKey == output)
            #expect(group.keys.untweakedKey.xOnly == internalKey)
            let (context, partials) = try group.sign(.random)
            #expect(try context.finish(partials).isValid(for: context.message, by: output.xOnly))
        }
    }

    @Test func `nonces and partial signatures are the same after a journey as bytes`() async throws {
        let (group, message) = (try TestGroup(count: 3), Bytes32.random)
        let nonces = try group.signers.map { try $0.makeNonce(keys: group.keys, message: message) }
        let arrived = try PublicNonce.parseAll(nonces.map(\.bytes))
        #expect(arrived == nonces)
        let keys = try KeyAggregation(parsing: group.keys.publicKeys.map(\.bytes))
        let context = try SigningContext(keys: keys, nonces: arrived, message: message)
        let partials = try group.signers.map { try PartialSignature(parsing: $0.sign(in: context).bytes.bytes) }
        #expect(try context.finish(partials).isValid(for: message, by: group.keys.xOnlyKey))
        #expect(try await context.culprits(in: partials) == [])
    }

    @Test func `sorted keys have one aggregate whoever lists them, and unsorted ones do not`() throws {
        let keys = try TestGroup(count: 4).keys.publicKeys.sorted()
        let reversed = Array(keys.reversed())
        #expect(try KeyAggregation(sorting: reversed).aggregateKey == KeyAggregation(keys).aggregateKey)
        #expect(try KeyAggregation(reversed).aggregateKey != KeyAggregation(keys).aggregateKey)
    }

    // MARK: Counts and lengths

    @Test func `a context takes exactly one nonce a signer`() throws {
        let (group, message) = (try TestGroup(count: 3), Bytes32.random)
        let nonces = try group.signers.map { try $0.makeNonce(keys: group.keys, message: message) }
        for wrong in [[], Array(nonces.prefix(2)), nonces + [nonces[0]]] {
            #expect(throws: MuSig2Error.wrongCount(.publicNonce, expected: 3, actual: wrong.count)) {
                try SigningContext(keys: group.keys, nonces: wrong, message: message)
            }
        }
    }

    @Test func `a signature takes exactly one partial signature a signer`() async throws {
        let (context, partials) = try TestGroup(count: 3).sign(.random)
        for wrong in [[], Array(partials.prefix(2)), partials + [partials[0]]] {
            let expected = MuSig2Error.wrongCount(.partialSignature, expected: 3, actual: wrong.count)
            #expect(throws: expected) { try context.aggregate(wrong) }
            #expect(throws: expected) { try context.finish(wrong) }
            await #expect(throws: expected) { try await context.culprits(in: wrong) }
        }
    }

    @Test(arguments: [-1, 3, Int.max, Int.min])
    func `a signer outside the group is not judged`(signer: Int) throws {
        let (context, partials) = try TestGroup(count: 3).sign(.random)
        #expect(throws: MuSig2Error.noSuchSigner(signer, count: 3)) { try context.isValid(partials[0], of: signer) }
    }

    @Test func `nothing of nobody is refused`() {
        #expect(throws: MuSig2Error.noSigners) { try KeyAggregation([]) }
        #expect(throws: MuSig2Error.noSigners) { try KeyAggregation(parsing: []) }
        #expect(throws: MuSig2Error.noSigners) { try AggregateKey.xOnly(of: []) }
        #expect(throws: MuSig2Error.noSigners) { try AggregateNonce([]) }
    }

    @Test(arguments: [0, 31, 33, 65, 67])
    func `a contribution of a wrong length is refused with its signer and both lengths`(count: Int) {
        let bytes = [UInt8](repeating: 2, count: count)
        #expect(throws: MuSig2Error.wrongByteCount(.publicNonce, signer: 4, expected: 66, actual: count)) {
            try PublicNonce(parsing: bytes, signer: 4)
        }
        #expect(throws: MuSig2Error.wrongByteCount(.aggregateNonce, signer: nil, expected: 66, actual: count)) {
            try AggregateNonce(parsing: bytes)
        }
        #expect(throws: MuSig2Error.wrongByteCount(.partialSignature, signer: 4, expected: 32, actual: count)) {
            try PartialSignature(parsing: bytes, signer: 4)
        }
        if count != 33 {
            #expect(throws: MuSig2Error.wrongByteCount(.publicKey, signer: 0, expected: 33, actual: count)) {
                try KeyAggregation(parsing: [bytes])
            }
        }
    }

    @Test func `an error names the one whose contribution proves the fault, and nobody for anything else`() {
        #expect(MuSig2Error.invalid(.publicNonce, signer: 2).culprit == 2)
        #expect(MuSig2Error.wrongByteCount(.partialSignature, signer: 5, expected: 32, actual: 31).culprit == 5)
        #expect(MuSig2Error.partialSignatureDoesNotVerify(signer: 7).culprit == 7)
        #expect(MuSig2Error.ownNonceMissing(signer: 1).culprit == nil, "who exchanged our nonce is not known")
        #expect(MuSig2Error.signatureDoesNotVerify.culprit == nil)
        #expect(MuSig2Error.wrongCount(.publicNonce, expected: 3, actual: 2).culprit == nil, "silence is no proof")
    }

    // MARK: The library's idea of illegal arguments

    // Without the callback this would not fail but end the process, and with it the whole run.
    @Test func `a session of zeros is refused and counted, and the process lives`() throws {
        let (context, partials) = try TestGroup(count: 2).sign(.random)
        var (session, signature) = (secp256k1_musig_session(), [UInt8](repeating: 0, count: 64))
        let before = Context.illegalArgumentCount
        let isMade = partials.withLibraryPointers(of: secp256k1_musig_partial_sig.self) {
            secp256k1_musig_partial_sig_agg(Context.shared, &signature, &session, $0, partials.count)
        }
        #expect(isMade == 0)
        #expect(Context.illegalArgumentCount > before)
        #expect(try context.finish(partials).isValid(for: context.message, by: context.keys.xOnlyKey))
    }
}
