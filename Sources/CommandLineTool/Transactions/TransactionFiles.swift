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
        guard !bytes.isEmpty else { throw .failed("\(name) is empty, and a PSBT was expected") }
        do throws(PSBTError) {
            // Base64 text begins otherwise (cHNidP), and has ASCII characters alone.
            if bytes.starts(with: "psbt".utf8) || bytes.contains(where: { $0 >= 0x80 }) { return try PSBT(parsing: bytes) }
            return try PSBT(base64: self.text(bytes))
        } catch {
            let content = FileContent(of: bytes)
            // A damaged PSBT is still one, and where it is damaged helps more.
            guard content != .psbt, let advice = content.advice(for: path.printable) else { throw .failed("\(name): \(error)") }
            throw .failed("\(name): not a PSBT: \(advice)")
        }
    }

    /// A transaction in hex on the command line, or in hex or binary in a file or on standard input.
    static func transaction(_ argument: String) throws(CommandError) -> Transaction {
        if argument.utf8.count >= self.hexDigitCountMin, argument.utf8.allSatisfy(Self.isHexDigit) {
            return try self.transaction(Array(argument.utf8), from: "the transaction given")
        }
        let bytes = try Files.readInput(argument, byteCountMax: self.transactionFileByteCountMax)
        guard !bytes.isEmpty else { throw .failed("\(Files.shownName(argument)) is empty, and a transaction was expected") }
        do throws(CommandError) { return try self.transaction(bytes, from: Files.shownName(argument)) } catch {
            let content = FileContent(of: bytes)
            // Text may be hex with a slip in it, and where it breaks off helps more.
            guard content != .text, let advice = content.advice(for: argument.printable) else { throw error }
            throw .failed("\(Files.shownName(argument)): not a transaction: \(advice)")
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
