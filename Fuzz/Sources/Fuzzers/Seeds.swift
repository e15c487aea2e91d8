import Bitcoin
import CryptoPrimitives
import Foundation
import MuSig2
import Secp256k1
import SessionStore
import Signing

/// Well-formed inputs, made by the library itself. The official figures are read where CHORALE_BIPS names their folder.
enum Seeds {
    // MARK: Transactions

    static func spend(of wallet: SignerGroup, inputs: Int) -> (transaction: Transaction, coins: [TransactionOutput]) {
        let coins = (0..<inputs).map { TransactionOutput(amount: 10_000 + UInt64($0), scriptPubKey: wallet.scriptPubKey) }
        let spent = (0..<inputs).map { TransactionInput(previousOutput: OutPoint(txid: Txid(SHA256.hash([UInt8($0)])), index: UInt32($0))) }
        return (Transaction(inputs: spent, outputs: [TransactionOutput(amount: 9_000, scriptPubKey: wallet.scriptPubKey)]), coins)
    }

    static func transactions() throws -> [[UInt8]] {
        let wallet = try SignerGroup([Known.key(1), Known.key(2)])
        var transaction = Self.spend(of: wallet, inputs: 2).transaction
        let plain = transaction.serialized()
        transaction.inputs[0].scriptSig = Script([0x51])
        transaction.inputs[1].witness = Witness([Array(repeating: 7, count: 64), [], [0x50]])
        return [
            plain, transaction.serialized(), transaction.inputs[1].witness.serialized(), transaction.outputs[0].serialized(),
        ] + Self.official("bip-0341/wallet-test-vectors.json", matching: /"(0[12]000000[0-9a-f]+)"/).compactMap { try? Hex.decode($0) }
    }

    static func scripts() throws -> [[UInt8]] {
        let key = try Known.key(1).xOnly
        guard let hash = Hash160(Array(repeating: 3, count: 20)), let program = WitnessProgram(version: 2, bytes: [1, 2, 3]) else {
            return []
        }
        let built = Script { script in
            for number in [-1, 0, 1, 17, 128, 70_000] as [Int64] { script.appendPush(number: number) }
            script.appendPush(Array(repeating: 9, count: 80))
            script.appendPush(Array(repeating: 9, count: 300))
            script.append(.checkSigAdd)
        }
        return [.payToTaproot(key), .payToPublicKeyHash(hash), .payToScriptHash(hash), .payToWitness(program), built].map(\.bytes)
    }

    static func addresses() throws -> [[UInt8]] {
        try Self.scripts().flatMap { bytes in
            Network.allCases.compactMap { Address(scriptPubKey: Script(bytes), network: $0).map { Array($0.text.utf8) } }
        }
    }

    // MARK: PSBTs

    /// One in each stage: bare, with nonces, with signatures, final; with a script tree and fields nobody knows.
    static func psbts() throws -> [[UInt8]] {
        let first = try Known.secretKey(1)
        let wallet = try SignerGroup([first.publicKey, Known.key(2)])
        let (transaction, coins) = Self.spend(of: wallet, inputs: 1)
        var psbt = try PSBT(unsignedTransaction: transaction)
        var stages = [psbt.serialized()]
        psbt.proprietary[PolicyRecord.psbtKey] = try Self.policies()[0]
        psbt.inputs[0].witnessUTXO = coins[0]
        psbt.inputs[0].sighashType = 0
        psbt.inputs[0].tapInternalKey = wallet.keys.xOnlyKey
        psbt.inputs[0].musig2Participants = [wallet.keys.aggregateKey: wallet.keys.publicKeys]
        psbt.inputs[0].tapBIP32Derivations = [first.publicKey.xOnly: .init(origin: .init(fingerprint: 7, path: [86, 0]))]
        psbt.outputs[0].tapInternalKey = wallet.keys.xOnlyKey
        psbt.outputs[0].tapTree = TaprootTree(leaf: TapLeaf(script: .payToTaproot(wallet.keys.xOnlyKey)))
        stages.append(psbt.serialized())
        let contribution = PSBT.MuSig2Contribution(participant: first.publicKey, aggregateKey: wallet.keys.aggregateKey)
        let nonce = try SecretNonce(for: first, keys: wallet.keys, extraInput: Bytes32()).publicNonce
        try psbt.addMuSig2PublicNonce(nonce.bytes, for: contribution, toInput: 0)
        try psbt.addMuSig2PartialSignature(Array(repeating: 5, count: 32), for: contribution, toInput: 0)
        stages.append(psbt.serialized())
        psbt.inputs[0].finalScriptWitness = Witness([Array(repeating: 7, count: 64)])
        stages.append(psbt.serialized())
        // In a clone of the bips repository they stand in its texts; `scripts/extract-vectors` makes the other files.
        let files = ["174", "371", "373"].flatMap { ["bip-0\($0).mediawiki", "extracted/bip\($0).json"] }
        return stages
            + files.flatMap { Self.official($0, matching: /(cHNidP[0-9A-Za-z+\/=]+)/) }.compactMap { try? Base64.decode($0) }
    }

