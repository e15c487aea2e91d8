import Bitcoin
import CryptoPrimitives
import Foundation
import Secp256k1
import SessionStore
import SigningTestSupport
import Testing

struct `A key file` {
    private let folder: TemporaryFolder
    private let path: String

    init() throws {
        self.folder = try TemporaryFolder()
        self.path = self.folder.file("ada.key")
    }

    private static func secret(_ text: String) throws -> SecretBytes {
        try SecretBytes(count: text.utf8.count) { $0.copyBytes(from: text.utf8) }
    }

    private static func identity() throws -> Ed25519.SecretKey {
        try Ed25519.SecretKey(seed: SecretBytes(count: 32) { $0.copyBytes(from: UInt8(1)...32) })
    }

    @discardableResult
    private func create(label: String? = "Ada's laptop", network: Network = .signet) throws -> KeyFile {
        try KeyFile.create(
            at: self.path, key: Sample.secretKey("Ada"), identity: Self.identity(), network: network, label: label,
            passphrase: Self.secret("correct horse"), cost: .init(passes: 1, memoryKibibytes: 8))
    }

    private func error(_ action: () throws(KeyFileError) -> Void) -> KeyFileError? {
        do throws(KeyFileError) { try action() } catch { return error }
        return nil
    }

    private func readError() -> KeyFileError? {
        self.error { () throws(KeyFileError) in _ = try KeyFile(readingFrom: self.path) }
    }

    // MARK: - Round trip

    @Test(arguments: Network.allCases, [nil, "Ada's laptop", "ключ 🔑 é"])
    func `gives back both keys under its passphrase`(_ network: Network, _ label: String?) throws {
        let made = try self.create(label: label, network: network)
        let file = try KeyFile(readingFrom: self.path)
        #expect(file == made)
        #expect(file.header.network == network && file.header.label == label)
        #expect(try file.header.signer == Sample.signer("Ada"))

        let keys = try file.unlock(passphrase: Self.secret("correct horse"))
        #expect(keys.key.publicKey == file.header.signer)
        #expect(keys.identity.publicKey == file.header.identity)
        let expected = try Sample.secretKey("Ada").encoded().withUnsafeBytes { Array($0) }
        #expect(try keys.key.encoded().withUnsafeBytes { Array($0) } == expected)
        #expect(keys.identity.withUnsafeSeed { Array($0) } == Array(1...32))
    }

