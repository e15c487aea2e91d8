import Bitcoin
import CryptoPrimitives
import Secp256k1
import SessionStore

/// `chorale key`: a signer's key files.
enum KeyCommands {
    static let group = Command(
        "key", summary: "make and look at key files",
        discussion: """
            A key file holds one signer's secret keys, encrypted under a passphrase (Argon2id, XChaCha20-Poly1305): the key that \
            signs transactions, and one that signs messages to the other signers. Keep a copy of the file, and keep the passphrase \
            elsewhere: without both, nobody can sign with the key again.
            """,
        commands: [Self.new, Self.show, KeyEnrolCommand.command])
}

// MARK: - key new

extension KeyCommands {
    private static let network = Argument.required(
        "network", "NET", help: "the network the key is for: mainnet, testnet4, signet or regtest", parse: Parsing.network)
    private static let out = Argument.required(
        "out", "FILE", help: "the key file to make; a file that exists is never replaced", parse: Parsing.path)
    private static let label = Argument.optional(
        "label", "TEXT", help: "a name for people, kept in the file in clear: up to 64 bytes",
        parse: { (text) throws(InvalidText) in
            guard KeyFileText.isLabel(text) else { throw InvalidText("\(KeyFileError.invalidLabel)") }
            return text
        })

    private static let new = Command(
        "new", summary: "make a new key and keep it in an encrypted file",
        discussion: """
            Draws a new key from the system's randomness, and writes it to a file that only you may read. The passphrase is asked \
            for twice at the terminal, or taken from where you say. What it prints is public: pass it on to the other signers.
            """,
        items: [.argument(network), .argument(out), .argument(label)] + Passphrase.items + [.argument(.json)],
        examples: [
            Command.Example("ask for the passphrase", "chorale key new --network signet --out alice.key --label Alice"),
            Command.Example(
                "in a script, the passphrase in a file",
                "chorale key new --network signet --out node.key \\\n    --passphrase-fd 3 3<passphrase.txt"),
        ]
    ) { (arguments, console) throws(CommandError) in
        ProcessHardening.forbidCoreDumps()
        let path = arguments[Self.out]
        guard !Files.exists(path) else { throw Self.failure(.file(.exists(path: path))) }
        try Files.checkFolder(of: path)
        let passphrase = try Passphrase.read(by: arguments, to: .creating, file: path)
        // Work from here on takes a second, and ends with a whole file or none.
        let file = try Interruption.deferring { () throws(CommandError) in
            try Self.create(at: path, passphrase: passphrase, arguments)
        }
        try Self.present(file, heading: "New key in \(path.printable)", isChecked: nil, arguments, console)
        console.note("Keep a copy of the file, and the passphrase elsewhere: without both, nobody can sign with it again.")
        if Passphrase.isShort(passphrase) {
            console.note(
                "\(console.errorStyle.yellow("Careful:")) the passphrase has fewer than \(Passphrase.shortCharacterCount) characters; "
                    + "a longer one guards a lost file better.")
        }
    }

    private static func create(
        at path: String, passphrase: borrowing SecretBytes, _ arguments: Arguments
    ) throws(CommandError) -> KeyFile {
        do throws(KeyFileError) {
            let keys = try self.newKeys(for: path)
            return try KeyFile.create(
                at: path, key: keys.key, identity: keys.identity, network: arguments[self.network], label: arguments[self.label],
                passphrase: passphrase)
        } catch {
            throw self.failure(error)
        }
    }

    private static func newKeys(for path: String) throws(KeyFileError) -> NewKeys {
        do throws(SecretMemoryError) {
            return NewKeys(key: try SecretKey.generate(), identity: try Ed25519.SecretKey.generate())
        } catch {
            throw .sealing(path: path, .secretMemory(error))
        }
    }

    private struct NewKeys: ~Copyable {
        let key: SecretKey
        let identity: Ed25519.SecretKey
    }

    static func failure(_ error: KeyFileError) -> CommandError {
        switch error {
        // A key is never overwritten, so this is no place to offer --force.
        case .file(.exists(let path)): .failed("\(path.printable) exists already, and keys are never overwritten: choose another name")
        case .file(.tooLarge(let path, _)), .damaged(let path, _): .failed(self.mistake(path) ?? "\(error)".printable)
        case .file(let error): Files.failure(error)
        case .wrongPassphraseOrAltered, .sealing, .invalidLabel, .notReadableAgain: .failed("\(error)".printable)
        }
    }

