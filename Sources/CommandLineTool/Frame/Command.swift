/// A command of the tool, or a group of them, as a declaration that parser and help both read.
struct Command: Sendable {
    /// What to do with the parsed arguments.
    typealias Work = @Sendable (Arguments, Console) async throws(CommandError) -> Void

    enum Body: Sendable {
        /// `default` is the name of the command that is meant when no name is given, only options or nothing.
        case group([Command], default: String?)
        case work(Work)
    }

    struct Example: Sendable {
        let purpose: String
        let line: String

        init(_ purpose: String, _ line: String) {
            self.purpose = purpose
            self.line = line
        }
    }

    /// What a command takes: an argument, or several of which exactly one is given.
    struct Item: Sendable {
        let declarations: [ArgumentDeclaration]
        let isChoice: Bool

        static func argument<Value>(_ argument: Argument<Value>) -> Item {
            Item(declarations: [argument.declaration], isChoice: false)
        }

        /// Exactly one of these must be given.
        static func oneOf(_ declarations: ArgumentDeclaration...) -> Item { Item(declarations: declarations, isChoice: true) }
    }

    let name: String
    /// One line, for the list of commands.
    let summary: String
    /// What it does, in plain words; paragraphs are parted by empty lines.
    let discussion: String
    let items: [Item]
    let examples: [Example]
    let body: Body

    /// A command that does work.
    init(
        _ name: String, summary: String, discussion: String, items: [Item], examples: [Example] = [], work: @escaping Work
    ) {
        self.name = name
        self.summary = summary
        self.discussion = discussion
        self.items = items
        self.examples = examples
        self.body = .work(work)
    }

    /// A group of commands.
    init(
        _ name: String, summary: String, discussion: String, examples: [Example] = [], commands: [Command], default: String? = nil
    ) {
        self.name = name
        self.summary = summary
        self.discussion = discussion
        self.items = []
        self.examples = examples
        self.body = .group(commands, default: `default`)
    }

    var declarations: [ArgumentDeclaration] { self.items.flatMap(\.declarations) }
}

/// The values of a command's arguments.
struct Arguments: Sendable {
    /// The command as typed: `psbt show`.
    let command: String
    private let values: [String: any Sendable]

    init(of command: String, values: [String: any Sendable]) {
        self.command = command
        self.values = values
    }

    /// What a command throws when its arguments, each right by itself, do not go together.
    func refused(_ error: UsageError) -> CommandError { .usage(error, command: self.command) }

    /// The value of an argument that the command declares.
    subscript<Value>(_ argument: Argument<Value>) -> Value {
        guard let value = self.values[argument.declaration.name] as? Value else {
            preconditionFailure("the command does not declare \(argument.declaration.name)")
        }
        return value
    }
}
