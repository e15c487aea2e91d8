internal import CryptoPrimitives

/// The encrypted bytes of a connection, both directions: messages of at most 65,535 bytes, each with its length before it.
///
/// Bytes go in as they come from the network, text goes out, and the other way round. Received bytes are decrypted where they lie; only
/// a message that was cut on its way is put together in a buffer of its own. An error ends the connection: all later calls throw it again.
public struct NoiseChannel: ~Copyable, Sendable {
    /// Longest message, in bytes, its 2-byte length not counted (Noise Protocol Framework, revision 34, section 3).
    public static let messageByteCountMax = 65_535
    /// Most bytes of text in one message.
    public static let plaintextByteCountMax = Self.messageByteCountMax - ChaCha20Poly1305.tagByteCount

    private static let lengthByteCount = 2

    private let role: NoiseRole
    private let keys: NoiseKeys
    private var sentCount: UInt64 = 0
    private var receivedCount: UInt64 = 0
    private var partial: [UInt8] = []  // a message that has not come whole, its length included
    private var failure: NoiseError?

    init(_ role: NoiseRole, keys: consuming NoiseKeys) {
        self.role = role
        self.keys = keys
    }

    /// Starts at later counters, which tests reach in no other way.
    init(_ role: NoiseRole, keys: consuming NoiseKeys, sentCount: UInt64, receivedCount: UInt64) {
        self.init(role, keys: keys)
        self.sentCount = sentCount
        self.receivedCount = receivedCount
    }

    /// Bytes that wait for the rest of their message: at most 65,536.
    public var bufferedByteCount: Int { self.partial.count }

    /// Nothing more is received: gives back what waits for its rest. Sending goes on.
    mutating func stopReceiving() { self.partial = [] }

    // MARK: Sending

    /// How many bytes a text of this length takes on the wire.
    public static func encryptedByteCount(of plaintextByteCount: Int) -> Int {
        let messageCount = (plaintextByteCount + Self.plaintextByteCountMax - 1) / Self.plaintextByteCountMax
        return plaintextByteCount + messageCount * (Self.lengthByteCount + ChaCha20Poly1305.tagByteCount)
    }

    /// The bytes to send for a text of any length, in as few messages as it takes; none for an empty one.
    public mutating func send(_ plaintext: [UInt8]) throws(NoiseError) -> [UInt8] {
        try plaintext.withUnsafeBytes { bytes in Result { () throws(NoiseError) in try self.send(bytes) } }.get()
    }

    /// The same for a text in a buffer, which is read once and copied nowhere else.
    public mutating func send(_ plaintext: UnsafeRawBufferPointer) throws(NoiseError) -> [UInt8] {
        if let failure = self.failure { throw failure }
        let total = Self.encryptedByteCount(of: plaintext.count)
        let messageCount = (total - plaintext.count) / (Self.lengthByteCount + ChaCha20Poly1305.tagByteCount)
        // The last nonce is never used (Noise Protocol Framework, revision 34, section 5.1).
        guard UInt64(messageCount) <= UInt64.max - self.sentCount else {
            self.failure = .noncesExhausted
            throw .noncesExhausted
        }
        let firstNonce = self.sentCount
        self.sentCount += UInt64(messageCount)
        return self.keys.withKey(of: self.role) { key in
            [UInt8](unsafeUninitializedCapacity: total) { buffer, initializedCount in
                let output = UnsafeMutableRawBufferPointer(buffer)
                var (start, nonce) = (0, firstNonce)
                for textStart in stride(from: 0, to: plaintext.count, by: Self.plaintextByteCountMax) {
                    let text = UnsafeRawBufferPointer(rebasing: plaintext[textStart...].prefix(Self.plaintextByteCountMax))
                    let count = text.count + ChaCha20Poly1305.tagByteCount
                    output[start] = UInt8(count >> 8)
                    output[start + 1] = UInt8(count & 255)
                    start += Self.lengthByteCount
                    ChaCha20Poly1305.seal(
                        text, key: key, nonce: .init(counter: nonce),
                        to: UnsafeMutableRawBufferPointer(rebasing: output[start..<(start + count)]))
                    start += count
                    nonce += 1
                }
                initializedCount = start
            }
        }
    }

    /// Most bytes that a message takes beyond its text: its length and its tag.
    public static let overheadByteCount = Self.lengthByteCount + ChaCha20Poly1305.tagByteCount

    /// Writes one message into a buffer: its text is written where it is then encrypted, so that nothing is copied.
    ///
    /// - Parameters:
    ///   - target: Room for the message: more than `overheadByteCount` bytes. What exceeds the longest message is not used.
    ///   - write: Writes the text, as much as there is room for, perhaps none.
    /// - Returns: the number of bytes of `target` to send; 0 when there is no text.
    public mutating func send(
        into target: UnsafeMutableRawBufferPointer, _ write: (inout OutputRawSpan) -> Void
    ) throws(NoiseError) -> Int {
        if let failure = self.failure { throw failure }
        guard self.sentCount < .max else {
            self.failure = .noncesExhausted
            throw .noncesExhausted
        }
        precondition(target.count > Self.overheadByteCount, "a message takes \(Self.overheadByteCount) bytes and its text")
        let room = min(target.count - Self.overheadByteCount, Self.plaintextByteCountMax)
        let textBuffer = UnsafeMutableRawBufferPointer(rebasing: target[Self.lengthByteCount...].prefix(room))
        var output = OutputRawSpan(buffer: textBuffer, initializedCount: 0)
        write(&output)
        let textCount = output.finalize(for: textBuffer)
        guard textCount > 0 else { return 0 }
        let count = textCount + ChaCha20Poly1305.tagByteCount
        target[0] = UInt8(count >> 8)
        target[1] = UInt8(count & 255)
        let nonce = ChaCha20Poly1305.Nonce(counter: self.sentCount)
        self.sentCount += 1
        self.keys.withKey(of: self.role) { key in
            ChaCha20Poly1305.seal(
                UnsafeRawBufferPointer(rebasing: textBuffer[..<textCount]), key: key, nonce: nonce,
                to: UnsafeMutableRawBufferPointer(rebasing: target[Self.lengthByteCount...].prefix(count)))
        }
        return Self.lengthByteCount + count
    }

