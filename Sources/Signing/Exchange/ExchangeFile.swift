internal import Bitcoin
public import CryptoPrimitives
public import Secp256k1

/// A file of an exchange folder: its path inside the folder, and its bytes.
public struct ExchangeFile: Hashable, Sendable {
    public let path: String
    public let bytes: [UInt8]

    public init(path: String, bytes: [UInt8]) {
        self.path = path
        self.bytes = bytes
    }

    /// Largest file that is read, in bytes: a PSBT with the nonces of 1,000 inputs and a large transaction, and room beside.
    public static let byteCountMax = 8 << 20
}

/// What a file is, which its path says. One request has a folder of its own; each attempt has one inside it.
///
///     chorale-1f0c5a77d3b1e29a/
///         presence-02ab….chorale          "I am here", rewritten while its process runs
///         attempt-0001/set.psbt           who signs; created once, by whoever is first
///         attempt-0001/nonces-02ab….psbt      round 1
///         attempt-0001/partials-02ab….psbt    round 2
///         final.tx                        the signed transaction, in hex
///         evidence-02ab….chorale          proof of a fault, should there be one
public enum ExchangePath: Hashable, Sendable, CustomStringConvertible {
    case presence(PublicKey)
    case set(attempt: UInt32)
    case nonces(attempt: UInt32, PublicKey)
    case partialSignatures(attempt: UInt32, PublicKey)
    case final
    case evidence(PublicKey)

    /// Most attempts in one folder: what four digits count.
    public static let attemptMax: UInt32 = 9_999

    /// The folder of a request within the folder that the signers share: `chorale-` and the first 16 hex digits of T0.
    public static func folder(of request: Bytes32) -> String { "chorale-\(request.description.prefix(16))" }

    public static func attemptFolder(_ attempt: UInt32) -> String {
        let digits = String(attempt)
        return "attempt-" + String(repeating: "0", count: max(0, 4 - digits.count)) + digits
    }

    public var description: String {
        switch self {
        case .presence(let signer): "presence-\(signer).chorale"
        case .set(let attempt): "\(Self.attemptFolder(attempt))/set.psbt"
        case .nonces(let attempt, let signer): "\(Self.attemptFolder(attempt))/nonces-\(signer).psbt"
        case .partialSignatures(let attempt, let signer): "\(Self.attemptFolder(attempt))/partials-\(signer).psbt"
        case .final: "final.tx"
        case .evidence(let signer): "evidence-\(signer).chorale"
        }
    }

    /// What a path means; `nil` for every path that is none of an exchange's.
    public init?(_ text: String) {
        let parts = text.split(separator: "/", omittingEmptySubsequences: false)
        switch parts.count {
        case 1: self.init(root: String(parts[0]))
        case 2: self.init(attemptFolder: String(parts[0]), name: String(parts[1]))
        default: return nil
        }
    }

    private init?(root name: String) {
        if name == "final.tx" {
            self = .final
        } else if let signer = Self.signer(name, "presence-", ".chorale") {
            self = .presence(signer)
        } else if let signer = Self.signer(name, "evidence-", ".chorale") {
            self = .evidence(signer)
        } else {
            return nil
        }
    }

    private init?(attemptFolder: String, name: String) {
        guard attemptFolder.hasPrefix("attempt-"), let attempt = UInt32(attemptFolder.dropFirst(8)),
            (1...Self.attemptMax).contains(attempt),
            Self.attemptFolder(attempt) == attemptFolder
        else { return nil }
        if name == "set.psbt" {
            self = .set(attempt: attempt)
        } else if let signer = Self.signer(name, "nonces-", ".psbt") {
            self = .nonces(attempt: attempt, signer)
        } else if let signer = Self.signer(name, "partials-", ".psbt") {
            self = .partialSignatures(attempt: attempt, signer)
        } else {
            return nil
        }
    }

