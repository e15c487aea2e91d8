import Bitcoin
import CryptoPrimitives
import Testing

@Suite struct TaprootSighashTests {
    /// Three inputs, two outputs: input 2 has no output at its side.
    static func cache(seed: UInt64 = 1) throws -> SighashCache {
        var generator = TransactionGenerator(seed: seed)
        let transaction = generator.transaction(inputs: 3...3, outputs: 2...2)
        return try SighashCache(transaction, prevouts: (0..<3).map { _ in generator.output() })
    }

    /// BIP-341's and BIP-342's messages written down a second time, from their texts, for a signature of input 1.
    static func message(
        _ cache: SighashCache, hashType: UInt8, leaf: Bytes32? = nil, codeSeparatorPosition: UInt32 = 0xffff_ffff, annex: [UInt8]? = nil
    ) -> [UInt8] {
        func little<Number: FixedWidthInteger>(_ number: Number) -> [UInt8] {
            (0..<Number.bitWidth / 8).map { UInt8(truncatingIfNeeded: number >> ($0 * 8)) }
        }
        func outpoint(_ input: TransactionInput) -> [UInt8] { input.previousOutput.txid.hash.bytes + little(input.previousOutput.index) }
        func script(_ output: TransactionOutput) -> [UInt8] { Array(output.serialized().dropFirst(8)) }
        let (transaction, prevouts) = (cache.transaction, cache.prevouts)
        let anyoneCanPay = hashType & 0x80 == 0x80

        var message = [0, hashType] + little(transaction.version) + little(transaction.lockTime)
        if !anyoneCanPay {
            message += SHA256.hash(transaction.inputs.flatMap(outpoint)).bytes
            message += SHA256.hash(prevouts.flatMap { little($0.amount) }).bytes
            message += SHA256.hash(prevouts.flatMap(script)).bytes
            message += SHA256.hash(transaction.inputs.flatMap { little($0.sequence) }).bytes
        }
        if hashType & 3 != 2 && hashType & 3 != 3 { message += SHA256.hash(transaction.outputs.flatMap { $0.serialized() }).bytes }
        message.append((leaf == nil ? 0 : 1) * 2 + (annex == nil ? 0 : 1))
        if anyoneCanPay {
            message += outpoint(transaction.inputs[1]) + little(prevouts[1].amount) + script(prevouts[1])
            message += little(transaction.inputs[1].sequence)
        } else {
            message += [1, 0, 0, 0]
        }
        if let annex { message += SHA256.hash([UInt8(annex.count)] + annex).bytes }
        if hashType & 3 == 3 { message += SHA256.hash(transaction.outputs[1].serialized()).bytes }
        if let leaf { message += leaf.bytes + [0] + little(codeSeparatorPosition) }
        return message
    }

    static func hash(_ message: [UInt8]) -> Bytes32 {
        var hash = SHA256.tagged("TapSighash")
        hash.update(message)
        return hash.finalize()
    }

