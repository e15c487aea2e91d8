/// An address of IP version 4.
public struct IPv4Address: Hashable, Sendable, CustomStringConvertible {
    /// Four bytes, in network order.
    public let bytes: [UInt8]

    /// `nil` unless there are exactly 4 bytes.
    public init?(_ bytes: some Collection<UInt8>) {
        guard bytes.count == 4 else { return nil }
        self.bytes = Array(bytes)
    }

    /// Reads four decimal numbers. A zero in front is refused: some read it as octal.
    public init?(text: some StringProtocol) {
        let parts = text.split(separator: ".", maxSplits: 4, omittingEmptySubsequences: false)
        guard parts.count == 4 else { return nil }
        var bytes: [UInt8] = []
        for part in parts {
            guard let byte = Decimal.parse(part, as: UInt8.self) else { return nil }
            bytes.append(byte)
        }
        self.bytes = bytes
    }

    public var description: String { self.bytes.map(String.init).joined(separator: ".") }
}

/// An address of IP version 6.
public struct IPv6Address: Hashable, Sendable, CustomStringConvertible {
    /// Sixteen bytes, in network order.
    public let bytes: [UInt8]

    /// `nil` unless there are exactly 16 bytes.
    public init?(_ bytes: some Collection<UInt8>) {
        guard bytes.count == 16 else { return nil }
        self.bytes = Array(bytes)
    }

    /// The IPv4 address that this one stands for, if it is one (RFC 4291, section 2.5.5.2).
    var mappedIPv4: IPv4Address? {
        guard self.bytes[..<10].allSatisfy({ $0 == 0 }), self.bytes[10] == 0xff, self.bytes[11] == 0xff else { return nil }
        return IPv4Address(self.bytes[12...])
    }

    /// Reads any of the text forms of RFC 4291, section 2.2. A zone does not belong to it.
    public init?(text: some StringProtocol) {
        // The longest form has six groups of four digits and an IPv4 address.
        guard text.utf8.count <= 45 else { return nil }
        let halves = Self.halves(of: String(text))
        guard let front = Self.groups(in: halves.front, mayEndInIPv4: halves.back == nil) else { return nil }
        guard let backText = halves.back else {
            guard front.count == 8 else { return nil }
            self.init(groups: front)
            return
        }
        // `::` stands for at least one group of zeros.
        guard let back = Self.groups(in: backText, mayEndInIPv4: true), front.count + back.count <= 7 else { return nil }
        self.init(groups: front + [UInt16](repeating: 0, count: 8 - front.count - back.count) + back)
    }

    private init(groups: [UInt16]) { self.bytes = groups.flatMap { [UInt8($0 >> 8), UInt8($0 & 255)] } }

    /// What stands before and after the first `::`; a second one makes an empty group, which is no number.
    private static func halves(of text: String) -> (front: Substring, back: Substring?) {
        let bytes = Array(text.utf8)
        guard let colon = bytes.indices.dropLast().first(where: { bytes[$0] == 0x3a && bytes[$0 + 1] == 0x3a }) else {
            return (text[...], nil)
        }
        let start = text.utf8.index(text.startIndex, offsetBy: colon)
        return (text[..<start], text[text.utf8.index(start, offsetBy: 2)...])
    }

    private static func groups(in text: Substring, mayEndInIPv4: Bool) -> [UInt16]? {
        if text.isEmpty { return [] }
        let parts = text.split(separator: ":", omittingEmptySubsequences: false)
        var groups: [UInt16] = []
        for (index, part) in parts.enumerated() {
            if mayEndInIPv4, index == parts.count - 1, let address = IPv4Address(text: part) {
                let bytes = address.bytes.map { UInt16($0) }
                groups += [bytes[0] << 8 | bytes[1], bytes[2] << 8 | bytes[3]]
            } else {
                guard (1...4).contains(part.utf8.count), part.utf8.allSatisfy(Self.isHexDigit), let group = UInt16(part, radix: 16) else {
                    return nil
                }
                groups.append(group)
            }
        }
        return groups
    }

    private static func isHexDigit(_ character: UInt8) -> Bool {
        switch character {
        case 0x30...0x39, 0x41...0x46, 0x61...0x66: true
        default: false
        }
    }

    /// The one recommended form (RFC 5952): lowercase, the longest run of two or more zero groups as `::`, IPv4 in its own form.
    public var description: String {
        let groups = stride(from: 0, to: 16, by: 2).map { UInt16(self.bytes[$0]) << 8 | UInt16(self.bytes[$0 + 1]) }
        if groups[..<5].allSatisfy({ $0 == 0 }), groups[5] == 0xffff {
            return "::ffff:" + self.bytes[12...].map { String($0) }.joined(separator: ".")
        }
        var longest = 0..<0
        var start = 0
        while start < groups.count {
            let end = groups[start...].firstIndex { $0 != 0 } ?? groups.count
            if end - start > longest.count { longest = start..<end }
            start = end + 1
        }
        guard longest.count >= 2 else { return Self.text(groups[...]) }
        return Self.text(groups[..<longest.lowerBound]) + "::" + Self.text(groups[longest.upperBound...])
    }

    private static func text(_ groups: ArraySlice<UInt16>) -> String {
        groups.map { String($0, radix: 16) }.joined(separator: ":")
    }
}

/// An address of either version.
public enum IPAddress: Hashable, Sendable, CustomStringConvertible {
    case ip4(IPv4Address)
    case ip6(IPv6Address)

    /// In network order: 4 or 16.
    public var bytes: [UInt8] {
        switch self {
        case .ip4(let address): address.bytes
        case .ip6(let address): address.bytes
        }
    }

    public var description: String {
        switch self {
        case .ip4(let address): address.description
        case .ip6(let address): address.description
        }
    }
}

/// Decimal numbers with exactly one text each.
enum Decimal {
    static func parse<Number: FixedWidthInteger & UnsignedInteger>(_ text: some StringProtocol, as type: Number.Type) -> Number? {
        guard text.utf8.allSatisfy({ (0x30...0x39).contains($0) }), text.utf8.count == 1 || text.utf8.first != 0x30 else { return nil }
        return Number(text)
    }
}
