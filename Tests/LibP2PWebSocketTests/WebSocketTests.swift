import CryptoPrimitives
import Testing

@testable import LibP2P

/// Two ends with their handshake done.
private func openPair() throws -> (client: WebSocketPipe, server: WebSocketPipe) {
    var client = WebSocketPipe(dialling: "localhost:1", nonce: [UInt8](0..<16), maskSeed: 7)
    var server = WebSocketPipe()
    #expect(try server.take(client.takeOutput()) == [])
    #expect(try client.take(server.takeOutput()) == [])
    #expect(client.isOpen && server.isOpen)
    return (client, server)
}

extension WebSocketPipe {
    /// What these bytes carry.
    fileprivate mutating func take(_ bytes: [UInt8]) throws(WebSocketError) -> [UInt8] {
        var (bytes, carried, failure) = (bytes, [UInt8](), WebSocketError?.none)
        bytes.withUnsafeMutableBytes { buffer in
            do throws(WebSocketError) { try self.receive(buffer) { carried += $0 } } catch { failure = error }
        }
        if let failure { throw failure }
        return carried
    }

    fileprivate mutating func frame(_ bytes: [UInt8]) -> [UInt8] {
        var buffer = [UInt8](repeating: 0, count: WebSocketPipe.headerByteCountMax) + bytes
        let range = buffer.withUnsafeMutableBytes { self.frame(bytes.count, in: $0) }
        return Array(buffer[range])
    }
}

private func request(_ changes: (inout [String]) -> Void = { _ in }) -> [UInt8] {
    var lines = [
        "GET / HTTP/1.1", "Host: server.example.com", "Upgrade: websocket", "Connection: Upgrade",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", "Sec-WebSocket-Version: 13",
    ]
    changes(&lines)
    return Array((lines.joined(separator: "\r\n") + "\r\n\r\n").utf8)
}

struct `SHA-1` {
    /// FIPS 180-4's examples, and RFC 3174's.
    @Test(arguments: [
        ("", "da39a3ee5e6b4b0d3255bfef95601890afd80709"), ("abc", "a9993e364706816aba3e25717850c26c9cd0d89d"),
        ("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", "84983e441c3bd26ebaae4aa1f95129e5e54670f1"),
    ])
    func `gives the published digests`(text: String, digest: String) {
        #expect(Hex.encode(SHA1.hash(Array(text.utf8))) == digest)
    }

    @Test func `gives the digest of a million letters`() {
        #expect(Hex.encode(SHA1.hash([UInt8](repeating: 0x61, count: 1_000_000))) == "34aa973cd4c4daa4f61eeb2bdbad27316534016f")
    }
}

struct `A WebSocket's handshake` {
    @Test func `is the one of RFC 6455, section 1.3`() throws {
        var server = WebSocketPipe()
        #expect(try server.take(request()) == [])
        let answer = String(decoding: server.takeOutput(), as: UTF8.self)
        #expect(answer.hasPrefix("HTTP/1.1 101 "))
        #expect(answer.contains("\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"))
        #expect(server.isOpen)
    }

    @Test func `may come byte by byte, with the first frame right behind it`() throws {
        var client = WebSocketPipe(dialling: "localhost:1", nonce: [UInt8](0..<16), maskSeed: 7)
        var server = WebSocketPipe()
        let head = client.takeOutput()
        var other = client
        var carried: [UInt8] = []
        for byte in head + other.frame([1, 2, 3]) { carried += try server.take([byte]) }
        #expect(carried == [1, 2, 3])
        for byte in server.takeOutput() { _ = try client.take([byte]) }
        #expect(client.isOpen)
    }

    @Test(arguments: [
        (0, "POST / HTTP/1.1", WebSocketError.notAnUpgrade), (0, "GET / HTTP/1.0", .notAnUpgrade), (0, "GET  HTTP/1.1", .notAnUpgrade),
        (0, "\u{13}/multistream/1.0.0", .notAnUpgrade), (1, "X: y", .wrongHeader("Host")), (2, "Upgrade: h2c", .wrongHeader("Upgrade")),
        (3, "Connection: keep-alive", .wrongHeader("Connection")), (4, "X: y", .wrongHeader("Sec-WebSocket-Key")),
        (4, "Sec-WebSocket-Key: c2hvcnQ=", .wrongHeader("Sec-WebSocket-Key")),
        (4, "Sec-WebSocket-Key: ~~~~", .wrongHeader("Sec-WebSocket-Key")),
        (5, "Sec-WebSocket-Version: 12", .wrongHeader("Sec-WebSocket-Version")),
    ])
    func `refuses a wrong request`(line: Int, text: String, error: WebSocketError) {
        var server = WebSocketPipe()
        #expect(throws: error) { try server.take(request { $0[line] = text }) }
        #expect(!server.isOpen)
        #expect(String(decoding: server.takeOutput(), as: UTF8.self).hasPrefix("HTTP/1.1 400 "))
    }

