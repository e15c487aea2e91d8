/// Why bytes are no JSON value, and where.
struct JSONError: Error, Equatable, Sendable, CustomStringConvertible {
    /// Bytes before the place.
    let offset: Int
    let reason: String

    var description: String { "this is no JSON: \(self.reason) at byte \(self.offset)" }
}

extension JSONValue {
    /// Reads one JSON value (RFC 8259), and nothing but white space around it. A name may stand once in an object.
    init(parsing bytes: [UInt8]) throws(JSONError) {
        var parser = JSONParser(bytes: bytes)
        self = try parser.document()
    }
}

/// Reads the bytes of one JSON value, from the front to the end.
private struct JSONParser {
    /// How deep values may lie in one another. The commands that are read here need three levels.
    static let depthMax = 32

    let bytes: [UInt8]
    var offset = 0

    mutating func document() throws(JSONError) -> JSONValue {
        let value = try self.value(depth: 0)
        self.skipSpace()
        guard self.offset == self.bytes.count else { throw self.error("there is more after the value") }
        return value
    }

    private func error(_ reason: String) -> JSONError { JSONError(offset: self.offset, reason: reason) }

    private var next: UInt8? { self.offset < self.bytes.count ? self.bytes[self.offset] : nil }

    private mutating func skipSpace() {
        while let byte = self.next, byte == 0x20 || byte == 0x09 || byte == 0x0a || byte == 0x0d { self.offset += 1 }
    }

    /// Steps over a byte if it is the next one.
    private mutating func take(_ character: Unicode.Scalar) -> Bool {
        guard self.next == UInt8(ascii: character) else { return false }
        self.offset += 1
        return true
    }

    private mutating func value(depth: Int) throws(JSONError) -> JSONValue {
        guard depth < Self.depthMax else { throw self.error("values lie too deep in one another") }
        self.skipSpace()
        guard let next = self.next else { throw self.error("the end comes where a value is due") }
        switch next {
        case UInt8(ascii: "{"): return try self.object(depth: depth)
        case UInt8(ascii: "["): return try self.array(depth: depth)
        case UInt8(ascii: "\""): return .string(try self.string())
        case UInt8(ascii: "t"): return try self.word("true", .bool(true))
        case UInt8(ascii: "f"): return try self.word("false", .bool(false))
        case UInt8(ascii: "n"): return try self.word("null", .null)
        case UInt8(ascii: "-"), UInt8(ascii: "0")...UInt8(ascii: "9"): return try self.number()
        default: throw self.error("no value begins so")
        }
    }

    private mutating func word(_ word: StaticString, _ value: JSONValue) throws(JSONError) -> JSONValue {
        let letters = word.withUTF8Buffer { Array($0) }
        guard self.bytes[self.offset...].starts(with: letters) else { throw self.error("no value begins so") }
        self.offset += letters.count
        return value
    }

    private mutating func object(depth: Int) throws(JSONError) -> JSONValue {
        self.offset += 1
        var members: [(name: String, value: JSONValue)] = []
        var names: Set<String> = []
        self.skipSpace()
        if self.take("}") { return .object(members) }
        repeat {
            self.skipSpace()
            guard self.next == UInt8(ascii: "\"") else { throw self.error("a name in quotes is missing") }
            let name = try self.string()
            guard names.insert(name).inserted else { throw self.error("a name stands twice in an object") }
            self.skipSpace()
            guard self.take(":") else { throw self.error("the colon after a name is missing") }
            members.append((name, try self.value(depth: depth + 1)))
            self.skipSpace()
        } while self.take(",")
        guard self.take("}") else { throw self.error("an object does not end") }
        return .object(members)
    }

    private mutating func array(depth: Int) throws(JSONError) -> JSONValue {
        self.offset += 1
        var values: [JSONValue] = []
        self.skipSpace()
        if self.take("]") { return .array(values) }
        repeat {
            values.append(try self.value(depth: depth + 1))
            self.skipSpace()
        } while self.take(",")
        guard self.take("]") else { throw self.error("an array does not end") }
        return .array(values)
    }
}

