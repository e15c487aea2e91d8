import Bitcoin
import CryptoPrimitives
import MuSig2
import Secp256k1
import Signing
import Testing

@Suite struct SigningSessionOrderTests {
    @Test func `three signers finish in every order in which nonces and partial signatures come`() throws {
        let scene = try Scene(inputs: 1)
        for nonceOrder in permutations([0, 1, 2]) {
            for partialOrder in permutations([0, 1, 2]) {
                let parties = scene.processes()
                let (us, b, c) = (parties[0], parties[1], parties[2])
                let sets = (try us.nonces(), try b.nonces(), try c.nonces())
                let late = Party(us.signer, scene.plan)
                for from in nonceOrder {
                    switch from {
                    case 0: try late.add(sets.0, from: us.key)
                    case 1: try late.add(sets.1, from: b.key)
                    default: try late.add(sets.2, from: c.key)
                    }
                }
                for party in [us, b, c] {
                    for (key, set) in [(us.key, sets.0), (b.key, sets.1), (c.key, sets.2)] { try party.add(set, from: key) }
                }
                try late.session.fixTranscript()
                for party in [us, b, c] {
                    let record = try party.sign()
                    #expect(record.transcript == late.session.transcriptDigest)
                    _ = try party.session.release(record)
                }
                for (count, from) in partialOrder.enumerated() {
                    #expect(try late.session.tryFinalize() == nil)
                    let party = [us, b, c][from]
                    #expect(late.session.missingPartialSignatures.count == 3 - count)
                    #expect(try late.add(try party.release(), from: party.key) == .added)
                }
                let signed = try #require(try late.session.tryFinalize())
                #expect(signed.inputs.map { $0.witness.items.map(\.count) } == [[64]])
            }
        }
    }

    @Test(arguments: UInt64(0)..<24)
    func `any number of signers finish whatever the order, with every message twice`(seed: UInt64) throws {
        var numbers = SeededNumbers(seed: seed)
        let scene = try Scene(signers: Int.random(in: 1...7, using: &numbers), inputs: Int.random(in: 1...3, using: &numbers))
        let parties = scene.processes()
        let sets = try parties.map { try $0.nonces() }
        for party in parties {
            let deliveries = (Array(parties.indices) + Array(parties.indices)).shuffled(using: &numbers)
            for from in deliveries { try party.add(sets[from], from: parties[from].key) }
            #expect(party.session.missingNonces.isEmpty)
        }
        let partials = try parties.map { try $0.release() }
        for party in parties {
            var outcomes: [SigningSession.Outcome] = []
            for from in (Array(parties.indices) + Array(parties.indices)).shuffled(using: &numbers) {
                outcomes.append(try party.add(partials[from], from: parties[from].key))
            }
            // Its own come back from the wire twice, and everybody else's second copy is a repeat.
            #expect(outcomes.filter { $0 == .added }.count == parties.count - 1)
            #expect(outcomes.filter { $0 == .repeated }.count == parties.count + 1)
            #expect(try party.session.tryFinalize() != nil)
        }
    }

    @Test func `the finished transaction verifies by an independent BIP-340`() throws {
        let scene = try Scene(inputs: 2)
        try expectValid(try complete(scene.processes()), for: scene.plan)
    }

    @Test func `late contributions change nothing after the end`() throws {
        let scene = try Scene(inputs: 1)
        let parties = scene.processes()
        let signed = try complete(parties)
        let (us, other) = (parties[0], parties[1])
        #expect(try us.add(try other.nonces(), from: other.key) == .repeated)
        #expect(try us.add(try other.release(), from: other.key) == .repeated)
        #expect(try us.add(try Party(other.signer, scene.plan, incarnation: 9).nonces(), from: other.key) == .ignored)
        #expect(try us.release() == (try us.release()))
        #expect(us.session.missingPartialSignatures.isEmpty)
        #expect(try us.session.tryFinalize() == signed)
    }

