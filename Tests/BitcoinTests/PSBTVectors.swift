import Bitcoin
import CryptoPrimitives
import TestVectors
import Testing

/// The official PSBTs of one BIP, as `extracted/bipNNN.json` holds them.
struct PSBTVectorFile: Decodable {
    /// One PSBT in both encodings.
    struct Case: Decodable, CustomTestStringConvertible, Sendable {
        var valid: Bool
        var why: String
        var hex: String
        var base64: String

        var testDescription: String { self.why }

        func bytes() throws -> [UInt8] { try Hex.decode(self.hex) }

        /// Throws what the decoder says of the bytes; the file's own hex is known to be hex.
        func psbt() throws(PSBTError) -> PSBT { try PSBT(parsing: (try? self.bytes()) ?? []) }
    }

    var psbts: [Case]
    var signerFails: [Case]?
    var roles: PSBTRoles?
    var aggregatePubkey: String?
    var participants: [PSBTParticipant]?

    var valid: [Case] { self.psbts.filter(\.valid) }
    var invalid: [Case] { self.psbts.filter { !$0.valid } }

    static func path(_ bip: Int) -> String { "extracted/bip\(bip).json" }
    static func isThere(_ bip: Int) -> Bool { VectorFolder.has(Self.path(bip)) }
    static func load(_ bip: Int) throws -> Self { try VectorFolder.load(Self.path(bip)) }

    /// The cases of one kind; none when the folder is not there, and then the suites that use them are skipped by name.
    static func cases(_ bip: Int, _ kind: KeyPath<Self, [Case]>) -> [Case] {
        (try? Self.load(bip))?[keyPath: kind] ?? []
    }

    static let absence = "needs the bips folder: set CHORALE_BIPS"
}

struct PSBTParticipant: Decodable {
    var pubkey: String
}

/// The role steps of BIP-174: each takes the result of an earlier one.
struct PSBTRoles: Decodable {
    struct Encoded: Decodable {
        var hex: String
        var base64: String

        func psbt() throws -> PSBT { try PSBT(parsing: Hex.decode(self.hex)) }
    }

    struct Creator: Decodable {
        struct Output: Decodable {
            var scriptPubKey: String
            var amountBtc: String
        }
        struct Input: Decodable {
            var txid: String
            var index: UInt32
        }
        var outputs: [Output]
        var inputs: [Input]
        var result: Encoded
    }

    struct Updater: Decodable {
        struct Key: Decodable {
            var key: String
            var path: String
        }
        var redeemScripts: [String]
        var witnessScripts: [String]
        var previousTxs: [String]
        var publicKeys: [Key]
        var result: Encoded
    }

    struct Step: Decodable {
        var result: Encoded
    }

    struct Extractor: Decodable {
        var resultTx: String
    }

    struct UnknownKeys: Decodable {
        var inputs: [Encoded]
        var result: Encoded
    }

    var creator: Creator
    var updater: Updater
    var updaterSighashAll: Step
    var signer1: Step
    var signer2: Step
    var combiner: Step
    var finalizer: Step
    var extractor: Extractor
    var combinerUnknownKeys: UnknownKeys
}
