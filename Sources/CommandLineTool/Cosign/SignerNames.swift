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
}
