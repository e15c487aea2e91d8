import Bitcoin
import CryptoPrimitives
import MuSig2
import Secp256k1
import Signing
import Testing

@Suite struct ContributionEncodingTests {
    private static func contributions() throws -> (nonces: NonceSet, shares: SignatureShares) {
        let parties = try Scene(signers: 2, inputs: 2).processes()
        try exchangeNonces(parties)
        return (try parties[0].nonces(), try parties[0].sign().shares)
    }

    @Test func `nonces and shares read as they were written`() throws {
        let (nonces, shares) = try Self.contributions()
        #expect(try NonceSet(parsing: nonces.serialized()) == nonces)
        #expect(try SignatureShares(parsing: shares.serialized()) == shares)
    }

    @Test func `bytes that are cut, longer or the other's are refused`() throws {
        let (nonces, shares) = try Self.contributions()
        let (nonceBytes, shareBytes) = (nonces.serialized(), shares.serialized())
        for count in 0..<nonceBytes.count {
            #expect(throws: StatementError.self) { try NonceSet(parsing: Array(nonceBytes.prefix(count))) }
        }
        for count in 0..<shareBytes.count {
            #expect(throws: StatementError.self) { try SignatureShares(parsing: Array(shareBytes.prefix(count))) }
        }
        #expect(throws: StatementError.self) { try NonceSet(parsing: nonceBytes + [0]) }
        #expect(throws: StatementError.self) { try SignatureShares(parsing: shareBytes + [0]) }
        #expect(throws: StatementError.unknownFormat) { try NonceSet(parsing: shareBytes) }
        #expect(throws: StatementError.unknownFormat) { try SignatureShares(parsing: nonceBytes) }
    }

