import CryptoPrimitives
import Testing

@testable import LibP2P

struct `A connection with a hostile other end` {
    /// What one side sends in a handshake that goes well; the dialer also opens a stream and writes to it.
    private func bytes(of role: ConnectionRole) throws -> [UInt8] {
        var pair = try ConnectionPair()
        var turns: [(from: ConnectionRole, bytes: [UInt8])] = []
        func carry(_ pair: inout ConnectionPair) {
            while pair.dialer.hasOutput || pair.listener.hasOutput {
                let there = pair.dialer.takeOutput(now: .zero)
                if !there.isEmpty { turns.append((.dialer, there)) }
                pair.listener.receive(there, now: .zero) { $0 == "/echo/1.0.0" }
                let back = pair.listener.takeOutput(now: .zero)
                if !back.isEmpty { turns.append((.listener, back)) }
                pair.dialer.receive(back, now: .zero) { _ in false }
            }
        }
        carry(&pair)
        if role == .dialer {
            let id = try pair.dialer.open(["/echo/1.0.0"], now: .zero)
            carry(&pair)
            try pair.dialer.write([1, 2, 3], to: id)
            carry(&pair)
        }
        return turns.filter { $0.from == role }.flatMap(\.bytes)
    }

    /// Gives one side the bytes of the other, as far as `change` lets them be, and what it says itself goes nowhere.
    private func replay(_ role: ConnectionRole, _ bytes: [UInt8]) throws -> (step: ConnectionStep, events: [ConnectionEvent], held: Int) {
        var connection = try KnownNode(role == .dialer ? 1 : 2).connection(role)
        _ = connection.takeOutput(now: .zero)
        connection.receive(bytes, now: .zero) { $0 == "/echo/1.0.0" }
        _ = connection.takeOutput(now: .zero)
        return (connection.step, connection.takeEvents(), connection.heldByteCount)
    }

    @Test(arguments: [ConnectionRole.dialer, .listener])
    func `waits, and then gives up, wherever the other side falls silent`(victim: ConnectionRole) throws {
        let bytes = try self.bytes(of: victim == .dialer ? .listener : .dialer)
        var steps: Set<ConnectionStep> = []
        for count in 0...bytes.count {
            var connection = try KnownNode(victim == .dialer ? 1 : 2).connection(victim)
            connection.receive(Array(bytes.prefix(count)), now: .seconds(1)) { $0 == "/echo/1.0.0" }
            #expect(connection.closeReason == nil, "after \(count) bytes")
            connection.tick(now: .seconds(9))
            #expect(connection.closeReason == nil)
            steps.insert(connection.step)
            let step = connection.step
            if step == .established {
                // An idle connection lives longer than a handshake; a silent peer is asked first.
                connection.tick(now: .seconds(31))
                #expect(connection.closeReason == nil)
                connection.tick(now: .seconds(52))
                #expect(connection.closeReason == .peerSilent)
            } else {
                #expect(connection.deadline == .seconds(10))
                connection.tick(now: .seconds(10))
                #expect(connection.closeReason == .timedOut(at: step))
                #expect(connection.takeEvents() == [.closed(.timedOut(at: step))])
                #expect(connection.hasOutput == false)
            }
            #expect(connection.deadline == nil)
            #expect(connection.heldByteCount < 9_000)
        }
        #expect(steps == [.negotiatingSecurity, .encrypting, .established])
    }

    @Test(arguments: [ConnectionRole.dialer, .listener])
    func `says at which step the pipe ended, wherever it does`(victim: ConnectionRole) throws {
        let bytes = try self.bytes(of: victim == .dialer ? .listener : .dialer)
        for count in 0...bytes.count {
            var connection = try KnownNode(victim == .dialer ? 1 : 2).connection(victim)
            connection.receive(Array(bytes.prefix(count)), now: .zero) { $0 == "/echo/1.0.0" }
            let step = connection.step
            connection.pipeEnded()
            #expect(connection.takeEvents().closed == .pipeEnded(at: step))
            connection.receive([1, 2, 3], now: .zero) { _ in true }
            #expect(connection.takeEvents().isEmpty && connection.heldByteCount == 0)
        }
    }

