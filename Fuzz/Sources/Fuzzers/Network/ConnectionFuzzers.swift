import LibP2P

extension Fuzzer {
    /// One end of a session, its user and a peer that says anything.
    static let yamux = Fuzzer(
        name: "yamux", byteCountMax: 1_024, seeds: { MuxerSeeds.seeds(prefixes: [[0], [1]]) },
        run: { start, count in
            var script = PlayScript(input(start, count))
            var play = YamuxPlay(script.flag() ? .dialer : .listener)
            while !script.isOver { play.carryOut(&script) }
            play.finish()
            return 0
        })

    /// A connection from its bare pipe on. The first byte says in which role, and how far the other end is honest.
    static let connection = Fuzzer(
        name: "connection", byteCountMax: 2_048, seeds: { try MuxerSeeds.connectionSeeds() },
        run: { start, count in
            var script = PlayScript(input(start, count))
            guard let play = try? ConnectionPlay(script.byte()) else { fatalError("the play could not begin") }
            while !script.isOver { play.carryOut(&script) }
            play.finish()
            return 0
        })

    /// Low limits, so that short scripts reach them.
    fileprivate static let yamuxLimits: YamuxLimits = {
        var limits = YamuxLimits()
        limits.inboundStreamCountMax = 12
        limits.unacceptedStreamCountMax = 6
        limits.unacknowledgedStreamCountMax = 4
        limits.receiveWindowByteCountMax = 524_288
        limits.windowGrowthByteCountMax = 262_144
        limits.receiveBufferByteCountMax = 131_072
        limits.sendBufferByteCountMax = 4_096
        limits.pongCountMax = 4
        limits.queuedResetCountMax = 64
        limits.refusalCountMax = 100
        limits.peerResetCountMax = 20
        return limits
    }()

    /// The longest chunk that users write here.
    fileprivate static let chunkByteCountMax = 4_080

    /// All that a session may hold: received bytes, and on each stream a full send buffer and one chunk.
    fileprivate static func heldByteCountMax(streamCount: Int) -> Int {
        Self.yamuxLimits.receiveBufferByteCountMax + streamCount * (Self.yamuxLimits.sendBufferByteCountMax + Self.chunkByteCountMax)
    }

    /// Streams that either side may have: ours are few because nobody opens more here.
    fileprivate static let ownStreamCountMax = 16
}

// MARK: - A session

private struct YamuxPlay {
    private var session: YamuxSession
    private var now = KnownPeers.start
    private var streams: [YamuxStreamID] = []
    private var ownStreamCount = 0
    private var isSilent = false

    init(_ role: YamuxRole) { self.session = YamuxSession(role, limits: Fuzzer.yamuxLimits) }

    mutating func carryOut(_ script: inout PlayScript) {
        let what = script.choice(16)
        let stream = what > 8 ? script.choice(of: self.streams) : nil
        switch (what, stream) {
        case (0...7, _): self.session.receive(YamuxFrames.next(&script).span.bytes, now: self.now)
        case (8, _):
            guard self.ownStreamCount < Fuzzer.ownStreamCountMax else { break }
            if let id = try? self.session.open(announcing: script.flag() ? .atOnce : .withFirstBytes, now: self.now) {
                self.ownStreamCount += 1
                self.streams.append(id)
            }
        case (9, let id?): self.session.accept(id)
        case (10, let id?): try? self.session.write([UInt8](repeating: 1, count: 16 * Int(script.byte())), to: id)
        case (11, let id?):
            if script.flag() { self.session.closeWrite(id) } else { self.session.reset(id, code: UInt32(script.byte())) }
        case (12, let id?): while self.session.read(from: id, now: self.now) != nil {}
        case (13, let id?):
            let count = Int(script.byte())
            _ = self.session.read(from: id, now: self.now) { bytes in min(count, bytes.byteCount) }
        case (14, _):
            self.now += .milliseconds(script.number() * 16)
            self.session.sendPing()
        case (15, _):
            switch script.choice(8) {
            case 0: self.session.stopAccepting()
            case 1: self.session.close()
            default: self.isSilent.toggle()
            }
        default: break
        }
        self.settle()
    }

