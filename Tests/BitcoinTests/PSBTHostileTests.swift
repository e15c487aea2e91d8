import Bitcoin
import CryptoPrimitives
import MuSig2
import Secp256k1
import TestVectors
import Testing

/// Bytes that nobody honest sends: the decoder gives a value or an error, and a value comes out as it went in.
@Suite(.enabled(if: [174, 371, 373].allSatisfy(PSBTVectorFile.isThere), "\(PSBTVectorFile.absence)"))
struct PSBTHostileTests {
    /// A PSBT with leaves, signatures, derivations and a whole previous output.
    let sample: [UInt8]

    init() throws {
        self.sample = try #require(
            try PSBTVectorFile.load(371).valid.first { $0.why.hasPrefix("script-path input: as above") }
        ).bytes()
        #expect(self.sample.count == 1_398)
    }

    /// Whether the bytes are a PSBT; if they are, checks that it survives a round trip.
    private func isPSBT(_ bytes: [UInt8]) throws -> Bool {
        guard let psbt = try? PSBT(parsing: bytes) else { return false }
        let encoded = psbt.serialized()
        let again = try PSBT(parsing: encoded)
        #expect(again == psbt, "\(Hex.encode(bytes))")
        #expect(again.serialized() == encoded)
        // What a fixed order and the shortest numbers leave over is the same count of bytes.
        #expect(encoded.count == bytes.count)
        return true
    }

    @Test func `a PSBT cut off anywhere is refused`() throws {
        for count in 0..<self.sample.count { #expect(throws: PSBTError.self) { try PSBT(parsing: Array(self.sample[..<count])) } }
        #expect(throws: PSBTError.trailingBytes(count: 1)) { try PSBT(parsing: self.sample + [0]) }
        let text = Base64.encode(self.sample)
        for count in 0..<text.count { #expect(throws: PSBTError.self) { try PSBT(base64: text.prefix(count)) } }
    }

    @Test func `one flipped bit anywhere gives an error, or a PSBT that survives a round trip`() throws {
        var accepted = 0
        for bit in 0..<self.sample.count * 8 {
            var bytes = self.sample
            bytes[bit / 8] ^= 1 << UInt8(bit % 8)
            if try self.isPSBT(bytes) { accepted += 1 }
        }
        // Most bits lie in amounts, hashes and signatures, which any value fits.
        #expect((8_000..<10_000).contains(accepted))
    }

    @Test func `ten thousand random mutations give errors, or PSBTs that survive a round trip`() throws {
        let seeds = try [174, 371, 373].flatMap { try PSBTVectorFile.load($0).valid }.map { try $0.bytes() }
        var random = SplitMix64(state: 0x5042_5354)
        var accepted = 0
        for _ in 0..<10_000 {
            var bytes = seeds[random.below(seeds.count)]
            for _ in 0...random.below(4) { random.mutate(&bytes, others: seeds) }
            if try self.isPSBT(bytes) { accepted += 1 }
        }
        // Too few would mean that hardly any mutation gets past the frame.
        #expect((500..<9_500).contains(accepted))
    }

    @Test func `stated lengths beyond the data are refused before anything is allocated`() {
        let magic: [UInt8] = [0x70, 0x73, 0x62, 0x74, 0xff]
        let lengths: [[UInt8]] = [
            [0xfc], [0xfd, 0xff, 0xff], [0xfe, 0xff, 0xff, 0xff, 0xff], [0xff] + [UInt8](repeating: 0xff, count: 8),
            [0xff, 0, 0, 0, 0, 0, 0, 0, 0x80],
        ]
        for length in lengths {
            #expect(throws: PSBTError.self) { try PSBT(parsing: magic + length) }
            #expect(throws: PSBTError.self) { try PSBT(parsing: magic + [1, 0] + length) }
        }
        // A number written longer than it need be.
        #expect(throws: PSBTError.malformed(.global, .nonCanonicalCompactSize(field: "key", offset: 0))) {
            try PSBT(parsing: magic + [0xfd, 1, 0, 0])
        }
        #expect(throws: PSBTError.tooLong(byteCount: PSBT.byteCountMax + 1)) {
            try PSBT(parsing: [UInt8](repeating: 0, count: PSBT.byteCountMax + 1))
        }
        #expect(throws: PSBTError.notAPSBT) { try PSBT(parsing: []) }
        #expect(throws: PSBTError.notBase64(.wrongLength(3))) { try PSBT(base64: "cHN") }
    }

    @Test func `every key that comes twice is refused, even with the same value`() throws {
        let roles = try #require(try PSBTVectorFile.load(174).roles)
        let bytes = try Hex.decode(roles.combinerUnknownKeys.inputs[0].hex)
        // One unknown record of 10 + 15 bytes stands in each of the three maps.
        let record = try Hex.decode("0af00102030405060708090f0102030405060708090a0b0c0d0e0f")
        let places = bytes.indices.filter { bytes[$0...].starts(with: record) }
        #expect(places.count == 3)
        for (place, map) in zip(places, [PSBT.Map.global, .input(0), .output(0)]) {
            var doubled = bytes
            doubled.insert(contentsOf: record, at: place)
            let keyData: [UInt8] = [1, 2, 3, 4, 5, 6, 7, 8, 9]
            #expect(throws: PSBTError.duplicateKey(map, .unknown(keyType: 0xf0), keyData: keyData)) {
                try PSBT(parsing: doubled)
            }
        }
    }

    @Test func `transactions with more inputs or outputs than the bounds are refused`() {
        let input = TransactionInput(previousOutput: OutPoint(txid: Txid(Bytes32()), index: 0))
        let output = TransactionOutput(amount: 0, scriptPubKey: Script())
        let inputs = [TransactionInput](repeating: input, count: PSBT.inputCountMax + 1)
        let outputs = [TransactionOutput](repeating: output, count: PSBT.outputCountMax + 1)
        #expect(throws: PSBTError.tooManyInputs(PSBT.inputCountMax + 1)) {
            try PSBT(unsignedTransaction: Transaction(inputs: inputs, outputs: []))
        }
        #expect(throws: PSBTError.tooManyOutputs(PSBT.outputCountMax + 1)) {
            try PSBT(unsignedTransaction: Transaction(inputs: [input], outputs: outputs))
        }
    }

    @Test func `witness items of all inputs together are bounded`() throws {
        let input = TransactionInput(previousOutput: OutPoint(txid: Txid(Bytes32()), index: 0))
        var psbt = try PSBT(unsignedTransaction: Transaction(inputs: [input, input], outputs: []))
        psbt.inputs[0].finalScriptWitness = Witness([[UInt8]](repeating: [], count: PSBT.itemCountMax - 10))
        psbt.inputs[1].finalScriptWitness = Witness([[UInt8]](repeating: [], count: 10))
        #expect(try PSBT(parsing: psbt.serialized()) == psbt)
        psbt.inputs[1].finalScriptWitness?.items.append([])
        let tooMany = ByteDecodingError.tooLarge(
            field: "count of all witness items", offset: 0, value: UInt64(PSBT.itemCountMax) + 1, limit: UInt64(PSBT.itemCountMax))
        #expect(throws: PSBTError.invalidField(.input(1), .input(.finalScriptWitness), .malformedValue(tooMany))) {
            try PSBT(parsing: psbt.serialized())
        }
    }

    @Test func `a tree's leaves are bounded before they are kept`() {
        let leaf: [UInt8] = [1, 0xc0, 0]
        let bytes = [[UInt8]](repeating: leaf, count: TaprootTree.leafCountMax + 1).flatMap { $0 }
        #expect(throws: TaprootError.tooManyLeaves(limit: TaprootTree.leafCountMax)) { try TaprootTree(parsing: bytes) }
        #expect(throws: TaprootError.misplacedLeaf(leaf: 2, depth: 1)) { try TaprootTree(parsing: bytes.dropLast(3)) }
    }

    @Test func `an error shows no more of a stranger's key than a key is long`() {
        let error = PSBTError.duplicateKey(.global, .unknown(keyType: 7), keyData: [UInt8](repeating: 0xab, count: 1_000_000))
        #expect("\(error)".count < 250)
        #expect("\(error)".contains(String(repeating: "ab", count: 40) + "… of 1000000 bytes"))
    }

    @Test func `a group larger than any session is refused, in inputs and outputs`() throws {
        let key = try Self.generator()
        for count in [PSBT.participantCountMax, PSBT.participantCountMax + 1] {
            let group = [key: [PublicKey](repeating: key, count: count)]
            var (inInput, inOutput) = (try Self.payment(), try Self.payment())
            inInput.inputs[0].musig2Participants = group
            inOutput.outputs[0].musig2Participants = group
            for (psbt, map) in [(inInput, PSBT.Map.input(0)), (inOutput, .output(0))] {
                if count <= PSBT.participantCountMax {
                    #expect(try PSBT(parsing: psbt.serialized()) == psbt)
                    continue
                }
                let error = #expect(throws: PSBTError.self) { try PSBT(parsing: psbt.serialized()) }
                guard case .invalidField(map, _, .tooManyParticipants(count))? = error else {
                    Issue.record("\(String(describing: error))")
                    continue
                }
            }
        }
    }

    @Test func `a thousand finished signatures for leaves that are not there are passed over`() throws {
        let key = try Self.generator()
        var psbt = try Self.payment()
        psbt.inputs[0].musig2Participants = [key: [key]]
        for number in 0..<1_000 {
            try psbt.addGarbage(of: key, under: key, leaf: TapLeafHash(SHA256.hash(Array("\(number)".utf8))))
        }
        var read = try PSBT(parsing: psbt.serialized())
        #expect(MuSig2Signing.all(of: read.inputs[0]).filter(\.isComplete).count == 1_000)
        #expect(throws: PSBTError.notFinalizable(input: 0, .signaturesMissing(found: 0, needed: 1))) { try read.finalizeInput(0) }
    }

    /// Taken for complete, each of these signatures would cost the addition of a thousand keys and a thousand verifications, and 20,000
    /// of them find room in a PSBT: half an hour.
    @Test func `a group that lists one key a thousand times is never complete, though its leaves are there`() throws {
        let key = try Self.generator()
        let group = [PublicKey](repeating: key, count: PSBT.participantCountMax)
        let aggregate = try KeyAggregation(group).untweakedKey
        var psbt = try Self.payment(leaves: 300, of: aggregate)
        psbt.inputs[0].musig2Participants = [aggregate: group]
        for leaf in psbt.inputs[0].tapLeafScripts.values { try psbt.addGarbage(of: key, under: aggregate, leaf: leaf.hash) }
        var read = try PSBT(parsing: psbt.serialized())
        let signings = MuSig2Signing.all(of: read.inputs[0])
        #expect(signings.count == 300 && signings.allSatisfy { $0.aggregateKey == aggregate && !$0.isComplete })
        #expect(throws: PSBTError.notFinalizable(input: 0, .signaturesMissing(found: 0, needed: 1))) { try read.finalizeInput(0) }
        // Beside a key that gave nothing, and beside one that gave all it has, it is the same.
        let other = try PublicKey(parsing: [3] + key.xOnly.bytes.bytes)
        for repeated in [[key, key], [key, other, key]] {
            let aggregate = try KeyAggregation(repeated).untweakedKey
            var psbt = try Self.payment(leaves: 1, of: aggregate)
            psbt.inputs[0].musig2Participants = [aggregate: repeated]
            let leaf = try #require(psbt.inputs[0].tapLeafScripts.values.first)
            for signer in Set(repeated) { try psbt.addGarbage(of: signer, under: aggregate, leaf: leaf.hash) }
            #expect(MuSig2Signing.all(of: psbt.inputs[0]).map(\.isComplete) == [false])
        }
    }

    @Test func `whose partial signature is bad is looked for in one signature of an input, and only when that is what is told`() throws {
        let key = try Self.generator()
        let aggregate = try KeyAggregation([key]).untweakedKey
        var psbt = try Self.payment(leaves: 40, of: aggregate)
        psbt.inputs[0].musig2Participants = [aggregate: [key]]
        for leaf in psbt.inputs[0].tapLeafScripts.values { try psbt.addGarbage(of: key, under: aggregate, leaf: leaf.hash) }
        var input = psbt.inputs[0]
        guard case .payToTaproot(let outputKey)? = input.witnessUTXO?.scriptPubKey.kind else { throw PSBTError.notAPSBT }
        guard case .badSum? = input.addMuSig2Signatures(0, outputKey: outputKey, using: PSBT.SpendingContext(psbt)) else {
            Issue.record("the sum is bad, and nobody was asked for")
            return
        }
        #expect(throws: PSBTError.notFinalizable(input: 0, .invalidPartialSignatures(signers: [key]))) { try psbt.finalizeInput(0) }
    }

    private static func generator() throws -> PublicKey {
        try PublicKey(parsing: Hex.decode("0279be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798"))
    }

    /// One Taproot coin to one output.
    private static func payment() throws -> PSBT {
        let script = Script([0x51, 0x20] + (try Self.generator().xOnly.bytes.bytes))
        let input = TransactionInput(previousOutput: OutPoint(txid: Txid(Bytes32()), index: 0))
        let output = TransactionOutput(amount: 1_000, scriptPubKey: script)
        var psbt = try PSBT(unsignedTransaction: Transaction(inputs: [input], outputs: [output]))
        psbt.inputs[0].witnessUTXO = TransactionOutput(amount: 2_000, scriptPubKey: script)
        return psbt
    }

    /// One coin whose tree has so many leaves of the key, no two the same, with all of them.
    private static func payment(leaves count: Int, of key: PublicKey) throws -> PSBT {
        let leaves = (0..<count).map { number in
            TapLeaf(script: Script([2, UInt8(number & 0xff), UInt8(number >> 8), 0x75, 0x20] + key.xOnly.bytes.bytes + [0xac]))
        }
        let tree = try TaprootTree(balanced: leaves)
        let output = try TaprootOutput(internalKey: try Self.generator().xOnly, tree: tree)
        var psbt = try Self.payment()
        psbt.inputs[0].witnessUTXO = TransactionOutput(amount: 2_000, scriptPubKey: output.scriptPubKey)
        for (index, leaf) in leaves.enumerated() {
            psbt.inputs[0].tapLeafScripts[try output.controlBlock(forLeafAt: index, in: tree)] = leaf
        }
        return psbt
    }

    @Test func `a PSBT without inputs is not complete`() throws {
        #expect(try !PSBT(unsignedTransaction: Transaction(inputs: [], outputs: [])).isComplete)
    }

    @Test func `a transaction that is signed already makes no PSBT`() {
        var input = TransactionInput(previousOutput: OutPoint(txid: Txid(Bytes32()), index: 0))
        input.witness = Witness([[1]])
        #expect(throws: PSBTError.unsignedTransactionIsSigned(input: 0)) {
            try PSBT(unsignedTransaction: Transaction(inputs: [input], outputs: []))
        }
    }
}

