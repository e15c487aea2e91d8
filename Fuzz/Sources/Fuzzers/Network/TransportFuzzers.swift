import CryptoPrimitives
import LibP2P

extension Fuzzer {
    /// The first byte says in which role; the rest comes in pieces of two sizes, which must make no difference.
    static let webSocket = Fuzzer(
        name: "websocket", byteCountMax: 10_240, seeds: { try WebSocketRun.seeds() },
        run: { start, count in
            let bytes = input(start, count)
            guard let first = bytes.first else { return 0 }
            let rest = Array(bytes.dropFirst())
            let whole = WebSocketRun(isClient: first & 1 == 1, isOpen: first & 2 == 2, rest, pieceByteCountMax: 4_096)
            let cut = WebSocketRun(isClient: first & 1 == 1, isOpen: first & 2 == 2, rest, pieceByteCountMax: 1 + Int(first >> 2))
            require(whole == cut, "how bytes are cut changes nothing")
            WebSocketRun.checkFrame(rest, isClient: first & 1 == 1)
            return 0
        })

    static let multistream = Fuzzer(
        name: "multistream", byteCountMax: 4_096, seeds: { MultistreamRun.seeds },
        run: { start, count in
            let bytes = input(start, count)
            guard let first = bytes.first else { return 0 }
            let rest = Array(bytes.dropFirst())
            let whole = MultistreamRun(isDialer: first & 1 == 1, rest, pieceByteCountMax: .max)
            require(whole == MultistreamRun(isDialer: first & 1 == 1, rest, pieceByteCountMax: 1 + Int(first >> 1)), "cuts change nothing")
            return 0
        })

    /// The first byte says in which role, or that the rest is the payload of a handshake that is right in all else.
    static let noise = Fuzzer(
        name: "noise", byteCountMax: 2_048, seeds: { try NoiseRun.seeds() },
        run: { start, count in
            let bytes = input(start, count)
            guard let first = bytes.first else { return 0 }
            let rest = Array(bytes.dropFirst())
            do {
                if first % 3 == 2 {
                    try NoiseRun.payload(rest)
                } else {
                    try NoiseRun.handshake(first % 3 == 1 ? .responder : .initiator, rest)
                }
            } catch {}
            return 0
        })
}

// MARK: - WebSocket

/// A pipe with all that came to it, and what it made of that.
private struct WebSocketRun: Equatable {
    private static let nonce = [UInt8](repeating: 3, count: 16)
    private var delivered: [UInt8] = []
    private var error: WebSocketError?
    private var isEnded = false
    private var isOpen = false
    private var output: [UInt8] = []

    private static func pipe(isClient: Bool) -> WebSocketPipe {
        isClient ? WebSocketPipe(dialling: "a.example:80", nonce: Self.nonce, maskSeed: 5) : WebSocketPipe()
    }

    /// - Parameter isOpen: whether the handshake is done before the bytes come.
    init(isClient: Bool, isOpen: Bool, _ bytes: [UInt8], pieceByteCountMax: Int) {
        var pipe = Self.pipe(isClient: isClient)
        if isOpen {
            var other = Self.pipe(isClient: !isClient)
            if isClient {
                Self.give(pipe.takeOutput(), to: &other)
                Self.give(other.takeOutput(), to: &pipe)
            } else {
                Self.give(other.takeOutput(), to: &pipe)
                _ = pipe.takeOutput()
            }
            require(pipe.isOpen, "honest ends open")
        }
        var rest = bytes[...]
        while !rest.isEmpty, self.error == nil {
            var piece = Array(rest.prefix(pieceByteCountMax))
            rest = rest.dropFirst(piece.count)
            do throws(WebSocketError) {
                try piece.withUnsafeMutableBytes { piece in
                    Result { () throws(WebSocketError) in try pipe.receive(piece) { self.delivered += $0 } }
                }.get()
            } catch {
                self.error = error
            }
            // A head, or a control frame with its answer, and our own goodbye.
            require(pipe.heldByteCount <= 8_192 + 1_024, "a pipe holds no more than a head and control frames")
        }
        require(self.delivered.count <= bytes.count, "what comes out came in")
        (self.isEnded, self.isOpen, self.output) = (pipe.isEndedByPeer, pipe.isOpen, pipe.takeOutput())
        require(!pipe.hasOutput, "output is taken once")
    }

