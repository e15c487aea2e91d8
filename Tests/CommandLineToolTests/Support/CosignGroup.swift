import Bitcoin
import CryptoPrimitives
import Foundation
import Secp256k1
import SessionStore
import Signing
import Testing

/// Signers with key files, a payment on regtest for them to sign, and the folder that they share.
struct CosignGroup {
    let folder: TemporaryFolder
    let publicKeys: [PublicKey]

    var shared: String { self.folder.path("shared") }
    var payment: String { self.folder.path("payment.psbt") }
    func keyFile(_ number: Int) -> String { self.folder.path("\(number).key") }

    init(count: Int) throws {
        self.folder = try TemporaryFolder()
        self.publicKeys = try (0..<count).map { try Self.key($0).publicKey }
        try FileManager.default.createDirectory(atPath: self.folder.path("shared"), withIntermediateDirectories: false)
        for number in 0..<count {
            // Cheap to unlock: it guards nothing.
            _ = try KeyFile.create(
                at: self.keyFile(number), key: Self.key(number), identity: Self.identity(number), network: .regtest,
                passphrase: SecretBytes(count: 4) { $0.initializeMemory(as: UInt8.self, repeating: 0x70) },
                cost: SealedSecret.Cost(passes: 1, memoryKibibytes: 8))
        }
    }

    private static let passphrase = "pppp"

    static func key(_ number: Int) throws -> SecretKey { try Samples.secretKey(UInt8(100 + number)) }

    static func identity(_ number: Int) throws -> Ed25519.SecretKey {
        try Ed25519.SecretKey(seed: SecretBytes(count: 32) { $0.initializeMemory(as: UInt8.self, repeating: UInt8(200 + number)) })
    }

    func cosign(_ number: Int, psbt: String? = nil, timeLimit: Int, _ more: String...) -> Tool {
        var tool = Tool(
            [
                "cosign", "--psbt", psbt ?? self.payment, "--key", self.keyFile(number), "--exchange", self.shared, "--yes", "--time-limit",
                "\(timeLimit)",
            ] + more)
        tool.environment["CHORALE_PASSPHRASE"] = Self.passphrase
        return tool
    }

    /// A payment of one coin with the script back to it.
    static func transaction(spending script: Script) -> (Transaction, TransactionOutput) {
        let coin = TransactionOutput(amount: 100_000, scriptPubKey: script)
        let spent = TransactionInput(previousOutput: OutPoint(txid: Txid(SHA256.hash([1])), index: 0))
        return (Transaction(inputs: [spent], outputs: [TransactionOutput(amount: 99_000, scriptPubKey: script)]), coin)
    }

    /// Everything that was put into the shared folder, folders left aside.
    func sharedFiles() throws -> [String] {
        try FileManager.default.subpathsOfDirectory(atPath: self.shared).filter { path in
            var isFolder: ObjCBool = false
            return FileManager.default.fileExists(atPath: "\(self.shared)/\(path)", isDirectory: &isFolder) && !isFolder.boolValue
        }
    }
}
