import Foundation
import Testing

/// What must not compile: each snippet is given to the compiler, which must refuse it with one exact error.
///
/// The compiler looks for broken ownership after type checking, so `-typecheck` would let everything here pass: `-emit-sil`.
struct MisuseTests {
    @Test func `right use compiles`() throws {
        let nonceOnce = """
            let nonce = try SecretNonce(for: key, keys: context.keys, message: context.message, extraInput: Bytes32())
            return try nonce.sign(with: key, in: context)
            """
        let passedOn = """
            let nonce = try SecretNonce(for: key, extraInput: Bytes32())
            let same = nonce
            return try finish(same, key, context)
            """
        for body in [nonceOnce, passedOn] {
            let source = """
                func finish(
                    _ nonce: consuming SecretNonce, _ key: borrowing SecretKey, _ context: SigningContext
                ) throws -> PartialSignature {
                    try nonce.sign(with: key, in: context)
                }
                func sign(_ key: borrowing SecretKey, _ context: SigningContext) throws -> PartialSignature {
                \(body)
                }
                """
            #expect(try Compiler.errors(in: source) == [])
        }
    }

    @Test(arguments: Misuse.all)
    func `misuse does not compile`(_ misuse: Misuse) throws {
        #expect(try Compiler.errors(in: misuse.source) == misuse.errors)
    }
}

/// A wrong use, and all the compiler says about it.
struct Misuse: Sendable, CustomTestStringConvertible {
    let name: String
    let source: String
    let errors: [String]

    var testDescription: String { self.name }

    private init(_ name: String, errors: String..., source: String) {
        (self.name, self.errors, self.source) = (name, errors, source)
    }

    static let all: [Misuse] = [
        Misuse(
            "a nonce signs twice", errors: "'nonce' consumed more than once",
            source: """
                func sign(_ key: borrowing SecretKey, _ context: SigningContext) throws {
                    let nonce = try SecretNonce(for: key, extraInput: Bytes32())
                    _ = try nonce.sign(with: key, in: context)
                    _ = try nonce.sign(with: key, in: context)
                }
                """),
        Misuse(
            "a nonce signs for two contexts", errors: "'nonce' consumed more than once",
            source: """
                func sign(_ nonce: consuming SecretNonce, _ key: borrowing SecretKey, _ one: SigningContext, _ two: SigningContext) throws {
                    let both = (try nonce.sign(with: key, in: one), try nonce.sign(with: key, in: two))
                    _ = both
                }
                """),
        Misuse(
            "a nonce signs again after an error", errors: "'nonce' consumed more than once",
            source: """
                func sign(_ nonce: consuming SecretNonce, _ key: borrowing SecretKey, _ context: SigningContext) throws -> PartialSignature {
                    do { return try nonce.sign(with: key, in: context) } catch { return try nonce.sign(with: key, in: context) }
                }
                """),
        Misuse(
            "a nonce signs in a loop", errors: "'nonce' consumed in a loop",
            source: """
                func sign(_ key: borrowing SecretKey, _ contexts: [SigningContext]) throws {
                    let nonce = try SecretNonce(for: key, extraInput: Bytes32())
                    for context in contexts { _ = try nonce.sign(with: key, in: context) }
                }
                """),
        Misuse(
            "a nonce signs in an escaping closure",
            errors: "noncopyable 'nonce' cannot be consumed when captured by an escaping closure or borrowed by a non-Escapable type",
            source: """
                func later(_ context: SigningContext) throws -> () throws -> PartialSignature {
                    let nonce = try SecretNonce(for: SecretKey.generate(), extraInput: Bytes32())
                    return { try nonce.sign(with: SecretKey.generate(), in: context) }
                }
                """),
        Misuse(
            "a borrowed nonce signs", errors: "'nonce' is borrowed and cannot be consumed",
            source: """
                func sign(_ nonce: borrowing SecretNonce, _ key: borrowing SecretKey, _ context: SigningContext) throws {
                    _ = try nonce.sign(with: key, in: context)
                }
                """),
        Misuse(
            "a nonce that a shared object keeps signs", errors: "cannot consume noncopyable stored property 'self.nonce' of a class",
            source: """
                final class Keeper {
                    let nonce: SecretNonce
                    init(_ nonce: consuming SecretNonce) { self.nonce = nonce }
                    func sign(_ key: borrowing SecretKey, _ context: SigningContext) throws { _ = try self.nonce.sign(with: key, in: context) }
                }
                """),
        Misuse(
            "a nonce is copied", errors: "'copy' cannot be applied to noncopyable types",
            source: """
                func twice(_ nonce: borrowing SecretNonce) -> SecretNonce {
                    let other = copy nonce
                    return other
                }
                """),
        Misuse(
            "a nonce goes into an array", errors: "type 'SecretNonce' does not conform to protocol 'Copyable'",
            source: """
                func collect(_ key: borrowing SecretKey) throws -> [SecretNonce] {
                    [try SecretNonce(for: key, extraInput: Bytes32())]
                }
                """),
        Misuse(
            "a nonce is printed", errors: "argument type 'SecretNonce' does not conform to expected type 'Copyable'",
            source: """
                func show(_ nonce: borrowing SecretNonce) { print(nonce) }
                """),
        Misuse(
            "a nonce is made from bytes", errors: "extra argument 'parsing' in call",
            "missing arguments for parameters 'for', 'extraInput' in call",
            source: """
                func restore(_ bytes: [UInt8]) throws { _ = try SecretNonce(parsing: bytes) }
                """),
        Misuse(
            "a nonce's randomness is chosen", errors: "extra argument 'random' in call",
            source: """
                func choose(_ key: borrowing SecretKey) throws { _ = try SecretNonce(for: key, extraInput: Bytes32(), random: Bytes32()) }
                """),
        Misuse(
            "a nonce is made without its key", errors: "missing argument for parameter 'for' in call",
            source: """
                func keyless() throws { _ = try SecretNonce(extraInput: Bytes32()) }
                """),
        Misuse(
            "a nonce's bytes are read", errors: "'slot' is inaccessible due to 'internal' protection level",
            source: """
                func read(_ nonce: borrowing SecretNonce) -> [UInt8] { nonce.slot.withUnsafeMutableBytes { Array($0) } }
                """),
        Misuse(
            "signing before the nonces are complete",
            errors: "cannot convert value of type 'KeyAggregation' to expected argument type 'SigningContext'",
            source: """
                func sign(_ nonce: consuming SecretNonce, _ key: borrowing SecretKey, _ keys: KeyAggregation) throws {
                    _ = try nonce.sign(with: key, in: keys)
                }
                """),
        Misuse(
            "a context without nonces", errors: "missing argument for parameter 'nonces' in call",
            source: """
                func context(_ keys: KeyAggregation, _ message: Bytes32) throws { _ = try SigningContext(keys: keys, message: message) }
                """),
        Misuse(
            "the library's session is reached from outside", errors: "'session' is inaccessible due to 'package' protection level",
            source: """
                func leak(_ context: SigningContext) { _ = context.session }
                """),
        Misuse(
            "a secret key is copied", errors: "'copy' cannot be applied to noncopyable types",
            source: """
                func twice(_ key: borrowing SecretKey) -> SecretKey {
                    let other = copy key
                    return other
                }
                """),
    ]
}

