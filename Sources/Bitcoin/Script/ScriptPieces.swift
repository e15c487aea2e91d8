/// One instruction of a script.
public enum ScriptPiece: Hashable, Sendable {
    /// Puts bytes on the stack; `opcode` is the one that says how many. Never one of `OP_1NEGATE`, `OP_1` … `OP_16`, which
    /// are opcodes without data, while `OP_0` is a push of nothing.
    case push(opcode: Opcode, data: ArraySlice<UInt8>)
    case opcode(Opcode)
    /// A push that announces more bytes than the script has left. Nothing can follow it.
    case cutShort(ArraySlice<UInt8>)

    /// Whether no shorter encoding puts the same bytes on the stack. What is no push is as short as can be.
    public var isMinimal: Bool {
        switch self {
        case .push(let opcode, let data): opcode == Self.shortestPush(of: data)
        case .opcode: true
        case .cutShort: false
        }
    }

    /// The opcode that pushes `data` in the fewest bytes (BIP-62, rule 3).
    static func shortestPush(of data: some Collection<UInt8>) -> Opcode {
        switch data.count {
        case 0: return .zero
        case 1:
            switch data.first {
            case .some(1...16 as ClosedRange<UInt8>): return Opcode(smallNumber: Int(data.first ?? 0)) ?? .zero
            case 0x81: return .negativeOne
            default: return Opcode(rawValue: 1)
            }
        case ...75: return Opcode(rawValue: UInt8(truncatingIfNeeded: data.count))
        case ...0xff: return .pushData1
        case ...0xffff: return .pushData2
        default: return .pushData4
        }
    }
}

/// The instructions of a script, one after another. Total: any bytes have pieces, and none is lost.
public struct ScriptPieces: Sequence, Sendable {
    private let bytes: [UInt8]

    init(_ bytes: [UInt8]) { self.bytes = bytes }

    public func makeIterator() -> Iterator { Iterator(reader: ByteReader(self.bytes)) }

    public struct Iterator: IteratorProtocol {
        fileprivate var reader: ByteReader

        public mutating func next() -> ScriptPiece? {
            var rest = self.reader
            guard let byte = try? self.reader.readUInt8("opcode") else { return nil }
            let opcode = Opcode(rawValue: byte)
            do throws(ByteDecodingError) {
                guard let count = try self.pushedByteCount(opcode) else { return .opcode(opcode) }
                guard count <= self.reader.remainingCount else { return self.endCutShort(&rest) }
                return .push(opcode: opcode, data: try self.reader.readSlice(count, "push"))
            } catch {
                return self.endCutShort(&rest)
            }
        }

        /// How many bytes the opcode pushes; `nil` if it is no push.
        private mutating func pushedByteCount(_ opcode: Opcode) throws(ByteDecodingError) -> Int? {
            switch opcode {
            case .pushData1: Int(try self.reader.readUInt8("push length"))
            case .pushData2: Int(try self.reader.readUInt16("push length"))
            case .pushData4: Int(try self.reader.readUInt32("push length"))
            case let other where other.rawValue < Opcode.pushData1.rawValue: Int(other.rawValue)
            default: nil
            }
        }

        private mutating func endCutShort(_ rest: inout ByteReader) -> ScriptPiece {
            _ = self.reader.readRemaining()
            return .cutShort(rest.readRemaining())
        }
    }
}

extension Script {
    public var pieces: ScriptPieces { ScriptPieces(self.bytes) }

    /// Whether the script only puts bytes and small numbers on the stack.
    public var isPushOnly: Bool {
        self.pieces.allSatisfy { piece in
            switch piece {
            case .push: true
            // Consensus counts OP_RESERVED, which lies between them, as a push too.
            case .opcode(let opcode): opcode.rawValue <= Opcode.sixteen.rawValue
            case .cutShort: false
            }
        }
    }

    /// Whether every push is as short as can be.
    public var hasOnlyMinimalPushes: Bool { self.pieces.allSatisfy(\.isMinimal) }

    /// The script for people: opcodes by name, pushed bytes in hex.
    public var disassembly: String {
        self.pieces.map { piece in
            switch piece {
            case .push(_, let data) where data.isEmpty: "OP_0"
            case .push(_, let data): Script(Array(data)).hex
            case .opcode(let opcode): opcode.description
            case .cutShort(let bytes): "[cut short: \(Script(Array(bytes)).hex)]"
            }
        }.joined(separator: " ")
    }
}

extension Script: CustomStringConvertible {
    public var description: String { self.disassembly }
}
