import CryptoPrimitives
import SigningNode
import Testing

struct `What is said to mailboxes and by them` {
    static let requests: [MailboxRequest] = [
        .deposit(recipient: SHA256.hash([1]), expiry: .max, sealed: [UInt8](repeating: 7, count: 512)),
        .deposit(recipient: Bytes32(), expiry: 0, sealed: []),
        .fetch(after: .max, countMax: .max, byteCountMax: .max),
        .acknowledge([]), .acknowledge([0]), .acknowledge([1, 2, .max]), .notice,
    ]

    static let answers: [MailboxAnswer] =
        [
            .deposited(.max), .acknowledged, .messages([], more: false),
            .messages([.init(cursor: 1, sealed: [1, 2, 3]), .init(cursor: .max, sealed: [])], more: true),
        ] + MailboxRefusal.allCases.map { .refused($0) }

    @Test(arguments: Self.requests) func `a request comes back from its bytes`(_ request: MailboxRequest) throws {
        #expect(try MailboxRequest(parsing: request.serialized()) == request)
    }

    @Test(arguments: Self.answers) func `an answer comes back from its bytes`(_ answer: MailboxAnswer) throws {
        #expect(try MailboxAnswer(parsing: answer.serialized()) == answer)
    }

    @Test func `bytes cut short anywhere, and bytes behind, are refused`() throws {
        for request in Self.requests {
            let bytes = request.serialized()
            for count in bytes.indices {
                #expect(throws: MailboxFormatError.self) { try MailboxRequest(parsing: Array(bytes.prefix(count))) }
            }
            #expect(throws: MailboxFormatError.self) { try MailboxRequest(parsing: bytes + [0]) }
        }
        for answer in Self.answers {
            let bytes = answer.serialized()
            for count in bytes.indices {
                #expect(throws: MailboxFormatError.self) { try MailboxAnswer(parsing: Array(bytes.prefix(count))) }
            }
            #expect(throws: MailboxFormatError.self) { try MailboxAnswer(parsing: bytes + [0]) }
        }
    }

    @Test func `bytes changed anywhere are refused or mean what they say`() throws {
        // Each byte of each message, in turn, has each of some values.
        var taken = 0
        for bytes in Self.requests.map({ $0.serialized() }) + Self.answers.map({ $0.serialized() }) {
            for place in bytes.indices.prefix(64) {
                for value: UInt8 in [0, 1, 2, 0x7f, 0x80, 0xfc, 0xfd, 0xfe, 0xff] {
                    var changed = bytes
                    changed[place] = value
                    if let request = try? MailboxRequest(parsing: changed) {
                        #expect(request.serialized() == changed)
                        taken += 1
                    }
                    if let answer = try? MailboxAnswer(parsing: changed) {
                        #expect(answer.serialized() == changed)
                        taken += 1
                    }
                }
            }
        }
        #expect(taken > 1_000)
    }

    @Test func `other versions, kinds and reasons are not known`() {
        for bytes: [UInt8] in [[2, 3, 0], [0, 3, 0], [1, 0], [1, 5], [1, 255]] {
            #expect(throws: MailboxFormatError.unknownFormat) { try MailboxRequest(parsing: bytes) }
        }
        for bytes: [UInt8] in [[2, 3], [1, 0], [1, 5], [1, 4, 0], [1, 4, 11], [1, 2, 2, 0]] {
            #expect(throws: MailboxFormatError.unknownFormat) { try MailboxAnswer(parsing: bytes) }
        }
    }

    @Test func `huge counts are refused before anything is taken for them`() {
        let huge: [UInt8] = [255, 255, 255, 255, 255, 255, 255, 255, 255]
        #expect(throws: MailboxFormatError.self) { try MailboxRequest(parsing: [1, 3] + huge) }
        #expect(throws: MailboxFormatError.self) { try MailboxAnswer(parsing: [1, 2, 0] + huge) }
        let many = MailboxRequest.acknowledge(Array(0..<257)).serialized()
        #expect(throws: MailboxFormatError.malformed("257 cursors")) { try MailboxRequest(parsing: many) }
        let page = MailboxAnswer.messages((1...65).map { .init(cursor: $0, sealed: []) }, more: false).serialized()
        #expect(throws: MailboxFormatError.malformed("65 messages")) { try MailboxAnswer(parsing: page) }
        let long = [UInt8](repeating: 0, count: SealedMessage.sealedByteCountMax + 1)
        #expect(throws: MailboxFormatError.tooLarge(byteCount: long.count, limit: SealedMessage.sealedByteCountMax)) {
            try MailboxRequest(parsing: MailboxRequest.deposit(recipient: Bytes32(), expiry: 1, sealed: long).serialized())
        }
        let whole = [UInt8](repeating: 1, count: MailboxProtocol.requestByteCountMax + 1)
        #expect(throws: MailboxFormatError.tooLarge(byteCount: whole.count, limit: MailboxProtocol.requestByteCountMax)) {
            try MailboxRequest(parsing: whole)
        }
    }

    @Test func `cursors rise, and none comes twice`() {
        for cursors: [UInt64] in [[1, 1], [2, 1], [1, 3, 2]] {
            #expect(throws: MailboxFormatError.malformed("cursors out of order")) {
                try MailboxRequest(parsing: MailboxRequest.acknowledge(cursors).serialized())
            }
            let page = MailboxAnswer.messages(cursors.map { .init(cursor: $0, sealed: [1]) }, more: false)
            #expect(throws: MailboxFormatError.malformed("cursors out of order")) { try MailboxAnswer(parsing: page.serialized()) }
        }
    }

    @Test func `the largest of each fits in its frame`() throws {
        let deposit = MailboxRequest.deposit(
            recipient: Bytes32(), expiry: .max, sealed: [UInt8](repeating: 1, count: SealedMessage.sealedByteCountMax))
        #expect(try MailboxRequest(parsing: deposit.serialized()) == deposit)
        // Sixty-four messages of a page's bytes in all.
        let each = MailboxProtocol.pageByteCountMax / MailboxProtocol.pageCountMax
        let page = MailboxAnswer.messages(
            (1...UInt64(MailboxProtocol.pageCountMax)).map { .init(cursor: $0, sealed: [UInt8](repeating: 1, count: each)) }, more: true)
        #expect(page.serialized().count <= MailboxProtocol.answerByteCountMax)
        #expect(try MailboxAnswer(parsing: page.serialized()) == page)
    }
}
