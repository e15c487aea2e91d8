import CryptoPrimitives
import Foundation
import MuSig2
import Secp256k1
import SessionStore
import Signing
import Testing

@Suite struct JournalCommandTests {
    /// A journal with two decisions about a first request and one about a second; gives its path.
    private func journal(in folder: TemporaryFolder) async throws -> String {
        let path = folder.path("alice.key.journal")
        let journal = try await FileJournal.open(path)
        for (request, attempt) in [(UInt8(1), UInt32(1)), (1, 3), (2, 1)] { try await journal.burn(self.record(request, attempt)) }
        await journal.close()
        return path
    }

    private func request(_ number: UInt8) -> Bytes32 { SHA256.hash([number]) }

    private func record(_ request: UInt8, _ attempt: UInt32) throws -> BurnRecord {
        let halves = try [1, 2].map { try Samples.secretKey(request * 16 + UInt8(attempt) * 2 + $0).publicKey.bytes }
        return try #require(
            BurnRecord(
                request: self.request(request), attempt: attempt, signer: Samples.keys(1)[0], transcript: SHA256.hash([request, 0]),
                nonces: [PublicNonce(parsing: halves[0] + halves[1])],
                partialSignatures: [PartialSignature(parsing: [UInt8](repeating: 0, count: 31) + [request])]))
    }

    @Test func `a journal tells its requests, with the folder that each has in an exchange`() async throws {
        let folder = try TemporaryFolder()
        let path = try await self.journal(in: folder)
        let run = try Tool("journal", "show", path).run()
        #expect(run.exitCode == 0 && run.errors == "")
        for number in UInt8(1)...2 {
            #expect(run.output.contains("Request \(self.request(number))\n"))
            #expect(run.output.contains("  folder  chorale-\("\(self.request(number))".prefix(16))\n"))
        }
        #expect(run.output.contains("  signed  attempt 3, 1 input, by \(Samples.keys(1)[0])\n"))
        #expect(run.outputLines.last == "2 requests, 3 decisions")

        let requests = try #require(try Tool("journal", "show", path, "--json").run().json()["requests"] as? [[String: Any]])
        #expect(Set(requests.compactMap { $0["request"] as? String }) == ["\(self.request(1))", "\(self.request(2))"])
        #expect(requests.compactMap { ($0["decisions"] as? [Any])?.count }.sorted() == [1, 2])
    }

    @Test func `a request is forgotten by its digits or its folder's name, and the others stay`() async throws {
        let folder = try TemporaryFolder()
        let digits = "\(self.request(1))"
        for name in [digits, String(digits.prefix(16)), "chorale-\(digits.prefix(16))", digits.uppercased()] {
            let path = try await self.journal(in: folder)
            let run = try Tool("journal", "forget", "--request", name, path, "--yes", "--json").run()
            #expect(try run.json()["forgotten"] as? [String] == [digits], "\(run.errors)")
            #expect(run.errors == "Request \(digits): signed in attempt 1, 3\n")
            let journal = try await FileJournal.open(path)
            let left = await journal.records()
            await journal.close()
            #expect(try left == [self.record(2, 1)], "\(name)")
            try FileManager.default.removeItem(atPath: path)
        }
    }

    @Test func `nothing is forgotten without a yes, under an unknown name, or while a process has the journal`() async throws {
        let folder = try TemporaryFolder()
        let path = try await self.journal(in: folder)
        let before = try folder.bytes("alice.key.journal")
        let first = "\(self.request(1))"
        let unasked = try Tool("journal", "forget", "--request", first, path).run()
        #expect(unasked.exitCode == 2 && unasked.errors.contains("say --yes"))
        let unknown = try Tool("journal", "forget", "--request", first, "--request", "\(self.request(3))", path, "--yes").run()
        #expect(unknown.exitCode == 3 && unknown.errors.contains("knows no request \(self.request(3)): see chorale journal show"))
        for text in ["chorale-12", "xyz", String(repeating: "0", count: 65)] {
            #expect(try Tool("journal", "forget", "--request", text, path, "--yes").run().exitCode == 2)
        }
        #expect(try folder.bytes("alice.key.journal") == before)
        let journal = try await FileJournal.open(path)
        let held = try Tool("journal", "forget", "--request", first, path, "--yes").run()
        await journal.close()
        #expect(held.exitCode == 1 && held.errors.contains("is in use by another process"))
        #expect(try folder.bytes("alice.key.journal") == before)
    }

    @Test func `what is no file is called what it is`() throws {
        let folder = try TemporaryFolder()
        for words in [["show"], ["forget", "--yes", "--request", "\(self.request(1))"]] {
            for (path, kind) in [(folder.path(""), "a folder"), ("/dev/null", "a device")] {
                let run = try Tool(["journal"] + words + [path]).run()
                #expect(
                    run.errors
                        == "chorale: \(path) is \(kind), and a journal was expected: it lies beside its key file, as alice.key.journal\n")
                #expect(run.exitCode == 1 && run.output == "")
            }
        }
    }

    @Test func `no file is made or changed that is no journal`() throws {
        let folder = try TemporaryFolder()
        let missing = try Tool("journal", "show", folder.path("none")).run()
        #expect(missing.exitCode == 3 && missing.errors.contains("check the name"))
        for (text, seen) in [("", "is empty"), ("chorale-key 1\n", "chorale key show"), ("something else", "is no journal")] {
            let run = try Tool("journal", "show", folder.write(text, to: "file")).run()
            #expect(run.exitCode == 1 && run.errors.contains(seen), "\(run.errors)")
            #expect(try folder.text("file") == text)
        }
        #expect(try folder.names() == ["file"])
    }
}
