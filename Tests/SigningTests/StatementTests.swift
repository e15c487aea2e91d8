import Bitcoin
import CryptoPrimitives
import MuSig2
import Secp256k1
import Signing
import Testing

/// One signer with a device's identity.
private final class Speaker {
    let signer: Signer
    let identity: Ed25519.SecretKey
    let enrolment: Enrolment

    init(_ number: Int = 0) throws {
        self.signer = try Signer(number)
        self.identity = try Ed25519.SecretKey.generate()
        self.enrolment = try Enrolment(network: .signet, signer: self.signer.key, identity: self.identity, version: 3, expiry: 99)
    }

    func say(_ body: Statement.Body, request: Bytes32 = SHA256.hash([1]), attempt: UInt32 = 2) -> Statement {
        Statement(body, request: request, attempt: attempt, enrolment: self.enrolment, identity: self.identity)
    }
}

/// One body of each kind.
private func bodies() throws -> [Statement.Body] {
    let scene = try Scene(signers: 2, inputs: 2)
    let parties = scene.processes()
    try exchangeNonces(parties)
    let (set, record) = (try parties[0].nonces(), try parties[0].sign())
    return [
        .presence(incarnation: set.name.incarnation, beat: 7),
        .presence(incarnation: set.name.incarnation, beat: 7, sees: Array(repeating: 3, count: 16)), .set(scene.plan.signers),
        .nonces(set.name, set.nonces.map(\.bytes)),
        .partialSignatures(transcript: record.transcript, record.partialSignatures.map(\.bytes.bytes)),
        .proposal(try #require(RequestTerms(election: .lastSigner, createdAt: 1_800_000_000, note: "Löhne, Mai"))),
        .approval(serial: 7, set.name, set.nonces.map(\.bytes)), .approval(serial: .max, set.name, []),
        .refusal(serial: 8, .withdrawn), .cancellation,
        .begin(incarnation: set.name.incarnation, transcript: record.transcript),
        .commitment(serial: 9, set.name, SHA256.hash([1])),
        .pooledNonces(until: .max, set.name, set.nonces.map(\.bytes)),
    ]
}

@Suite struct EnrolmentTests {
    @Test(arguments: Network.allCases) func `an enrolment reads as it was written`(network: Network) throws {
        let signer = try Signer(1)
        let identity = try Ed25519.SecretKey.generate()
        let enrolment = try Enrolment(network: network, signer: signer.key, identity: identity, version: .max, expiry: .max)
        let bytes = enrolment.serialized()
        #expect(bytes.count == Enrolment.byteCount)
        let read = try Enrolment(parsing: bytes)
        #expect(read == enrolment)
        #expect(read.network == network && read.signer == signer.publicKey && read.identity == identity.publicKey)
        #expect(read.version == .max && read.expiry == .max)
    }

    @Test func `an enrolment with any bit flipped is refused`() throws {
        let bytes = try Speaker().enrolment.serialized()
        for index in bytes.indices {
            for bit in 0..<8 {
                var changed = bytes
                changed[index] ^= 1 << UInt8(bit)
                #expect(throws: StatementError.self, "byte \(index), bit \(bit)") { _ = try Enrolment(parsing: changed) }
            }
        }
    }

    @Test func `an enrolment of another length is refused`() throws {
        let bytes = try Speaker().enrolment.serialized()
        for count in 0..<bytes.count { #expect(throws: StatementError.self) { _ = try Enrolment(parsing: bytes.prefix(count)) } }
        #expect(throws: StatementError.self) { _ = try Enrolment(parsing: bytes + [0]) }
    }

    @Test func `an enrolment that only one of the two signed is refused`() throws {
        let (speaker, other) = (try Speaker(0), try Speaker(1))
        let (bytes, foreign) = (speaker.enrolment.serialized(), other.enrolment.serialized())
        let error = StatementError.badEnrolment(signer: speaker.signer.publicKey)
        #expect(throws: error) { _ = try Enrolment(parsing: bytes.prefix(79) + foreign[79..<143] + bytes.suffix(64)) }
        #expect(throws: error) { _ = try Enrolment(parsing: bytes.prefix(143) + foreign.suffix(64)) }
        // The other's identity, with all else of the first.
        #expect(throws: error) { _ = try Enrolment(parsing: bytes.prefix(35) + foreign[35..<67] + bytes.suffix(140)) }
        _ = try Enrolment(parsing: bytes.prefix(79) + bytes[79..<143] + bytes.suffix(64))
    }
}

@Suite struct StatementTests {
    @Test func `statements read as they were written`() throws {
        let speaker = try Speaker()
        for body in try bodies() {
            let statement = speaker.say(body)
            let read = try Statement(parsing: statement.serialized())
            #expect(read == statement)
            #expect(read.body == body && read.attempt == 2 && read.request == SHA256.hash([1]))
            #expect(read.sender == speaker.signer.publicKey)
        }
    }

    @Test func `a statement with any byte changed is refused`() throws {
        let speaker = try Speaker()
        for body in try bodies() {
            let bytes = speaker.say(body).serialized()
            for index in bytes.indices {
                var changed = bytes
                changed[index] ^= 1 << UInt8(index % 8)
                #expect(throws: StatementError.self, "byte \(index) of \(body)") { _ = try Statement(parsing: changed) }
            }
        }
    }

    @Test func `a statement cut short or with more behind it is refused`() throws {
        let speaker = try Speaker()
        for body in try bodies() {
            let bytes = speaker.say(body).serialized()
            for count in 0..<bytes.count { #expect(throws: StatementError.self) { _ = try Statement(parsing: Array(bytes.prefix(count))) } }
            #expect(throws: StatementError.self) { _ = try Statement(parsing: bytes + [0]) }
        }
    }

    @Test func `noise never traps and is never a statement`() {
        var numbers = SeededNumbers(seed: 11)
        for _ in 0..<2_000 {
            var noise = (0..<Int.random(in: 0...400, using: &numbers)).map { _ in UInt8.random(in: 0...255, using: &numbers) }
            if !noise.isEmpty { noise[0] = 1 }
            #expect(throws: StatementError.self) { _ = try Statement(parsing: noise) }
            #expect(throws: StatementError.self) { _ = try Enrolment(parsing: noise) }
        }
    }

    @Test func `a statement is its sender's alone, about one request and one attempt`() throws {
        let (speaker, other) = (try Speaker(0), try Speaker(1))
        let body = try #require(try bodies().last)
        let bytes = speaker.say(body).serialized()
        let refusal = StatementError.badSignature(sender: speaker.signer.publicKey)
        // Another identity's signature.
        #expect(throws: refusal) { _ = try Statement(parsing: bytes.dropLast(64) + other.say(body).serialized().suffix(64)) }
        // Another signer's name on it.
        #expect(throws: StatementError.badSignature(sender: other.signer.publicKey)) {
            _ = try Statement(parsing: bytes.prefix(1) + other.enrolment.serialized() + bytes.dropFirst(1 + Enrolment.byteCount))
        }
        // Another request, another attempt.
        let start = 1 + Enrolment.byteCount
        var replayed = bytes
        replayed.replaceSubrange(start..<start + 32, with: SHA256.hash([9]).bytes)
        #expect(throws: refusal) { _ = try Statement(parsing: replayed) }
        replayed = bytes
        replayed[start + 32] += 1
        #expect(throws: refusal) { _ = try Statement(parsing: replayed) }
        // An older or newer enrolment of the same two.
        let renewed = try Enrolment(network: .signet, signer: speaker.signer.key, identity: speaker.identity, version: 4, expiry: 99)
        #expect(throws: refusal) {
            _ = try Statement(parsing: bytes.prefix(1) + renewed.serialized() + bytes.dropFirst(1 + Enrolment.byteCount))
        }
    }

    @Test func `partial signatures replayed into another attempt are no fault and do not count`() throws {
        let scene = try Scene(signers: 2, inputs: 1)
        let (first, second) = (scene.processes(attempt: 1), scene.processes(attempt: 2))
        try exchangeNonces(first)
        try exchangeNonces(second)
        let record = try first[1].sign()
        let speaker = try Speaker()
        let said = speaker.say(
            .partialSignatures(transcript: record.transcript, record.partialSignatures.map(\.bytes.bytes)), request: record.request,
            attempt: 1)
        let statement = try Statement(parsing: said.serialized())
        guard case .partialSignatures(let transcript, _) = statement.body else { throw StatementError.unknownFormat }
        let shares = SignatureShares(transcript: transcript, partialSignatures: try #require(try statement.partialSignatures()))
        _ = try second[0].sign()
        #expect(throws: SigningError.differentTranscript(signer: second[1].key)) {
            try second[0].add(shares, from: second[1].key)
        }
        _ = try first[0].sign()
        #expect(try first[0].add(shares, from: first[1].key) == .added)
    }

    @Test func `contributions mean what they say, and a wrong one names its sender and input`() throws {
        let speaker = try Speaker()
        let all = try bodies()
        for body in all {
            let statement = speaker.say(body)
            switch body {
            case .nonces(let name, let items):
                let set = try #require(try statement.nonceSet())
                #expect(try set.name == name && set.nonces == items.map { try PublicNonce(parsing: $0) })
                #expect(set.request == statement.request && set.attempt == statement.attempt)
                #expect(try statement.partialSignatures() == nil)
                let wrong = speaker.say(.nonces(name, [items[0], [UInt8](repeating: 0, count: 66)]))
                // A wrong contribution must survive the journey: it is what proves the fault.
                let read = try Statement(parsing: wrong.serialized())
                let error = #expect(throws: SigningError.self) { try read.nonceSet() }
                #expect(error == .musig(.invalid(.publicNonce, signer: nil), signer: speaker.signer.publicKey, input: 1))
                #expect(error?.culprit == speaker.signer.publicKey)
                let short = #expect(throws: SigningError.self) { try speaker.say(.nonces(name, [[1, 2]])).nonceSet() }
                #expect(short?.culprit == speaker.signer.publicKey)
            case .partialSignatures(let transcript, let items):
                #expect(try statement.partialSignatures() == items.map { try PartialSignature(parsing: $0) })
                #expect(try statement.nonceSet() == nil)
                let wrong = speaker.say(.partialSignatures(transcript: transcript, [[UInt8](repeating: 0xff, count: 32)]))
                let error = #expect(throws: SigningError.self) { try wrong.partialSignatures() }
                #expect(error == .musig(.invalid(.partialSignature, signer: nil), signer: speaker.signer.publicKey, input: 0))
                #expect(error?.culprit == speaker.signer.publicKey)
            case .approval(_, let name, let items), .pooledNonces(_, let name, let items):
                let set = try #require(try statement.nonceSet())
                #expect(try set.name == name && set.nonces == items.map { try PublicNonce(parsing: $0) })
                #expect(try statement.partialSignatures() == nil)
            case .presence, .set, .proposal, .refusal, .cancellation, .begin, .commitment:
                #expect(try statement.nonceSet() == nil && statement.partialSignatures() == nil)
            }
        }
    }

    @Test func `a thousand nonces fit into a statement, and more is refused before it is read`() throws {
        let speaker = try Speaker()
        let nonce = try Scene(signers: 1, inputs: 1).processes()[0].nonces().nonces[0].bytes
        func said(_ count: Int) -> [UInt8] { speaker.say(.nonces(Party.name(1), Array(repeating: nonce, count: count))).serialized() }
        #expect(try Statement(parsing: said(Statement.itemCountMax)).nonceSet()?.nonces.count == 1_000)
        #expect(throws: StatementError.malformed("1001 items, and the limit is 1000")) { _ = try Statement(parsing: said(1_001)) }
        let long = [UInt8](repeating: 1, count: Statement.byteCountMax + 1)
        #expect(throws: StatementError.tooLarge(byteCount: 100_001, limit: 100_000)) { _ = try Statement(parsing: long) }
    }
}

@Suite struct PolicyRecordTests {
    private static func records() throws -> [PolicyRecord] {
        let keys = try Signer.make(4).map(\.publicKey)
        return [
            PolicyRecord(internalKey: .owner(try Signer(9).publicKey), signers: keys, threshold: 2),
            PolicyRecord(internalKey: .aggregate, signers: keys, threshold: 3),
            PolicyRecord(internalKey: .unspendable, signers: keys, threshold: 4),
        ]
    }

    @Test func `a record reads as it was written, and makes the policy it came from`() async throws {
        for record in try Self.records() {
            let read = try PolicyRecord(parsing: record.serialized())
            #expect(read == record && read.digest == record.digest)
            let policy = try await read.policy()
            #expect(PolicyRecord(policy) == record)
            let direct = try DelegatedMultisig(
                internalKey: record.internalKey, signers: record.signers.reversed(), threshold: record.threshold)
            #expect(policy.scriptPubKey == direct.scriptPubKey)
            // Through `SpendingPolicy`, as T0 takes it.
            #expect((policy as any SpendingPolicy).digest == record.digest)
        }
        #expect(Set(try Self.records().map(\.digest)).count == 3)
    }

    @Test func `a record that is cut, longer or changed is refused or is another one`() throws {
        for record in try Self.records() {
            let bytes = record.serialized()
            for count in 0..<bytes.count {
                #expect(throws: StatementError.self) { _ = try PolicyRecord(parsing: Array(bytes.prefix(count))) }
            }
            #expect(throws: StatementError.self) { _ = try PolicyRecord(parsing: bytes + [0]) }
            for index in bytes.indices {
                var changed = bytes
                changed[index] ^= 1
                if let other = try? PolicyRecord(parsing: changed) { #expect(other.digest != record.digest, "byte \(index)") }
            }
        }
    }

    @Test func `the order of the keys in a record does not matter, and their number is bounded`() throws {
        let keys = try Signer.make(2).map(\.publicKey)
        let head: [UInt8] = [1, 2, 2, 0, 0, 0]
        let read = try PolicyRecord(parsing: head + [2, 0, 0, 0] + keys[1].bytes + keys[0].bytes)
        #expect(read == PolicyRecord(internalKey: .unspendable, signers: keys, threshold: 2))
        #expect(throws: StatementError.malformed("1001 signers")) { _ = try PolicyRecord(parsing: head + [0xe9, 3, 0, 0]) }
        #expect(throws: StatementError.unknownFormat) { _ = try PolicyRecord(parsing: [2] + head.dropFirst()) }
        #expect(throws: StatementError.unknownFormat) { _ = try PolicyRecord(parsing: [1, 3]) }
    }
}
