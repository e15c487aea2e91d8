import Bitcoin
import CryptoPrimitives
import Secp256k1
import Testing

/// Kinds of output that the official figures do not finalize.
@Suite struct PSBTFinalizerTests {
    // Any two points of the curve, and two signatures that are DER: ECDSA is not verified here.
    static let keys = [
        "0279be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798",
        "02c6047f9441ed7d6d3045406e95c07cd85c778e4b8cef3ca7abac09b95c709ee5",
    ]
    static let signatures = ["300602010102010101", "300602010202010201"]

    let keys: [PSBT.ECDSAPublicKey]
    let signatures: [PSBT.ECDSASignature]

    init() throws {
        self.keys = try Self.keys.map { try PSBT.ECDSAPublicKey(parsing: Hex.decode($0)) }
        self.signatures = try Self.signatures.map { try PSBT.ECDSASignature(parsing: Hex.decode($0)) }
    }

    private func psbt(paying scriptPubKey: Script, isWitness: Bool) throws -> PSBT {
        let previous = Transaction(
            inputs: [TransactionInput(previousOutput: OutPoint(txid: Txid(Bytes32()), index: 7))],
            outputs: [TransactionOutput(amount: 5_000, scriptPubKey: scriptPubKey)])
        var psbt = try PSBT(
            unsignedTransaction: Transaction(
                inputs: [TransactionInput(previousOutput: OutPoint(txid: previous.txid, index: 0))],
                outputs: [TransactionOutput(amount: 4_000, scriptPubKey: Script([0x6a]))]))
        if isWitness {
            psbt.inputs[0].witnessUTXO = previous.outputs[0]
        } else {
            try psbt.addNonWitnessUTXO(previous, toInput: 0)
        }
        return psbt
    }

