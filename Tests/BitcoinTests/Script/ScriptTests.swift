import Bitcoin
import CryptoPrimitives
import Testing

@Suite struct ScriptTests {
    @Test func `a push takes the shortest form there is`() {
        func pushed(_ data: [UInt8]) -> [UInt8] { Script { $0.appendPush(data) }.bytes }
        #expect(pushed([]) == [0x00])
        #expect(pushed([1]) == [0x51] && pushed([16]) == [0x60])
        #expect(pushed([0]) == [1, 0] && pushed([17]) == [1, 17])
        #expect(pushed([0x81]) == [0x4f])
        for (count, head): (Int, [UInt8]) in [
            (2, [2]), (75, [75]), (76, [0x4c, 76]), (255, [0x4c, 255]), (256, [0x4d, 0, 1]), (65_535, [0x4d, 255, 255]),
            (65_536, [0x4e, 0, 0, 1, 0]),
        ] {
            let data = [UInt8](repeating: 9, count: count)
            #expect(pushed(data) == head + data)
            #expect(Script(head + data).hasOnlyMinimalPushes)
        }
    }

    @Test(arguments: ["0105", "0181", "4c00", "4c0107", "4d0100aa", "4e01000000aa"])
    func `a push that could be shorter is told`(hex: String) throws {
        let script = try #require(Script(hex: hex))
        #expect(!script.hasOnlyMinimalPushes)
        #expect(script.isPushOnly)
    }

    @Test func `numbers are pushed as lock times read them`() {
        func pushed(_ number: Int64) -> String { Script { $0.appendPush(number: number) }.hex }
        #expect(pushed(0) == "00" && pushed(1) == "51" && pushed(16) == "60" && pushed(-1) == "4f")
        #expect(pushed(17) == "0111" && pushed(127) == "017f" && pushed(128) == "028000" && pushed(-128) == "028080")
        #expect(pushed(255) == "02ff00" && pushed(-255) == "02ff80" && pushed(144) == "029000" && pushed(800_000) == "0300350c")
        #expect(pushed(.min) == "09000000000000008080")
    }

    @Test func `a script is shown as its instructions`() throws {
        let key = String(repeating: "ab", count: 32)
        let script = try #require(Script(hex: "20\(key)ac029000b27500bafe05aabb"))
        #expect(
            script.disassembly
                == "\(key) OP_CHECKSIG 9000 OP_CHECKSEQUENCEVERIFY OP_DROP OP_0 OP_CHECKSIGADD OP_UNKNOWN_FE [cut short: 05aabb]")
        #expect(!script.isPushOnly)
        #expect(script.pieces.filter { !$0.isMinimal }.count == 1, "only what is cut short is not minimal")
    }

    @Test(arguments: UInt64(0)..<300)
    func `pieces lose no byte of any script`(seed: UInt64) {
        var generator = TransactionGenerator(seed: seed)
        let script = Script(generator.bytes(0...120))
        var again: [UInt8] = []
        for piece in script.pieces {
            switch piece {
            case .opcode(let opcode): again.append(opcode.rawValue)
            case .cutShort(let bytes): again += bytes
            case .push(let opcode, let data):
                again.append(opcode.rawValue)
                let count = UInt32(data.count)
                let lengthByteCount = [Opcode.pushData1: 1, .pushData2: 2, .pushData4: 4][opcode] ?? 0
                again += (0..<lengthByteCount).map { UInt8(truncatingIfNeeded: count >> (8 * UInt32($0))) }
                again += data
            }
        }
        #expect(again == script.bytes)
    }

    @Test func `each standard pattern is recognised, and only itself`() throws {
        let hash = try #require(Hash160([UInt8](repeating: 5, count: 20)))
        let digest = Bytes32 { $0.copyBytes(from: [UInt8](repeating: 6, count: 32)) }
        let scripts: [(Script, ScriptKind)] = [
            (.payToPublicKeyHash(hash), .payToPublicKeyHash(hash)),
            (.payToScriptHash(hash), .payToScriptHash(hash)),
            (.payToWitness(try #require(WitnessProgram(version: 0, bytes: hash.bytes))), .payToWitnessPublicKeyHash(hash)),
            (.payToWitness(try #require(WitnessProgram(version: 0, bytes: digest.bytes))), .payToWitnessScriptHash(digest)),
            (.payToTaproot(digest), .payToTaproot(digest)),
        ]
        #expect(scripts.map(\.0.bytes.count) == [25, 23, 22, 34, 34])
        for (script, kind) in scripts {
            #expect(script.kind == kind)
            #expect(Script(script.bytes + [0]).kind != kind)
            #expect(Script(Array(script.bytes.dropLast())).kind == .other)
        }
    }

    @Test func `other witness programs and data carriers are told apart`() throws {
        let anchor = try #require(Script(hex: "51024e73"))
        #expect(anchor.kind == .payToUnknownWitness(try #require(WitnessProgram(version: 1, bytes: [0x4e, 0x73]))))
        #expect(Script(hex: "6a0401020304")?.kind == .dataCarrier([4, 1, 2, 3, 4]))
        #expect(Script().kind == .other)
        // Version 0 with a length that has no meaning, a program of one byte, one of 41, and a push that is not direct.
        #expect(Script(hex: "0003aabbcc")?.kind == .other)
        #expect(Script(hex: "5101aa")?.kind == .other)
        #expect(Script([0x51, 41] + [UInt8](repeating: 0, count: 41)).kind == .other)
        #expect(Script([0x51, 0x4c, 32] + [UInt8](repeating: 0, count: 32)).kind == .other)
    }

    @Test func `every opcode has a name of its own`() {
        let names = (UInt8(0)...255).map { Opcode(rawValue: $0).description }
        #expect(Set(names).count == 256)
        #expect(Opcode.checkSigAdd.description == "OP_CHECKSIGADD" && Opcode.return.description == "OP_RETURN")
        #expect(Opcode.sixteen.description == "OP_16" && Opcode.codeSeparator.description == "OP_CODESEPARATOR")
    }
}
