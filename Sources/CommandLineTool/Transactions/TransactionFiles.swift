import Bitcoin
import CryptoPrimitives

/// Reads transactions and PSBTs in every form in which they are passed on.
enum TransactionFiles {
    /// Longest file that is read for a PSBT, in bytes: the longest PSBT in Base64, and as much white space as 76-column lines have.
    static let psbtFileByteCountMax = PSBT.byteCountMax / 3 * 4 + PSBT.byteCountMax / 32

    /// Longest file that is read for a transaction, in bytes: the longest transaction in hex, and some white space.
    static let transactionFileByteCountMax = Transaction.byteCountMax * 2 + 1_024

    /// A PSBT in binary or Base64.
    static func psbt(at path: String) throws(CommandError) -> PSBT {
        let bytes = try Files.readInput(path, byteCountMax: self.psbtFileByteCountMax)
        let name = Files.shownName(path)
        if bytes.isEmpty, let mistake = FileKind.mistake(name, seen: .empty, wanted: .psbt) { throw .failed(mistake) }
        do throws(PSBTError) {
            // Base64 text begins otherwise (cHNidP), and has ASCII characters alone.
            if bytes.starts(with: "psbt".utf8) || bytes.contains(where: { $0 >= 0x80 }) { return try PSBT(parsing: bytes) }
            return try PSBT(base64: self.text(bytes))
        } catch {
            throw .failed(self.mistake(name, bytes) ?? "\(name): \(error)")
        }
    }

    /// What was given in place of a PSBT; `nil` for a damaged one, where the decoder's error says more.
    private static func mistake(_ name: String, _ bytes: [UInt8]) -> String? {
        let kind = FileKind(bytes)
        if let mistake = FileKind.mistake(name, seen: kind, wanted: .psbt) { return mistake }
        guard kind == nil, String(validating: bytes, as: UTF8.self) != nil, !bytes.contains(0) else { return nil }
        if self.text(bytes).lowercased().hasPrefix("70736274ff") {
            return "\(name) is a PSBT in hex, and is read in binary or Base64 alone: xxd -r -p turns hex into binary"
        }
        // Every damaged beginning of the real mark is a text too.
        return self.text(bytes).hasPrefix("psbt") || bytes.count < 5
            ? nil : "\(name) is not a PSBT: it seems to be some text; a PSBT in Base64 begins with cHNidP"
    }

    /// A transaction in hex on the command line, or in hex or binary in a file or on standard input.
    static func transaction(_ argument: String) throws(CommandError) -> Transaction {
        if argument.utf8.count >= self.hexDigitCountMin, argument.utf8.allSatisfy(Self.isHexDigit) {
            return try self.transaction(Array(argument.utf8), from: "the transaction given")
        }
        let bytes = try self.transactionFile(argument)
        let name = Files.shownName(argument)
        if bytes.isEmpty, let mistake = FileKind.mistake(name, seen: .empty, wanted: .transaction) { throw .failed(mistake) }
        do throws(CommandError) { return try self.transaction(bytes, from: name) } catch {
            if let mistake = FileKind.mistake(name, seen: FileKind(bytes), wanted: .transaction) { throw .failed(mistake) }
            guard FileKind.isProse(bytes) else { throw error }
            throw .failed(
                "\(name) is not a transaction: it seems to be some text; a transaction is binary or hex, as chorale psbt extract gives it")
        }
    }

    private static func transactionFile(_ argument: String) throws(CommandError) -> [UInt8] {
        do throws(CommandError) { return try Files.readInput(argument, byteCountMax: self.transactionFileByteCountMax) } catch {
            // Also an empty word, of a variable that a script forgot to set.
            guard case .missing(let message) = error, argument.utf8.allSatisfy(Self.isHexDigit) else { throw error }
            throw .missing("\(message); if it is the transaction itself, it was cut short")
        }
    }

    /// Fewest digits that are taken for a transaction and not for a file's name: the shortest transaction has 60 bytes.
    private static let hexDigitCountMin = 120

    private static func transaction(_ bytes: [UInt8], from source: String) throws(CommandError) -> Transaction {
        var encoded = bytes
        if bytes.allSatisfy({ self.isHexDigit($0) || self.isWhiteSpace($0) }) {
            do throws(HexError) { encoded = try Hex.decode(self.text(bytes)) } catch {
                throw .failed("\(source): not a transaction: \(error)")
            }
        }
        do throws(TransactionError) { return try Transaction(parsing: encoded) } catch { throw .failed("\(source): \(error)") }
    }

    /// The bytes as text, without any white space: mail programs and `base64` break long lines.
    private static func text(_ bytes: [UInt8]) -> String {
        String(decoding: bytes.filter { !self.isWhiteSpace($0) }, as: UTF8.self)
    }

    private static func isWhiteSpace(_ byte: UInt8) -> Bool { byte == 0x20 || (0x09...0x0d).contains(byte) }

    private static func isHexDigit(_ byte: UInt8) -> Bool {
        switch byte {
        case 0x30...0x39, 0x41...0x46, 0x61...0x66: true
        default: false
        }
    }
}
