import Foundation
import Testing

#if canImport(Glibc)
import Glibc
#endif

@Suite struct KeyCommandTests {
    /// Makes a key file under the passphrase `correct horse`.
    private static func newKey(in folder: TemporaryFolder, _ more: String...) throws -> Transcript {
        var tool = Tool(["key", "new", "--network", "signet", "--out", folder.path("a.key")] + more)
        tool.environment["CHORALE_PASSPHRASE"] = "correct horse"
        return try tool.run()
    }

    @Test func `a new key is shown, and shown again from its file without a passphrase`() throws {
        let folder = try TemporaryFolder()
        let made = try Self.newKey(in: folder, "--label", "Alice é")
        #expect(made.exitCode == 0)
        #expect(
            made.errors == "Keep a copy of the file, and the passphrase elsewhere: without both, nobody can sign with it again.\n")
        let shown = try Tool("key", "show", folder.path("a.key")).run()
        #expect(shown.output == made.output.replacingOccurrences(of: "New key in", with: "Key in"))
        #expect(shown.errors == "" && shown.exitCode == 0)
        let lines = shown.outputLines
        #expect(lines[0] == "Key in \(folder.path("a.key"))")
        #expect(lines[1] == "  network     signet")
        #expect(lines[2] == "  label       Alice é")
        #expect(lines[3].hasPrefix("  public key  0") && lines[3].count == 14 + 66)
        #expect(lines[4].hasPrefix("  identity    ") && lines[4].count == 14 + 64)

        let json = try Tool("key", "show", folder.path("a.key"), "--json").run().json()
        #expect(json["network"] as? String == "signet")
        #expect(json["label"] as? String == "Alice é")
        #expect((json["public_key"] as? String).map { lines[3].hasSuffix($0) } == true)
        #expect((json["identity"] as? String).map { lines[4].hasSuffix($0) } == true)

