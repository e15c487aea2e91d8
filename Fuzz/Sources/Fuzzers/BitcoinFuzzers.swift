import Bitcoin
import CryptoPrimitives
import Secp256k1
import Signing

extension Fuzzer {
    // MARK: PSBT

    /// What parses comes out as it went in by meaning, and everything that is done with a PSBT ends, with a value or an error.
    static let psbt = Fuzzer(
        name: "psbt", byteCountMax: 16_384, seeds: { try Seeds.psbts() },
        run: { start, count in
            if let psbt = try? PSBT(parsing: input(start, count)) { check(psbt) }
            return 0
        })

    static let psbtText = Fuzzer(
        name: "psbt-base64", byteCountMax: 16_384, seeds: { try Seeds.psbts().map { Array(Base64.encode($0).utf8) } },
        run: { start, count in
            if let text = String(bytes: input(start, count), encoding: .utf8), let psbt = try? PSBT(base64: text) {
                require(psbt == (try? PSBT(base64: psbt.base64())), "base64 comes back as the same PSBT")
            }
            return 0
        })

    private static func check(_ psbt: PSBT) {
        let bytes = psbt.serialized()
        guard let again = try? PSBT(parsing: bytes) else { fatalError("broken property: what was serialised parses") }
        require(again == psbt, "what was serialised parses to the same value")
        require(again.serialized() == bytes, "serialising is stable")
        require((try? PSBT(combining: [psbt, again])) == psbt, "combined with itself, a PSBT is itself")
        consume(try? psbt.fee())
        for index in -1...psbt.inputs.count { consume(try? psbt.spentOutput(ofInput: index)) }
        for key in [psbt.inputs.first?.musig2Participants.values.first?.first, try? Known.key(1)] {
            if let key { consume(try? PSBTSubject(psbt, for: key).request(under: SignerGroup([key]))) }
        }
        for index in psbt.inputs.indices {
            var single = psbt
            consume(try? single.finalizeInput(index))
        }
        var finalized = psbt
        if (try? finalized.finalize()) != nil {
            require((try? PSBT(parsing: finalized.serialized())) == finalized, "a finalised PSBT parses to the same value")
            guard let transaction = try? finalized.extract() else { return }
            require(
                transaction.txid == psbt.unsignedTransaction.txid || finalized.inputs.contains { $0.finalScriptSig != nil }, "same txid")
        }
        consume(try? psbt.extract())
    }

    // MARK: Transactions and scripts

    /// A transaction has one encoding: what parses comes out as the same bytes.
    static let transaction = Fuzzer(
        name: "transaction", byteCountMax: 8_192, seeds: { try Seeds.transactions() },
        run: { start, count in
            let bytes = input(start, count)
            if let transaction = try? Transaction(parsing: bytes) {
                require(transaction.serialized() == bytes, "the same bytes")
                require(transaction.byteCount == bytes.count, "the size that was announced")
                require(transaction.virtualSize <= bytes.count, "virtual bytes are no more than bytes")
                checkSighashes(of: transaction)
            }
            if let transaction = try? Transaction(parsingWithoutWitness: bytes) {
                require(transaction.serializedWithoutWitness() == bytes, "the same bytes without witness")
            }
            if let witness = try? Witness(parsing: bytes) { require(witness.serialized() == bytes, "the same witness") }
            if let output = try? TransactionOutput(parsing: bytes) { require(output.serialized() == bytes, "the same output") }
            return 0
        })

    /// Every hash type on every input, with outputs of its own taken for the spent ones.
    private static func checkSighashes(of transaction: Transaction) {
        guard transaction.inputs.count <= 8, let output = transaction.outputs.first else { return }
        let prevouts = Array(repeating: output, count: transaction.inputs.count)
        for index in -1...transaction.inputs.count {
            for type in SighashType.allCases {
                let hash = try? transaction.taprootSighash(input: index, prevouts: prevouts, type: type)
                if !transaction.inputs.indices.contains(index) { require(hash == nil, "no hash for an input that is not there") }
            }
        }
        consume(try? SigningRequest(transaction: transaction, prevouts: prevouts).digest)
    }

    /// A script's pieces are all of it, and every address that a script has leads back to the script.
    static let script = Fuzzer(
        name: "script", byteCountMax: 2_048, seeds: { try Seeds.scripts() },
        run: { start, count in
            let script = Script(input(start, count))
            consume(script.disassembly)
            consume(script.kind)
            let pieces = Array(script.pieces)
            require(pieces.count <= script.bytes.count, "no more pieces than bytes")
            if script.hasOnlyMinimalPushes {
                let rebuilt = Script { rebuilt in
                    for piece in pieces {
                        switch piece {
                        case .push(_, let data): rebuilt.appendPush(data)
                        case .opcode(let opcode): rebuilt.append(opcode)
                        case .cutShort: break
                        }
                    }
                }
                require(rebuilt == script, "minimal pieces make the same script")
            }
            for network in Network.allCases {
                guard let address = Address(scriptPubKey: script, network: network) else { continue }
                require((try? Address(parsing: address.text, on: network)) == address, "an address leads back to its script")
            }
            return 0
        })

    static let address = Fuzzer(
        name: "address", byteCountMax: 128, seeds: { try Seeds.addresses() },
        run: { start, count in
            let text = String(decoding: input(start, count), as: UTF8.self)
            for network in Network.allCases {
                guard let address = try? Address(parsing: text, on: network) else { continue }
                let again = Address(scriptPubKey: address.scriptPubKey, network: network)
                require(again == address, "an address is the address of its script")
            }
            return 0
        })

    // MARK: Taproot

    static let taproot = Fuzzer(
        name: "taproot", byteCountMax: 8_192, seeds: { try Seeds.taproot() },
        run: { start, count in
            let bytes = input(start, count)
            if let block = try? ControlBlock(parsing: bytes) {
                require(block.serialized() == bytes, "the same control block")
                let script = Script([0x51])
                consume(block.proves(script, for: block.internalKey))
            }
            if let tree = try? TaprootTree(parsing: bytes) {
                require(tree.serialized() == bytes, "the same tree")
                guard tree.leafCount <= 64, let key = try? Known.key(1).xOnly,
                    let output = try? TaprootOutput(internalKey: key, tree: tree)
                else { return 0 }
                for index in 0..<tree.leafCount {
                    let block = try? output.controlBlock(forLeafAt: index, in: tree)
                    require(block?.proves(tree.leaf(at: index).script, for: output.outputKey) == true, "each leaf is proved")
                }
            }
            return 0
        })
}

/// Keeps the optimiser from leaving out a call whose result nobody reads.
@inline(never) func consume<Value>(_ value: Value) { withExtendedLifetime(value) {} }