    // MARK: Keys, nonces, Taproot

    static func keysAndNonces() throws -> [[UInt8]] {
        let key = try Known.secretKey(1)
        let nonce = try SecretNonce(for: key, extraInput: Bytes32()).publicNonce
        let signature = try key.sign(SHA256.hash([]))
        return [
            key.publicKey.bytes, key.publicKey.xOnly.bytes.bytes, nonce.bytes, try AggregateNonce([nonce]).bytes,
            Array(repeating: 0, count: AggregateNonce.byteCount), signature.bytes, signature.s.bytes,
            try Known.identity(1).publicKey.bytes, try Known.identity(1).sign([1]).bytes,
        ]
    }

    static func taproot() throws -> [[UInt8]] {
        let key = try Known.key(1).xOnly
        let leaves = (0..<5).map { TapLeaf(script: Script([0x51, UInt8($0)])) }
        let tree = try TaprootTree(balanced: leaves)
        let output = try TaprootOutput(internalKey: key, tree: tree)
        return [tree.serialized(), try output.controlBlock(forLeafAt: 3, in: tree).serialized(), TaprootTree(leaf: leaves[0]).serialized()]
    }

    // MARK: Messages

    static func statements() throws -> [[UInt8]] {
        let identity = try Known.identity(1)
        let enrolment = try Enrolment(network: .signet, signer: Known.secretKey(1), identity: identity)
        let name = NonceName.first()
        var bodies: [Statement.Body] = [
            .presence(incarnation: name.incarnation, beat: 3), .set([try Known.key(1), try Known.key(2)]),
            .nonces(name, [try Self.keysAndNonces()[2]]), .partialSignatures(transcript: Bytes32(), [Array(repeating: 5, count: 32)]),
            .approval(serial: 1, name, [try Self.keysAndNonces()[2]]), .refusal(serial: 2, .withdrawn), .cancellation,
            .begin(incarnation: name.incarnation, transcript: Bytes32()),
        ]
        if let terms = RequestTerms(createdAt: 1_800_000_000, note: "rent") { bodies.append(.proposal(terms)) }
        return [enrolment.serialized()]
            + bodies.map { Statement($0, request: Bytes32(), attempt: 1, enrolment: enrolment, identity: identity).serialized() }
            + ["chorale-0011223344556677/attempt-0001"].map { Array($0.utf8) }
    }

    static func contributions() throws -> [[UInt8]] {
        let nonce = try Self.keysAndNonces()[2]
        return [
            [0] + nonce + nonce, [1] + Array(repeating: 5, count: 64), [2, 9], [3, 1, 2], [4] + nonce, [5, 1], [6], [7], [8] + "note".utf8,
        ]
    }

