internal import Bitcoin
internal import CryptoPrimitives
internal import MuSig2
public import Secp256k1

/// Proof of a signer's fault, which anyone can check with nothing else in hand: the request, who was to sign it and how, and the
/// signed statements.
public struct Evidence: Hashable, Sendable {
    public let request: SigningRequest
    /// The set, in the order of aggregation.
    public let signers: [PublicKey]
    /// Which inputs they sign, and by which path.
    public let paths: [Int: SpendPath]
    public let attempt: UInt32
    public let statements: [Statement]

    public init(plan: SigningPlan, attempt: UInt32, statements: [Statement]) {
        self.request = plan.request
        self.signers = plan.signers
        self.paths = Dictionary(uniqueKeysWithValues: plan.inputs.map { ($0.index, $0.path) })
        self.attempt = attempt
        var seen: Set<Statement> = []
        self.statements = statements.filter { seen.insert($0).inserted }
    }

    /// What the evidence shows.
    public enum Verdict: Hashable, Sendable, CustomStringConvertible {
        /// This signer's own signed statements show the fault.
        case proved(signer: PublicKey, Fault)
        /// Nothing is proved against anyone, and why.
        case nothingProved(String)

        public var description: String {
            switch self {
            case .proved(let signer, let fault): "signer \(signer) is at fault: \(fault)"
            case .nothingProved(let reason): "nothing is proved: \(reason)"
            }
        }
    }

    public enum Fault: Hashable, Sendable, CustomStringConvertible {
        /// Two different nonce sets under one name.
        case conflictingNonces(NonceName)
        /// A nonce that is no pair of points.
        case malformedNonces
        /// A partial signature that is no number below the order.
        case malformedPartialSignatures
        /// A partial signature that does not verify for this input under the transcript that it names.
        case invalidPartialSignature(input: Int)
        /// A coordinator that began this attempt twice, with different transcripts, in one life of its process.
        case conflictingBegins(attempt: UInt32)
        /// Two different commitments under one name.
        case conflictingCommitments(NonceName)
        /// Other nonces under this name than those that it had committed to.
        case wrongOpening(NonceName)

        public var description: String {
            switch self {
            case .conflictingNonces(let name): "it signed two different sets of nonces under the name \(name)"
            case .malformedNonces: "it signed nonces that are none"
            case .malformedPartialSignatures: "it signed partial signatures that are none"
            case .invalidPartialSignature(let input): "it signed a partial signature for input \(input) that does not verify"
            case .conflictingBegins(let attempt): "it began attempt \(attempt) with two different transcripts"
            case .conflictingCommitments(let name): "it signed two different commitments to nonces under the name \(name)"
            case .wrongOpening(let name): "it signed other nonces under the name \(name) than those that it had committed to"
            }
        }
    }

    /// Judges the statements. Each was verified when it was read, so that what remains is what they mean together.
    public func verdict() -> Verdict {
        let plan: SigningPlan
        do { plan = try self.plan() } catch { return .nothingProved("the set cannot sign this request: \(error)") }
        let own = self.statements.filter { $0.isAbout(plan.requestDigest) && self.signers.contains($0.sender) }
        guard !own.isEmpty else { return .nothingProved("no statement of a signer is about this request") }
        // What was signed for another attempt proves nothing about the one that is named here, which only the statements sign. The
        // nonces of an approval serve any.
        let ofAttempt = own.filter { $0.attempt == self.attempt || $0.servesAnyAttempt }
        return Self.conflict(of: ofAttempt, with: own) ?? Self.malformed(in: ofAttempt) ?? Self.brokenCommitment(in: own)
            ?? Self.conflictingBegins(in: ofAttempt)
            ?? Self.badPartialSignature(in: ofAttempt, attempt: self.attempt, plan: plan)
            ?? .nothingProved("the statements do not contradict each other or the mathematics")
    }