    @Test(arguments: [ConnectionRole.dialer, .listener])
    func `finds every changed byte, in every step`(victim: ConnectionRole) throws {
        let bytes = try self.bytes(of: victim == .dialer ? .listener : .dialer)
        let whole = try self.replay(victim, bytes)
        #expect(whole.events.closed == nil)
        for index in bytes.indices {
            for bit in [UInt8(1), 0x80] {
                var changed = bytes
                changed[index] ^= bit
                let result = try self.replay(victim, changed)
                // A length that grew makes a message that never ends; everything else is an error at once.
                if let error = result.events.closed {
                    switch error {
                    case .security, .handshake, .encryption: break
                    default: Issue.record("byte \(index), bit \(bit): \(error)")
                    }
                } else {
                    #expect(result.events.count < whole.events.count, "byte \(index), bit \(bit)")
                }
                #expect(result.held <= 65_537)
            }
        }
    }

    @Test(arguments: UInt64(0)..<300)
    func `takes garbage at any point without harm`(seed: UInt64) throws {
        var random = SeededRandom(seed: seed)
        let victim: ConnectionRole = seed % 2 == 0 ? .dialer : .listener
        let bytes = try self.bytes(of: victim == .dialer ? .listener : .dialer)
        var connection = try KnownNode(victim == .dialer ? 1 : 2).connection(victim)
        let start = Array(bytes.prefix(Int.random(in: 0...bytes.count, using: &random)))
        let garbage = (0..<Int.random(in: 1...100_000, using: &random)).map { _ in UInt8(truncatingIfNeeded: random.next()) }
        var rest = (start + garbage)[...]
        while !rest.isEmpty {
            let piece = rest.prefix(Int.random(in: 1...20_000, using: &random))
            connection.receive(Array(piece), now: .zero) { _ in true }
            rest = rest.dropFirst(piece.count)
            _ = connection.takeOutput(now: .zero)
            #expect(connection.heldByteCount <= 65_537)
        }
        connection.tick(now: .seconds(10))
        #expect(connection.closeReason != nil || connection.step == .established, "replay: seed \(seed)")
    }

    // MARK: The multiplexer without early negotiation

    /// A dialer's Noise with any list of multiplexers, and what comes of it.
    private func dial(_ connection: inout Connection, muxers: [String]) throws -> NoiseSession? {
        let node = try KnownNode(1)
        var noise = try NoiseHandshake(
            .initiator, staticKey: node.staticKey, ephemeral: X25519.SecretKey { $0.copyBytes(from: [UInt8](repeating: 9, count: 32)) },
            muxers: muxers)
        let lines = Multistream.encode(Multistream.header) + Multistream.encode("/noise")
        connection.receive(lines, now: .zero) { _ in false }
        #expect(connection.takeOutput(now: .zero) == lines)
        connection.receive(try noise.start(), now: .zero) { _ in false }
        connection.receive(try noise.receive(connection.takeOutput(now: .zero)), now: .zero) { _ in false }
        return noise.isComplete ? noise.finish() : nil
    }

    @Test func `asks for yamux inside the encryption when the listener named none, as py-libp2p does`() throws {
        var connection = try KnownNode(1).connection(.dialer)
        let node = try KnownNode(2)
        var noise = try NoiseHandshake(
            .responder, staticKey: node.staticKey, ephemeral: X25519.SecretKey { $0.copyBytes(from: [UInt8](repeating: 9, count: 32)) })
        let header = Multistream.encode(Multistream.header)
        connection.receive(header + Multistream.encode("/noise"), now: .zero) { _ in false }
        let output = connection.takeOutput(now: .zero).dropFirst(header.count + Multistream.encode("/noise").count)
        connection.receive(try noise.receive(output), now: .zero) { _ in false }
        #expect(connection.step == .negotiatingMuxer)
        _ = try noise.receive(connection.takeOutput(now: .zero))
        var session = noise.finish()
        #expect(try session.channel.receive(session.received) == header + Multistream.encode("/yamux/1.0.0"))
        #expect(connection.takeEvents().isEmpty)
        // The answer and yamux' first frame in one message.
        let ping = Frame.ping
        let answer = try session.channel.send(header + Multistream.encode("/yamux/1.0.0") + ping)
        connection.receive(answer, now: .zero) { _ in false }
        #expect(connection.step == .established)
        #expect(connection.takeEvents() == [.established(node.id, node.identity.publicKey)])
        #expect(try session.channel.receive(connection.takeOutput(now: .zero)) == Frame.pong)
    }

