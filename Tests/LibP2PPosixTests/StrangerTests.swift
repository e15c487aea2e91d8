import CTestSupport
import Testing

@testable import LibP2P
@testable import LibP2PPosix

/// Bare sockets that do what no node does. With the other suite they take turns: both count sockets.
extension `A node with real sockets` {
    @Suite(.serialized)
    struct `meets strangers and` {
        @Test(arguments: ["", "/ws"])
        func `closes a connection whose handshake never ends`(suffix: String) async throws {
            var limits = SwarmLimits()
            limits.connection.handshakeTimeout = .milliseconds(200)
            let (server, address) = try await listeningNode(on: "/ip4/127.0.0.1/tcp/0" + suffix, limits: limits)
            let stranger = try BareSocket(connectedTo: address)
            try stranger.send(suffix.isEmpty ? "\u{13}/multi" : "GET / HTTP/1.1\r\nHost: ")
            let start = ContinuousClock.now
            let said = stranger.readToEnd()
            #expect(start.duration(to: .now) < .seconds(8))
            #expect(String(decoding: said, as: UTF8.self).hasPrefix(suffix.isEmpty ? "\u{13}/multistream/1.0.0" : ""))
            await server.close()
        }

        @Test func `answers who speaks no WebSocket with 400`() async throws {
            let (server, address) = try await listeningNode(on: "/ip4/127.0.0.1/tcp/0/ws")
            for text in ["GET /index.html HTTP/1.1\r\nHost: a\r\n\r\n", "\u{13}/multistream/1.0.0\n\r\n\r\n"] {
                let stranger = try BareSocket(connectedTo: address)
                try stranger.send(text)
                #expect(String(decoding: stranger.readToEnd(), as: UTF8.self).hasPrefix("HTTP/1.1 400 Bad Request\r\n"))
            }
            let endless = try BareSocket(connectedTo: address)
            try endless.send([UInt8](repeating: 0x41, count: 8_192))
            #expect(String(decoding: endless.readToEnd(), as: UTF8.self).hasPrefix("HTTP/1.1 400 Bad Request\r\n"))
            await server.close()
        }

        @Test func `says goodbye when a WebSocket breaks the rules`() async throws {
            let (server, address) = try await listeningNode(on: "/ip4/127.0.0.1/tcp/0/ws")
            let events = await server.events()
            let stranger = try BareSocket(connectedTo: address)
            try stranger.send(
                "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                    + "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
            // A frame without a mask.
            try stranger.send([0x82, 1, 0])
            let said = stranger.readToEnd()
            #expect(String(decoding: said, as: UTF8.self).hasPrefix("HTTP/1.1 101 "))
            #expect(said.suffix(4) == [0x88, 2, 0x03, 0xea])
            let error = try await first(in: events) { event in
                if case .swarm(.handshakeFailed(_, let error)) = event { error } else { ConnectionError?.none }
            }
            #expect(error == .webSocket(.wrongMasking))
            await server.close()
        }

        /// In a process of its own: the memory of this one changes with whatever other suites do meanwhile.
        @Test func `holds 2,000 that keep silent in little memory`() async throws {
            let child = await #expect(processExitsWith: .success, observing: [\.standardOutputContent]) {
                DescriptorLimit.raise()
                var limits = SwarmLimits()
                (limits.inboundHandshakeCountMax, limits.inboundCountFromAddressMax) = (4_000, 4_000)
                limits.connection.handshakeTimeout = .seconds(300)
                let (server, address) = try await listeningNode(limits: limits)
                let before = residentByteCount()
                var strangers: [BareSocket] = []
                for _ in 0..<2_000 {
                    strangers.append(try BareSocket(connectedTo: address))
                    try strangers.last?.send("\u{13}/multistream/1.0.0\n")
                }
                // Whoever is answered is known to the node.
                for stranger in strangers { #expect(stranger.read(20).count == 20) }
                #expect(await server.pipeCount == 2_000)
                if let before, let after = residentByteCount() {
                    print("2,000 silent connections: \((after - before) / 2_000) bytes each, test's own side included")
                    // A sanitizer keeps more beside each allocation than the allocation is.
                    if chorale_test_is_sanitized() == 0 { #expect(after - before < 2_000 * 16_384) }
                }
                await server.close()
            }
            // What it printed; the testing library's own lines are for its parent.
            let lines = String(decoding: child?.standardOutputContent ?? [], as: UTF8.self).split(separator: "\n")
            for line in lines where line.hasPrefix("2,000") { print(line) }
        }

        @Test func `keeps nothing of those who come and go`() async throws {
            let sockets = try SocketCount()
            let (server, address) = try await listeningNode()
            let events = await server.events()
            for number in 0..<60 {
                let stranger = try BareSocket(connectedTo: address)
                if number.isMultiple(of: 3) { try stranger.send("\u{13}/multistream/1.0.0\n") }
                if number.isMultiple(of: 5) { try stranger.send([UInt8](repeating: 0xff, count: 100_000)) }
            }
            try await within {
                var count = 0
                for await case .swarm(.handshakeFailed) in events {
                    count += 1
                    if count == 60 { return }
                }
                throw TookTooLong()
            }
            let client = try newNode()
            _ = try await within { try await client.dial(server.id, at: [address]) }
            #expect(try await within { try await exchange([1], client, server.id) } == [1])
            // The server's listener and the two ends of one connection, at least.
            #expect(try sockets.of(address) >= 3)
            await client.close()
            await server.close()
            #expect(try sockets.of(address) == 0)
        }

        /// What the tests count by: no way of ending the other side hides a socket that is still open.
        @Test(arguments: ["127.0.0.1/tcp/0", "127.0.0.1/tcp/0/ws"], [0, 100_000])
        func `leaves a stranger the sockets it keeps open`(way: String, unreadByteCount: Int) async throws {
            let sockets = try SocketCount()
            let (server, address) = try await listeningNode(on: "/ip4/" + way)
            let strangers = try (0..<5).map { _ in try BareSocket(connectedTo: address) }
            for stranger in strangers { try stranger.send([UInt8](repeating: 0xff, count: unreadByteCount)) }
            #expect(try sockets.of(address) >= 6)
            await server.close()
            #expect(try sockets.of(address) == 5)
            withExtendedLifetime(strangers) {}
        }
    }
}