    @Test(arguments: [(2, 0), (1, 5), (.max, .max)] as [(UInt32, UInt64)])
    func `says which enrolment its keys make, where it is not the first`(version: UInt32, expiry: UInt64) throws {
        let made = try KeyFile.create(
            at: self.path, key: Sample.secretKey("Ada"), identity: Self.identity(), network: .signet, version: version, expiry: expiry,
            passphrase: Self.secret("correct horse"), cost: .init(passes: 1, memoryKibibytes: 8))
        #expect(try KeyFile(readingFrom: self.path) == made && made.header.version == version && made.header.expiry == expiry)
        let keys = try made.unlock(passphrase: Self.secret("correct horse"))
        #expect(keys.version == version && keys.expiry == expiry)
        let text = try String(decoding: bytes(of: self.path), as: UTF8.self)
        #expect(text.hasPrefix("chorale-key 2\nnetwork: signet\n") && text.contains("\nversion: \(version)\nexpires: \(expiry)\nsealed: "))
        for (from, to, fault) in [
            ("version: \(version)", "version: 0\(version)", .otherSpelling),
            ("version: \(version)", "version: x", .unreadable(line: "version")),
            ("expires: \(expiry)", "expires: -1", .unreadable(line: "expires")), ("expires: \(expiry)\n", "", .missing(line: "expires")),
            ("version: \(version)\nexpires: \(expiry)", "version: 1\nexpires: 0", .otherSpelling),
        ] as [(String, String, KeyFileError.Fault)] {
            try put(Array(text.replacingOccurrences(of: from, with: to).utf8), at: self.path)
            #expect(self.readError() == .damaged(path: self.path, fault), "\(to)")
        }
        // The seal vouches for both.
        try put(Array(text.replacingOccurrences(of: "version: \(version)", with: "version: 77").utf8), at: self.path)
        let altered = try KeyFile(readingFrom: self.path)
        #expect(throws: KeyFileError.wrongPassphraseOrAltered(path: self.path)) {
            _ = try altered.unlock(passphrase: Self.secret("correct horse"))
        }
    }

    @Test func `lets its two keys go to two owners`() throws {
        let keys = try self.create().unlock(passphrase: Self.secret("correct horse"))
        let key = keys.key
        let identity = keys.identity
        #expect(try key.publicKey == Sample.signer("Ada"))
        #expect(identity.sign([1]).isValid(for: [1], by: identity.publicKey))
    }

    @Test func `is text of the lines that its description names`() throws {
        let file = try self.create()
        let lines = try String(decoding: bytes(of: self.path), as: UTF8.self).split(separator: "\n", omittingEmptySubsequences: false)
        #expect(
            lines.dropLast(2) == [
                "chorale-key 1", "network: signet", "signer: \(file.header.signer)", "identity: \(Hex.encode(file.header.identity.bytes))",
                "label: Ada's laptop",
            ])
        #expect(lines.last == "" && lines.dropLast().last?.hasPrefix("sealed: 43484f52414c4501") == true)
        let secret = try Sample.secretKey("Ada").encoded().withUnsafeBytes { Hex.encode($0) }
        #expect(!lines.joined().contains(secret))
    }

    @Test func `is its owner's alone, and says so when it is not`() throws {
        #expect(try !self.create().letsOthersIn)
        #expect(try permissions(of: self.path) == 0o600)
        for (mode, letsOthersIn) in [(0o640, true), (0o604, true), (0o602, true), (0o400, false), (0o700, false)] as [(mode_t, Bool)] {
            chmod(self.path, mode)
            #expect(try KeyFile(readingFrom: self.path).letsOthersIn == letsOthersIn)
        }
    }

    @Test func `never takes the place of another`() throws {
        try self.create()
        let before = try bytes(of: self.path)
        #expect(throws: KeyFileError.file(.exists(path: self.path))) { try self.create() }
        #expect(try bytes(of: self.path) == before)
    }

    // MARK: - What is refused

    @Test func `does not open under another passphrase or none`() throws {
        let file = try self.create()
        for passphrase in ["correct horse ", "Correct horse", "x"] {
            #expect(
                self.error { () throws(KeyFileError) in
                    guard let passphrase = try? Self.secret(passphrase) else { return }
                    _ = try file.unlock(passphrase: passphrase)
                } == .wrongPassphraseOrAltered(path: self.path))
        }
    }

    @Test func `with any bit of any byte flipped is refused, on reading or on opening`() throws {
        try self.create()
        let whole = try bytes(of: self.path)
        var refusedOnReading = 0
        for index in whole.indices {
            for bit in [0, 1, 5, 7] {
                var altered = whole
                altered[index] ^= 1 << bit
                try put(altered, at: self.path)
                let error = self.error { () throws(KeyFileError) in
                    let file = try KeyFile(readingFrom: self.path)
                    guard let passphrase = try? Self.secret("correct horse") else { return }
                    _ = try file.unlock(passphrase: passphrase)
                }
                switch error {
                case .damaged: refusedOnReading += 1
                case .wrongPassphraseOrAltered: break
                default: Issue.record("byte \(index), bit \(bit): \(String(describing: error))")
                }
            }
        }
        #expect(refusedOnReading > whole.count)
    }

    @Test func `cut short or lengthened anywhere is refused on reading`() throws {
        try self.create()
        let whole = try bytes(of: self.path)
        for count in whole.indices {
            try put(Array(whole[..<count]), at: self.path)
            guard case .damaged = self.readError() else {
                Issue.record("\(count) bytes were read")
                continue
            }
        }
        for tail in ["\n", " ", "\0", "label: x\n", "00\n"] {
            try put(whole + Array(tail.utf8), at: self.path)
            #expect(self.readError() != nil, "\(tail)")
        }
        try put(whole + [UInt8](repeating: 0x0a, count: KeyFile.byteCountMax), at: self.path)
        #expect(self.readError() == .file(.tooLarge(path: self.path, byteCountMax: KeyFile.byteCountMax)))
    }

    @Test(
        arguments: [
            ("chorale-key 1", "chorale-key 3", .otherKindOrVersion), ("chorale-key 1", "chorale-key 2", .missing(line: "version")),
            ("network: signet", "network: moonnet", .unreadable(line: "network")),
            ("network: signet\n", "", .missing(line: "network")), ("signer: 0", "signer: 5", .unreadable(line: "signer")),
            ("label: Ada's laptop", "label: Ada's\u{202e} laptop", .unreadable(line: "label")),
            ("label: Ada's laptop", "label: ", .unreadable(line: "label")), ("\nsealed: 43", "\nsealed: 44", .unreadable(line: "sealed")),
            ("\nsealed: ", "\nsealed:", .missing(line: "sealed")), ("414c45", "414C45", .otherSpelling),
            ("\n", "\r\n", .otherKindOrVersion),
        ] as [(String, String, KeyFileError.Fault)])
    func `with a line changed is refused by the line's name`(_ from: String, _ to: String, _ fault: KeyFileError.Fault) throws {
        try self.create()
        let text = try String(decoding: bytes(of: self.path), as: UTF8.self)
        let changed = text.replacingOccurrences(of: from, with: to)
        try put(Array(changed.utf8), at: self.path)
        #expect(changed != text)
        #expect(self.readError() == .damaged(path: self.path, fault))
    }

    @Test func `whose public keys were swapped for others does not open`() throws {
        let file = try self.create()
        let other = try Sample.signer("Bo")
        let text = try String(decoding: bytes(of: self.path), as: UTF8.self)
        try put(Array(text.replacingOccurrences(of: "\(file.header.signer)", with: "\(other)").utf8), at: self.path)
        let swapped = try KeyFile(readingFrom: self.path)
        #expect(swapped.header.signer == other)
        let passphrase = try Self.secret("correct horse")
        #expect(
            self.error { () throws(KeyFileError) in _ = try swapped.unlock(passphrase: passphrase) }
                == .wrongPassphraseOrAltered(path: self.path))
    }

    @Test func `that seals other keys than it names does not open`() throws {
        let file = try self.create(label: nil)
        let text = try String(decoding: bytes(of: self.path), as: UTF8.self)
        let clear = try #require(text.range(of: "sealed: ").map { String(text[..<$0.lowerBound]) })
        let passphrase = try Self.secret("correct horse")
        let contents: [([UInt8], KeyFileError.Fault)] = [
            ([UInt8](repeating: 1, count: 64), .otherKeys), ([UInt8](repeating: 0, count: 64), .otherKeys),
            ([UInt8](repeating: 0xff, count: 64), .otherKeys), ([UInt8](repeating: 1, count: 63), .wrongSecretByteCount(63)),
        ]
        for (content, fault) in contents {
            let sealed = try SealedSecret(
                sealing: SecretBytes(count: content.count) { $0.copyBytes(from: content) }, passphrase: passphrase,
                associatedData: Array(clear.utf8), cost: .init(passes: 1, memoryKibibytes: 8))
            try put(Array("\(clear)sealed: \(Hex.encode(sealed.bytes))\n".utf8), at: self.path)
            let forged = try KeyFile(readingFrom: self.path)
            #expect(forged.header == file.header)
            #expect(
                self.error { () throws(KeyFileError) in _ = try forged.unlock(passphrase: passphrase) } == .damaged(path: self.path, fault))
        }
    }

    @Test(
        arguments: [
            "", " a", "a ", "a\nb", "a\u{0}", "\u{202e}a", String(repeating: "a", count: 65), "a\r", " \u{301}a", "\u{3000}a", "a\u{a0}",
            // Accents, the emoji variation selector, a skin tone, an Indic vowel sign, an enclosing circle, half-width sound marks.
            "\u{301}a", "\u{fe0f}", "\u{1f3fd}", "\u{93f}a", "\u{20dd}", "\u{ff9e}a",
        ])
    func `has no label that cannot be shown on one line, or that would join the space before it`(_ label: String) throws {
        #expect(throws: KeyFileError.invalidLabel) { try self.create(label: label) }
        #expect(try self.folder.names.isEmpty)
    }

    @Test(arguments: ["e\u{301}", "कि", "👍🏽", "❤️", "^ me", "ﾊﾟ", "a\u{301} b", "한", "\u{1112}\u{1161}\u{11ab}", "🇺🇦", "\u{212a}"])
    func `of any label that is taken opens again, with the same label`(_ label: String) throws {
        try self.create(label: label)
        let file = try KeyFile(readingFrom: self.path)
        #expect(file.header.label.map { Array($0.utf8) } == Array(label.utf8))
        _ = try file.unlock(passphrase: Self.secret("correct horse"))
    }

    /// Those that begin with an accent or a modifier were written once, and nothing could read them.
    @Test(arguments: ["\u{301}a", "\u{fe0f}", "\u{1f3fd}", "\u{93f}a", " \u{301}a", " a", "\u{3000}a"])
    func `that was made with a label that is not taken any more opens all the same`(_ label: String) throws {
        try self.create(label: "x")
        let text = try String(decoding: bytes(of: self.path), as: UTF8.self)
        let before = try #require(text.range(of: "label: x").map { String(text[..<$0.lowerBound]) })
        let clear = Array(before.utf8) + Array("label: \(label)\n".utf8)
        let secret = try Sample.secretKey("Ada").encoded().withUnsafeBytes { Array($0) } + Array(1...32)
        let passphrase = try Self.secret("correct horse")
        let sealed = try SealedSecret(
            sealing: SecretBytes(count: 64) { $0.copyBytes(from: secret) }, passphrase: passphrase, associatedData: clear,
            cost: .init(passes: 1, memoryKibibytes: 8))
        try put(clear + Array("sealed: \(Hex.encode(sealed.bytes))\n".utf8), at: self.path)
        let file = try KeyFile(readingFrom: self.path)
        #expect(file.header.label.map { Array($0.utf8) } == Array(label.utf8))
        #expect(try file.unlock(passphrase: passphrase).key.publicKey == Sample.signer("Ada"))
    }

    @Test func `in no folder, or of another kind, is a typed error`() throws {
        #expect(self.readError() == .file(.notFound(path: self.path)))
        try put([0xff, 0xfe], at: self.path)
        #expect(self.readError() == .damaged(path: self.path, .notText))
        try put([], at: self.path)
        #expect(self.readError() == .damaged(path: self.path, .otherKindOrVersion))
    }
}
