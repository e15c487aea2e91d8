import Bitcoin
import CTestSupport
import CryptoPrimitives
import Foundation
import Secp256k1
import Signing
import Testing

@testable import CommandLineTool

@Suite struct ExchangeFolderTests {
    private let shared: TemporaryFolder
    private let keys: [PublicKey]
    private let group: SignerGroup
    private let request: SigningRequest

    init() throws {
        self.shared = try TemporaryFolder()
        self.keys = try [1, 2].map { try Samples.secretKey($0).publicKey }
        self.group = try SignerGroup(self.keys)
        self.request = try GroupPayment(from: self.group, coins: [(1_000_000, true)], outputs: [(900_000, false)]).request
    }

    private func mode(of path: String) throws -> Int {
        try #require(try FileManager.default.attributesOfItem(atPath: path)[.posixPermissions] as? Int)
    }

    private func put(_ bytes: [UInt8], at path: ExchangePath, in folder: ExchangeFolder) throws {
        let place = URL(fileURLWithPath: folder.place(of: path))
        try FileManager.default.createDirectory(at: place.deletingLastPathComponent(), withIntermediateDirectories: true)
        try Data(bytes).write(to: place)
    }

    @Test func `a folder gets the shared folder's rights, and what a link in its place leads to does not`() throws {
        try #require(chmod(self.shared.path, 0o2770) == 0)
        let folder = try ExchangeFolder(in: self.shared.path, request: self.request)
        #expect(try self.mode(of: folder.path) == 0o2770)
        let own = try TemporaryFolder()
        try #require(chmod(own.path, 0o700) == 0)
        let link = self.shared.path("link")
        try FileManager.default.createSymbolicLink(atPath: link, withDestinationPath: own.path)
        ExchangeFolder.giveRights(to: link, of: self.shared.path)
        #expect(try self.mode(of: own.path) == 0o700)
    }

    @Test func `who writes into an exchange whose folder was removed makes it again`() throws {
        let folder = try ExchangeFolder(in: self.shared.path, request: self.request)
        for path in [ExchangePath.final, .nonces(attempt: 1, self.keys[0])] {
            try FileManager.default.removeItem(atPath: folder.path)
            #expect(try folder.create([1], at: path))
            #expect(FileManager.default.fileExists(atPath: folder.place(of: path)))
        }
    }

    @Test func `it is not made again in another folder that has the shared one's name`() throws {
        let mounted = self.shared.path("stick")
        try FileManager.default.createDirectory(atPath: mounted, withIntermediateDirectories: false)
        let folder = try ExchangeFolder(in: mounted, request: self.request)
        // The stick is pulled out, and the place where it was mounted is empty.
        try FileManager.default.moveItem(atPath: mounted, toPath: self.shared.path("elsewhere"))
        try FileManager.default.createDirectory(atPath: mounted, withIntermediateDirectories: false)
        do throws(CommandError) {
            _ = try folder.create([1], at: .nonces(attempt: 1, self.keys[0]))
            Issue.record("the nonces would be nowhere when the stick comes back")
        } catch {
            guard case .missing = error else { throw error }
        }
        #expect(try FileManager.default.contentsOfDirectory(atPath: mounted) == [])
    }

    @Test func `places come in the order of the attempts, from the newest that is known`() throws {
        var folder = try ExchangeFolder(in: self.shared.path, request: self.request)
        for attempt in [12, 3, 1, 7] as [UInt32] { try self.put([0], at: .set(attempt: attempt), in: folder) }
        try self.put([0], at: .final, in: folder)
        #expect(
            try folder.places(sinceAttempt: 0) == [.root(names: ["final.tx"]), .attempt(1), .attempt(3), .attempt(7), .attempt(12)])
        #expect(try folder.places(sinceAttempt: 7) == [.root(names: ["final.tx"]), .attempt(7), .attempt(12)])
    }

    /// All of them together would be more than a gigabyte.
    @Test func `files as long as may be, one of each member, take the memory of one`() throws {
        let members = Samples.keys(40)
        let scene = try CosignGroup(count: 1)
        let policy = try SignerGroup(members + scene.publicKeys)
        let (transaction, coin) = CosignGroup.transaction(spending: policy.scriptPubKey)
        _ = try scene.folder.write(PSBT(asking: policy, toSign: transaction, spending: [coin]).serialized(), to: "payment.psbt")
        #expect(try scene.cosign(0, timeLimit: 1, "--no-wait").run().exitCode == ExitCode.missing.rawValue)
        let exchange = try #require(try FileManager.default.contentsOfDirectory(atPath: scene.shared).first)
        for member in members {
            let path = "\(scene.shared)/\(exchange)/\(ExchangePath.evidence(member))"
            try #require(FileManager.default.createFile(atPath: path, contents: nil))
            try #require(truncate(path, off_t(Evidence.byteCountMax)) == 0)
        }
        var tool = scene.cosign(0, timeLimit: 1)
        // In kilobytes. A sanitizer maps far more than it uses.
        if chorale_test_is_sanitized() == 0 { tool.shellPrelude = "ulimit -v 1000000" }
        let run = try tool.run()
        #expect(run.exitCode == ExitCode.missing.rawValue && run.errors.contains("the time limit was reached"), "\(run.errors)")
        for member in members { #expect(run.errors.contains("ignoring evidence-\(member).chorale")) }
    }

    @Test func `one look reads all attempts, however many somebody made`() throws {
        let key = try Samples.secretKey(1)
        let identity = try Ed25519.SecretKey.generate()
        var machine = try FileExchange(
            request: self.request, policy: self.group, enrolment: Enrolment(network: .regtest, signer: key, identity: identity),
            incarnation: .random(), records: [])
        var folder = try ExchangeFolder(in: self.shared.path, request: self.request)
        let count = 5 * FileExchange.attemptLookahead
        for attempt in 1...count { try self.put([0], at: .set(attempt: attempt), in: folder) }
        let hasSeen = try CosignRunner.look(into: &folder, for: &machine, now: .zero)
        let known = machine.attemptCount
        #expect(hasSeen && known == count)
        let seesMore = try CosignRunner.look(into: &folder, for: &machine, now: .zero)
        #expect(!seesMore)
    }
}