    // MARK: Receiving

    /// The text in these bytes, as far as its messages are whole.
    public mutating func receive(_ bytes: [UInt8]) throws(NoiseError) -> [UInt8] {
        var (bytes, text) = (bytes, [UInt8]())
        try bytes.withUnsafeMutableBytes { bytes in
            Result { () throws(NoiseError) in try self.receive(bytes) { text.append(contentsOf: $0) } }
        }.get()
        return text
    }

    /// Hands out the text in these bytes, message by message, and overwrites them.
    ///
    /// - Parameters:
    ///   - bytes: As they came from the network, cut anywhere.
    ///   - deliver: Called with the text of each message that is whole. The buffer ends with the call.
    /// - Throws: at the first message that is not authentic; what was delivered before it is.
    public mutating func receive(
        _ bytes: UnsafeMutableRawBufferPointer, deliver: (UnsafeRawBufferPointer) -> Void
    ) throws(NoiseError) {
        if let failure = self.failure { throw failure }
        do throws(NoiseError) {
            var position = try self.completePartial(bytes, deliver)
            while let count = Self.messageByteCount(UnsafeRawBufferPointer(bytes), at: position) {
                let start = position + Self.lengthByteCount
                guard bytes.count - start >= count else { break }
                try self.open(UnsafeMutableRawBufferPointer(rebasing: bytes[start..<(start + count)]), deliver)
                position = start + count
            }
            self.partial.append(contentsOf: bytes[position...])
            try Self.check(self.partial)
        } catch {
            self.failure = error
            self.partial = []
            throw error
        }
    }

    /// Adds to a message that was cut before, and hands it out when it is whole.
    ///
    /// - Returns: how many of the bytes it took.
    private mutating func completePartial(
        _ bytes: UnsafeMutableRawBufferPointer, _ deliver: (UnsafeRawBufferPointer) -> Void
    ) throws(NoiseError) -> Int {
        guard !self.partial.isEmpty else { return 0 }
        var position = 0
        if self.partial.count < Self.lengthByteCount {
            self.partial.append(contentsOf: bytes.prefix(1))
            position = min(1, bytes.count)
        }
        guard self.partial.count >= Self.lengthByteCount else { return position }
        let count = Int(self.partial[0]) << 8 | Int(self.partial[1])
        let missing = Self.lengthByteCount + count - self.partial.count
        let taken = min(missing, bytes.count - position)
        self.partial.append(contentsOf: bytes[position..<(position + taken)])
        position += taken
        guard taken == missing else { return position }
        // Taken out first: with it the memory goes back, of which an idle connection should hold none.
        var message = self.partial
        self.partial = []
        try message.withUnsafeMutableBytes { message in
            Result { () throws(NoiseError) in
                try self.open(UnsafeMutableRawBufferPointer(rebasing: message[Self.lengthByteCount...]), deliver)
            }
        }.get()
        return position
    }

    private static func messageByteCount(_ bytes: UnsafeRawBufferPointer, at position: Int) -> Int? {
        guard bytes.count - position >= Self.lengthByteCount else { return nil }
        return Int(bytes[position]) << 8 | Int(bytes[position + 1])
    }

    /// A message too short for its tag is refused as soon as its length is known.
    private static func check(_ partial: [UInt8]) throws(NoiseError) {
        guard let count = partial.withUnsafeBytes({ Self.messageByteCount($0, at: 0) }) else { return }
        guard count >= ChaCha20Poly1305.tagByteCount else { throw .messageTooShort(byteCount: count) }
    }

    /// Decrypts a message where it lies.
    private mutating func open(
        _ message: UnsafeMutableRawBufferPointer, _ deliver: (UnsafeRawBufferPointer) -> Void
    ) throws(NoiseError) {
        guard message.count >= ChaCha20Poly1305.tagByteCount else { throw .messageTooShort(byteCount: message.count) }
        guard self.receivedCount < .max else { throw .noncesExhausted }
        let text = UnsafeMutableRawBufferPointer(rebasing: message.dropLast(ChaCha20Poly1305.tagByteCount))
        let nonce = ChaCha20Poly1305.Nonce(counter: self.receivedCount)
        let isAuthentic = self.keys.withKey(of: self.role.other) { key in
            (try? ChaCha20Poly1305.open(UnsafeRawBufferPointer(message), key: key, nonce: nonce, to: text)) != nil
        }
        guard isAuthentic else { throw .notAuthentic }
        self.receivedCount += 1
        if !text.isEmpty { deliver(UnsafeRawBufferPointer(text)) }
    }
}
