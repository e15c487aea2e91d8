/// What a process of `chorale` ends with, the same for every command and printed by every `--help`.
public enum ExitCode: Int32, Sendable, CaseIterable {
    case done = 0
    case failed = 1
    case wrongUsage = 2
    case missing = 3
    case interrupted = 4

    var meaning: String {
        switch self {
        case .done: "done"
        case .failed: "the work failed: bad data, a bad signature, a refused passphrase, a full disk"
        case .wrongUsage: "wrong usage: an unknown option, a missing or impossible value"
        case .missing: "something is missing or timed out: a file, a signature, a signer who did not come"
        case .interrupted: "interrupted (Ctrl-C, or asked to stop)"
        }
    }
}

/// Why a command did not do its work. Each message says what happened, to whom, and what to do.
enum CommandError: Error, Equatable, Sendable {
    /// The words of the command line make no sense. `command` is the command as typed, `psbt show`; empty for `chorale` itself.
    case usage(UsageError, command: String)
    /// The work was tried and failed.
    case failed(String)
    /// What the work needs is not there, or not yet.
    case missing(String)
    /// The person, or the system, asked to stop.
    case interrupted
    /// Whoever reads standard output has read enough. That is no failure.
    case readerGone

    var exitCode: ExitCode {
        switch self {
        case .usage: .wrongUsage
        case .failed: .failed
        case .missing: .missing
        case .interrupted: .interrupted
        case .readerGone: .done
        }
    }
}

extension CommandError: CustomStringConvertible {
    var description: String {
        switch self {
        case .usage(let error, let command):
            "\(command.isEmpty ? "" : "\(command): ")\(error) (see: chorale \(command.isEmpty ? "" : "\(command) ")--help)"
        case .failed(let message), .missing(let message): message
        case .interrupted: "interrupted"
        case .readerGone: "the reader of standard output has gone"
        }
    }
}
