import Bitcoin
import CTestSupport
import Foundation
import Testing

/// What a damaged file, a full disk and an unreadable folder get.
@Suite struct BadPSBTTests {
    @Test func `a truncated PSBT names the map in which it breaks off`() throws {
        let bytes = try Samples.signedPayment(by: 1).serialized()
        for count in [0, 1, 4, 5, 6, 40, bytes.count / 2, bytes.count - 1] {
            var tool = Tool("psbt", "show", "-")
            tool.input = Array(bytes.prefix(count))
            let run = try tool.run()
            #expect(run.exitCode == 1 && run.output == "", "\(count) bytes")
            #expect(run.errors.hasPrefix("chorale: standard input") && run.errors.hasSuffix("\n"), "\(run.errors)")
        }
    }

    @Test func `a flipped bit is an error or another PSBT, and never a crash`() throws {
        let bytes = try Samples.signedPayment(by: 1).serialized()
        var generator = SeededGenerator(state: 7)
        for _ in 0..<60 {
            var damaged = bytes
            damaged[Int(generator.next() % UInt64(bytes.count))] ^= 1 << UInt8(generator.next() % 8)
            for command in ["show", "finalize"] {
                var tool = Tool("psbt", command, "-")
                tool.input = damaged
                let run = try tool.run()
                #expect([0, 1, 3].contains(run.exitCode), "\(run.exitCode): \(run.errors)")
                #expect((run.exitCode == 0) == run.errors.isEmpty)
            }
        }
    }

    @Test func `a signature whose bit was flipped is not finalized`() throws {
        let psbt = try Samples.signedPayment(by: 1)
        let signature = try #require(psbt.inputs[0].tapKeySignature).bytes
        let bytes = psbt.serialized()
        let place = try #require(bytes.indices.first { bytes[$0...].starts(with: signature) })
        var tool = Tool("psbt", "finalize", "-")
        tool.input = bytes
        tool.input[place + 63] ^= 1
        let run = try tool.run()
        #expect(run.errors.contains("input 0 cannot be finalized: its signature under the key"))
        #expect(run.exitCode == 1 && run.output == "")
    }

    @Test func `damaged Base64 says where it is damaged`() throws {
        let text = try Samples.signedPayment(by: 1).base64()
        var tool = Tool("psbt", "show", "-")
        tool.input = Array("\(text.prefix(100))!\(text.dropFirst(101))".utf8)
        #expect(try tool.run().errors.contains("the PSBT's text is damaged: the character at offset 100 is not a Base64 digit"))
        tool.input = Array(text.dropLast().utf8)
        #expect(try tool.run().errors.contains("Base64 comes in groups of four characters"))
        tool.input = Array("this is a shopping list, and no PSBT at all".utf8)
        #expect(try tool.run().exitCode == 1)
    }

    @Test func `an oversized PSBT is refused with the limit`() throws {
        let folder = try TemporaryFolder()
        let path = folder.path("large.psbt")
        try #require(FileManager.default.createFile(atPath: path, contents: nil))
        let handle = try #require(FileHandle(forWritingAtPath: path))
        try handle.truncate(atOffset: 40 << 20)
        try handle.close()
        let run = try Tool("psbt", "show", path).run()
        #expect(run.errors.contains("is larger than 22893908 bytes"), "\(run.errors)")
        #expect(run.exitCode == 1)
    }

    @Test func `an output that exists is kept, unless force says otherwise`() throws {
        let folder = try TemporaryFolder()
        let psbt = try folder.write(try Samples.signedPayment(by: 1).serialized(), to: "a.psbt")
        let out = try folder.write("precious", to: "b.psbt")
        let refused = try Tool("psbt", "combine", psbt, "--out", out).run()
        #expect(refused.errors == "chorale: \(out) exists already: choose another name, or replace it with --force\n")
        #expect(refused.exitCode == 1)
        #expect(try folder.text("b.psbt") == "precious")
        #expect(try Tool("psbt", "combine", psbt, "--out", out, "--force").run().exitCode == 0)
        #expect(try folder.bytes("b.psbt") == folder.bytes("a.psbt"))
        #expect(try folder.names() == ["a.psbt", "b.psbt"])
    }

