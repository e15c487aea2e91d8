/// As much of DNS (RFC 1035) as a question for TXT records and its answer need.
enum DNSMessage {
    /// Most bytes of an answer that we say to take (RFC 6891, section 6.2.5), and that are read.
    static let byteCountMax = 4_096
    /// Most texts that are taken from one answer.
    static let textCountMax = 64
    /// Most bytes of a name, and of one part of it (RFC 1035, section 2.3.4).
    private static let nameByteCountMax = 253
    private static let labelByteCountMax = 63

    private static let txt: UInt16 = 16
    private static let opt: UInt16 = 41
    private static let internet: UInt16 = 1

    /// A question for the TXT records of a name; `nil` if it is none that DNS can ask for.
    static func question(_ name: String, id: UInt16) -> [UInt8]? {
        guard let encoded = Self.encoded(name) else { return nil }
        // Recursion desired, one question, one additional record: how much we take.
        var message = Self.words(id, 0x0100, 1, 0, 0, 1)
        message += encoded + Self.words(Self.txt, Self.internet)
        message += [0] + Self.words(Self.opt, UInt16(Self.byteCountMax), 0, 0, 0)
        return message
    }

    private static func encoded(_ name: String) -> [UInt8]? {
        let text = name.hasSuffix(".") ? name.dropLast() : name[...]
        guard !text.isEmpty, text.utf8.count <= Self.nameByteCountMax else { return nil }
        var encoded: [UInt8] = []
        for label in text.utf8.split(separator: 0x2e, omittingEmptySubsequences: false) {
            guard (1...Self.labelByteCountMax).contains(label.count) else { return nil }
            encoded.append(UInt8(label.count))
            encoded += label
        }
        return encoded + [0]
    }

    private static func words(_ words: UInt16...) -> [UInt8] { words.flatMap { [UInt8($0 >> 8), UInt8($0 & 255)] } }

    /// The texts in an answer to that question; `nil` if the bytes are no answer to it.
    ///
    /// What the records are called is not looked at: between name and texts there may be aliases, and the server was asked for this
    /// name. A cut answer gives what is whole in it.
    static func texts(in answer: [UInt8], to name: String, id: UInt16) -> [String]? {
        guard answer.count <= Self.byteCountMax, let asked = Self.encoded(name) else { return nil }
        var reader = Reader(bytes: answer)
        guard reader.word() == id, let flags = reader.word(), flags & 0x8000 != 0, reader.word() == 1, let count = reader.word(),
            reader.skip(4), let echoed = reader.take(asked.count), echoed.map(Self.lowercased) == asked.map(Self.lowercased),
            reader.word() == Self.txt, reader.word() == Self.internet
        else { return nil }
        var texts: [String] = []
        for _ in 0..<count where texts.count < Self.textCountMax {
            guard reader.skipName(), let type = reader.word(), reader.word() != nil, reader.skip(4), let length = reader.word(),
                let data = reader.take(Int(length))
            else { break }
            if type == Self.txt, let text = Self.text(data) { texts.append(text) }
        }
        return texts
    }

    private static func lowercased(_ byte: UInt8) -> UInt8 { (0x41...0x5a).contains(byte) ? byte | 0x20 : byte }

    /// A record's pieces, each with its length before it, joined.
    private static func text(_ data: ArraySlice<UInt8>) -> String? {
        var (rest, bytes) = (data, [UInt8]())
        while let count = rest.popFirst() {
            guard rest.count >= Int(count) else { return nil }
            bytes += rest.prefix(Int(count))
            rest = rest.dropFirst(Int(count))
        }
        return String(validating: bytes, as: UTF8.self)
    }

    private struct Reader {
        let bytes: [UInt8]
        var offset = 0

        mutating func take(_ count: Int) -> ArraySlice<UInt8>? {
            guard count <= self.bytes.count - self.offset else { return nil }
            defer { self.offset += count }
            return self.bytes[self.offset..<self.offset + count]
        }

        mutating func skip(_ count: Int) -> Bool { self.take(count) != nil }

        mutating func word() -> UInt16? { self.take(2)?.reduce(0) { $0 << 8 | UInt16($1) } }

        /// A name ends with an empty part or with a pointer to the rest, which is not followed.
        mutating func skipName() -> Bool {
            while let length = self.take(1)?.first {
                switch length {
                case 0: return true
                case 0xc0...: return self.skip(1)
                case 1...63: guard self.skip(Int(length)) else { return false }
                default: return false
                }
            }
            return false
        }
    }
}