    /// A ping of yamux with the value 7, and its answer.
    private enum Frame {
        static let ping: [UInt8] = [0, 2, 0, 1, 0, 0, 0, 0, 0, 0, 0, 7]
        static let pong: [UInt8] = [0, 2, 0, 2, 0, 0, 0, 0, 0, 0, 0, 7]
    }

    @Test func `answers a dialer that asks for yamux inside the encryption, and refuses what is not yamux`() throws {
        let header = Multistream.encode(Multistream.header)
        for proposal in ["/yamux/1.0.0", "/mplex/6.7.0"] {
            var connection = try KnownNode(2).connection(.listener)
            guard var session = try self.dial(&connection, muxers: []) else {
                Issue.record("no handshake")
                return
            }
            #expect(connection.step == .negotiatingMuxer)
            connection.receive(try session.channel.send(header + Multistream.encode(proposal)), now: .zero) { _ in false }
            let answer = try session.channel.receive(connection.takeOutput(now: .zero))
            #expect(answer == header + Multistream.encode(proposal == "/yamux/1.0.0" ? proposal : "na"))
            #expect(connection.step == (proposal == "/yamux/1.0.0" ? .established : .negotiatingMuxer))
            connection.tick(now: .seconds(11))
            #expect(connection.closeReason == (proposal == "/yamux/1.0.0" ? nil : .timedOut(at: .negotiatingMuxer)))
        }
    }

    @Test func `ends a handshake with a multiplexer list that has nothing in common`() throws {
        var connection = try KnownNode(2).connection(.listener)
        // Its own dialer sees it as well, and sends nothing more.
        do { _ = try self.dial(&connection, muxers: ["/mplex/6.7.0"]) } catch NoiseError.noCommonMuxer {}
        #expect(connection.step == .encrypting)
        connection.pipeEnded()
        #expect(connection.takeEvents() == [.closed(.pipeEnded(at: .encrypting))])
    }

    // MARK: Streams

    @Test func `gives up a stream that does not agree on a protocol in time, and nothing else`() throws {
        var limits = ConnectionLimits()
        limits.keepAliveIntervalWhileSending = nil
        var pair = try ConnectionPair(limits: limits)
        pair.exchange()
        _ = (pair.dialer.takeEvents(), pair.listener.takeEvents())
        // The listener never gets the proposal's last byte: the stream of a slow-loris.
        let slow = try pair.dialer.session.open(now: .zero)
        try pair.dialer.session.write([19], to: slow)
        pair.exchange()
        #expect(pair.listener.streamCount == 1)
        #expect(pair.listener.deadline == .seconds(10))
        let honest = try pair.dialer.open(["/echo/1.0.0"], now: .zero)
        pair.exchange()
        pair.listener.tick(now: .seconds(10))
        pair.exchange()
        #expect(pair.listener.takeEvents() == [.inbound(honest, protocolID: "/echo/1.0.0"), .refused(.negotiationTimedOut)])
        #expect(pair.listener.failedNegotiations == 1 && pair.dialer.failedNegotiations == 0)
        #expect(pair.dialer.takeEvents().contains(.reset(slow, by: .peer)))
        #expect(pair.listener.streamCount == 1)

        // The same for a stream of ours.
        let unanswered = try pair.dialer.open(["/echo/1.0.0"], now: .seconds(20))
        _ = pair.dialer.takeOutput(now: .seconds(20))
        pair.dialer.lastReceived = .seconds(29)
        pair.dialer.tick(now: .seconds(30))
        #expect(pair.dialer.takeEvents() == [.failed(unanswered, .timedOut)])
        #expect(pair.dialer.closeReason == nil)
    }

