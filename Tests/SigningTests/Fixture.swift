import Bitcoin
import CryptoPrimitives
import MuSig2
import MuSig2Reference
import Secp256k1
import Signing
import Testing

/// Numbers that one seed fixes (SplitMix64).
struct SeededNumbers: RandomNumberGenerator {
    private var state: UInt64

    init(seed: UInt64) { self.state = seed }

    mutating func next() -> UInt64 {
        self.state &+= 0x9e37_79b9_7f4a_7c15
        var z = self.state
        z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
        z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
        return z ^ (z >> 31)
    }

    /// True once in `count` times.
    mutating func oneIn(_ count: Int) -> Bool { Int.random(in: 0..<count, using: &self) == 0 }
}

/// One key, fixed by its number.
final class Signer: Sendable {
    let key: SecretKey
    var publicKey: PublicKey { self.key.publicKey }

    init(_ number: Int) throws {
        let scalar = SHA256.hash(Array("signing tests, signer \(number)".utf8))
        let secret = try SecretBytes(count: 32) { $0.copyBytes(from: scalar.bytes) }
        self.key = try SecretKey(parsing: secret)
    }

    /// So many signers, sorted by their keys.
    static func make(_ count: Int) throws -> [Signer] {
        try (0..<count).map { try Signer($0) }.sorted { $0.publicKey < $1.publicKey }
    }
}

/// Signers, and a plan that they all built.
struct Scene: Sendable {
    /// In the plan's order.
    let signers: [Signer]
    let plan: SigningPlan

    /// All signers together spend coins of their group by the key path.
    init(
        signers count: Int = 3, inputs: Int = 2, merkleRoot: Bytes32? = nil, sighashTypes: [SighashType]? = nil, id: Bytes32 = Bytes32()
    ) throws {
        let signers = try Signer.make(count)
        let group = try SignerGroup(signers.map(\.publicKey), merkleRoot: merkleRoot)
        try self.init(signers, under: group, set: nil, inputs: inputs, sighashTypes: sighashTypes, id: id)
    }

    /// A set of the policy's members spends some of its coins.
    init(
        _ signers: [Signer], under policy: some SpendingPolicy, set: [PublicKey]?, inputs: Int, sighashTypes: [SighashType]? = nil,
        id: Bytes32 = Bytes32()
    ) throws {
        let (transaction, coins) = Self.transaction(inputs: inputs, script: policy.scriptPubKey)
        let request = try SigningRequest(
            transaction: transaction, prevouts: coins, sighashTypes: sighashTypes, policyDigest: policy.digest, id: id)
        self.plan = try SigningPlan(request: request, under: policy, set: set)
        let members = self.plan.signers
        self.signers = try members.map { member in try #require(signers.first { $0.publicKey == member }) }
    }

    static func transaction(inputs: Int, script: Script, salt: UInt8 = 0) -> (transaction: Transaction, coins: [TransactionOutput]) {
        let coins = (0..<inputs).map { TransactionOutput(amount: 10_000 + UInt64($0), scriptPubKey: script) }
        let spent = (0..<inputs).map {
            TransactionInput(previousOutput: OutPoint(txid: Txid(SHA256.hash([salt])), index: UInt32($0)), sequence: 0xffff_fffd)
        }
        let outputs = (0..<inputs).map { TransactionOutput(amount: 9_000 + UInt64($0), scriptPubKey: script) }
        return (Transaction(inputs: spent, outputs: outputs), coins)
    }

    /// One process for each signer.
    func processes(attempt: UInt32 = 1) -> [Party] { self.signers.map { Party($0, self.plan, attempt: attempt) } }
}

/// One process with one signer's key, or with none, that watches.
final class Party {
    let signer: Signer
    let incarnation: UInt8
    var session: SigningSession
    var key: PublicKey { self.signer.publicKey }
    var inquiry: Inquiry? { self.session.inquiry }

    init(_ signer: Signer, _ plan: SigningPlan, attempt: UInt32 = 1, incarnation: UInt8 = 1) {
        self.signer = signer
        self.incarnation = incarnation
        self.session = SigningSession(plan: plan, attempt: attempt)
    }

    static func name(_ incarnation: UInt8, _ counter: UInt32 = 1) -> NonceName {
        NonceName(known: Array(repeating: incarnation, count: NonceName.incarnationByteCount), counter: counter)
    }

