/// What tells one message from all others: bytes that every peer of a topic derives alike.
public struct PubSubMessageID: Hashable, Sendable, CustomStringConvertible {
    /// Most bytes of an id: the author's id and a sequence number take 52, a hash 64; the rest is room for applications.
    public static let byteCountMax = 256

    public let bytes: [UInt8]

    public init(_ bytes: [UInt8]) { self.bytes = bytes }

    /// The bytes as hexadecimal digits.
    public var description: String { String(decoding: self.inHex.bytes, as: UTF8.self) }
}

/// A message as it stands on the wire (libp2p pubsub, "The Message"), or as it will.
public struct PubSubMessage: Hashable, Sendable {
    /// What is signed begins with these bytes (libp2p pubsub, "Message Signing").
    static let signatureDomain = Array("libp2p-pubsub:".utf8)
    /// Bytes of a sequence number. Only its owner counts with it; to everybody else it is opaque.
    public static let sequenceByteCount = 8

    /// The author's peer id as it arrived; `nil` if the field is absent.
    public var from: [UInt8]?
    public var data: [UInt8]
    public var sequence: [UInt8]?
    /// `nil` for what is no topic: absent, named twice, too long or not UTF-8.
    public var topic: String?
    public var signature: [UInt8]?
    /// The author's public key, which is needed only where `from` is its hash.
    public var key: [UInt8]?
    /// Fields that are not known here, as they arrived: they are signed too, and passed on.
    public var unknownFields: [UInt8] = []

    /// A message that nobody signs.
    public init(topic: String, data: [UInt8]) {
        self.data = data
        self.topic = topic
    }

    /// A message that its author signs.
    ///
    /// - Parameter sequence: 8 bytes that this author uses once in the topic.
    public init(topic: String, data: [UInt8], sequence: [UInt8], signedBy identity: PeerIdentity) {
        precondition(sequence.count == Self.sequenceByteCount, "a sequence number has 8 bytes")
        self.init(topic: topic, data: data)
        self.from = identity.id.bytes
        self.sequence = sequence
        if identity.id.inlineKey == nil { self.key = identity.publicKey.encoded }
        self.signature = identity.sign(self.signedBytes)
    }

    /// The author, if the field holds a peer id.
    public var author: PeerID? { self.from.flatMap { try? PeerID(parsing: $0) } }
}

// MARK: - Protobuf

extension PubSubMessage {
    /// Reads the protobuf message `Message`.
    init(_ reader: ProtobufReader) throws(ProtobufError) {
        self.data = []
        var (reader, topicCount) = (reader, 0)
        while let field = try reader.next() {
            switch field.number {
            case 1: self.from = Array(try field.bytes())
            case 2: self.data = Array(try field.bytes())
            case 3: self.sequence = Array(try field.bytes())
            case 4:
                topicCount += 1
                self.topic = try PubSubTopic.read(field)
            case 5: self.signature = Array(try field.bytes())
            case 6: self.key = Array(try field.bytes())
            default: self.unknownFields += field.encoded
            }
        }
        // Older peers may name several topics; which one a signature would then count for is nobody's to guess.
        if topicCount > 1 { self.topic = nil }
    }

    /// The message with its known fields in order and the others behind: what every implementation makes of it when it passes it on.
    var encoded: [UInt8] {
        ProtobufWriter.message { message in
            self.writeSignedFields(to: &message)
            if let signature = self.signature { message.bytes(signature, field: 5) }
            if let key = self.key { message.bytes(key, field: 6) }
            message.encoded(self.unknownFields)
        }
    }

    /// What the signature covers: neither itself nor, in all deployed peers, the key.
    var signedBytes: [UInt8] {
        Self.signatureDomain
            + ProtobufWriter.message { message in
                self.writeSignedFields(to: &message)
                message.encoded(self.unknownFields)
            }
    }

    private func writeSignedFields(to message: inout ProtobufWriter) {
        if let from = self.from { message.bytes(from, field: 1) }
        // Also when empty: py-libp2p always writes it before it verifies.
        message.bytes(self.data, field: 2)
        if let sequence = self.sequence { message.bytes(sequence, field: 3) }
        if let topic = self.topic { message.string(topic, field: 4) }
    }
}

// MARK: - Verification