    private func hash160(_ bytes: [UInt8]) throws -> Hash160 { try #require(Hash160(RIPEMD160.ofSHA256(bytes))) }

    private func witnessScript(version: Int = 0, _ program: [UInt8]) throws -> Script {
        .payToWitness(try #require(WitnessProgram(version: version, bytes: program)))
    }

    private var multisig: Script {
        Script { script in
            script.append(.one)
            for key in self.keys { script.appendPush(key.bytes) }
            script.append(Opcode(rawValue: Opcode.one.rawValue + 1))
            script.append(.checkMultiSig)
        }
    }

    @Test func `P2PKH takes signature and key into the scriptSig`() throws {
        var psbt = try self.psbt(paying: .payToPublicKeyHash(self.hash160(self.keys[0].bytes)), isWitness: false)
        psbt.inputs[0].partialSignatures[self.keys[1]] = self.signatures[1]
        #expect(throws: PSBTError.notFinalizable(input: 0, .signaturesMissing(found: 0, needed: 1))) { try psbt.finalize() }
        psbt.inputs[0].partialSignatures[self.keys[0]] = self.signatures[0]
        try psbt.finalize()
        #expect(psbt.inputs[0].finalScriptSig?.hex == "09" + Self.signatures[0] + "21" + Self.keys[0])
        #expect(psbt.inputs[0].finalScriptWitness == nil)
        #expect(psbt.inputs[0].nonWitnessUTXO != nil)
    }

    @Test func `a bare key takes one signature, and bare multisig an empty item before them`() throws {
        let bareKey = Script { script in
            script.appendPush(self.keys[0].bytes)
            script.append(.checkSig)
        }
        var psbt = try self.psbt(paying: bareKey, isWitness: false)
        psbt.inputs[0].partialSignatures[self.keys[0]] = self.signatures[0]
        try psbt.finalize()
        #expect(psbt.inputs[0].finalScriptSig?.hex == "09" + Self.signatures[0])

        psbt = try self.psbt(paying: self.multisig, isWitness: false)
        for (key, signature) in zip(self.keys, self.signatures) { psbt.inputs[0].partialSignatures[key] = signature }
        try psbt.finalize()
        // One of two: the first key's signature, although both are there.
        #expect(psbt.inputs[0].finalScriptSig?.hex == "0009" + Self.signatures[0])
    }

    @Test func `P2WPKH takes them into the witness, and P2SH around it the redeem script into the scriptSig`() throws {
        let program = try self.witnessScript(self.hash160(self.keys[0].bytes).bytes)
        var psbt = try self.psbt(paying: program, isWitness: true)
        psbt.inputs[0].partialSignatures[self.keys[0]] = self.signatures[0]
        try psbt.finalize()
        #expect(psbt.inputs[0].finalScriptWitness == Witness([self.signatures[0].bytes, self.keys[0].bytes]))
        #expect(psbt.inputs[0].finalScriptSig == nil)

        var wrapped = try self.psbt(paying: .payToScriptHash(self.hash160(program.bytes)), isWitness: true)
        wrapped.inputs[0].partialSignatures[self.keys[0]] = self.signatures[0]
        #expect(throws: PSBTError.notSignable(input: 0, .redeemScriptMissing)) { try wrapped.finalize() }
        wrapped.inputs[0].redeemScript = program
        try wrapped.finalize()
        #expect(wrapped.inputs[0].finalScriptWitness == psbt.inputs[0].finalScriptWitness)
        #expect(wrapped.inputs[0].finalScriptSig?.hex == "16" + program.hex)
    }

    @Test func `P2WSH takes the witness script as the last item`() throws {
        var psbt = try self.psbt(paying: self.witnessScript(SHA256.hash(self.multisig.bytes).bytes), isWitness: true)
        psbt.inputs[0].partialSignatures[self.keys[1]] = self.signatures[1]
        #expect(throws: PSBTError.notSignable(input: 0, .witnessScriptMissing)) { try psbt.finalize() }
        psbt.inputs[0].witnessScript = self.multisig
        try psbt.finalize()
        #expect(psbt.inputs[0].finalScriptWitness == Witness([[], self.signatures[1].bytes, self.multisig.bytes]))
    }

    @Test func `scripts of other kinds are refused`() throws {
        var psbt = try self.psbt(paying: Script([0x51]), isWitness: false)
        #expect(throws: PSBTError.notFinalizable(input: 0, .unsupportedScript)) { try psbt.finalize() }
        psbt = try self.psbt(paying: self.witnessScript(version: 2, [1, 2, 3]), isWitness: true)
        #expect(throws: PSBTError.notFinalizable(input: 0, .unsupportedScript)) { try psbt.finalize() }
        psbt.inputs[0].witnessUTXO = nil
        #expect(throws: PSBTError.utxoMissing(input: 0)) { try psbt.finalize() }
    }

    @Test func `a witness script longer than consensus lets run is not looked into`() throws {
        let limit = 10_000
        for (count, obstacle) in [
            (limit, PSBT.FinalizingObstacle.unsupportedScript), (limit + 1, .scriptTooLong(byteCount: limit + 1, limit: limit)),
        ] {
            let script = Script([UInt8](repeating: 0x61, count: count))
            var psbt = try self.psbt(paying: self.witnessScript(SHA256.hash(script.bytes).bytes), isWitness: true)
            psbt.inputs[0].witnessScript = script
            #expect(throws: PSBTError.notFinalizable(input: 0, obstacle)) { try psbt.finalize() }
        }
    }

    // MARK: Taproot

    private func leaf(_ key: XOnlyPublicKey) -> TapLeaf {
        TapLeaf(
            script: Script { script in
                script.appendPush(key.bytes.bytes)
                script.append(.checkSig)
            })
    }

    private func secretKey(_ number: UInt8) throws -> SecretKey {
        try SecretKey(parsing: try SecretBytes(count: 32) { $0.initializeMemory(as: UInt8.self, repeating: number) })
    }

    /// An output with three leaves, the first near the root and the two others one level deeper; of two we have the keys.
    @Test func `of the leaves that are signed for, the cheapest is spent`() throws {
        let internalKey = try self.secretKey(1)
        let near = try self.secretKey(2)
        let far = try self.secretKey(3)
        let leaves = [self.leaf(near.publicKey.xOnly), self.leaf(far.publicKey.xOnly)]
        let tree = try TaprootTree(depthFirst: [
            TaprootTree.PlacedLeaf(depth: 1, leaf: leaves[0]), TaprootTree.PlacedLeaf(depth: 2, leaf: leaves[1]),
            TaprootTree.PlacedLeaf(depth: 2, leaf: TapLeaf(script: Script([0x51]))),
        ])
        let output = try TaprootOutput(internalKey: internalKey.publicKey.xOnly, tree: tree)
        var psbt = try self.psbt(paying: output.scriptPubKey, isWitness: true)
        psbt.inputs[0].tapInternalKey = output.internalKey
        psbt.inputs[0].tapMerkleRoot = output.merkleRoot
        for index in 0..<3 {
            psbt.inputs[0].tapLeafScripts[try output.controlBlock(forLeafAt: index, in: tree)] = tree.leaf(at: index)
        }
        try psbt.checkSignable()
        #expect(throws: PSBTError.notFinalizable(input: 0, .signaturesMissing(found: 0, needed: 1))) { try psbt.finalize() }

        let sighashes = try SighashCache(psbt.unsignedTransaction, prevouts: psbt.spentOutputs())
        func sign(_ index: Int, with key: borrowing SecretKey) throws {
            let message = try sighashes.taprootSighash(input: 0, type: .default, leaf: leaves[index].hash)
            let signer = PSBT.TapScriptSigner(key: key.publicKey.xOnly, leafHash: leaves[index].hash)
            try psbt.addTapScriptSignature(PSBT.TapSignature(key.sign(message)), of: signer, toInput: 0)
        }
        try sign(1, with: far)
        var onlyFar = psbt
        try onlyFar.finalize()
        #expect(onlyFar.inputs[0].finalScriptWitness?.items.map(\.count) == [64, 34, 33 + 64])

        try sign(0, with: near)
        var both = psbt
        try both.finalize()
        #expect(both.inputs[0].finalScriptWitness?.items.map(\.count) == [64, 34, 33 + 32])
        #expect(try both.extract().inputs[0].witness.items[1] == leaves[0].script.bytes)

        let keyPath = try internalKey.tweakedForTaproot(merkleRoot: tree.merkleRoot)
        psbt.inputs[0].tapKeySignature = PSBT.TapSignature(
            try keyPath.sign(sighashes.taprootSighash(input: 0, type: .all)), sighashType: 1)
        try psbt.finalize()
        #expect(psbt.inputs[0].finalScriptWitness?.items.map(\.count) == [65])
    }
}