    @Test func `one process that holds all keys finishes alone`() throws {
        let scene = try Scene(inputs: 2)
        let all = Party(scene.signers[0], scene.plan)
        for (number, signer) in scene.signers.enumerated() {
            _ = try all.session.generateNonces(for: signer.key, name: Party.name(1, UInt32(number)))
        }
        for signer in scene.signers { _ = try all.session.release(try all.session.sign(with: signer.key)) }
        try expectValid(try #require(try all.session.tryFinalize()), for: scene.plan)
    }

    @Test func `a second local signer gets its nonces again after the first has signed`() throws {
        let scene = try Scene(signers: 2, inputs: 1)
        let both = Party(scene.signers[0], scene.plan)
        let second = try both.session.generateNonces(for: scene.signers[1].key, name: Party.name(1, 2))
        _ = try both.nonces()
        _ = try both.release()
        #expect(try both.session.generateNonces(for: scene.signers[1].key, name: Party.name(1, 3)) == second)
        _ = try both.session.release(try both.session.sign(with: scene.signers[1].key))
        #expect(try both.session.tryFinalize() != nil)
    }
}

@Suite struct NonceNameTests {
    @Test func `a repeat changes nothing, and a restarted signer's nonces replace its old ones`() throws {
        let scene = try Scene(inputs: 1)
        let us = Party(scene.signers[0], scene.plan)
        let other = scene.signers[1].publicKey
        let old = try Party(scene.signers[1], scene.plan, incarnation: 1).nonces()
        let new = try Party(scene.signers[1], scene.plan, incarnation: 2).nonces()
        #expect(try us.add(old, from: other) == .added)
        #expect(try us.add(old, from: other) == .repeated)
        #expect(try us.add(new, from: other) == .replaced)
        #expect(try us.add(old, from: other) == .ignored)
        #expect(us.session.nonceSets[other] == new)
    }

    @Test func `another content under a known name is the signer's proven fault, under a retired name too`() throws {
        let scene = try Scene(inputs: 1)
        let us = Party(scene.signers[0], scene.plan)
        let other = scene.signers[1].publicKey
        let old = try Party(scene.signers[1], scene.plan, incarnation: 1).nonces()
        let twin = try Party(scene.signers[1], scene.plan, incarnation: 1).nonces()
        let new = try Party(scene.signers[1], scene.plan, incarnation: 2).nonces()
        try us.add(old, from: other)
        let fault = SigningError.conflictingNonces(signer: other, name: old.name)
        #expect(throws: fault) { try us.add(twin, from: other) }
        try us.add(new, from: other)
        #expect(throws: fault) { try us.add(twin, from: other) }
        #expect(fault.culprit == other)
        #expect(us.session.nonceSets[other] == new)
    }

    @Test func `a conflict is found after the transcript is fixed, and new names are ignored then`() throws {
        let scene = try Scene(signers: 2, inputs: 1)
        let parties = scene.processes()
        try exchangeNonces(parties)
        let record = try parties[0].sign()
        let other = parties[1].key
        let restarted = try Party(scene.signers[1], scene.plan, incarnation: 7).nonces()
        #expect(try parties[0].add(restarted, from: other) == .ignored)
        let twin = try Party(scene.signers[1], scene.plan, incarnation: 7).nonces()
        #expect(throws: SigningError.conflictingNonces(signer: other, name: restarted.name)) { try parties[0].add(twin, from: other) }
        let first = try Party(scene.signers[1], scene.plan, incarnation: 1).nonces()
        #expect(throws: SigningError.conflictingNonces(signer: other, name: first.name)) { try parties[0].add(first, from: other) }
        #expect(try parties[0].sign() == record)
    }

    @Test func `a signer may rename its nonces 64 times and no more`() throws {
        let scene = try Scene(signers: 2, inputs: 1)
        let us = Party(scene.signers[0], scene.plan)
        let other = scene.signers[1].publicKey
        let nonces = try Party(scene.signers[1], scene.plan).nonces().nonces
        for counter in 0..<UInt32(SigningSession.nonceNameCountMax) {
            try us.add(NonceSet(scene.plan, name: Party.name(1, counter), nonces: nonces), from: other)
        }
        let error = SigningError.tooManyNonceNames(signer: other, limit: 64)
        #expect(throws: error) { try us.add(NonceSet(scene.plan, name: Party.name(1, 64), nonces: nonces), from: other) }
        #expect(error.culprit == nil)
        // The names that are known still mean what they meant.
        #expect(try us.add(NonceSet(scene.plan, name: Party.name(1, 63), nonces: nonces), from: other) == .repeated)
    }

