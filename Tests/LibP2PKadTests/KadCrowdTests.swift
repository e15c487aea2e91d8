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

    @Test func `takes no address at which nobody can be, and takes names of home for home`() throws {
        for address in [
            "/ip4/203.0.113.1/tcp/0", "/ip4/224.0.0.251/tcp/1", "/ip4/255.255.255.255/tcp/1", "/ip4/0.0.0.0/tcp/1", "/ip6/ff02::1/tcp/1",
            "/ip6/::/tcp/1", "/ip6/::ffff:224.0.0.1/tcp/1",
        ] { #expect(KadAddress(try Multiaddr(text: address), of: self.honest) == nil, "\(address)") }
        for (address, scope) in [
            ("/dns4/localhost/tcp/1", KadAddressScope.loopback), ("/dns/a.LocalHost./tcp/1", .loopback), ("/dns4/printer/tcp/1", .local),
            ("/dns4/nas.local/tcp/1", .local), ("/dns4/x.home.arpa/tcp/1", .local), ("/dns4/example.org/tcp/1", .everywhere),
            ("/ip6/::ffff:192.168.0.1/tcp/1", .local), ("/ip6/::1/tcp/1", .loopback), ("/ip4/203.0.113.1/tcp/1", .everywhere),
        ] { #expect(KadAddress(try Multiaddr(text: address), of: self.honest)?.scope == scope, "\(address)") }
    }
}
