import LibP2P
import Testing

/// One stranger is many: it makes up as many peers as it likes, but not as many places on the network.
struct `A hash table and a stranger who is many peers` {
    private let honest = SimulatedNetwork.peer(1, seed: 3)

    private static func peer(_ number: Int) -> PeerID { SimulatedNetwork.peer(UInt64(number), seed: 90) }

    /// The beginning of a request of 4 MiB, in so many bytes.
    private static func beginning(_ byteCount: Int) -> [UInt8] {
        var bytes: [UInt8] = []
        Varint.append(UInt64(KadMessage.byteCountMax), to: &bytes)
        return bytes + [UInt8](repeating: 0, count: byteCount - bytes.count)
    }

    @Test func `is answered although somebody has left all room full of unfinished requests`() {
        let node = SingleNode(seed: 3)
        node.connect(Self.peer(0))
        node.connect(self.honest)
        for _ in 0..<4 {
            let stream = node.inbound(from: Self.peer(0))
            node.machine.handle(.received(stream, Self.beginning(3 << 20)), now: .zero)
        }
        #expect(node.commands().isEmpty)
        #expect(node.ask([KadMessage(.ping)], as: self.honest, now: .seconds(1))?.count == 1)
        // Nor is a long request of somebody else given up, which comes in pieces.
        let value = Array("good".utf8) + [UInt8](repeating: 0x78, count: 1 << 19)
        let key = Array("/v/key".utf8)
        let put = FrameReader.frame(KadMessage(.putValue, key: key, record: KadRecord(key: key, value: value)).bytes)
        let stream = node.inbound(from: self.honest, now: .seconds(1))
        node.machine.handle(.received(stream, Array(put[..<400_000])), now: .seconds(1))
        node.machine.handle(.received(stream, Array(put[400_000...])), now: .seconds(2))
        #expect(node.machine.storedValue(of: key, now: .seconds(2)) == value)
        _ = node.commands()
        #expect(node.events.filter { $0 == .refused(Self.peer(0), .tooManyPartialBytes) }.count == 1)
        #expect(!node.events.contains { if case .refused(self.honest, _) = $0 { true } else { false } })
    }

    @Test func `counts no byte of a request that was refused, so that the bound stays where it is`() {
        let node = SingleNode(seed: 3)
        node.connect(Self.peer(0))
        for _ in 0..<100 {
            let tooLong: [UInt8] = [0x81, 0x80, 0x80, 0x02] + [UInt8](repeating: 0, count: 1 << 18)
            let stream = node.inbound(from: Self.peer(0))
            node.machine.handle(.received(stream, tooLong), now: .zero)
        }
        for _ in 0..<30 {
            let stream = node.inbound(from: Self.peer(0))
            node.machine.handle(.received(stream, Self.beginning(1 << 20)), now: .zero)
        }
        let held = node.machine.heldByteCount
        #expect((12 << 20..<13 << 20).contains(held))
    }

    private static func crowded(_ number: Int) throws -> Multiaddr { try Multiaddr(text: "/ip4/203.0.113.5/tcp/\(number + 1)") }

    private static func put(_ key: String, byteCount: Int) -> KadMessage {
        let (key, value) = (Array("/v/\(key)".utf8), Array("good".utf8) + [UInt8](repeating: 0x78, count: byteCount))
        return KadMessage(.putValue, key: key, record: KadRecord(key: key, value: value))
    }

    @Test func `keeps values of others although one household makes up a peer for each of its own`() throws {
        let node = SingleNode(seed: 3) { $0.valueStoreByteCountMax = 1 << 20 }
        let own = Array("/v/own".utf8)
        _ = node.machine.put(key: own, value: Array("good".utf8), now: .zero)
        var kept = 0
        for number in 0..<100 {
            let address = try Self.crowded(number)
            node.connect(Self.peer(number), from: address.description)
            if node.ask([Self.put("crowd \(number)", byteCount: 30_000)], as: Self.peer(number), at: address) != nil { kept += 1 }
        }
        #expect(kept == 4)
        node.connect(self.honest, from: "/ip4/198.51.100.9/tcp/1")
        let other = try Multiaddr(text: "/ip4/198.51.100.9/tcp/1")
        #expect(node.ask([Self.put("honest", byteCount: 100_000)], as: self.honest, at: other) != nil)
        // However many households there are, what the node publishes itself stays.
        for number in 0..<250 {
            let address = try Multiaddr(text: "/ip4/9.9.\(number).9/tcp/1")
            node.connect(Self.peer(1_000 + number), from: address.description)
            _ = node.ask([Self.put("many \(number)", byteCount: 100_000)], as: Self.peer(1_000 + number), at: address)
        }
        #expect(node.machine.storedKeys.count > 8)
        #expect(node.machine.storedKeys.contains(own))
        // Nor does anybody take it over who sends it back.
        let message = KadMessage(.putValue, key: own, record: KadRecord(key: own, value: Array("good".utf8)))
        #expect(node.ask([message], as: self.honest, at: other) != nil)
        for number in 300..<500 {
            let address = try Multiaddr(text: "/ip4/9.8.\(number - 300).9/tcp/1")
            node.connect(Self.peer(number), from: address.description)
            _ = node.ask([Self.put("more \(number)", byteCount: 100_000)], as: Self.peer(number), at: address)
        }
        #expect(node.machine.storedKeys.contains(own))
    }

