import CryptoPrimitives
import LibP2P

extension Fuzzer {
    /// Numbers, hashes, texts and fields: one encoding each, or one that is shorter.
    static let networkEncodings = Fuzzer(
        name: "network-encodings", byteCountMax: 512, seeds: { NetworkSeeds.encodings },
        run: { start, count in
            let bytes = input(start, count)
            var rest = bytes[...]
            if let number = try? Varint.read(from: &rest) {
                require(Varint.encode(number) == Array(bytes.prefix(bytes.count - rest.count)), "a varint has one encoding")
            }
            if let hash = try? Multihash(parsing: bytes) { require(hash.bytes == bytes, "a multihash has one encoding") }
            let text = String(decoding: bytes, as: UTF8.self)
            if let (base, decoded) = try? Multibase.decode(text) {
                require(base.encode(decoded).utf8.elementsEqual(text.utf8), "bytes have one text in a base")
            }
            for base in Multibase.allCases {
                let some = Array(bytes.prefix(40))
                require((try? Multibase.decode(base.encode(some)))?.bytes == some, "bytes come back from their text")
            }
            Self.readFields(ProtobufReader(bytes[...]), depth: 0)
            return 0
        })

    /// Every field, as everything that it may be; what is written again is read the same.
    private static func readFields(_ reader: ProtobufReader, depth: Int) {
        var reader = reader
        while let field = try? reader.next() {
            var writer = ProtobufWriter()
            writer.encoded(field.encoded)
            var again = ProtobufReader(writer.bytes[...])
            let same = try? again.next()
            require(same?.number == field.number && same?.value == field.value, "a field is read again as it was")
            consume((try? field.unsigned(), try? field.unsigned32(), try? field.signed32(), try? field.bool()))
            if let text = try? field.string(byteCountMax: 64) { require(text.utf8.count <= 64, "a text has its limit") }
            if depth < 8, let inner = try? field.message() { Self.readFields(inner, depth: depth + 1) }
        }
    }

    /// Addresses, as bytes and as text.
    static let multiaddr = Fuzzer(
        name: "multiaddr", byteCountMax: 512, seeds: { NetworkSeeds.addresses },
        run: { start, count in
            let bytes = input(start, count)
            if let address = try? Multiaddr(parsing: bytes) {
                require(address.bytes == bytes, "an address has one binary form")
                require((try? Multiaddr(text: address.description)) == address, "an address comes back from its text")
                Self.look(at: address)
            }
            let text = String(decoding: bytes, as: UTF8.self)
            if let address = try? Multiaddr(text: text) {
                require((try? Multiaddr(text: address.description)) == address, "an address's own text is read")
                require((try? Multiaddr(parsing: address.bytes)) == address, "an address comes back from its bytes")
                Self.look(at: address)
            }
            if let address = IPv4Address(text: text) { require(IPv4Address(text: address.description) == address, "one address") }
            if let address = IPv6Address(text: text) { require(IPv6Address(text: address.description) == address, "one address") }
            return 0
        })

    private static func look(at address: Multiaddr) {
        require(address.components.count <= Multiaddr.componentCountMax, "an address has no more parts than it may")
        require(address.withoutPeerID.components.count <= address.components.count, "a part less")
        consume((address.isRelayed, GossipsubAddressGroup(address)))
    }

    /// Peer ids in all their forms, keys, signed envelopes and what is in them.
    static let peerIdentity = Fuzzer(
        name: "peer-identity", byteCountMax: 1_024, seeds: { NetworkSeeds.identities },
        run: { start, count in
            let bytes = input(start, count)
            if let id = try? PeerID(parsing: bytes) {
                require(id.bytes == bytes, "a peer id has one binary form")
                Self.look(at: id)
            }
            let text = String(decoding: bytes, as: UTF8.self)
            if let id = try? PeerID(text: text) { Self.look(at: id) }
            if let key = try? PeerPublicKey(parsing: bytes) {
                require((try? PeerPublicKey(parsing: key.encoded)) == key, "a key comes back from its canonical form")
                require((try? key.verify(Array(bytes.suffix(64)), of: [1])) == nil, "nobody forges a signature")
                Self.look(at: PeerID(of: key))
            }
            if let envelope = try? SignedEnvelope(parsing: bytes) {
                require((try? SignedEnvelope(parsing: envelope.bytes)) == envelope, "an envelope comes back")
                if let record = try? PeerRecord(opening: envelope) {
                    require(record == NetworkMessages.record, "nobody forges a record")
                    require(record.addresses.count <= PeerRecord.addressCountMax, "a record has no more addresses than it may")
                }
                if let voucher = try? RelayVoucher(opening: envelope) {
                    require(voucher.relay == PeerID(of: envelope.publicKey), "a voucher is its relay's")
                }
            }
            return 0
        })