    @Test func `refuses a key that is there twice`() {
        var server = WebSocketPipe()
        #expect(throws: WebSocketError.wrongHeader("Sec-WebSocket-Key")) { try server.take(request { $0.append($0[4]) }) }
    }

    @Test func `takes other headers and any letter case`() throws {
        var server = WebSocketPipe()
        let text = request {
            $0[2] = "uPGRADE: h2c, WebSocket"
            $0[3] = "CONNECTION:keep-alive , upgrade"
            $0 += ["Origin: http://example.com", "Cookie: a=b; c=d", "Sec-WebSocket-Extensions: permessage-deflate"]
        }
        #expect(try server.take(text) == [])
        #expect(!String(decoding: server.takeOutput(), as: UTF8.self).contains("Extensions"))
    }

    @Test func `that never ends holds no more than 8 KiB`() {
        var server = WebSocketPipe()
        var taken = 0
        #expect(throws: WebSocketError.headTooLong(maximum: 8_192)) {
            for _ in 0..<100_000 {
                _ = try server.take([0x41])
                taken += 1
            }
        }
        #expect(taken == 8_191)
        var other = WebSocketPipe()
        #expect(throws: WebSocketError.headTooLong(maximum: 8_192)) { try other.take([UInt8](repeating: 0x41, count: 1 << 20)) }
        #expect(other.heldByteCount <= 8_192)
    }

    @Test func `of a server that says something else is refused`() {
        let wrong: [(String, WebSocketError)] = [
            ("SSH-2.0-x\r\n\r\n", .notAnUpgrade), ("HTTP/1.1 404 Not Found\r\n\r\n", .refused(status: "404 Not Found")),
            ("HTTP/1.1 101 Yes\r\n\r\n", .wrongHeader("Upgrade")),
            (
                "HTTP/1.1 101 Yes\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: AAAA\r\n\r\n",
                .wrongHeader("Sec-WebSocket-Accept")
            ),
        ]
        for (answer, error) in wrong {
            var client = WebSocketPipe(dialling: "h", nonce: [UInt8](0..<16), maskSeed: 1)
            _ = client.takeOutput()
            #expect(throws: error) { try client.take(Array(answer.utf8)) }
        }
    }

    @Test func `refuses an extension that nobody asked for`() throws {
        var client = WebSocketPipe(dialling: "h", nonce: [UInt8](0..<16), maskSeed: 1)
        var server = WebSocketPipe()
        _ = try server.take(client.takeOutput())
        let answer = String(decoding: server.takeOutput().dropLast(2), as: UTF8.self) + "Sec-WebSocket-Extensions: x\r\n\r\n"
        #expect(throws: WebSocketError.unaskedExtension) { try client.take(Array(answer.utf8)) }
    }
}

struct `WebSocket frames` {
    @Test(arguments: [0, 1, 125, 126, 127, 65_535, 65_536, 300_000], [1, 3, 1_000, .max])
    func `carry bytes of any length both ways, however they are cut`(count: Int, piece: Int) throws {
        var (client, server) = try openPair()
        let bytes = (0..<count).map { UInt8(truncatingIfNeeded: $0 &* 7) }
        let there = client.frame(bytes)
        let back = server.frame(bytes)
        #expect(there.count == back.count + 4)
        var (arrived, returned) = ([UInt8](), [UInt8]())
        for start in stride(from: 0, to: there.count, by: min(piece, there.count)) {
            arrived += try server.take(Array(there[start..<min(there.count, start &+ min(piece, there.count))]))
        }
        for start in stride(from: 0, to: back.count, by: min(piece, back.count)) {
            returned += try client.take(Array(back[start..<min(back.count, start &+ min(piece, back.count))]))
        }
        #expect(arrived == bytes)
        #expect(returned == bytes)
        #expect(server.heldByteCount == 0 && client.heldByteCount == 0)
    }

