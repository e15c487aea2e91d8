/// What a message asks for or answers (kad-dht, "RPC messages").
public enum KadMessageType: UInt64, Sendable, CaseIterable {
    case putValue = 0
    case getValue = 1
    case addProvider = 2
    case getProviders = 3
    case findNode = 4
    /// Deprecated: answered, never sent.
    case ping = 5
}

/// What the sender knows of its connection to a peer that it names.
public enum KadConnectionType: UInt64, Sendable {
    case notConnected = 0
    case connected = 1
    case canConnect = 2
    case cannotConnect = 3
}

/// A value under a key, as it travels.
public struct KadRecord: Hashable, Sendable {
    public var key: [UInt8]
    public var value: [UInt8]
    /// When the node that holds the value received it (RFC 3339); empty when it does not say. Nobody else's clock is trusted with it.
    public var timeReceived: String

    public init(key: [UInt8], value: [UInt8], timeReceived: String = "") {
        self.key = key
        self.value = value
        self.timeReceived = timeReceived
    }
}

/// A peer and where it can be reached, as one node tells another. Nothing of it is proved.
public struct KadPeer: Hashable, Sendable {
    public var id: PeerID
    /// Addresses in their binary form; what is unreadable or of a kind not known here stays as it came.
    public var addresses: [[UInt8]]
    public var connection: KadConnectionType

    public init(id: PeerID, addresses: [[UInt8]] = [], connection: KadConnectionType = .notConnected) {
        self.id = id
        self.addresses = addresses
        self.connection = connection
    }
}

/// One message of the protocol, request or answer (kad-dht, "RPC messages").
///
/// Fields that are not known are passed over; some peers add signed records of their own, which nothing here needs.
public struct KadMessage: Hashable, Sendable {
    /// Longest message in bytes, its length prefix not counted: 4 MiB, what go-libp2p reads (`network.MessageSizeMax`) and
    /// py-libp2p too, so that no answer of theirs is refused for its size.
    public static let byteCountMax = 1 << 22
    /// Longest key in bytes. Keys are multihashes, peer ids or `/namespace/name`; py-libp2p takes none above 128.
    public static let keyByteCountMax = 128
    /// Most peers that are kept of each list. Answers name k = 20 closer peers, but providers can be more; the rest is passed over.
    public static let peerCountMax = 64
    /// Most addresses that are kept of one peer; the rest is passed over.
    public static let addressCountMax = 16
    /// Longest `timeReceived`: RFC 3339 with nanoseconds and an offset takes 35 bytes.
    public static let timeByteCountMax = 64

    public var type: KadMessageType
    public var key: [UInt8]
    public var record: KadRecord?
    public var closerPeers: [KadPeer]
    public var providerPeers: [KadPeer]

    public init(
        _ type: KadMessageType, key: [UInt8] = [], record: KadRecord? = nil, closerPeers: [KadPeer] = [], providerPeers: [KadPeer] = []
    ) {
        self.type = type
        self.key = key
        self.record = record
        self.closerPeers = closerPeers
        self.providerPeers = providerPeers
    }

    // MARK: Reading

    /// Reads a message. A peer whose id is none is left out; it says nothing about the others.
    public init(parsing bytes: some Collection<UInt8>) throws(ProtobufError) {
        var reader = try ProtobufReader(bytes, byteCountMax: Self.byteCountMax)
        // A field that is not there has the first value of its type, so a message without a type is a PUT_VALUE.
        self.init(.putValue)
        while let field = try reader.next() {
            switch field.number {
            case 1:
                guard let type = KadMessageType(rawValue: try field.unsigned()) else { throw .valueOutOfRange(field: 1) }
                self.type = type
            case 2: self.key = try field.bytes(byteCountMax: Self.keyByteCountMax)
            case 3: self.record = try KadRecord(parsing: field)
            case 8: try Self.append(field, to: &self.closerPeers)
            case 9: try Self.append(field, to: &self.providerPeers)
            default: break
            }
        }
    }

    private static func append(_ field: ProtobufField, to peers: inout [KadPeer]) throws(ProtobufError) {
        guard peers.count < Self.peerCountMax, let peer = try KadPeer(parsing: field) else { return }
        peers.append(peer)
    }

    // MARK: Writing

    /// The message's bytes: fields in order, what has its default value left out, as proto3 writes it.
    public var bytes: [UInt8] {
        ProtobufWriter.message { message in
            if self.type != .putValue { message.unsigned(self.type.rawValue, field: 1) }
            if !self.key.isEmpty { message.bytes(self.key, field: 2) }
            if let record = self.record { message.bytes(record.bytes, field: 3) }
            for peer in self.closerPeers { message.bytes(peer.bytes, field: 8) }
            for peer in self.providerPeers { message.bytes(peer.bytes, field: 9) }
        }
    }
}

extension KadRecord {
    fileprivate init(parsing field: ProtobufField) throws(ProtobufError) {
        var reader = try field.message()
        self.init(key: [], value: [])
        while let field = try reader.next() {
            switch field.number {
            case 1: self.key = try field.bytes(byteCountMax: KadMessage.keyByteCountMax)
            case 2: self.value = Array(try field.bytes())
            case 5: self.timeReceived = try field.string(byteCountMax: KadMessage.timeByteCountMax)
            default: break
            }
        }
    }

    fileprivate var bytes: [UInt8] {
        ProtobufWriter.message { message in
            if !self.key.isEmpty { message.bytes(self.key, field: 1) }
            if !self.value.isEmpty { message.bytes(self.value, field: 2) }
            if !self.timeReceived.isEmpty { message.string(self.timeReceived, field: 5) }
        }
    }
}

extension KadPeer {
    /// `nil` when the id is no peer id.
    fileprivate init?(parsing field: ProtobufField) throws(ProtobufError) {
        var reader = try field.message()
        var id: PeerID?
        var addresses: [[UInt8]] = []
        var connection = KadConnectionType.notConnected
        while let field = try reader.next() {
            switch field.number {
            case 1: id = try? PeerID(parsing: try field.bytes())
            case 2:
                let address = try field.bytes()
                guard addresses.count < KadMessage.addressCountMax, (1...Multiaddr.byteCountMax).contains(address.count) else { continue }
                addresses.append(Array(address))
            case 3: connection = KadConnectionType(rawValue: try field.unsigned()) ?? .notConnected
            default: break
            }
        }
        guard let id else { return nil }
        self.init(id: id, addresses: addresses, connection: connection)
    }

    fileprivate var bytes: [UInt8] {
        ProtobufWriter.message { message in
            message.bytes(self.id.bytes, field: 1)
            for address in self.addresses { message.bytes(address, field: 2) }
            if self.connection != .notConnected { message.unsigned(self.connection.rawValue, field: 3) }
        }
    }
}
