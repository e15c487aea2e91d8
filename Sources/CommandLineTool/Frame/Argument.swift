/// One thing that a command takes, declared once: the parser reads it, the help shows it, and the command asks for its value.
///
///     static let limit = Argument.option("limit", "N", default: 20, help: "how many paths to list", parse: Parsing.integer(1...1_000))
///     …
///     for path in paths.prefix(arguments[limit]) { … }
struct Argument<Value: Sendable>: Sendable {
    let declaration: ArgumentDeclaration
}

/// What parser and help need to know of an argument, whatever the type of its value.
struct ArgumentDeclaration: Sendable {
    enum Form: Equatable, Sendable {
        /// `--name PLACEHOLDER`
        case option(placeholder: String)
        /// `--name`
        case flag
        /// `PLACEHOLDER`, by its place among the words that are no options
        case positional(repeats: Bool)
    }

    /// The option's name with its dashes, or the positional's placeholder.
    let name: String
    let form: Form
    let isRequired: Bool
    /// What stands in for an option that is not given, as the help shows it.
    let defaultText: String?
    let help: String
    /// The value of the texts that were given; none for an argument left away.
    let value: @Sendable (_ texts: [String]) throws(UsageError) -> any Sendable

    /// As in a usage line, without the brackets of what may be left away.
    var usage: String {
        switch self.form {
        case .option(let placeholder): "\(self.name) \(placeholder)"
        case .flag: self.name
        case .positional(let repeats): repeats ? "\(self.name)…" : self.name
        }
    }

    var isPositional: Bool {
        if case .positional = self.form { return true }
        return false
    }
}

/// Turns a text into a value, or says in words why that cannot be: `it must be a number from 1 to 1,000`.
typealias TextParser<Value> = @Sendable (String) throws(InvalidText) -> Value

/// Why a text is not a value of the wanted kind.
struct InvalidText: Error, Equatable, Sendable {
    let reason: String
    init(_ reason: String) { self.reason = reason }
}

// MARK: - Declaring options and flags

extension Argument {
    /// An option that must be given.
    static func required(_ name: String, _ placeholder: String, help: String, parse: @escaping TextParser<Value>) -> Argument {
        Self.option(name, placeholder, help: help, isRequired: true, defaultText: nil, parse: parse) {
            // The parser refuses a command line without a required option before it asks for values.
            preconditionFailure("--\(name) is required")
        }
    }

    /// An option with a value for when it is left away.
    ///
    /// - Parameter defaultText: how the help shows the default, where its own description is not what a person would type.
    static func option(
        _ name: String, _ placeholder: String, default defaultValue: Value, defaultText: String? = nil, help: String,
        parse: @escaping TextParser<Value>
    ) -> Argument {
        let text = defaultText ?? "\(defaultValue)"
        return Self.option(name, placeholder, help: help, isRequired: false, defaultText: text, parse: parse) { defaultValue }
    }

    /// An option that may be left away.
    static func optional<Wrapped: Sendable>(
        _ name: String, _ placeholder: String, help: String, parse: @escaping TextParser<Wrapped>
    ) -> Argument where Value == Wrapped? {
        Self.option(
            name, placeholder, help: help, isRequired: false, defaultText: nil, parse: { (text) throws(InvalidText) in try parse(text) }
        ) { nil }
    }

    private static func option(
        _ name: String, _ placeholder: String, help: String, isRequired: Bool, defaultText: String?,
        parse: @escaping TextParser<Value>, absent: @escaping @Sendable () -> Value
    ) -> Argument {
        let dashed = "--\(name)"
        return Argument(
            declaration: ArgumentDeclaration(
                name: dashed, form: .option(placeholder: placeholder), isRequired: isRequired, defaultText: defaultText, help: help
            ) { (texts) throws(UsageError) in
                guard let text = texts.first else { return absent() }
                guard texts.count == 1 else { throw .givenTwice(option: dashed) }
                return try Self.parsing(text, of: dashed, parse)
            })
    }

    /// An option that may be given several times: its values, in the order of the command line.
    static func repeated<Element: Sendable>(
        _ name: String, _ placeholder: String, isRequired: Bool, help: String, parse: @escaping TextParser<Element>
    ) -> Argument where Value == [Element] {
        let dashed = "--\(name)"
        return Argument(
            declaration: ArgumentDeclaration(
                name: dashed, form: .option(placeholder: placeholder), isRequired: isRequired, defaultText: nil, help: help
            ) { (texts) throws(UsageError) in
                var values: [Element] = []
                for text in texts { values.append(try Self.parsing(text, of: dashed, parse)) }
                return values
            })
    }

    fileprivate static func parsing<Parsed>(
        _ text: String, of name: String, _ parse: TextParser<Parsed>
    ) throws(UsageError) -> Parsed {
        do throws(InvalidText) { return try parse(text) } catch { throw .invalidValue(argument: name, value: text, reason: error.reason) }
    }
}

extension Argument where Value == Bool {
    static func flag(_ name: String, help: String) -> Argument {
        // Saying yes twice is no contradiction.
        Argument(
            declaration: ArgumentDeclaration(name: "--\(name)", form: .flag, isRequired: false, defaultText: nil, help: help) { (texts) in
                !texts.isEmpty
            })
    }
}

// MARK: - Declaring positional arguments

extension Argument where Value == String {
    /// One word that must be given: a file, most often.
    static func positional(_ placeholder: String, help: String, parse: @escaping TextParser<String> = Parsing.text) -> Argument {
        Argument(
            declaration: ArgumentDeclaration(
                name: placeholder, form: .positional(repeats: false), isRequired: true, defaultText: nil, help: help
            ) { (texts) throws(UsageError) in
                guard let text = texts.first else { throw .missingPositional(placeholder: placeholder, help: help) }
                return try Self.parsing(text, of: placeholder, parse)
            })
    }
}

extension Argument where Value == [String] {
    /// One or more words.
    static func positionals(_ placeholder: String, help: String) -> Argument {
        Argument(
            declaration: ArgumentDeclaration(
                name: placeholder, form: .positional(repeats: true), isRequired: true, defaultText: nil, help: help
            ) { (texts) throws(UsageError) in
                guard !texts.isEmpty else { throw .missingPositional(placeholder: placeholder, help: help) }
                return texts
            })
    }
}
