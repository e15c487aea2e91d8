import CryptoPrimitives
import LibP2P
import Testing

struct `Addresses` {
    static let peer = "12D3KooWD3eckifWpRn9wQpMG9R9hX3sD158z7EqHWmweQAJU5SA"

    @Test(arguments: [
        // Text, and bytes as multiformats/multiaddr gives them (README, and the codes of protocols.csv).
        ("/ip4/127.0.0.1/udp/1234", "047f000001910204d2"),
        ("/ip4/127.0.0.1/tcp/4321", "047f0000010610e1"),
        ("/ip4/1.2.3.4/tcp/80/ws", "040102030406" + "0050dd03"),
        ("/ip6/2001:8a0:7ac5:4201:3ac9:86ff:fe31:7095/tcp/8000/wss", "29200108a07ac542013ac986fffe317095061f40de03"),
        ("/ip6zone/eth0/ip6/fe80::1/udp/4001/quic-v1", "2a046574683029fe80000000000000000000000000000191020fa1cd03"),
        ("/dns4/ipfs.io/tcp/443/tls/sni/ipfs.io/ws", "3607697066732e696f0601bbc003c10307697066732e696fdd03"),
        ("/dnsaddr/bootstrap.libp2p.io", "3813626f6f7473747261702e6c69627032702e696f"),
        ("/p2p-circuit", "a202"),
        ("/unix/a/b/c/d/e", "90030a2f612f622f632f642f65"),
        ("/unix/\u{35a}a//b", "900307" + "2fcd9a612f2f62"),
        ("/memory/4", "89060000000000000004"),
        ("/ip4/10.0.0.0/ipcidr/8", "040a0000002b08"),
        ("/http", "e003"),
        ("/https", "bb03"),
        ("/noise", "c603"),
        ("/dns/example.com/tcp/1/webrtc", "350b6578616d706c652e636f6d0600019902"),
    ])
    func `have one text and one binary form`(text: String, hex: String) throws {
        let address = try Multiaddr(text: text)
        #expect(Hex.encode(address.bytes) == hex)
        #expect(address.description == text)
        #expect(try Multiaddr(parsing: Hex.decode(hex)) == address)
        #expect(try Multiaddr(parsing: Hex.decode(hex)).description == text)
    }

    @Test func `give their parts`() throws {
        let peer = try PeerID(text: Self.peer)
        let relay = try Multiaddr(text: "/ip4/192.0.2.1/tcp/4001/p2p/\(Self.peer)/p2p-circuit")
        #expect(try relay.components == [.ip4(#require(IPv4Address(text: "192.0.2.1"))), .tcp(4001), .p2p(peer), .p2pCircuit])
        #expect(relay.isRelayed)
        #expect(relay.peerID == nil)
        let whole = relay.appending(.p2p(peer))
        #expect(whole.peerID == peer)
        #expect(whole.withoutPeerID == relay)
        #expect(whole.description == relay.description + "/p2p/" + Self.peer)
        // The old name, and the other form of the id.
        #expect(try Multiaddr(text: "/ipfs/\(peer.cid)").description == "/p2p/" + Self.peer)
    }

    @Test func `of certificates are multihashes in any base, shown in base 64`() throws {
        let hash = Multihash.sha256(of: [1])
        let text = "/ip4/192.0.2.1/udp/9/webrtc-direct/certhash/" + Multibase.base64url.encode(hash.bytes)
        let address = try Multiaddr(text: text)
        #expect(address.components.last == .certhash(hash))
        #expect(address.components[2] == .webrtcDirect)
        #expect(address.description == text)
        let base58 = "/ip4/192.0.2.1/udp/9/webrtc-direct/certhash/" + Multibase.base58btc.encode(hash.bytes)
        #expect(try Multiaddr(text: base58) == address)
        #expect(try Multiaddr(parsing: address.bytes) == address)
    }

