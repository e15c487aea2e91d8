import Bitcoin
import CryptoPrimitives
import MuSig2
import Secp256k1
import Signing

/// A key that never leaves its owner, for all sessions that the owner takes part in.
final class OwnKey {
    let secret: SecretKey
    var publicKey: PublicKey { self.secret.publicKey }

    init() throws { self.secret = try SecretKey.generate() }
}

/// One participant in one session, with its own view of it.
final class Cosigner {
    private let key: OwnKey
    private var session: SigningSession
    /// Names this run's nonces, so that nobody takes a restarted participant for a dishonest one.
    private let nonceName = NonceName.first()

    var publicKey: PublicKey { self.key.publicKey }

    init(key: OwnKey, plan: SigningPlan) {
        self.key = key
        self.session = SigningSession(plan: plan)
    }

    func makeNonces() throws -> NonceSet {
        try self.session.generateNonces(for: self.key.secret, name: self.nonceName)
    }

    func receive(_ nonces: NonceSet, from signer: PublicKey) throws { _ = try self.session.add(nonces, from: signer) }

    /// Signs. A program that can crash writes the record to a `SessionJournal` before it releases the signatures.
    func sign() throws -> SignatureShares {
        let record = try self.session.sign(with: self.key.secret)
        return try self.session.release(record)
    }

    func receive(_ shares: SignatureShares, from signer: PublicKey) throws { _ = try self.session.add(shares, from: signer) }

    /// The signed transaction; `nil` while signatures are missing.
    func finish() throws -> Transaction? { try self.session.tryFinalize() }

    /// Whose signatures are missing.
    var missing: [PublicKey] { self.session.missingPartialSignatures }
}

/// Round 1. The messages would travel over a network; here they are function calls.
func exchangeNonces(among cosigners: [Cosigner]) throws {
    for sender in cosigners {
        let nonces = try sender.makeNonces()
        for receiver in cosigners where receiver !== sender { try receiver.receive(nonces, from: sender.publicKey) }
    }
}

/// Spends a made-up coin of three signers by its key path: on the chain it looks like anybody's.
func spendCoin() throws {
    let keys = [try OwnKey(), try OwnKey(), try OwnKey()]
    let group = try SignerGroup(keys.map(\.publicKey))

    // The coin, and the transaction that spends it.
    let coin = TransactionOutput(amount: 100_000, scriptPubKey: group.scriptPubKey)
    let payment = TransactionOutput(amount: 99_000, scriptPubKey: group.scriptPubKey)
    let outPoint = OutPoint(txid: Txid(SHA256.hash(Array("a made-up transaction".utf8))), index: 0)
    let transaction = Transaction(inputs: [TransactionInput(previousOutput: outPoint)], outputs: [payment])

    // What is signed, and by whom: each participant works this out for itself.
    let request = try SigningRequest(transaction: transaction, prevouts: [coin])
    let plan = try SigningPlan(request: request, under: group)

    let cosigners = keys.map { Cosigner(key: $0, plan: plan) }
    try exchangeNonces(among: cosigners)
    let shares = try cosigners.map { ($0.publicKey, try $0.sign()) }
    for receiver in cosigners {
        for (signer, theirs) in shares { try receiver.receive(theirs, from: signer) }
    }

    // Everyone can finish, and all arrive at the same bytes.
    for cosigner in cosigners {
        guard let signed = try cosigner.finish() else { preconditionFailure("all three have signed") }
        let signature = try SchnorrSignature(parsing: signed.inputs[0].witness.items[0])
        let message = try signed.taprootSighash(input: 0, prevouts: [coin], type: .default)
        guard signature.isValid(for: message, by: group.outputKey) else { preconditionFailure("a finished signature verifies") }
        if cosigner === cosigners.last { describe(signed, coin: coin, fee: request.fee) }
    }
}

private func describe(_ signed: Transaction, coin: TransactionOutput, fee: UInt64) {
    if let address = Address(scriptPubKey: coin.scriptPubKey, network: .regtest) { print("  coin at        \(address)") }
    print("  fee            \(fee) sat for \(signed.virtualSize) virtual bytes")
    print("  txid           \(signed.txid)")
    print("  verifies       true, for each of the three")
    print("  transaction    \(Hex.encode(signed.serialized()))")
}
