import Foundation
import Testing

@testable import CommandLineTool

/// The tool as a whole: what a shell and a person see.
@Suite struct ToolTests {
    @Test func `the tool says its version and what it can do`() throws {
        let version = try Tool("--version").run()
        #expect(version.output == "chorale \(CommandLineTool.version)\n")
        #expect(version.errors == "" && version.exitCode == 0)
        for arguments in [[], ["--help"], ["help"]] {
            let help = try Tool(arguments).run()
            #expect(help.exitCode == 0 && help.errors == "")
            #expect(help.output.hasPrefix("chorale: many signers, one signature\n\nUsage:\n  chorale COMMAND …\n"))
            for command in ["key", "multisig", "psbt", "tx"] { #expect(help.output.contains("\n  \(command.padded(to: 8))  ")) }
        }
    }

    @Test(arguments: [
        (["psbd"], "chorale: there is no command \"psbd\": did you mean psbt? (see: chorale --help)\n"),
        (["psbt"], "chorale: psbt: say which command: create, show, combine, finalize, extract (see: chorale psbt --help)\n"),
        (["psbt", "shw"], "chorale: psbt: there is no command \"shw\": did you mean show? (see: chorale psbt --help)\n"),
        (
            ["multisig", "address", "--treshold", "2"],
            "chorale: multisig address: there is no option --treshold: did you mean --threshold? (see: chorale multisig address --help)\n"
        ),
        (
            ["key", "new", "--network", "singet", "--out", "a.key"],
            "chorale: key new: --network cannot be \"singet\": take one of mainnet, testnet4, signet, regtest: did you mean signet? "
                + "(see: chorale key new --help)\n"
        ),
        (
            ["tx", "show"],
            "chorale: tx show: FILE|HEX|- is missing: a file with the transaction in hex or binary, the hex itself, or - for "
                + "standard input (see: chorale tx show --help)\n"
        ),
        (["--json", "psbt"], "chorale: --json comes too early: name a command first (see: chorale --help)\n"),
        (
            ["psbt", "show", "a\u{1b}[2Jb", "c\u{1b}[2Jd"],
            "chorale: psbt show: \"c\\u{1b}[2Jd\" is one argument too many: leave it away, or put -- "
                + "before arguments that begin with a dash (see: chorale psbt show --help)\n"
        ),
    ])
    func `wrong usage is told on standard error, with exit code 2`(arguments: [String], message: String) throws {
        let run = try Tool(arguments).run()
        #expect(run.errors == message)
        #expect(run.output == "")
        #expect(run.exitCode == 2)
    }

    @Test func `a word that is no text is refused, and no other file is meant by it`() throws {
        let folder = try TemporaryFolder()
        let psbt = try folder.write(try Samples.payment(from: Samples.keys(1)[0].xOnly).serialized(), to: "a.psbt")
        var tool = Tool("psbt", "combine", psbt, "--out")
        tool.shellPrelude = "cd '\(folder.path)'; set -- \"$@\" \"$(printf 'x\\377.psbt')\""
        let run = try tool.run()
        #expect(run.errors.hasPrefix("chorale: the argument \"x\u{fffd}.psbt\" is not UTF-8: rename the file, or write it otherwise"))
        #expect(run.output == "" && run.exitCode == 2)
        #expect(try folder.names() == ["a.psbt"])
    }

    @Test func `a negative number is a value and no option`() throws {
        let run = try Tool("multisig", "paths", "--signers", "x", "--owner-aggregate", "--threshold", "-1").run()
        #expect(run.errors.hasPrefix("chorale: multisig paths: --threshold cannot be \"-1\": it must be a whole number from 1 to"))
        #expect(run.exitCode == 2)
        // Whatever else begins with a dash is still an option that stands where a value is missing.
        let missing = try Tool("multisig", "paths", "--signers", "--owner-aggregate", "--threshold", "2").run()
        #expect(missing.errors.hasPrefix("chorale: multisig paths: --signers needs a value: --signers FILE"))
    }

    @Test(arguments: [["psbt", "show"], ["multisig", "address"], ["cosign"], ["key", "new"]])
    func `the help says where errors go with --json, and they go there`(_ command: [String]) throws {
        let help = try Tool(command + ["--help"]).run()
        let words = help.output.split { $0.isWhitespace }.joined(separator: " ")
        #expect(words.contains("With or without it, errors are text on standard error, with an exit code that is not 0"))
        let run = try Tool(command + ["--json"]).run()
        #expect(run.output == "" && run.errors.hasPrefix("chorale: ") && run.exitCode == 2)
    }

    @Test func `colours are for terminals alone`() throws {
        #expect(try !Tool("--help").run().output.contains("\u{1b}"))
        #expect(try !Tool("nonsense").run().errors.contains("\u{1b}"))
    }

    @Test func `a closed standard output is an error and no crash`() throws {
        var tool = Tool("--help")
        tool.output = .closed
        let run = try tool.run()
        #expect(run.errors.hasPrefix("chorale: the result cannot be written to standard output: "))
        #expect(run.exitCode == 1)
    }

    @Test func `a full standard output is an error`() throws {
        guard FileManager.default.fileExists(atPath: "/dev/full") else { return }
        var tool = Tool("--help")
        tool.output = .file("/dev/full")
        let run = try tool.run()
        #expect(run.errors == "chorale: the result cannot be written to standard output: No space left on device\n")
        #expect(run.exitCode == 1)
    }

    @Test func `a reader who has read enough is no error`() throws {
        var tool = Tool("--help")
        tool.output = .brokenPipe
        let run = try tool.run()
        #expect(run.errors == "")
        #expect(run.exitCode == 0)
    }

    @Test func `nothing that is printed lands in a file when standard output is closed`() throws {
        let folder = try TemporaryFolder()
        let psbt = try folder.write(try Samples.payment(from: Samples.keys(1)[0].xOnly).serialized(), to: "a.psbt")
        var tool = Tool("psbt", "combine", psbt, "--out", folder.path("b.psbt"), "--json")
        tool.output = .closed
        let run = try tool.run()
        #expect(run.exitCode == 1)
        #expect(try folder.bytes("b.psbt") == folder.bytes("a.psbt"))
    }
}
