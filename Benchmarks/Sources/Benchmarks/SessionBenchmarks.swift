import Bitcoin
import CBaseline
import CryptoPrimitives
import MuSig2
import Secp256k1
import Signing

/// A whole signer's session, and the two ways to end one.
struct SessionBenchmarks {
    let group: Group
    let stopwatch: Stopwatch
    let processorCount: Int
    let report: (Row) -> Void

    func run() async throws {
        try self.compareSession()
        try self.measureMachine()
        try self.compareFinish()
        try await self.compareVerifyingAll()
    }

    // MARK: A signer's session

    /// Nonce, everybody's bytes parsed, context, signature, everybody's signatures parsed, the sum verified.
    private func compareSession() throws {
        let (group, c) = (self.group, self.group.c)
        let signer = group.own
        let nonceBytes = group.nonces.dropLast().map(\.bytes)
        let partialBytes = group.partials.dropLast().map(\.bytes.bytes)
        let (ours, theirs) = try self.stopwatch.compare(
            swift: Side { count in
                for _ in 0..<count {
                    let secret = try SecretNonce(for: signer.key, keys: group.keys, message: group.message, extraInput: group.message)
                    consume(secret.publicNonce.bytes)
                    var nonces: [PublicNonce] = []
                    for (place, bytes) in nonceBytes.enumerated() { nonces.append(try PublicNonce(parsing: bytes, signer: place)) }
                    nonces.append(secret.publicNonce)
                    let context = try SigningContext(keys: group.keys, nonces: nonces, message: group.message)
                    let own = try secret.sign(with: signer.key, in: context)
                    consume(own.bytes)
                    var partials: [PartialSignature] = []
                    for (place, bytes) in partialBytes.enumerated() { partials.append(try PartialSignature(parsing: bytes, signer: place)) }
                    partials.append(own)
                    // The others signed with another nonce of ours, so the end is a failed verification, which costs the same.
                    let isFinished = (try? context.finish(partials)) != nil
                    require(!isFinished)
                }
            },
            c: Side.c({ baseline_session(c, $0) }))
        self.report(Row(section: "Sessions", name: "a signer's whole session", signers: group.count, swift: ours, c: theirs))
    }

    /// The same through `SigningSession`, with names, transcript, record and transaction: told beside the bare calls from C.
    private func measureMachine() throws {
        let (group, c) = (self.group, self.group.c)
        let wallet = try SignerGroup(inOrder: group.keys.publicKeys)
        let plan = try Self.plan(for: wallet)
        let signer = group.own
        let name = NonceName.first()
        let others = group.keys.publicKeys.indices.dropLast().map { place in
            (
                key: group.keys.publicKeys[place],
                nonces: NonceSet(request: plan.requestDigest, attempt: 1, name: name, nonces: [group.nonces[place]]),
                partials: [group.partials[place]]
            )
        }
        let (ours, theirs) = try self.stopwatch.compare(
            swift: Side { count in
                for _ in 0..<count {
                    var session = SigningSession(plan: plan)
                    consume(try session.generateNonces(for: signer.key, name: name))
                    for other in others { _ = try session.add(other.nonces, from: other.key) }
                    let record = try session.sign(with: signer.key)
                    consume(try session.release(record))
                    for other in others {
                        let shares = SignatureShares(transcript: record.transcript, partialSignatures: other.partials)
                        _ = try session.add(shares, from: other.key)
                    }
                    let isFinished = (try? session.tryFinalize()) != nil
                    require(!isFinished)
                }
            },
            c: Side.c({ baseline_session(c, $0) }))
        self.report(
            Row(
                section: "Sessions", name: "the same in the session machine", signers: group.count, swift: ours, c: theirs, budget: .none,
                note: "adds names, transcript and record; does not parse"))
    }

    /// One made-up coin of the group, spent by its key path.
    static func plan(for wallet: SignerGroup) throws -> SigningPlan {
        let (transaction, coins) = Self.spend(of: wallet)
        return try SigningPlan(request: SigningRequest(transaction: transaction, prevouts: coins), under: wallet)
    }

    static func spend(of wallet: SignerGroup) -> (transaction: Transaction, coins: [TransactionOutput]) {
        let coin = TransactionOutput(amount: 100_000, scriptPubKey: wallet.scriptPubKey)
        let outPoint = OutPoint(txid: Txid(SHA256.hash(Array("a made-up transaction".utf8))), index: 0)
        let payment = TransactionOutput(amount: 99_000, scriptPubKey: wallet.scriptPubKey)
        return (Transaction(inputs: [TransactionInput(previousOutput: outPoint)], outputs: [payment]), [coin])
    }

    // MARK: The end of a session

    /// The ordinary end: the sum, verified once. C does the additions and one Schnorr verification.
    private func compareFinish() throws {
        let (group, c) = (self.group, self.group.c)
        let (ours, theirs) = try self.stopwatch.compare(
            swift: Side { count in
                for _ in 0..<count { consume(try group.context.finish(group.partials)) }
            },
            c: Side.c({ baseline_finish(c, $0) }))
        self.report(
            Row(
                section: "Finishing", name: "optimistically: add, verify once", signers: group.count, swift: ours, c: theirs,
                budget: .factor(1.2)))
    }

    /// What the ordinary end saves: every partial signature verified, on one core and on all.
    private func compareVerifyingAll() async throws {
        let (group, c) = (self.group, self.group.c)
        let (ours, theirs) = try self.stopwatch.compare(
            swift: Side { count in
                for _ in 0..<count {
                    for place in 0..<group.count { require(try group.context.isValid(group.partials[place], of: place)) }
                }
            },
            c: Side.c({ count in (0..<count).allSatisfy { _ in baseline_verify_all(c, 1) == 1 } ? 1 : 0 }))
        self.report(
            Row(section: "Finishing", name: "verify every partial, one core", signers: group.count, swift: ours, c: theirs))

        let (all, allInC) = try await Stopwatch.compare(
            rounds: max(5, min(51, Int(self.stopwatch.sideMicroseconds / (theirs / Double(self.processorCount))))),
            swift: {
                let start = Timing.wallTime.now
                require(try await group.context.culprits(in: group.partials).isEmpty)
                return Double(Timing.wallTime.now - start) / 1_000
            },
            c: {
                let start = Timing.wallTime.now
                require(baseline_verify_all(c, self.processorCount) == 1)
                return Double(Timing.wallTime.now - start) / 1_000
            })
        self.report(
            Row(
                section: "Finishing", name: "verify every partial, all cores", signers: group.count,
                swift: all, c: allInC, budget: .none, note: "wall time"))
    }
}