    @Test(arguments: SighashType.allCases)
    func `every type hashes what the text of the BIPs says`(type: SighashType) throws {
        for seed in UInt64(0)..<20 {
            let cache = try Self.cache(seed: seed)
            let leaf = TapLeaf(script: Script([0x51])).hash
            let annex: [UInt8] = [0x50, 1, 2, 3]
            for (leaf, position, annex): (TapLeafHash?, UInt32, [UInt8]?) in [
                (nil, 0xffff_ffff, nil), (nil, 0xffff_ffff, annex), (leaf, 0xffff_ffff, nil), (leaf, 7, annex),
            ] {
                let message = Self.message(
                    cache, hashType: type.rawValue, leaf: leaf?.hash, codeSeparatorPosition: position, annex: annex)
                #expect(
                    try cache.taprootSighash(input: 1, type: type, leaf: leaf, codeSeparatorPosition: position, annex: annex)
                        == Self.hash(message))
            }
        }
    }

    @Test func `leaf, separator and annex each change the hash`() throws {
        let cache = try Self.cache()
        let leaf = TapLeaf(script: Script([0x51])).hash
        let hashes = [
            try cache.taprootSighash(input: 0, type: .default),
            try cache.taprootSighash(input: 0, type: .all),
            try cache.taprootSighash(input: 1, type: .default),
            try cache.taprootSighash(input: 0, type: .default, annex: [0x50]),
            try cache.taprootSighash(input: 0, type: .default, annex: [0x50, 0]),
            try cache.taprootSighash(input: 0, type: .default, leaf: leaf),
            try cache.taprootSighash(input: 0, type: .default, leaf: leaf, codeSeparatorPosition: 0),
            try cache.taprootSighash(input: 0, type: .default, leaf: leaf, annex: [0x50]),
            try cache.taprootSighash(input: 0, type: .default, leaf: TapLeaf(script: Script([0x52])).hash),
        ]
        #expect(Set(hashes).count == hashes.count)
    }

    /// A change to what is signed, and the types that must not notice it when input 0 is signed.
    struct Change: Sendable, CustomTestStringConvertible {
        let testDescription: String
        let unnoticed: Set<SighashType>
        let apply: @Sendable (inout Transaction, inout [TransactionOutput]) -> Void
    }

    static let anyoneCanPay: Set<SighashType> = [.allAnyoneCanPay, .noneAnyoneCanPay, .singleAnyoneCanPay]
    static let notAllOutputs: Set<SighashType> = [.none, .noneAnyoneCanPay, .single, .singleAnyoneCanPay]
    static let changes = [
        Change(testDescription: "version", unnoticed: []) { transaction, _ in transaction.version ^= 1 },
        Change(testDescription: "lock time", unnoticed: []) { transaction, _ in transaction.lockTime ^= 1 },
        Change(testDescription: "own outpoint", unnoticed: []) { transaction, _ in transaction.inputs[0].previousOutput.index ^= 1 },
        Change(testDescription: "own sequence", unnoticed: []) { transaction, _ in transaction.inputs[0].sequence ^= 1 },
        Change(testDescription: "own amount", unnoticed: []) { _, prevouts in prevouts[0].amount ^= 1 },
        Change(testDescription: "own script", unnoticed: []) { _, prevouts in prevouts[0].scriptPubKey.bytes.append(0) },
        Change(testDescription: "other outpoint", unnoticed: Self.anyoneCanPay) { transaction, _ in
            transaction.inputs[1].previousOutput.index ^= 1
        },
        Change(testDescription: "other sequence", unnoticed: Self.anyoneCanPay) { transaction, _ in transaction.inputs[1].sequence ^= 1 },
        Change(testDescription: "other amount", unnoticed: Self.anyoneCanPay) { _, prevouts in prevouts[1].amount ^= 1 },
        Change(testDescription: "other script", unnoticed: Self.anyoneCanPay) { _, prevouts in prevouts[1].scriptPubKey.bytes.append(0) },
        Change(testDescription: "own output", unnoticed: [.none, .noneAnyoneCanPay]) { transaction, _ in
            transaction.outputs[0].amount ^= 1
        },
        Change(testDescription: "other output", unnoticed: Self.notAllOutputs) { transaction, _ in transaction.outputs[1].amount ^= 1 },
        Change(testDescription: "scriptSig and witness", unnoticed: Set(SighashType.allCases)) { transaction, _ in
            transaction.inputs[0].scriptSig.bytes.append(0)
            transaction.inputs[0].witness.items.append([1])
        },
    ]

    @Test(arguments: Self.changes)
    func `a type covers what it says and nothing else`(change: Change) throws {
        let cache = try Self.cache()
        var (transaction, prevouts) = (cache.transaction, cache.prevouts)
        change.apply(&transaction, &prevouts)
        let changed = try SighashCache(transaction, prevouts: prevouts)
        for type in SighashType.allCases {
            let isSame = try cache.taprootSighash(input: 0, type: type) == changed.taprootSighash(input: 0, type: type)
            #expect(isSame == change.unnoticed.contains(type), "\(type)")
        }
    }

    @Test func `what cannot be signed is refused by name`() throws {
        let cache = try Self.cache()
        for type in [SighashType.single, .singleAnyoneCanPay] {
            #expect(throws: SighashError.singleWithoutOutput(input: 2, outputs: 2)) { try cache.taprootSighash(input: 2, type: type) }
        }
        #expect(throws: SighashError.inputOutOfRange(input: 3, inputs: 3)) { try cache.taprootSighash(input: 3, type: .all) }
        #expect(throws: SighashError.inputOutOfRange(input: -1, inputs: 3)) { try cache.taprootSighash(input: -1, type: .all) }
        #expect(throws: SighashError.prevoutCount(inputs: 3, prevouts: 2)) {
            try SighashCache(cache.transaction, prevouts: Array(cache.prevouts.dropLast()))
        }
        for annex: [UInt8] in [[], [0x51]] {
            #expect(throws: SighashError.annexWithoutPrefix(input: 0)) { try cache.taprootSighash(input: 0, type: .all, annex: annex) }
        }
    }

    @Test func `there are seven types and no other`() {
        let known = (UInt32(0)...0xffff).filter { (try? SighashType(parsing: $0)) != nil }
        #expect(known == [0, 1, 2, 3, 0x81, 0x82, 0x83])
        #expect(throws: SighashError.unknownType(0x8000_0000)) { try SighashType(parsing: 0x8000_0000) }
    }
}