extension PSBT {
    /// A nonce and a partial signature of the first input that are well formed and sign nothing.
    fileprivate mutating func addGarbage(of signer: PublicKey, under aggregate: PublicKey, leaf: TapLeafHash) throws {
        let label = MuSig2Contribution(participant: signer, aggregateKey: aggregate, leafHash: leaf)
        try self.addMuSig2PublicNonce(signer.bytes + signer.bytes, for: label, toInput: 0)
        try self.addMuSig2PartialSignature([UInt8](repeating: 1, count: 32), for: label, toInput: 0)
    }
}

/// A small generator of which one number replays a whole run (Steele, Lea, Flood, "Fast splittable pseudorandom number
/// generators", 2014).
private struct SplitMix64 {
    var state: UInt64

    mutating func next() -> UInt64 {
        self.state &+= 0x9e37_79b9_7f4a_7c15
        var mixed = self.state
        mixed = (mixed ^ (mixed >> 30)) &* 0xbf58_476d_1ce4_e5b9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94d0_49bb_1331_11eb
        return mixed ^ (mixed >> 31)
    }

    /// From 0 up to, but not with, `bound`.
    mutating func below(_ bound: Int) -> Int { Int(self.next() % UInt64(bound)) }

    /// Changes, inserts, drops, repeats, or replaces from another PSBT.
    mutating func mutate(_ bytes: inout [UInt8], others: [[UInt8]]) {
        guard !bytes.isEmpty else { return }
        let place = self.below(bytes.count)
        let count = min(self.below(40) + 1, bytes.count - place)
        switch self.below(6) {
        case 0: bytes[place] = UInt8(truncatingIfNeeded: self.next())
        case 1: bytes[place] ^= 1 << UInt8(self.below(8))
        case 2: bytes.insert(UInt8(truncatingIfNeeded: self.next()), at: place)
        case 3: bytes.removeSubrange(place..<place + count)
        case 4: bytes.insert(contentsOf: bytes[place..<place + count], at: place)
        default:
            let other = others[self.below(others.count)]
            let start = self.below(other.count)
            bytes.replaceSubrange(place..<place + count, with: other[start..<min(start + count, other.count)])
        }
    }
}
