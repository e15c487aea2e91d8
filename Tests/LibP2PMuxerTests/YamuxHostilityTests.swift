import Testing

@testable import LibP2P

@Suite struct YamuxHostilityTests {
    /// What ends a session of a listener that has the peer's stream 1 and its own stream 2 open.
    static let violations: [(Frame, YamuxViolation)] = [
        (Frame(version: 1, type: 0), .unknownVersion(1)),
        (Frame(type: 4), .unknownFrameType(4)),
        (Frame(type: 255), .unknownFrameType(255)),
        (.data(0, [1]), .streamZero),
        (.window(0, 1, flags: Frame.syn), .streamZero),
        (.window(4, flags: Frame.syn), .wrongParity(stream(4))),
        (.window(2, flags: Frame.syn), .wrongParity(stream(2))),
        (.window(1, flags: Frame.syn), .duplicateOpen(stream(1))),
        (.data(3, [1]), .neverOpened(stream(3))),
        (.window(3, 1), .neverOpened(stream(3))),
        (.window(4, 1, flags: Frame.rst), .neverOpened(stream(4))),
        (Frame(type: 0, stream: 1, length: 262_145), .windowExceeded(stream(1), allowed: 262_144, announced: 262_145)),
        (Frame(type: 0, stream: 1, length: .max), .windowExceeded(stream(1), allowed: 262_144, announced: 4_294_967_295)),
        (
            Frame(type: 0, flags: Frame.syn, stream: 3, length: .max),
            .windowExceeded(stream(3), allowed: 262_144, announced: 4_294_967_295)
        ),
        (.window(1, .max), .windowOverflow(stream(1))),
        (.window(2, .max), .windowOverflow(stream(2))),
    ]

    private func listenerWithStreams() throws -> YamuxSession {
        var session = YamuxSession(.listener)
        session.receive(.window(1, flags: Frame.syn))
        session.accept(stream(1))
        _ = try session.open(now: .zero)
        _ = session.takeFrames()
        _ = session.takeEvents()
        return session
    }

    @Test(arguments: violations)
    func `a broken rule ends the session with a go-away`(_ frame: Frame, _ violation: YamuxViolation) throws {
        var session = try self.listenerWithStreams()
        try session.write([1, 2, 3], to: stream(1))
        session.receive(frame.bytes + Frame.data(1, [9]).bytes)
        #expect(session.takeEvents().last == .closed(.violation(violation)))
        #expect(session.closeReason == .violation(violation))
        #expect(session.counters.violations == 1)
        #expect(session.takeFrames() == [.goAway(1)])
        #expect(session.streamCount == 0 && session.bufferedByteCount == 0)
        #expect(!violation.description.isEmpty)
        // Nothing that still comes is looked at, and the user's calls do no harm.
        session.receive([UInt8](repeating: 0xff, count: 100))
        session.accept(stream(1))
        session.closeWrite(stream(1))
        session.reset(stream(1))
        session.sendPing()
        #expect(session.read(from: stream(1), now: .zero) == nil)
        #expect(session.takeEvents().isEmpty && !session.hasOutput && session.isConsistent)
    }

    @Test func `a stream that was announced to nobody cannot be spoken of`() throws {
        var session = YamuxSession(.dialer)
        _ = try session.open(now: .zero)
        session.receive(.window(1, flags: Frame.ack))
        #expect(session.closeReason == .violation(.neverOpened(stream(1))))
    }

    @Test func `more data than the window allows in sum is a broken rule`() throws {
        var session = try self.listenerWithStreams()
        for _ in 0..<4 { session.receive(.data(1, [UInt8](repeating: 0, count: 65_536))) }
        #expect(session.closeReason == nil)
        session.receive(.data(1, [0]))
        #expect(session.closeReason == .violation(.windowExceeded(stream(1), allowed: 0, announced: 1)))
    }

    @Test func `frames that cross our reset are thrown away`() throws {
        var session = try self.listenerWithStreams()
        session.reset(stream(1))
        session.receive(.data(1, [1, 2, 3]), .window(1, 5), .window(1, flags: Frame.fin), .window(1, flags: Frame.rst))
        #expect(session.closeReason == nil)
        #expect(session.counters.lateFrames == 4)
        #expect(session.counters.discardedByteCount == 3)
        #expect(session.takeEvents().isEmpty)
        // A window so wide never was.
        session.receive(Frame(type: 0, stream: 1, length: .max))
        #expect(session.closeReason == .violation(.windowExceeded(stream(1), allowed: 16_777_216, announced: 4_294_967_295)))
    }

