import CryptoPrimitives

#if canImport(Glibc)
internal import Glibc
#elseif canImport(Musl)
internal import Musl
#elseif canImport(Darwin)
internal import Darwin
#endif

/// Why no passphrase was had.
enum PassphraseError: Error, Equatable, Sendable {
    case empty(source: String)
    case tooLong(source: String)
    /// Typed twice, and not the same.
    case notTheSame
    case unreadable(String, SystemError)
    case variableNotSet(String)
    /// No option names a source, and there is no terminal to ask at.
    case noTerminal
    case memory(SecretMemoryError)
}

extension PassphraseError: CustomStringConvertible {
    var description: String {
        switch self {
        case .empty(let source): "the passphrase from \(source) is empty: give one"
        case .tooLong(let source): "the passphrase from \(source) is longer than \(Passphrase.byteCountMax) bytes: give a shorter one"
        case .notTheSame: "the two passphrases are not the same: start again"
        case .unreadable(let source, let error): "the passphrase cannot be read from \(source): \(error)"
        case .variableNotSet(let name):
            "the environment variable \(name.printable) is not set: set it to the passphrase, or leave --passphrase-env away"
        case .noTerminal:
            "there is no terminal to ask for the passphrase: give it by --passphrase-fd, or in the environment variable \(Passphrase.variableDefault)"
        case .memory(let error): error.description
        }
    }
}

/// The passphrase of a key file: from a prompt, a file descriptor, or an environment variable, straight into guarded memory.
///
/// It never becomes a `String` or an array, whose copies nobody could wipe.
enum Passphrase {
    /// Longest passphrase, in bytes. Terminals hand over lines of at most 4,095; a longer one is a file given by mistake.
    static let byteCountMax = 4_095

    /// Below this many characters a new passphrase gets a remark, and no more: how hard one is to guess cannot be seen from it.
    static let shortCharacterCount = 12

    /// Read without being named, when it is set.
    static let variableDefault = "CHORALE_PASSPHRASE"

    /// The arguments that every command with a passphrase takes.
    static let items: [Command.Item] = [.argument(Self.descriptor), .argument(Self.variable)]

    private static let descriptor = Argument.optional(
        "passphrase-fd", "N", help: "read the passphrase from this open file descriptor, up to the end of the line",
        parse: Parsing.integer(0...65_535))
    private static let variable = Argument.optional(
        "passphrase-env", "NAME",
        help: "read the passphrase from this environment variable; without either option \(Self.variableDefault) is read when it is set, "
            + "else you are asked at the terminal",
        parse: Parsing.text)

    enum Purpose {
        /// A file is being made: a slip of the finger would lock its owner out, so a terminal asks twice.
        case creating
        case unlocking
    }

    /// Where a passphrase comes from.
    enum Source: Equatable, Sendable {
        case descriptor(Int)
        case variable(String)
        /// `variableDefault` is set, and no option was given.
        case variableDefault
        case terminal
    }

    /// Where the arguments, or else the environment, say that it comes from.
    static func source(by arguments: Arguments) throws(CommandError) -> Source {
        let (descriptor, variable) = (arguments[Self.descriptor], arguments[Self.variable])
        if descriptor != nil, variable != nil {
            throw arguments.refused(.moreThanOneOf([Self.descriptor.declaration.name, Self.variable.declaration.name]))
        }
        if let descriptor { return .descriptor(descriptor) }
        if let variable { return .variable(variable) }
        return getenv(Self.variableDefault) != nil ? .variableDefault : .terminal
    }

    /// Gets the passphrase from there.
    static func read(from source: Source, to purpose: Purpose, file: String) throws(CommandError) -> SecretBytes {
        do throws(PassphraseError) {
            switch source {
            case .descriptor(let number): return try self.read(from: number)
            case .variable(let name): return try self.read(variable: name)
            case .variableDefault: return try self.read(variable: Self.variableDefault)
            case .terminal: return try self.ask(to: purpose, file: file)
            }
        } catch {
            throw .failed("\(file.printable): \(error)")
        }
    }

    /// Gets the passphrase from where the arguments say.
    static func read(by arguments: Arguments, to purpose: Purpose, file: String) throws(CommandError) -> SecretBytes {
        try self.read(from: self.source(by: arguments), to: purpose, file: file)
    }

    /// Whether it deserves the remark that it is short.
    static func isShort(_ passphrase: borrowing SecretBytes) -> Bool {
        passphrase.withUnsafeBytes { bytes in
            // Continuation bytes of UTF-8 are part of a character before them.
            bytes.count { $0 & 0xc0 != 0x80 } < Self.shortCharacterCount
        }
    }
}

