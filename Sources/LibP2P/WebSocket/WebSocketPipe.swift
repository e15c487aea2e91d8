/// A pipe of bytes through a WebSocket (RFC 6455), as libp2p's `/ws` uses it: binary messages whose borders mean nothing.
///
/// A value between a socket and a connection. Bytes of the socket go into ``receive(_:deliver:)``, which takes the frames off where they
/// lie; ``frame(_:in:)`` puts one around bytes where they lie. Handshake and control frames come out of ``takeOutput()``: send them before
/// further frames.
public struct WebSocketPipe: Sendable {
    /// Most bytes of a message, in one frame or many. It is passed on as it comes, so this bounds no memory; honest peers stay far below.
    public static let messageByteCountMax = 16_777_216

    /// Room that ``frame(_:in:)`` needs before the bytes.
    public static let headerByteCountMax = WebSocketFrameHeader.byteCountMax

    /// Whether the handshake is over and frames may be sent.
    public private(set) var isOpen = false
    /// The other end sends no more.
    public private(set) var isEndedByPeer = false
    private var isClosedHere = false

    /// What the client drew; `nil` at the server.
    private let nonce: [UInt8]?
    /// Masks keep a client's bytes from being mistaken for HTTP by what stands between (section 10.3). What is sent here is encrypted
    /// and nobody can choose it, so a generator from an unpredictable seed is enough.
    private var masks: SeededRandom
    private var output: [UInt8] = []
    /// The newest unanswered ping; one answer is enough for several (section 5.5.3), so a flood of pings holds nothing.
    private var pong: [UInt8]?

    /// The head of the handshake, or a frame's header, as far as it came.
    private var partial: [UInt8] = []
    private var frame: WebSocketFrameHeader?
    /// How many of the frame's bytes have come.
    private var frameOffset = 0
    private var control: [UInt8] = []
    /// Bytes of a message whose last frame has not come; `nil` between messages.
    private var messageByteCount: Int?

    /// The end that dialled.
    ///
    /// - Parameters:
    ///   - host: name or address, with the port, for the server's eyes.
    ///   - nonce: 16 unpredictable bytes.
    ///   - maskSeed: unpredictable as well.
    public init(dialling host: String, nonce: [UInt8], maskSeed: UInt64) {
        precondition(nonce.count == WebSocketHandshake.nonceByteCount, "a WebSocket's nonce has 16 bytes")
        self.nonce = nonce
        self.masks = SeededRandom(seed: maskSeed)
        self.output = WebSocketHandshake.request(host: host, nonce: nonce)
    }

    /// The end that listened.
    public init() {
        self.nonce = nil
        self.masks = SeededRandom(seed: 0)
    }

    private var isClient: Bool { self.nonce != nil }

    /// Bytes held for the other side's unfinished frames and for our unsent control frames.
    public var heldByteCount: Int { self.partial.count + self.control.count + self.output.count + (self.pong?.count ?? 0) }
}

// MARK: - Bytes of the socket

extension WebSocketPipe {
    /// Takes in bytes of the socket, in pieces of any size, and passes on what they carry, unmasked where it lies.
    ///
    /// After an error the pipe is not used any more, but for ``takeOutput()``, which says goodbye.
    public mutating func receive(
        _ bytes: UnsafeMutableRawBufferPointer, deliver: (UnsafeMutableRawBufferPointer) -> Void
    ) throws(WebSocketError) {
        guard !self.isEndedByPeer, !self.isClosedHere else { return }
        do throws(WebSocketError) {
            try self.take(bytes, deliver)
        } catch {
            self.fail(error)
            throw error
        }
    }

    private mutating func take(
        _ bytes: UnsafeMutableRawBufferPointer, _ deliver: (UnsafeMutableRawBufferPointer) -> Void
    ) throws(WebSocketError) {
        var offset = self.isOpen ? 0 : try self.takeHead(bytes)
        while offset < bytes.count, !self.isEndedByPeer {
            guard let frame = self.frame else {
                self.partial.append(bytes[offset])
                offset += 1
                try self.takeHeader()
                continue
            }
            let end = min(bytes.count, offset + frame.byteCount - self.frameOffset)
            let piece = UnsafeMutableRawBufferPointer(rebasing: bytes[offset..<end])
            if let mask = frame.mask { WebSocketFrameHeader.apply(mask, to: piece, offset: self.frameOffset) }
            self.frameOffset += piece.count
            offset = end
            if frame.opcode.isControl {
                self.control += piece
            } else if !piece.isEmpty {
                deliver(piece)
            }
            self.finishFrame()
        }
    }