    @Test func `a device or a link is never replaced by a file`() throws {
        let folder = try TemporaryFolder()
        let psbt = try folder.write(try Samples.signedPayment(by: 1).serialized(), to: "a.psbt")
        try FileManager.default.createSymbolicLink(atPath: folder.path("link"), withDestinationPath: psbt)
        for out in ["/dev/full", folder.path("link"), folder.path] where FileManager.default.fileExists(atPath: out) {
            let run = try Tool("psbt", "combine", psbt, "--out", out, "--force").run()
            #expect(run.errors.contains("is a folder, a device or a link"), "\(run.errors)")
            #expect(run.exitCode == 1)
        }
        #expect(try folder.names() == ["a.psbt", "link"])
    }

    // The limit also stops what the thread sanitizer maps of its own, so that the process ends before it writes.
    @Test(.enabled(if: chorale_test_is_sanitized() == 0, "a sanitizer's own memory does not fit the limit on file sizes"))
    func `a disk without room leaves nothing half-written`() throws {
        let folder = try TemporaryFolder()
        let psbt = try folder.write(try Samples.signedPayment(by: 1, inputs: 60).serialized(), to: "a.psbt")
        let old = try folder.write("old", to: "old.psbt")
        for arguments in [["--out", folder.path("new.psbt")], ["--out", old, "--force"]] {
            var tool = Tool(["psbt", "combine", psbt] + arguments)
            // A limit of one block stands in for a full disk: the system stops the same write.
            tool.shellPrelude = "ulimit -f 1"
            let run = try tool.run()
            #expect(run.errors.contains("could not be written: File too large"), "\(run.errors)")
            #expect(run.exitCode == 1)
        }
        #expect(try folder.names() == ["a.psbt", "old.psbt"])
        #expect(try folder.text("old.psbt") == "old")
    }

    @Test func `a folder that is not there, or is none, is named`() throws {
        let folder = try TemporaryFolder()
        let psbt = try folder.write(try Samples.signedPayment(by: 1).serialized(), to: "a.psbt")
        let missing = try Tool("psbt", "combine", psbt, "--out", folder.path("none/b.psbt")).run()
        #expect(missing.errors.contains(folder.path("none/b.psbt")))
        #expect(missing.exitCode == 3)
        let file = try Tool("psbt", "combine", psbt, "--out", "\(psbt)/b.psbt").run()
        #expect(file.errors.contains("\(psbt)/b.psbt") && file.errors.contains("a.psbt is no folder"), "\(file.errors)")
        #expect(file.exitCode == 1)
    }

    @Test(.enabled(if: getuid() != 0, "root may read everything"))
    func `what may not be read or written is named`() throws {
        let folder = try TemporaryFolder()
        let psbt = try folder.write(try Samples.signedPayment(by: 1).serialized(), to: "a.psbt")
        try FileManager.default.createDirectory(atPath: folder.path("closed"), withIntermediateDirectories: false)
        chmod(folder.path("closed"), 0)
        defer { chmod(folder.path("closed"), 0o700) }
        for arguments in [["show", folder.path("closed/b.psbt")], ["combine", psbt, "--out", folder.path("closed/b.psbt")]] {
            let run = try Tool(["psbt"] + arguments).run()
            #expect(run.errors.contains("closed/b.psbt") && run.errors.contains("Permission denied"), "\(run.errors)")
            #expect(run.exitCode == 1)
        }
    }
}

/// A small generator with a seed, so that a failing case comes again (SplitMix64).
struct SeededGenerator: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
        self.state &+= 0x9e37_79b9_7f4a_7c15
        var mixed = (self.state ^ (self.state >> 30)) &* 0xbf58_476d_1ce4_e5b9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94d0_49bb_1331_11eb
        return mixed ^ (mixed >> 31)
    }
}
