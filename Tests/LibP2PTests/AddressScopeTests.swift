import Testing

@testable import LibP2P

struct `How far an address reaches` {
    @Test(
        arguments: [
            ("/ip4/127.1.2.3/tcp/1", .loopback), ("/ip6/::1/tcp/1", .loopback), ("/ip4/10.0.0.1/tcp/1", .local),
            ("/ip4/172.31.0.1/tcp/1", .local),
            ("/ip4/172.32.0.1/tcp/1", .everywhere), ("/ip4/100.64.0.1/tcp/1", .local), ("/ip4/169.254.1.1/tcp/1", .local),
            ("/ip4/198.17.0.1/tcp/1", .everywhere), ("/ip4/198.18.0.1/tcp/1", .local), ("/ip4/198.20.0.1/tcp/1", .everywhere),
            ("/ip4/192.0.0.8/tcp/1", .local), ("/ip4/192.0.1.8/tcp/1", .everywhere),
            ("/ip6/fd00::1/tcp/1", .local), ("/ip6/febf::1/tcp/1", .local), ("/ip6/2606:4700::1/tcp/1", .everywhere),
            ("/ip4/0.0.0.0/tcp/1", nil), ("/ip4/224.0.0.1/tcp/1", nil), ("/ip6/::/tcp/1", nil), ("/ip6/ff02::1/tcp/1", nil),
            // Through which a router or the system reaches an address of IPv4.
            ("/ip6/::ffff:127.0.0.1/tcp/1", .loopback), ("/ip6/64:ff9b::10.0.0.1/tcp/1", .local),
            ("/ip6/64:ff9b::9.9.9.9/tcp/1", .everywhere), ("/ip6/64:ff9b:1::9.9.9.9/tcp/1", .local),
            ("/ip6/64:ff9c::9.9.9.9/tcp/1", .everywhere), ("/ip6/fec0::1/tcp/1", .local), ("/ip6/feff::1/tcp/1", .local),
            ("/ip6/2002:7f00:1::1/tcp/1", .loopback), ("/ip6/2002:c0a8:101::1/tcp/1", .local),
            // An interface's name says that nobody else means the same by it.
            ("/ip6zone/lo/ip6/::1/tcp/1", .loopback), ("/ip6zone/eth0/ip6/2606:4700::1/tcp/1", .local),
            ("/dns4/localhost/tcp/1", .loopback), ("/dns/printer/tcp/1", .local), ("/dnsaddr/example.org", .everywhere),
            // Whoever dials through a relay connects to the relay.
            ("/ip4/127.0.0.1/tcp/22/p2p/12D3KooWD3eckifWpRn9wQpMG9R9hX3sD158z7EqHWmweQAJU5SA/p2p-circuit", .loopback),
            ("/ip4/9.9.9.9/tcp/22/p2p/12D3KooWD3eckifWpRn9wQpMG9R9hX3sD158z7EqHWmweQAJU5SA/p2p-circuit", .everywhere),
            ("/p2p/12D3KooWD3eckifWpRn9wQpMG9R9hX3sD158z7EqHWmweQAJU5SA/p2p-circuit", .everywhere), ("/memory/1", nil),
        ] as [(String, AddressScope?)])
    func `is one thing for all who ask`(text: String, scope: AddressScope?) throws {
        let address = try Multiaddr(text: text)
        #expect(address.scope == scope)
        guard !address.isRelayed, scope != nil, !text.contains("dns") else { return }
        let rank: AddressRank =
            switch address.ipAddress?.scope {
            case .loopback: .loopback
            case .local: .privateNetwork
            default: .publicNetwork
            }
        #expect(AddressRank(address) == rank)
    }

    @Test func `decides what may be taken from a peer, and through a relay that is too near only its name`() throws {
        let relay = "/p2p/12D3KooWD3eckifWpRn9wQpMG9R9hX3sD158z7EqHWmweQAJU5SA/p2p-circuit"
        let near = try Multiaddr(text: "/ip4/192.168.1.1/tcp/1")
        #expect(near.reaching(.local) == near)
        #expect(near.reaching(.everywhere) == nil)
        #expect(try Multiaddr(text: "/ip4/192.168.1.1/tcp/1" + relay).reaching(.everywhere) == Multiaddr(text: relay))
        #expect(try Multiaddr(text: "/ip4/9.9.9.9/tcp/1" + relay).reaching(.everywhere)?.ipAddress != nil)
    }
}

struct `Shares of households` {
    @Test func `leave room for the next one, however many came and took what they could`() {
        var shares = HouseholdShares()
        for number in 0..<100 as Range<UInt8> {
            var count = 0
            while shares.take(1, for: [number], of: 10_000) { count += 1 }
            #expect(count >= (number == 0 ? 5_000 : number < 12 ? 1 : 0))
        }
        #expect(shares.total <= 10_000)
        #expect(shares.share(of: [0]) == 5_000)
        // What one gives back others may have.
        shares.giveBack(5_000, of: [0])
        let isTaken = shares.take(2_000, for: [200], of: 10_000)
        #expect(isTaken)
    }

    @Test(arguments: UInt64(0)..<50) func `never exceed what there is, and count to nothing`(seed: UInt64) {
        var (random, shares) = (SeededRandom(seed: seed), HouseholdShares())
        var taken: [(household: [UInt8], count: Int)] = []
        for _ in 0..<500 {
            if Bool.random(using: &random), let index = taken.indices.randomElement(using: &random) {
                let gone = taken.remove(at: index)
                shares.giveBack(gone.count, of: gone.household)
            } else {
                let (household, count) = ([UInt8.random(in: 0...9, using: &random)], Int.random(in: 1...40, using: &random))
                if shares.take(count, for: household, of: 1_000) { taken.append((household, count)) }
            }
            #expect(shares.total == taken.reduce(0) { $0 + $1.count })
            #expect(shares.total <= 1_000)
        }
        for (household, count) in taken { shares.giveBack(count, of: household) }
        #expect(shares.total == 0)
        #expect(shares.heldByteCount == 0)
    }
}
