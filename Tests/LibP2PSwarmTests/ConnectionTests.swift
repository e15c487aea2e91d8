import CryptoPrimitives
import Testing

@testable import LibP2P

struct `A connection` {
    @Test(arguments: UInt64(0)..<20)
    func `is established, and carries an echo with half-close, however the pipe cuts its bytes`(seed: UInt64) throws {
        let (one, other) = (try KnownNode(1), try KnownNode(2))
        var pair = try ConnectionPair(expecting: other.id, seed: seed)
        pair.pieceByteCountMax = [1, 2, 7, 100, 70_000][Int(seed % 5)]
        pair.exchange()
        #expect(pair.dialer.takeEvents() == [.established(other.id, other.identity.publicKey)])
        #expect(pair.listener.takeEvents() == [.established(one.id, one.identity.publicKey)])

        let id = try pair.dialer.open(["/echo/1.0.0"], now: pair.now)
        pair.exchange()
        #expect(pair.dialer.takeEvents() == [.opened(id, protocolID: "/echo/1.0.0")])
        #expect(pair.listener.takeEvents() == [.inbound(id, protocolID: "/echo/1.0.0")])

        let text = [UInt8](0..<200)
        try pair.dialer.write(text, to: id)
        pair.dialer.closeWrite(id)
        pair.exchange()
        #expect(pair.listener.takeEvents() == [.readable(id)])
        #expect(pair.listener.readAll(id) == text)
        #expect(pair.listener.takeEvents() == [.ended(id)])
        try pair.listener.write(text, to: id)
        pair.listener.closeWrite(id)
        pair.exchange()
        #expect(pair.dialer.readAll(id) == text)
        #expect(pair.dialer.takeEvents() == [.readable(id), .ended(id), .finished(id)])
        #expect(pair.listener.takeEvents() == [.finished(id)])
        #expect(pair.dialer.streamCount == 0)
        #expect(pair.listener.heldByteCount == 0)
    }

    @Test func `opens a stream in one message when it knows what the peer speaks, and ends both directions of it`() throws {
        var pair = try ConnectionPair()
        pair.exchange()
        _ = (pair.dialer.takeEvents(), pair.listener.takeEvents())
        let id = try pair.dialer.open(["/echo/1.0.0"], isLazy: true, now: pair.now)
        #expect(pair.dialer.takeEvents() == [.opened(id, protocolID: "/echo/1.0.0")])
        try pair.dialer.write([1, 2], to: id)
        pair.dialer.closeWrite(id)
        let message = pair.dialer.takeOutput(now: pair.now)
        pair.listener.receive(message, now: pair.now) { $0 == "/echo/1.0.0" }
        #expect(pair.listener.takeEvents() == [.inbound(id, protocolID: "/echo/1.0.0"), .readable(id)])
        #expect(pair.listener.readAll(id) == [1, 2])
        try pair.listener.write([3], to: id)
        pair.listener.closeWrite(id)
        pair.exchange()
        // The agreement comes before the first byte, and is not shown to the reader.
        #expect(pair.dialer.readAll(id) == [3])
        #expect(pair.dialer.takeEvents() == [.readable(id), .ended(id), .finished(id)])
    }

    @Test func `waits with bytes on a stream until the peer has agreed on one of several protocols`() throws {
        var pair = try ConnectionPair()
        pair.exchange()
        let id = try pair.dialer.open(["/echo/2.0.0", "/echo/1.0.0"], isLazy: true, now: pair.now)
        #expect(throws: YamuxWriteError.noSuchStream(id)) { try pair.dialer.write([1], to: id) }
        pair.exchange()
        #expect(pair.dialer.takeEvents().last == .opened(id, protocolID: "/echo/1.0.0"))
        try pair.dialer.write([1], to: id)
        pair.exchange()
        #expect(pair.listener.readAll(id) == [1])
    }

    @Test func `writes a message of the channel where it is sent from, and none for nothing`() throws {
        var pair = try ConnectionPair()
        pair.exchange()
        var buffer = [UInt8](repeating: 0, count: 100)
        let nothing = try buffer.withUnsafeMutableBytes { try pair.dialer.channel?.send(into: $0) { _ in } }
        #expect(nothing == 0)
        let count = try buffer.withUnsafeMutableBytes { buffer in
            try pair.dialer.channel?.send(into: buffer) { output in
                while !output.isFull { output.append(UInt8(truncatingIfNeeded: output.byteCount)) }
            }
        }
        #expect(count == 100)
        #expect(try pair.listener.channel?.receive(buffer) == [UInt8](0..<82))
    }
}
