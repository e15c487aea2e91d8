import CryptoPrimitives
import LibP2P
import Testing

@testable import LibP2PPosix

/// Three nodes: a relay, one that has a place there, and one that knows the relay only.
private struct RelayedNodes {
    let relay: PosixNode
    let (one, other): (PosixNode, PosixNode)
    let relayAddress: Multiaddr

    init(_ change: (inout Node.Configuration) -> Void = { _ in }) async throws {
        func node(isRelay: Bool) async throws -> (PosixNode, Multiaddr) {
            try await wholeNode { configuration in
                if isRelay { configuration.relayServer = RelayServer.Configuration() }
                configuration.holePunch?.isAutomatic = false
                configuration.holePunch?.dialsPrivateAddresses = true
                change(&configuration)
            }
        }
        (self.relay, self.relayAddress) = try await node(isRelay: true)
        (self.one, _) = try await node(isRelay: false)
        (self.other, _) = try await node(isRelay: false)
        await self.other.serve("/echo/1.0.0", onLimited: true) { stream in
            do {
                while let chunk = try await stream.read() { try await stream.write(chunk) }
                stream.closeWrite()
            } catch {
                stream.reset()
            }
        }
    }

    var circuit: Multiaddr { self.relayAddress.appending(.p2p(self.relay.id), .p2pCircuit) }

    func close() async { for node in [self.one, self.other, self.relay] { await node.close() } }

    func echo(_ text: String) async throws -> String {
        let stream = try await self.one.openStream(to: self.other.id, ["/echo/1.0.0"], onLimited: true)
        try await stream.write(Array(text.utf8))
        await stream.closeWrite()
        return String(decoding: try await stream.readToEnd(upTo: 1_000), as: UTF8.self)
    }
}

extension `A node with real sockets` {
    @Suite(.serialized)
    struct `and a relay between it and others` {
        @Test func `is reached through it, and then directly`() async throws {
            let nodes = try await RelayedNodes()
            let reservation = try await within { try await nodes.other.reserve(at: nodes.relay.id, addresses: [nodes.relayAddress]) }
            #expect(reservation.relayAddresses == [nodes.relayAddress.appending(.p2p(nodes.relay.id))])
            #expect(reservation.voucher?.peer == nodes.other.id)
            #expect(await nodes.other.reservations == [reservation])
            #expect(await nodes.other.announcedAddresses.last == nodes.circuit)

            let info = try await within { try await nodes.one.dial(nodes.other.id, through: nodes.relay.id, at: [nodes.relayAddress]) }
            #expect(info.isLimited && info.remoteAddress == nodes.circuit)
            #expect(try await within { try await nodes.echo("far") } == "far")
            // A protocol that is not meant for the little that a relay carries.
            await #expect(throws: NodeError.stream(.notConnected)) {
                try await within { try await nodes.one.openStream(to: nodes.other.id, ["/echo/1.0.0"]) }
            }

            // Nothing on loopback is public: only dials of both sides at once make it direct.
            #expect(try await within(.seconds(60)) { try await nodes.other.upgrade(nodes.one.id) } >= 1)
            #expect(await nodes.one.connections(to: nodes.other.id).contains { !$0.remoteAddress.isRelayed })
            #expect(try await within { try await nodes.other.upgrade(nodes.one.id) } == 0)
            await nodes.relay.close()
            #expect(try await within { try await nodes.echo("near") } == "near")
            await nodes.close()
        }

        @Test func `has its place told again at once, also when the relay refuses to renew it`() async throws {
            let nodes = try await RelayedNodes { $0.relayServer?.requestsPerPeerBurst = 1 }
            let first = try await within { try await nodes.other.reserve(at: nodes.relay.id, addresses: [nodes.relayAddress]) }
            let second = try await within { try await nodes.other.reserve(at: nodes.relay.id) }
            #expect(first == second)
            await nodes.close()
        }