    @Test func `keeps so many bytes of providers' addresses, and counts those that peers tell of themselves`() throws {
        let node = SingleNode(seed: 3) { $0.providerStoreByteCountMax = 400_000 }
        func addresses(_ number: Int) throws -> [Multiaddr] {
            let name = String(repeating: "a", count: 240)
            return try (0..<8).map { try Multiaddr(text: "/dns4/\(name)\($0).example/tcp/\(number + 1)") }
        }
        let before = node.machine.heldByteCount
        for number in 0..<400 {
            let address = try Multiaddr(text: "/ip4/9.\(number / 200).\(number % 200).9/tcp/1")
            let peer = Self.peer(number)
            node.connect(peer, from: address.description)
            let own = KadPeer(id: peer, addresses: try addresses(number).map(\.bytes), connection: .connected)
            let message = KadMessage(.addProvider, key: Multihash.sha256(of: [UInt8(number / 40)]).bytes, providerPeers: [own])
            _ = node.ask([message], as: peer, at: address)
        }
        #expect(node.machine.providerRecordCount > 50)
        #expect(node.machine.heldByteCount - before < 800_000)
        let held = node.machine.heldByteCount
        for number in 0..<400 { node.machine.learn(try addresses(number), of: Self.peer(number)) }
        #expect((800_000..<2_400_000).contains(node.machine.heldByteCount - held))
    }

    @Test func `finishes what others have begun although one household leaves unfinished all that there is room for`() throws {
        let node = SingleNode(seed: 3)
        let other = try Multiaddr(text: "/ip4/198.51.100.9/tcp/1")
        node.connect(self.honest, from: other.description)
        let put = FrameReader.frame(Self.put("key", byteCount: 1 << 19).bytes)
        let stream = node.inbound(from: self.honest, at: other)
        node.machine.handle(.received(stream, Array(put[..<400_000])), now: .zero)
        // Later than the honest one, which is the oldest of all.
        for number in 0..<100 {
            let address = try Self.crowded(number)
            node.connect(Self.peer(number), from: address.description)
            let begun = node.inbound(from: Self.peer(number), at: address, now: .seconds(1))
            node.machine.handle(.received(begun, Self.beginning(1 << 20)), now: .seconds(1))
        }
        node.machine.handle(.received(stream, Array(put[400_000...])), now: .seconds(2))
        #expect(node.machine.storedValue(of: Array("/v/key".utf8), now: .seconds(2)) != nil)
    }

    @Test func `finds a stream's place for a newcomer where one household has taken all`() throws {
        let node = SingleNode(seed: 3)
        let crowded = try Multiaddr(text: "/ip4/203.0.113.5/tcp/1")
        for number in 0..<32 { for _ in 0..<32 { _ = node.inbound(from: Self.peer(number), at: crowded) } }
        #expect(node.commands().isEmpty)
        // One more of the same household finds none; somebody else does, and keeps it.
        #expect(node.ask([KadMessage(.ping)], as: Self.peer(99), at: crowded) == nil)
        let other = try Multiaddr(text: "/ip4/198.51.100.9/tcp/1")
        let kept = node.inbound(from: self.honest, at: other)
        #expect(!node.commands().contains(.reset(kept)))
        for number in 100..<200 { _ = node.inbound(from: Self.peer(number), at: crowded) }
        node.machine.handle(.received(kept, FrameReader.frame(KadMessage(.ping).bytes)), now: .zero)
        #expect(node.commands().contains(.write(kept, FrameReader.frame(KadMessage(.ping).bytes))))
        #expect(node.ask([KadMessage(.ping)], as: SimulatedNetwork.peer(2, seed: 3), at: other)?.count == 1)
    }

    @Test func `answers a newcomer although one household has all the peers whose use is counted`() throws {
        let node = SingleNode(seed: 3) { $0.ratedPeerCountMax = 100 }
        let put = KadMessage(.addProvider, key: Multihash.sha256(of: [1]).bytes)
        for number in 0..<300 {
            node.connect(Self.peer(number), from: "/ip4/203.0.113.5/tcp/\(number + 1)")
            // Refused, for it names nobody; but drawn for.
            _ = node.ask([put], as: Self.peer(number))
        }
        node.connect(self.honest, from: "/ip4/198.51.100.9/tcp/1")
        #expect(node.ask([KadMessage(.ping)], as: self.honest)?.count == 1)
        // It stays counted when more of the others come.
        for number in 300..<400 {
            node.connect(Self.peer(number), from: "/ip4/203.0.113.5/tcp/\(number + 1)")
            _ = node.ask([put], as: Self.peer(number))
        }
        #expect(node.ask(Array(repeating: KadMessage(.ping), count: 199), as: self.honest)?.count == 199)
        #expect(node.ask([KadMessage(.ping)], as: self.honest) == nil)
    }

