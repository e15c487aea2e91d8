/// A message of DNS (RFC 1035, section 4), as asking for TXT records and multicast DNS need it.
package struct DNSMessage: Equatable, Sendable {
    /// Most bytes of a message that is read (RFC 6762, section 17).
    package static let byteCountMax = 9_000
    /// Most questions and most records of a message that are read. 512 records have 5 KiB at the least; no host has as many.
    package static let questionCountMax = 64
    package static let recordCountMax = 512
    package static let headerByteCount = 12

    package var id: UInt16
    /// The second word of the header: whether it is a response, which kind, and how it ended.
    package var flags: UInt16
    package var questions: [DNSQuestion]
    package var answers: [DNSRecord]
    package var authorities: [DNSRecord]
    package var additionals: [DNSRecord]

    package init(
        id: UInt16 = 0, flags: UInt16 = 0, questions: [DNSQuestion] = [], answers: [DNSRecord] = [], authorities: [DNSRecord] = [],
        additionals: [DNSRecord] = []
    ) {
        self.id = id
        self.flags = flags
        self.questions = questions
        self.answers = answers
        self.authorities = authorities
        self.additionals = additionals
    }

    package static let responseFlag: UInt16 = 0x8000
    package static let authoritativeFlag: UInt16 = 0x0400
    package static let truncatedFlag: UInt16 = 0x0200
    package static let recursionDesiredFlag: UInt16 = 0x0100
    /// What is asked for: 0, a standard query.
    private static let opcodeMask: UInt16 = 0x7800
    private static let errorMask: UInt16 = 0x000f

    package var isResponse: Bool { self.flags & Self.responseFlag != 0 }
    package var isTruncated: Bool { self.flags & Self.truncatedFlag != 0 }
    /// Of the one kind that everybody uses, and without an error.
    package var isPlain: Bool { self.flags & (Self.opcodeMask | Self.errorMask) == 0 }

    package var records: [DNSRecord] { self.answers + self.authorities + self.additionals }
}

package struct DNSQuestion: Hashable, Sendable {
    package let name: DNSName
    package let type: DNSType
    /// With multicast DNS the first bit asks for an answer to the asker alone (RFC 6762, section 5.4).
    package let classCode: UInt16

    package init(name: DNSName, type: DNSType, classCode: UInt16 = DNSRecord.internet) {
        self.name = name
        self.type = type
        self.classCode = classCode
    }

    /// Whether records of the internet's class answer it.
    package var isForInternet: Bool { [DNSRecord.internet, 255].contains(self.classCode & ~DNSRecord.cacheFlushFlag) }

    package func asks(for type: DNSType) -> Bool { self.isForInternet && (self.type == type || self.type == .any) }
}

/// The type of a record, or of what is asked for.
package struct DNSType: RawRepresentable, Hashable, Sendable {
    package let rawValue: UInt16

    package init(rawValue: UInt16) { self.rawValue = rawValue }

    package static let a = DNSType(rawValue: 1)
    package static let ptr = DNSType(rawValue: 12)
    package static let txt = DNSType(rawValue: 16)
    package static let aaaa = DNSType(rawValue: 28)
    package static let srv = DNSType(rawValue: 33)
    package static let opt = DNSType(rawValue: 41)
    package static let any = DNSType(rawValue: 255)
}

package struct DNSRecord: Hashable, Sendable {
    package enum Data: Hashable, Sendable {
        case a(IPv4Address)
        case aaaa(IPv6Address)
        case ptr(DNSName)
        /// The texts, of at most 255 bytes each.
        case txt([[UInt8]])
        case srv(priority: UInt16, weight: UInt16, port: UInt16, target: DNSName)
        /// Any other type, and data that is none of its type.
        case other(DNSType, [UInt8])
    }

    package static let internet: UInt16 = 1
    /// The first bit of a class, with multicast DNS: what was known of this name and type is no longer so (RFC 6762, section 10.2).
    package static let cacheFlushFlag: UInt16 = 0x8000

    package let name: DNSName
    package let classCode: UInt16
    /// How long it holds, in seconds.
    package let ttl: UInt32
    package let data: Data

    package init(name: DNSName, classCode: UInt16 = DNSRecord.internet, ttl: UInt32, data: Data) {
        self.name = name
        self.classCode = classCode
        self.ttl = ttl
        self.data = data
    }

    package var isOfInternet: Bool { self.classCode & ~Self.cacheFlushFlag == Self.internet }
    package var flushesCache: Bool { self.classCode & Self.cacheFlushFlag != 0 }

    package var type: DNSType {
        switch self.data {
        case .a: .a
        case .aaaa: .aaaa
        case .ptr: .ptr
        case .txt: .txt
        case .srv: .srv
        case .other(let type, _): type
        }
    }
}

// MARK: - Writing

extension DNSMessage {
    /// The message as it travels. Names that were written before are pointed to (RFC 1035, section 4.1.4), except the targets of SRV
    /// records, which plain DNS wants whole (RFC 6762, section 18.14).
    package var bytes: [UInt8] {
        var writer = DNSWriter()
        writer.append(self.id)
        writer.append(self.flags)
        for count in [self.questions.count, self.answers.count, self.authorities.count, self.additionals.count] {
            writer.append(UInt16(count))
        }
        for question in self.questions {
            writer.append(question.name)
            writer.append(question.type.rawValue)
            writer.append(question.classCode)
        }
        for record in self.records { writer.append(record) }
        return writer.bytes
    }
}

private struct DNSWriter {
    /// A pointer has 14 bits.
    private static let offsetMax = 0x3fff
    private(set) var bytes: [UInt8] = []
    private var offsets: [ArraySlice<UInt8>: Int] = [:]

    mutating func append(_ word: UInt16) { self.bytes += [UInt8(word >> 8), UInt8(word & 255)] }

    mutating func append(_ name: DNSName) {
        var rest = name.bytes[...]
        while let length = rest.first, length > 0 {
            if let offset = self.offsets[rest] { return self.append(0xc000 | UInt16(offset)) }
            if self.bytes.count <= Self.offsetMax { self.offsets[rest] = self.bytes.count }
            self.bytes += rest.prefix(Int(length) + 1)
            rest = rest.dropFirst(Int(length) + 1)
        }
        self.bytes.append(0)
    }

    mutating func append(_ record: DNSRecord) {
        self.append(record.name)
        self.append(record.type.rawValue)
        self.append(record.classCode)
        self.append(UInt16(record.ttl >> 16))
        self.append(UInt16(record.ttl & 0xffff))
        let start = self.bytes.count
        self.append(UInt16(0))
        switch record.data {
        case .a(let address): self.bytes += address.bytes
        case .aaaa(let address): self.bytes += address.bytes
        case .ptr(let name): self.append(name)
        case .txt(let texts):
            // A record without any text has one that is empty (RFC 6763, section 6.1).
            for text in texts.isEmpty ? [[]] : texts { self.bytes += [UInt8(text.count)] + text }
        case .srv(let priority, let weight, let port, let target):
            for word in [priority, weight, port] { self.append(word) }
            self.bytes += target.bytes
        case .other(_, let data): self.bytes += data
        }
        let count = UInt16(self.bytes.count - start - 2)
        self.bytes[start] = UInt8(count >> 8)
        self.bytes[start + 1] = UInt8(count & 255)
    }
}
