import Testing

@testable import CommandLineTool

/// A command line of its own, to try the parser on.
private enum Kitchen {
    static let size = Argument.required("size", "N", help: "how large", parse: Parsing.integer(1...9))
    static let name = Argument.optional("name", "TEXT", help: "what to call it", parse: Parsing.text)
    static let count = Argument.option("count", "N", default: 1, help: "how many", parse: Parsing.integer(0...100))
    static let loud = Argument.flag("loud", help: "say it loud")
    static let hot = Argument.flag("hot", help: "serve it hot")
    static let cold = Argument.flag("cold", help: "serve it cold")
    static let dishes = Argument.positionals("DISH", help: "what to cook")
    static let dish = Argument.positional("DISH", help: "what to serve")

    static let root = Command(
        "chorale", summary: "a kitchen", discussion: "Cooks.",
        commands: [
            Command(
                "cook", summary: "cook", discussion: "Cooks dishes.",
                items: [.argument(size), .argument(name), .argument(count), .argument(loud), .argument(dishes)]
            ) { (_, _) throws(CommandError) in },
            Command(
                "table", summary: "serve", discussion: "Serves.",
                commands: [
                    Command(
                        "serve", summary: "serve", discussion: "Serves a dish.",
                        items: [.oneOf(hot.declaration, cold.declaration), .argument(dish)]
                    ) { (_, _) throws(CommandError) in }
                ]),
        ])

    static func parse(_ words: String...) throws -> Arguments {
        guard case .run(_, let arguments) = try CommandLineParser(root: self.root).parse(words) else {
            throw CommandError.failed("help, and not a command")
        }
        return arguments
    }

    static func error(_ words: String...) -> UsageError? {
        do throws(CommandError) {
            _ = try CommandLineParser(root: self.root).parse(words)
            return nil
        } catch .usage(let error, _) {
            return error
        } catch { return nil }
    }

    static func isHelp(_ words: String...) throws -> Bool {
        guard case .help = try CommandLineParser(root: self.root).parse(words) else { return false }
        return true
    }
}

@Suite struct CommandTests {
    @Test func `options are read apart and attached, and in any order`() throws {
        for words in [["--size", "3", "soup"], ["--size=3", "soup"], ["soup", "--size", "3"]] {
            guard case .run(_, let arguments) = try CommandLineParser(root: Kitchen.root).parse(["cook"] + words) else {
                Issue.record("no command in \(words)")
                continue
            }
            #expect(arguments[Kitchen.size] == 3)
            #expect(arguments[Kitchen.dishes] == ["soup"])
            #expect(arguments[Kitchen.name] == nil)
            #expect(arguments[Kitchen.count] == 1)
            #expect(!arguments[Kitchen.loud])
        }
    }

    @Test func `a value may hold an equals sign, and be empty or begin with a dash when attached`() throws {
        #expect(try Kitchen.parse("cook", "--size=3", "--name=a=b", "x")[Kitchen.name] == "a=b")
        #expect(try Kitchen.parse("cook", "--size=3", "--name=", "x")[Kitchen.name] == "")
        #expect(try Kitchen.parse("cook", "--size=3", "--name=--loud", "x")[Kitchen.name] == "--loud")
    }

    @Test func `two dashes end the options`() throws {
        let arguments = try Kitchen.parse("cook", "--size", "3", "--", "--loud", "-", "--")
        #expect(arguments[Kitchen.dishes] == ["--loud", "-", "--"])
        #expect(!arguments[Kitchen.loud])
    }

    @Test func `a single dash is an argument and a value`() throws {
        #expect(try Kitchen.parse("cook", "--size", "3", "-")[Kitchen.dishes] == ["-"])
        #expect(try Kitchen.parse("cook", "--size", "3", "--name", "-", "x")[Kitchen.name] == "-")
    }