    private mutating func settle() {
        var eventCount = 0
        while let event = self.session.nextEvent() {
            eventCount += 1
            require(eventCount < 10_000, "a step's events have an end")
            switch event {
            case .opened(let id): self.streams.append(id)
            case .reset(let id, _, _), .finished(let id): self.streams.removeAll { $0 == id }
            default: break
            }
        }
        var outputCount = 0
        while !self.isSilent, self.session.hasOutput {
            let output = self.session.output(upTo: 4_096, now: self.now)
            require(output.count <= 4_096, "no more than there is room for")
            // Streams that were dropped meanwhile may have left nothing to say.
            if output.isEmpty { break }
            outputCount += output.count
            require(outputCount < 4_000_000, "a step's output has an end")
        }
        let streamCount = self.session.streamCount
        require(streamCount <= Fuzzer.yamuxLimits.inboundStreamCountMax + Fuzzer.ownStreamCountMax, "no more streams than may be")
        require(self.session.bufferedByteCount >= 0 && self.session.receivedByteCount >= 0, "a session holds no less than nothing")
        require(
            self.session.bufferedByteCount <= Fuzzer.heldByteCountMax(streamCount: streamCount), "a session holds no more than it may")
        if self.session.closeReason != nil { require(self.session.streamCount == 0, "with a session its streams end") }
    }

    mutating func finish() {
        self.isSilent = false
        self.session.connectionEnded()
        self.settle()
        require(self.session.bufferedByteCount == 0, "a session that has ended holds nothing")
    }
}

// MARK: - A connection

/// A connection, its owner, and an other end that says what the script says: into the bare pipe, or encrypted after a handshake.
private final class ConnectionPlay {
    private var connection: Connection
    private var peer: NoiseSession?
    private var now = KnownPeers.start
    private var streams: [YamuxStreamID] = []
    private var ownStreamCount = 0
    private var isSilent = false
    private var hasClosed = false
    /// Whether the other end has a key that it can prove.
    private let hasHonestEnd: Bool

    init(_ kind: UInt8) throws {
        var limits = ConnectionLimits()
        limits.negotiatingStreamCountMax = 8
        limits.yamux = Fuzzer.yamuxLimits
        let role: ConnectionRole = kind & 1 == 1 ? .dialer : .listener
        self.connection = try Connection(
            role, staticKey: KnownPeers.staticKeys[0], ephemeral: KnownPeers.ephemeralKey(1),
            expecting: kind & 8 == 8 ? KnownPeers.others[0].id : nil, limits: limits, now: KnownPeers.start)
        self.peer = nil
        self.hasHonestEnd = kind & 2 == 2
        if self.hasHonestEnd { try self.shakeHands(role, hasEarlyMuxer: kind & 4 == 0) }
    }

    /// The other end, honest up to the encryption.
    private func shakeHands(_ role: ConnectionRole, hasEarlyMuxer: Bool) throws {
        var noise = try NoiseHandshake(
            role == .dialer ? .responder : .initiator, staticKey: KnownPeers.staticKeys[1], ephemeral: KnownPeers.ephemeralKey(2),
            muxers: hasEarlyMuxer ? ["/yamux/1.0.0"] : [])
        let greeting = YamuxFrames.proposal("/noise")
        self.receive(greeting)
        var skipped = 0
        if role == .listener { self.receive(try noise.start()) }
        for _ in 0..<4 where !noise.isComplete {
            var output = self.connection.takeOutput(now: self.now)
            let greetingCount = min(greeting.count - skipped, output.count)
            output.removeFirst(greetingCount)
            skipped += greetingCount
            self.receive(try noise.receive(output))
        }
        require(noise.isComplete, "honest ends complete a handshake")
        self.peer = noise.finish()
        require(self.connection.step == (hasEarlyMuxer ? .established : .negotiatingMuxer), "honest ends come so far")
        self.settle()
    }

