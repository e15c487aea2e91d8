import CryptoPrimitives
import Secp256k1

extension Script {
    /// Adds one opcode.
    public mutating func append(_ opcode: Opcode) { self.bytes.append(opcode.rawValue) }

    /// Adds a push of `data`, in the shortest way there is. No transaction holds one of more than `Transaction.byteCountMax` bytes.
    public mutating func appendPush(_ data: some Collection<UInt8>) {
        precondition(UInt32(exactly: data.count) != nil, "a push states its length in 32 bits, and no machine gives it more")
        let opcode = ScriptPiece.shortestPush(of: data)
        self.append(opcode)
        if opcode == .negativeOne || (opcode.smallNumber ?? 0) > 0 { return }

        var writer = ByteWriter()
        switch opcode {
        case .pushData1: writer.writeUInt8(UInt8(truncatingIfNeeded: data.count))
        case .pushData2: writer.writeUInt16(UInt16(truncatingIfNeeded: data.count))
        case .pushData4: writer.writeUInt32(UInt32(truncatingIfNeeded: data.count))
        default: break
        }
        self.bytes += writer.bytes
        self.bytes += data
    }

    /// Adds a push of a number, as `OP_CHECKLOCKTIMEVERIFY` and its like read it: little endian, the sign in the top bit.
    public mutating func appendPush(number: Int64) {
        var magnitude = number.magnitude
        var data: [UInt8] = []
        while magnitude > 0 {
            data.append(UInt8(truncatingIfNeeded: magnitude))
            magnitude >>= 8
        }
        // A top bit that belongs to the magnitude needs a byte of its own for the sign.
        if let last = data.last, last & 0x80 != 0 { data.append(0) }
        if number < 0 { data[data.count - 1] |= 0x80 }
        self.appendPush(data)
    }

    /// A script written as its instructions.
    ///
    ///     Script { script in
    ///         script.appendPush(key.bytes.bytes)
    ///         script.append(.checkSig)
    ///     }
    public init(_ build: (inout Script) -> Void) {
        self.init()
        build(&self)
    }
}

// MARK: - Standard scripts

extension Script {
    public static func payToPublicKeyHash(_ hash: Hash160) -> Script {
        Script { script in
            script.append(.duplicate)
            script.append(.hash160)
            script.appendPush(hash.bytes)
            script.append(.equalVerify)
            script.append(.checkSig)
        }
    }

    /// BIP-16.
    public static func payToScriptHash(_ hash: Hash160) -> Script {
        Script { script in
            script.append(.hash160)
            script.appendPush(hash.bytes)
            script.append(.equal)
        }
    }

    /// A witness program of any version (BIP-141).
    public static func payToWitness(_ program: WitnessProgram) -> Script {
        Script { script in
            script.appendPush(number: Int64(program.version))
            script.bytes.append(UInt8(truncatingIfNeeded: program.bytes.count))
            script.bytes += program.bytes
        }
    }

    /// BIP-341: version 1, the output key.
    public static func payToTaproot(_ outputKey: XOnlyPublicKey) -> Script { self.payToTaproot(outputKey.bytes) }

    /// BIP-341, with the output key's bytes as they stand; nobody can spend it if they are no key.
    public static func payToTaproot(_ outputKey: Bytes32) -> Script {
        Script { script in
            script.append(.one)
            script.appendPush(outputKey.bytes)
        }
    }
}
