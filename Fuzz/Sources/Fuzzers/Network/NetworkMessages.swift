import LibP2P

/// Messages of the protocols, as honest peers write them. Those whose types the library keeps to itself are put together field by field.
enum NetworkMessages {
    static let peer = KnownPeers.others[0]
    static let record = PeerRecord(peerID: peer.id, sequence: 7, addresses: Array(KnownPeers.addresses.prefix(3)))
    static let envelope = record.sealed(by: peer)
    static let voucher = RelayVoucher(relay: peer.id, peer: KnownPeers.own.id, expiration: 1_700_003_700).sealed(by: peer)

    // MARK: identify

    static let identify: [[UInt8]] = {
        var message = IdentifyMessage()
        message.protocolVersion = IdentifyInfo.defaultProtocolVersion
        message.agentVersion = "someone/1"
        message.publicKey = Self.peer.publicKey.encoded
        message.listenAddresses = KnownPeers.addresses
        message.observedAddress = KnownPeers.addresses[0]
        message.protocols = [Identify.protocolID, Identify.pushProtocolID, "/a"]
        message.signedPeerRecord = Self.envelope.bytes
        var short = IdentifyMessage()
        short.agentVersion = "changed/2"
        return [message.bytes, short.bytes]
    }()

    // MARK: circuit relay and DCUtR

    private static func limit(_ message: inout ProtobufWriter) {
        message.unsigned(120, field: 1)
        message.unsigned(2_000, field: 2)
    }

    static let reserve = ProtobufWriter.message { $0.unsigned(0, field: 1) }

    static func connect(to peer: PeerID) -> [UInt8] {
        ProtobufWriter.message { message in
            message.unsigned(1, field: 1)
            message.message(field: 2) { $0.bytes(peer.bytes, field: 1) }
        }
    }

    static func hopStatus(_ status: UInt64) -> [UInt8] {
        ProtobufWriter.message { message in
            message.unsigned(2, field: 1)
            message.unsigned(status, field: 5)
        }
    }

    static let reservation = ProtobufWriter.message { message in
        message.unsigned(2, field: 1)
        message.message(field: 3) { inner in
            inner.unsigned(1_700_003_700, field: 1)
            for address in KnownPeers.addresses.prefix(3) { inner.bytes(address.bytes, field: 2) }
            inner.bytes(Self.voucher.bytes, field: 3)
        }
        message.message(field: 4, Self.limit)
        message.unsigned(100, field: 5)
    }

    static let circuit = ProtobufWriter.message { message in
        message.unsigned(2, field: 1)
        message.message(field: 4, Self.limit)
        message.unsigned(100, field: 5)
    }

    static func stopConnect(from peer: PeerID) -> [UInt8] {
        ProtobufWriter.message { message in
            message.unsigned(0, field: 1)
            message.message(field: 2) { $0.bytes(peer.bytes, field: 1) }
            message.message(field: 3, Self.limit)
        }
    }

    static func stopStatus(_ status: UInt64) -> [UInt8] {
        ProtobufWriter.message { message in
            message.unsigned(1, field: 1)
            message.unsigned(status, field: 4)
        }
    }

    static let holePunchConnect = ProtobufWriter.message { message in
        message.unsigned(100, field: 1)
        for address in KnownPeers.addresses { message.bytes(address.bytes, field: 2) }
    }

    static let holePunchSync = ProtobufWriter.message { $0.unsigned(300, field: 1) }
}
