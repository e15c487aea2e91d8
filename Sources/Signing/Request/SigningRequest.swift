public import Bitcoin
public import CryptoPrimitives
public import Secp256k1

/// What is to be signed, as every signer rebuilds it for itself: the subject of approvals and nonces.
///
/// Its digest, T0, covers the unsigned transaction, every spent output, the sighash types, the policy, who proposed it, until
/// when, and a random id; never a PSBT's bytes, which may differ between signers that agree.
public struct SigningRequest: Hashable, Sendable {
    /// Most inputs of a transaction that is signed here.
    ///
    /// Each signer makes a nonce for each: at 1,000 a round of 15 signers is 1 MB of nonces.
    public static let inputCountMax = 1_000

    /// The transaction, without any scriptSig or witness.
    public let transaction: Transaction
    /// The output that each input spends, in the inputs' order.
    public let prevouts: [TransactionOutput]
    /// Each input's sighash type.
    public let sighashTypes: [SighashType]
    /// Digest of the policy under which the signers sign, or zeros where none is agreed on beforehand.
    public let policyDigest: Bytes32
    /// Who asks for the signatures, where that is known.
    public let proposer: PublicKey?
    /// Seconds since 1970 after which nothing new is signed; 0 for never.
    ///
    /// `SigningSessionManager` refuses then. `SigningSession` has no clock: who drives one asks `isExpired(at:)`.
    public let expiry: UInt64
    /// What sets two requests for the same transaction apart: `randomID()`, drawn by who asks and told to all signers; zeros where
    /// all must arrive at one request without talking.
    public let id: Bytes32
    /// Whether each signer commits to its nonces before any nonce of the set is shown: round 0, which `Coordination` then has. BIP-327 does
    /// not need it.
    public let usesNonceCommitments: Bool

    /// What the miners get, in satoshi: the coins less the outputs.
    ///
    /// Signatures prove the amounts of all coins only where no sighash type is `ANYONECANPAY`.
    public let fee: UInt64

    /// T0: tagged hash `chorale/request` of the canonical request. Worked out once: every statement, plan and machine asks for it.
    public private(set) var digest = Bytes32()

    /// Checks that the transaction can be signed: as many prevouts as inputs, no coin twice, amounts that add up.
    ///
    /// Signatures that the transaction holds already are left out: the request is the same before and after them.
    ///
    /// - Throws: `transaction` with what is wrong, or `tooLarge`. What no PSBT could hold is refused too: signers could not tell each
    ///   other what they sign.
    public init(
        transaction: Transaction, prevouts: [TransactionOutput], sighashTypes: [SighashType]? = nil, policyDigest: Bytes32 = Bytes32(),
        proposer: PublicKey? = nil, expiry: UInt64 = 0, id: Bytes32 = Bytes32(), usesNonceCommitments: Bool = false
    ) throws(SigningError) {
        let types = sighashTypes ?? Array(repeating: .default, count: transaction.inputs.count)
        guard !transaction.inputs.isEmpty else { throw .transaction("it spends no coin") }
        guard !transaction.outputs.isEmpty else { throw .transaction("it has no output") }
        guard transaction.inputs.count <= Self.inputCountMax else {
            throw .tooLarge(what: "inputs", actual: transaction.inputs.count, limit: Self.inputCountMax)
        }
        guard transaction.outputs.count <= PSBT.outputCountMax else {
            throw .tooLarge(what: "outputs", actual: transaction.outputs.count, limit: PSBT.outputCountMax)
        }
        guard prevouts.count == transaction.inputs.count else {
            throw .sighash(.prevoutCount(inputs: transaction.inputs.count, prevouts: prevouts.count))
        }
        guard types.count == transaction.inputs.count else {
            throw .transaction("\(types.count) sighash types were given for \(transaction.inputs.count) inputs")
        }
        guard Set(transaction.inputs.map(\.previousOutput)).count == transaction.inputs.count else {
            throw .transaction("it spends one coin twice")
        }
        let spent = try Self.total(prevouts, of: "the spent coins")
        let paid = try Self.total(transaction.outputs, of: "the outputs")
        guard paid <= spent else { throw .transaction("its outputs hold \(paid) sat and its coins only \(spent) sat") }
        var unsigned = transaction
        for index in unsigned.inputs.indices {
            unsigned.inputs[index].scriptSig = Script()
            unsigned.inputs[index].witness = Witness()
        }
        do { _ = try PSBT(unsignedTransaction: unsigned) } catch { throw .transaction(error.description) }
        self.transaction = unsigned
        self.prevouts = prevouts
        self.sighashTypes = types
        self.policyDigest = policyDigest
        self.proposer = proposer
        self.expiry = expiry
        self.id = id
        self.usesNonceCommitments = usesNonceCommitments
        self.fee = spent - paid
        var hash = Self.tag
        hash.update(self.serialized())
        self.digest = hash.finalize()
    }

