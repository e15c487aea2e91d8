import Testing

@testable import LibP2P

@Suite struct YamuxStreamTests {
    @Test func `go's first frames are understood and answered`() throws {
        // What go-libp2p 0.32 says first as a listener: a ping, then two streams for identify and its like.
        let greeting = Array("\u{13}/multistream/1.0.0\n\u{0f}/ipfs/id/1.0.0\n".utf8)
        #expect(greeting.count == 36)
        var bytes: [UInt8] = [0, 2, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0]
        bytes += [0, 1, 0, 1, 0, 0, 0, 2, 0, 0, 0, 0]
        bytes += [0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 36] + greeting
        bytes += [0, 1, 0, 1, 0, 0, 0, 4, 0, 0, 0, 0]
        var session = YamuxSession(.dialer)
        session.receive(bytes)
        #expect(session.takeEvents() == [.opened(stream(2)), .readable(stream(2)), .opened(stream(4))])
        session.accept(stream(2))
        session.accept(stream(4))
        #expect(
            session.output(upTo: 65_519, now: .zero) == [
                0, 2, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0,
                0, 1, 0, 2, 0, 0, 0, 2, 0, 0, 0, 0,
                0, 1, 0, 2, 0, 0, 0, 4, 0, 0, 0, 0,
            ])
        #expect(session.readAll(stream(2)) == greeting)
        #expect(session.isConsistent)
    }

    @Test func `dialers open odd streams and listeners even ones`() throws {
        var dialer = YamuxSession(.dialer), listener = YamuxSession(.listener)
        #expect(try [dialer.open(now: .zero), dialer.open(now: .zero)] == [stream(1), stream(3)])
        #expect(try [listener.open(now: .zero), listener.open(now: .zero)] == [stream(2), stream(4)])
        #expect(stream(7).opener == .dialer && stream(8).opener == .listener && YamuxStreamID(0) == nil)
    }

    @Test func `a stream is announced at once as go does it, or with its first bytes`() throws {
        var session = YamuxSession(.dialer)
        let first = try session.open(now: .zero)
        let lazy = try session.open(announcing: .withFirstBytes, now: .zero)
        let empty = try session.open(announcing: .withFirstBytes, now: .zero)
        let dropped = try session.open(announcing: .withFirstBytes, now: .zero)
        try session.write([1, 2], to: first)
        #expect(session.takeFrames() == [.window(1, flags: Frame.syn), .data(1, [1, 2])])
        try session.write([3], to: lazy)
        session.closeWrite(empty)
        session.reset(dropped)
        #expect(session.takeFrames() == [.data(3, [3], flags: Frame.syn), .window(5, flags: Frame.syn | Frame.fin)])
        #expect(session.isConsistent)
    }

    @Test func `both directions close by themselves, and the stream is gone when all was read`() throws {
        var pair = SessionPair()
        let id = try pair.openStream()
        try pair.dialer.write([1, 2, 3], to: id)
        pair.dialer.closeWrite(id)
        #expect(throws: YamuxWriteError.closed(id)) { try pair.dialer.write([4], to: id) }
        pair.exchange()
        #expect(pair.listener.takeEvents() == [.readable(id)])
        #expect(pair.listener.hasPeerClosed(id))
        try pair.listener.write([9], to: id)
        pair.listener.closeWrite(id)
        pair.exchange()
        #expect(pair.dialer.readAll(id) == [9])
        #expect(pair.dialer.takeEvents() == [.readable(id), .ended(id), .finished(id)])
        #expect(!pair.dialer.has(id))
        #expect(pair.listener.readAll(id) == [1, 2, 3])
        #expect(pair.listener.takeEvents() == [.ended(id), .finished(id)])
        #expect(pair.listener.streamCount == 0 && pair.dialer.streamCount == 0)
        #expect(pair.listener.isConsistent && pair.dialer.isConsistent)
        #expect(throws: YamuxWriteError.noSuchStream(id)) { try pair.dialer.write([4], to: id) }
    }

    @Test func `the end follows the data in a frame of its own`() throws {
        var pair = SessionPair()
        let id = try pair.openStream()
        try pair.dialer.write([1], to: id)
        pair.dialer.closeWrite(id)
        #expect(pair.dialer.takeFrames() == [.data(1, [1]), .window(1, flags: Frame.fin)])
    }

    @Test func `an end in the frame of the last data comes after that data`() throws {
        var session = YamuxSession(.listener)
        session.receive(.data(1, [1, 2], flags: Frame.syn | Frame.fin), .data(3, [], flags: Frame.syn | Frame.fin))
        #expect(session.takeEvents() == [.opened(stream(1)), .readable(stream(1)), .opened(stream(3)), .ended(stream(3))])
        #expect(session.readAll(stream(1)) == [1, 2])
        #expect(session.takeEvents() == [.ended(stream(1))])
    }

    @Test func `a reset reaches the peer with its code and drops what waits`() throws {
        var pair = SessionPair()
        let id = try pair.openStream()
        try pair.dialer.write([UInt8](repeating: 1, count: 100), to: id)
        pair.exchange()
        try pair.listener.write([1], to: id)
        pair.listener.reset(id, code: 77)
        #expect(pair.listener.bufferedByteCount == 0)
        pair.exchange()
        #expect(pair.dialer.takeEvents() == [.reset(id, code: 77, by: .peer)])
        #expect(pair.dialer.streamCount == 0 && pair.listener.streamCount == 0)
        pair.dialer.reset(id)
        #expect(!pair.dialer.hasOutput)
    }

    @Test func `what came before an orderly end stays readable when a reset follows`() throws {
        var session = YamuxSession(.listener)
        session.receive(.data(1, [1, 2], flags: Frame.syn), .window(1, flags: Frame.fin))
        try session.write([5], to: stream(1))
        session.receive(.window(1, flags: Frame.rst))
        #expect(session.takeEvents() == [.opened(stream(1)), .readable(stream(1)), .peerStoppedReading(stream(1))])
        #expect(session.readAll(stream(1)) == [1, 2])
        #expect(session.takeEvents() == [.ended(stream(1)), .finished(stream(1))])
        #expect(session.isConsistent && session.bufferedByteCount == 0)
    }

    @Test func `a part of what waits can be read and the rest stays`() throws {
        var session = YamuxSession(.listener)
        session.receive(.data(1, Array(0..<10), flags: Frame.syn))
        #expect(session.read(from: stream(1), now: .zero) { _ in 4 } == 4)
        #expect(session.readableByteCount(of: stream(1)) == 6)
        #expect(session.read(from: stream(1), now: .zero) { $0.withUnsafeBytes { $0.first == 4 ? 1 : 0 } } == 1)
        #expect(session.read(from: stream(1), now: .zero) == Array(5..<10))
        #expect(session.read(from: stream(1), now: .zero) == nil)
        #expect(session.read(from: stream(1), now: .zero) { _ in 1 } == 0)
        #expect(session.isConsistent)
    }

    @Test func `a full send buffer refuses, and says when half of it is free`() throws {
        var pair = SessionPair()
        let id = try pair.openStream()
        let chunk = [UInt8](repeating: 1, count: 300_000)
        try pair.dialer.write(chunk, to: id)
        #expect(throws: YamuxWriteError.bufferFull(id)) { try pair.dialer.write([1], to: id) }
        #expect(try pair.dialer.write(chunk.span.bytes, to: id) == 0)
        pair.exchange()
        #expect(pair.dialer.takeEvents() == [.writable(id)])
        // The peer has taken one window; the rest waits for it.
        #expect(pair.dialer.unsentByteCount(of: id) == 300_000 - YamuxLimits.initialWindowByteCount)
        let room = YamuxLimits().sendBufferByteCountMax - pair.dialer.unsentByteCount(of: id)
        #expect(try pair.dialer.write(chunk.span.bytes, to: id) == room)
    }

    @Test func `the peer gets back what was read, and no more`() throws {
        var pair = SessionPair()
        let id = try pair.openStream()
        let window = YamuxLimits.initialWindowByteCount
        try pair.dialer.write([UInt8](repeating: 1, count: window), to: id)
        #expect(throws: YamuxWriteError.bufferFull(id)) { try pair.dialer.write([2], to: id) }
        pair.exchange()
        try pair.dialer.write([2], to: id)
        pair.exchange()
        #expect(pair.listener.readableByteCount(of: id) == window)
        #expect(pair.dialer.unsentByteCount(of: id) == 1)
        // Less than half of the window is not worth a frame.
        #expect(pair.listener.read(from: id, now: .zero) { _ in 16_384 } > 0)
        #expect(!pair.listener.hasOutput)
        var read = 16_384
        while read < window / 2 { read += pair.listener.read(from: id, now: .zero) { _ in 1 } }
        #expect(pair.listener.takeFrames().filter { $0.type == 1 } == [.window(1, UInt32(window / 2))])
    }

    @Test func `a reader that stands still holds up nobody else`() throws {
        var pair = SessionPair()
        let slow = try pair.openStream(), quick = try pair.openStream()
        let chunk = [UInt8](repeating: 1, count: 65_536)
        var received = 0
        for _ in 0..<200 {
            try? pair.dialer.write(chunk, to: slow)
            try? pair.dialer.write(chunk, to: quick)
            pair.exchange()
            received += pair.listener.readAll(quick).count
            pair.exchange()
        }
        #expect(received > 10_000_000)
        #expect(pair.listener.readableByteCount(of: slow) == YamuxLimits.initialWindowByteCount)
        #expect(pair.listener.isConsistent && pair.dialer.isConsistent)
        #expect(pair.dialer.closeReason == nil)
    }

    @Test func `streams take turns, and a lone one fills a Noise message`() throws {
        var pair = SessionPair()
        let ids = try (0..<3).map { _ in try pair.openStream() }
        for id in ids { try pair.dialer.write([UInt8](repeating: 1, count: 100_000), to: id) }
        let shared = Frame.all(in: pair.dialer.output(upTo: 65_519, now: .zero))
        #expect(shared.map(\.stream) == [1, 3, 5, 1])
        #expect(shared.prefix(3).allSatisfy { $0.length == 16_384 })
        pair.dialer.reset(ids[0])
        pair.dialer.reset(ids[1])
        // The resets' frames come first.
        #expect(Frame.all(in: pair.dialer.output(upTo: 24, now: .zero)).allSatisfy { $0.flags == Frame.rst })
        let lone = pair.dialer.output(upTo: 65_519, now: .zero)
        #expect(lone.count == 65_519 && Frame.all(in: lone).count == 1)
    }

    @Test func `a frame is not cut small only to fill up an output`() throws {
        var pair = SessionPair()
        let ids = try [pair.openStream(), pair.openStream()]
        for id in ids { try pair.dialer.write([UInt8](repeating: 1, count: 16_384), to: id) }
        #expect(Frame.all(in: pair.dialer.output(upTo: 16_384 + 12 + 12 + 500, now: .zero)).map(\.stream) == [1])
        #expect(Frame.all(in: pair.dialer.output(upTo: 20, now: .zero)).map(\.length) == [8])
        #expect(pair.dialer.output(upTo: 12, now: .zero).isEmpty)
        #expect(pair.dialer.takeFrames().map(\.length) == [16_376])
        #expect(pair.dialer.isConsistent)
    }

    @Test func `a ping comes back, and its time counts from when it left`() {
        var pair = SessionPair()
        pair.dialer.sendPing()
        pair.dialer.sendPing()
        pair.now = .seconds(5)
        pair.exchange(delay: .milliseconds(40))
        #expect(pair.dialer.takeEvents() == [.pingAnswered(roundTrip: .milliseconds(80))])
        #expect(pair.dialer.roundTrip == .milliseconds(80))
        #expect(pair.dialer.unansweredPing == nil)
        pair.dialer.sendPing()
        pair.exchange(delay: .milliseconds(20))
        #expect(pair.dialer.roundTrip == .milliseconds(60))
        // An answer to a ping that was answered is nobody's.
        pair.dialer.receive(.ping(0, flags: Frame.ack))
        #expect(pair.dialer.counters.unexpectedPongs == 1)
    }

    @Test func `a window that holds the sender back grows, within its limits`() throws {
        var limits = YamuxLimits()
        limits.receiveWindowByteCountMax = 4 * 1_048_576
        limits.windowGrowthByteCountMax = 6 * 1_048_576
        limits.sendBufferByteCountMax = 8 * 1_048_576
        var pair = SessionPair(limits: limits)
        let ids = try (0..<3).map { _ in try pair.openStream() }
        let chunk = [UInt8](repeating: 1, count: 65_536)
        for round in 0..<40 {
            // The first stream alone reaches its own limit; with the others, all reach the common one.
            let senders = round < 20 ? ids.prefix(1) : ids[...]
            for id in senders { while (try? pair.dialer.write(chunk, to: id)) != nil {} }
            pair.exchange(delay: .milliseconds(100))
            for id in senders { _ = pair.listener.readAll(id, now: pair.now) }
            pair.exchange(delay: .milliseconds(100))
            if round == 19 { #expect(pair.listener.streams.map(\.receiveWindow.size).max() == 4 * 1_048_576) }
        }
        #expect(pair.listener.windowGrowthByteCount == 6 * 1_048_576)
        #expect(pair.listener.streams.map(\.receiveWindow.size).max() == 4 * 1_048_576)
        #expect(pair.listener.isConsistent)
        pair.listener.reset(ids[0])
        #expect(pair.listener.isConsistent)
    }

    @Test func `a window does not grow for a reader that takes its time`() throws {
        var pair = SessionPair()
        let id = try pair.openStream()
        for _ in 0..<20 {
            while (try? pair.dialer.write([UInt8](repeating: 1, count: 65_536), to: id)) != nil {}
            pair.exchange(delay: .milliseconds(10))
            pair.now += .seconds(1)
            _ = pair.listener.readAll(id, now: pair.now)
        }
        #expect(pair.listener.roundTrip == .milliseconds(20))
        #expect(pair.listener.windowGrowthByteCount == 0)
    }

    @Test func `an idle session measures nothing and says nothing`() throws {
        var pair = SessionPair()
        _ = try pair.openStream()
        pair.now += .seconds(3_600)
        pair.exchange()
        #expect(!pair.dialer.hasOutput && !pair.listener.hasOutput)
        #expect(pair.dialer.roundTrip == nil)
        // 5,000 of them are kept by one node.
        #expect(MemoryLayout<YamuxSession>.size <= 640)
    }

    @Test func `no more streams are opened than the peer may leave unanswered`() throws {
        var pair = SessionPair()
        for _ in 0..<256 { _ = try pair.dialer.open(now: .zero) }
        #expect(throws: YamuxOpenError.tooManyUnacknowledged) { try pair.dialer.open(now: .zero) }
        pair.exchange()
        #expect(pair.listener.takeEvents().count == 256)
        pair.listener.accept(stream(3))
        pair.exchange()
        #expect(pair.dialer.takeEvents() == [.canOpen, .acknowledged(stream(3))])
        #expect(try pair.dialer.open(now: .zero) == stream(513))
        // Data without the flag shows as well that a stream was taken.
        pair.dialer.receive(.data(5, [1]))
        #expect(pair.dialer.takeEvents() == [.acknowledged(stream(5)), .readable(stream(5))])
        #expect(pair.dialer.isConsistent)
    }

    @Test func `numbers end before they wrap`() {
        var session = YamuxSession(.dialer)
        session.nextStreamNumber = UInt32.max - 2
        #expect(throws: Never.self) { try session.open(now: .zero) }
        #expect(throws: YamuxOpenError.streamIDsExhausted) { try session.open(now: .zero) }
    }

    @Test func `a session ends in order, by its peer or with its connection`() throws {
        var pair = SessionPair()
        let id = try pair.openStream()
        pair.dialer.close()
        #expect(pair.dialer.takeEvents() == [.closed(.endedHere(.normal))])
        #expect(throws: YamuxOpenError.sessionEnded(.endedHere(.normal))) { try pair.dialer.open(now: .zero) }
        pair.exchange()
        #expect(pair.listener.takeEvents() == [.wentAway])
        #expect(throws: YamuxOpenError.peerWentAway) { try pair.listener.open(now: .zero) }
        // What is open goes on until somebody ends it.
        #expect(pair.listener.has(id))
        pair.listener.connectionEnded()
        #expect(pair.listener.takeEvents() == [.closed(.connectionEnded)])
        #expect(!pair.listener.hasOutput && pair.listener.streamCount == 0)

        var other = YamuxSession(.dialer)
        other.receive(.goAway(2))
        #expect(other.takeEvents() == [.closed(.endedByPeer(.internalError))])
        #expect(!other.hasOutput)
    }

    @Test func `who stops accepting keeps what is open`() throws {
        var pair = SessionPair()
        let id = try pair.openStream()
        pair.listener.stopAccepting()
        let late = try pair.dialer.open(now: .zero)
        try pair.dialer.write([1], to: id)
        pair.exchange()
        #expect(pair.dialer.takeEvents() == [.reset(late, code: 0, by: .peer)])
        #expect(pair.listener.readAll(id) == [1])
    }
}