    @Test func `every changed bit makes other contributions or none`() throws {
        let (nonces, shares) = try Self.contributions()
        for index in nonces.serialized().indices {
            var bytes = nonces.serialized()
            bytes[index] ^= 1
            if let other = try? NonceSet(parsing: bytes) { #expect(other != nonces && other.serialized() == bytes, "byte \(index)") }
        }
        for index in shares.serialized().indices {
            var bytes = shares.serialized()
            bytes[index] ^= 1
            if let other = try? SignatureShares(parsing: bytes) { #expect(other != shares && other.serialized() == bytes, "byte \(index)") }
        }
    }

    @Test func `contributions for a thousand inputs are read, and longer bytes are refused unread`() throws {
        let (nonces, shares) = try Self.contributions()
        let most = nonces.with(nonces: Array(repeating: nonces.nonces[0], count: NonceSet.nonceCountMax))
        #expect(most.serialized().count == NonceSet.byteCountMax)
        #expect(try NonceSet(parsing: most.serialized()).nonces.count == 1_000)
        let partials = Array(repeating: shares.partialSignatures[0], count: SignatureShares.partialSignatureCountMax)
        let all = SignatureShares(transcript: shares.transcript, partialSignatures: partials)
        #expect(all.serialized().count == SignatureShares.byteCountMax)
        #expect(try SignatureShares(parsing: all.serialized()) == all)
        let long = [UInt8](repeating: 1, count: NonceSet.byteCountMax + 1)
        #expect(throws: StatementError.tooLarge(byteCount: long.count, limit: NonceSet.byteCountMax)) { try NonceSet(parsing: long) }
        let longer = [UInt8](repeating: 1, count: SignatureShares.byteCountMax + 1)
        #expect(throws: StatementError.tooLarge(byteCount: longer.count, limit: SignatureShares.byteCountMax)) {
            try SignatureShares(parsing: longer)
        }
    }

    @Test func `names and records of another shape are refused, not trapped`() throws {
        for count in [0, 15, 17] { #expect(NonceName(incarnation: Array(repeating: 1, count: count), counter: 1) == nil) }
        #expect(NonceName(incarnation: Array(repeating: 1, count: 16), counter: 1) == Party.name(1))
        #expect(NonceName.first() != NonceName.first())
        let parties = try Scene(signers: 2, inputs: 2).processes()
        try exchangeNonces(parties)
        let record = try parties[0].sign()
        func changed(_ partials: [PartialSignature]) -> BurnRecord? {
            BurnRecord(
                request: record.request, attempt: record.attempt, signer: record.signer, transcript: record.transcript,
                nonces: record.nonces, partialSignatures: partials)
        }
        #expect(changed(record.partialSignatures) == record)
        #expect(changed(Array(record.partialSignatures.dropLast())) == nil)
    }
}

@Suite struct ContributionJudgementTests {
    @Test func `nonces for another request or attempt are refused, and blame nobody`() throws {
        let (scene, other) = (try Scene(signers: 2, inputs: 1), try Scene(signers: 2, inputs: 1, id: SHA256.hash([1])))
        let us = Party(scene.signers[0], scene.plan)
        let them = scene.signers[1]
        let foreign = SigningError.differentRequest(signer: them.publicKey)
        #expect(throws: foreign) { try us.add(try Party(them, other.plan).nonces(), from: them.publicKey) }
        let early = SigningError.differentAttempt(signer: them.publicKey, expected: 1, actual: 2)
        #expect(throws: early) { try us.add(try Party(them, scene.plan, attempt: 2).nonces(), from: them.publicKey) }
        #expect(foreign.culprit == nil && early.culprit == nil)
        #expect(us.session.nonceSets.isEmpty)
    }

    @Test func `of one incarnation the highest counter stands, and what came too late keeps its content too`() throws {
        let scene = try Scene(signers: 2, inputs: 1)
        let us = Party(scene.signers[0], scene.plan)
        let them = scene.signers[1].publicKey
        func fresh() throws -> [PublicNonce] { try Party(scene.signers[1], scene.plan).nonces().nonces }
        let newer = NonceSet(scene.plan, name: Party.name(1, 2), nonces: try fresh())
        let older = NonceSet(scene.plan, name: Party.name(1, 1), nonces: try fresh())
        #expect(try us.add(newer, from: them) == .added)
        #expect(try us.add(older, from: them) == .ignored)
        #expect(us.session.nonceSets[them] == newer)
        #expect(throws: SigningError.conflictingNonces(signer: them, name: older.name)) {
            try us.add(older.with(nonces: try fresh()), from: them)
        }
        let newest = newer.with(name: Party.name(1, 3))
        #expect(try us.add(newest, from: them) == .replaced)
        // Between incarnations there is no order: the last to come stands.
        #expect(try us.add(newer.with(name: Party.name(9, 1)), from: them) == .replaced)
    }

    @Test func `early shares are judged when the transcript is fixed, by the transcript that they rest on`() throws {
        let scene = try Scene(signers: 3, inputs: 1)
        let parties = scene.processes()
        try exchangeNonces(parties)
        let us = parties[0]
        let (right, other) = (try parties[1].sign().shares, try parties[2].sign().shares)
        let elsewhere = SignatureShares(transcript: SHA256.hash([1]), partialSignatures: other.partialSignatures)
        #expect(try us.add(elsewhere, from: parties[1].key) == .waiting)
        #expect(try us.add(right, from: parties[1].key) == .waiting)
        #expect(try us.add(right, from: parties[1].key) == .repeated)
        #expect(try us.add(elsewhere, from: parties[2].key) == .waiting)
        #expect(throws: SigningError.ownPartialSignaturesFromOutside(signer: us.key)) { try us.add(right, from: us.key) }
        _ = try us.release()
        #expect(us.session.missingPartialSignatures == [parties[2].key])
        #expect(us.session.signersOfOtherTranscripts == [parties[2].key])
        #expect(try us.add(right, from: parties[1].key) == .repeated)
        // Two sets conflict only where both rest on the transcript that was fixed.
        let conflict = SigningError.conflictingPartialSignatures(signer: parties[1].key)
        #expect(throws: conflict) {
            let wrong = SignatureShares(transcript: right.transcript, partialSignatures: other.partialSignatures)
            try us.add(wrong, from: parties[1].key)
        }
        #expect(throws: SigningError.differentTranscript(signer: parties[1].key)) { try us.add(elsewhere, from: parties[1].key) }
        #expect(us.session.signersOfOtherTranscripts == [parties[2].key])
        #expect(try us.add(other, from: parties[2].key) == .added)
        #expect(us.session.signersOfOtherTranscripts.isEmpty)
        #expect(try us.session.tryFinalize() != nil)
    }

    @Test func `a recorded decision with too few signatures or other nonces is not taken back`() throws {
        let scene = try Scene(signers: 2, inputs: 2)
        let parties = scene.processes()
        try exchangeNonces(parties)
        let record = try parties[0].sign()
        let again = Party(scene.signers[0], scene.plan, incarnation: 2)
        for party in parties { try again.add(try party.nonces(), from: party.key) }
        for contributions in [[(0, 0)], [(1, 0), (0, 1)], [(0, 0), (1, 1), (1, 1)]] {
            let doctored = BurnRecord(
                request: record.request, attempt: 1, signer: record.signer, transcript: record.transcript,
                contributions: contributions.map { (record.nonces[$0.0], record.partialSignatures[$0.1]) })
            #expect(throws: SigningError.attemptDecided(attempt: 1, signer: again.key)) { _ = try again.session.resume(doctored) }
        }
        #expect(try again.session.resume(record) == record.shares)
    }
}