    private static func look(at id: PeerID) {
        require((try? PeerID(text: id.description)) == id, "a peer id comes back from base 58")
        require((try? PeerID(text: id.cid)) == id, "a peer id comes back from its CID")
        if let key = id.inlineKey { require(PeerID(of: key) == id || key.encoded != [], "the key in an id") }
    }

    /// Messages whose decoders are public; those of other protocols are read by their machines.
    static let networkMessages = Fuzzer(
        name: "network-messages", byteCountMax: 2_048, seeds: { NetworkSeeds.messages },
        run: { start, count in
            let bytes = input(start, count)
            if let message = try? IdentifyMessage(parsing: bytes) {
                require(message.listenAddresses.count <= IdentifyMessage.addressCountMax, "no more addresses than are read")
                require(message.protocols.count <= IdentifyMessage.protocolCountMax, "no more protocols than are read")
                require((try? IdentifyMessage(parsing: message.bytes)) == message, "an identify message comes back")
            }
            if let message = try? KadMessage(parsing: bytes) {
                require(message.key.count <= KadMessage.keyByteCountMax, "no longer key than is read")
                require(message.closerPeers.count <= KadMessage.peerCountMax, "no more peers than are read")
                require(message.providerPeers.count <= KadMessage.peerCountMax, "no more providers than are read")
                require((try? KadMessage(parsing: message.bytes)) == message, "a message of the hash table comes back")
            }
            var reader = FrameReader(byteCountMax: 256)
            var (frames, rest) = ([[UInt8]](), bytes[...])
            while !rest.isEmpty {
                let piece = Array(rest.prefix(7))
                rest = rest.dropFirst(7)
                guard let found = try? reader.receive(piece) else { break }
                frames += found
                require(reader.heldByteCount <= 256 + 2, "a frame that is not whole takes no more than a whole one")
            }
            for frame in frames { require(frame.count <= 256, "no longer frame than is read") }
            if rest.isEmpty, let whole = Self.readAtOnce(bytes) { require(whole == frames, "how bytes are cut changes nothing") }
            return 0
        })

    private static func readAtOnce(_ bytes: [UInt8]) -> [[UInt8]]? {
        var reader = FrameReader(byteCountMax: 256)
        return try? reader.receive(bytes)
    }
}

/// Well-formed inputs of the network's decoders.
enum NetworkSeeds {
    static let encodings: [[UInt8]] = {
        let hash = Multihash.sha256(of: [1]).bytes
        let texts = Multibase.allCases.map { Array($0.encode(hash).utf8) }
        return [[0], Varint.encode(300), Varint.encode(Varint.valueMax), hash, Multihash.identity([1, 2]).bytes] + texts
            + NetworkMessages.identify + [NetworkMessages.reservation]
    }()

    static let addresses: [[UInt8]] = {
        let more = [
            "/dns/a.example/tcp/443/tls/ws", "/dns6/a.example/tcp/1/wss", "/dnsaddr/bootstrap.libp2p.io/p2p/\(KnownPeers.own.id)",
            "/ip6zone/eth0/ip6/fe80::1/tcp/1",
            "/ip4/1.2.3.4/udp/1/quic-v1/webtransport/certhash/uEiAkH5a4DPGKUuOBjYw0CgwjvcJCJMD2K_1aluKR_tpevQ",
            "/ip4/1.2.3.4/udp/1/webrtc-direct", "/unix/a/b.sock", "/ip4/127.0.0.1/tcp/0/p2p/\(KnownPeers.own.id.cid)", "/memory/1",
            "/ip6/::ffff:1.2.3.4/tcp/65535", "/ip4/1.2.3.4/tcp/443/tls/sni/a.example/ws", "/ip4/1.2.3.4/tcp/80/http-path/a%2Fb",
        ].compactMap { try? Multiaddr(text: $0) }
        let all = KnownPeers.addresses + more
        return all.map(\.bytes) + all.map { Array($0.description.utf8) }
    }()

    static let identities: [[UInt8]] = {
        let id = KnownPeers.others[0].id
        // RSA and ECDSA keys are carried unread; secp256k1's generator is a valid key.
        let point = (try? Known.key(1))?.bytes ?? []
        let keys = [(0, [1, 2, 3]), (2, point), (3, [9, 9])].map { (type: UInt64, data: [UInt8]) in
            ProtobufWriter.message { message in
                message.unsigned(type, field: 1)
                message.bytes(data, field: 2)
            }
        }
        return [
            id.bytes, Array(id.description.utf8), Array(id.cid.utf8), NetworkMessages.peer.publicKey.encoded,
            NetworkMessages.envelope.bytes,
            NetworkMessages.voucher.bytes, Multihash.sha256(of: [1]).bytes,
        ] + keys
    }()

    static let messages: [[UInt8]] =
        NetworkMessages.identify + NetworkMessages.kad.map { Array($0.dropFirst(Varint.byteCount(of: UInt64($0.count - 2)))) }
        + [NetworkMessages.kad.prefix(3).flatMap { $0 }]
}