    /// All signers of whom a partial signature does not verify, where `verdict` names one. The nonces are each signer's only ones and
    /// well formed; so what holds of a signer here holds of the evidence with the partial signatures of that signer alone.
    func signersOfBadPartialSignatures() -> Set<PublicKey> {
        guard let plan = try? self.plan() else { return [] }
        let own = self.statements.filter { $0.isAbout(plan.requestDigest) && ($0.attempt == self.attempt || $0.servesAnyAttempt) }
        guard let judgement = Self.judgement(of: own, attempt: self.attempt, plan: plan) else { return [] }
        // Of each signer only as many are verified as it takes; signers beside each other.
        let suspects = Dictionary(grouping: judgement.items, by: \.seat).sorted { $0.key < $1.key }
        let culprits = Cores.indices(below: suspects.count) { place in
            let items = suspects[place].value
            return Cores.firstIndex(below: items.count) { judgement.isBad(items[$0]) } != nil
        }
        return Set(culprits.map { plan.signers[suspects[$0].key] })
    }

    func plan() throws(SigningError) -> SigningPlan {
        try SigningPlan(request: self.request, signers: self.signers, paths: self.paths)
    }

    /// Two nonce sets of one name, one of them of this attempt. A name belongs to one attempt only, so any other one conflicts.
    private static func conflict(of statements: [Statement], with others: [Statement]) -> Verdict? {
        var seen: [PublicKey: [NonceName: [[UInt8]]]] = [:]
        for statement in statements {
            guard let (name, nonces) = statement.namedNonces else { continue }
            seen[statement.sender, default: [:]][name] = nonces
        }
        for statement in others {
            guard let (name, nonces) = statement.namedNonces else { continue }
            if let own = seen[statement.sender]?[name], own != nonces {
                return .proved(signer: statement.sender, .conflictingNonces(name))
            }
        }
        return nil
    }

    /// Contributions that are no points or numbers, whatever the plan. How many there are proves nothing: whoever composes the
    /// evidence chooses which inputs stand in it.
    private static func malformed(in statements: [Statement]) -> Verdict? {
        for statement in statements {
            if (try? statement.nonceSet()) == nil, statement.namedNonces != nil {
                return .proved(signer: statement.sender, .malformedNonces)
            }
            if (try? statement.partialSignatures()) == nil, case .partialSignatures = statement.body {
                return .proved(signer: statement.sender, .malformedPartialSignatures)
            }
        }
        return nil
    }

    /// Two begins of one attempt by one life of a coordinator. A restarted one has another incarnation, and may not know any more what
    /// it began.
    private static func conflictingBegins(in statements: [Statement]) -> Verdict? {
        struct Begin: Hashable {
            let coordinator: PublicKey
            let attempt: UInt32
            let incarnation: [UInt8]
        }
        var seen: [Begin: Bytes32] = [:]
        for statement in statements {
            guard case .begin(let incarnation, let transcript) = statement.body else { continue }
            let begin = Begin(coordinator: statement.sender, attempt: statement.attempt, incarnation: incarnation)
            if let other = seen[begin], other != transcript {
                return .proved(signer: statement.sender, .conflictingBegins(attempt: statement.attempt))
            }
            seen[begin] = transcript
        }
        return nil
    }

    /// The partial signatures that can be judged, and what judges them.
    private struct Judgement {
        /// One partial signature: of this signer, which stands at this place of the set, for this one of the plan's inputs.
        struct Item: Hashable {
            let seat: Int
            let place: Int
            let partial: PartialSignature
        }

        let plan: SigningPlan
        /// One for each input; `nil` where the nonces, which are what their signers signed, make none.
        let contexts: [SigningContext?]
        /// In the order in which they stand in the statements, each content once.
        let items: [Item]

        func isBad(_ item: Item) -> Bool {
            guard let isValid = try? self.contexts[item.place]?.isValid(item.partial, of: item.seat) else { return false }
            return !isValid
        }
    }