    /// 32 random bytes to tell two requests apart.
    public static func randomID() -> Bytes32 { Bytes32 { SystemRandom.fill($0) } }

    /// Whether its time is over, in seconds since 1970.
    public func isExpired(at now: UInt64) -> Bool { self.expiry != 0 && now > self.expiry }

    private static let tag = SHA256.tagged("chorale/request")

    private static func total(_ outputs: [TransactionOutput], of what: String) throws(SigningError) -> UInt64 {
        var sum: UInt64 = 0
        for output in outputs {
            guard output.amount <= TransactionOutput.amountMax, sum + output.amount <= TransactionOutput.amountMax else {
                throw .transaction("\(what) hold more than there are bitcoins")
            }
            sum += output.amount
        }
        return sum
    }
}

// MARK: - Encoding

extension SigningRequest {
    /// Largest request that is read, in bytes: a transaction and its coins.
    public static let byteCountMax = 8 << 20

    /// What T0 covers, and what travels: the transaction without witnesses and with its length, each coin, each sighash type, policy
    /// digest, proposer, expiry, id; and a byte of options where there are any, so that what has none has the bytes that it always had.
    public func serialized() -> [UInt8] {
        var writer = ByteWriter()
        writer.writeVariableBytes(self.transaction.serializedWithoutWitness())
        for prevout in self.prevouts { writer.write(prevout.serialized()) }
        for type in self.sighashTypes { writer.writeUInt8(type.rawValue) }
        writer.write(self.policyDigest)
        writer.writeVariableBytes(self.proposer?.bytes ?? [])
        writer.writeUInt64(self.expiry)
        writer.write(self.id)
        if let options = self.options { writer.writeUInt8(options) }
        return writer.bytes
    }

    /// Reads `serialized()`'s bytes, and checks the request as `init` does.
    ///
    /// - Throws: `malformed` with what is wrong, `tooLarge`.
    public init(parsing bytes: [UInt8]) throws(StatementError) {
        guard bytes.count <= Self.byteCountMax else { throw .tooLarge(byteCount: bytes.count, limit: Self.byteCountMax) }
        do {
            var reader = ByteReader(bytes)
            self = try Self.read(&reader)
            try reader.finish()
        } catch let error as StatementError { throw error } catch { throw .malformed("request: \(error)") }
    }

    private static func read(_ reader: inout ByteReader) throws -> SigningRequest {
        let transaction = try Transaction(parsingWithoutWitness: reader.readVariableBytes("transaction"))
        guard transaction.inputs.count <= Self.inputCountMax else { throw StatementError.malformed("too many inputs") }
        let prevouts = try transaction.inputs.map { _ in
            TransactionOutput(amount: try reader.readUInt64("amount"), scriptPubKey: Script(try reader.readVariableBytes("script")))
        }
        let types = try transaction.inputs.map { _ in try SighashType(parsing: UInt32(reader.readUInt8("sighash type"))) }
        let policyDigest = try reader.readBytes32("policy digest")
        let proposer = try reader.readVariableBytes("proposer")
        return try SigningRequest(
            transaction: transaction, prevouts: prevouts, sighashTypes: types, policyDigest: policyDigest,
            proposer: proposer.isEmpty ? nil : PublicKey(parsing: proposer), expiry: reader.readUInt64("expiry"),
            id: reader.readBytes32("id"), usesNonceCommitments: !reader.isAtEnd && Self.readOptions(&reader))
    }

    /// The options in a byte, a bit each; `nil` where there are none.
    var options: UInt8? { self.usesNonceCommitments ? 1 : nil }

    /// Reads a byte of options. One request has one encoding, so none at all are not written.
    ///
    /// - Returns: whether nonces are committed to, the only one that there is.
    static func readOptions(_ reader: inout ByteReader) throws -> Bool {
        guard try reader.readUInt8("options") == 1 else { throw StatementError.unknownFormat }
        return true
    }
}
