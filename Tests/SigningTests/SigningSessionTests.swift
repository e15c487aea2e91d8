import Bitcoin
import CryptoPrimitives
import MuSig2
import Secp256k1
import Signing
import Testing

/// A group of signers with a coin each, for one test.
final class Fixture: Sendable {
    let first: SecretKey
    let second: SecretKey
    let third: SecretKey
    let group: SignerGroup

    init() throws {
        let first = try SecretKey.generate()
        let second = try SecretKey.generate()
        let third = try SecretKey.generate()
        self.group = try SignerGroup([first.publicKey, second.publicKey, third.publicKey])
        self.first = first
        self.second = second
        self.third = third
    }

    func transaction(inputs: Int = 2) -> (transaction: Transaction, coins: [TransactionOutput]) {
        let coins = (0..<inputs).map { TransactionOutput(amount: 10_000 + UInt64($0), scriptPubKey: self.group.scriptPubKey) }
        let spent = (0..<inputs).map {
            TransactionInput(previousOutput: OutPoint(txid: Txid(SHA256.hash([UInt8($0)])), index: UInt32($0)))
        }
        let paid = TransactionOutput(amount: 9_000, scriptPubKey: self.group.scriptPubKey)
        return (Transaction(inputs: spent, outputs: [paid]), coins)
    }

    func session(inputs: Int = 2, attempt: UInt32 = 1) throws -> SigningSession {
        let (transaction, coins) = self.transaction(inputs: inputs)
        let request = try SigningRequest(transaction: transaction, prevouts: coins)
        let (signers, path) = try self.group.spend(by: nil)
        let plan = try SigningPlan(
            request: request, signers: signers, paths: Dictionary(uniqueKeysWithValues: (0..<inputs).map { ($0, path) }))
        return SigningSession(plan: plan, attempt: attempt)
    }

    static func name(_ incarnation: UInt8, _ counter: UInt32 = 1) -> NonceName {
        NonceName(incarnation: Array(repeating: incarnation, count: 16), counter: counter)
    }
}

@Suite struct SigningSessionTests {
    @Test func `three signers spend two coins, whatever the order in which contributions come`() throws {
        let fixture = try Fixture()
        var a = try fixture.session()
        var b = try fixture.session()
        var c = try fixture.session()
        let fromA = try a.generateNonces(for: fixture.first, name: Fixture.name(1))
        let fromB = try b.generateNonces(for: fixture.second, name: Fixture.name(2))
        let fromC = try c.generateNonces(for: fixture.third, name: Fixture.name(3))
        #expect(try a.add(fromC, from: fixture.third.publicKey) == .added)
        #expect(try a.add(fromC, from: fixture.third.publicKey) == .repeated)
        #expect(a.missingNonces == [fixture.second.publicKey])
        #expect(throws: SigningError.missingNonces([fixture.second.publicKey])) { _ = try a.sign(with: fixture.first) }
        #expect(try a.add(fromB, from: fixture.second.publicKey) == .added)
        for (key, set) in [(fixture.first.publicKey, fromA), (fixture.third.publicKey, fromC)] { _ = try b.add(set, from: key) }
        for (key, set) in [(fixture.second.publicKey, fromB), (fixture.first.publicKey, fromA)] { _ = try c.add(set, from: key) }
        let signatures = (try a.sign(with: fixture.first), try b.sign(with: fixture.second), try c.sign(with: fixture.third))
        #expect(signatures.0.transcript == signatures.1.transcript)
        _ = try a.release(signatures.0)
        #expect(try a.tryFinalize() == nil)
        _ = try a.add(signatures.2.partialSignatures, from: fixture.third.publicKey)
        _ = try a.add(signatures.1.partialSignatures, from: fixture.second.publicKey)
        let signed = try #require(try a.tryFinalize())
        #expect(signed.inputs.allSatisfy { $0.witness.items.map(\.count) == [64] })
        #expect(signed.txid == fixture.transaction().transaction.txid)
    }
}
