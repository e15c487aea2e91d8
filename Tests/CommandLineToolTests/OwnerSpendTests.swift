import Bitcoin
import CryptoPrimitives
import Foundation
import Secp256k1
import Signing
import Testing

@testable import CommandLineTool

/// An owner's spend, which needs nobody else.
@Suite struct OwnerSpendTests {
    private func cosign(_ folder: TemporaryFolder) throws -> Transcript {
        var tool = Tool(
            "cosign", "--psbt", folder.path("payment.psbt"), "--key", folder.path("owner.key"), "--exchange", folder.path("shared"), "--yes"
        )
        tool.environment["CHORALE_PASSPHRASE"] = "correct horse"
        return try tool.run()
    }

    @Test func `the finished transaction replaces what is false, and its place is told only if it is there`() throws {
        let folder = try TemporaryFolder()
        var tool = Tool("key", "new", "--network", "regtest", "--out", folder.path("owner.key"), "--json")
        tool.environment["CHORALE_PASSPHRASE"] = "correct horse"
        let owner = try PublicKey(parsing: Hex.decode(try #require(try tool.run().json()["public_key"] as? String)))
        let policy = try DelegatedMultisig(internalKey: .owner(owner.xOnly), signers: Samples.keys(3), threshold: 2)
        let transaction = Transaction(
            inputs: [TransactionInput(previousOutput: OutPoint(txid: Txid(SHA256.hash([9])), index: 0))],
            outputs: [TransactionOutput(amount: 990_000, scriptPubKey: policy.scriptPubKey)])
        let psbt = try PSBT(
            asking: policy, toSign: transaction, spending: [TransactionOutput(amount: 1_000_000, scriptPubKey: policy.scriptPubKey)])
        _ = try folder.write(psbt.serialized(), to: "payment.psbt")
        try FileManager.default.createDirectory(atPath: folder.path("shared"), withIntermediateDirectories: false)

        #expect(try self.cosign(folder).exitCode == 0)
        let name = try #require(try FileManager.default.contentsOfDirectory(atPath: folder.path("shared")).first)
        let final = "shared/\(name)/final.tx"
        for garbage in ["", "garbage\n", Hex.encode(transaction.serialized())] {
            _ = try folder.write(garbage, to: final)
            let run = try self.cosign(folder)
            #expect(run.exitCode == 0 && run.errors.contains("It is in \(folder.path(final))"), "\(run.errors)")
            #expect(try folder.text(final) == run.output && run.output.count > 100)
        }
        // A folder cannot be replaced by a file.
        try FileManager.default.removeItem(atPath: folder.path(final))
        try FileManager.default.createDirectory(atPath: folder.path("\(final)/inside"), withIntermediateDirectories: true)
        let run = try self.cosign(folder)
        #expect(run.exitCode == 0 && run.output.count > 100, "the transaction is there all the same: \(run.errors)")
        #expect(!run.errors.contains("It is in"), "\(run.errors)")
    }
}
