import CryptoPrimitives

/// A partially signed Bitcoin transaction, version 0: the paper that travels between those who make, check and sign a
/// transaction (BIP-174), with the fields for Taproot (BIP-371) and MuSig2 (BIP-373).
///
///     var psbt = try PSBT(unsignedTransaction: transaction)     // creator
///     psbt.inputs[0].witnessUTXO = coin                         // updater
///     psbt = try PSBT(combining: [psbt, theirs])                // combiner
///     try psbt.finalize()                                       // input finalizer
///     let transaction = try psbt.extract()                      // transaction extractor
///
/// What was parsed or combined encodes to bytes that parse to an equal value; so does what was set by hand, as long as it stays
/// within the bounds below. Encoding puts the fields of each map into one fixed order (see `serialized()`), so equal values have
/// equal bytes, and every official PSBT comes out as it went in.
/// Fields of unknown type and proprietary ones are carried along byte for byte.
public struct PSBT: Hashable, Sendable {
    /// Longest PSBT that is read, in bytes of the binary encoding: 16 MiB.
    ///
    /// Source: Chorale's own bound; 1,000 inputs with previous transactions of 16 KB each.
    public static let byteCountMax = 16 * 1024 * 1024

    /// Most inputs that are read.
    ///
    /// Source: Chorale's own bound, four times what fits into the largest transaction that nodes relay (400,000 weight units,
    /// at least 164 for each input).
    public static let inputCountMax = 10_000

    /// Most outputs that are read.
    ///
    /// Source: Chorale's own bound, more than fit into the largest transaction that nodes relay (400,000 weight units, at
    /// least 36 for each output).
    public static let outputCountMax = 12_000

    /// Most fields that are read, in all maps together.
    ///
    /// A field takes at least four bytes and, decoded, some hundreds; without this bound a short PSBT would fill the memory.
    ///
    /// Source: Chorale's own bound; 20,000 signers × inputs with ten fields each.
    public static let fieldCountMax = 200_000

    /// Most witness items and leaves of trees that are read, in all maps together.
    ///
    /// One takes as little as one byte and, decoded, up to 80; without this bound a PSBT of 16 MiB would take a gigabyte.
    ///
    /// Source: Chorale's own bound; 10,000 inputs whose previous transactions have 100 witness items each.
    public static let itemCountMax = 1_000_000

    /// Most participants of one aggregate key that are read (PSBT_IN_MUSIG2_PARTICIPANT_PUBKEYS and its twin of outputs).
    ///
    /// Every signature that a PSBT begins names a group, and names are cheap: without this bound one field of a megabyte, named
    /// by thousands of contributions, costs hours of work.
    ///
    /// Source: Chorale's own bound, the most signers of a session.
    public static let participantCountMax = 1_000

    /// The transaction to be signed, without scriptSigs and witnesses (PSBT_GLOBAL_UNSIGNED_TX). It names the PSBT.
    public let unsignedTransaction: Transaction

    /// The version that the PSBT states (PSBT_GLOBAL_VERSION): 0, or `nil` where it states none, which means the same.
    public internal(set) var statedVersion: UInt32?

    /// Extended public keys from which keys of this transaction derive, and where they come from (PSBT_GLOBAL_XPUB).
    public internal(set) var extendedPublicKeys: [ExtendedPublicKey: KeyOrigin] = [:]

    /// Private-use fields of the global map (PSBT_GLOBAL_PROPRIETARY).
    public var proprietary: [ProprietaryKey: [UInt8]] = [:]

    /// Fields of the global map whose type is not known here.
    public internal(set) var unknown: [UnknownKey: [UInt8]] = [:]

    /// What is known of each input, in the transaction's order; their count is fixed, and a map belongs to its own place.
    public var inputs: [Input] {
        didSet { precondition(self.inputs.count == self.unsignedTransaction.inputs.count, "a PSBT has one map for each input") }
    }

    /// What is known of each output, in the transaction's order; their count is fixed.
    public var outputs: [Output] {
        didSet { precondition(self.outputs.count == self.unsignedTransaction.outputs.count, "a PSBT has one map for each output") }
    }

    /// A PSBT that holds nothing but the transaction (BIP-174, "Creator").
    ///
    /// - Throws: `unsignedTransactionIsSigned` when an input has a scriptSig or a witness, and `tooManyInputs` or
    ///   `tooManyOutputs` above this type's bounds.
    public init(unsignedTransaction: Transaction) throws(PSBTError) {
        if let input = unsignedTransaction.inputs.firstIndex(where: { !$0.scriptSig.isEmpty || !$0.witness.isEmpty }) {
            throw .unsignedTransactionIsSigned(input: input)
        }
        guard unsignedTransaction.inputs.count <= Self.inputCountMax else {
            throw .tooManyInputs(unsignedTransaction.inputs.count)
        }
        guard unsignedTransaction.outputs.count <= Self.outputCountMax else {
            throw .tooManyOutputs(unsignedTransaction.outputs.count)
        }
        self.unsignedTransaction = unsignedTransaction
        self.inputs = unsignedTransaction.inputs.map { _ in Input() }
        self.outputs = unsignedTransaction.outputs.map { _ in Output() }
    }
}
