#if canImport(Glibc)
internal import Glibc
#elseif canImport(Musl)
internal import Musl
#elseif canImport(Darwin)
internal import Darwin
#endif

/// The command-line tool `chorale`, as a function of its words.
public enum CommandLineTool {
    /// The version that `chorale --version` prints.
    public static let version = "0.1.0"

    /// Every command. A new one is registered by adding it to this list, or to the group that it belongs to.
    static let root = Command(
        "chorale",
        summary: "many signers, one signature",
        discussion: """
            People or machines that hold keys sign a Bitcoin transaction together with MuSig2 (BIP-327), and what the chain sees is \
            one ordinary Taproot signature.

            Each command explains itself: chorale COMMAND --help.
            """,
        examples: [
            Command.Example("see it happen, from keys to signature", "chorale demo"),
            Command.Example("make a key, encrypted under a passphrase", "chorale key new --network signet --out alice.key"),
            Command.Example("see what a transaction does before you sign it", "chorale psbt show payment.psbt"),
        ],
        commands: [
            DemoCommand.command,
            CosignCommand.command,
            NodeCommands.group,
            ContactCommands.group,
            GroupCommands.group,
            RequestCommands.group,
            SignerCommands.group,
            ExplainCommand.command,
            KeyCommands.group,
            MultisigCommands.group,
            PSBTCommands.group,
            TransactionCommands.group,
            AuditCommands.group,
            JournalCommands.group,
            PeerCommands.group,
            SimulateCommands.group,
        ])

    /// Runs the command line that this process was started with, and ends the process.
    public static func main() async -> Never {
        exit(await self.run { () throws(CommandError) in try self.wordsOfProcess() })
    }

    /// The words after the program's own name, as they were given. `CommandLine.arguments` would repair what is not UTF-8, and another
    /// file than the one that was named would be read or written.
    private static func wordsOfProcess() throws(CommandError) -> [String] {
        var words: [String] = []
        for place in 1..<max(1, Int(CommandLine.argc)) {
            guard let bytes = CommandLine.unsafeArgv[place] else { break }
            guard let word = String(validatingCString: bytes) else { throw .usage(.notUTF8(String(cString: bytes)), command: "") }
            words.append(word)
        }
        return words
    }

    /// Runs one command line and returns the process's exit code.
    ///
    /// - Parameter arguments: the words after the program's own name.
    public static func run(arguments: [String]) async -> Int32 { await self.run { arguments } }

    private static func run(words: () throws(CommandError) -> [String]) async -> Int32 {
        StandardFiles.occupyClosed()
        StandardFiles.ignoreWriteSignals()
        Interruption.install()
        let console = Console.ofProcess()
        do throws(CommandError) {
            try await self.perform(CommandLineParser(root: self.root).parse(words()), on: console)
            return ExitCode.done.rawValue
        } catch {
            if error != .readerGone { console.report(error) }
            return error.exitCode.rawValue
        }
    }

    private static func perform(_ request: CommandLineParser.Request, on console: Console) async throws(CommandError) {
        switch request {
        case .help(let command, let path): try console.write(HelpText(command: command, path: path, style: console.style).text())
        case .version: try console.print("chorale \(self.version)")
        case .run(let work, let arguments): try await work(arguments, console)
        }
    }
}