    private static func give(_ bytes: [UInt8], to pipe: inout WebSocketPipe) {
        var bytes = bytes
        bytes.withUnsafeMutableBytes { bytes in _ = try? pipe.receive(bytes) { _ in } }
    }

    /// What one end frames the other unframes.
    static func checkFrame(_ bytes: [UInt8], isClient: Bool) {
        var (near, far) = (Self.pipe(isClient: isClient), Self.pipe(isClient: !isClient))
        for _ in 0..<2 {
            Self.give(near.takeOutput(), to: &far)
            Self.give(far.takeOutput(), to: &near)
        }
        var buffer = [UInt8](repeating: 0, count: WebSocketPipe.headerByteCountMax) + bytes
        let range = buffer.withUnsafeMutableBytes { near.frame(bytes.count, in: $0) }
        var (framed, received) = (Array(buffer[range]), [UInt8]())
        framed.withUnsafeMutableBytes { framed in _ = try? far.receive(framed) { received += $0 } }
        require(received == bytes, "bytes come through a frame")
    }

    static func seeds() throws -> [[UInt8]] {
        var (client, server) = (Self.pipe(isClient: true), Self.pipe(isClient: false))
        let request = client.takeOutput()
        Self.give(request, to: &server)
        let answer = server.takeOutput()
        Self.give(answer, to: &client)
        func frame(_ pipe: inout WebSocketPipe, _ count: Int) -> [UInt8] {
            var buffer = [UInt8](repeating: 0, count: WebSocketPipe.headerByteCountMax + count)
            let range = buffer.withUnsafeMutableBytes { pipe.frame(count, in: $0) }
            return Array(buffer[range])
        }
        let masked = frame(&client, 5) + frame(&client, 300)
        let plain = frame(&server, 5) + frame(&server, 300)
        client.close()
        server.close()
        let (goodbye, plainGoodbye) = (client.takeOutput(), server.takeOutput())
        let control: [UInt8] =
            [0x89, 0x02, 1, 2, 0x8a, 0x00, 0x02, 0x01, 9, 0x80, 0x01, 8, 0x82, 126, 0, 126] + [UInt8](repeating: 1, count: 126)
        let maskedControl: [UInt8] = [0x89, 0x82, 1, 2, 3, 4, 1, 2, 0x02, 0x81, 0, 0, 0, 0, 9, 0x80, 0x81, 0, 0, 0, 0, 8]
        return [
            [0] + request + masked + goodbye, [1] + answer + plain + plainGoodbye, [2] + masked + maskedControl + goodbye,
            [3] + plain + control + plainGoodbye, [14] + maskedControl, [15] + control,
        ]
    }
}

// MARK: - multistream-select

private struct MultistreamRun: Equatable {
    private static let protocolIDs = ["/a/1", "/b/1"]
    private var taken = 0
    private var output: [UInt8] = []
    private var agreed: String?
    private var error: MultistreamError?

