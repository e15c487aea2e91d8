import CryptoPrimitives
import LibP2P
import Testing

struct `Messages of the hash table` {
    private static let peer = "1220" + String(repeating: "00", count: 32)
    private static let address = "047f000001060fa1"

    @Test func `are written as py-libp2p and its protobuf write them`() throws {
        let record = KadRecord(key: Array("/v/k".utf8), value: Array("hello".utf8), timeReceived: "2026-11-20T15:00:00Z")
        #expect(
            Hex.encode(KadMessage(.putValue, key: record.key, record: record).bytes)
                == "12042f762f6b1a230a042f762f6b120568656c6c6f2a14323032362d31312d32305431353a30303a30305a")
        let provider = try KadPeer(id: PeerID(parsing: Hex.decode(Self.peer)), addresses: [Hex.decode(Self.address)])
        #expect(
            try Hex.encode(KadMessage(.addProvider, key: Hex.decode(Self.peer), providerPeers: [provider]).bytes)
                == "08021222" + Self.peer + "4a2e0a22" + Self.peer + "1208" + Self.address)
        #expect(KadMessage(.ping).bytes == [8, 5])
        #expect(KadMessage(.putValue).bytes == [])
    }

    @Test func `are read with what others add to them left out`() throws {
        // From py-libp2p: a signed record of the peer, one of the sender, and a cluster level.
        let key = "1220000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
        let bytes = "08041222" + key + "42350a22" + Self.peer + "1208" + Self.address + "1801220378797a" + "500a5a03616263"
        let message = try KadMessage(parsing: Hex.decode(bytes))
        #expect(message.type == .findNode)
        #expect(try message.key == Hex.decode(key))
        #expect(message.closerPeers.count == 1)
        let peer = try #require(message.closerPeers.first)
        #expect(try peer.id.bytes == Hex.decode(Self.peer))
        #expect(try peer.addresses == [Hex.decode(Self.address)])
        #expect(peer.connection == .connected)
        // A message without a type is a PUT_VALUE: that is how proto3 writes the first value.
        #expect(try KadMessage(parsing: Hex.decode("12042f762f6b")).type == .putValue)
    }

    @Test func `come back as they went`() throws {
        let peers = (0..<5).map { number in
            KadPeer(
                id: SimulatedNetwork.peer(UInt64(number), seed: 1),
                addresses: (0..<number).map { SimulatedNetwork.address(of: $0).bytes }, connection: .canConnect)
        }
        for type in KadMessageType.allCases {
            let record = KadRecord(key: [1, 2], value: [UInt8](repeating: 7, count: 300), timeReceived: "now")
            let message = KadMessage(type, key: [1, 2], record: record, closerPeers: peers, providerPeers: peers.reversed())
            #expect(try KadMessage(parsing: message.bytes) == message)
        }
    }

    @Test func `cut anywhere or with any bit flipped are read or refused, never more`() throws {
        let peer = KadPeer(
            id: SimulatedNetwork.peer(1, seed: 1), addresses: [SimulatedNetwork.address(of: 1).bytes], connection: .connected)
        let record = KadRecord(key: [1, 2], value: [3, 4], timeReceived: "2026-11-20T15:00:00Z")
        let bytes = KadMessage(.getValue, key: [1, 2], record: record, closerPeers: [peer, peer], providerPeers: [peer]).bytes
        var readCount = 0
        for count in bytes.indices where (try? KadMessage(parsing: bytes[..<count])) != nil { readCount += 1 }
        // Only at the ends of its six fields.
        #expect(readCount == 6)
        for bit in 0..<(8 * bytes.count) {
            var flipped = bytes
            flipped[bit / 8] ^= 1 << (bit % 8)
            guard let message = try? KadMessage(parsing: flipped) else { continue }
            #expect(message.bytes.count <= bytes.count + 2, "bit \(bit)")
        }
    }

    @Test(
        arguments: [
            ("0806", .valueOutOfRange(field: 1)), ("0a00", .wrongKind(field: 1)), ("1a020a05", .truncated(offset: 0)),
            ("1281" + "01" + String(repeating: "00", count: 129), .tooManyBytes(count: 129, maximum: 128)),
            ("1a032a01ff", .notUTF8(field: 5)), ("4201", .truncated(offset: 0)), ("42020a7f", .truncated(offset: 0)),
            ("0b", .unsupportedWireType(3, offset: 0)), ("12ffffffffffffffffff01", .truncated(offset: 0)),
        ] as [(String, ProtobufError)])
    func `of a wrong form are refused by name`(hex: String, error: ProtobufError) throws {
        let bytes = try Hex.decode(hex)
        #expect(throws: error) { try KadMessage(parsing: bytes) }
    }

    @Test func `longer than 4 MiB are refused, and lists are read to a limit`() throws {
        #expect(throws: ProtobufError.tooManyBytes(count: 4_194_305, maximum: 4_194_304)) {
            try KadMessage(parsing: [UInt8](repeating: 0, count: 4_194_305))
        }
        let peer = KadPeer(
            id: SimulatedNetwork.peer(1, seed: 1), addresses: Array(repeating: SimulatedNetwork.address(of: 1).bytes, count: 40))
        let message = KadMessage(.findNode, closerPeers: Array(repeating: peer, count: 2_000))
        let read = try KadMessage(parsing: message.bytes)
        #expect(read.closerPeers.count == KadMessage.peerCountMax)
        #expect(read.closerPeers.allSatisfy { $0.addresses.count == KadMessage.addressCountMax })
        // A peer whose id is none says nothing about the others.
        let mixed = Array(try Hex.decode("0804" + "42030a0101")) + KadMessage(.putValue, closerPeers: [peer]).bytes
        #expect(try KadMessage(parsing: mixed).closerPeers.map(\.id) == [peer.id])
    }
}
