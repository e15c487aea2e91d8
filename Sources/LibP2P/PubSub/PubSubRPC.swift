/// One frame between two pubsub peers (libp2p pubsub, "The RPC"; gossipsub 1.0 to 1.2, "Control messages").
struct PubSubRPC: Equatable, Sendable {
    /// Most bytes of one frame, its length not counted: 1 MiB, as in go-libp2p-pubsub and py-libp2p.
    static let byteCountMax = 1_048_576

    /// Most of each kind that are read from one frame. What exceeds it is passed over and counted in `surplusCount`.
    ///
    /// A frame of 1 MiB holds half a million empty entries. Honest peers stay far below: one IHAVE names 5,000 messages at most.
    enum CountMax {
        static let subscriptions = 1_024
        static let messages = 4_096
        static let messageIDs = 5_000
        static let controls = 1_024
        static let exchangedPeers = 16
    }

    struct Subscription: Equatable, Sendable {
        var topic: String
        var isOn: Bool
    }

    struct Have: Equatable, Sendable {
        var topic: String
        var ids: [PubSubMessageID]
    }

    struct Prune: Equatable, Sendable {
        var topic: String
        var peers: [ExchangedPeer] = []
        /// In seconds; `nil` from peers that speak 1.0.
        var backoff: UInt64?
    }

    struct ExchangedPeer: Equatable, Sendable {
        var id: [UInt8]
        /// A signed envelope; empty if there is none.
        var record: [UInt8]
    }

    var subscriptions: [Subscription] = []
    var messages: [PubSubMessage] = []
    /// Messages with something in them that cannot be read here, as far as they could. Others may pass such over and on.
    var unreadableMessages: [PubSubMessage] = []
    var haves: [Have] = []
    var wants: [PubSubMessageID] = []
    var grafts: [String] = []
    var prunes: [Prune] = []
    var doNotWants: [PubSubMessageID] = []
    /// Entries that were passed over: too many, too long, or topics that are no text.
    var surplusCount = 0

    init() {}
}

// MARK: - Reading

extension PubSubRPC {
    /// Reads a frame. Fields that are not known are passed over.
    init(parsing bytes: [UInt8]) throws(ProtobufError) {
        var reader = try ProtobufReader(bytes, byteCountMax: Self.byteCountMax)
        while let field = try reader.next() {
            switch field.number {
            case 1: try self.readSubscription(try field.message())
            case 2:
                try self.readMessage(try field.message())
            case 3: try self.readControl(try field.message())
            default: break
            }
        }
    }

    private mutating func readMessage(_ reader: ProtobufReader) throws(ProtobufError) {
        guard self.messages.count + self.unreadableMessages.count < CountMax.messages else { self.surplusCount += 1; return }
        var message = PubSubMessage()
        do throws(ProtobufError) {
            try message.read(reader)
            self.messages.append(message)
        } catch {
            self.unreadableMessages.append(message)
        }
    }

    private mutating func readSubscription(_ reader: ProtobufReader) throws(ProtobufError) {
        var (reader, isOn, topic) = (reader, false, String?.none)
        while let field = try reader.next() {
            switch field.number {
            case 1: isOn = try field.bool()
            case 2: topic = try PubSubTopic.read(field)
            default: break
            }
        }
        guard let topic, self.subscriptions.count < CountMax.subscriptions else { self.surplusCount += 1; return }
        self.subscriptions.append(Subscription(topic: topic, isOn: isOn))
    }

    private mutating func readControl(_ reader: ProtobufReader) throws(ProtobufError) {
        var (reader, haveCount) = (reader, self.haves.reduce(0) { $0 + $1.ids.count })
        while let field = try reader.next() {
            guard (1...5).contains(field.number) else { continue }
            let message = try field.message()
            switch field.number {
            case 1: try self.readHave(message, idCount: &haveCount)
            case 2: _ = try Self.readIDs(message, into: &self.wants, surplusCount: &self.surplusCount, field: 1)
            case 3: try self.readGraft(message)
            case 4: try self.readPrune(message)
            default: _ = try Self.readIDs(message, into: &self.doNotWants, surplusCount: &self.surplusCount, field: 1)
            }
        }
    }