    @Test func `resets streams that negotiate beyond their number, and garbage in place of a negotiation`() throws {
        var limits = ConnectionLimits()
        limits.negotiatingStreamCountMax = 10
        var pair = try ConnectionPair(limits: limits)
        pair.exchange()
        for _ in 0..<50 { _ = try pair.dialer.session.open(now: .zero) }
        pair.exchange()
        #expect(pair.listener.streamCount == 10)
        #expect(pair.listener.refusedNegotiations == 40)
        let tooMany = ConnectionEvent.refused(.tooManyNegotiating(maximum: 10))
        #expect(pair.listener.takeEvents().suffix(40) == [ConnectionEvent](repeating: tooMany, count: 40)[...])
        #expect(pair.listener.negotiationDeadlines.count == 10)
        pair.listener.tick(now: .seconds(10))
        #expect(pair.listener.streamCount == 0)
        #expect(pair.listener.takeEvents() == [ConnectionEvent](repeating: .refused(.negotiationTimedOut), count: 10))
        #expect(pair.listener.failedNegotiations == 10)
        pair.exchange()

        var random = SeededRandom(seed: 5)
        for _ in 0..<100 {
            let id = try pair.dialer.session.open(now: .zero)
            try pair.dialer.session.write((0..<40).map { _ in UInt8.random(in: 128...255, using: &random) }, to: id)
            pair.exchange()
        }
        #expect(pair.listener.streamCount == 0)
        #expect(pair.listener.closeReason == nil)
        #expect(pair.listener.failedNegotiations == 10 + 100)
        let refusals = pair.listener.takeEvents()
        // Each says what was wrong with the first line.
        #expect(refusals.count == 100 && refusals.allSatisfy { if case .refused(.negotiation) = $0 { true } else { false } })

        // And who ends a stream without having named a protocol.
        let ended = try pair.dialer.session.open(now: .zero)
        pair.dialer.session.closeWrite(ended)
        pair.exchange()
        #expect(pair.listener.takeEvents() == [.refused(.negotiation(.endedEarly))])
        #expect(pair.listener.failedNegotiations == 111 && pair.listener.streamCount == 0)

        // What the peer takes back itself is no fault.
        let taken = try pair.dialer.session.open(now: .zero)
        pair.exchange()
        pair.dialer.session.reset(taken)
        pair.exchange()
        #expect(pair.listener.takeEvents() == [] && pair.listener.failedNegotiations == 111)
    }

    @Test func `takes a peer's streams while as many of its own wait for the peer's answer`() throws {
        var limits = ConnectionLimits()
        limits.negotiatingStreamCountMax = 10
        var pair = try ConnectionPair(limits: limits)
        pair.exchange()
        for _ in 0..<10 { _ = try pair.listener.open(["/never/1"], now: .zero) }
        // The peer does not answer these, and opens one of its own.
        while pair.listener.hasOutput { _ = pair.listener.takeOutput(now: .zero) }
        _ = (pair.listener.takeEvents(), try pair.dialer.open(["/echo/1.0.0"], now: .zero))
        let there = pair.dialer.takeOutput(now: .zero)
        pair.listener.receive(there, now: .zero) { $0 == "/echo/1.0.0" }
        #expect(pair.listener.refusedNegotiations == 0)
        #expect(pair.listener.takeEvents().inbound != nil)
    }

    @Test func `asks a silent peer for a sign of life even if an earlier ping was never answered`() throws {
        var pair = try ConnectionPair()
        pair.exchange()
        _ = (pair.dialer.takeEvents(), pair.listener.takeEvents())
        pair.dialer.isKeptOpen = true
        pair.dialer.ping()
        pair.listener.receive(pair.dialer.takeOutput(now: .zero), now: .zero) { _ in false }
        // What a busy go-yamux does.
        pair.listener.session.pongs.removeAll()
        pair.now = .seconds(30)
        pair.dialer.tick(now: pair.now)
        #expect(pair.dialer.closeReason == nil)
        pair.exchange()
        #expect(pair.dialer.takeEvents() == [.roundTrip(.zero)])
        pair.dialer.tick(now: .seconds(59))
        #expect(pair.dialer.closeReason == nil)
        // Nobody answers any more.
        pair.dialer.tick(now: .seconds(60))
        pair.dialer.tick(now: .seconds(80))
        #expect(pair.dialer.closeReason == .peerSilent)
    }

    @Test func `knows sooner of a peer that went without a word when bytes go to it`() throws {
        var pair = try ConnectionPair()
        pair.exchange()
        let id = try pair.dialer.open(["/echo/1.0.0"], now: .zero)
        pair.exchange()
        try pair.dialer.write([1], to: id)
        pair.now = .seconds(10)
        while pair.dialer.hasOutput { _ = pair.dialer.takeOutput(now: pair.now) }
        // Whatever else is written meanwhile.
        for second in 11..<35 as Range<Int64> {
            try pair.dialer.write([1], to: id)
            pair.dialer.tick(now: .seconds(second))
            while pair.dialer.hasOutput { _ = pair.dialer.takeOutput(now: .seconds(second)) }
            #expect(pair.dialer.closeReason == nil, "at \(second) s")
        }
        pair.dialer.tick(now: .seconds(35))
        #expect(pair.dialer.closeReason == .peerSilent)
    }