    @Test func `wrong words are refused by kind`() {
        #expect(Kitchen.error("cok") == .unknownCommand("cok", suggestion: "cook"))
        #expect(Kitchen.error("table") == .missingCommand(available: ["serve"]))
        #expect(Kitchen.error("cook", "--sise", "3", "x") == .unknownOption("--sise", suggestion: "--size"))
        #expect(Kitchen.error("cook", "-s", "3", "x") == .unknownOption("-s", suggestion: nil))
        #expect(Kitchen.error("cook", "x") == .missingOption(usage: "--size N"))
        #expect(Kitchen.error("cook", "x", "--size") == .missingValue(option: "--size", placeholder: "N"))
        #expect(Kitchen.error("cook", "x", "--size", "--loud") == .missingValue(option: "--size", placeholder: "N"))
        #expect(Kitchen.error("cook", "x", "--size", "3", "--loud=yes") == .unexpectedValue(flag: "--loud", value: "yes"))
        #expect(Kitchen.error("cook", "x", "--size", "3", "--size", "4") == .givenTwice(option: "--size"))
        #expect(Kitchen.error("cook", "--size", "3") == .missingPositional(placeholder: "DISH", help: "what to cook"))
        #expect(Kitchen.error("table", "serve", "a", "b", "--hot") == .unexpectedPositional("b"))
        #expect(Kitchen.error("table", "serve", "a") == .missingOneOf(["--hot", "--cold"]))
        #expect(Kitchen.error("table", "serve", "a", "--hot", "--cold") == .moreThanOneOf(["--hot", "--cold"]))
        #expect(Kitchen.error("--loud", "cook") != nil)
    }

    @Test(arguments: ["0", "10", "-1", "+3", "3.0", "٣", "", "99999999999999999999999"])
    func `numbers are digits within their bounds`(text: String) {
        guard case .invalidValue("--size", text, _) = Kitchen.error("cook", "x", "--size=\(text)") else {
            Issue.record("\(text) is taken for a number from 1 to 9")
            return
        }
    }

    @Test func `help is asked for at every level and in every place`() throws {
        #expect(try Kitchen.isHelp())
        #expect(try Kitchen.isHelp("--help"))
        #expect(try Kitchen.isHelp("help"))
        #expect(try Kitchen.isHelp("help", "table", "serve"))
        #expect(try Kitchen.isHelp("table", "-h"))
        #expect(try Kitchen.isHelp("table", "serve", "--help"))
        #expect(try Kitchen.isHelp("cook", "x", "--size", "3", "--help"))
        #expect(try !Kitchen.isHelp("cook", "--size", "3", "--", "--help"))
    }

    @Test func `a suggestion is made only for a slip`() {
        let known = ["--threshold", "--signers", "--json", "show", "combine"]
        #expect(Suggestion.nearest(to: "--treshold", among: known) == "--threshold")
        #expect(Suggestion.nearest(to: "--jsno", among: known) == "--json")
        #expect(Suggestion.nearest(to: "comb", among: known) == "combine")
        #expect(Suggestion.nearest(to: "shwo", among: known) == "show")
        #expect(Suggestion.nearest(to: "delete", among: known) == nil)
        #expect(Suggestion.nearest(to: "", among: known) == nil)
        #expect(Suggestion.distance("", "abc") == 3)
        #expect(Suggestion.distance("ab", "ba") == 1)
    }

    /// Every command that is registered, with its path.
    private static func all(below command: Command, path: [String]) -> [(command: Command, path: [String])] {
        guard case .group(let commands, _) = command.body else { return [(command, path)] }
        return [(command, path)] + commands.flatMap { self.all(below: $0, path: path + [$0.name]) }
    }

    @Test func `no help is wider than a hundred columns, and each says what its exit codes mean`() {
        for (command, path) in Self.all(below: CommandLineTool.root, path: []) {
            let lines = HelpText(command: command, path: path, style: .plain).text().split(separator: "\n")
            for line in lines { #expect(line.count <= HelpText.columnCountMax, "chorale \(path.joined(separator: " ")): \(line)") }
            for code in ExitCode.allCases { #expect(lines.contains("  \(code.rawValue)  \(code.meaning)")) }
        }
    }

    @Test func `the examples in the help are command lines that parse`() throws {
        for (command, path) in Self.all(below: CommandLineTool.root, path: []) {
            for example in command.examples {
                // What a shell does to it: lines are joined, and pipes and redirections are not the tool's.
                let line = example.line.split { $0 == "\\" || $0 == "\n" }.joined(separator: " ")
                for part in line.split(separator: "|") where part.contains("chorale ") {
                    let words = part.split(separator: " ").map(String.init).filter { !$0.contains("<") }
                    #expect(throws: Never.self, "\(path): \(part)") {
                        try CommandLineParser(root: CommandLineTool.root).parse(Array(words.dropFirst()))
                    }
                }
            }
        }
    }

    @Test func `names of commands and arguments are unique where they stand`() {
        for (command, path) in Self.all(below: CommandLineTool.root, path: []) {
            let names = command.declarations.map(\.name)
            #expect(Set(names).count == names.count, "\(path)")
            if case .group(let commands, _) = command.body { #expect(Set(commands.map(\.name)).count == commands.count, "\(path)") }
        }
    }
}