    static func policies() throws -> [[UInt8]] {
        let signers = try (1...3).map { try Known.key($0) }
        let kinds: [DelegatedMultisig.InternalKey] = [.owner(try Known.key(9).xOnly), .aggregate, .unspendable]
        return kinds.map { PolicyRecord(internalKey: $0, signers: signers, threshold: 2).serialized() }
    }

    /// Both processes make nonces, learn the other's, sign, learn the signatures and finish.
    static func sessionCalls() -> [[UInt8]] {
        func call(_ process: UInt8, _ what: UInt8, _ choice: UInt8) -> UInt8 { process | what << 1 | choice << 4 }
        let nonces = [call(0, 0, 0), call(0, 0, 1), call(1, 0, 0)]
        let shown = [call(0, 1, 2), call(1, 1, 0), call(1, 1, 1)]
        let signed = [call(0, 3, 0), call(0, 3, 1), call(1, 3, 0)]
        let released = (0..<3).flatMap { [call(0, 5, $0), call(1, 5, $0)] }
        return [nonces + shown + signed + released + [call(0, 6, 0), call(1, 6, 0)], nonces + [call(1, 2, 0), call(0, 7, 15)]]
    }

    // MARK: Files

    static func passphrase() throws -> SecretBytes {
        try SecretBytes(count: 4) { $0.initializeMemory(as: UInt8.self, repeating: 0x70) }
    }

    static func sealedSecrets() throws -> [[UInt8]] {
        let cost = try SealedSecret.Cost(passes: 1, memoryKibibytes: 8)
        let secret = try SecretBytes.random(count: 64)
        return [try SealedSecret(sealing: secret, passphrase: Self.passphrase(), associatedData: [], cost: cost).bytes]
    }

    static func keyFiles() throws -> [[UInt8]] {
        let cost = try SealedSecret.Cost(passes: 1, memoryKibibytes: 8)
        return try [nil, "Ada's laptop"].map { label in
            let path = FileManager.default.temporaryDirectory.appending(path: "chorale-fuzz-seed-\(UUID())")
            defer { try? FileManager.default.removeItem(at: path) }
            _ = try KeyFile.create(
                at: path.path(percentEncoded: false), key: Known.secretKey(1), identity: Known.identity(1), network: .signet, label: label,
                passphrase: Self.passphrase(), cost: cost)
            return Array(try Data(contentsOf: path))
        }
    }

    static let journalHeader = Array("CHORJNL".utf8) + [1]

    static func journals() throws -> [[UInt8]] {
        let (key, nonce) = (try Known.key(1).bytes, try Self.keysAndNonces()[2])
        let record: [UInt8] =
            [1] + Bytes32().bytes + [1, 0, 0, 0] + key + Bytes32().bytes + [1, 0] + nonce + Array(repeating: 5, count: 32)
        let entries = [1] + Self.littleEndian(record.count) + record + [2] + Self.littleEndian(32) + Bytes32().bytes
        return [[0] + Self.journalHeader + Self.frame(entries, at: Self.journalHeader.count), [1] + entries]
    }

    /// A journal's frame: length, its check, the payload, its check. The checks cover the frame's offset in the file.
    static func frame(_ payload: [UInt8], at offset: Int) -> [UInt8] {
        let length = Self.littleEndian(payload.count)
        let place = Self.littleEndian(offset) + [0, 0, 0, 0]
        return length + SHA256.hash(place + length).bytes.prefix(4) + payload + SHA256.hash(place + length + payload).bytes.prefix(8)
    }

    private static func littleEndian(_ number: Int) -> [UInt8] {
        withUnsafeBytes(of: UInt32(truncatingIfNeeded: number).littleEndian) { Array($0) }
    }

    /// All that matches in one of the BIPs' files, where the folder is known.
    private static func official(_ file: String, matching pattern: Regex<(Substring, Substring)>) -> [String] {
        guard let folder = ProcessInfo.processInfo.environment["CHORALE_BIPS"],
            let text = try? String(contentsOfFile: "\(folder)/\(file)", encoding: .utf8)
        else { return [] }
        return text.matches(of: pattern).map { String($0.output.1) }
    }
}