    @Test func `does not keep a quiet peer awake by asking whether it answered to an answer`() throws {
        var pair = try ConnectionPair()
        pair.exchange()
        let id = try pair.dialer.open(["/echo/1.0.0"], now: .zero)
        pair.exchange()
        let theirs = try #require(pair.listener.takeEvents().inbound)
        try pair.dialer.write([1], to: id)
        pair.exchange()
        _ = pair.listener.readAll(theirs)
        // One asks a while after it wrote; then both wait as long as those who have nothing to say.
        var outputCount = 0
        for step in 1...240 as ClosedRange<Int64> {
            pair.now = .milliseconds(500 * step)
            pair.dialer.tick(now: pair.now)
            pair.listener.tick(now: pair.now)
            if pair.dialer.hasOutput || pair.listener.hasOutput { outputCount += 1 }
            pair.exchange()
        }
        #expect(pair.dialer.closeReason == nil && pair.listener.closeReason == nil)
        // After 5 s, and then each of the two every 30 s.
        #expect(outputCount <= 9)
    }

    @Test func `keeps nothing of streams that have ended while an older one still negotiates`() throws {
        var pair = try ConnectionPair()
        pair.exchange()
        let slow = try pair.dialer.session.open(now: .zero)
        try pair.dialer.session.write([19], to: slow)
        pair.exchange()
        for _ in 0..<1_000 {
            let id = try pair.dialer.open(["/echo/1.0.0"], now: .zero)
            pair.exchange()
            let theirs = try #require(pair.listener.takeEvents().inbound)
            pair.dialer.closeWrite(id)
            pair.listener.closeWrite(theirs)
            pair.exchange()
        }
        #expect(pair.listener.streamCount == 1)
        #expect(pair.listener.negotiationDeadlines.count <= 34)
        #expect(pair.dialer.negotiationDeadlines.count == 0)
        #expect(pair.listener.deadline == .seconds(10))
    }

    @Test func `ends for a rule of yamux that the peer breaks, and tells it why`() throws {
        var pair = try ConnectionPair()
        pair.exchange()
        _ = pair.listener.takeEvents()
        let broken = try pair.dialer.channel?.send([9, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0]) ?? []
        pair.listener.receive(broken, now: .zero) { _ in false }
        #expect(pair.listener.takeEvents() == [.closed(.session(.violation(.unknownVersion(9))))])
        pair.dialer.receive(pair.listener.takeOutput(now: .zero), now: .zero) { _ in false }
        #expect(pair.dialer.closeReason == .session(.endedByPeer(.protocolError)))
        #expect(pair.listener.hasOutput == false)
        #expect(pair.listener.deadline == nil)
    }

    @Test func `holds nothing more of a message that has not come whole once it is closed, and still says goodbye`() throws {
        var pair = try ConnectionPair()
        pair.exchange()
        let message = try pair.dialer.channel?.send([UInt8](repeating: 0, count: 60_000)) ?? []
        pair.listener.receive(Array(message.dropLast()), now: .zero) { _ in false }
        #expect(pair.listener.heldByteCount == message.count - 1)
        pair.listener.close()
        #expect(pair.listener.heldByteCount == 0)
        #expect(pair.listener.hasOutput == true)
    }

    @Test func `lets a hundred thousand opened streams through to nobody`() throws {
        var pair = try ConnectionPair()
        pair.exchange()
        _ = pair.listener.takeEvents()
        var count = 0
        while count < 100_000, pair.listener.closeReason == nil {
            // Frames made by hand: the own session would respect the limits.
            var frames: [UInt8] = []
            for _ in 0..<1_000 {
                count += 1
                let number = UInt32(2 * count - 1)
                frames += [0, 1, 0, 1] + withUnsafeBytes(of: number.bigEndian) { Array($0) } + [0, 0, 0, 0]
            }
            pair.listener.receive(try pair.dialer.channel?.send(frames) ?? [], now: .zero) { _ in true }
            #expect(pair.listener.streamCount <= 256)
            #expect(pair.listener.heldByteCount < 200_000)
            while !pair.listener.takeOutput(now: .zero).isEmpty {}
        }
        #expect(pair.listener.takeEvents().inbound == nil)
        #expect(pair.listener.negotiationDeadlines.count <= 256)
    }
}