extension PubSubMessage {
    /// Why a message does not count, whoever brought it.
    enum Fault: Error, Equatable, Sendable {
        case missingField
        case unexpectedField
        /// `from` is no peer id, or `key` is not its key.
        case forgedAuthor
        case wrongSignature
        /// The author has a key whose signatures are not verified here: nobody's fault.
        case unverifiableKey
    }

    /// Checks the fields and the signature by the topic's policy.
    func verify(_ policy: PubSubSignaturePolicy) throws(Fault) {
        switch policy {
        case .strictNoSign:
            guard self.from == nil, self.sequence == nil, self.signature == nil, self.key == nil else { throw .unexpectedField }
        case .strictSign:
            guard let from = self.from, let signature = self.signature, self.sequence?.count == Self.sequenceByteCount else {
                throw .missingField
            }
            guard let author = try? PeerID(parsing: from) else { throw .forgedAuthor }
            let key = try self.key(of: author)
            do throws(PeerKeyError) {
                try key.verify(signature, of: self.signedBytes)
            } catch {
                if case .cannotVerify = error { throw .unverifiableKey }
                throw .wrongSignature
            }
        }
    }

    private func key(of author: PeerID) throws(Fault) -> PeerPublicKey {
        guard let bytes = self.key, !bytes.isEmpty else {
            guard let key = author.inlineKey else { throw .missingField }
            return key
        }
        guard let key = try? PeerPublicKey(parsing: bytes), PeerID(of: key) == author else { throw .forgedAuthor }
        return key
    }
}

/// Who signs (libp2p pubsub, "Signature Policy Options"). All peers of a topic use the same.
public enum PubSubSignaturePolicy: Sendable {
    /// Author, sequence number and signature must be there and right.
    case strictSign
    /// They must be absent.
    case strictNoSign
}

/// What a message's id is made of. All peers of a topic use the same.
public enum PubSubMessageIdentification: Sendable {
    /// The author and its sequence number: needs `PubSubSignaturePolicy.strictSign`.
    case authorAndSequence
    /// The application's own rule. It sees messages that are not verified yet, and gives at most `PubSubMessageID.byteCountMax` bytes.
    case custom(@Sendable (PubSubMessage) -> [UInt8])

    func id(of message: PubSubMessage) -> PubSubMessageID {
        switch self {
        case .authorAndSequence: PubSubMessageID((message.from ?? []) + (message.sequence ?? []))
        case .custom(let rule): PubSubMessageID(rule(message))
        }
    }
}

/// The names of topics.
public enum PubSubTopic {
    /// Most UTF-8 code units of a topic's name: applications use paths of under a hundred.
    public static let byteCountMax = 256

    public static func isValid(_ topic: String) -> Bool { (1...Self.byteCountMax).contains(topic.utf8.count) }

    /// The topic in a field; `nil` for bytes that name none.
    static func read(_ field: ProtobufField) throws(ProtobufError) -> String? {
        let bytes = try field.bytes()
        guard (1...Self.byteCountMax).contains(bytes.count) else { return nil }
        return String(validating: bytes, as: UTF8.self)
    }
}

// MARK: - Ids as text

extension PubSubMessageID {
    /// py-libp2p writes ids into IHAVE and IWANT as hexadecimal text. The same id in that form.
    var inHex: PubSubMessageID {
        PubSubMessageID(self.bytes.flatMap { [Self.digits[Int($0 >> 4)], Self.digits[Int($0 & 15)]] })
    }

    /// The id of which this is the hexadecimal text; `nil` if it is none.
    var fromHex: PubSubMessageID? {
        guard !self.bytes.isEmpty, self.bytes.count.isMultiple(of: 2) else { return nil }
        var (bytes, high) = ([UInt8](), UInt8?.none)
        for digit in self.bytes {
            let value: UInt8
            switch digit {
            case 0x30...0x39: value = digit - 0x30
            case 0x61...0x66: value = digit - 0x61 + 10
            case 0x41...0x46: value = digit - 0x41 + 10
            default: return nil
            }
            if let first = high {
                bytes.append(first << 4 | value)
                high = nil
            } else {
                high = value
            }
        }
        return PubSubMessageID(bytes)
    }

    private static let digits = Array("0123456789abcdef".utf8)
}