/// The compiler of the toolchain that runs the tests, with the modules that it just built.
private enum Compiler {
    struct Failure: Error, CustomStringConvertible { let description: String }

    /// The errors for a file with this source, without their places and in the compiler's order; none when it compiles.
    static func errors(in source: String) throws -> [String] {
        let file = FileManager.default.temporaryDirectory.appendingPathComponent("chorale-misuse-\(UUID().uuidString).swift")
        defer { try? FileManager.default.removeItem(at: file) }
        try "import CryptoPrimitives\nimport MuSig2\nimport Secp256k1\n\n\(source)\n".write(to: file, atomically: true, encoding: .utf8)
        let (status, output) = try Self.run(
            ["swiftc", "-emit-sil", "-o", "/dev/null", "-swift-version", "6", "-parse-as-library"] + (try Self.searchPaths.get()) + [
                file.path
            ])
        let errors = output.split(separator: "\n").compactMap { line -> String? in
            guard line.hasPrefix(file.path), let found = line.range(of: ": error: ") else { return nil }
            return String(line[found.upperBound...])
        }
        // A compiler that cannot start or finds no module must not pass for one that refuses misuse.
        guard (status == 0) == errors.isEmpty else { throw Failure(description: "swiftc ended with \(status): \(output)") }
        return errors
    }

    private static let searchPaths: Result<[String], any Error> = Result {
        let package = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
        let (status, cFlags) = try Self.run(["pkg-config", "--cflags-only-I", "libsecp256k1", "libsodium"])
        guard status == 0 else { throw Failure(description: "pkg-config: \(cFlags)") }
        let systemLibraries = ["CSecp256k1", "CSodium"].flatMap { ["-I", package.appendingPathComponent("Sources/\($0)").path] }
        return ["-I", try Self.modules()] + systemLibraries + cFlags.split(whereSeparator: \.isWhitespace).flatMap { ["-Xcc", String($0)] }
    }

    /// The folder of built modules beside the running tests, or above them where they sit in a bundle.
    private static func modules() throws -> String {
        var folder = URL(fileURLWithPath: CommandLine.arguments[0]).resolvingSymlinksInPath()
        while folder.path != "/" {
            folder.deleteLastPathComponent()
            let modules = folder.appendingPathComponent("Modules")
            if FileManager.default.fileExists(atPath: modules.appendingPathComponent("MuSig2.swiftmodule").path) { return modules.path }
        }
        throw Failure(description: "no folder of built modules above \(CommandLine.arguments[0])")
    }

    private static func run(_ arguments: [String]) throws -> (status: Int32, output: String) {
        let (process, pipe) = (Process(), Pipe())
        process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
        process.arguments = arguments
        process.standardOutput = pipe
        process.standardError = pipe
        try process.run()
        let output = pipe.fileHandleForReading.readDataToEndOfFile()
        process.waitUntilExit()
        return (process.terminationStatus, String(decoding: output, as: UTF8.self))
    }
}