    @Test func `after our own restart our new nonces replace the old ones, which others still bring`() throws {
        let scene = try Scene(signers: 2, inputs: 1)
        let before = try Party(scene.signers[0], scene.plan, incarnation: 1).nonces()
        let us = Party(scene.signers[0], scene.plan, incarnation: 2)
        #expect(try us.add(before, from: us.key) == .added)
        let now = try us.nonces()
        #expect(now != before)
        #expect(try us.nonces() == now)
        #expect(try us.add(before, from: us.key) == .ignored)
        #expect(us.session.nonceSets[us.key] == now)
    }

    @Test func `nonces in our own signer's name that we did not make are refused, and blame nobody`() throws {
        let scene = try Scene(signers: 2, inputs: 1)
        let us = Party(scene.signers[0], scene.plan, incarnation: 1)
        let own = try us.nonces()
        let forged = try Party(scene.signers[0], scene.plan, incarnation: 2).nonces()
        #expect(throws: SigningError.ownNoncesFromOutside(signer: us.key)) { try us.add(forged, from: us.key) }
        #expect(SigningError.ownNoncesFromOutside(signer: us.key).culprit == nil)
        #expect(try us.add(own, from: us.key) == .repeated)
    }
}

@Suite struct SigningSessionRefusalTests {
    @Test func `a stranger contributes nothing`() throws {
        let scene = try Scene(signers: 2, inputs: 1)
        let parties = scene.processes()
        try exchangeNonces(parties)
        let stranger = try Signer(99)
        let set = try parties[1].nonces()
        #expect(throws: SigningError.notASigner(stranger.publicKey)) { try parties[0].add(set, from: stranger.publicKey) }
        #expect(throws: SigningError.notASigner(stranger.publicKey)) {
            _ = try parties[0].session.generateNonces(for: stranger.key, name: Party.name(1))
        }
        #expect(throws: SigningError.notASigner(stranger.publicKey)) { _ = try parties[0].session.sign(with: stranger.key) }
        let partials = try parties[1].release()
        _ = try parties[0].sign()
        #expect(throws: SigningError.notASigner(stranger.publicKey)) { try parties[0].add(partials, from: stranger.publicKey) }
    }

