import Bitcoin
import CryptoPrimitives
import MuSig2
import Secp256k1
import Signing

// What travels between managers, and what is shown to third parties: read raw, as the first bytes from a stranger are.

extension Fuzzer {
    static let nonceSet = Fuzzer(
        name: "nonce-set", byteCountMax: 1_024, seeds: { try Seeds.nonceSets() },
        run: { start, count in
            let bytes = input(start, count)
            guard let set = try? NonceSet(parsing: bytes) else { return 0 }
            require(set.serialized() == bytes, "the same nonce set")
            require(set.nonces.count <= NonceSet.nonceCountMax, "no more nonces than inputs")
            return 0
        })

    static let signatureShares = Fuzzer(
        name: "signature-shares", byteCountMax: 1_024, seeds: { try Seeds.signatureShares() },
        run: { start, count in
            let bytes = input(start, count)
            guard let shares = try? SignatureShares(parsing: bytes) else { return 0 }
            require(shares.serialized() == bytes, "the same signature shares")
            require(shares.partialSignatures.count <= SignatureShares.partialSignatureCountMax, "no more than inputs")
            return 0
        })

    /// Only the second signer's own statements ever show a fault: no bytes make evidence against another.
    static let evidence = Fuzzer(
        name: "evidence", byteCountMax: 8_192, seeds: { try Seeds.evidence() },
        run: { start, count in
            let bytes = input(start, count)
            guard let evidence = try? Evidence(parsing: bytes) else { return 0 }
            require(evidence.serialized() == bytes, "the same evidence")
            guard case .proved(let signer, _) = evidence.verdict() else { return 0 }
            require(signer == culprit, "nobody honest is convicted")
            require(evidence.statements.contains { $0.sender == signer }, "who is convicted has said something")
            return 0
        })

    /// No bytes raise the alarm about signers whose nonces signed once.
    static let cloneAlarm = Fuzzer(
        name: "clone-alarm", byteCountMax: 16_384, seeds: { try Seeds.cloneAlarms() },
        run: { start, count in
            require((try? CloneAlarm(parsing: input(start, count))) == nil, "nobody honest is said to run twice")
            return 0
        })

    private static let culprit = try? Known.key(Seeds.culpritNumber)
}

// MARK: - Seeds

extension Seeds {
    /// Of the two signers the one who breaks the rules.
    static let culpritNumber: UInt8 = 2

    static func nonceSets() throws -> [[UInt8]] {
        let nonces = try (1...3).map { try SecretNonce(for: Known.secretKey($0), extraInput: Bytes32()).publicNonce }
        return [[], [nonces[0]], nonces].map {
            NonceSet(request: SHA256.hash([]), attempt: 1, name: .first(), nonces: $0).serialized()
        }
    }

    static func signatureShares() throws -> [[UInt8]] {
        let partial = try PartialSignature(parsing: [UInt8](repeating: 5, count: PartialSignature.byteCount))
        return [[], [partial], [partial, partial]].map {
            SignatureShares(transcript: SHA256.hash([]), partialSignatures: $0).serialized()
        }
    }

    /// Evidence that proves nothing, and of each fault that can be proved; by the key path and by a leaf.
    static func evidence() throws -> [[UInt8]] {
        let group = try SignerGroup([Known.key(1), Known.key(2)])
        let policy = try DelegatedMultisig(
            internalKey: .unspendable, signers: [Known.key(1), Known.key(2), Known.key(3)], threshold: 2)
        return try Self.evidence(of: group, set: nil) + Self.evidence(of: policy, set: [Known.key(1), Known.key(2)])
    }

    /// Two pieces of evidence as an alarm holds them, of nonces that served once.
    static func cloneAlarms() throws -> [[UInt8]] {
        let pieces = try Self.evidence()
        return zip(pieces, pieces.dropFirst()).map { first, second in
            [first, second].reduce(Array("chorale clone alarm 1\n".utf8)) { bytes, piece in
                bytes + [0xfd, UInt8(truncatingIfNeeded: piece.count), UInt8(truncatingIfNeeded: piece.count >> 8)] + piece
            }
        }
    }

