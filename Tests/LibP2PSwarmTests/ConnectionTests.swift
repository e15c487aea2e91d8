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
}
