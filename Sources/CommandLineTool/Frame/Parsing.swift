import Bitcoin
import CryptoPrimitives
import Secp256k1

/// Parsers for the values of options.
enum Parsing {
    static let text: TextParser<String> = { (text) throws(InvalidText) in text }

    /// A path to a file; an empty one is a variable that a script forgot to set.
    static let path: TextParser<String> = { (text) throws(InvalidText) in
        guard !text.isEmpty else { throw InvalidText("the path is empty") }
        return text
    }

    static let network: TextParser<Network> = { (text) throws(InvalidText) in
        if let network = Network(rawValue: text) { return network }
        let names = Network.allCases.map(\.rawValue)
        let suggestion = Suggestion.nearest(to: text, among: names).map { ": did you mean \($0)?" } ?? ""
        throw InvalidText("take one of \(names.joined(separator: ", "))\(suggestion)")
    }

    /// A whole number within the bounds, in decimal digits.
    static func integer(_ bounds: ClosedRange<Int>) -> TextParser<Int> {
        { (text) throws(InvalidText) in
            guard text.utf8.allSatisfy({ (0x30...0x39).contains($0) }), let value = Int(text), bounds.contains(value) else {
                throw InvalidText(
                    "it must be a whole number from \(Amounts.grouped(bounds.lowerBound)) to \(Amounts.grouped(bounds.upperBound))")
            }
            return value
        }
    }

    /// A compressed public key, 66 hex digits.
    static let publicKey: TextParser<PublicKey> = { (text) throws(InvalidText) in
        let bytes: [UInt8]
        do throws(HexError) { bytes = try Hex.decode(text) } catch { throw InvalidText("\(error)") }
        guard bytes.count != XOnlyPublicKey.byteCount else {
            // An identity and an x-only key look the same.
            throw InvalidText(
                "it has 64 hex digits, like the \"identity\" that chorale key show prints, or an x-only key: give the \"public key\", "
                    + "which has 66")
        }
        do throws(KeyError) { return try PublicKey(parsing: bytes) } catch { throw InvalidText("\(error)") }
    }

    /// A fee rate in sat/vB at which some nodes relay.
    static let feeRate: TextParser<FeeRate> = { (text) throws(InvalidText) in
        let isNegative = text.hasPrefix("-")
        let rate: FeeRate
        do throws(FeeError) { rate = try FeeRate(parsing: isNegative ? String(text.dropFirst()) : text) } catch {
            throw InvalidText("\(error)")
        }
        guard !isNegative, rate.satoshisPerKilobyte >= Self.relayedSatoshisPerKilobyteMin else {
            throw InvalidText("the least is 0.1 sat/vB, for nodes relay no transaction that pays less")
        }
        return rate
    }

    /// Least fee rate that a node relays unless it is told otherwise, in satoshi per 1,000 virtual bytes.
    ///
    /// Source: `DEFAULT_MIN_RELAY_TX_FEE` in `policy/policy.h` of Bitcoin Core 30.
    static let relayedSatoshisPerKilobyteMin: UInt64 = 100

    /// The same in Bitcoin Core before 29.1: below it, a transaction travels only through newer nodes.
    static let widelyRelayedSatoshisPerKilobyteMin: UInt64 = 1_000
}
