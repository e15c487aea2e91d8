import CryptoPrimitives

/// A scriptPubKey in the form that people pass to each other, on one network.
///
///     let address = try Address(parsing: "tb1p…", on: .signet)
///     let output = TransactionOutput(amount: 10_000, scriptPubKey: address.scriptPubKey)
public struct Address: Hashable, Sendable {
    public let network: Network
    public let scriptPubKey: Script
    /// The text of the address: base58 for the old kinds, else bech32 or bech32m in lower case.
    public let text: String

    /// The address of a script; `nil` for a script that has none (such as `OP_RETURN`, or a pattern of its own).
    public init?(scriptPubKey: Script, network: Network) {
        guard let text = Self.text(for: scriptPubKey.kind, on: network) else { return nil }
        self.network = network
        self.scriptPubKey = scriptPubKey
        self.text = text
    }

    /// Parses an address of the given network.
    ///
    /// The network is asked for because a text does not say it: testnet4 and signet share all of their addresses, and all three
    /// test networks share the old kinds.
    ///
    /// - Throws: `AddressError`, also for a sound address of another network.
    public init(parsing text: String, on network: Network) throws(AddressError) {
        self.network = network
        // Base58 has one text for the same bytes; bech32 has two, one of them in upper case.
        if Self.looksLikeBase58(text) {
            self.scriptPubKey = try Self.scriptPubKey(base58: text, on: network)
            self.text = text
        } else {
            self.scriptPubKey = try Self.scriptPubKey(bech32: text, on: network)
            self.text = text.lowercased()
        }
    }
}

extension Address: CustomStringConvertible {
    public var description: String { self.text }
}

// MARK: - Writing

extension Address {
    private static func text(for kind: ScriptKind, on network: Network) -> String? {
        switch kind {
        case .payToPublicKeyHash(let hash):
            Base58Check.encode([network.publicKeyHashPrefix] + hash.bytes)
        case .payToScriptHash(let hash):
            Base58Check.encode([network.scriptHashPrefix] + hash.bytes)
        case .payToWitnessPublicKeyHash(let hash):
            Self.text(witnessVersion: 0, program: hash.bytes, on: network)
        case .payToWitnessScriptHash(let hash):
            Self.text(witnessVersion: 0, program: hash.bytes, on: network)
        case .payToTaproot(let key):
            Self.text(witnessVersion: 1, program: key.bytes, on: network)
        case .payToUnknownWitness(let program):
            Self.text(witnessVersion: program.version, program: program.bytes, on: network)
        case .dataCarrier, .other:
            nil
        }
    }

    /// BIP-350; the longest has 40 bytes and so 76 characters, which bech32 always holds.
    private static func text(witnessVersion: Int, program: [UInt8], on network: Network) -> String? {
        guard let data = try? Bech32.convertBits(program, from: 8, to: 5, padding: true) else { return nil }
        return try? Bech32.encode(
            humanReadablePart: network.humanReadablePart, data5: [UInt8(truncatingIfNeeded: witnessVersion)] + data,
            variant: Self.variant(witnessVersion: witnessVersion))
    }

    private static func variant(witnessVersion: Int) -> Bech32.Variant { witnessVersion == 0 ? .bech32 : .bech32m }
}

// MARK: - Reading

extension Address {
    /// The characters that the version bytes of old addresses come out as; no bech32 prefix of Bitcoin begins with one.
    private static func looksLikeBase58(_ text: String) -> Bool {
        guard let first = text.utf8.first else { return false }
        return "123mn".utf8.contains(first)
    }

    private static func scriptPubKey(base58 text: String, on network: Network) throws(AddressError) -> Script {
        let bytes: [UInt8]
        do { bytes = try Base58Check.decode(text) } catch { throw .base58(error) }
        guard let version = bytes.first, let hash = Hash160(bytes.dropFirst()) else {
            throw .wrongHashByteCount(max(0, bytes.count - 1))
        }
        switch version {
        case network.publicKeyHashPrefix: return .payToPublicKeyHash(hash)
        case network.scriptHashPrefix: return .payToScriptHash(hash)
        default: throw .wrongVersionByte(version, expected: network)
        }
    }

    private static func scriptPubKey(bech32 text: String, on network: Network) throws(AddressError) -> Script {
        let (prefix, data, variant) = try Self.checkingBech32 { () throws(Bech32Error) in try Bech32.decode(text) }
        guard prefix == network.humanReadablePart else { throw .wrongPrefix(prefix, expected: network) }
        guard let version = data.first.map(Int.init) else { throw .noWitnessVersion }
        guard version <= WitnessProgram.versionMax else { throw .unknownWitnessVersion(version) }
        guard variant == Self.variant(witnessVersion: version) else { throw .wrongChecksumVariant(witnessVersion: version) }
        let bytes = try Self.checkingBech32 { () throws(Bech32Error) in
            try Bech32.convertBits(Array(data.dropFirst()), from: 5, to: 8, padding: false)
        }
        guard let program = WitnessProgram(version: version, bytes: bytes) else {
            throw .wrongProgramByteCount(witnessVersion: version, byteCount: bytes.count)
        }
        return .payToWitness(program)
    }

    private static func checkingBech32<Value>(_ read: () throws(Bech32Error) -> Value) throws(AddressError) -> Value {
        do throws(Bech32Error) { return try read() } catch { throw .bech32(error) }
    }
}
