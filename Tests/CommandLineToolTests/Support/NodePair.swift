import Bitcoin
import CryptoPrimitives
import Foundation
import Testing

@testable import CommandLineTool

#if canImport(Glibc)
import Glibc
#elseif canImport(Darwin)
import Darwin
#endif

/// Two nodes that share the group "pair", made over the network.
struct NodePair {
    let ada: NodeProcess
    let bob: NodeProcess
    let address: String

    init() throws {
        (self.ada, self.bob) = try (NodeProcess("Ada"), NodeProcess("Bob"))
        let invited = try self.ada.json("group", "invite", "--name", "pair", "--members", "2")
        let invitation = try #require((invited["invitations"] as? [String])?.first)
        let joined = try self.bob.json("group", "join", invitation, "--yes")
        self.address = try #require(joined["address"] as? String)
        // Ada's node has it as soon as it has answered Bob's.
        let end = ContinuousClock.now + .seconds(30)
        while try self.ada.json("group", "show", "pair")["state"] as? String != "made", ContinuousClock.now < end { usleep(20_000) }
    }

    /// Ada asks for a payment of 40,000 sat of a coin of 100,000 sat, with a fee of 1,000 sat.
    ///
    /// - Returns: the request's id.
    func ask(_ salt: UInt8, _ words: String...) throws -> String {
        let file = try self.payment(salt)
        let run = try Tool(["request", "new", "--group", "pair", "--psbt", file, "--yes", "--home", self.ada.home, "--json"] + words).run()
        #expect(run.exitCode == 0, "\(run.errors)")
        return try #require(try run.json()["request"] as? String)
    }

    static let recipient = Samples.keys(1)[0].xOnly

    func payment(_ salt: UInt8) throws -> String {
        let script = try Address(parsing: self.address, on: .regtest).scriptPubKey
        let spent = TransactionInput(previousOutput: OutPoint(txid: Txid(SHA256.hash([salt])), index: 0), sequence: 0xffff_fffd)
        let outputs = [
            TransactionOutput(amount: 40_000, scriptPubKey: .payToTaproot(Self.recipient)),
            TransactionOutput(amount: 59_000, scriptPubKey: script),
        ]
        var psbt = try PSBT(unsignedTransaction: Transaction(inputs: [spent], outputs: outputs))
        psbt.inputs[0].witnessUTXO = TransactionOutput(amount: 100_000, scriptPubKey: script)
        return try self.ada.folder.write(psbt.serialized(), to: "payment-\(salt).psbt")
    }
}
