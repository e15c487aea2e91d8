import Bitcoin
import CryptoPrimitives
import MuSig2
import Secp256k1
import SessionStore
import Signing

/// What the demo plays with: fresh keys, the group's output, coins of it that never were on any chain, a transaction that spends them.
struct DemoScene: Sendable {
    let policy: any SpendingPolicy
    let request: SigningRequest
    /// The signers' public keys and key files; the first is signer 1.
    let signers: [(key: PublicKey, path: String)]
    /// The passphrase of all key files. A demo's keys guard nothing, so it may be a text.
    let passphrase: String
    let psbtPath: String
    /// The folder that the signers share.
    let exchangePath: String

    static let network = Network.regtest

    /// The file of the kept folder that lets a person take a signer's part by hand.
    static let passphraseName = "passphrase.txt"

    /// Makes everything in the folder.
    init(in folder: String, signers count: Int, threshold: Int, inputs: Int) async throws(CommandError) {
        self.passphrase = Hex.encode(SystemRandom.bytes(count: 16))
        self.psbtPath = "\(folder)/payment.psbt"
        self.exchangePath = "\(folder)/shared"
        var signers: [(key: PublicKey, path: String)] = []
        for number in 1...count {
            guard !Interruption.isRequested else { throw .interrupted }
            let path = "\(folder)/signer-\(number).key"
            signers.append((try Self.makeKey(at: path, label: "signer \(number)", passphrase: self.passphrase), path))
        }
        self.signers = signers
        self.policy = try await Self.policy(of: signers.map { $0.key }, threshold: threshold)
        self.request = try Self.request(of: self.policy, inputs: inputs)
        let psbt: PSBT
        do throws(PSBTError) {
            psbt = try PSBT(asking: self.policy, toSign: self.request.transaction, spending: self.request.prevouts)
        } catch { throw .failed("\(error)") }
        try Files.write(psbt.serialized(), to: self.psbtPath, replacing: false)
        try Files.write(
            Array("\(self.passphrase)\n".utf8), to: "\(folder)/\(Self.passphraseName)", replacing: false, permissions: .ownerOnly)
    }

    private static func makeKey(at path: String, label: String, passphrase: String) throws(CommandError) -> PublicKey {
        do {
            let secret = try SecretBytes(count: passphrase.utf8.count) { $0.copyBytes(from: passphrase.utf8) }
            // A random passphrase of 128 bits needs no costly derivation.
            let cost = try SealedSecret.Cost(passes: 1, memoryKibibytes: 1_024)
            let file = try KeyFile.create(
                at: path, key: SecretKey.generate(), identity: Ed25519.SecretKey.generate(), network: Self.network, label: label,
                passphrase: secret, cost: cost)
            return file.header.signer
        } catch let error as KeyFileError { throw KeyCommands.failure(error) } catch { throw .failed("\(error)") }
    }

    private static func policy(of keys: [PublicKey], threshold: Int) async throws(CommandError) -> any SpendingPolicy {
        let line = ProgressLine()
        defer { line.finish() }
        do {
            guard threshold < keys.count else { return try SignerGroup(keys) }
            return try await DelegatedMultisig.make(internalKey: .unspendable, signers: keys, threshold: threshold) { done, total in
                line.update("Computing the k-of-n policy", done: done, of: total)
            }
        } catch { throw .failed("\(error)") }
    }

    /// Spends all coins, pays most of it to somebody else and the rest back.
    private static func request(of policy: any SpendingPolicy, inputs: Int) throws(CommandError) -> SigningRequest {
        let coins = (0..<inputs).map { TransactionOutput(amount: 100_000 + 1_000 * UInt64($0), scriptPubKey: policy.scriptPubKey) }
        let total = coins.reduce(0) { $0 + $1.amount }
        // Enough for any path: an input by a leaf of a deep tree takes below 200 vB.
        let fee = 500 + 250 * UInt64(inputs)
        let payment = total / 2
        let recipient = Script.payToTaproot(SHA256.hash(SystemRandom.bytes(count: 32)))
        let transaction = Transaction(
            inputs: (0..<inputs).map { _ in
                TransactionInput(previousOutput: OutPoint(txid: Txid(SHA256.hash(SystemRandom.bytes(count: 32))), index: 0))
            },
            outputs: [
                TransactionOutput(amount: payment, scriptPubKey: recipient),
                TransactionOutput(amount: total - payment - fee, scriptPubKey: policy.scriptPubKey),
            ])
        do throws(SigningError) {
            return try SigningRequest(transaction: transaction, prevouts: coins, policyDigest: policy.digest)
        } catch { throw .failed("\(error)") }
    }
}