    /// - Returns: `nil` where there is nothing to judge, or not all that it takes.
    private static func judgement(of statements: [Statement], attempt: UInt32, plan: SigningPlan) -> Judgement? {
        var sets: [PublicKey: NonceSet] = [:]
        for statement in statements {
            if let set = try? statement.nonceSet(for: plan.requestDigest, inputs: plan.inputs.count) { sets[statement.sender] = set }
        }
        let ordered = plan.signers.compactMap { sets[$0] }
        guard ordered.count == plan.signers.count, ordered.allSatisfy({ $0.nonces.count == plan.inputs.count }) else { return nil }
        let transcript = plan.transcript(attempt: attempt, nonceSets: ordered)
        let seats = Dictionary(plan.signers.enumerated().map { ($1, $0) }, uniquingKeysWith: { first, _ in first })
        // One content can be signed in many ways, and statements can have much in common.
        var seen: Set<Judgement.Item> = []
        var items: [Judgement.Item] = []
        for statement in statements {
            // Who signed under another transcript saw other nonces; that is no fault of his.
            guard case .partialSignatures(transcript, _) = statement.body, let partials = try? statement.partialSignatures(),
                let seat = seats[statement.sender], partials.count == plan.inputs.count
            else { continue }
            for (place, partial) in partials.enumerated() {
                let item = Judgement.Item(seat: seat, place: place, partial: partial)
                if seen.insert(item).inserted { items.append(item) }
            }
        }
        guard !items.isEmpty else { return nil }
        let contexts = plan.inputs.enumerated().map { place, input in
            try? SigningContext(keys: input.keys, nonces: ordered.map { $0.nonces[place] }, message: input.message)
        }
        return Judgement(plan: plan, contexts: contexts, items: items)
    }

    /// The first partial signature that does not verify, if one does not. On all cores, and each verified once at most.
    private static func badPartialSignature(in statements: [Statement], attempt: UInt32, plan: SigningPlan) -> Verdict? {
        guard let judgement = Self.judgement(of: statements, attempt: attempt, plan: plan) else { return nil }
        let items = judgement.items
        return Cores.firstIndex(below: items.count) { judgement.isBad(items[$0]) }.map { first in
            .proved(
                signer: plan.signers[items[first].seat], .invalidPartialSignature(input: plan.inputs[items[first].place].index))
        }
    }
}

// MARK: - Encoding

extension Evidence {
    /// Largest evidence file that is read, in bytes: a request of 1,000 inputs with its signers' statements.
    public static let byteCountMax = 32 << 20

    /// Most statements in evidence: nonces and partial signatures of its set, and one that contradicts. Each costs three signature
    /// verifications, and is then judged.
    public static func statementCountMax(signers: Int) -> Int { 2 * signers + 1 }

    private static let magic = Array("chorale evidence 1\n".utf8)
    /// Where the request has options, whose byte follows its id.
    private static let magicWithOptions = Array("chorale evidence 2\n".utf8)

    public func serialized() -> [UInt8] {
        var writer = ByteWriter()
        writer.write(self.request.options == nil ? Self.magic : Self.magicWithOptions)
        writer.writeVariableBytes(self.request.transaction.serializedWithoutWitness())
        for prevout in self.request.prevouts { writer.writeVariableBytes(prevout.serialized()) }
        for type in self.request.sighashTypes { writer.writeUInt8(type.rawValue) }
        writer.write(self.request.policyDigest)
        writer.writeVariableBytes(self.request.proposer?.bytes ?? [])
        writer.writeUInt64(self.request.expiry)
        writer.write(self.request.id)
        if let options = self.request.options { writer.writeUInt8(options) }
        writer.writeCompactSize(self.signers.count)
        for signer in self.signers { writer.write(signer.bytes) }
        writer.writeCompactSize(self.paths.count)
        for (index, path) in self.paths.sorted(by: { $0.key < $1.key }) {
            writer.writeUInt32(UInt32(clamping: index))
            switch path {
            case .outputKey: writer.writeUInt8(0)
            case .keyPath(let merkleRoot):
                writer.writeUInt8(1)
                writer.writeVariableBytes(merkleRoot?.bytes ?? [])
            case .leaf(let controlBlock):
                writer.writeUInt8(2)
                writer.writeVariableBytes(controlBlock.serialized())
            }
        }
        writer.writeUInt32(self.attempt)
        writer.writeCompactSize(self.statements.count)
        for statement in self.statements { writer.writeVariableBytes(statement.serialized()) }
        return writer.bytes
    }

    /// Reads an evidence file. Every statement's signatures are verified here; `verdict` says what they show.
    public init(parsing bytes: [UInt8]) throws(StatementError) {
        guard bytes.count <= Self.byteCountMax else { throw .tooLarge(byteCount: bytes.count, limit: Self.byteCountMax) }
        do { self = try Self.read(bytes) } catch let error as StatementError { throw error } catch {
            throw .malformed("evidence: \(error)")
        }
    }

