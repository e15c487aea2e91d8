import Bitcoin
import CryptoPrimitives
import Signing

/// Pays in two versions that spend the same coin, one with a higher fee: all but the last signer sign both, and the last one
/// picks when it knows what blocks ask for by then.
func payInTwoVersions() throws {
    let (alice, bob, carol) = (try OwnKey(), try OwnKey(), try OwnKey())
    let group = try SignerGroup([alice.publicKey, bob.publicKey, carol.publicKey])
    let output = TransactionOutput(amount: 100_000, scriptPubKey: group.scriptPubKey)
    let outPoint = OutPoint(txid: Txid(SHA256.hash(Array("another made-up transaction".utf8))), index: 0)
    let coin = FundingCoin(outPoint: outPoint, output: output, inputSize: .taprootKeyPath())
    let payment = TransactionOutput(amount: 50_000, scriptPubKey: group.scriptPubKey)

    // 2 sat/vB, and the same payment with half as much fee again, out of the same change.
    let dual = try DualTransaction(
        spending: [coin], paying: [payment], changeTo: group.scriptPubKey, feeRate: FeeRate(2), buffer: FeeBuffer(percent: 50))

    // A session for each version, with nonces of its own. Alice and Bob sign both, and give their signatures to all.
    func begin(_ version: FundedTransaction) throws -> [Cosigner] {
        let request = try SigningRequest(transaction: version.transaction, prevouts: [output])
        let plan = try SigningPlan(request: request, under: group)
        let cosigners = [alice, bob, carol].map { Cosigner(key: $0, plan: plan) }
        try exchangeNonces(among: cosigners)
        for sender in cosigners.dropLast() {
            let shares = try sender.sign()
            for receiver in cosigners where receiver !== sender { try receiver.receive(shares, from: sender.publicKey) }
        }
        return cosigners
    }
    let (base, buffered) = (try begin(dual.base), try begin(dual.buffered))

    // Carol, the last, picks the higher fee. She never signs the other version, and so nobody can complete it.
    let picked = buffered[2]
    _ = try picked.sign()
    guard let signed = try picked.finish(), signed.txid == dual.buffered.txid else { preconditionFailure("the picked version is signed") }
    for cosigner in base {
        guard try cosigner.finish() == nil, cosigner.missing.contains(carol.publicKey) else {
            preconditionFailure("the other version lacks Carol's signature")
        }
    }
    print("  fees           \(dual.base.fee) sat, or \(dual.buffered.fee) sat, which is picked")
    print("  txid           \(signed.txid)")
    print("  other version  cannot be completed without the last signer")
}