    private static func evidence(of policy: some SpendingPolicy, set: [PublicKey]?) throws -> [[UInt8]] {
        try Self.evidence(of: policy, set: set, usesNonceCommitments: false)
            + Self.evidence(of: policy, set: set, usesNonceCommitments: true)
    }

    private static func evidence(
        of policy: some SpendingPolicy, set: [PublicKey]?, usesNonceCommitments: Bool
    ) throws -> [[UInt8]] {
        let coins = [TransactionOutput(amount: 10_000, scriptPubKey: policy.scriptPubKey)]
        let spent = TransactionInput(previousOutput: OutPoint(txid: Txid(SHA256.hash([1])), index: 0))
        let transaction = Transaction(inputs: [spent], outputs: [TransactionOutput(amount: 9_000, scriptPubKey: policy.scriptPubKey)])
        let request = try SigningRequest(
            transaction: transaction, prevouts: coins, policyDigest: policy.digest, usesNonceCommitments: usesNonceCommitments)
        let plan = try SigningPlan(request: request, under: policy, set: set)

        // What both say when both are honest.
        var session = SigningSession(plan: plan)
        let one = try Known.secretKey(1)
        let other = try Known.secretKey(2)
        let first = try session.generateNonces(for: one, name: .first())
        let second = try session.generateNonces(for: other, name: .first())
        let records = [try session.sign(with: one), try session.sign(with: other)]
        let shares = [try session.release(records[0]), try session.release(records[1])]
        func says(_ number: UInt8, _ body: Statement.Body) throws -> Statement {
            let identity = try Known.identity(number)
            let enrolment = try Enrolment(network: .regtest, signer: Known.secretKey(number), identity: identity)
            return Statement(body, request: plan.requestDigest, attempt: 1, enrolment: enrolment, identity: identity)
        }
        func says(_ number: UInt8, _ set: NonceSet) throws -> Statement { try says(number, .nonces(set.name, set.nonces.map(\.bytes))) }
        func says(_ number: UInt8, _ shares: SignatureShares) throws -> Statement {
            try says(number, .partialSignatures(transcript: shares.transcript, shares.partialSignatures.map(\.bytes.bytes)))
        }
        let honest = [
            try says(1, first), try says(2, second), try says(1, shares[0]), try says(2, shares[1]),
        ]

        // And what only a faulty signer says.
        let five = [UInt8](repeating: 5, count: PartialSignature.byteCount)
        let faults: [[Statement]] = [
            [honest[1], try says(2, .nonces(second.name, first.nonces.map(\.bytes)))],
            [try says(2, .nonces(.first(), [[2] + [UInt8](repeating: 0xff, count: PublicNonce.byteCount - 1)]))],
            [try says(2, .partialSignatures(transcript: shares[1].transcript, [[UInt8](repeating: 0xff, count: 32)]))],
            [honest[0], honest[1], honest[2], try says(2, .partialSignatures(transcript: shares[1].transcript, [five]))],
        ]
        func commits(_ body: Statement.Body) throws -> Statement {
            let identity = try Known.identity(2)
            let enrolment = try Enrolment(network: .regtest, signer: Known.secretKey(2), identity: identity)
            return Statement(body, request: plan.requestDigest, attempt: 0, enrolment: enrolment, identity: identity)
        }
        let committed = try commits(.commitment(serial: 1, second.name, SHA256.hash([1])))
        let broken: [[Statement]] = [
            [committed, try commits(.commitment(serial: 1, second.name, SHA256.hash([2])))],
            [committed, try commits(.approval(serial: 1, second.name, second.nonces.map(\.bytes)))],
        ]
        let proofs = (faults + broken).map { Evidence(plan: plan, attempt: 1, statements: $0) }
        for proof in proofs {
            guard case .proved = proof.verdict() else { fatalError("a seed proves nothing") }
        }
        return ([[], honest].map { Evidence(plan: plan, attempt: 1, statements: $0) } + proofs).map { $0.serialized() }
    }
}