    private static func mistake(_ path: String) -> String? {
        FileKind.mistake(path.printable, seen: FileKind(ofFile: path), wanted: .keyFile)
    }
}

// MARK: - Unlocking

extension KeyCommands {
    /// Gets the passphrase from where the arguments say, and opens the file with it.
    static func unlock(_ file: KeyFile, by arguments: Arguments) throws(CommandError) -> UnlockedKeys {
        let source = try Passphrase.source(by: arguments)
        let passphrase = try Passphrase.read(from: source, to: .unlocking, file: file.path)
        do throws(KeyFileError) { return try file.unlock(passphrase: passphrase) } catch {
            throw self.failure(error, passphraseFrom: source)
        }
    }

    /// The same, with what to do about a passphrase that came from there.
    static func failure(_ error: KeyFileError, passphraseFrom source: Passphrase.Source) -> CommandError {
        guard case .wrongPassphraseOrAltered(let path) = error else { return self.failure(error) }
        let passphrase = source == .terminal ? "the passphrase" : "the passphrase from \(source)"
        return .failed("\(path.printable) did not open: \(passphrase) is wrong, or the file was altered; \(source.advice)")
    }
}

// MARK: - key show

extension KeyCommands {
    private static let file = Argument.positional("FILE", help: "a key file")
    private static let check = Argument.flag(
        "check", help: "ask for the passphrase, and check that it opens the file and the keys are right")

    private static let show = Command(
        "show", summary: "show the public part of a key file",
        discussion: """
            Shows the public keys, which the other signers need. This takes no passphrase, and so cannot prove that the file was not \
            altered; with --check it does.
            """,
        items: [.argument(file), .argument(check)] + Passphrase.items + [.argument(.json)],
        examples: [
            Command.Example("what to give to the others", "chorale key show alice.key"),
            Command.Example("try out the passphrase", "chorale key show alice.key --check"),
        ]
    ) { (arguments, console) throws(CommandError) in
        let path = arguments[Self.file]
        if arguments[Self.check] { ProcessHardening.forbidCoreDumps() }
        let file: KeyFile
        do throws(KeyFileError) { file = try KeyFile(readingFrom: path) } catch { throw Self.failure(error) }
        if arguments[Self.check] { _ = try Self.unlock(file, by: arguments) }
        try Self.present(file, heading: "Key in \(path.printable)", isChecked: arguments[Self.check], arguments, console)
        if file.letsOthersIn {
            console.note("\(console.errorStyle.yellow("Careful:")) others may read or change \(path.printable): chmod 600 it.")
        }
    }

    static func present(
        _ file: KeyFile, heading: String, isChecked: Bool?, _ arguments: Arguments, _ console: Console
    ) throws(CommandError) {
        let header = file.header
        if arguments[.json] {
            var members: [(String, JSONValue)] = [
                ("file", .string(file.path)), ("network", .string(header.network.rawValue)), ("label", .optional(header.label)),
                ("public_key", .string("\(header.signer)")), ("identity", .string(Hex.encode(header.identity.bytes))),
            ]
            members += [("version", .unsigned(UInt64(header.version))), ("expiry", .unsigned(header.expiry))]
            if let isChecked { members.append(("checked", .bool(isChecked))) }
            return try console.print(.object(members))
        }
        var report = Report(style: console.style)
        report.heading(heading)
        report.field("network", "\(header.network)", indent: 2, width: 10)
        if let label = header.label { report.field("label", label.printable, indent: 2, width: 10) }
        report.field("public key", "\(header.signer)", indent: 2, width: 10)
        report.field("identity", Hex.encode(header.identity.bytes), indent: 2, width: 10)
        if header.version != 1 || header.expiry != 0 {
            report.field("enrolment", KeyEnrolCommand.words(header), indent: 2, width: 10)
        }
        if isChecked == true {
            report.field("checked", "the passphrase opens the file, and the secret keys in it match these two", indent: 2, width: 10)
        }
        try console.print(report.lines)
    }
}