    @Test func `a reset in the middle of a frame lets go of the rest of it`() throws {
        var session = try self.listenerWithStreams()
        let bytes = Frame.data(1, Array(0..<100)).bytes
        session.receive(Array(bytes.prefix(50)))
        session.reset(stream(1))
        session.receive(Array(bytes.dropFirst(50)) + Frame.ping(7, flags: Frame.syn).bytes)
        #expect(session.takeFrames() == [.ping(7, flags: Frame.ack), .window(1, flags: Frame.rst)])
        #expect(session.bufferedByteCount == 0)
    }

    @Test func `data after the end costs the stream`() throws {
        var session = try self.listenerWithStreams()
        session.receive(.data(1, [1], flags: Frame.fin), .data(1, [2]))
        #expect(session.takeEvents() == [.readable(stream(1)), .reset(stream(1), code: 0, by: .session(.dataAfterEnd))])
        #expect(session.counters.dataAfterEnd == 1)
        #expect(session.takeFrames() == [.window(1, flags: Frame.rst)])
        #expect(session.closeReason == nil && session.isConsistent)
    }

    @Test func `streams beyond the limits are turned away, and the others live`() throws {
        var session = YamuxSession(.listener)
        for number in 0..<300 { session.receive(.window(UInt32(2 * number + 1), flags: Frame.syn)) }
        #expect(session.takeEvents().count == 256)
        #expect(session.counters.refusedStreams == 44)
        #expect(session.takeFrames().count == 44)
        // What is sent on a stream that was turned away came in good faith.
        session.receive(.data(599, [1, 2]))
        #expect(session.closeReason == nil && session.isConsistent)

        var accepting = YamuxSession(.listener)
        for number in 0..<1_100 {
            accepting.receive(.window(UInt32(2 * number + 1), flags: Frame.syn))
            accepting.accept(stream(UInt32(2 * number + 1)))
        }
        #expect(accepting.streamCount == 1_024)
        #expect(accepting.counters.refusedStreams == 76)
    }

    @Test(arguments: [false, true])
    func `a hundred thousand opens end the session in bounded memory`(peerReads: Bool) {
        var session = YamuxSession(.listener)
        var opened = 0
        for number in 0..<100_000 where session.closeReason == nil {
            // Who reads is as fast as can be; who does not read is slow enough to be forgiven each single stream.
            let now: Duration = peerReads ? .zero : .seconds(number)
            session.receive(.data(UInt32(2 * number + 1), [1, 2, 3], flags: Frame.syn), now: now)
            if peerReads { _ = session.takeFrames() }
            opened = number
            #expect(session.streamCount <= 256 && session.resets.count <= 4_096)
        }
        #expect(session.closeReason == .violation(peerReads ? .openFlood : .answersNotRead))
        #expect(opened == 256 + 4_096)
        #expect(session.bufferedByteCount == 0)
    }

    @Test func `opening and resetting over and over ends the session`() {
        for frames in [[Frame.window(1, flags: Frame.syn), .window(1, flags: Frame.rst)], [.window(1, flags: Frame.syn | Frame.rst)]] {
            var session = YamuxSession(.listener)
            for _ in 0..<1_024 { for frame in frames { session.receive(frame, now: .milliseconds(1)) } }
            #expect(session.closeReason == nil && session.streamCount == 0 && session.isConsistent)
            for frame in frames { session.receive(frame, now: .milliseconds(2)) }
            #expect(session.closeReason == .violation(.resetFlood))
        }
    }

    @Test func `resets at an honest pace are forgiven`() {
        var session = YamuxSession(.listener)
        for number in 0..<10_000 {
            session.receive(
                .window(UInt32(2 * number + 1), flags: Frame.syn), .window(UInt32(2 * number + 1), flags: Frame.rst),
                now: .milliseconds(number * 10))
        }
        #expect(session.closeReason == nil)
        #expect(session.counters.peerResets == 10_000)
    }

