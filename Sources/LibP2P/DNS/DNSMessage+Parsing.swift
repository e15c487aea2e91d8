/// Why bytes are no message of DNS.
package enum DNSError: Error, Equatable, Sendable {
    case tooLong(byteCount: Int, maximum: Int)
    /// The bytes end before the message does.
    case truncated
    /// A part of a name is longer than 63 bytes or of no known kind, the name is too long, or a pointer does not lead backwards.
    case invalidName
    case tooManyQuestions(maximum: Int)
    case tooManyRecords(maximum: Int)
}

extension DNSMessage {
    /// Reads a whole message. Bytes behind its last record are not looked at.
    package init(parsing bytes: some Collection<UInt8>) throws(DNSError) {
        let (message, error) = try Self.read(bytes)
        if let error { throw error }
        self = message
    }

    /// Reads a message as far as it is whole: header and questions must be, and then come the records before the first that is not.
    package init(parsingStartOf bytes: some Collection<UInt8>) throws(DNSError) { self = try Self.read(bytes).message }

    private static func read(_ bytes: some Collection<UInt8>) throws(DNSError) -> (message: DNSMessage, DNSError?) {
        guard bytes.count <= Self.byteCountMax else { throw .tooLong(byteCount: bytes.count, maximum: Self.byteCountMax) }
        var reader = DNSReader(bytes: Array(bytes))
        var message = DNSMessage(id: try reader.word(), flags: try reader.word())
        let questionCount = Int(try reader.word())
        let recordCounts = [Int(try reader.word()), Int(try reader.word()), Int(try reader.word())]
        guard questionCount <= Self.questionCountMax else { throw .tooManyQuestions(maximum: Self.questionCountMax) }
        guard recordCounts.reduce(0, +) <= Self.recordCountMax else { throw .tooManyRecords(maximum: Self.recordCountMax) }
        for _ in 0..<questionCount { message.questions.append(try reader.question()) }
        do throws(DNSError) {
            for _ in 0..<recordCounts[0] { message.answers.append(try reader.record()) }
            for _ in 0..<recordCounts[1] { message.authorities.append(try reader.record()) }
            for _ in 0..<recordCounts[2] { message.additionals.append(try reader.record()) }
        } catch {
            return (message, error)
        }
        return (message, nil)
    }
}

private struct DNSReader {
    let bytes: [UInt8]
    var offset = 0

    mutating func take(_ count: Int) throws(DNSError) -> ArraySlice<UInt8> {
        guard count <= self.bytes.count - self.offset else { throw .truncated }
        defer { self.offset += count }
        return self.bytes[self.offset..<self.offset + count]
    }

    mutating func byte() throws(DNSError) -> UInt8 { try self.take(1).reduce(0) { $1 | $0 } }

    mutating func word() throws(DNSError) -> UInt16 { try self.take(2).reduce(0) { $0 << 8 | UInt16($1) } }

    /// Each pointer must lead to before the bytes that led to it, so every jump goes further back and none can come around again.
    mutating func name() throws(DNSError) -> DNSName {
        var labels: [ArraySlice<UInt8>] = []
        var byteCount = 1
        var (start, end) = (self.offset, Int?.none)
        while true {
            let length = try self.byte()
            switch length {
            case 0:
                if let end { self.offset = end }
                guard let name = DNSName(labels: labels) else { throw .invalidName }
                return name
            case 1...63:
                byteCount += Int(length) + 1
                guard byteCount <= DNSName.byteCountMax else { throw .invalidName }
                labels.append(try self.take(Int(length)))
            case 0xc0...:
                let target = Int(length & 0x3f) << 8 | Int(try self.byte())
                guard target < start, target >= DNSMessage.headerByteCount else { throw .invalidName }
                end = end ?? self.offset
                (start, self.offset) = (target, target)
            default: throw .invalidName
            }
        }
    }

    mutating func question() throws(DNSError) -> DNSQuestion {
        DNSQuestion(name: try self.name(), type: DNSType(rawValue: try self.word()), classCode: try self.word())
    }

    mutating func record() throws(DNSError) -> DNSRecord {
        let name = try self.name()
        let type = DNSType(rawValue: try self.word())
        let classCode = try self.word()
        let ttl = UInt32(try self.word()) << 16 | UInt32(try self.word())
        let count = Int(try self.word())
        let start = self.offset
        let bytes = try self.take(count)
        let data = self.data(of: type, from: start) ?? .other(type, Array(bytes))
        return DNSRecord(name: name, classCode: classCode, ttl: ttl, data: data)
    }

    /// The data up to here, if it is of its type. A name in it may point to before it.
    private func data(of type: DNSType, from start: Int) -> DNSRecord.Data? {
        let bytes = self.bytes[start..<self.offset]
        var reader = DNSReader(bytes: self.bytes, offset: start)
        let data: DNSRecord.Data?
        switch type {
        case .a: return IPv4Address(bytes).map { .a($0) }
        case .aaaa: return IPv6Address(bytes).map { .aaaa($0) }
        case .txt: return Self.texts(in: bytes).map { .txt($0) }
        case .ptr: data = (try? reader.name()).map { .ptr($0) }
        case .srv: data = try? reader.service()
        default: return nil
        }
        return reader.offset == self.offset ? data : nil
    }

    private mutating func service() throws(DNSError) -> DNSRecord.Data {
        .srv(priority: try self.word(), weight: try self.word(), port: try self.word(), target: try self.name())
    }

    private static func texts(in bytes: ArraySlice<UInt8>) -> [[UInt8]]? {
        var (rest, texts) = (bytes, [[UInt8]]())
        while let count = rest.popFirst() {
            guard rest.count >= Int(count) else { return nil }
            texts.append(Array(rest.prefix(Int(count))))
            rest = rest.dropFirst(Int(count))
        }
        return texts
    }
}