        @Test func `is not given one through it where it asked for a direct one`() async throws {
            let nodes = try await RelayedNodes()
            _ = try await within { try await nodes.other.reserve(at: nodes.relay.id, addresses: [nodes.relayAddress]) }
            // Somebody takes connections there and says nothing.
            let (silent, silentAddress) = try await listeningNode()
            silent.executor.queue.suspend()
            let (one, peer, circuit) = (nodes.one, nodes.other.id, nodes.circuit)
            var options = DialOptions()
            options.isDirect = true
            let direct = options
            let dialling = Task { try await one.dial(peer, at: [silentAddress], options: direct) }
            try await Task.sleep(for: .milliseconds(50))
            // Whoever takes any connection has the one through the relay; the other goes on waiting for its own.
            let info = try await within { try await one.dial(peer, at: [circuit]) }
            #expect(info.remoteAddress == circuit)
            #expect(await one.waitingCount == 1)
            #expect(await one.connections(to: peer).count == 1)
            silent.executor.queue.resume()
            // It fails for its own reason: another peer was there.
            let failure = await #expect(throws: NodeError.self) { try await within { try await dialling.value } }
            guard case .dial(.allFailed(let failures)) = failure else {
                Issue.record("\(String(describing: failure))")
                return
            }
            #expect(failures.map(\.address) == [silentAddress])
            await silent.close()
            await nodes.close()
        }

        @Test func `becomes directly connected by itself where it is so configured`() async throws {
            let nodes = try await RelayedNodes { $0.holePunch?.isAutomatic = true }
            _ = try await within { try await nodes.other.reserve(at: nodes.relay.id, addresses: [nodes.relayAddress]) }
            let events = await nodes.one.events()
            let peer = nodes.other.id
            _ = try await within { try await nodes.one.dial(nodes.other.id, at: [nodes.circuit]) }
            let direct = try await first(in: events) { event in
                guard case .swarm(.connected(let info)) = event, info.peer == peer, !info.isLimited else { return ConnectionInfo?.none }
                return info
            }
            #expect(!direct.remoteAddress.isRelayed)
            await nodes.close()
        }

        @Test func `loses the circuit and its address with the relay`() async throws {
            let nodes = try await RelayedNodes()
            _ = try await within { try await nodes.other.reserve(at: nodes.relay.id, addresses: [nodes.relayAddress]) }
            _ = try await within { try await nodes.one.dial(nodes.other.id, at: [nodes.circuit]) }
            let events = await nodes.one.events()
            let (mine, peer) = (await nodes.other.events(), nodes.other.id)
            await nodes.relay.breakPipes()
            _ = try await first(in: events) { event in
                if case .swarm(.disconnected(let info, _)) = event, info.peer == peer { true } else { Bool?.none }
            }
            let error = try await first(in: mine) {
                if case .relayClient(.notReserved(_, let error)) = $0 { error } else { RelayError?.none }
            }
            #expect(error == .disconnected)
            #expect(await nodes.other.announcedAddresses == (await nodes.other.listenAddresses))
            await nodes.close()
        }

        @Test func `is told why it cannot have what it asks for`() async throws {
            let nodes = try await RelayedNodes { $0.relayServer?.reservationCountMax = 0 }
            await #expect(throws: NodeError.relay(.refused(.reservationRefused))) {
                _ = try await within { try await nodes.other.reserve(at: nodes.relay.id, addresses: [nodes.relayAddress]) }
            }
            let (plain, address) = try await wholeNode()
            await #expect(throws: NodeError.relay(.stream(.notSupported))) {
                _ = try await within { try await nodes.other.reserve(at: plain.id, addresses: [address]) }
            }
            let failure = await #expect(throws: NodeError.self) {
                try await within { try await nodes.one.dial(nodes.other.id, through: nodes.relay.id, at: [nodes.relayAddress]) }
            }
            #expect(failure?.description.contains("\(RelayError.refused(.noReservation))") == true)
            await #expect(throws: NodeError.holePunch(.noRelayedConnection)) {
                try await within { try await nodes.one.upgrade(nodes.other.id) }
            }
            let bare = try newNode()
            await #expect(throws: NodeError.notConfigured(.relayClient)) { try await bare.reserve(at: plain.id) }
            await #expect(throws: NodeError.notConfigured(.holePunch)) { try await bare.upgrade(plain.id) }
            await close([plain, bare])
            await nodes.close()
        }
    }
}
