import CryptoPrimitives
import Secp256k1

/// What this person calls the signers. Names come from the own key file and the own list of signers, never from the exchange's folder:
/// there a stranger could call himself Alice.
struct SignerNames: Sendable {
    private var names: [PublicKey: String] = [:]

    /// Longest name that is shown, in characters: as long as a key file's label may be.
    private static let characterCountMax = 64
    /// Hex digits of a key beside a name, or alone in a line that must stay short. Two keys of one group share them by intent only.
    private static let shownDigitCount = 10

    /// - Parameters:
    ///   - label: what the own key file is called.
    ///   - file: the list that names the others; what it calls the own key gives way to the label.
    init(own signer: PublicKey? = nil, label: String? = nil, file: SignersFile? = nil) {
        for (key, name) in file?.names ?? [:] { self.names[key] = Self.shown(name) }
        if let signer, let label { self.names[signer] = Self.shown(label) }
    }

    /// - Parameter contacts: labels of the owner's own address book.
    init(own signer: PublicKey, label: String?, contacts: [PublicKey: String]) {
        self.init(own: signer, label: label)
        for (key, name) in contacts where key != signer { self.names[key] = Self.shown(name) }
    }

    private static func shown(_ name: String) -> String {
        let name = name.count > Self.characterCountMax ? "\(name.prefix(Self.characterCountMax - 1))…" : name
        return name.printable
    }

    /// The name alone, if there is one.
    subscript(key: PublicKey) -> String? { self.names[key] }

    /// `Alice (02ab12cd34…)`, or `02ab12cd34…`.
    func short(_ key: PublicKey) -> String { self.called(key, "\("\(key)".prefix(Self.shownDigitCount))…") }

    /// `Alice (02ab…)` with the whole key, or the whole key.
    func full(_ key: PublicKey) -> String { self.called(key, "\(key)") }

    private func called(_ key: PublicKey, _ digits: String) -> String { self.names[key].map { "\($0) (\(digits))" } ?? digits }

    /// A text in which signers are named by their keys, with what they are called here in place of them.
    func calling(_ text: String) -> String {
        var result = ""
        for piece in KeysInText(text).pieces { result += piece.key.map(self.short) ?? piece.text }
        return result
    }
}

/// A text, cut where public keys in hex stand in it.
struct KeysInText {
    let pieces: [(text: String, key: PublicKey?)]

    var keys: [PublicKey] { self.pieces.compactMap(\.key) }

    init(_ text: String) {
        var pieces: [(text: String, key: PublicKey?)] = []
        var rest = text[...]
        while let first = rest.first {
            let isDigit = first.isASCII && first.isHexDigit
            let run = rest.prefix { ($0.isASCII && $0.isHexDigit) == isDigit }
            let bytes = run.utf8.count == 2 * PublicKey.byteCount ? try? Hex.decode(String(run)) : nil
            pieces.append((String(run), bytes.flatMap { try? PublicKey(parsing: $0) }))
            rest = rest[run.endIndex...]
        }
        self.pieces = pieces
    }
}