    init(isDialer: Bool, _ bytes: [UInt8], pieceByteCountMax: Int) {
        var (dialer, listener) = (MultistreamDialer(proposing: Self.protocolIDs), MultistreamListener())
        var rest = bytes[...]
        var askedCount = 0
        while !rest.isEmpty, self.error == nil, self.agreed == nil {
            let piece = Array(rest.prefix(pieceByteCountMax))
            do throws(MultistreamError) {
                let count =
                    isDialer
                    ? try dialer.receive(piece.span.bytes)
                    : try listener.receive(piece.span.bytes) { name in
                        askedCount += 1
                        require(name.utf8.count < Multistream.lineByteCountMax, "no longer name than a line holds")
                        return Self.protocolIDs.contains(name)
                    }
                self.taken += count
                rest = rest.dropFirst(count)
                self.output += isDialer ? dialer.takeOutput() : listener.takeOutput()
                self.agreed = isDialer ? dialer.agreed : listener.agreed
                require(count == piece.count || self.agreed != nil, "until there is agreement every byte is the negotiation's")
            } catch {
                self.error = error
            }
        }
        require(askedCount <= Multistream.proposalCountMax, "a listener refuses so often and no more")
        require(self.output.count <= 64 + Multistream.proposalCountMax * 16, "a negotiation is short")
        if let agreed = self.agreed { require(Self.protocolIDs.contains(agreed), "what is agreed on is spoken here") }
        // What was said before an error depends on the cuts.
        if self.error != nil { (self.taken, self.output) = (0, []) }
    }

    static let seeds: [[UInt8]] = {
        func line(_ text: String) -> [UInt8] { FrameReader.frame(Array((text + "\n").utf8)) }
        let header = line(Multistream.header)
        return [
            [0] + header + line("/b/1") + [1, 2, 3], [1] + header + line("na") + line("/b/1") + [1, 2],
            [0] + header + line("ls") + line("/c"),
            [1] + header + line("na") + line("na"), [2] + header + (0..<70).flatMap { line("/no/\($0)") }, [3] + line("/other/1"),
        ]
    }()
}

// MARK: - Noise

private enum NoiseRun {
    private static func handshake(_ role: NoiseRole) throws -> NoiseHandshake {
        let isInitiator = role == .initiator
        return try NoiseHandshake(
            role, staticKey: KnownPeers.staticKeys[isInitiator ? 1 : 0], ephemeral: KnownPeers.ephemeralKey(isInitiator ? 1 : 2),
            muxers: ["/yamux/1.0.0"])
    }

    /// Whatever comes in its place, nobody but the honest other end completes a handshake, and what comes after is authentic or refused.
    static func handshake(_ role: NoiseRole, _ bytes: [UInt8]) throws {
        var handshake = try Self.handshake(role)
        _ = try handshake.start()
        var rest = bytes[...]
        while !rest.isEmpty, !handshake.isComplete {
            _ = try handshake.receive(rest.prefix(97))
            rest = rest.dropFirst(97)
        }
        guard handshake.isComplete else { return }
        var session = handshake.finish()
        require(session.remotePeer == KnownPeers.identities[role == .initiator ? 0 : 1].id, "nobody forges an identity")
        let received = session.received + rest
        let text = try session.channel.receive(received)
        require(text.count <= received.count, "what comes out came in")
        require(session.channel.bufferedByteCount <= NoiseChannel.messageByteCountMax + 2, "a channel holds one message at most")
        _ = try session.channel.send(text)
    }

    static func payload(_ payload: [UInt8]) throws {
        var handshake = try Self.handshake(.responder)
        try NoiseByHand.shake(&handshake, payload: payload, staticSecret: NoiseByHand.staticSecret())
        require(handshake.isComplete, "a handshake without an error is complete")
        let session = handshake.finish()
        require(session.remotePeer == KnownPeers.others[0].id, "nobody forges an identity")
        require(session.muxer == nil || session.muxer == "/yamux/1.0.0", "both speak what is agreed on")
    }

    static func seeds() throws -> [[UInt8]] {
        var near = try Self.handshake(.initiator)
        var far = try Self.handshake(.responder)
        let first = try near.start()
        let second = try far.receive(first)
        let third = try near.receive(second)
        _ = try far.receive(third)
        var here = near.finish()
        var there = far.finish()
        let (fromHere, fromThere) = (try here.channel.send([1, 2, 3]), try there.channel.send([UInt8](repeating: 4, count: 300)))
        let payloads = [["/yamux/1.0.0"], [], ["/other/1", "/yamux/1.0.0"]]
        return try [[1] + first + third + fromHere, [0] + second + fromThere, [1] + first, [0] + second]
            + payloads.map { try [2] + NoiseByHand.payload(muxers: $0) }
    }
}
