/// The help of a command, written from its declaration.
struct HelpText {
    /// Columns that help and tables stay within, so that two windows fit beside each other.
    static let columnCountMax = 100
    /// Columns of running text, which is harder to read when wide.
    private static let proseColumnCountMax = 88

    let command: Command
    /// The command's names from the outermost group on; empty for the tool itself.
    let path: [String]
    let style: Style

    func text() -> String {
        var sections = [self.head(), self.section("Usage", self.usageLines())]
        sections.append(TextLayout.paragraphs(self.command.discussion, width: Self.proseColumnCountMax))
        if case .group(let commands, _) = self.command.body {
            sections.append(self.section("Commands", Self.twoColumns(commands.map { ($0.name, $0.summary) })))
        }
        let positionals = self.command.declarations.filter(\.isPositional)
        if !positionals.isEmpty {
            sections.append(self.section("Arguments", Self.twoColumns(positionals.map { ($0.usage, $0.help) })))
        }
        sections.append(self.section("Options", Self.twoColumns(self.optionRows())))
        if !self.command.examples.isEmpty { sections.append(self.section("Examples", self.exampleLines())) }
        sections.append(self.section("Exit codes", ExitCode.allCases.map { "\($0.rawValue)  \($0.meaning)" }))
        return sections.joined(separator: "\n\n") + "\n"
    }

    private var fullName: String { (["chorale"] + self.path).joined(separator: " ") }

    private func head() -> String { "\(self.style.bold(self.fullName)): \(self.command.summary)" }

    private func section(_ title: String, _ lines: [String]) -> String {
        ([self.style.bold("\(title):")] + lines.map { $0.isEmpty ? "" : "  \($0)" }).joined(separator: "\n")
    }

    private func usageLines() -> [String] {
        switch self.command.body {
        case .group(_, default: nil): ["\(self.fullName) COMMAND …"]
        case .group(_, default: let name?): ["\(self.fullName) [COMMAND] …", "without a command, \(name) is meant"]
        case .work:
            TextLayout.lines(
                of: [self.fullName] + self.command.items.map(Self.usage), width: Self.columnCountMax - 2, continuation: "    ")
        }
    }

    private static func usage(_ item: Command.Item) -> String {
        let words = item.declarations.map(\.usage).joined(separator: " | ")
        if item.isChoice { return "(\(words))" }
        return item.declarations.allSatisfy(\.isRequired) ? words : "[\(words)]"
    }

    private func optionRows() -> [(String, String)] {
        var rows: [(String, String)] = []
        for item in self.command.items {
            for declaration in item.declarations where !declaration.isPositional {
                var help = declaration.help
                if let text = declaration.defaultText { help += " (default: \(text))" }
                if declaration.isRequired, !item.isChoice { help += " (required)" }
                rows.append((declaration.usage, help))
            }
        }
        if self.path.isEmpty { rows.append(("--version", "show the version")) }
        rows.append(("-h, --help", "show this help"))
        return rows
    }

    private func exampleLines() -> [String] {
        self.command.examples.flatMap { example in
            [self.style.dim("# \(example.purpose)")] + example.line.split(separator: "\n").map(String.init)
        }
    }

    /// Names on the left, what they mean on the right, wrapped in its own column.
    private static func twoColumns(_ rows: [(String, String)]) -> [String] {
        let widthMax = 28
        let width = min(widthMax, rows.map(\.0.count).max() ?? 0)
        let indent = String(repeating: " ", count: width + 2)
        return rows.flatMap { name, help in
            var lines = TextLayout.lines(
                of: help.split(separator: " ").map(String.init), width: Self.columnCountMax - 2 - indent.count)
            // A name too long for the column stands on a line of its own.
            guard name.count <= width else { return [name] + lines.map { indent + $0 } }
            let first = lines.isEmpty ? "" : lines.removeFirst()
            return [name.padded(to: width) + "  " + first] + lines.map { indent + $0 }
        }
    }
}