// MARK: - Numbers

extension JSONParser {
    private mutating func number() throws(JSONError) -> JSONValue {
        let start = self.offset
        _ = self.take("-")
        if !self.take("0") { try self.digits() }
        var isWhole = true
        if self.take(".") {
            isWhole = false
            try self.digits()
        }
        if self.take("e") || self.take("E") {
            isWhole = false
            if !self.take("+") { _ = self.take("-") }
            try self.digits()
        }
        let text = String(decoding: self.bytes[start..<self.offset], as: UTF8.self)
        if isWhole {
            if let value = Int(text) { return .integer(value) }
            if let value = UInt64(text) { return .unsigned(value) }
        }
        guard let value = Double(text), value.isFinite else { throw self.error("a number is too large") }
        return .number(value)
    }

    private mutating func digits() throws(JSONError) {
        let start = self.offset
        while let byte = self.next, (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) { self.offset += 1 }
        guard self.offset > start else { throw self.error("a digit is missing") }
    }
}

// MARK: - Strings

extension JSONParser {
    /// The text between quotes, of which the first is the next byte.
    private mutating func string() throws(JSONError) -> String {
        self.offset += 1
        var text: [UInt8] = []
        while let byte = self.next {
            self.offset += 1
            switch byte {
            case UInt8(ascii: "\""):
                guard let text = String(validating: text, as: UTF8.self) else { throw self.error("a string is no UTF-8") }
                return text
            case UInt8(ascii: "\\"): text += Array(String(try self.escaped()).utf8)
            case 0..<0x20: throw self.error("a string holds a control character")
            default: text.append(byte)
            }
        }
        throw self.error("a string does not end")
    }

    /// What stands for a backslash and what follows it.
    private mutating func escaped() throws(JSONError) -> Unicode.Scalar {
        guard let byte = self.next else { throw self.error("a string does not end") }
        self.offset += 1
        switch byte {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): return Unicode.Scalar(byte)
        case UInt8(ascii: "b"): return "\u{8}"
        case UInt8(ascii: "f"): return "\u{c}"
        case UInt8(ascii: "n"): return "\n"
        case UInt8(ascii: "r"): return "\r"
        case UInt8(ascii: "t"): return "\t"
        case UInt8(ascii: "u"): return try self.utf16()
        default: throw self.error("there is no such escape")
        }
    }

    /// The scalar of four hexadecimal digits, or of two such halves.
    private mutating func utf16() throws(JSONError) -> Unicode.Scalar {
        let first = try self.codeUnit()
        if let scalar = Unicode.Scalar(first) { return scalar }
        guard UTF16.isLeadSurrogate(first), self.take("\\"), self.take("u") else { throw self.error("half a character stands alone") }
        let second = try self.codeUnit()
        guard UTF16.isTrailSurrogate(second),
            let scalar = Unicode.Scalar(0x10000 + (UInt32(first) - 0xd800) << 10 + (UInt32(second) - 0xdc00))
        else { throw self.error("half a character stands alone") }
        return scalar
    }

    private mutating func codeUnit() throws(JSONError) -> UInt16 {
        let digits = self.bytes[self.offset...].prefix(4)
        // `UInt16` takes a sign before digits, too.
        guard digits.count == 4, digits.allSatisfy({ Character(Unicode.Scalar($0)).isHexDigit }),
            let unit = UInt16(String(decoding: digits, as: UTF8.self), radix: 16)
        else { throw self.error("four hexadecimal digits are missing") }
        self.offset += 4
        return unit
    }
}

// MARK: - Taking a value apart

extension JSONValue {
    /// The member of an object; `nil` where there is none.
    subscript(_ name: String) -> JSONValue? {
        guard case .object(let members) = self else { return nil }
        return members.first { $0.name == name }?.value
    }
}
