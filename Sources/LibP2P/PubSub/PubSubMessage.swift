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
    /// Whether the field of the data is there: an empty one and none are two things to a signature.
    var hasDataField = true
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
        self.init()
        try self.read(reader)
    }

    /// Without any field.
    init() {
        self.data = []
        self.hasDataField = false
    }

    /// Reads the fields. After an error those are set that came before it.
    mutating func read(_ reader: ProtobufReader) throws(ProtobufError) {
        var (reader, topicCount) = (reader, 0)
        while let field = try reader.next() {
            switch field.number {
            case 1: self.from = Array(try field.bytes())
            case 2: (self.data, self.hasDataField) = (Array(try field.bytes()), true)
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
            self.writeSignedFields(to: &message, withData: self.hasDataField)
            if let signature = self.signature { message.bytes(signature, field: 5) }
            if let key = self.key { message.bytes(key, field: 6) }
            message.encoded(self.unknownFields)
        }
    }

    /// What the signature covers: neither itself nor, in all deployed peers, the key.
    var signedBytes: [UInt8] { self.signedBytes(withData: self.hasDataField, withUnknown: true) }

    private func signedBytes(withData: Bool, withUnknown: Bool) -> [UInt8] {
        Self.signatureDomain
            + ProtobufWriter.message { message in
                self.writeSignedFields(to: &message, withData: withData)
                if withUnknown { message.encoded(self.unknownFields) }
            }
    }

    private func writeSignedFields(to message: inout ProtobufWriter, withData: Bool) {
        if let from = self.from { message.bytes(from, field: 1) }
        if withData { message.bytes(self.data, field: 2) }
        if let sequence = self.sequence { message.bytes(sequence, field: 3) }
        if let topic = self.topic { message.string(topic, field: 4) }
    }
}

// MARK: - Verification

extension PubSubMessage {
    /// Why a message does not count, whoever brought it.
    enum Fault: Error, Equatable, Sendable {
        /// No implementation takes such a message, so none passes it on.
        case missingField
        case unexpectedField
        /// `key` is another one than the author's id holds.
        case forgedAuthor
        case wrongSignature
        /// Others may take such a message and pass it on, so who brings it is not to blame.
        case unverifiableAuthor
        case disputedSignature
        case unusualSequence

        /// Whether only a forger can have sent the message.
        var isForgery: Bool {
            switch self {
            case .missingField, .unexpectedField, .forgedAuthor, .wrongSignature: true
            case .unverifiableAuthor, .disputedSignature, .unusualSequence: false
            }
        }
    }

    /// Whether the fields are there that the topic's policy asks for: what everybody checks before anything else.
    func checkFields(_ policy: PubSubSignaturePolicy) throws(Fault) {
        switch policy {
        case .strictNoSign:
            guard self.from == nil, self.sequence == nil, self.signature == nil, self.key == nil else { throw .unexpectedField }
        case .strictSign:
            guard self.from != nil, self.signature != nil else { throw .missingField }
        }
    }

    /// Checks the fields and the signature by the topic's policy.
    ///
    /// Where implementations differ, the message is not taken here, and the fault is none of the forgeries: a stranger could otherwise
    /// have honest peers bring us what they rightly take, and have us hold it against them.
    ///
    /// - Returns: the message as it can be passed on: with a field for its data also where only its author wrote one.
    @discardableResult
    func verify(_ policy: PubSubSignaturePolicy) throws(Fault) -> PubSubMessage {
        try self.checkFields(policy)
        guard policy == .strictSign, let signature = self.signature else { return self }
        let key = try self.verifiableKey()
        guard let verified = self.signed(signature, by: key, withUnknown: true) else {
            // py-libp2p and js-libp2p leave out of what they verify the fields that they do not know, and py-libp2p passes them on.
            let isOtherwise = !self.unknownFields.isEmpty && self.signed(signature, by: key, withUnknown: false) != nil
            throw isOtherwise || !key.judgesAsAll(signature) ? .disputedSignature : .wrongSignature
        }
        guard self.sequence?.count == Self.sequenceByteCount else { throw .unusualSequence }
        return verified
    }

    /// The message in the form that was signed. go-libp2p signs and verifies without data what has none; py-libp2p always writes the field.
    private func signed(_ signature: [UInt8], by key: PeerPublicKey, withUnknown: Bool) -> PubSubMessage? {
        var message = self
        while true {
            let bytes = message.signedBytes(withData: message.hasDataField, withUnknown: withUnknown)
            if (try? key.verify(signature, of: bytes)) != nil { return message }
            guard !message.hasDataField else { return nil }
            message.hasDataField = true
        }
    }

    /// Whether any message by this author can be taken.
    var hasVerifiableAuthor: Bool { self.authorKey != nil }

    /// The key in the author's id. Ids that are hashes belong to RSA and ECDSA keys; one that is not the id of its own key has different
    /// owners for different implementations.
    private var authorKey: PeerPublicKey? {
        guard let author = self.author, let key = author.inlineKey, PeerID(of: key) == author else { return nil }
        if case .rsa = key.type { return nil }
        if case .ecdsa = key.type { return nil }
        return key
    }

    private func verifiableKey() throws(Fault) -> PeerPublicKey {
        // Where the id is a hash js-libp2p does not compare it with the key, and rust-libp2p passes over a key that it cannot read.
        guard let authorKey = self.authorKey else { throw .unverifiableAuthor }
        guard let bytes = self.key, !bytes.isEmpty else { return authorKey }
        guard let key = try? PeerPublicKey(parsing: bytes) else { throw .unverifiableAuthor }
        guard key == authorKey else { throw .forgedAuthor }
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