    func nonces() throws(SigningError) -> NonceSet {
        try self.session.generateNonces(for: self.signer.key, name: Self.name(self.incarnation))
    }

    @discardableResult
    func add(_ set: NonceSet, from signer: PublicKey) throws(SigningError) -> SigningSession.Outcome {
        try self.session.add(set, from: signer)
    }

    /// Takes partial signatures as if their sender had named our own transcript.
    @discardableResult
    func add(_ partials: [PartialSignature], from signer: PublicKey) throws(SigningError) -> SigningSession.Outcome {
        let transcript = self.session.transcriptDigest ?? Bytes32()
        return try self.session.add(SignatureShares(transcript: transcript, partialSignatures: partials), from: signer)
    }

    @discardableResult
    func add(_ shares: SignatureShares, from signer: PublicKey) throws(SigningError) -> SigningSession.Outcome {
        try self.session.add(shares, from: signer)
    }

    func sign() throws(SigningError) -> BurnRecord { try self.session.sign(with: self.signer.key) }

    /// Signs as if a journal had made the record durable.
    func release() throws(SigningError) -> [PartialSignature] { try self.session.release(try self.sign()).partialSignatures }
}

extension NonceSet {
    /// A set for the first attempt at a plan's request.
    init(_ plan: SigningPlan, name: NonceName, nonces: [PublicNonce]) {
        self.init(request: plan.requestDigest, attempt: 1, name: name, nonces: nonces)
    }

    /// The same with another name or other nonces.
    func with(name: NonceName? = nil, nonces: [PublicNonce]? = nil) -> NonceSet {
        NonceSet(request: self.request, attempt: self.attempt, name: name ?? self.name, nonces: nonces ?? self.nonces)
    }
}

/// Round 1 among all parties: everybody has everybody's nonces.
func exchangeNonces(_ parties: [Party]) throws {
    let sets = try parties.map { try $0.nonces() }
    for party in parties {
        for (other, set) in zip(parties, sets) { try party.add(set, from: other.key) }
    }
}

/// Both rounds, and the end at every party.
func complete(_ parties: [Party]) throws -> Transaction {
    try exchangeNonces(parties)
    let partials = try parties.map { try $0.release() }
    var results: Set<Transaction> = []
    for party in parties {
        for (other, partial) in zip(parties, partials) { try party.add(partial, from: other.key) }
        results.insert(try #require(try party.session.tryFinalize()))
    }
    #expect(results.count == 1)
    return try #require(results.first)
}

/// Verifies each signed input from the finished transaction and the coins alone, by libsecp256k1 and by the plain-Swift BIP-340.
func expectValid(_ transaction: Transaction, for plan: SigningPlan, sourceLocation: SourceLocation = #_sourceLocation) throws {
    for input in plan.inputs {
        let items = transaction.inputs[input.index].witness.items
        let item = try #require(items.first, sourceLocation: sourceLocation)
        let type = item.count == 64 ? SighashType.default : try #require(item.last.flatMap(SighashType.init(rawValue:)))
        #expect(type == input.sighashType, sourceLocation: sourceLocation)
        var key = Array(plan.request.prevouts[input.index].scriptPubKey.bytes.suffix(32))
        var leaf: TapLeafHash?
        if items.count == 3 {
            let block = try ControlBlock(parsing: items[2])
            #expect(block.proves(Script(items[1]), for: try XOnlyPublicKey(parsing: key)), sourceLocation: sourceLocation)
            key = Array(items[1][1..<33])
            leaf = TapLeaf(script: Script(items[1])).hash
        }
        let message = try transaction.taprootSighash(input: input.index, prevouts: plan.request.prevouts, type: type, leaf: leaf)
        let signature = Array(item.prefix(64))
        #expect(
            try SchnorrSignature(parsing: signature).isValid(for: message, by: XOnlyPublicKey(parsing: key)),
            sourceLocation: sourceLocation)
        #expect(BIP340.verify(pk: key, msg: message.bytes, sig: signature), sourceLocation: sourceLocation)
    }
}

/// All orders of a list.
func permutations<Element>(_ elements: [Element]) -> [[Element]] {
    guard elements.count > 1 else { return [elements] }
    return elements.indices.flatMap { index in
        var rest = elements
        let first = rest.remove(at: index)
        return permutations(rest).map { [first] + $0 }
    }
}
