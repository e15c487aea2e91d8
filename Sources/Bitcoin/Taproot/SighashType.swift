/// What of a transaction a Taproot signature covers (BIP-341, "Common signature message").
public enum SighashType: UInt8, Hashable, Sendable, CaseIterable {
    /// All inputs and outputs, and a signature of 64 bytes without a byte for the type.
    case `default` = 0x00
    case all = 0x01
    case none = 0x02
    /// All inputs, and the one output at the input's own position.
    case single = 0x03
    case allAnyoneCanPay = 0x81
    case noneAnyoneCanPay = 0x82
    case singleAnyoneCanPay = 0x83

    /// What of the outputs is covered.
    public enum Outputs: Hashable, Sendable { case all, none, single }

    public var outputs: Outputs {
        switch self {
        case .default, .all, .allAnyoneCanPay: .all
        case .none, .noneAnyoneCanPay: .none
        case .single, .singleAnyoneCanPay: .single
        }
    }

    /// Whether only the signed input is covered, so that anyone may add others.
    public var anyoneCanPay: Bool { self.rawValue & 0x80 != 0 }

    /// Takes a type as PSBT_IN_SIGHASH_TYPE holds it, in 4 bytes.
    ///
    /// - Throws: `SighashError.unknownType` for all but the seven types of BIP-341.
    public init(parsing value: UInt32) throws(SighashError) {
        guard let byte = UInt8(exactly: value), let type = Self(rawValue: byte) else { throw .unknownType(value) }
        self = type
    }
}

extension SighashType: CustomStringConvertible {
    public var description: String {
        switch self {
        case .default: "DEFAULT"
        case .all: "ALL"
        case .none: "NONE"
        case .single: "SINGLE"
        case .allAnyoneCanPay: "ALL|ANYONECANPAY"
        case .noneAnyoneCanPay: "NONE|ANYONECANPAY"
        case .singleAnyoneCanPay: "SINGLE|ANYONECANPAY"
        }
    }
}

/// Why there is no hash to sign.
public enum SighashError: Error, Equatable, Sendable {
    /// Every input needs the output that it spends, in the same order.
    case prevoutCount(inputs: Int, prevouts: Int)
    case inputOutOfRange(input: Int, inputs: Int)
    /// `SINGLE` covers the output at the input's position, and there is none.
    case singleWithoutOutput(input: Int, outputs: Int)
    case unknownType(UInt32)
    /// An annex begins with the byte 0x50.
    case annexWithoutPrefix(input: Int)
}

extension SighashError: CustomStringConvertible {
    public var description: String {
        switch self {
        case .prevoutCount(let inputs, let prevouts):
            "the transaction has \(inputs) inputs, and \(prevouts) spent outputs were given; give one for each input, in order"
        case .inputOutOfRange(let input, let inputs):
            "there is no input \(input): the transaction has \(inputs), counted from 0"
        case .singleWithoutOutput(let input, let outputs):
            "input \(input) cannot be signed with SINGLE: there is no output \(input) among the \(outputs); use another sighash type"
        case .unknownType(let type):
            "0x\(String(type, radix: 16)) is no Taproot sighash type; use one of 0, 1, 2, 3, 0x81, 0x82, 0x83"
        case .annexWithoutPrefix(let input):
            "the annex of input \(input) does not begin with 0x50, so it is no annex"
        }
    }
}
