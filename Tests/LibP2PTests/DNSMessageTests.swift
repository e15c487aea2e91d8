import Testing

@testable import LibP2P

/// A message with every kind of record.
private func sample() throws -> DNSMessage {
    let service = DNSName(constant: "_p2p._udp.local")
    let instance = try #require(DNSName("abc", in: service))
    let host = DNSName(constant: "abc.p2p.local")
    return DNSMessage(
        id: 7, flags: 0x8400, questions: [DNSQuestion(name: service, type: .ptr)],
        answers: [
            DNSRecord(name: service, ttl: 120, data: .ptr(instance)),
            DNSRecord(
                name: instance, classCode: 0x8001, ttl: 0x0102_0304, data: .txt([Array("a=1".utf8), [], [UInt8](repeating: 9, count: 255)])),
        ],
        authorities: [DNSRecord(name: instance, ttl: 1, data: .srv(priority: 1, weight: 2, port: 4_001, target: host))],
        additionals: [
            DNSRecord(name: host, ttl: 0, data: .a(try #require(IPv4Address(text: "192.0.2.1")))),
            DNSRecord(name: host, ttl: .max, data: .aaaa(try #require(IPv6Address(text: "2001:db8::1")))),
            DNSRecord(name: host, classCode: 1, ttl: 5, data: .other(DNSType(rawValue: 47), [1, 2, 3])),
        ])
}

/// A message with this after a header that announces one answer.
private func answer(_ bytes: [UInt8]) -> [UInt8] { [0, 0, 0x84, 0, 0, 0, 0, 1, 0, 0, 0, 0] + bytes }

struct `A message of DNS` {
    @Test func `comes back as it went`() throws {
        let message = try sample()
        let bytes = message.bytes
        #expect(try DNSMessage(parsing: bytes) == message)
        // Bytes behind it are not looked at.
        #expect(try DNSMessage(parsing: bytes + [1, 2, 3]) == message)
    }

    @Test func `points to names that were written before`() throws {
        let service = DNSName(constant: "_p2p._udp.local")
        let record = DNSRecord(name: service, ttl: 120, data: .ptr(try #require(DNSName("abc", in: service))))
        let message = DNSMessage(flags: 0x8400, answers: [record, record])
        let name: [UInt8] = [4, 0x5f, 0x70, 0x32, 0x70, 4, 0x5f, 0x75, 0x64, 0x70, 5, 0x6c, 0x6f, 0x63, 0x61, 0x6c, 0]
        #expect(
            message.bytes == [0, 0, 0x84, 0, 0, 0, 0, 2, 0, 0, 0, 0] + name + [
                0, 12, 0, 1, 0, 0, 0, 120, 0, 6, 3, 0x61, 0x62, 0x63, 0xc0, 12,
            ]
                + [0xc0, 12, 0, 12, 0, 1, 0, 0, 0, 120, 0, 2, 0xc0, 39])
    }

    @Test func `is refused when it is cut anywhere, and read up to there when that is wanted`() throws {
        let message = try sample()
        let bytes = message.bytes
        for cut in 0..<bytes.count {
            #expect(throws: DNSError.truncated) { try DNSMessage(parsing: bytes[..<cut]) }
            guard let start = try? DNSMessage(parsingStartOf: bytes[..<cut]) else { continue }
            #expect(start.questions == message.questions && start.records.count < 6)
            #expect(message.records.starts(with: start.records))
        }
    }

    @Test(
        arguments: [
            // To itself; to the byte after; forward; to and fro; into the middle of its own label, which leads back to the pointer.
            [0xc0, 12], [0xc0, 13], [0xc0, 20], [1, 0x61, 0xc0, 12, 0xc0, 14], [3, 1, 0x61, 0x61, 0xc0, 13],
            // Beyond the end.
            [0xff, 0xff], [0xc0],
            // Kinds of parts that nobody uses.
            [0x40, 0], [0x80, 0],
        ] as [[UInt8]])
    func `with a pointer that does not lead backwards is refused`(name: [UInt8]) {
        #expect(throws: DNSError.self) { try DNSMessage(parsing: answer(name + [0, 1, 0, 1, 0, 0, 0, 0, 0, 0])) }
    }

    @Test func `with pointers to pointers is read, as long as the name is not too long`() throws {
        // One part of 63 bytes in the question, and records that each put another in front by pointing to the one before.
        let label = [63] + [UInt8](repeating: 0x61, count: 63)
        var bytes: [UInt8] = [0, 0, 0, 0, 0, 1, 0, 3, 0, 0, 0, 0] + label + [0, 0, 1, 0, 1]
        var previous = 12
        for _ in 0..<3 {
            let start = bytes.count
            bytes += label + [0xc0 | UInt8(previous >> 8), UInt8(previous & 255), 0, 1, 0, 1, 0, 0, 0, 0, 0, 0]
            previous = start
        }
        #expect(throws: DNSError.invalidName) { try DNSMessage(parsing: bytes) }
        bytes[7] = 2
        let names = try DNSMessage(parsing: bytes).answers.map(\.name.labels.count)
        #expect(names == [2, 3])
    }

    @Test func `with more than it may have is refused before anything is read`() {
        let header: [UInt8] = [0, 0, 0, 0]
        #expect(throws: DNSError.tooManyQuestions(maximum: 64)) { try DNSMessage(parsing: header + [0, 65, 0, 0, 0, 0, 0, 0]) }
        #expect(throws: DNSError.tooManyRecords(maximum: 512)) { try DNSMessage(parsing: header + [0, 0, 1, 0, 1, 0, 0, 1]) }
        #expect(throws: DNSError.tooManyRecords(maximum: 512)) {
            try DNSMessage(parsing: header + [0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff])
        }
        #expect(throws: DNSError.tooLong(byteCount: 9_001, maximum: 9_000)) { try DNSMessage(parsing: [UInt8](repeating: 0, count: 9_001)) }
        #expect((try? DNSMessage(parsing: [UInt8](repeating: 0, count: 9_000))) != nil)
    }

    @Test(
        arguments: [
            (1, [1, 2, 3]), (28, [1, 2, 3, 4]), (12, [0, 0]), (12, [1]), (12, []), (16, [2, 0x61]), (33, [0, 0, 0, 0, 0, 1]),
            (33, [0, 0, 0]),
        ] as [(UInt8, [UInt8])])
    func `keeps data that is none of its type as it is`(type: UInt8, data: [UInt8]) throws {
        let bytes = answer([0, 0, type, 0, 1, 0, 0, 0, 9, 0, UInt8(data.count)] + data + [0, 0, 0, 0])
        let record = try #require(try DNSMessage(parsing: bytes).answers.first)
        #expect(record.data == .other(DNSType(rawValue: UInt16(type)), data))
    }

    @Test(arguments: UInt64(0)..<500) func `is read or refused, with any bytes changed`(seed: UInt64) throws {
        var random = SeededRandom(seed: seed)
        var bytes = try sample().bytes
        for _ in 0..<Int.random(in: 1...12, using: &random) {
            bytes[Int.random(in: 0..<bytes.count, using: &random)] = UInt8.random(in: 0...255, using: &random)
        }
        guard let message = try? DNSMessage(parsing: bytes) else { return }
        // What was read can be written and is read again as the same.
        #expect(try DNSMessage(parsing: message.bytes) == message)
    }
}

struct `A name of DNS` {
    @Test func `is the same in upper and lower case, with a dot behind it or not`() throws {
        #expect(DNSName(text: "_P2P._udp.LOCAL.") == DNSName(text: "_p2p._udp.local"))
        #expect(DNSName(constant: "a.b").bytes == [1, 0x61, 1, 0x62, 0])
        #expect(DNSName(labels: [Array("a.b".utf8), [0xff]])?.description == "a\\.b.\\255")
    }

    @Test func `has exactly one part in front of its parent`() throws {
        let parent = DNSName(constant: "_p2p._udp.local")
        #expect(DNSName(constant: "x._p2p._udp.local").isChild(of: parent))
        #expect(!parent.isChild(of: parent))
        #expect(!DNSName(constant: "y.x._p2p._udp.local").isChild(of: parent))
        #expect(!DNSName(constant: "_udp.local").isChild(of: parent))
    }

    @Test func `has at most 255 bytes and parts of at most 63`() {
        let part = String(repeating: "a", count: 63)
        #expect(DNSName(text: part) != nil)
        #expect(DNSName(text: part + "a") == nil)
        // Three of 64 bytes, one of 62 and the end.
        #expect(DNSName(text: [part, part, part, String(part.dropLast(2))].joined(separator: "."))?.bytes.count == 255)
        #expect(DNSName(text: [part, part, part, String(part.dropLast())].joined(separator: ".")) == nil)
        #expect(DNSName(text: "") == nil)
        #expect(DNSName(text: "a..b") == nil)
    }
}
