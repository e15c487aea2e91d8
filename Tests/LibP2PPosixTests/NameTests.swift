import Dispatch
import Testing

@testable import LibP2P
@testable import LibP2PPosix

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#elseif canImport(Darwin)
import Darwin
#endif

/// An answer as a name server writes it.
func nameServerAnswer(_ name: String, id: UInt16, texts: [[UInt8]]) throws -> [UInt8] {
    let question = try #require(DNSTextLookup.question(name, id: id))
    var bytes = Array(question.dropLast(11))
    bytes[2] = 0x81
    bytes[3] = 0x80
    bytes[7] = UInt8(texts.count)
    bytes[11] = 0
    for text in texts {
        let pieces = stride(from: 0, to: max(1, text.count), by: 255).flatMap { start in
            let piece = text[start..<min(text.count, start + 255)]
            return [UInt8(piece.count)] + piece
        }
        bytes += [0xc0, 12, 0, 16, 0, 1, 0, 0, 0, 60, UInt8(pieces.count >> 8), UInt8(pieces.count & 255)] + pieces
    }
    return bytes
}

struct `A resolver of names` {
    @Test func `gives the place of a dial that was called off to another`() throws {
        // The queue never runs, so that nothing is found and nobody's turn is over until the test says so.
        let queue = DispatchQueue(label: "never", attributes: .initiallyInactive)
        let resolver = NameResolver(queue: queue) { _ in }
        let name = try #require(TransportAddress(Multiaddr(text: "/dns4/localhost/tcp/1")))
        func resolve(_ number: Int) -> Bool { resolver.resolve(name, for: nil, ConnectionID(rawValue: UInt64(number))) }
        let most = NameResolver.threadCountMax + NameResolver.waitingCountMax
        for number in 0..<most { #expect(resolve(number)) }
        #expect(!resolve(most))
        resolver.callOff(ConnectionID(rawValue: UInt64(most - 1)))
        #expect(resolve(most))
        #expect(!resolve(most + 1))
        // One that has begun keeps its thread.
        resolver.callOff(ConnectionID(rawValue: 0))
        #expect(!resolve(most + 1))
        resolver.stop()
        queue.activate()
    }
}

struct `A question for TXT records` {
    @Test func `is written as RFC 1035 says`() {
        #expect(
            DNSTextLookup.question("_dnsaddr.a.io", id: 0x1234) == [
                0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 1, 8, 0x5f, 0x64, 0x6e, 0x73, 0x61, 0x64, 0x64, 0x72, 1, 0x61, 2, 0x69, 0x6f, 0,
                0, 16, 0, 1, 0, 0, 41, 16, 0, 0, 0, 0, 0, 0, 0,
            ])
    }

    @Test(arguments: ["", ".", "a..b", String(repeating: "a", count: 64), String(repeating: "a.", count: 127) + "b"])
    func `is not asked for what is no name`(name: String) { #expect(DNSTextLookup.question(name, id: 1) == nil) }

    @Test func `is answered by texts, whose pieces are joined`() throws {
        let long = [UInt8](repeating: 0x61, count: 700)
        let bytes = try nameServerAnswer("a.io", id: 7, texts: [Array("one".utf8), long, []])
        #expect(DNSTextLookup.texts(in: bytes, to: "a.io", id: 7) == ["one", String(repeating: "a", count: 700), ""])
        // Servers may write the name in other letters.
        #expect(DNSTextLookup.texts(in: bytes, to: "A.iO", id: 7)?.count == 3)
        #expect(DNSTextLookup.texts(in: bytes, to: "a.io", id: 8) == nil)
        #expect(DNSTextLookup.texts(in: bytes, to: "b.io", id: 7) == nil)
        #expect(DNSTextLookup.texts(in: try #require(DNSTextLookup.question("a.io", id: 7)), to: "a.io", id: 7) == nil)
    }

    @Test func `is answered by what is whole of an answer that is cut anywhere`() throws {
        let bytes = try nameServerAnswer("a.io", id: 7, texts: [Array("one".utf8), Array("two".utf8)])
        for cut in 0..<bytes.count {
            let texts = DNSTextLookup.texts(in: Array(bytes[..<cut]), to: "a.io", id: 7) ?? []
            #expect(["one", "two"].starts(with: texts) && texts.count < 2)
        }
    }

    @Test(arguments: UInt64(0)..<300) func `is not confused by answers with any bytes changed`(seed: UInt64) throws {
        var random = SeededRandom(seed: seed)
        var bytes = try nameServerAnswer("a.io", id: 7, texts: [[UInt8]](repeating: Array("dnsaddr=/ip4/1.2.3.4/tcp/1".utf8), count: 5))
        for _ in 0..<Int.random(in: 1...20, using: &random) {
            bytes[Int.random(in: 0..<bytes.count, using: &random)] = UInt8.random(in: 0...255, using: &random)
        }
        #expect((DNSTextLookup.texts(in: bytes, to: "a.io", id: 7) ?? []).count <= DNSTextLookup.textCountMax)
    }

    @Test func `takes no more than 64 texts`() throws {
        let bytes = try nameServerAnswer("a.io", id: 7, texts: [[UInt8]](repeating: [0x61], count: 200))
        #expect(DNSTextLookup.texts(in: bytes, to: "a.io", id: 7)?.count == 64)
    }
}

struct `A dnsaddr` {
    static let peer = "12D3KooWD3eckifWpRn9wQpMG9R9hX3sD158z7EqHWmweQAJU5SA"
    static let other = "12D3KooWK99VoVxNE7XzyBwXEzW7xhK7Gpv85r9F3V3fyKSUKPH5"

