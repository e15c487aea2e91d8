internal import CryptoPrimitives

/// The handshake `Noise_XX_25519_ChaChaPoly_SHA256` by itself, with payloads that mean nothing to it (Noise Protocol Framework,
/// revision 34, sections 5.3 and 7.5).
///
///     initiator                        responder
///         ──── e ───────────────────────▶
///         ◀─── e, ee, s, es ─────────────
///         ──── s, se ───────────────────▶
struct NoiseXX: ~Copyable, Sendable {
    static let messageCount = 3

    private let role: NoiseRole
    private let staticKey: NoiseStaticKey
    private let ephemeral: X25519.SecretKey
    private var symmetric: NoiseSymmetricState
    private var remoteEphemeral: X25519.PublicKey?
    /// The other side's static key, known to the initiator after the second message, to the responder after the third.
    private(set) var remoteStatic: X25519.PublicKey?
    /// How many messages have been written and read.
    private(set) var messagesDone = 0

    init(
        _ role: NoiseRole, staticKey: NoiseStaticKey, ephemeral: consuming X25519.SecretKey, prologue: [UInt8]
    ) throws(SecretMemoryError) {
        self.symmetric = try NoiseSymmetricState(protocolName: "Noise_XX_25519_ChaChaPoly_SHA256")
        self.role = role
        self.staticKey = staticKey
        self.ephemeral = ephemeral
        self.symmetric.mixHash(prologue)
    }

    var isComplete: Bool { self.messagesDone == Self.messageCount }

    /// Whether the next message is this side's to write: the initiator has the first and the third.
    var isOwnTurn: Bool { !self.isComplete && (self.messagesDone % 2 == 0) == (self.role == .initiator) }

    /// The hash of all that was said; after the handshake it names the connection.
    var transcriptHash: Bytes32 { self.symmetric.transcriptHash }

    /// The next message of this side. Only at its turn.
    mutating func write(_ payload: [UInt8]) throws(NoiseError) -> [UInt8] {
        precondition(self.isOwnTurn, "the other side speaks next")
        var message: [UInt8] = []
        switch (self.messagesDone, self.remoteEphemeral) {
        case (1, .some(let remote)):
            message += self.writeEphemeral()
            try self.symmetric.mixKey(self.ephemeral, remote)  // ee
            message += self.symmetric.encryptAndHash(self.staticKey.secret.publicKey.bytes.bytes)  // s
            try self.symmetric.mixKey(self.staticKey.secret, remote)  // es
        case (2, .some(let remote)):
            message += self.symmetric.encryptAndHash(self.staticKey.secret.publicKey.bytes.bytes)  // s
            try self.symmetric.mixKey(self.staticKey.secret, remote)  // se
        case (_, _):
            message += self.writeEphemeral()
        }
        message += self.symmetric.encryptAndHash(payload)
        self.messagesDone += 1
        return message
    }

    private mutating func writeEphemeral() -> [UInt8] {
        let key = self.ephemeral.publicKey.bytes.bytes
        self.symmetric.mixHash(key)
        return key
    }

    /// Reads the other side's next message and gives its payload. Only when it is not this side's turn. After an error the
    /// handshake is over.
    mutating func read(_ message: ArraySlice<UInt8>) throws(NoiseError) -> [UInt8] {
        precondition(!self.isComplete && !self.isOwnTurn, "this side speaks next")
        var rest = message
        if self.messagesDone < 2 {
            let remote = X25519.PublicKey(try Self.take32(&rest))
            self.remoteEphemeral = remote
            self.symmetric.mixHash(remote.bytes.bytes)
            if self.messagesDone == 1 { try self.symmetric.mixKey(self.ephemeral, remote) }  // ee
        }
        if self.messagesDone > 0 {
            let sealedCount = X25519.byteCount + ChaCha20Poly1305.tagByteCount
            guard rest.count >= sealedCount else { throw .messageTooShort(byteCount: message.count) }
            var opened = try self.symmetric.decryptAndHash(rest.prefix(sealedCount))[...]  // s
            rest = rest.dropFirst(sealedCount)
            let remote = X25519.PublicKey(try Self.take32(&opened))
            self.remoteStatic = remote
            try self.symmetric.mixKey(self.ephemeral, remote)  // es or se: this side's part is its ephemeral key in both
        }
        let payload = try self.symmetric.decryptAndHash(rest)
        self.messagesDone += 1
        return payload
    }

    private static func take32(_ bytes: inout ArraySlice<UInt8>) throws(NoiseError) -> Bytes32 {
        guard let key = Bytes32(bytes.prefix(X25519.byteCount)) else { throw .messageTooShort(byteCount: bytes.count) }
        bytes = bytes.dropFirst(X25519.byteCount)
        return key
    }

    /// The keys of the finished handshake.
    consuming func split() -> NoiseKeys {
        precondition(self.isComplete, "keys come after the third message")
        return self.symmetric.split()
    }
}