    @Test(
        arguments: [
            ("", .empty), ("ip4/1.2.3.4", .noLeadingSlash), ("/", .unknownProtocol("")), ("//ip4/1.2.3.4", .unknownProtocol("")),
            ("/ip4/1.2.3.4/", .unknownProtocol("")), ("/ip4", .missingValue(of: .ip4)), ("/ip4/", .invalidValue(of: .ip4)),
            ("/ip4/1.2.3", .invalidValue(of: .ip4)), ("/ip4/1.2.3.4.5", .invalidValue(of: .ip4)),
            ("/ip4/1.2.3.256", .invalidValue(of: .ip4)),
            ("/ip4/01.2.3.4", .invalidValue(of: .ip4)), ("/ip4/+1.2.3.4", .invalidValue(of: .ip4)), ("/ip4/::1", .invalidValue(of: .ip4)),
            ("/tcp/65536", .invalidValue(of: .tcp)), ("/tcp/-1", .invalidValue(of: .tcp)), ("/tcp/080", .invalidValue(of: .tcp)),
            ("/tcp/٣", .invalidValue(of: .tcp)), ("/tcp/", .invalidValue(of: .tcp)), ("/ip6/1.2.3.4", .invalidValue(of: .ip6)),
            ("/p2p/Qm", .invalidValue(of: .p2p)), ("/p2p", .missingValue(of: .p2p)), ("/dns/", .invalidValue(of: .dns)),
            ("/dns/a b", .invalidValue(of: .dns)), ("/dns/\u{202e}moc", .invalidValue(of: .dns)), ("/unix/", .invalidValue(of: .unix)),
            ("/unix/a\u{1b}[2J", .invalidValue(of: .unix)), ("/certhash/b", .invalidValue(of: .certhash)),
            ("/IP4/1.2.3.4", .unknownProtocol("IP4")),
            ("/onion3/abc:80", .unknownProtocol("onion3")), ("/ip4/1.2.3.4/\u{301}tcp/4", .unknownProtocol("\u{301}tcp")),
        ] as [(String, MultiaddrError)])
    func `that are none are refused by name`(text: String, error: MultiaddrError) {
        #expect(throws: error) { try Multiaddr(text: text) }
    }

    @Test(
        arguments: [
            ("", .empty), ("04", .missingValue(of: .ip4)), ("047f0000", .missingValue(of: .ip4)), ("0610", .missingValue(of: .tcp)),
            ("bd03", .unknownProtocol("code 445")), ("047f00000100", .unknownProtocol("code 0")), ("84008400", .varint(.notMinimal)),
            ("35ff", .varint(.truncated)), ("3505616263", .missingValue(of: .dns)), ("3500", .invalidValue(of: .dns)),
            ("350161" + "ffffffffffffffffff", .varint(.tooLong)), ("3501ff", .invalidValue(of: .dns)), ("35012f", .invalidValue(of: .dns)),
            ("35ffffffffffffffff7f", .missingValue(of: .dns)), ("900301" + "61", .invalidValue(of: .unix)),
            ("a50302" + "0000", .invalidValue(of: .p2p)),
            ("9003022f61" + "060001", .invalidValue(of: .unix)),
        ] as [(String, MultiaddrError)])
    func `in bytes that are none are refused by name`(hex: String, error: MultiaddrError) throws {
        let bytes = try Hex.decode(hex)
        #expect(throws: error) { try Multiaddr(parsing: bytes) }
    }

    @Test func `cut anywhere or with any bit flipped are refused, or are other addresses in order`() throws {
        let bytes = try Multiaddr(text: "/ip6zone/eth0/ip6/fe80::1/tcp/4001/tls/sni/a.example/ws/p2p/\(Self.peer)/p2p-circuit").bytes
        var read = 0
        let cut = bytes.indices.map { Array(bytes[..<$0]) }
        let flipped = (0..<(bytes.count * 8)).map { bit in
            var wrong = bytes
            wrong[bit / 8] ^= 1 << (bit % 8)
            return wrong
        }
        for wrong in cut + flipped {
            guard let address = try? Multiaddr(parsing: wrong) else { continue }
            read += 1
            #expect(address.bytes == wrong)
            #expect(try Multiaddr(text: address.description) == address)
        }
        #expect(read > 100, "many a changed port or name is still an address")
    }

