import Bitcoin
import CryptoPrimitives

/// What a file seems to hold that is not what a command takes: people mix up the files of one payment.
enum FileContent: Equatable {
    case psbt
    case psbtInHex
    case transaction
    case keyFile
    case journal
    /// One or more keys in hex, as a signers' file has them.
    case publicKeys
    /// 64 hex digits.
    case txid
    case text
    /// Nothing that is known here.
    case unknown

    init(of bytes: [UInt8]) {
        let digits = bytes.filter { !Self.isWhiteSpace($0) }
        if bytes.starts(with: Self.psbtMagic) || digits.starts(with: Self.psbtMagicInBase64) {
            self = .psbt
        } else if bytes.starts(with: Self.keyFileBeginning) {
            self = .keyFile
        } else if bytes.starts(with: Self.journalBeginning) {
            self = .journal
        } else if (try? Transaction(parsing: bytes)) != nil {
            self = .transaction
        } else if let text = String(validating: bytes, as: UTF8.self), !bytes.contains(0) {
            self.init(ofText: text, digits: String(decoding: digits, as: UTF8.self))
        } else {
            self = .unknown
        }
    }

    private init(ofText text: String, digits: String) {
        if Self.holdsPublicKeys(text) {
            self = .publicKeys
        } else if let decoded = try? Hex.decode(digits) {
            if decoded.starts(with: Self.psbtMagic) {
                self = .psbtInHex
            } else if decoded.count == 32 {
                self = .txid
            } else {
                self = (try? Transaction(parsing: decoded)) == nil ? .text : .transaction
            }
        } else {
            self = .text
        }
    }

    /// Whether the first line that says anything is a public key.
    private static func holdsPublicKeys(_ text: String) -> Bool {
        let lines = text.split { $0.isNewline }.lazy.map { line in line.prefix { $0 != "#" }.split { $0.isWhitespace } }
        guard let words = lines.first(where: { !$0.isEmpty }), words.count == 1 else { return false }
        return (try? Parsing.publicKey(String(words[0]))) != nil
    }

    private static func isWhiteSpace(_ byte: UInt8) -> Bool { byte == 0x20 || (0x09...0x0d).contains(byte) }

    private static let psbtMagic = Array("psbt".utf8)
    private static let psbtMagicInBase64 = Array("cHNidP".utf8)
    private static let keyFileBeginning = Array("chorale-key ".utf8)
    private static let journalBeginning = Array("CHORJNL".utf8)
}

extension FileContent {
    /// What it seems to be, and which command takes that, for a file of this name; `nil` where nothing can be said.
    func advice(for name: String) -> String? {
        switch self {
        case .psbt:
            "it is a PSBT: chorale psbt show \(name) shows it, and chorale psbt extract takes the transaction out once it is final"
        case .psbtInHex: "it seems to be a PSBT in hex; give it in binary or Base64 (xxd -r -p turns hex into binary)"
        case .transaction: "it seems to be a finished transaction: chorale tx show \(name) shows it"
        case .keyFile: "it is a key file: chorale key show \(name) shows its public part"
        case .journal: "it is a signer's journal, which chorale cosign keeps beside the key file; leave it where it is"
        case .publicKeys: "it seems to be a list of public keys, for --signers: chorale multisig address --signers \(name)"
        case .txid: "it seems to be the name of a transaction (txid), and nothing is looked up here; give the data itself"
        case .text: "it seems to be some other text"
        case .unknown: nil
        }
    }
}