    @Test(arguments: [0, 1, 3]) func `another count than one for each input is refused, and blames nobody`(count: Int) throws {
        let scene = try Scene(signers: 2, inputs: 2)
        let parties = scene.processes()
        let (us, other) = (parties[0], parties[1].key)
        let nonce = try #require(try parties[1].nonces().nonces.first)
        let nonces = SigningError.wrongCount(.publicNonce, signer: other, expected: 2, actual: count)
        let set = NonceSet(scene.plan, name: Party.name(5), nonces: Array(repeating: nonce, count: count))
        #expect(throws: nonces) { try us.add(set, from: other) }
        // Who relays the nonces of one request as those of another must not get their maker blamed.
        #expect(nonces.culprit == nil)
        try exchangeNonces(parties)
        let partial = try #require(try parties[1].release().first)
        _ = try us.sign()
        #expect(throws: SigningError.wrongCount(.partialSignature, signer: other, expected: 2, actual: count)) {
            try us.add(Array(repeating: partial, count: count), from: other)
        }
    }

    @Test func `nobody signs before all nonces are there, or without nonces of its own`() throws {
        let scene = try Scene(inputs: 1)
        let parties = scene.processes()
        #expect(throws: SigningError.noOwnNonces(signer: parties[0].key)) { _ = try parties[0].sign() }
        _ = try parties[0].nonces()
        #expect(throws: SigningError.missingNonces([parties[1].key, parties[2].key])) { _ = try parties[0].sign() }
        #expect(throws: SigningError.missingNonces([parties[1].key, parties[2].key])) { try parties[0].session.fixTranscript() }
        #expect(parties[0].session.transcriptDigest == nil)
        #expect(try parties[0].session.tryFinalize() == nil)
        let watcher = Party(scene.signers[0], scene.plan)
        for party in parties { try watcher.add(try party.nonces(), from: party.key) }
        try watcher.session.fixTranscript()
        #expect(throws: SigningError.noOwnNonces(signer: watcher.key)) { _ = try watcher.nonces() }
        #expect(throws: SigningError.noOwnNonces(signer: watcher.key)) { _ = try watcher.sign() }
    }

    @Test func `signing again gives the same bytes and signs nothing`() throws {
        let parties = try Scene(signers: 2, inputs: 3).processes()
        try exchangeNonces(parties)
        let record = try parties[0].sign()
        #expect(try parties[0].sign() == record)
        #expect(try parties[0].nonces().nonces == record.nonces)
        #expect(try parties[0].session.release(record) == record.shares)
        #expect(try parties[0].sign() == record)
    }

    @Test func `only what was decided here is released, and only then it counts`() throws {
        let scene = try Scene(signers: 2, inputs: 1)
        let parties = scene.processes()
        let other = scene.processes()
        try exchangeNonces(parties)
        try exchangeNonces(other)
        let elsewhere = try other[0].sign()
        #expect(throws: SigningError.noOwnNonces(signer: parties[0].key)) { _ = try parties[0].session.release(elsewhere) }
        let record = try parties[0].sign()
        #expect(throws: SigningError.noOwnNonces(signer: parties[0].key)) { _ = try parties[0].session.release(elsewhere) }
        try parties[0].add(try parties[1].release(), from: parties[1].key)
        // The decision is not durable yet: it must not leave inside a finished transaction either.
        #expect(try parties[0].session.tryFinalize() == nil)
        #expect(try parties[0].add(record.partialSignatures, from: parties[0].key) == .repeated)
        #expect(try parties[0].session.tryFinalize() == nil)
        _ = try parties[0].session.release(record)
        #expect(try parties[0].session.tryFinalize() != nil)
        #expect(throws: SigningError.noOwnNonces(signer: parties[0].key)) { _ = try parties[0].session.release(elsewhere) }
    }

    @Test func `two different sets of partial signatures are refused with the signer's name`() throws {
        let parties = try Scene(signers: 2, inputs: 1).processes()
        try exchangeNonces(parties)
        let right = try parties[1].release()
        let wrong = [try PartialSignature(parsing: [UInt8](repeating: 1, count: 32))]
        _ = try parties[0].release()
        #expect(try parties[0].add(right, from: parties[1].key) == .added)
        let fault = SigningError.conflictingPartialSignatures(signer: parties[1].key)
        #expect(throws: fault) { try parties[0].add(wrong, from: parties[1].key) }
        #expect(fault.culprit == parties[1].key)
        #expect(try parties[0].session.tryFinalize() != nil)
        #expect(throws: fault) { try parties[0].add(wrong, from: parties[1].key) }
    }

    @Test func `partial signatures in our own signer's name neither count nor blame us`() throws {
        let scene = try Scene(signers: 2, inputs: 1)
        let both = Party(scene.signers[0], scene.plan)
        _ = try both.nonces()
        _ = try both.session.generateNonces(for: scene.signers[1].key, name: Party.name(1, 2))
        _ = try both.release()
        let wrong = [try PartialSignature(parsing: [UInt8](repeating: 1, count: 32))]
        for signer in scene.signers {
            let error = SigningError.ownPartialSignaturesFromOutside(signer: signer.publicKey)
            #expect(throws: error) { try both.add(wrong, from: signer.publicKey) }
            #expect(error.culprit == nil)
        }
        _ = try both.session.release(try both.session.sign(with: scene.signers[1].key))
        #expect(try both.session.tryFinalize() != nil)
        #expect(throws: SigningError.ownPartialSignaturesFromOutside(signer: both.key)) { try both.add(wrong, from: both.key) }
    }

    @Test func `an inquiry names exactly the wrong partial signatures, by input and signer`() async throws {
        let scene = try Scene(signers: 4, inputs: 3)
        let parties = scene.processes()
        try exchangeNonces(parties)
        let us = parties[0]
        #expect(us.session.inquiry == nil)
        _ = try us.release()
        let wrong = try PartialSignature(parsing: [UInt8](repeating: 1, count: 32))
        var first = try parties[1].release()
        first[2] = wrong
        var third = try parties[3].release()
        (third[0], third[2]) = (third[2], wrong)
        try us.add(first, from: parties[1].key)
        let before = try #require(us.inquiry)
        #expect(await before.faults().map(\.signer) == [parties[1].key])
        try us.add(try parties[2].release(), from: parties[2].key)
        try us.add(third, from: parties[3].key)
        #expect(throws: SigningError.signatureDoesNotVerify(input: 0)) { _ = try us.session.tryFinalize() }
        let faults = try #require(us.inquiry)
        let found = await faults.faults()
        #expect(found.map(\.input) == [0, 2, 2])
        #expect(found.map(\.signer) == [parties[3].key, parties[1].key, parties[3].key])
        #expect(faults.faultsAtOnce() == found)
    }

    @Test func `a signer who saw another transcript is refused and not blamed`() throws {
        let scene = try Scene(inputs: 1)
        let (a, b, c) = (scene.signers[0], scene.signers[1], scene.signers[2])
        let (us, other) = (Party(a, scene.plan), Party(b, scene.plan))
        let sets = (try us.nonces(), try other.nonces())
        try us.add(sets.1, from: b.publicKey)
        try other.add(sets.0, from: a.publicKey)
        // The third signer restarted: one member heard it before, the other after.
        try us.add(try Party(c, scene.plan, incarnation: 1).nonces(), from: c.publicKey)
        try other.add(try Party(c, scene.plan, incarnation: 2).nonces(), from: c.publicKey)
        let record = try other.sign()
        _ = try us.release()
        #expect(us.session.transcriptDigest != record.transcript)
        let error = SigningError.differentTranscript(signer: b.publicKey)
        #expect(throws: error) {
            try us.add(record.shares, from: b.publicKey)
        }
        #expect(error.culprit == nil)
        #expect(us.session.missingPartialSignatures == [b.publicKey, c.publicKey])
    }

    @Test func `a closed session accepts and gives nothing`() throws {
        let scene = try Scene(signers: 2, inputs: 1)
        let parties = scene.processes()
        try exchangeNonces(parties)
        let record = try parties[0].sign()
        let (theirs, partials) = (try parties[1].nonces(), try parties[1].release())
        let us = parties[0]
        us.session.close()
        #expect(throws: SigningError.closed) { _ = try us.nonces() }
        #expect(throws: SigningError.closed) { try us.add(theirs, from: parties[1].key) }
        #expect(throws: SigningError.closed) { _ = try us.sign() }
        #expect(throws: SigningError.closed) { _ = try us.session.release(record) }
        #expect(throws: SigningError.closed) { _ = try us.session.resume(record) }
        #expect(throws: SigningError.closed) { try us.add(partials, from: parties[1].key) }
        #expect(throws: SigningError.closed) { try us.session.fixTranscript() }
        #expect(throws: SigningError.closed) { _ = try us.session.tryFinalize() }
        #expect(us.session.nonceSets.isEmpty && us.session.transcriptDigest == nil && us.session.inquiry == nil)
    }
}

