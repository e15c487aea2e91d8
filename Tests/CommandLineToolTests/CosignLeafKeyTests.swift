import Bitcoin
import CryptoPrimitives
import Foundation
import Secp256k1
import Signing
import Testing

/// A PSBT may bring a policy's leaf keys with it, and who made the PSBT chose them: they count for nothing by themselves.
@Suite struct CosignLeafKeyTests {
    /// Where a PSBT's global map holds the leaf keys.
    private static let leafKeysKey = PSBT.ProprietaryKey(identifier: Array("chorale".utf8), subtype: 17)

    /// A payment of a coin of the policy, with the policy's record in it and with its leaf keys.
    private static func psbt(_ policy: DelegatedMultisig, recipient: Script? = nil) throws -> PSBT {
        var (transaction, coin) = CosignGroup.transaction(spending: policy.scriptPubKey)
        if let recipient { transaction.outputs[0].scriptPubKey = recipient }
        var psbt = try PSBT(unsignedTransaction: transaction)
        psbt.inputs[0].witnessUTXO = coin
        psbt.addPolicy(policy)
        #expect(psbt.proprietary[Self.leafKeysKey] == policy.leafKeys.flatMap(\.bytes))
        return psbt
    }

    /// The same policy by name, in whose tree a stranger's key stands for the first set's.
    private static func forged(_ policy: DelegatedMultisig) throws -> DelegatedMultisig {
        let stranger = try Samples.secretKey(99).publicKey.xOnly.bytes
        return try DelegatedMultisig(
            internalKey: policy.internalKey, signers: policy.signers, threshold: policy.threshold,
            leafKeys: [stranger] + policy.leafKeys.dropFirst())
    }

    @Test func `a coin whose tree has a stranger's leaf key is refused, before and after the policy was computed`() throws {
        let group = try CosignGroup(count: 3)
        let policy = try DelegatedMultisig(internalKey: .unspendable, signers: group.publicKeys, threshold: 2)
        let genuine = try group.folder.write(Self.psbt(policy).serialized(), to: "genuine.psbt")
        let forgery = try Self.psbt(Self.forged(policy))
        #expect(PolicyRecord(try Self.forged(policy)) == PolicyRecord(policy), "by its record it is the group's")
        #expect(try Self.forged(policy).scriptPubKey != policy.scriptPubKey)
        let forged = try group.folder.write(forgery.serialized(), to: "forged.psbt")
        let cache = "\(group.keyFile(0)).policies"

        func expectRefusal(_ comment: Comment) throws {
            let run = try group.cosign(0, psbt: forged, timeLimit: 1).run()
            #expect(run.exitCode == 1, comment)
            #expect(run.errors.contains("forged.psbt: ") && run.errors.contains("script"), "\(comment): \(run.errors)")
            #expect(!run.errors.contains("To be signed"), "\(comment): \(run.errors)")
            #expect(try group.sharedFiles() == [], comment)
        }
        #expect(!FileManager.default.fileExists(atPath: cache))
        try expectRefusal("nothing was computed before")
        try expectRefusal("it was seen before")
        try FileManager.default.removeItem(atPath: cache)

        // The genuine one is waited for, so that the refusal is about the key alone; and it leaves the policy's script behind.
        let waiting = try group.cosign(0, psbt: genuine, timeLimit: 1).run()
        #expect(waiting.exitCode == 3 && waiting.errors.contains("waiting for signers"), "\(waiting.errors)")
        let written = try String(contentsOfFile: cache, encoding: .utf8)
        #expect(written == "\(PolicyRecord(policy).digest) \(policy.scriptPubKey.hex)\n")
        try expectRefusal("the genuine policy was computed before")
        #expect(try String(contentsOfFile: cache, encoding: .utf8) == written, "the forgery left nothing behind")
    }

    @Test func `a payment to a tree with a stranger's leaf key is not shown as one back to the group`() throws {
        let group = try CosignGroup(count: 3)
        let policy = try DelegatedMultisig(internalKey: .unspendable, signers: group.publicKeys, threshold: 2)
        let forgedTree = try Self.forged(policy)
        var psbt = try Self.psbt(policy, recipient: forgedTree.scriptPubKey)
        psbt.proprietary[Self.leafKeysKey] = forgedTree.leafKeys.flatMap(\.bytes)
        let path = try group.folder.write(psbt.serialized(), to: "change.psbt")
        for round in ["computed anew", "computed before"] {
            let run = try group.cosign(0, psbt: path, timeLimit: 1).run()
            // The coin is the group's and the forged keys count for nothing, so it is an ordinary payment to somebody.
            #expect(run.exitCode == 3, "\(round): \(run.errors)")
            #expect(run.errors.contains("(this group's coin)"), "\(round): \(run.errors)")
            #expect(!run.errors.contains("(back to this group)"), "\(round): \(run.errors)")
        }
    }
}