    private func receive(_ bytes: [UInt8]) { self.connection.receive(bytes, now: self.now) { $0 == "/echo/1" || $0 == "/push/1" } }

    /// What the other end says, encrypted if it encrypts.
    private func say(_ text: [UInt8]) {
        guard let bytes = try? Self.seal(text, &self.peer) else { return self.receive(text) }
        self.receive(bytes)
    }

    private static func seal(_ text: [UInt8], _ session: inout NoiseSession?) throws(NoiseError) -> [UInt8]? {
        try session?.channel.send(text)
    }

    func carryOut(_ script: inout PlayScript) {
        let what = script.choice(16)
        let stream = what > 8 ? script.choice(of: self.streams) : nil
        switch (what, stream) {
        case (0...7, _): self.say(YamuxFrames.next(&script))
        case (8, _):
            guard self.ownStreamCount < Fuzzer.ownStreamCountMax, self.connection.step == .established else { break }
            let names = script.flag() ? ["/echo/1"] : ["/none/1", "/echo/1"]
            if let id = try? self.connection.open(names, isLazy: script.flag(), now: self.now) {
                self.ownStreamCount += 1
                self.streams.append(id)
            }
        case (10, let id?): try? self.connection.write([UInt8](repeating: 1, count: 16 * Int(script.byte())), to: id)
        case (11, let id?): if script.flag() { self.connection.closeWrite(id) } else { self.connection.reset(id, now: self.now) }
        case (12, let id?), (13, let id?): while self.connection.read(from: id, now: self.now) != nil {}
        case (14, _):
            self.now += .milliseconds(script.number() * 2)
            if script.flag() { self.now = max(self.now, self.connection.deadline ?? self.now) }
        case (15, _):
            switch script.choice(8) {
            case 0: self.connection.close()
            case 1: self.connection.pipeEnded()
            case 2: if self.connection.step == .established { self.connection.ping() }
            case 3: self.receive(script.bytes())
            case 4: self.connection.isKeptOpen.toggle()
            default: self.isSilent.toggle()
            }
        default: break
        }
        self.settle()
    }

    private func settle() {
        var tickCount = 0
        while let deadline = self.connection.deadline, deadline <= self.now {
            self.connection.tick(now: self.now)
            tickCount += 1
            require(tickCount < 16, "a tick takes the deadline on")
        }
        var eventCount = 0
        while let event = self.connection.nextEvent() {
            eventCount += 1
            require(eventCount < 10_000, "a step's events have an end")
            require(!self.hasClosed, "nothing comes after the end")
            switch event {
            case .inbound(let id, _): self.streams.append(id)
            case .reset(let id, _), .finished(let id), .failed(let id, _): self.streams.removeAll { $0 == id }
            case .established(let peer, _): require(peer == KnownPeers.others[0].id && self.hasHonestEnd, "only who proves it is a peer")
            case .closed: self.hasClosed = true
            default: break
            }
        }
        var outputCount = 0
        while !self.isSilent, self.connection.hasOutput {
            let output = self.connection.takeOutput(upTo: 8_192, now: self.now)
            if output.isEmpty { break }
            outputCount += output.count
            require(outputCount < 4_000_000, "a step's output has an end")
        }
        let streamCount = self.connection.streamCount
        require(streamCount <= Fuzzer.yamuxLimits.inboundStreamCountMax + Fuzzer.ownStreamCountMax, "no more streams than may be")
        // And one message that is not whole, or the handshake's answers.
        require(
            self.connection.heldByteCount <= Fuzzer.heldByteCountMax(streamCount: streamCount) + 65_537 + 8_192,
            "a connection holds no more than it may")
    }

