import LibP2P
import Testing

@testable import LibP2PPosix

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#elseif canImport(Darwin)
import Darwin
#endif

/// What comes first of a kind; `nil` when the stream ends without.
private func firstEvent<Event: Sendable>(of stream: AsyncStream<Event>, where isWanted: @Sendable (Event) -> Bool) async -> Event? {
    for await event in stream where isWanted(event) { return event }
    return nil
}

/// Multicast on the loopback interface alone: nothing leaves this machine. Others of this machine may be heard there.
@Suite(.serialized, .enabled(if: LoopbackLink.name != nil, "no loopback interface is up"))
struct `Nodes that discover each other` {
    private static func configuration(dials: Bool = false) -> LocalDiscovery.Configuration {
        var configuration = LocalDiscovery.Configuration()
        configuration.interfaces = LoopbackLink.name.map { [$0] } ?? []
        configuration.dialsDiscovered = dials
        return configuration
    }

    @Test func `connect without having been told of each other`() async throws {
        let (first, address) = try await listeningNode()
        let (second, _) = try await listeningNode()
        let heard = await first.discoverLocalPeers(Self.configuration())
        let events = await second.events()
        // The second finds and dials.
        await second.discoverLocalPeers(Self.configuration(dials: true))
        let (id, other) = (second.id, first.id)
        let connected = try await within {
            await firstEvent(of: events) { if case .swarm(.connected(let info)) = $0 { info.peer == other } else { false } }
        }
        #expect(connected != nil)
        #expect(await second.connections(to: first.id).map(\.remoteAddress) == [address])
        // The first hears of it as well, and could dial without being given an address.
        let found = try await within {
            await firstEvent(of: heard) { if case .discovered(id, _) = $0 { true } else { false } }
        }
        guard case .discovered(_, let addresses) = found else { return }
        let listenAddresses = await second.listenAddresses
        #expect(addresses == listenAddresses)
        let known = await first.addresses(of: id)
        #expect(addresses.allSatisfy { known.contains($0) })
        // It was found because it answered or announced itself. Its own first question may still be waiting: it was heard before.
        let counters = await first.counters.mdns
        #expect(counters.map { $0.answersSent >= 1 } == true)
        await first.stopLocalDiscovery()
        #expect(await first.counters.mdns == nil)
        await first.close()
        await second.close()
    }

    @Test func `forget one that is closed`() async throws {
        let (first, _) = try await listeningNode()
        let (second, _) = try await listeningNode()
        let heard = await first.discoverLocalPeers(Self.configuration())
        await second.discoverLocalPeers(Self.configuration())
        let id = second.id
        let isKnown = try await within {
            await firstEvent(of: heard) { if case .discovered(id, _) = $0 { true } else { false } } != nil
        }
        #expect(isKnown)
        await second.close()
        #expect(await second.discoveryCount == 0)
        #expect(try await within { await firstEvent(of: heard) { $0 == .expired(id) } } != nil)
        await first.close()
        // The stream ends with its node; later ones are over at once.
        #expect(await firstEvent(of: heard) { _ in false } == nil)
        #expect(await firstEvent(of: first.discoverLocalPeers(Self.configuration())) { _ in true } == nil)
        #expect(await first.discoveryCount == 0)
    }

    @Test func `hear nothing before they are asked to, and nothing after they are asked to stop`() async throws {
        let (first, _) = try await listeningNode()
        #expect(await first.discoveryCount == 0)
        let heard = await first.discoverLocalPeers(Self.configuration())
        // Begun anew, the old stream ends.
        await first.discoverLocalPeers(Self.configuration())
        let isOver = try await within {
            for await _ in heard {}
            return true
        }
        #expect(isOver)
        await first.stopLocalDiscovery()
        await first.close()
        #expect(await first.discoveryCount == 0)
    }

    @Test func `answer a plain resolver of the same machine`() async throws {
        let (node, address) = try await listeningNode()
        await node.discoverLocalPeers(Self.configuration())
        let resolver = try LoopbackLink.Resolver()
        // _p2p._udp.local PTR, with the number 7.
        let name: [UInt8] = [4, 0x5f, 0x70, 0x32, 0x70, 4, 0x5f, 0x75, 0x64, 0x70, 5, 0x6c, 0x6f, 0x63, 0x61, 0x6c, 0]
        let question: [UInt8] = [0, 7, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0] + name + [0, 12, 0, 1]
        let wanted = Array("dnsaddr=\(address)/p2p/\(node.id)".utf8)
        // Before it, what is no question: it ends nothing.
        try resolver.ask([])
        try resolver.ask([UInt8](repeating: 0xc0, count: 9_000))
        try resolver.ask(question)
        let isAnswered = try await within {
            // Other nodes of this machine answer as well.
            while true {
                guard let answer = try await resolver.answer() else { return false }
                if answer.starts(with: [0, 7, 0x84, 0]), answer.containsSequence(wanted) { return true }
            }
        }
        #expect(isAnswered)
        resolver.close()
        await node.close()
    }
}

/// What the machine has for these tests.
enum LoopbackLink {
    static let name = NetworkInterface.all.first { $0.isLoopback && $0.subnets.contains { $0.family == .ip4 } }?.name

    /// A program that asks from a port of its own.
    final class Resolver: Sendable {
        private let descriptor: Int32

        init() throws {
            self.descriptor = try System.makeSocket(AF_INET, System.datagram)
            let loopback = try #require(IPv4Address(text: "127.0.0.1"))
            try System.bind(self.descriptor, to: SocketAddress(.ip4(loopback), port: 0))
            var interface = in_addr(s_addr: UInt32(0x7f00_0001).bigEndian)
            let size = socklen_t(MemoryLayout<in_addr>.size)
            let status = setsockopt(self.descriptor, Int32(IPPROTO_IP), IP_MULTICAST_IF, &interface, size)
            #expect(status == 0)
        }

        func ask(_ bytes: [UInt8]) throws {
            let group = try #require(IPv4Address(text: "224.0.0.251"))
            try System.sendDatagram(self.descriptor, bytes, to: SocketAddress(.ip4(group), port: 5_353))
        }

        /// What comes next; `nil` if that takes more than ten seconds.
        func answer() async throws -> [UInt8]? {
            let descriptor = self.descriptor
            return try await Task.detached {
                var waiting = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
                guard poll(&waiting, 1, 10_000) > 0 else { return nil }
                var buffer = [UInt8](repeating: 0, count: 9_000)
                let count = try buffer.withUnsafeMutableBytes { try System.receiveDatagram(descriptor, into: $0).count }
                return Array(buffer.prefix(count))
            }.value
        }

        func close() { System.close(self.descriptor) }
    }
}

extension [UInt8] {
    fileprivate func containsSequence(_ other: [UInt8]) -> Bool {
        self.indices.contains { self[$0...].starts(with: other) }
    }
}