    @Test func `gives one network half of a bucket, whatever its peers say about themselves`() throws {
        let node = SingleNode(seed: 3)
        let own = KadKey(of: node.machine.peer)
        func isFar(_ peer: PeerID) -> Bool { own.commonPrefixBitCount(with: KadKey(of: peer)) == 0 }
        let crowd = (0..<100).map(Self.peer).filter(isFar)
        #expect(crowd.count > 30)
        for (number, peer) in crowd.enumerated() {
            node.connect(peer, from: "/ip4/203.0.113.\(number)/tcp/50000")
            node.machine.learn([try Multiaddr(text: "/ip4/\(11 + number).7.7.7/tcp/4001")], of: peer)
            node.machine.handle(.protocols(of: peer, ["/ipfs/kad/1.0.0"]), now: .zero)
        }
        #expect(node.machine.contactCount == 10)
        // Who lives where they only said that they do finds room.
        let neighbours = (0..<40).map { SimulatedNetwork.peer(UInt64($0), seed: 91) }.filter(isFar).prefix(10)
        for (number, peer) in neighbours.enumerated() {
            node.connect(peer, from: "/ip4/11.7.8.\(number)/tcp/4001")
            node.machine.handle(.protocols(of: peer, ["/ipfs/kad/1.0.0"]), now: .zero)
            #expect(node.machine.isContact(peer))
        }
    }

    @Test func `takes many names for one network, and what comes through one relay`() throws {
        let relay = Self.peer(1_000)
        for address in ["/dns4/NUMBER.example.org/tcp/1", "/ip4/203.0.113.5/tcp/1/p2p/\(relay)/p2p-circuit"] {
            let node = SingleNode(seed: 3)
            let own = KadKey(of: node.machine.peer)
            for number in 0..<100 where own.commonPrefixBitCount(with: KadKey(of: Self.peer(number))) == 0 {
                node.connect(Self.peer(number), from: address.replacing("NUMBER", with: "n\(number)"), isOutbound: true)
            }
            #expect(node.machine.contactCount == 10)
        }
    }

    @Test func `keeps others findable beside a household that says it provides everything`() throws {
        let node = SingleNode(seed: 3) { $0.providerRecordCountMax = 1_600 }
        let key = Multihash.sha256(of: [1]).bytes
        let crowded = try Multiaddr(text: "/ip4/203.0.113.5/tcp/1")
        for number in 0..<64 {
            let own = KadPeer(id: Self.peer(number))
            _ = node.ask([KadMessage(.addProvider, key: key, providerPeers: [own])], as: own.id, at: crowded)
            for other in 0..<4 as Range<UInt8> {
                let key = Multihash.sha256(of: [2, UInt8(number), other]).bytes
                _ = node.ask([KadMessage(.addProvider, key: key, providerPeers: [own])], as: own.id, at: crowded)
            }
        }
        #expect(node.machine.providerRecordCount == 100)
        let other = try Multiaddr(text: "/ip4/198.51.100.9/tcp/1")
        let told = node.ask([KadMessage(.addProvider, key: key, providerPeers: [KadPeer(id: self.honest)])], as: self.honest, at: other)
        #expect(told == [])
        // It says so again from elsewhere: it stays on the account on which it is.
        _ = node.ask([KadMessage(.addProvider, key: key, providerPeers: [KadPeer(id: self.honest)])], as: self.honest, at: crowded)
        #expect(node.machine.providerRecordCount == 101)
    }

    @Test func `takes no address at which nobody can be, and takes names of home for home`() throws {
        for address in [
            "/ip4/203.0.113.1/tcp/0", "/ip4/224.0.0.251/tcp/1", "/ip4/255.255.255.255/tcp/1", "/ip4/0.0.0.0/tcp/1", "/ip6/ff02::1/tcp/1",
            "/ip6/::/tcp/1", "/ip6/::ffff:224.0.0.1/tcp/1",
        ] { #expect(KadAddress(try Multiaddr(text: address), of: self.honest) == nil, "\(address)") }
        for (address, scope) in [
            ("/dns4/localhost/tcp/1", AddressScope.loopback), ("/dns/a.LocalHost./tcp/1", .loopback), ("/dns4/printer/tcp/1", .local),
            ("/dns4/nas.local/tcp/1", .local), ("/dns4/x.home.arpa/tcp/1", .local), ("/dns4/example.org/tcp/1", .everywhere),
            ("/ip6/::ffff:192.168.0.1/tcp/1", .local), ("/ip6/::1/tcp/1", .loopback), ("/ip4/203.0.113.1/tcp/1", .everywhere),
        ] { #expect(KadAddress(try Multiaddr(text: address), of: self.honest)?.scope == scope, "\(address)") }
    }
}
