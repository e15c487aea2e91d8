/// A name of DNS, in the form in which it travels: each part with its length before it, and an empty part at the end.
///
/// Upper and lower case are one (RFC 1035, section 2.3.3): letters of ASCII are kept in lower case.
package struct DNSName: Hashable, Sendable {
    /// Most bytes of that form, and of one part of it (RFC 1035, section 2.3.4).
    package static let byteCountMax = 255
    package static let labelByteCountMax = 63

    package let bytes: [UInt8]

    /// `nil` unless every part has 1 to 63 bytes and the whole has at most 255.
    package init?(labels: some Sequence<some Collection<UInt8>>) {
        var bytes: [UInt8] = []
        for label in labels {
            guard (1...Self.labelByteCountMax).contains(label.count), bytes.count + label.count + 2 <= Self.byteCountMax else { return nil }
            bytes.append(UInt8(label.count))
            bytes += label.lazy.map(Self.lowercased)
        }
        self.bytes = bytes + [0]
    }

    /// Reads parts with dots between them; one more dot at the end says the same.
    package init?(text: some StringProtocol) {
        let text = text.hasSuffix(".") ? text.dropLast() : text[...]
        guard !text.isEmpty else { return nil }
        self.init(labels: text.utf8.split(separator: 0x2e, omittingEmptySubsequences: false))
    }

    /// A name that the program knows.
    package init(constant text: StaticString) {
        guard let name = DNSName(text: text.description) else { preconditionFailure("\(text) is no name") }
        self = name
    }

    /// A name with one more part in front.
    package init?(_ label: String, in parent: DNSName) {
        self.init(labels: [ArraySlice(label.utf8)] + parent.labels)
    }

    package var labels: [ArraySlice<UInt8>] {
        var labels: [ArraySlice<UInt8>] = []
        var rest = self.bytes[...]
        while let length = rest.popFirst(), length > 0 {
            labels.append(rest.prefix(Int(length)))
            rest = rest.dropFirst(Int(length))
        }
        return labels
    }

    /// Whether the name has exactly one part more than the other, in front of it.
    package func isChild(of parent: DNSName) -> Bool {
        guard let length = self.bytes.first, length > 0 else { return false }
        return self.bytes.dropFirst(Int(length) + 1).elementsEqual(parent.bytes)
    }

    private static func lowercased(_ byte: UInt8) -> UInt8 { (0x41...0x5a).contains(byte) ? byte | 0x20 : byte }
}

extension DNSName: CustomStringConvertible {
    /// With dots between the parts; what is not visible ASCII as `\` and three decimal digits (RFC 1035, section 5.1).
    package var description: String {
        self.labels.map { label in
            label.reduce(into: "") { text, byte in
                switch byte {
                case 0x2e, 0x5c: text += "\\" + String(UnicodeScalar(byte))
                case 0x21...0x7e: text.unicodeScalars.append(UnicodeScalar(byte))
                default: text += "\\" + String(1_000 + Int(byte)).dropFirst()
                }
            }
        }.joined(separator: ".")
    }
}