    func finish() {
        self.isSilent = false
        // Nobody says anything any more: it ends by itself, unless it is to be kept; then the pipe ends.
        for _ in 0..<8 {
            self.now += .seconds(120)
            self.settle()
        }
        self.connection.pipeEnded()
        self.settle()
        require(self.hasClosed && self.connection.closeReason != nil, "every connection ends, and says so once")
        require(self.connection.heldByteCount == 0, "a connection that has ended holds nothing")
    }
}

// MARK: - Seeds

/// Conversations of a peer that speaks yamux, as `YamuxFrames.next` and the two plays read them.
private enum MuxerSeeds {
    private static func step(_ step: YamuxFrames.Step, _ stream: UInt8, _ bytes: UInt8...) -> [UInt8] {
        [0, step.rawValue, stream] + bytes
    }

    private static func answer(_ stream: UInt8, _ bytes: [UInt8]) -> [UInt8] {
        [0, YamuxFrames.Step.data.rawValue, stream] + PlayScript.encode(bytes)
    }

    private static func talk(_ stream: UInt8) -> [UInt8] {
        [0, YamuxFrames.Step.open.rawValue, stream, 1, 0] + PlayScript.encode([1, 2, 3]) + [9, 0, 12, 0, 10, 0, 100]
    }

    private static let conversations: [[UInt8]] = [UInt8(1), 2].flatMap { own -> [[UInt8]] in
        let other = 3 - own
        // A stream of ours, answered, written to and closed.
        let opened = [8, 1, 0] + Self.answer(other, YamuxFrames.proposal("/echo/1")) + [10, 0, 255, 11, 0, 1]
        let lazy = [8, 1, 1, 10, 0, 255, 10, 0, 255] + Self.step(.window, other, 0xff, 0xff, 4) + [10, 0, 255]
        return [
            Self.talk(own) + Self.step(.flood, own, 255) + [12, 0] + Self.step(.finish, own) + [11, 0, 1],
            Self.talk(own) + Self.talk(own + 2) + Self.talk(own + 4) + Self.step(.reset, own, 1) + Self.step(.ping, 0, 1) + [14, 1, 0, 1],
            opened + Self.step(.finish, other) + [12, 0], lazy + Self.step(.reset, other, 0),
            [8, 0, 0] + Self.answer(other, YamuxFrames.line(Multistream.header) + YamuxFrames.line("na"))
                + Self.answer(other, YamuxFrames.line("/echo/1")),
            Self.step(.manyOpens, own, 255) + Self.step(.goAway, 0, 0),
            [15, 3] + (0..<6).flatMap { _ in Self.step(.ping, 0, 1) } + [15, 3],
            Self.talk(own) + (0..<9).flatMap { _ in Self.step(.flood, own, 255) } + [13, 0, 9, 12, 0] + Self.step(.flood, own, 255),
            Self.step(.goAway, 0, 1), [15, 0] + Self.talk(own), Self.talk(own) + [14, 255, 255, 0, 14, 255, 255, 1],
        ]
    }

    static func seeds(prefixes: [[UInt8]]) -> [[UInt8]] { prefixes.flatMap { prefix in Self.conversations.map { prefix + $0 } } }

    static func connectionSeeds() throws -> [[UInt8]] {
        func raw(_ bytes: [UInt8]) -> [UInt8] { [0, YamuxFrames.Step.raw.rawValue, 0] + PlayScript.encode(bytes) }
        // The bare pipe: what the other end would say, with the keys that the play uses.
        var near = try NoiseHandshake(.initiator, staticKey: KnownPeers.staticKeys[1], ephemeral: KnownPeers.ephemeralKey(2), muxers: [])
        let first = try near.start()
        let muxer = raw(YamuxFrames.proposal("/yamux/1.0.0"))
        return Self.seeds(prefixes: [[2], [3], [11], [6] + muxer, [7] + muxer])
            + [[0] + raw(YamuxFrames.proposal("/noise") + first), [1] + raw(YamuxFrames.proposal("/noise")), [0] + raw(first), [6] + muxer]
    }
}
