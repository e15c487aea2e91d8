/// What a file seems to be, told from its first bytes.
///
/// For messages to somebody who named the wrong file. Nothing is decided by it: commands go by what their decoders say.
enum FileKind: Equatable, Sendable, CaseIterable {
    case empty
    case psbt
    case transaction
    case keyFile
    case evidence
    case cloneAlarm
    case transcript
    case signers
    case journal

    /// Most bytes that are looked at, in bytes. Every kind shows itself in far fewer; the rest is for comments above a list of keys.
    static let headByteCountMax = 4_096

    /// What bytes seem to be; `nil` for none of these.
    ///
    /// - Parameter bytes: A whole file or its beginning.
    init?(_ bytes: some Sequence<UInt8>) {
        let head = Array(bytes.prefix(Self.headByteCountMax))
        guard let kind = Self.allCases.first(where: { $0.isSeen(in: head) }) else { return nil }
        self = kind
    }

    /// What the file of this name seems to be; `nil` where it cannot be read, or is none of these.
    init?(ofFile path: String) {
        guard let head = try? Files.head(of: path, byteCount: Self.headByteCountMax) else { return nil }
        self.init(head)
    }

    /// With its article: `a PSBT`.
    var name: String {
        switch self {
        case .empty: "an empty file"
        case .psbt: "a PSBT"
        case .transaction: "a transaction"
        case .keyFile: "a key file"
        case .evidence: "an evidence file"
        case .cloneAlarm: "a clone alarm"
        case .transcript: "the transcript of a request"
        case .signers: "a list of public keys"
        case .journal: "the journal of a signer's decisions"
        }
    }

    /// Which command takes it; `nil` for a file in which nothing is.
    private var command: String? {
        switch self {
        case .empty: nil
        case .journal: "chorale journal show"
        case .psbt: "chorale psbt show"
        case .transaction: "chorale tx show"
        case .keyFile: "chorale key show"
        case .evidence, .cloneAlarm, .transcript: "chorale audit verify"
        case .signers: "chorale multisig address --signers"
        }
    }

    /// Says that one file was given for another, what it seems to be and which command reads it.
    ///
    /// - Parameters:
    ///   - name: The file's name as messages show it.
    ///   - seen: What it seems to be.
    ///   - wanted: What the command reads.
    /// - Returns: `nil` where the file may well be what was wanted, or nothing is known of it: then the decoder's error says more.
    static func mistake(_ name: String, seen: FileKind?, wanted: FileKind) -> String? {
        guard let seen, seen != wanted else { return nil }
        if seen == .empty { return "\(name) is empty, and \(wanted.name) was expected: check the name, or get the file again" }
        let remedy = seen.command.map { "; to read it: \($0)" } ?? ""
        return "\(name) is not \(wanted.name): it seems to be \(seen.name)\(remedy)"
    }
}

// MARK: - Text

extension FileKind {
    /// Whether bytes are text for people, a letter perhaps, and not of any kind: more than the digits of hex or Base64.
    static func isProse(_ bytes: [UInt8]) -> Bool {
        guard self.init(bytes) == nil, !bytes.contains(0), String(validating: bytes, as: UTF8.self) != nil else { return false }
        return !bytes.allSatisfy { self.digit($0) != nil || self.isWhiteSpace($0) }
    }
}

// MARK: - Marks

extension FileKind {
    private func isSeen(in head: [UInt8]) -> Bool {
        switch self {
        case .empty: head.isEmpty
        case .psbt: head.starts(with: Array("psbt".utf8) + [0xff]) || Self.text(head).starts(with: "cHNidP".utf8)
        case .transaction: Self.isTransaction(head) || Self.isTransaction(Self.bytes(fromHex: Self.text(head)))
        case .keyFile: head.starts(with: "chorale-key ".utf8)
        case .evidence: head.starts(with: "chorale evidence ".utf8)
        case .cloneAlarm: head.starts(with: "chorale clone alarm ".utf8)
        case .transcript: head.starts(with: "chorale transcript ".utf8)
        case .signers: Self.firstEntry(head).map(Self.isPublicKey) ?? false
        case .journal: head.starts(with: "CHORJNL".utf8)
        }
    }

    /// Whether a transaction may begin so: a version from 1 to 3, then the marker of a witness or an input that begins with a txid.
    private static func isTransaction(_ head: [UInt8]) -> Bool {
        // The shortest transaction has 60 bytes.
        guard head.count >= 60, (1...3).contains(head[0]), head[1...3].allSatisfy({ $0 == 0 }) else { return false }
        return head[4] != 0 || head[5] == 1
    }

    /// The first word of the first line that holds one, as in a list with comments.
    private static func firstEntry(_ head: [UInt8]) -> ArraySlice<UInt8>? {
        for line in head.split(whereSeparator: { $0 == 0x0a || $0 == 0x0d }) {
            if let word = line.prefix(while: { $0 != UInt8(ascii: "#") }).split(whereSeparator: self.isWhiteSpace).first { return word }
        }
        return nil
    }

    private static func isPublicKey(_ word: ArraySlice<UInt8>) -> Bool {
        word.count == 66 && (word.starts(with: "02".utf8) || word.starts(with: "03".utf8)) && word.allSatisfy { self.digit($0) != nil }
    }

    /// Without white space, which breaks long lines.
    private static func text(_ head: [UInt8]) -> [UInt8] { head.filter { !self.isWhiteSpace($0) } }

    private static func isWhiteSpace(_ byte: UInt8) -> Bool { byte == 0x20 || (0x09...0x0d).contains(byte) }

    /// The bytes that a text of hex digits spells, a last odd digit left away; none where it is no such text.
    private static func bytes(fromHex text: [UInt8]) -> [UInt8] {
        let digits = text.compactMap(self.digit)
        guard digits.count == text.count else { return [] }
        return stride(from: 1, to: digits.count, by: 2).map { digits[$0 - 1] << 4 | digits[$0] }
    }

    private static func digit(_ byte: UInt8) -> UInt8? {
        switch byte {
        case UInt8(ascii: "0")...UInt8(ascii: "9"): byte - UInt8(ascii: "0")
        case UInt8(ascii: "a")...UInt8(ascii: "f"): byte - UInt8(ascii: "a") + 10
        case UInt8(ascii: "A")...UInt8(ascii: "F"): byte - UInt8(ascii: "A") + 10
        default: nil
        }
    }
}
