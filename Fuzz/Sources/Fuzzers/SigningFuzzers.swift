import Bitcoin
import CryptoPrimitives
import MuSig2
import Secp256k1
import Signing

extension Fuzzer {
    /// Signed messages from strangers: what parses is what was signed.
    static let statement = Fuzzer(
        name: "statement", byteCountMax: 4_096, seeds: { try Seeds.statements() },
        run: { start, count in
            let bytes = input(start, count)
            if let statement = try? Statement(parsing: bytes) {
                require(statement.serialized() == bytes, "the same statement")
                use(statement)
            }
            if let enrolment = try? Enrolment(parsing: bytes) { require(enrolment.serialized() == bytes, "the same enrolment") }
            consume(ExchangePath(String(decoding: bytes.prefix(256), as: UTF8.self)))
            return 0
        })

    /// Messages of a signer who signs whatever it likes: the signature holds, and the contributions are any bytes.
    static let ownStatement = Fuzzer(
        name: "statement-signed", byteCountMax: 2_048, seeds: { try Seeds.contributions() },
        run: { start, count in
            let bytes = input(start, count)
            guard let body = body(of: bytes), let enrolment = ownEnrolment, let identity = try? Known.identity(1) else { return 0 }
            let statement = Statement(body, request: SHA256.hash([]), attempt: 1, enrolment: enrolment, identity: identity)
            guard let again = try? Statement(parsing: statement.serialized()) else {
                // Only a body larger than any statement may be refused.
                require(statement.serialized().count > Statement.byteCountMax || isUnreadable(body), "what was signed parses")
                return 0
            }
            require(again == statement, "what was signed parses to the same statement")
            use(again)
            return 0
        })

    /// Both are made once: signing each time would be most of the work.
    private static let ownEnrolment: Enrolment? = {
        guard let signer = try? Known.secretKey(1), let identity = try? Known.identity(1) else { return nil }
        return try? Enrolment(network: .regtest, signer: signer, identity: identity)
    }()

    /// The first byte says what the rest is: nonces, partial signatures or neither; and for which of the protocols.
    private static func body(of bytes: [UInt8]) -> Statement.Body? {
        guard let kind = bytes.first else { return nil }
        let rest = bytes.dropFirst()
        let size = kind & 1 == 0 ? PublicNonce.byteCount : PartialSignature.byteCount
        let items = stride(from: rest.startIndex, to: rest.endIndex, by: size).map { Array(rest[$0..<min($0 + size, rest.endIndex)]) }
        let incarnation = Array(repeating: kind, count: NonceName.incarnationByteCount)
        guard let name = NonceName(incarnation: incarnation, counter: UInt32(kind)) else { return nil }
        switch kind % 11 {
        case 0: return .nonces(name, items)
        case 1: return .partialSignatures(transcript: SHA256.hash(bytes), items)
        case 2: return .presence(incarnation: name.incarnation, beat: UInt64(rest.count))
        case 3: return .set(rest.prefix(8).compactMap { try? Known.key($0 | 1) })
        case 4: return .approval(serial: UInt32(kind), name, items)
        case 5: return .refusal(serial: UInt32(kind), RefusalReason.allCases[rest.count % RefusalReason.allCases.count])
        case 6: return .cancellation
        case 7: return .begin(incarnation: name.incarnation, transcript: SHA256.hash(bytes))
        case 8: return .commitment(serial: UInt32(kind), name, SHA256.hash(bytes))
        case 9: return .pooledNonces(until: UInt64(kind) << 24, name, items)
        default:
            let election = CoordinatorElection.allCases[rest.count % CoordinatorElection.allCases.count]
            let note = String(decoding: rest.prefix(RequestTerms.noteByteCountMax / 3), as: UTF8.self)
            return RequestTerms(election: election, createdAt: UInt64(kind), note: note).map { .proposal($0) }
        }
    }

    private static func isUnreadable(_ body: Statement.Body) -> Bool {
        switch body {
        case .nonces(_, let items), .partialSignatures(_, let items), .approval(_, _, let items), .pooledNonces(_, _, let items):
            items.count > Statement.itemCountMax
        case .set(let keys): keys.count > Statement.itemCountMax
        case .presence, .proposal, .refusal, .cancellation, .begin, .commitment: false
        }
    }

    private static func use(_ statement: Statement) {
        consume(try? statement.nonceSet())
        consume(try? statement.partialSignatures())
        consume(statement.sender.description)
    }

