/// What is wrong with the words of a command line.
enum UsageError: Error, Equatable, Sendable {
    case unknownCommand(String, suggestion: String?)
    /// A group of commands was named without one of its commands.
    case missingCommand(available: [String])
    case unknownOption(String, suggestion: String?)
    case missingValue(option: String, placeholder: String)
    case unexpectedValue(flag: String, value: String)
    case givenTwice(option: String)
    case missingOption(usage: String)
    case missingPositional(placeholder: String, help: String)
    case unexpectedPositional(String)
    case missingOneOf([String])
    case moreThanOneOf([String])
    case invalidValue(argument: String, value: String, reason: String)
    /// A word that is no text; the value is what is left of it when it is made one.
    case notUTF8(String)
    /// Options that do not go together, or not with the values given; in words.
    case inconsistent(String)
}

extension UsageError: CustomStringConvertible {
    var description: String {
        switch self {
        case .unknownCommand(let name, let suggestion):
            "there is no command \"\(name.printable)\"\(Self.suggesting(suggestion))"
        case .missingCommand(let available):
            "say which command: \(available.joined(separator: ", "))"
        case .unknownOption(let name, let suggestion):
            "there is no option \(name.printable)\(Self.suggesting(suggestion))"
        case .missingValue(let option, let placeholder):
            "\(option) needs a value: \(option) \(placeholder)"
        case .unexpectedValue(let flag, let value):
            "\(flag) takes no value, and \"\(value.printable)\" was given: leave it away"
        case .givenTwice(let option):
            "\(option) is given twice: give it once"
        case .missingOption(let usage):
            "\(usage) is missing: add it"
        case .missingPositional(let placeholder, let help):
            "\(placeholder) is missing: \(help)"
        case .unexpectedPositional(let text):
            "\"\(text.printable)\" is one argument too many: leave it away, or put -- before arguments that begin with a dash"
        case .missingOneOf(let usages):
            "one of these is missing, add one: \(usages.joined(separator: ", "))"
        case .moreThanOneOf(let names):
            "\(names.joined(separator: " and ")) exclude each other: give only one"
        case .invalidValue(let argument, let value, let reason):
            "\(argument) cannot be \"\(value.printable)\": \(reason)"
        case .notUTF8(let repaired):
            "the argument \"\(repaired.printable)\" is not UTF-8: rename the file, or write it otherwise"
        case .inconsistent(let reason): reason
        }
    }

    private static func suggesting(_ suggestion: String?) -> String { suggestion.map { ": did you mean \($0)?" } ?? "" }
}