    @Test func `streams reset here do not pile up while the peer does not read`() {
        var session = YamuxSession(.listener)
        for number in 0..<10_000 where session.closeReason == nil {
            session.receive(.window(UInt32(2 * number + 1), flags: Frame.syn))
            session.accept(stream(UInt32(2 * number + 1)))
            session.reset(stream(UInt32(2 * number + 1)))
            #expect(session.isConsistent)
        }
        #expect(session.closeReason == .violation(.answersNotRead))
    }

    @Test func `a flood of pings is answered as far as the answers are read`() {
        var session = YamuxSession(.listener)
        for value in 0..<10_000 { session.receive(.ping(UInt32(value), flags: Frame.syn)) }
        #expect(session.takeFrames() == (0..<32).map { .ping($0, flags: Frame.ack) })
        #expect(session.counters.unansweredPings == 10_000 - 32)
        session.receive(.ping(1, flags: Frame.syn))
        #expect(session.takeFrames() == [.ping(1, flags: Frame.ack)])
        #expect(session.closeReason == nil)
    }

    @Test func `single bytes do not cost a buffer each`() {
        var session = YamuxSession(.listener)
        session.receive(.window(1, flags: Frame.syn))
        let frame = Frame.data(1, [7]).bytes
        for _ in 0..<40_000 { session.receive(frame) }
        var chunks: [Int] = []
        while let chunk = session.read(from: stream(1), now: .zero) { chunks.append(chunk.count) }
        #expect(chunks == [16_384, 16_384, 7_232])
    }

    @Test func `a hoard of unread bytes costs the stream that would exceed the limit`() {
        var session = YamuxSession(.listener)
        session.limits.receiveBufferByteCountMax = 1_000_000
        let body = [UInt8](repeating: 1, count: 200_000)
        for number: UInt32 in [1, 3, 5, 7, 9, 11] { session.receive(.data(number, body, flags: Frame.syn)) }
        #expect(session.receivedByteCount == 1_000_000)
        #expect(session.counters.bufferOverflows == 1)
        #expect(!session.has(stream(11)) && session.has(stream(1)))
        #expect(session.takeEvents().last == .reset(stream(11), code: 0, by: .session(.bufferOverflow)))
        #expect(session.isConsistent && session.closeReason == nil)
    }

    @Test func `a session cut off at any byte holds what is whole`() {
        let bytes = Frame.window(1, flags: Frame.syn).bytes + Frame.data(1, [1, 2, 3, 4]).bytes + Frame.window(1, flags: Frame.fin).bytes
        for count in 0..<bytes.count {
            var session = YamuxSession(.listener)
            session.receive(Array(bytes.prefix(count)))
            #expect(session.streamCount == (count < 12 ? 0 : 1))
            #expect(session.receivedByteCount == min(4, max(0, count - 24)))
            session.connectionEnded()
            #expect(session.takeEvents().last == .closed(.connectionEnded))
        }
    }

    @Test(arguments: UInt64(0)..<300)
    func `garbage never traps and never grows`(seed: UInt64) throws {
        var random = SeededNumbers(seed: seed)
        var session = try self.listenerWithStreams()
        for _ in 0..<200 where session.closeReason == nil {
            var frame = Frame(type: UInt8(random.below(4)), flags: UInt16(random.below(16)), stream: UInt32(random.below(12)))
            frame.length = UInt32(random.below(40))
            if frame.type == 0 { frame.body = random.bytes(Int(frame.length)) }
            var bytes = frame.bytes
            if random.below(40) == 0 { bytes[random.below(bytes.count)] = UInt8(random.below(256)) }
            let cut = random.below(bytes.count)
            session.receive(Array(bytes[..<cut]))
            session.receive(Array(bytes[cut...]))
            if random.below(3) == 0 { session.accept(stream(UInt32(1 + 2 * random.below(6)))) }
            if random.below(9) == 0 { session.reset(stream(UInt32(1 + random.below(12)))) }
            if random.below(9) == 0 { session.closeWrite(stream(UInt32(1 + random.below(12)))) }
            if random.below(3) == 0 { _ = session.readAll(stream(UInt32(1 + random.below(12)))) }
            if random.below(5) == 0 { _ = session.takeFrames() }
            #expect(session.isConsistent)
        }
        var other = YamuxSession(.dialer)
        other.receive(random.bytes(5_000))
        #expect(other.bufferedByteCount <= 5_000)
    }
}