    /// RFC 6455, section 5.7.
    @Test func `are those of the specification's examples`() throws {
        let header = try #require(try WebSocketFrameHeader.parse([0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d]))
        #expect(header.byteCount == 6)
        var text: [UInt8] = [0x7f, 0x9f, 0x4d, 0x51, 0x58]
        text.withUnsafeMutableBytes { WebSocketFrameHeader.apply(header.header.mask ?? 0, to: $0, offset: 0) }
        #expect(String(decoding: text, as: UTF8.self) == "Hello")
        #expect(WebSocketFrameHeader(isFinal: true, opcode: .binary, byteCount: 256, mask: nil).bytes == [0x82, 0x7e, 1, 0])
        #expect(
            WebSocketFrameHeader(isFinal: true, opcode: .binary, byteCount: 65_536, mask: nil).bytes
                == [0x82, 0x7f, 0, 0, 0, 0, 0, 1, 0, 0])
    }

    @Test func `in pieces make one message, with control frames between`() throws {
        var (client, _) = try openPair()
        #expect(try client.take([0x02, 2, 1, 2]) == [1, 2])
        #expect(try client.take([0x89, 1, 9]) == [])
        #expect(try client.take([0x00, 1, 3]) == [3])
        #expect(try client.take([0x80, 0]) == [])
        #expect(try client.take([0x82, 1, 4]) == [4])
        let pong = client.takeOutput()
        #expect(pong.prefix(2) == [0x8a, 0x81])
        #expect(pong.count == 7)
    }

    @Test(arguments: [
        ([0x83, 0], WebSocketError.unknownOpcode(3)), ([0x8b, 0], .unknownOpcode(11)), ([0xc2, 0], .reservedBitsSet),
        ([0x81, 0], .textFrame), ([0x82, 0x80, 0, 0, 0, 0], .wrongMasking), ([0x80, 0], .wrongFragment), ([0x09, 0], .wrongControlFrame),
        ([0x89, 126, 0, 200], .wrongControlFrame), ([0x88, 1, 3], .wrongControlFrame), ([0x82, 126, 0, 125], .wrongLength),
        ([0x82, 127, 0, 0, 0, 0, 0, 0, 0xff, 0xff], .wrongLength), ([0x82, 127, 0x80, 0, 0, 0, 0, 0, 0, 0], .wrongLength),
        ([0x82, 127, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff], .wrongLength),
        ([0x82, 127, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff], .messageTooLong(maximum: 16_777_216)),
        ([0x82, 127, 0, 0, 0, 0, 1, 0, 0, 1], .messageTooLong(maximum: 16_777_216)),
        ([0x02, 1, 0, 0x02, 1, 0], .wrongFragment),
        ([0x02, 1, 0, 0x80, 127, 0, 0, 0, 0, 1, 0, 0, 0], .messageTooLong(maximum: 16_777_216)),
    ])
    func `that break the rules end the pipe, with a close frame`(bytes: [UInt8], error: WebSocketError) throws {
        var (client, _) = try openPair()
        #expect(throws: error) { try client.take(bytes) }
        let goodbye = client.takeOutput()
        #expect(goodbye.prefix(2) == [0x88, 0x82])
        #expect(goodbye.count == 8)
        // Nothing is taken in any more.
        #expect(try client.take([0x82, 1, 4]) == [])
        #expect(!client.hasOutput)
        // The same, cut anywhere.
        var (slow, _) = try openPair()
        #expect(throws: error) { for byte in bytes { _ = try slow.take([byte]) } }
    }

    @Test func `without a mask are refused by a server`() throws {
        var (_, server) = try openPair()
        #expect(throws: WebSocketError.wrongMasking) { try server.take([0x82, 1, 4]) }
        #expect(server.takeOutput() == [0x88, 2, 0x03, 0xea])
    }

    @Test func `are held back while they are cut, at every byte`() throws {
        var (client, _) = try openPair()
        let whole = client.frame([UInt8](0..<200))
        for cut in 0..<whole.count {
            var (_, server) = try openPair()
            let carried = try server.take(Array(whole[..<cut]))
            #expect(carried == Array([UInt8](0..<200).prefix(max(0, cut - 8))))
            #expect(server.heldByteCount <= 14)
        }
    }

    @Test func `that flood with pings hold one answer`() throws {
        var (_, server) = try openPair()
        let ping: [UInt8] = [0x89, 0xfd, 0, 0, 0, 0] + [UInt8](repeating: 5, count: 125)
        for _ in 0..<10_000 { _ = try server.take(ping) }
        #expect(server.heldByteCount == 125)
        #expect(server.takeOutput() == [0x8a, 125] + [UInt8](repeating: 5, count: 125))
        #expect(!server.hasOutput)
    }

    @Test func `that say goodbye are answered in kind, once`() throws {
        var (client, server) = try openPair()
        client.close()
        client.close()
        #expect(try server.take(client.takeOutput()) == [])
        #expect(server.isEndedByPeer)
        let answer = server.takeOutput()
        #expect(answer == [0x88, 2, 0x03, 0xe8])
        #expect(try client.take(answer) == [])
        #expect(!server.hasOutput && !client.hasOutput)
    }

    @Test(arguments: UInt64(0)..<200) func `of random bytes never trap, and hold little`(seed: UInt64) throws {
        var random = SeededRandom(seed: seed)
        var (client, server) = try openPair()
        for _ in 0..<200 {
            var bytes = (0..<Int.random(in: 1...40, using: &random)).map { _ in UInt8.random(in: 0...255, using: &random) }
            // Most begin as a frame does.
            if seed.isMultiple(of: 2) { bytes = [[0x82, 0x02, 0x89, 0x80][Int(bytes[0] % 4)], bytes.count > 1 ? bytes[1] : 0] + bytes }
            _ = try? client.take(bytes)
            _ = try? server.take(bytes)
            #expect(client.heldByteCount < 600 && server.heldByteCount < 600)
        }
    }
}
