import Dispatch
import Synchronization
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

/// A name server on loopback, which answers each question with the datagrams that a test gives it.
private final class NameServer {
    /// What is answered to a question for a name: any number of datagrams.
    typealias Answers = @Sendable (_ name: String, _ id: UInt16) throws -> [[UInt8]]

    let address: SocketAddress
    private let source: any DispatchSourceRead
    private let log = Log()

    private final class Log: Sendable { let names = Mutex<[String]>([]) }

    init(_ answers: @escaping Answers) throws {
        let loopback = try #require(IPv4Address([127, 0, 0, 1]))
        let descriptor = try System.makeSocket(AF_INET, System.datagram)
        try System.bind(descriptor, to: SocketAddress(.ip4(loopback), port: 0))
        self.address = System.localAddress(descriptor)
        self.source = DispatchSource.makeReadSource(fileDescriptor: descriptor, queue: DispatchQueue(label: "name server"))
        self.source.setCancelHandler { System.close(descriptor) }
        let log = self.log
        self.source.setEventHandler { Self.answer(descriptor, answers, log) }
        self.source.resume()
    }

    deinit { self.source.cancel() }

    /// The names that were asked for.
    var questions: [String] { self.log.names.withLock { $0 } }

    private static func answer(_ descriptor: Int32, _ answers: Answers, _ log: Log) {
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 512, alignment: 1)
        defer { buffer.deallocate() }
        guard let (count, asker) = try? System.receiveDatagram(descriptor, into: buffer), count > 12 else { return }
        var (labels, offset) = ([String](), 12)
        while offset < count, buffer[offset] > 0, offset + Int(buffer[offset]) < count {
            let end = offset + 1 + Int(buffer[offset])
            labels.append(String(decoding: buffer[offset + 1..<end], as: UTF8.self))
            offset = end
        }
        let name = labels.joined(separator: ".")
        log.names.withLock { $0.append(name) }
        for datagram in (try? answers(name, UInt16(buffer[0]) << 8 | UInt16(buffer[1]))) ?? [] {
            try? System.sendDatagram(descriptor, datagram, to: asker)
        }
    }
}

/// An answer with these texts.
private func texts(_ texts: String..., of name: String, _ id: UInt16) throws -> [[UInt8]] {
    [try nameServerAnswer(name, id: id, texts: texts.map { Array($0.utf8) })]
}

private func dnsaddr(_ name: String) throws -> TransportAddress {
    try #require(TransportAddress(try Multiaddr(text: "/dnsaddr/\(name)")))
}

struct `A name server` {
    @Test func `is asked over a socket, and believed in what answers the question`() throws {
        let server = try NameServer { name, id in try texts("dnsaddr=/ip4/192.0.2.1/tcp/1", "other", of: name, id) }
        #expect(TXTLookup.texts(of: "_dnsaddr.a.example", from: server.address) == ["dnsaddr=/ip4/192.0.2.1/tcp/1", "other"])
        #expect(server.questions == ["_dnsaddr.a.example"])
        #expect(TXTLookup.texts(of: "no..name", from: server.address) == nil)
        #expect(server.questions.count == 1)
    }

    @Test func `is passed over in what answers another question, or none, until the right one comes`() throws {
        let server = try NameServer { name, id in
            var question = try #require(DNSTextLookup.question(name, id: id))
            // Its own question, which is no answer; and one of a name server that does not say what was asked.
            let echo = question
            (question[2], question[5]) = (0x81, 0)
            return try texts("wrong id", of: name, id &+ 1) + texts("wrong name", of: "b.example", id) + [echo, question, [], [1, 2, 3]]
                + [[UInt8](repeating: 0xff, count: 5_000)] + texts("right", of: name, id)
        }
        #expect(TXTLookup.texts(of: "a.example", from: server.address) == ["right"])
    }

    @Test func `gives what is whole of an answer that was cut`() throws {
        let server = try NameServer { name, id in
            [try texts("first", String(repeating: "b", count: 200), of: name, id)[0].dropLast(5)]
        }
        #expect(TXTLookup.texts(of: "a.example", from: server.address) == ["first"])
    }

    @Test func `that gives no answer is followed by the next, and the fourth is not asked`() throws {
        let silent = try (0..<3).map { _ in try NameServer { _, _ in [] } }
        let forger = try NameServer { name, id in try texts("forged", of: name, id &+ 1) }
        let good = try NameServer { name, id in try texts("good", of: name, id) }
        let limit = Duration.milliseconds(400)
        #expect(TXTLookup.texts(of: "a.example", from: [forger.address, good.address], within: limit) == ["good"])
        #expect(TXTLookup.texts(of: "a.example", from: silent.map(\.address) + [good.address], within: limit) == [])
        #expect(forger.questions.count == 1 && silent.allSatisfy { $0.questions.count == 1 } && good.questions.count == 1)
    }
}

