import Bitcoin
import CryptoPrimitives

/// How outputs are shown.
enum ScriptDescription {
    /// The usual name of the pattern.
    static func typeName(_ script: Script) -> String {
        switch script.kind {
        case .payToPublicKeyHash: "P2PKH"
        case .payToScriptHash: "P2SH"
        case .payToWitnessPublicKeyHash: "P2WPKH"
        case .payToWitnessScriptHash: "P2WSH"
        case .payToTaproot: "P2TR"
        case .payToUnknownWitness(let program): "witness version \(program.version)"
        case .dataCarrier: "OP_RETURN"
        case .other: "other"
        }
    }

    /// The address where there is one and the network is known; else type and bytes, cut to one line.
    static func recipient(_ script: Script, on network: Network?) -> String {
        if let network, let address = Address(scriptPubKey: script, network: network) { return address.text }
        let hex = script.hex
        return
            "\(self.typeName(script)) script \(hex.count <= 72 ? hex : "\(hex.prefix(60))… (\(Amounts.grouped(script.bytes.count)) bytes)")"
    }

    /// In which form `recipient` shows outputs, and how to see the other one.
    static func form(on network: Network?) -> String {
        network.map { "addresses as on \($0) (--network)" } ?? "scripts are shown, and with --network NET addresses"
    }

    static func json(_ output: TransactionOutput, on network: Network?) -> [(name: String, value: JSONValue)] {
        let address = network.flatMap { Address(scriptPubKey: output.scriptPubKey, network: $0)?.text }
        return [
            ("amount", .unsigned(output.amount)), ("script_pubkey", .string(output.scriptPubKey.hex)),
            ("type", .string(self.typeName(output.scriptPubKey))), ("address", .optional(address)),
        ]
    }

    /// Both units, for nobody should have to count zeros.
    static func amount(_ satoshi: UInt64) -> String { "\(Amounts.bitcoin(satoshi)) (\(Amounts.satoshi(satoshi)))" }

    /// What a lock time asks for (BIP-65's threshold).
    static func lockTime(_ lockTime: UInt32) -> String {
        switch lockTime {
        case 0: "no lock time"
        case ..<500_000_000: "not before block \(Amounts.grouped(lockTime))"
        default: "not before Unix time \(lockTime)"
        }
    }
}