    @Test func `leads to the entries of the peer that end as it does`() throws {
        let texts = [
            "dnsaddr=/ip4/192.0.2.1/tcp/1/p2p/\(Self.peer)", "dnsaddr=/ip4/192.0.2.2/tcp/2/p2p/\(Self.other)",
            "dnsaddr=/ip4/192.0.2.3/tcp/3/ws", "dnsaddr=/dnsaddr/x.example", "v=spf1", "dnsaddr=nonsense",
            "dnsaddr=/ip4/192.0.2.4/tcp/4/p2p/\(Self.other)/p2p-circuit",
        ]
        let all = DNSAddress.entries(in: texts, for: nil, suffix: [])
        #expect(
            all.map(\.description) == [
                "/ip4/192.0.2.1/tcp/1", "/ip4/192.0.2.2/tcp/2", "/ip4/192.0.2.3/tcp/3/ws", "/dnsaddr/x.example",
            ])
        let one = DNSAddress.entries(in: texts, for: try PeerID(text: Self.peer), suffix: [])
        #expect(one.map(\.description) == ["/ip4/192.0.2.1/tcp/1", "/ip4/192.0.2.3/tcp/3/ws", "/dnsaddr/x.example"])
        #expect(DNSAddress.entries(in: texts, for: nil, suffix: [.ws]).map(\.description) == ["/ip4/192.0.2.3/tcp/3/ws"])
    }

    @Test func `asks the servers that the system names`() throws {
        let file = "# nameserver 1.1.1.1\nsearch a\nnameserver 192.0.2.1\n nameserver\t2001:db8::1 x\nnameserver y\n"
        let first = try #require(IPv4Address(text: "192.0.2.1"))
        let second = try #require(IPv6Address(text: "2001:db8::1"))
        #expect(TXTLookup.servers(in: file) == [.ip4(first), .ip6(second, scope: 0)])
    }

    @Test func `asks a server on a link by its interface's name or number`() throws {
        let address = try #require(IPv6Address(text: "fe80::1"))
        let interface = try #require(if_nameindex())
        defer { if_freenameindex(interface) }
        let (name, number) = (String(cString: try #require(interface.pointee.if_name)), interface.pointee.if_index)
        #expect(TXTLookup.servers(in: "nameserver fe80::1%\(name)") == [.ip6(address, scope: number)])
        #expect(TXTLookup.servers(in: "nameserver fe80::1%4093") == [.ip6(address, scope: 4_093)])
        #expect(TXTLookup.servers(in: "nameserver fe80::1%nothing-here\nnameserver fe80::1%") == [.ip6(address, scope: 0)])
    }
}

struct `A transport address` {
    @Test(arguments: [
        "/ip4/1.2.3.4/udp/1", "/ip4/1.2.3.4/tcp/1/wss", "/ip4/1.2.3.4/tcp/1/tls/ws", "/ip4/1.2.3.4", "/dns4/a/tcp/1/ws/ws", "/tcp/1",
        "/ip6zone/nothing-here/ip6/fe80::1/tcp/1", "/ip4/1.2.3.4/tcp/1/p2p-circuit", "/unix/a",
    ])
    func `is none of what is not spoken here`(text: String) throws { #expect(TransportAddress(try Multiaddr(text: text)) == nil) }

    @Test(arguments: ["/ip4/1.2.3.4/tcp/1", "/ip6/2001:db8::1/tcp/65535/ws"])
    func `comes back from the system's form`(text: String) throws {
        let transport = try #require(TransportAddress(try Multiaddr(text: text)))
        guard case .address(let host) = transport.host else { return }
        #expect(SocketAddress(host, port: transport.port).multiaddr(isWebSocket: transport.isWebSocket).description == text)
    }
}