struct `A dnsaddr that a server answers for` {
    /// What a lookup with this server finds.
    private func lookup(_ server: NameServer, _ change: (inout NameLookup) -> Void = { _ in }) -> NameLookup {
        var lookup = NameLookup()
        let address = server.address
        lookup.servers = { [address] }
        change(&lookup)
        return lookup
    }

    private func found(_ result: Result<[DialTarget], RawDialFailure>) throws -> [String] { try result.get().map(\.hostText) }

    @Test func `leads through other names to the peer that is wanted`() throws {
        let (peer, other) = (`A dnsaddr`.peer, `A dnsaddr`.other)
        let server = try NameServer { name, id in
            switch name {
            case "_dnsaddr.a.example":
                try texts("dnsaddr=/dnsaddr/b.example", "dnsaddr=/ip4/192.0.2.1/tcp/1/p2p/\(other)", "dnsaddr=nonsense", of: name, id)
            case "_dnsaddr.b.example":
                try texts("dnsaddr=/ip4/192.0.2.2/tcp/2/p2p/\(peer)", "dnsaddr=/ip6/2001:db8::1/tcp/3/ws/p2p/\(peer)", of: name, id)
            default: try texts(of: name, id)
            }
        }
        let result = self.lookup(server).targets(of: try dnsaddr("a.example"), for: try PeerID(text: peer))
        #expect(try self.found(result) == ["192.0.2.2:2", "[2001:db8::1]:3"])
        #expect(try result.get().map(\.isWebSocket) == [false, true])
        #expect(server.questions == ["_dnsaddr.a.example", "_dnsaddr.b.example"])
        #expect(
            self.lookup(server).targets(of: try dnsaddr("c.example"), for: nil) == .failure(.nameNotFound("c.example")))
    }

    @Test func `that names itself, or more and more names, costs eight questions`() throws {
        let loop = try NameServer { name, id in try texts("dnsaddr=/dnsaddr/\(name.dropFirst(9))", of: name, id) }
        #expect(self.lookup(loop).targets(of: try dnsaddr("a.example"), for: nil) == .failure(.nameNotFound("a.example")))
        #expect(loop.questions == [String](repeating: "_dnsaddr.a.example", count: 8))

        // Two names for each one: a tree that has no end.
        let tree = try NameServer { name, id in
            try texts("dnsaddr=/dnsaddr/l.\(name.dropFirst(9))", "dnsaddr=/dnsaddr/r.\(name.dropFirst(9))", of: name, id)
        }
        #expect(self.lookup(tree).targets(of: try dnsaddr("a.example"), for: nil) == .failure(.nameNotFound("a.example")))
        #expect(tree.questions.count == NameLookup.recordLookupCountMax && NameLookup.recordLookupCountMax == 8)
    }

    @Test func `that names a hundred addresses gives as many as are dialled`() throws {
        let server = try NameServer { name, id in
            let entries = (1...100).map { Array("dnsaddr=/ip4/192.0.2.1/tcp/\($0)".utf8) }
            return [try nameServerAnswer(name, id: id, texts: entries)]
        }
        let result = try self.found(self.lookup(server).targets(of: try dnsaddr("a.example"), for: nil))
        #expect(result == (1...SocketTable.targetCountMax).map { "192.0.2.1:\($0)" })
    }

    @Test func `begins no further lookup once its time is over`() throws {
        #expect(NameLookup().timeout == .seconds(6))
        let chain = try NameServer { name, id in
            try texts("dnsaddr=/dnsaddr/x.\(name.dropFirst(9))", "dnsaddr=/ip4/192.0.2.1/tcp/1", of: name, id)
        }
        let late = self.lookup(chain) { $0.timeout = .zero }
        #expect(late.targets(of: try dnsaddr("a.example"), for: nil) == .failure(.nameNotFound("a.example")))
        #expect(chain.questions.isEmpty)

        // The second name's server says nothing, and that takes all the time there is: the third is not asked for.
        let stuck = try NameServer { name, id in
            guard name == "_dnsaddr.a.example" else { return [] }
            return try texts("dnsaddr=/dnsaddr/b.example", "dnsaddr=/dnsaddr/c.example", "dnsaddr=/ip4/192.0.2.1/tcp/1", of: name, id)
        }
        let slow = self.lookup(stuck) { ($0.timeout, $0.answerTimeout) = (.milliseconds(400), .milliseconds(400)) }
        #expect(try self.found(slow.targets(of: try dnsaddr("a.example"), for: nil)) == ["192.0.2.1:1"])
        #expect(stuck.questions == ["_dnsaddr.a.example", "_dnsaddr.b.example"])
    }
}