extension Passphrase.Source: CustomStringConvertible {
    var description: String {
        switch self {
        case .descriptor(let number): "file descriptor \(number)"
        case .variable(let name): "the environment variable \(name.printable)"
        case .variableDefault: "the environment variable \(Passphrase.variableDefault)"
        case .terminal: "the terminal"
        }
    }

    /// What to do about a passphrase that does not open a file.
    var advice: String {
        switch self {
        case .descriptor, .variable: "check what is given there, then try a copy of the file"
        case .variableDefault: "check what it is set to, or unset it to be asked for another, then try a copy of the file"
        case .terminal: "try the passphrase again, then a copy of the file"
        }
    }
}

// MARK: - Environment

extension Passphrase {
    /// Takes the variable's value and wipes it, from the environment of later children and from what `/proc` shows of this process.
    private static func read(variable name: String) throws(PassphraseError) -> SecretBytes {
        guard let value = getenv(name) else { throw .variableNotSet(name) }
        let count = strlen(value)
        defer {
            memset(value, 0, count)
            unsetenv(name)
        }
        let source = Source.variable(name).description
        guard count > 0 else { throw .empty(source: source) }
        guard count <= Self.byteCountMax else { throw .tooLong(source: source) }
        return try self.secret(count: count) { $0.copyMemory(from: UnsafeRawBufferPointer(start: value, count: count)) }
    }
}

// MARK: - File descriptor

extension Passphrase {
    private static func read(from number: Int) throws(PassphraseError) -> SecretBytes {
        let (descriptor, source) = (FileDescriptor(number: Int32(truncatingIfNeeded: number)), Source.descriptor(number).description)
        // Where the number was left closed, the runtime may have taken it for a queue of its own, and a read would wait for ever.
        guard descriptor.isFilePipeOrTerminal else { throw .unreadable(source, .notOpen) }
        return try self.readLine(from: descriptor, source: source)
    }

    /// Reads up to the line's end or the file's, byte by byte, so that nothing behind the line is taken.
    private static func readLine(from descriptor: FileDescriptor, source: String) throws(PassphraseError) -> SecretBytes {
        var count = 0
        var failure: PassphraseError?
        // One byte more than allowed, to see that a passphrase is too long.
        let line = try self.secret(count: Self.byteCountMax + 1) { buffer in
            do throws(SystemError) {
                while count < buffer.count {
                    let next = UnsafeMutableRawBufferPointer(rebasing: buffer[count..<count + 1])
                    guard try descriptor.read(into: next) == 1, next[0] != UInt8(ascii: "\n") else { break }
                    count += 1
                }
            } catch { failure = .unreadable(source, error) }
            // A file written on Windows ends its lines with two characters, and nobody types the first.
            if count > 0, count < buffer.count, buffer[count - 1] == UInt8(ascii: "\r") { count -= 1 }
        }
        if let failure { throw failure }
        guard count > 0 else { throw .empty(source: source) }
        guard count <= Self.byteCountMax else { throw .tooLong(source: source) }
        return try self.secret(count: count) { target in
            line.withUnsafeBytes { target.copyMemory(from: UnsafeRawBufferPointer(rebasing: $0[..<count])) }
        }
    }

    private static func secret(
        count: Int, filledBy fill: (UnsafeMutableRawBufferPointer) -> Void
    ) throws(PassphraseError) -> SecretBytes {
        do { return try SecretBytes(count: count, filledBy: fill) } catch { throw .memory(error) }
    }
}

// MARK: - Terminal

extension Passphrase {
    private static func ask(to purpose: Purpose, file: String) throws(PassphraseError) -> SecretBytes {
        // Standard input may be a file with the work to do; the person sits at the terminal.
        let number = open("/dev/tty", O_RDWR | O_CLOEXEC)
        guard number >= 0 else { throw .noTerminal }
        defer { close(number) }
        let terminal = FileDescriptor(number: number)
        switch purpose {
        case .unlocking: return try self.ask("Passphrase of \(file.printable): ", at: terminal)
        case .creating:
            let first = try self.ask("New passphrase for \(file.printable): ", at: terminal)
            let second = try self.ask("The same again: ", at: terminal)
            let areSame = first.withUnsafeBytes { a in second.withUnsafeBytes { b in a.elementsEqual(b) } }
            guard areSame else { throw .notTheSame }
            return first
        }
    }

    private static func ask(_ question: String, at terminal: FileDescriptor) throws(PassphraseError) -> SecretBytes {
        try Echo.withoutEcho(on: terminal) { () throws(PassphraseError) in
            let source = Source.terminal.description
            do throws(SystemError) { try terminal.write(question) } catch { throw .unreadable(source, error) }
            return try self.readLine(from: terminal, source: source)
        }
    }
}
