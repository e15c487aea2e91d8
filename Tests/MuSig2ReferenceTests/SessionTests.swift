import CryptoPrimitives
import MuSig2Reference
import Testing

/// Whole sessions, from keys to a signature that BIP-340 judges.
struct SessionTests {
    /// A session that one seed fixes: 1–6 signers, up to three tweaks, a message of any length.
    private struct Session {
        let sks, pubkeys, pubnonces, secnonces: [[UInt8]]
        let tweaks: [BIP327.Tweak]
        let msg: [UInt8]
        let context: BIP327.KeyAggContext
        let values: BIP327.SessionValues

        init(seed: UInt64) throws {
            var random = SeededBytes(seed: seed)
            let sks = (0...random.next(below: 6)).map { _ in random.next32() }
            let pubkeys = try sks.map { try BIP327.individualPubkey($0) }
            let tweaks = (0..<random.next(below: 4)).map { _ in BIP327.Tweak(random.next32(), isXonly: random.next(below: 2) == 1) }
            let msg = random.bytes(count: random.next(below: 80))
            let context = try BIP327.keyAgg(pubkeys, tweaks: tweaks)
            let nonces = try zip(sks, pubkeys).map { sk, pk in
                try BIP327.nonceGen(
                    rand: random.next32(), sk: sk, pk: pk, aggpk: BIP327.getXonlyPubkey(context), msg: msg, extraIn: nil
                )
            }
            self.sks = sks
            self.pubkeys = pubkeys
            self.pubnonces = nonces.map(\.pubnonce)
            self.secnonces = nonces.map(\.secnonce)
            self.tweaks = tweaks
            self.msg = msg
            self.context = context
            self.values = try BIP327.getSessionValues(context, aggnonce: BIP327.nonceAgg(nonces.map(\.pubnonce)), msg: msg)
        }

        func psigs() throws -> [[UInt8]] {
            try self.sks.indices.map { signer in
                try BIP327.sign(secnonce: self.secnonces[signer], sk: self.sks[signer], values: self.values)
            }
        }
    }

    @Test(arguments: UInt64(0)..<24)
    func `what honest signers make together is a valid signature`(seed: UInt64) throws {
        let session = try Session(seed: seed)
        let psigs = try session.psigs()
        for (signer, psig) in psigs.enumerated() {
            let isValid = try BIP327.partialSigVerifyInternal(
                psig: psig, pubnonce: session.pubnonces[signer], pk: session.pubkeys[signer], values: session.values
            )
            #expect(isValid, "signer \(signer)")
        }
        let signature = try BIP327.partialSigAgg(psigs, values: session.values)
        let key = BIP327.getXonlyPubkey(session.context)
        #expect(BIP340.verify(pk: key, msg: session.msg, sig: signature))
        #expect(!BIP340.verify(pk: key, msg: session.msg + [0], sig: signature))
        #expect(Array(signature.prefix(32)) == session.values.finalNonce)
    }

    @Test(arguments: UInt64(0)..<4)
    func `values worked out once give what the whole session context gives`(seed: UInt64) throws {
        let session = try Session(seed: seed)
        let context = BIP327.SessionContext(
            aggnonce: try BIP327.nonceAgg(session.pubnonces), pubkeys: session.pubkeys, tweaks: session.tweaks, msg: session.msg
        )
        let psigs = try session.psigs()
        #expect(try BIP327.getSessionValues(context) == session.values)
        #expect(try BIP327.sign(secnonce: session.secnonces[0], sk: session.sks[0], session: context) == psigs[0])
        #expect(
            try BIP327.sign(secnonce: session.secnonces[0], sk: session.sks[0], values: session.values, verifyingOwn: false) == psigs[0]
        )
        #expect(try BIP327.partialSigAgg(psigs, session: context) == BIP327.partialSigAgg(psigs, values: session.values))
    }

    @Test(arguments: UInt64(0)..<4)
    func `one flipped bit in a partial signature shows`(seed: UInt64) throws {
        let session = try Session(seed: seed)
        var psig = try session.psigs()[0]
        psig[31] ^= 1
        let isValid = try BIP327.partialSigVerify(
            psig: psig, pubnonces: session.pubnonces, pubkeys: session.pubkeys, tweaks: session.tweaks, msg: session.msg, signer: 0
        )
        #expect(!isValid)
    }

    @Test(arguments: UInt64(0)..<4)
    func `a deterministic signer can be the last one of any session`(seed: UInt64) throws {
        var random = SeededBytes(seed: seed)
        let (first, second) = (random.next32(), random.next32())
        let pubkeys = try [first, second].map { try BIP327.individualPubkey($0) }
        let msg = random.bytes(count: 50)
        let nonce = try BIP327.nonceGen(rand: random.next32(), sk: nil, pk: pubkeys[0], aggpk: nil, msg: nil, extraIn: nil)
        let answer = try BIP327.deterministicSign(
            sk: second, aggothernonce: BIP327.nonceAgg([nonce.pubnonce]), pubkeys: pubkeys, tweaks: [], msg: msg, rand: nil
        )
        let context = try BIP327.keyAgg(pubkeys)
        let values = try BIP327.getSessionValues(context, aggnonce: BIP327.nonceAgg([nonce.pubnonce, answer.pubnonce]), msg: msg)
        let psig = try BIP327.sign(secnonce: nonce.secnonce, sk: first, values: values)
        let signature = try BIP327.partialSigAgg([psig, answer.psig], values: values)
        #expect(BIP340.verify(pk: BIP327.getXonlyPubkey(context), msg: msg, sig: signature))
    }
}