@Suite struct ResumptionTests {
    @Test func `a recorded decision comes back under the same nonces, and finishes`() throws {
        let scene = try Scene(signers: 2, inputs: 2)
        let parties = scene.processes()
        try exchangeNonces(parties)
        let record = try parties[0].sign()
        let again = Party(scene.signers[0], scene.plan, incarnation: 2)
        #expect(throws: SigningError.missingNonces(scene.plan.signers)) { _ = try again.session.resume(record) }
        for party in parties { try again.add(try party.nonces(), from: party.key) }
        #expect(try again.session.resume(record) == record.shares)
        #expect(try again.session.resume(record) == record.shares)
        #expect(try again.nonces().nonces == record.nonces)
        try again.add(try parties[1].release(), from: parties[1].key)
        try expectValid(try #require(try again.session.tryFinalize()), for: scene.plan)
        #expect(try again.session.resume(record) == record.shares)
    }

    @Test func `a recorded decision is refused under other nonces, and the session stays open`() throws {
        let scene = try Scene(signers: 2, inputs: 1)
        let parties = scene.processes()
        try exchangeNonces(parties)
        let record = try parties[0].sign()
        let again = Party(scene.signers[0], scene.plan, incarnation: 2)
        _ = try again.nonces()
        try again.add(try parties[1].nonces(), from: parties[1].key)
        let error = SigningError.attemptDecided(attempt: 1, signer: again.key)
        #expect(throws: error) { _ = try again.session.resume(record) }
        #expect(again.session.transcriptDigest == nil)
        let next = Party(scene.signers[0], scene.plan, attempt: 2)
        for party in scene.processes(attempt: 2) { try next.add(try party.nonces(), from: party.key) }
        #expect(throws: error) { _ = try next.session.resume(record) }
    }
}