    /// Collects the handshake's head, and gives the offset of what follows it.
    private mutating func takeHead(_ bytes: UnsafeMutableRawBufferPointer) throws(WebSocketError) -> Int {
        let known = self.partial.count
        self.partial += bytes.prefix(WebSocketHandshake.headByteCountMax - known)
        guard let end = WebSocketHandshake.endOfHead(in: self.partial, searched: known) else {
            guard self.partial.count < WebSocketHandshake.headByteCountMax else {
                throw .headTooLong(maximum: WebSocketHandshake.headByteCountMax)
            }
            return bytes.count
        }
        let head = Array(self.partial[..<end])
        self.partial = []
        if let nonce = self.nonce {
            try WebSocketHandshake.check(answer: head, nonce: nonce)
        } else {
            self.output = try WebSocketHandshake.answer(to: head)
        }
        self.isOpen = true
        return end - known
    }

    private mutating func takeHeader() throws(WebSocketError) {
        guard let (header, _) = try WebSocketFrameHeader.parse(self.partial) else { return }
        self.partial.removeAll(keepingCapacity: true)
        guard (header.mask != nil) != self.isClient else { throw .wrongMasking }
        switch header.opcode {
        case .text: throw .textFrame
        case .close, .ping, .pong: break
        case .binary:
            guard self.messageByteCount == nil else { throw .wrongFragment }
            try self.count(header, after: 0)
        case .continuation:
            guard let before = self.messageByteCount else { throw .wrongFragment }
            try self.count(header, after: before)
        }
        self.frame = header
        self.frameOffset = 0
        self.finishFrame()
    }

    private mutating func count(_ header: WebSocketFrameHeader, after before: Int) throws(WebSocketError) {
        guard header.byteCount <= Self.messageByteCountMax - before else { throw .messageTooLong(maximum: Self.messageByteCountMax) }
        self.messageByteCount = header.isFinal ? nil : before + header.byteCount
    }

    private mutating func finishFrame() {
        guard let frame = self.frame, self.frameOffset == frame.byteCount else { return }
        self.frame = nil
        switch frame.opcode {
        case .continuation, .binary, .text, .pong: break
        case .ping: self.pong = self.control
        case .close:
            self.isEndedByPeer = true
            // The same code goes back (section 5.5.1).
            self.sendClose(Array(self.control.prefix(2)))
        }
        self.control = []
    }

    private mutating func fail(_ error: WebSocketError) {
        self.partial = []
        self.control = []
        if self.isOpen {
            withUnsafeBytes(of: error.closeCode.bigEndian) { self.sendClose(Array($0)) }
        } else if !self.isClient {
            self.output = WebSocketHandshake.refusal
        }
        self.isClosedHere = true
    }
}

// MARK: - Bytes for the socket

extension WebSocketPipe {
    /// Says goodbye: nothing more comes from here.
    public mutating func close() {
        guard self.isOpen else { return }
        withUnsafeBytes(of: UInt16(1000).bigEndian) { self.sendClose(Array($0)) }
    }

    /// Whether ``takeOutput()`` gives something.
    public var hasOutput: Bool { !self.output.isEmpty || self.pong != nil }

    /// Handshake and control frames, to be sent before any further frame.
    public mutating func takeOutput() -> [UInt8] {
        if let pong = self.pong.take(), !self.isClosedHere { self.output += self.controlFrame(.pong, pong) }
        defer { self.output = [] }
        return self.output
    }

    /// Puts a frame around bytes that lie behind ``headerByteCountMax`` free ones.
    ///
    /// - Returns: where in the buffer the frame lies now.
    public mutating func frame(_ byteCount: Int, in buffer: UnsafeMutableRawBufferPointer) -> Range<Int> {
        let start = Self.headerByteCountMax
        let mask = self.nextMask()
        let header = WebSocketFrameHeader(isFinal: true, opcode: .binary, byteCount: byteCount, mask: mask).bytes
        if let mask {
            let payload = UnsafeMutableRawBufferPointer(rebasing: buffer[start..<start + byteCount])
            WebSocketFrameHeader.apply(mask, to: payload, offset: 0)
        }
        UnsafeMutableRawBufferPointer(rebasing: buffer[(start - header.count)..<start]).copyBytes(from: header)
        return (start - header.count)..<(start + byteCount)
    }

    private mutating func nextMask() -> UInt32? { self.isClient ? UInt32(truncatingIfNeeded: self.masks.next()) : nil }

    private mutating func sendClose(_ payload: [UInt8]) {
        guard !self.isClosedHere else { return }
        self.output += self.controlFrame(.close, payload)
        self.isClosedHere = true
    }

    private mutating func controlFrame(_ opcode: WebSocketOpcode, _ payload: [UInt8]) -> [UInt8] {
        let mask = self.nextMask()
        var payload = payload
        if let mask { payload.withUnsafeMutableBytes { WebSocketFrameHeader.apply(mask, to: $0, offset: 0) } }
        return WebSocketFrameHeader(isFinal: true, opcode: opcode, byteCount: payload.count, mask: mask).bytes + payload
    }
}