    private static func signer(_ name: String, _ prefix: String, _ suffix: String) -> PublicKey? {
        guard name.hasPrefix(prefix), name.hasSuffix(suffix) else { return nil }
        guard let bytes = try? Hex.decode(name.dropFirst(prefix.count).dropLast(suffix.count)),
            let key = try? PublicKey(parsing: bytes), "\(prefix)\(key)\(suffix)" == name
        else { return nil }
        return key
    }
}

/// A statement in a PSBT: the BIP-373 fields that any wallet reads, and beside them, in a proprietary field of the global map
/// (identifier `chorale`, subtype 1, key data: the kind of statement and its sender), the statement that proves who put them there.
///
/// The key data sets the statements of one attempt apart, so that any combiner can put its files together.
enum StatementPSBT {
    static func psbtKey(of statement: Statement) -> PSBT.ProprietaryKey {
        PSBT.ProprietaryKey(identifier: Self.identifier, subtype: Self.subtype, keyData: [statement.body.kind] + statement.sender.bytes)
    }

    private static let identifier = Array("chorale".utf8)
    private static let subtype: UInt64 = 1

    /// The statement's contributions under the labels of the plan.
    static func encode(_ statement: Statement, plan: SigningPlan) throws(PSBTError) -> [UInt8] {
        var psbt = try Self.contributions(of: statement, plan: plan)
        psbt.proprietary[Self.psbtKey(of: statement)] = statement.serialized()
        return psbt.serialized()
    }

    /// Reads the statement, its signature verified. The fields beside it are not looked at: anyone can change them, and T1 binds what
    /// is signed to the set and its nonces.
    static func decode(_ bytes: [UInt8]) throws(StatementError) -> Statement {
        let psbt: PSBT
        do { psbt = try PSBT(parsing: bytes) } catch { throw .malformed("\(error)") }
        let fields = psbt.proprietary.filter { $0.key.identifier == Self.identifier && $0.key.subtype == Self.subtype }
        guard let field = fields.first else { throw .malformed("the PSBT holds no statement of Chorale") }
        guard fields.count == 1 else { throw .malformed("the PSBT holds more than one statement: it was combined") }
        let statement = try Statement(parsing: field.value)
        guard field.key == Self.psbtKey(of: statement) else { throw .malformed("the PSBT's statement stands under another name") }
        return statement
    }

    private static func contributions(of statement: Statement, plan: SigningPlan) throws(PSBTError) -> PSBT {
        var psbt = try PSBT(unsignedTransaction: plan.request.transaction)
        for (place, input) in plan.inputs.enumerated() {
            // BIP-373: the aggregate key as it stands in the output or the script.
            let label = PSBT.MuSig2Contribution(
                participant: statement.sender, aggregateKey: input.keys.aggregateKey, leafHash: input.leafHash)
            switch statement.body {
            case .nonces(_, let nonces) where place < nonces.count:
                try psbt.addMuSig2PublicNonce(nonces[place], for: label, toInput: input.index)
            case .partialSignatures(_, let partials) where place < partials.count:
                try psbt.addMuSig2PartialSignature(partials[place], for: label, toInput: input.index)
            case .set:
                psbt.inputs[input.index].witnessUTXO = plan.request.prevouts[input.index]
                psbt.inputs[input.index].musig2Participants[input.keys.untweakedKey] = plan.signers
                // What a finalizer needs to find the group's key in the output's (BIP-371), and the signatures' type.
                if case .keyPath(let merkleRoot) = input.path {
                    psbt.inputs[input.index].tapInternalKey = input.keys.untweakedKey.xOnly
                    psbt.inputs[input.index].tapMerkleRoot = merkleRoot
                }
                if input.sighashType != .default { psbt.inputs[input.index].sighashType = UInt32(input.sighashType.rawValue) }
                if let leaf = input.leaf { psbt.inputs[input.index].tapLeafScripts[leaf.controlBlock] = TapLeaf(script: leaf.script) }
            case .nonces, .partialSignatures, .presence, .proposal, .approval, .refusal, .cancellation, .begin, .commitment, .pooledNonces:
                break
            }
        }
        return psbt
    }
}
