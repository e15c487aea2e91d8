/// Reads the words of a command line by the declarations of the commands.
struct CommandLineParser {
    /// What the words ask for.
    enum Request {
        case help(Command, path: [String])
        case version
        case run(Command.Work, Arguments)
    }

    /// The whole tool: the group that holds every command.
    let root: Command

    /// Parses the words after the program's own name.
    func parse(_ words: [String]) throws(CommandError) -> Request {
        var (command, path, rest) = (self.root, [String](), words[...])
        while case .group(let commands, let defaultName) = command.body {
            if let ordinary = commands.first(where: { $0.name == defaultName }), Self.namesNoCommand(rest.first) {
                command = ordinary
                path.append(command.name)
                continue
            }
            guard let word = rest.popFirst() else {
                // `chorale` alone asks what there is; a group alone has forgotten something.
                if path.isEmpty { return .help(command, path: path) }
                throw .usage(.missingCommand(available: commands.map(\.name)), command: path.joined(separator: " "))
            }
            switch word {
            case "--help", "-h": return .help(command, path: path)
            case "--version" where path.isEmpty: return .version
            case "help" where path.isEmpty: return try self.help(for: rest)
            default:
                command = try Self.command(named: word, among: commands, path: path)
                path.append(command.name)
            }
        }
        return try Self.parse(rest, for: command, path: path)
    }

    /// `chorale help psbt show`: the same as `chorale psbt show --help`.
    private func help(for words: ArraySlice<String>) throws(CommandError) -> Request {
        var (command, path) = (self.root, [String]())
        for word in words {
            guard case .group(let commands, _) = command.body else { break }
            command = try Self.command(named: word, among: commands, path: path)
            path.append(command.name)
        }
        return .help(command, path: path)
    }

    /// Whether a group's ordinary command is meant. The help is the group's.
    private static func namesNoCommand(_ word: String?) -> Bool {
        word.map { $0.hasPrefix("-") && $0 != "--help" && $0 != "-h" } ?? true
    }

    private static func command(named word: String, among commands: [Command], path: [String]) throws(CommandError) -> Command {
        if let command = commands.first(where: { $0.name == word }) { return command }
        let typed = path.joined(separator: " ")
        if word.hasPrefix("-") { throw .usage(.inconsistent("\(word.printable) comes too early: name a command first"), command: typed) }
        throw .usage(.unknownCommand(word, suggestion: Suggestion.nearest(to: word, among: commands.map(\.name))), command: typed)
    }

    private static func parse(_ words: ArraySlice<String>, for command: Command, path: [String]) throws(CommandError) -> Request {
        guard case .work(let work) = command.body else { preconditionFailure("only a command that does work takes arguments") }
        do throws(UsageError) {
            guard let texts = try Self.texts(in: words, for: command) else { return .help(command, path: path) }
            return .run(work, Arguments(of: path.joined(separator: " "), values: try Self.values(from: texts, for: command)))
        } catch {
            throw .usage(error, command: path.joined(separator: " "))
        }
    }
}

// MARK: - Sorting the words

extension CommandLineParser {
    /// The given texts under the names of the arguments they belong to; `nil` when help is asked for.
    private static func texts(in words: ArraySlice<String>, for command: Command) throws(UsageError) -> [String: [String]]? {
        let named = Dictionary(uniqueKeysWithValues: command.declarations.filter { !$0.isPositional }.map { ($0.name, $0) })
        var positionals = command.declarations.filter(\.isPositional)[...]
        var texts: [String: [String]] = [:]
        var rest = words
        var optionsHaveEnded = false
        while let word = rest.popFirst() {
            if word == "--", !optionsHaveEnded {
                optionsHaveEnded = true
            } else if optionsHaveEnded || word == "-" || !word.hasPrefix("-") {
                guard let positional = positionals.first else { throw .unexpectedPositional(word) }
                texts[positional.name, default: []].append(word)
                if positional.form != .positional(repeats: true) { positionals = positionals.dropFirst() }
            } else if word == "--help" || word == "-h" {
                return nil
            } else {
                let (name, text) = try Self.option(word, followedBy: &rest, among: named)
                texts[name, default: []].append(text)
            }
        }
        return texts
    }

    /// Reads `--name value`, `--name=value` or `--name`. A flag's text is empty; that it was given is all it says.
    private static func option(
        _ word: String, followedBy rest: inout ArraySlice<String>, among named: [String: ArgumentDeclaration]
    ) throws(UsageError) -> (name: String, text: String) {
        let parts = word.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
        let (name, attached) = (parts[0], parts.count > 1 ? parts[1] : nil)
        guard let declaration = named[name] else {
            throw .unknownOption(name, suggestion: Suggestion.nearest(to: name, among: named.keys.sorted() + ["--help"]))
        }
        switch declaration.form {
        case .option(let placeholder):
            if let attached { return (name, attached) }
            // A value may begin with a dash only when attached: else `--out --force` would write a file named `--force`.
            // A negative number is no option, and whether it makes sense is the value's question.
            guard let text = rest.first, text == "-" || !text.hasPrefix("-") || Self.isNegativeNumber(text) else {
                throw .missingValue(option: name, placeholder: placeholder)
            }
            rest = rest.dropFirst()
            return (name, text)
        case .flag, .positional:
            if let attached { throw .unexpectedValue(flag: name, value: attached) }
            return (name, "")
        }
    }
}

extension CommandLineParser {
    /// `-1`, `-0.5`, `-.5`: the name of no option begins so.
    private static func isNegativeNumber(_ word: String) -> Bool {
        let rest = word.utf8.dropFirst()
        return word.hasPrefix("-") && rest.allSatisfy { (0x30...0x39).contains($0) || $0 == 0x2e } && !rest.isEmpty
    }
}

// MARK: - Making the values

extension CommandLineParser {
    private static func values(from texts: [String: [String]], for command: Command) throws(UsageError) -> [String: any Sendable] {
        for item in command.items { try Self.checkPresence(of: item, in: texts) }
        var values: [String: any Sendable] = [:]
        for declaration in command.declarations {
            values[declaration.name] = try declaration.value(texts[declaration.name] ?? [])
        }
        return values
    }

    private static func checkPresence(of item: Command.Item, in texts: [String: [String]]) throws(UsageError) {
        let given = item.declarations.filter { texts[$0.name] != nil }
        if item.isChoice {
            if given.isEmpty { throw .missingOneOf(item.declarations.map(\.usage)) }
            if given.count > 1 { throw .moreThanOneOf(given.map(\.name)) }
        } else if let declaration = item.declarations.first, given.isEmpty, declaration.isRequired {
            if declaration.isPositional { throw .missingPositional(placeholder: declaration.name, help: declaration.help) }
            throw .missingOption(usage: declaration.usage)
        }
    }
}
