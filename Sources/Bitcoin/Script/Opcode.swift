/// One byte that a script begins an instruction with.
public struct Opcode: RawRepresentable, Hashable, Sendable {
    public let rawValue: UInt8

    public init(rawValue: UInt8) { self.rawValue = rawValue }

    // Pushes. 1 to 75 push as many bytes; these say the length in the next 1, 2 or 4 bytes.
    public static let zero = Opcode(rawValue: 0x00)
    public static let pushData1 = Opcode(rawValue: 0x4c)
    public static let pushData2 = Opcode(rawValue: 0x4d)
    public static let pushData4 = Opcode(rawValue: 0x4e)
    public static let negativeOne = Opcode(rawValue: 0x4f)
    public static let one = Opcode(rawValue: 0x51)
    public static let sixteen = Opcode(rawValue: 0x60)

    // What the scripts of this module, and those that people write against it, are made of.
    public static let `if` = Opcode(rawValue: 0x63)
    public static let notIf = Opcode(rawValue: 0x64)
    public static let `else` = Opcode(rawValue: 0x67)
    public static let endIf = Opcode(rawValue: 0x68)
    public static let verify = Opcode(rawValue: 0x69)
    public static let `return` = Opcode(rawValue: 0x6a)
    public static let drop = Opcode(rawValue: 0x75)
    public static let duplicate = Opcode(rawValue: 0x76)
    public static let equal = Opcode(rawValue: 0x87)
    public static let equalVerify = Opcode(rawValue: 0x88)
    public static let numEqual = Opcode(rawValue: 0x9c)
    public static let sha256 = Opcode(rawValue: 0xa8)
    public static let hash160 = Opcode(rawValue: 0xa9)
    public static let codeSeparator = Opcode(rawValue: 0xab)
    public static let checkSig = Opcode(rawValue: 0xac)
    public static let checkSigVerify = Opcode(rawValue: 0xad)
    public static let checkMultiSig = Opcode(rawValue: 0xae)
    public static let checkLockTimeVerify = Opcode(rawValue: 0xb1)
    public static let checkSequenceVerify = Opcode(rawValue: 0xb2)
    public static let checkSigAdd = Opcode(rawValue: 0xba)

    /// `OP_0` to `OP_16`; `nil` for other numbers.
    public init?(smallNumber: Int) {
        switch smallNumber {
        case 0: self = .zero
        case 1...16: self.init(rawValue: Self.one.rawValue + UInt8(smallNumber) - 1)
        default: return nil
        }
    }

    /// The number that `OP_0` to `OP_16` stand for; `nil` for the other opcodes.
    public var smallNumber: Int? {
        switch self.rawValue {
        case Self.zero.rawValue: 0
        case Self.one.rawValue...Self.sixteen.rawValue: Int(self.rawValue - Self.one.rawValue) + 1
        default: nil
        }
    }
}

extension Opcode: CustomStringConvertible {
    /// `OP_CHECKSIG` and the like; `OP_UNKNOWN_BB` for a byte without a meaning.
    public var description: String {
        switch self {
        case .pushData1: return "OP_PUSHDATA1"
        case .pushData2: return "OP_PUSHDATA2"
        case .pushData4: return "OP_PUSHDATA4"
        case .negativeOne: return "OP_1NEGATE"
        case Opcode(rawValue: 0x50): return "OP_RESERVED"
        default: break
        }
        if let number = self.smallNumber { return "OP_\(number)" }
        if self.rawValue < Self.pushData1.rawValue { return "OP_PUSHBYTES_\(self.rawValue)" }
        let index = Int(self.rawValue) - Int(Self.firstNamed)
        if Self.names.indices.contains(index) { return "OP_" + Self.names[index] }
        return "OP_UNKNOWN_" + String(self.rawValue, radix: 16, uppercase: true)
    }

    /// The opcode that the first of `names` belongs to; the others follow without a gap.
    private static let firstNamed: UInt8 = 0x61

    private static let names: [String] = [
        "NOP", "VER", "IF", "NOTIF", "VERIF", "VERNOTIF", "ELSE", "ENDIF", "VERIFY", "RETURN", "TOALTSTACK", "FROMALTSTACK",
        "2DROP", "2DUP", "3DUP", "2OVER", "2ROT", "2SWAP", "IFDUP", "DEPTH", "DROP", "DUP", "NIP", "OVER", "PICK", "ROLL",
        "ROT", "SWAP", "TUCK", "CAT", "SUBSTR", "LEFT", "RIGHT", "SIZE", "INVERT", "AND", "OR", "XOR", "EQUAL", "EQUALVERIFY",
        "RESERVED1", "RESERVED2", "1ADD", "1SUB", "2MUL", "2DIV", "NEGATE", "ABS", "NOT", "0NOTEQUAL", "ADD", "SUB", "MUL",
        "DIV", "MOD", "LSHIFT", "RSHIFT", "BOOLAND", "BOOLOR", "NUMEQUAL", "NUMEQUALVERIFY", "NUMNOTEQUAL", "LESSTHAN",
        "GREATERTHAN", "LESSTHANOREQUAL", "GREATERTHANOREQUAL", "MIN", "MAX", "WITHIN", "RIPEMD160", "SHA1", "SHA256",
        "HASH160", "HASH256", "CODESEPARATOR", "CHECKSIG", "CHECKSIGVERIFY", "CHECKMULTISIG", "CHECKMULTISIGVERIFY", "NOP1",
        "CHECKLOCKTIMEVERIFY", "CHECKSEQUENCEVERIFY", "NOP4", "NOP5", "NOP6", "NOP7", "NOP8", "NOP9", "NOP10", "CHECKSIGADD",
    ]
}