    private mutating func readHave(_ reader: ProtobufReader, idCount: inout Int) throws(ProtobufError) {
        var ids: [PubSubMessageID] = []
        let topic = try Self.readIDs(
            reader, into: &ids, surplusCount: &self.surplusCount, field: 2, countMax: CountMax.messageIDs - idCount)
        guard let topic, self.haves.count < CountMax.controls else { self.surplusCount += 1; return }
        idCount += ids.count
        self.haves.append(Have(topic: topic, ids: ids))
    }

    /// Reads ids from one field and, where that is not the first, a topic from the first.
    private static func readIDs(
        _ reader: ProtobufReader, into ids: inout [PubSubMessageID], surplusCount: inout Int, field number: UInt32,
        countMax: Int = CountMax.messageIDs
    ) throws(ProtobufError) -> String? {
        var (reader, topic) = (reader, String?.none)
        while let field = try reader.next() {
            if field.number == number {
                let bytes = try field.bytes()
                if ids.count < countMax, (1...PubSubMessageID.byteCountMax).contains(bytes.count) {
                    ids.append(PubSubMessageID(Array(bytes)))
                } else {
                    surplusCount += 1
                }
            } else if field.number == 1 {
                topic = try PubSubTopic.read(field)
            }
        }
        return topic
    }

    private mutating func readGraft(_ reader: ProtobufReader) throws(ProtobufError) {
        var (reader, topic) = (reader, String?.none)
        while let field = try reader.next() {
            if field.number == 1 { topic = try PubSubTopic.read(field) }
        }
        guard let topic, self.grafts.count < CountMax.controls else { self.surplusCount += 1; return }
        self.grafts.append(topic)
    }

    private mutating func readPrune(_ reader: ProtobufReader) throws(ProtobufError) {
        var (reader, topic, prune) = (reader, String?.none, Prune(topic: ""))
        while let field = try reader.next() {
            switch field.number {
            case 1: topic = try PubSubTopic.read(field)
            case 2:
                guard prune.peers.count < CountMax.exchangedPeers else { self.surplusCount += 1; continue }
                prune.peers.append(try Self.readPeer(try field.message()))
            case 3: prune.backoff = try field.unsigned()
            default: break
            }
        }
        guard let topic, self.prunes.count < CountMax.controls else { self.surplusCount += 1; return }
        prune.topic = topic
        self.prunes.append(prune)
    }

    private static func readPeer(_ reader: ProtobufReader) throws(ProtobufError) -> ExchangedPeer {
        var (reader, peer) = (reader, ExchangedPeer(id: [], record: []))
        while let field = try reader.next() {
            switch field.number {
            case 1: peer.id = Array(try field.bytes())
            case 2: peer.record = Array(try field.bytes())
            default: break
            }
        }
        return peer
    }
}

// MARK: - Writing

extension PubSubRPC {
    var encoded: [UInt8] {
        ProtobufWriter.message { rpc in
            for subscription in self.subscriptions {
                rpc.message(field: 1) {
                    $0.bool(subscription.isOn, field: 1)
                    $0.string(subscription.topic, field: 2)
                }
            }
            for message in self.messages { rpc.bytes(message.encoded, field: 2) }
            let control = self.encodedControl
            if !control.isEmpty { rpc.bytes(control, field: 3) }
        }
    }

    private var encodedControl: [UInt8] {
        ProtobufWriter.message { control in
            for have in self.haves {
                control.message(field: 1) { message in
                    message.string(have.topic, field: 1)
                    for id in have.ids { message.bytes(id.bytes, field: 2) }
                }
            }
            Self.write(self.wants, field: 2, to: &control)
            for topic in self.grafts { control.message(field: 3) { $0.string(topic, field: 1) } }
            for prune in self.prunes {
                control.message(field: 4) { message in
                    message.string(prune.topic, field: 1)
                    for peer in prune.peers {
                        message.message(field: 2) {
                            $0.bytes(peer.id, field: 1)
                            $0.bytes(peer.record, field: 2)
                        }
                    }
                    if let backoff = prune.backoff { message.unsigned(backoff, field: 3) }
                }
            }
            Self.write(self.doNotWants, field: 5, to: &control)
        }
    }

    private static func write(_ ids: [PubSubMessageID], field: UInt32, to control: inout ProtobufWriter) {
        guard !ids.isEmpty else { return }
        control.message(field: field) { message in
            for id in ids { message.bytes(id.bytes, field: 1) }
        }
    }
}