    static let policy = Fuzzer(
        name: "policy", byteCountMax: 2_048, seeds: { try Seeds.policies() },
        run: { start, count in
            let bytes = input(start, count)
            guard let record = try? PolicyRecord(parsing: bytes) else { return 0 }
            require((try? PolicyRecord(parsing: record.serialized())) == record, "the same policy")
            // Small ones are made, too, whatever their numbers say.
            guard record.signers.count <= 4 else { return 0 }
            guard
                let policy = try? DelegatedMultisig(
                    internalKey: record.internalKey, signers: record.signers, threshold: record.threshold)
            else { return 0 }
            require(PolicyRecord(policy) == record, "a policy is its record")
            let everybody = Set(record.signers)
            require(policy.chooseSet(among: everybody) != nil, "everybody together can sign")
            return 0
        })

    // MARK: The session machine

    /// A session under any order of calls, with contributions that are right, foreign, repeated and contradictory.
    static let session = Fuzzer(
        name: "session", byteCountMax: 48, seeds: { Seeds.sessionCalls() },
        run: { start, count in
            guard let play = try? SessionPlay() else { fatalError("the play could not begin") }
            for call in input(start, count) { play.carryOut(call) }
            play.finish()
            return 0
        })
}

/// Two processes of one group of three: the first holds keys 1 and 3, the second key 2.
private final class SessionPlay {
    private let keys: [SecretKey.Shared]
    private let group: SignerGroup
    private let plan: SigningPlan
    private let sessions: [Process]

    private final class Process {
        var session: SigningSession
        init(_ plan: SigningPlan) { self.session = SigningSession(plan: plan) }
    }

    init() throws {
        self.keys = try (1...3).map { try SecretKey.Shared(Known.secretKey($0)) }
        self.group = try SignerGroup(self.keys.map { $0.key.publicKey })
        let coin = TransactionOutput(amount: 10_000, scriptPubKey: self.group.scriptPubKey)
        let spent = TransactionInput(previousOutput: OutPoint(txid: Txid(SHA256.hash([1])), index: 0))
        let transaction = Transaction(inputs: [spent], outputs: [TransactionOutput(amount: 9_000, scriptPubKey: self.group.scriptPubKey)])
        self.plan = try SigningPlan(request: SigningRequest(transaction: transaction, prevouts: [coin]), under: self.group)
        self.sessions = [Process(self.plan), Process(self.plan)]
    }

    private var records: [BurnRecord] = []
    private var sets: [(set: NonceSet, signer: PublicKey)] = []

    /// The lowest bit says in which process, the next three what, the rest with what.
    func carryOut(_ call: UInt8) {
        let process = self.sessions[Int(call & 1)]
        let choice = Int(call >> 4)
        let box = call & 1 == 1 ? self.keys[1] : self.keys[choice & 1 == 0 ? 0 : 2]
        let key = box.key.publicKey
        switch call >> 1 & 7 {
        case 0:
            let incarnation = Array(repeating: call & 1, count: NonceName.incarnationByteCount)
            guard let name = NonceName(incarnation: incarnation, counter: UInt32(choice)),
                let set = try? process.session.generateNonces(for: box.key, name: name)
            else { return }
            self.sets.append((set, key))
        case 1:
            guard !self.sets.isEmpty else { return }
            let (set, signer) = self.sets[choice % self.sets.count]
            consume(try? process.session.add(set, from: signer))
        case 2:
            guard !self.sets.isEmpty else { return }
            // Under the name of one, the nonces of another; or in the name of another signer.
            let (name, nonces) = (self.sets[choice % self.sets.count].set.name, self.sets[(choice + 1) % self.sets.count].set.nonces)
            let set = NonceSet(request: self.plan.requestDigest, attempt: 1, name: name, nonces: nonces)
            consume(try? process.session.add(set, from: self.keys[choice % 3].key.publicKey))
        case 3:
            guard let record = try? process.session.sign(with: box.key) else { return }
            for other in self.records where other.nonces == record.nonces {
                require(other == record, "no nonce serves two transcripts")
            }
            self.records.append(record)
        case 4:
            guard !self.records.isEmpty else { return }
            consume(try? process.session.release(self.records[choice % self.records.count]))
        case 5:
            guard !self.records.isEmpty else { return }
            let record = self.records[choice % self.records.count]
            let signer = choice < 12 ? record.signer : self.keys[choice % 3].key.publicKey
            consume(try? process.session.add(record.shares, from: signer))
        case 6: self.end(process)
        default:
            if choice == 15 { process.session.close() } else { consume(try? process.session.fixTranscript()) }
        }
    }

    func finish() { for process in self.sessions { self.end(process) } }

    private func end(_ process: Process) {
        guard let transaction = try? process.session.tryFinalize(), let item = transaction.inputs[0].witness.items.first else { return }
        guard let signature = try? SchnorrSignature(parsing: item), case .payToTaproot(let x) = self.group.scriptPubKey.kind,
            let key = try? XOnlyPublicKey(x)
        else { fatalError("broken property: a finished transaction has a signature") }
        require(signature.isValid(for: self.plan.inputs[0].message, by: key), "a finished signature verifies")
    }
}