    @Test func `are bounded in bytes, characters and protocols`() throws {
        let most = String(repeating: "/ws", count: Multiaddr.componentCountMax)
        #expect(try Multiaddr(text: most).components.count == Multiaddr.componentCountMax)
        #expect(throws: MultiaddrError.tooManyComponents(maximum: 24)) { try Multiaddr(text: most + "/ws") }
        #expect(throws: MultiaddrError.tooManyComponents(maximum: 24)) { try Multiaddr(parsing: Multiaddr(text: most).bytes + [0xdd, 3]) }
        let long = "/unix/" + String(repeating: "a", count: Multiaddr.byteCountMax)
        #expect(throws: MultiaddrError.tooLong(byteCount: 1_029, maximum: 1_024)) { try Multiaddr(text: long) }
        #expect(throws: MultiaddrError.tooLong(byteCount: 3_006, maximum: 2_048)) {
            try Multiaddr(text: "/unix/" + String(repeating: "a", count: 3_000))
        }
        #expect(throws: MultiaddrError.tooLong(byteCount: 1_025, maximum: 1_024)) {
            try Multiaddr(parsing: [UInt8](repeating: 0, count: 1_025))
        }
    }
}

struct `IP addresses of version 6` {
    @Test(arguments: [
        // RFC 4291, section 2.2, and RFC 5952, section 4.
        ("2001:DB8:0:0:8:800:200C:417A", "2001:db8::8:800:200c:417a"), ("FF01:0:0:0:0:0:0:101", "ff01::101"),
        ("0:0:0:0:0:0:0:1", "::1"), ("0:0:0:0:0:0:0:0", "::"), ("::", "::"), ("0:0:0:0:0:FFFF:129.144.52.38", "::ffff:129.144.52.38"),
        ("2001:0db8::0001", "2001:db8::1"), ("2001:db8:0:1:1:1:1:1", "2001:db8:0:1:1:1:1:1"), ("2001:0:0:1:0:0:0:1", "2001:0:0:1::1"),
        ("2001:db8:0:0:1:0:0:1", "2001:db8::1:0:0:1"), ("1::", "1::"), ("1:2:3:4:5:6:7::", "1:2:3:4:5:6:7:0"),
        ("::2:3:4:5:6:7:8", "0:2:3:4:5:6:7:8"),
        ("64:ff9b::192.0.2.33", "64:ff9b::c000:221"),
    ])
    func `are read in every form and shown in one`(text: String, shown: String) throws {
        let address = try #require(IPv6Address(text: text))
        #expect(address.description == shown)
        #expect(IPv6Address(text: shown) == address)
        #expect(IPv6Address(address.bytes) == address)
    }

    @Test(arguments: [
        "", ":", ":::", "1", "1:2:3:4:5:6:7", "1:2:3:4:5:6:7:8:9", "1::2::3", "12345::", "g::", ":1:2:3:4:5:6:7", "1:2:3:4:5:6:7:",
        "1:2:3:4:5:6:7:8::", "::1:2:3:4:5:6:7:8", "1.2.3.4::", "::1.2.3", "::1.2.3.256", "+1::", "fe80::1%eth0", "::1.2.3.4:5", " ::1",
        "1:2:3:4:5:6:7:1.2.3.4", "0000:0000:0000:0000:0000:0000:0000:0000:0000:0000",
    ])
    func `that are none are refused`(text: String) {
        #expect(IPv6Address(text: text) == nil)
    }
}