        let attributes = try FileManager.default.attributesOfItem(atPath: folder.path("a.key"))
        #expect((attributes[.posixPermissions] as? NSNumber)?.intValue == 0o600)
        #expect(try folder.names() == ["a.key"])
    }

    @Test func `the passphrase is read from the variable, a named variable and a file descriptor`() throws {
        let folder = try TemporaryFolder()
        #expect(try Self.newKey(in: folder).exitCode == 0)
        func check(_ more: [String], _ environment: [String: String] = [:], file: String? = nil) throws -> Transcript {
            var tool = Tool(["key", "show", folder.path("a.key"), "--check"] + more)
            tool.environment = environment
            tool.passphraseFile = file
            return try tool.run()
        }
        #expect(try check([], ["CHORALE_PASSPHRASE": "correct horse"]).exitCode == 0)
        #expect(try check(["--passphrase-env", "MINE"], ["MINE": "correct horse", "CHORALE_PASSPHRASE": "wrong"]).exitCode == 0)
        for line in ["correct horse", "correct horse\n", "correct horse\r\n", "correct horse\nsecond line"] {
            #expect(try check(["--passphrase-fd", "3"], ["CHORALE_PASSPHRASE": "wrong"], file: line).exitCode == 0)
        }
    }

    @Test func `a passphrase that does not open the file is told with where it came from`() throws {
        let folder = try TemporaryFolder()
        #expect(try Self.newKey(in: folder).exitCode == 0)
        let sources: [([String], String, String)] = [
            (
                [], "the environment variable CHORALE_PASSPHRASE",
                "check what it is set to, or unset it to be asked for another, then try a copy of the file"
            ),
            (["--passphrase-env", "MINE"], "the environment variable MINE", "check what is given there, then try a copy of the file"),
            (["--passphrase-fd", "3"], "file descriptor 3", "check what is given there, then try a copy of the file"),
        ]
        for (options, source, advice) in sources {
            var tool = Tool(["key", "show", folder.path("a.key"), "--check"] + options)
            tool.environment = ["CHORALE_PASSPHRASE": "correct hors", "MINE": "correct hors"]
            tool.passphraseFile = "correct hors\n"
            let wrong = try tool.run()
            #expect(
                wrong.errors == "chorale: \(folder.path("a.key")) did not open: the passphrase from \(source) is wrong, or the file was "
                    + "altered; \(advice)\n")
            #expect(wrong.exitCode == 1 && wrong.output == "")
        }
    }

    @Test func `a check that succeeds says so`() throws {
        let folder = try TemporaryFolder()
        #expect(try Self.newKey(in: folder).exitCode == 0)
        let unchecked = try Tool("key", "show", folder.path("a.key")).run()
        var tool = Tool("key", "show", folder.path("a.key"), "--check")
        tool.environment["CHORALE_PASSPHRASE"] = "correct horse"
        let checked = try tool.run()
        #expect(
            checked.output == unchecked.output
                + "  checked     the passphrase opens the file, and the secret keys in it match these two\n")
        #expect(checked.errors == "" && checked.exitCode == 0)
        tool.arguments.append("--json")
        #expect(try tool.run().json()["checked"] as? Bool == true)
        #expect(try Tool("key", "show", folder.path("a.key"), "--json").run().json()["checked"] as? Bool == false)
    }

    @Test func `a short passphrase is taken, with a remark`() throws {
        let folder = try TemporaryFolder()
        func remarks(_ passphrase: String, _ name: String) throws -> String {
            var tool = Tool("key", "new", "--network", "signet", "--out", folder.path(name))
            tool.environment["CHORALE_PASSPHRASE"] = passphrase
            let made = try tool.run()
            #expect(made.exitCode == 0 && made.errors.split(separator: "\n").allSatisfy { $0.count <= 100 })
            return made.errors
        }
        let remark = "Careful: the passphrase has fewer than 12 characters; a longer one guards a lost file better.\n"
        #expect(try remarks("elevenchars", "a.key").hasSuffix("again.\n" + remark))
        // Characters are counted, not bytes.
        #expect(try remarks("éééééééééée", "b.key").hasSuffix(remark))
        #expect(try !remarks("twelve chars", "c.key").contains("Careful"))
        #expect(try folder.names() == ["a.key", "b.key", "c.key"])
    }

    @Test func `a key for a folder that is not there is refused before the passphrase, with how to make the folder`() throws {
        let folder = try TemporaryFolder()
        let keys = folder.path("my keys")
        let missing = try Tool("key", "new", "--network", "signet", "--out", "\(keys)/a.key").run()
        #expect(
            missing.errors
                == "chorale: \(keys)/a.key cannot be made: the folder \(keys) does not exist; make it with: mkdir -p '\(keys)'\n")
        #expect(missing.exitCode == 3)
        let plain = try Tool("key", "new", "--network", "signet", "--out", folder.path("keys/a.key")).run()
        #expect(plain.errors.hasSuffix("make it with: mkdir -p \(folder.path("keys"))\n"))
        _ = try folder.write("", to: "file")
        let inFile = try Tool("key", "new", "--network", "signet", "--out", folder.path("file/a.key")).run()
        #expect(inFile.errors.contains("file is no folder; choose another place"))
        #expect(inFile.exitCode == 1)
        #expect(try folder.names() == ["file"])
    }

    @Test func `another kind of file is named, with the command that reads it`() throws {
        let folder = try TemporaryFolder()
        let psbt = try Samples.payment(from: Samples.keys(1)[0].xOnly, inputs: 40)
        // The binary one is larger than any key file.
        for path in [try folder.write(psbt.base64(), to: "a"), try folder.write(psbt.serialized(), to: "b")] {
            let run = try Tool("key", "show", path).run()
            #expect(run.errors == "chorale: \(path) is not a key file: it seems to be a PSBT; to read it: chorale psbt show\n")
            #expect(run.exitCode == 1 && run.output == "")
        }
        let signers = try folder.write(Samples.signersFile(2), to: "signers.txt")
        #expect(try Tool("key", "show", signers).run().errors.contains("seems to be a list of public keys; to read it: chorale multisig"))
        let empty = try folder.write("", to: "empty")
        #expect(try Tool("key", "show", empty).run().errors.contains("empty is empty, and a key file was expected"))
    }

    @Test func `a passphrase that is none is refused before anything is made`() throws {
        let folder = try TemporaryFolder()
        func new(_ more: [String], _ environment: [String: String] = [:], file: String? = nil) throws -> Transcript {
            var tool = Tool(["key", "new", "--network", "signet", "--out", folder.path("a.key")] + more)
            tool.environment = environment
            tool.passphraseFile = file
            return try tool.run()
        }
        let name = folder.path("a.key")
        #expect(
            try new([], ["CHORALE_PASSPHRASE": ""]).errors
                == "chorale: \(name): the passphrase from the environment variable CHORALE_PASSPHRASE is empty: give one\n")
        #expect(
            try new(["--passphrase-fd", "3"], file: "\n").errors
                == "chorale: \(name): the passphrase from file descriptor 3 is empty: give one\n")
        #expect(
            try new(["--passphrase-fd", "3"], file: String(repeating: "x", count: 4_096)).errors
                == "chorale: \(name): the passphrase from file descriptor 3 is longer than 4095 bytes: give a shorter one\n")
        #expect(try new([], ["CHORALE_PASSPHRASE": String(repeating: "x", count: 4_096)]).errors.contains("longer than 4095 bytes"))
        #expect(try new(["--passphrase-fd", "3"]).errors.contains("cannot be read from file descriptor 3: Bad file descriptor"))
        #expect(try new(["--passphrase-env", "NONE"]).errors.contains("the environment variable NONE is not set"))
        #expect(try new([]).errors.contains("there is no terminal to ask for the passphrase"))
        let both = try new(["--passphrase-fd", "3", "--passphrase-env", "NONE"])
        #expect(both.errors.contains("exclude each other") && both.exitCode == 2)
        #expect(try folder.names() == [])
    }

    @Test func `a key is never overwritten, and its label is for one line`() throws {
        let folder = try TemporaryFolder()
        _ = try folder.write("precious", to: "a.key")
        let run = try Self.newKey(in: folder)
        #expect(run.errors == "chorale: \(folder.path("a.key")) exists already, and keys are never overwritten: choose another name\n")
        #expect(run.exitCode == 1)
        #expect(try folder.text("a.key") == "precious")
        let other = try TemporaryFolder()
        for label in ["two\nlines", "\u{301}accent", "", "a\u{1b}[2J", "a\u{202e}b", String(repeating: "x", count: 65)] {
            // There is no passphrase: it is not even asked for.
            let run = try Tool("key", "new", "--network", "signet", "--out", other.path("a.key"), "--label", label).run()
            // By bytes: an accent behind the quotation mark makes one character of both.
            #expect(run.errors.utf8.starts(with: "chorale: key new: --label cannot be \"".utf8))
            #expect(run.errors.contains("a label is 1 to 64 bytes"))
            #expect(run.exitCode == 2)
        }
        #expect(try other.names() == [])
    }

    @Test func `a damaged key file is refused, and an altered one does not open`() throws {
        let folder = try TemporaryFolder()
        #expect(try Self.newKey(in: folder, "--label", "Alice").exitCode == 0)
        let text = try folder.text("a.key")
        let cases = [
            ("x", "it does not begin as a key file"), (String(text.dropLast(20)), "no key file that can be used"),
            (text + "\n", "no key file that can be used"), (text.replacingOccurrences(of: "signet", with: "lalanet"), "\"network\""),
            (String(repeating: "x", count: 5_000), "is larger than 4096 bytes"),
        ]
        for (damaged, message) in cases {
            let run = try Tool("key", "show", try folder.write(damaged, to: "b.key")).run()
            #expect(run.errors.contains(message), "\(run.errors)")
            #expect(run.exitCode == 1 && run.output == "")
        }
        var altered = Tool("key", "show", try folder.write(text.replacingOccurrences(of: "Alice", with: "Mallo"), to: "b.key"), "--check")
        altered.environment["CHORALE_PASSPHRASE"] = "correct horse"
        #expect(try altered.run().errors.contains("is wrong, or the file was altered"))
        #expect(try Tool("key", "show", folder.path("none.key")).run().exitCode == 3)
    }

    @Test func `a key file that others may read is shown with a warning`() throws {
        let folder = try TemporaryFolder()
        #expect(try Self.newKey(in: folder).exitCode == 0)
        chmod(folder.path("a.key"), 0o644)
        let run = try Tool("key", "show", folder.path("a.key")).run()
        #expect(run.errors == "Careful: others may read or change \(folder.path("a.key")): chmod 600 it.\n")
        #expect(run.exitCode == 0)
    }
}