    private static func read(_ bytes: [UInt8]) throws -> Evidence {
        var reader = ByteReader(bytes)
        let magic = try reader.readBytes(Self.magic.count, "first line")
        guard magic == Self.magic || magic == Self.magicWithOptions else { throw StatementError.unknownFormat }
        let transaction = try Transaction(parsingWithoutWitness: reader.readVariableBytes("transaction"))
        guard transaction.inputs.count <= SigningRequest.inputCountMax else { throw StatementError.malformed("too many inputs") }
        let prevouts = try transaction.inputs.map { _ in try TransactionOutput(parsing: reader.readVariableBytes("prevout")) }
        let types = try transaction.inputs.map { _ in try SighashType(parsing: UInt32(reader.readUInt8("sighash type"))) }
        let policyDigest = try reader.readBytes32("policy digest")
        let proposer = try reader.readVariableBytes("proposer")
        let request = try SigningRequest(
            transaction: transaction, prevouts: prevouts, sighashTypes: types, policyDigest: policyDigest,
            proposer: proposer.isEmpty ? nil : PublicKey(parsing: proposer), expiry: reader.readUInt64("expiry"),
            id: reader.readBytes32("id"), usesNonceCommitments: magic == Self.magicWithOptions && SigningRequest.readOptions(&reader))
        var signers: [PublicKey] = []
        for _ in 0..<(try Self.readCount(&reader, "signers", minimumByteCount: PublicKey.byteCount, limit: SigningPlan.signerCountMax)) {
            signers.append(try PublicKey(parsing: reader.readBytes(PublicKey.byteCount, "signer")))
        }
        var paths: [Int: SpendPath] = [:]
        var lastIndex = -1
        for _ in 0..<(try Self.readCount(&reader, "paths", minimumByteCount: 5, limit: SigningRequest.inputCountMax)) {
            let index = Int(try reader.readUInt32("input"))
            // Rising, as they are written: one evidence has one encoding.
            guard index > lastIndex else { throw StatementError.malformed("evidence: input \(index) stands after input \(lastIndex)") }
            lastIndex = index
            paths[index] = try Self.readPath(&reader)
        }
        let attempt = try reader.readUInt32("attempt")
        var statements: [Statement] = []
        var seen: Set<[UInt8]> = []
        let limit = Self.statementCountMax(signers: signers.count)
        for _ in 0..<(try Self.readCount(&reader, "statements", minimumByteCount: Enrolment.byteCount, limit: limit)) {
            let bytes = try reader.readVariableBytes("statement")
            guard seen.insert(bytes).inserted else { throw StatementError.malformed("evidence: a statement stands in it twice") }
            statements.append(try Statement(parsing: bytes))
        }
        try reader.finish()
        return Evidence(request: request, signers: signers, paths: paths, attempt: attempt, statements: statements)
    }

    private static func readCount(
        _ reader: inout ByteReader, _ what: String, minimumByteCount: Int, limit: Int
    ) throws -> Int {
        let count = try reader.readCount(what, minimumByteCount: minimumByteCount)
        guard count <= limit else { throw StatementError.malformed("evidence: \(count) \(what), and the limit is \(limit)") }
        return count
    }

    private static func readPath(_ reader: inout ByteReader) throws -> SpendPath {
        switch try reader.readUInt8("kind of path") {
        case 0: return .outputKey
        case 1:
            let root = try reader.readVariableBytes("merkle root")
            if root.isEmpty { return .keyPath(merkleRoot: nil) }
            guard let merkleRoot = Bytes32(root) else { throw StatementError.malformed("a merkle root of another length") }
            return .keyPath(merkleRoot: merkleRoot)
        case 2: return .leaf(try ControlBlock(parsing: reader.readVariableBytes("control block")))
        default: throw StatementError.unknownFormat
        }
    }

    private init(request: SigningRequest, signers: [PublicKey], paths: [Int: SpendPath], attempt: UInt32, statements: [Statement]) {
        self.request = request
        self.signers = signers
        self.paths = paths
        self.attempt = attempt
        self.statements = statements
    }
}
