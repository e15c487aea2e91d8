import CryptoPrimitives
import Secp256k1

/// The list of a group's public keys: one key a line in hex, with blank lines and comments. A comment after a key is the signer's name.
struct SignersFile {
    /// The keys in the order of the file.
    let keys: [PublicKey]
    /// What stands after `#` beside a key, as it is written: show it through `printable`.
    let names: [PublicKey: String]
    private let path: String
    /// The line that each key stands on, from 1.
    private let lineNumbers: [Int]

    /// Longest file, in bytes: a thousand keys with long comments take a quarter of it.
    static let byteCountMax = 1 << 20

    init(readingFrom path: String) throws(CommandError) {
        let bytes = try Files.readInput(path, byteCountMax: Self.byteCountMax)
        let name = Files.shownName(path)
        guard let text = String(validating: bytes, as: UTF8.self) else {
            throw .failed("\(name) is not text: it should hold one public key in hex on each line")
        }
        var (keys, lineNumbers) = ([PublicKey](), [Int]())
        var named: [PublicKey: (name: String, line: Int)] = [:]
        let lines = text.split(omittingEmptySubsequences: false) { $0.isNewline }
        for (index, line) in lines.enumerated() {
            let words = line.prefix { !Self.beginsComment($0) }.split { $0.isWhitespace }
            guard let word = words.first else { continue }
            guard words.count == 1 else {
                throw .failed("\(name), line \(index + 1): one key a line, and here are \(words.count) words; put # before a comment")
            }
            let key: PublicKey
            do throws(InvalidText) { key = try Parsing.publicKey(String(word)) } catch {
                throw .failed("\(name), line \(index + 1): \"\(Self.shortened(word))\" is no public key: \(error.reason)")
            }
            keys.append(key)
            lineNumbers.append(index + 1)
            guard let called = Self.comment(in: line) else { continue }
            if let (other, line) = named[key], other != called {
                throw .failed(
                    "\(name), line \(index + 1): this key is called \"\(Self.shortened(other[...]))\" on line \(line): give it one name")
            }
            named[key] = (called, index + 1)
        }
        guard !keys.isEmpty else { throw .failed("\(name) holds no key: write one public key in hex on each line") }
        self.path = path
        self.keys = keys
        self.names = named.mapValues(\.name)
        self.lineNumbers = lineNumbers
    }

    /// Where a key of `keys` stands: `line 3 of signers.txt`.
    func place(of index: Int) -> String {
        guard self.lineNumbers.indices.contains(index) else { return Files.shownName(self.path) }
        return "line \(self.lineNumbers[index]) of \(Files.shownName(self.path))"
    }

    /// An accent behind the `#` makes one character of both.
    private static func beginsComment(_ character: Character) -> Bool { character.unicodeScalars.first == "#" }

    private static func comment(in line: Substring) -> String? {
        let words = line.drop { !Self.beginsComment($0) }.drop { Self.beginsComment($0) }.split { $0.isWhitespace }
        return words.isEmpty ? nil : words.joined(separator: " ")
    }

    private static func shortened(_ word: Substring) -> String {
        word.count <= 70 ? String(word).printable : "\(String(word.prefix(66)).printable)…"
    }
}
