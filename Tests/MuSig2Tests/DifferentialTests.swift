import CryptoPrimitives
import Foundation
import MuSig2
import MuSig2Reference
import Secp256k1
import Testing

/// Random signings, done by libsecp256k1 through the Swift API and by the plain-Swift BIP-327: every byte must agree.
///
/// `CHORALE_CASES` sets how many (10,000 without it), `CHORALE_SEED` replays the one that a failure names.
struct DifferentialTests {
    private static let sliceCount = 16

    @Test(arguments: 0..<sliceCount)
    func `libsecp256k1 and the plain-Swift BIP-327 agree on every byte`(slice: Int) throws {
        var seen = Seen()
        for seed in Self.seeds where seed % UInt64(Self.sliceCount) == UInt64(slice) { try Self.compare(seed, &seen) }
        // A full run that never met the rare cases would prove less than it says.
        if Self.seeds.count >= 10_000 {
            #expect(seen.refusedTweaks > 0 && seen.duplicateKeys > 0 && seen.infiniteNonces > 0)
        }
    }

    /// How often a slice met what is rare.
    private struct Seen {
        var refusedTweaks = 0
        var duplicateKeys = 0
        var infiniteNonces = 0
    }

    private static let seeds: [UInt64] = {
        let environment = ProcessInfo.processInfo.environment
        if let seed = environment["CHORALE_SEED"].flatMap(UInt64.init) { return [seed] }
        return Array(0..<(environment["CHORALE_CASES"].flatMap(UInt64.init) ?? 10_000))
    }()

    private static func compare(_ seed: UInt64, _ seen: inout Seen) throws {
        let replay: Comment = "replay: CHORALE_SEED=\(seed)"
        let group = try GroupCase(seed: seed)
        let encodedKeys = group.signers.map(\.publicKey.bytes)
        for signer in group.signers {
            #expect(try BIP327.individualPubkey(signer.scalar) == signer.publicKey.bytes, replay)
        }
        if Set(encodedKeys).count < encodedKeys.count { seen.duplicateKeys += 1 }

        // Keys and tweaks.
        let untweaked = try KeyAggregation(parsing: encodedKeys)
        let plain = try BIP327.keyAgg(encodedKeys)
        #expect(untweaked.aggregateKey.bytes == BIP327.getPlainPubkey(plain), replay)
        guard let (keys, keyContext) = try Self.tweak(untweaked, plain, of: group, replay) else {
            seen.refusedTweaks += 1
            return
        }

        // Nonces.
        let nonces = try group.signers.map { try $0.nonce.publicNonce() }
        let context = try SigningContext(keys: keys, nonces: nonces, message: group.message)
        let aggregateNonce = try BIP327.nonceAgg(nonces.map(\.bytes))
        #expect(context.aggregateNonce.bytes == aggregateNonce, replay)
        if aggregateNonce[0] == 0 || aggregateNonce[33] == 0 { seen.infiniteNonces += 1 }

        // Partial signatures.
        let values = try BIP327.getSessionValues(keyContext, aggnonce: aggregateNonce, msg: group.message.bytes)
        let partials = try group.signers.enumerated().map { index, signer in
            let partial = try #require(try signer.nonce.sign(with: signer.scalar, in: context), replay)
            let expected = try BIP327.sign(secnonce: signer.nonce.encoded, sk: signer.scalar, values: values, verifyingOwn: false)
            #expect(partial.bytes.bytes == expected, replay)
            #expect(try context.isValid(partial, of: index), replay)
            #expect(
                try BIP327.partialSigVerifyInternal(
                    psig: expected, pubnonce: nonces[index].bytes, pk: encodedKeys[index], values: values), replay)
            return partial
        }

        // The signature. With both sums at infinity BIP-327 goes on with G instead, and nothing valid can come out.
        let signature = try context.aggregate(partials)
        let isValid = aggregateNonce.contains { $0 != 0 }
        #expect(signature.bytes == (try BIP327.partialSigAgg(partials.map(\.bytes.bytes), values: values)), replay)
        #expect(signature.isValid(for: group.message, by: keys.xOnlyKey) == isValid, replay)
        #expect(BIP340.verify(pk: keys.xOnlyKey.bytes.bytes, msg: group.message.bytes, sig: signature.bytes) == isValid, replay)
        try Self.compareForgery(group, context, values, partials, replay)
    }

    /// Both sides' groups with the case's tweaks; `nil` when both refuse the same tweak.
    private static func tweak(
        _ untweaked: KeyAggregation, _ plain: BIP327.KeyAggContext, of group: GroupCase, _ replay: Comment
    ) throws -> (KeyAggregation, BIP327.KeyAggContext)? {
        var (keys, context) = (untweaked, plain)
        for (index, tweak) in group.tweaks.enumerated() {
            do { context = try BIP327.applyTweak(context, group.referenceTweaks[index]) } catch {
                #expect(error == .invalidValue(.tweakOutOfRange), replay)
                #expect(throws: MuSig2Error.invalidTweak(index: index), replay) { try keys.tweaked(by: tweak) }
                return nil
            }
            keys = try keys.tweaked(by: tweak)
            #expect(keys.aggregateKey.bytes == BIP327.getPlainPubkey(context), replay)
        }
        return (keys, context)
    }

    /// One partial signature with one bit flipped, or in another signer's place: both sides must refuse it.
    private static func compareForgery(
        _ group: GroupCase, _ context: SigningContext, _ values: BIP327.SessionValues, _ partials: [PartialSignature],
        _ replay: Comment
    ) throws {
        var generator = group.generator
        let victim = Int.random(in: 0..<partials.count, using: &generator)
        var forged = partials[victim].bytes.bytes
        if generator.isOneIn(4) {
            forged = partials[(victim + 1) % partials.count].bytes.bytes
        } else {
            let bit = Int.random(in: 0..<256, using: &generator)
            forged[bit / 8] ^= 1 << (bit % 8)
        }
        let isGood = try BIP327.partialSigVerifyInternal(
            psig: forged, pubnonce: group.signers[victim].nonce.publicNonce().bytes, pk: group.signers[victim].publicKey.bytes,
            values: values)
        #expect(!isGood, replay)
        guard let partial = try? PartialSignature(parsing: forged) else {
            // Only a number that is not below the order does not parse; the reference's aggregation says the same.
            #expect(throws: ReferenceError.self, replay) {
                try BIP327.partialSigAgg(partials.dropLast().map(\.bytes.bytes) + [forged], values: values)
            }
            return
        }
        #expect(try !context.isValid(partial, of: victim), replay)
        var some = partials
        some[victim] = partial
        #expect(throws: MuSig2Error.signatureDoesNotVerify, replay) { try context.finish(some) }
        #expect(try context.aggregate(some).bytes == BIP327.partialSigAgg(some.map(\.bytes.bytes), values: values), replay)
    }
}
