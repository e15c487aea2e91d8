/// What a node says about itself.
public struct IdentifyInfo: Equatable, Sendable {
    /// The family of protocols, as go and py peers name it; for statistics only.
    public static let defaultProtocolVersion = "ipfs/0.1.0"

    public var protocolVersion: String
    /// `name/version` of the program.
    public var agentVersion: String
    /// The protocol ids of which we take inbound streams, and no others (libp2p identify, "protocols").
    public var protocols: [String]
    /// Where we can be reached, without our peer id; the best first, for the last are left out when there are too many.
    public var addresses: [Multiaddr]

    public init(
        agentVersion: String, protocols: [String], addresses: [Multiaddr],
        protocolVersion: String = IdentifyInfo.defaultProtocolVersion
    ) {
        self.protocolVersion = protocolVersion
        self.agentVersion = agentVersion
        self.protocols = protocols
        self.addresses = addresses
    }

    /// The message with all of it, in at most `IdentifyMessage.sentByteCountMax` bytes. Where that is too little, it names fewer
    /// addresses, and with none at all fewer protocols.
    func message(sequence: UInt64, by identity: PeerIdentity) -> IdentifyMessage {
        // Left free for the observed address, which each connection adds.
        let byteCountMax = IdentifyMessage.sentByteCountMax - Multiaddr.byteCountMax - 8
        var addresses = Array(self.addresses.prefix(PeerRecord.addressCountMax))
        var protocols = self.protocols.prefix(IdentifyMessage.protocolCountMax)
        while true {
            var message = IdentifyMessage()
            message.protocolVersion = Self.shortened(self.protocolVersion)
            message.agentVersion = Self.shortened(self.agentVersion)
            message.publicKey = identity.publicKey.encoded
            message.protocols = protocols.filter { $0.utf8.count <= IdentifyMessage.textByteCountMax }
            message.listenAddresses = addresses
            let record = PeerRecord(peerID: identity.id, sequence: sequence, addresses: addresses)
            message.signedPeerRecord = record.sealed(by: identity).bytes
            if message.bytes.count <= byteCountMax { return message }
            if addresses.isEmpty { protocols = protocols.dropLast() } else { addresses.removeLast() }
        }
    }

    /// At most as many bytes as others read, cut between characters.
    private static func shortened(_ text: String) -> String {
        var text = text
        while text.utf8.count > IdentifyMessage.textByteCountMax { text.removeLast() }
        return text
    }
}

/// What a peer said about itself, verified as far as it can be: key and record are its own. The rest is its word.
public struct IdentifiedPeer: Equatable, Sendable {
    public let peer: PeerID
    /// Whether the peer sent this by itself. Then what is `nil` is as it was before.
    public let isPush: Bool
    /// The key of which the peer's id is made.
    public let publicKey: PeerPublicKey?
    /// A stranger's text: not for a terminal as it is.
    public let protocolVersion: String?
    /// A stranger's text: not for a terminal as it is.
    public let agentVersion: String?
    public let protocols: [String]?
    /// What the peer says unsigned; `record` is better where it is there.
    public let listenAddresses: [Multiaddr]?
    /// Where the peer sees us.
    public let observedAddress: Multiaddr?
    /// Signed by the peer itself, and not older than what it has shown since it is connected.
    public let record: PeerRecord?
    /// The envelope of `record`, to be shown to others.
    public let signedPeerRecord: [UInt8]?

    /// Believes a message of a peer, or says why not.
    ///
    /// A record by a key whose signatures are not verified here is passed over: the peer cannot help it.
    init(_ message: IdentifyMessage, from peer: PeerID, isPush: Bool, notOlderThan sequence: UInt64?) throws(IdentifyError) {
        let key = try Self.key(in: message.publicKey, of: peer)
        let record = try Self.record(in: message.signedPeerRecord, of: peer)
        let isCurrent = record.map { $0.sequence >= sequence ?? 0 } ?? false
        self.peer = peer
        self.isPush = isPush
        self.publicKey = key
        self.protocolVersion = message.protocolVersion
        self.agentVersion = message.agentVersion
        self.protocols = message.protocols.isEmpty && isPush ? nil : message.protocols
        self.listenAddresses = message.listenAddresses.isEmpty && isPush ? nil : message.listenAddresses
        self.observedAddress = message.observedAddress
        self.record = isCurrent ? record : nil
        self.signedPeerRecord = isCurrent ? message.signedPeerRecord : nil
    }

    private static func key(in bytes: [UInt8]?, of peer: PeerID) throws(IdentifyError) -> PeerPublicKey? {
        guard let bytes else { return peer.inlineKey }
        let key: PeerPublicKey
        do throws(PeerKeyError) {
            key = try PeerPublicKey(parsing: bytes)
        } catch {
            throw .key(error)
        }
        guard PeerID(of: key) == peer else { throw .keyOfAnother(PeerID(of: key)) }
        return key
    }

    private static func record(in bytes: [UInt8]?, of peer: PeerID) throws(IdentifyError) -> PeerRecord? {
        guard let bytes, !bytes.isEmpty else { return nil }
        do throws(SignedEnvelopeError) {
            let record = try PeerRecord(opening: SignedEnvelope(parsing: bytes))
            if record.peerID == peer { return record }
        } catch .key(.cannotVerify) {
            return nil
        } catch {
            throw .record(error)
        }
        throw .recordOfAnother
    }
}
