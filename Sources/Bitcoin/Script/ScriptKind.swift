import CryptoPrimitives

/// Twenty bytes: RIPEMD-160 of SHA-256 of a key or a script.
public struct Hash160: Hashable, Sendable {
    public static let byteCount = 20

    public let bytes: [UInt8]

    /// Takes the bytes as they are; `nil` unless there are exactly 20.
    public init?(_ bytes: some Collection<UInt8>) {
        guard bytes.count == Self.byteCount else { return nil }
        self.bytes = Array(bytes)
    }
}

extension Hash160: CustomStringConvertible {
    public var description: String { Hex.encode(self.bytes) }
}

/// What a witness output commits to (BIP-141): a version, and 2 to 40 bytes that the version gives a meaning.
public struct WitnessProgram: Hashable, Sendable {
    /// Source: BIP-141, "Witness program".
    public static let byteCountRange = 2...40
    public static let versionMax = 16

    public let version: Int
    public let bytes: [UInt8]

    /// `nil` for a version above 16, a length outside 2…40, or a version 0 that has neither 20 nor 32 bytes, which nobody could spend.
    public init?(version: Int, bytes: some Collection<UInt8>) {
        guard (0...Self.versionMax).contains(version), Self.byteCountRange.contains(bytes.count) else { return nil }
        guard version != 0 || bytes.count == 20 || bytes.count == 32 else { return nil }
        self.version = version
        self.bytes = Array(bytes)
    }
}

/// The pattern that a scriptPubKey follows.
public enum ScriptKind: Hashable, Sendable {
    case payToPublicKeyHash(Hash160)
    case payToScriptHash(Hash160)
    case payToWitnessPublicKeyHash(Hash160)
    case payToWitnessScriptHash(Bytes32)
    /// The 32 bytes of the output key, which need not be on the curve.
    case payToTaproot(Bytes32)
    /// A witness program without a meaning today; BIP-350 gives it an address all the same.
    case payToUnknownWitness(WitnessProgram)
    /// `OP_RETURN` and what follows it: nobody can spend the output.
    case dataCarrier(ArraySlice<UInt8>)
    case other
}

extension Script {
    /// What pattern these bytes, as a scriptPubKey, follow.
    public var kind: ScriptKind {
        if let program = self.witnessProgram { return Self.kind(of: program) }
        let bytes = self.bytes
        if bytes.first == Opcode.return.rawValue { return .dataCarrier(bytes.dropFirst()) }
        if bytes.count == 25, let hash = Hash160(bytes[3..<23]), self == .payToPublicKeyHash(hash) {
            return .payToPublicKeyHash(hash)
        }
        if bytes.count == 23, let hash = Hash160(bytes[2..<22]), self == .payToScriptHash(hash) {
            return .payToScriptHash(hash)
        }
        return .other
    }

    /// The witness program, if these bytes are one: a small number, and one direct push of 2 to 40 bytes.
    public var witnessProgram: WitnessProgram? {
        guard self.bytes.count >= 4, let version = Opcode(rawValue: self.bytes[0]).smallNumber,
            Int(self.bytes[1]) == self.bytes.count - 2
        else { return nil }
        return WitnessProgram(version: version, bytes: self.bytes.dropFirst(2))
    }

    private static func kind(of program: WitnessProgram) -> ScriptKind {
        switch program.version {
        case 0:
            if let hash = Hash160(program.bytes) { return .payToWitnessPublicKeyHash(hash) }
            if let hash = Bytes32(program.bytes) { return .payToWitnessScriptHash(hash) }
        case 1:
            if let key = Bytes32(program.bytes) { return .payToTaproot(key) }
        default: break
        }
        return .payToUnknownWitness(program)
    }
}
