import CryptoPrimitives
import LibP2P
import LibP2PPosix
import Secp256k1
import SessionStore
import Signing
import SigningNode
import Testing

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#elseif canImport(Darwin)
import Darwin
#endif

/// Checks of connections among real nodes: all there, some there, and machines that are not what they should be.
@Suite(.timeLimit(.minutes(4))) struct ConnectivityTests {
    private func policy(_ group: NodeGroup) async throws -> Bytes32 { try await group.record.policy().digest }

    private func state(of place: Int, _ report: ConnectivityReport, _ group: NodeGroup) -> ParticipantConnectivity.State? {
        report.participants.first { $0.signer == group.keys[place].signer }?.state
    }

    @Test func `all participants are connected before a request`() async throws {
        let group = try NodeGroup(3)
        for place in 0..<3 { try await group.start(place) }
        let (node, digest) = (try group.node(0), try await self.policy(group))
        let report = try await node.connectivity(of: digest)
        #expect(report.isMet && report.missing.isEmpty && Set(report.connected) == Set(group.keys[1...].map(\.signer)))
        for participant in report.participants {
            guard case .connected(let link) = participant.state else { continue }
            let roundTrip = try #require(link.roundTrip)
            #expect(link.method == .direct && link.since <= report.time && roundTrip > .zero && roundTrip < .seconds(10))
        }
        // It is known from then on, and told as it happened.
        for member in try await node.connectivity {
            #expect(member.method == .direct && member.roundTrip != nil && member.lastError == nil)
        }
        for place in [1, 2] {
            let signer = group.keys[place].signer
            let method = try await group.first(of: 0) { event in
                if case .connected(signer, let method) = event { method } else { nil }
            }
            #expect(method == .direct)
        }
        let (transaction, coins) = try await group.spend()
        let id = try await node.propose(
            transaction, prevouts: coins, group: digest, seconds: 600, connectivity: ConnectivityOptions(requirement: .all))
        for place in [1, 2] {
            try await group.request(id, at: place)
            try await group.node(place).approve(id)
        }
        #expect(try await group.completion(of: id, at: 0)?.txid == transaction.txid)
        // A request's members are its group's.
        #expect(try await node.connectivity(of: id).isMet)
        await group.stopAll()
    }

    @Test func `one that cannot be reached ends it with its error, before anybody is asked`() async throws {
        let group = try NodeGroup(3)
        for place in 0..<2 { try await group.start(place) }
        let node = try group.node(0)
        await node.learn([try Loopback.refusing()], of: group.keys[2].identity.id)
        let (transaction, coins) = try await group.spend()
        do {
            _ = try await node.propose(
                transaction, prevouts: coins, group: try await self.policy(group), seconds: 600,
                connectivity: ConnectivityOptions(requirement: .all))
            Issue.record("it is asked")
        } catch SigningNodeError.notConnected(let report) {
            guard case .failed(.rejected(let words)) = self.state(of: 2, report, group) else {
                Issue.record("\(report)")
                return
            }
            #expect(words.contains("nobody listens there") && ConnectivityError.rejected(words).isRetryable)
            // What was reached is kept.
            #expect(report.connected == [group.keys[1].signer] && !report.isMet)
            #expect("\(SigningNodeError.notConnected(report))".contains("1 of 2 other members are connected"))
        }
        for place in 0..<2 { #expect(try await group.node(place).requests.isEmpty) }
        await group.stopAll()
    }

    @Test func `some connected suffice where the policy can be spent by them, and nowhere else`() async throws {
        let group = try NodeGroup(3, threshold: 2)
        for place in 0..<2 { try await group.start(place) }
        let (node, digest) = (try group.node(0), try await self.policy(group))
        let (transaction, coins) = try await group.spend()
        let enough = ConnectivityOptions(requirement: .atLeast(2))
        let id = try await node.propose(transaction, prevouts: coins, group: digest, seconds: 600, connectivity: enough)
        try await group.request(id, at: 1)
        for (count, allowed) in [(1, 2...3), (0, 2...3), (-1, 2...3), (4, 2...3)] {
            await #expect {
                try await node.connectivity(of: digest, ConnectivityOptions(requirement: .atLeast(count)))
            } throws: { error in
                if case .machine(.connectedCount(count, allowed: allowed))? = error as? SigningNodeError { true } else { false }
            }
        }
        let report = try await node.connectivity(of: digest, ConnectivityOptions(requirement: .atLeast(3)))
        #expect(!report.isMet && report.connected == [group.keys[1].signer] && self.state(of: 2, report, group) == .failed(.noAddress))
        await group.stopAll()

        let everyone = try NodeGroup(3)
        try await everyone.start(0)
        let all = try await self.policy(everyone)
        await #expect {
            try await everyone.node(0).connectivity(of: all, enough)
        } throws: { error in
            if case .machine(.connectedCount(2, allowed: 3...3))? = error as? SigningNodeError { true } else { false }
        }
        await #expect {
            try await everyone.node(0).connectivity(of: digest)
        } throws: { error in
            if case .machine(.unknownRequestOrGroup)? = error as? SigningNodeError { true } else { false }
        }
        let alone = try everyone.node(0)
        await everyone.stopAll()
        await #expect {
            try await alone.connectivity(of: all)
        } throws: { error in
            if case .notRunning? = error as? SigningNodeError { true } else { false }
        }
    }

    @Test func `whoever is not the peer, refuses, says nothing or has no address is told apart by type`() async throws {
        let group = try NodeGroup(7)
        for place in 0..<2 { try await group.start(place) }
        let node = try group.node(0)
        let silent = try Loopback.Silent(), impostor = try group.node(1)
        // Somebody else's machine, one that takes connections and says nothing, one that refuses, and one that only others speak to.
        await node.learn(await impostor.addresses.map(\.withoutPeerID), of: group.keys[2].identity.id)
        await node.learn([silent.address], of: group.keys[3].identity.id)
        await node.learn([try Loopback.refusing()], of: group.keys[4].identity.id)
        await node.learn([try Multiaddr(text: "/ip4/127.0.0.1/udp/9/quic-v1")], of: group.keys[5].identity.id)
        let report = try await node.connectivity(
            of: try await self.policy(group), ConnectivityOptions(requirement: .all, timeLimit: .seconds(2)))
        guard case .failed(.peerNotFound(.somebodyElse(let address))) = self.state(of: 2, report, group) else {
            Issue.record("\(report)")
            return
        }
        #expect(try await address == #require(impostor.addresses.first).withoutPeerID)
        #expect(self.state(of: 3, report, group) == .failed(.timeout))
        if case .failed(.rejected) = self.state(of: 4, report, group) {} else { Issue.record("\(report)") }
        #expect(self.state(of: 5, report, group) == .failed(.noRelayAddress))
        #expect(self.state(of: 6, report, group) == .failed(.noAddress))
        // Who is there is not held back by them.
        #expect(report.connected == [group.keys[1].signer] && !report.isMet)
        await group.stopAll()
        withExtendedLifetime(silent) {}
    }

    @Test func `a dozen silent machines cost one time limit, and nobody who is there`() async throws {
        let group = try NodeGroup(14)
        for place in 0..<2 { try await group.start(place) }
        let node = try group.node(0)
        let silent = try (2..<14).map { _ in try Loopback.Silent() }
        for (place, machine) in silent.enumerated() { await node.learn([machine.address], of: group.keys[place + 2].identity.id) }
        let limit = Duration.seconds(1)
        let report = try await node.connectivity(
            of: try await self.policy(group), ConnectivityOptions(requirement: .all, timeLimit: limit))
        // One after the other they would take twelve seconds.
        #expect(report.duration >= limit && report.duration < .seconds(9))
        #expect(report.connected == [group.keys[1].signer])
        #expect(report.missing.count == 12 && report.missing.allSatisfy { $0.state == .failed(.timeout) })
        await group.stopAll()
        withExtendedLifetime(silent) {}
    }

    @Test func `a member that is lost shows at once, is dialled again, and ends no request`() async throws {
        let group = try NodeGroup(2)
        for place in 0..<2 { try await group.start(place) }
        let (node, digest) = (try group.node(0), try await self.policy(group))
        let (transaction, coins) = try await group.spend()
        let id = try await node.propose(
            transaction, prevouts: coins, group: digest, seconds: 600, connectivity: ConnectivityOptions(requirement: .all))
        try await group.request(id, at: 1)
        await group.stop(1)
        let signer = group.keys[1].signer
        _ = try await group.first(of: 0) { event -> Bool? in if case .disconnected(signer) = event { true } else { nil } }
        #expect(try await node.connectivity.first?.method == nil)
        let gone = try await node.connectivity(of: id, ConnectivityOptions(requirement: .all, timeLimit: .seconds(2)))
        #expect(!gone.isMet && gone.connected.isEmpty)
        #expect(try await node.request(id)?.state == .approved)
        // It comes back elsewhere, and is dialled there without anybody asking.
        try await group.start(1)
        let connections = try await group.connections(of: signer, at: 0, count: 2)
        #expect(connections == [.direct, .direct])
        try await group.node(1).approve(id)
        #expect(try await group.completion(of: id, at: 0)?.txid == transaction.txid)
        await group.stopAll()
    }

    @Test func `a member that only a relay reaches is connected by it`() async throws {
        let relay = try PosixNode(
            PeerIdentity(try .generate()), configuration: Self.bare { $0.relayServer = RelayServer.Configuration() })
        let relayAddress = try #require(try await relay.listen(on: Multiaddr(text: "/ip4/127.0.0.1/tcp/0")).first)
        let group = try NodeGroup(2)
        var nodes: [SigningNode] = []
        for place in 0..<2 {
            let database = try await SessionDatabase.open("\(group.folder.path)/\(place).db")
            var configuration = SigningNode.Configuration()
            // Neither listens, and no hole is punched.
            configuration.node = Self.bare()
            let node = try SigningNode(group.keys[place], database: database, configuration: configuration)
            try await node.start()
            _ = try await node.addGroup(group.record, name: "group", members: group.keys.map(\.enrolment))
            (group.nodes[place], group.databases[place]) = (node, database)
            nodes.append(node)
        }
        _ = try await nodes[1].network.reserve(at: relay.id, addresses: [relayAddress])
        await nodes[0].learn([relayAddress.appending(.p2p(relay.id), .p2pCircuit)], of: nodes[1].id)
        let report = try await nodes[0].connectivity(of: try await self.policy(group))
        guard case .connected(let link)? = self.state(of: 1, report, group) else {
            Issue.record("\(report)")
            return
        }
        #expect(link.method == .relay && link.roundTrip != nil && report.isMet)
        #expect(try await group.connections(of: group.keys[1].signer, at: 0, count: 1) == [.relay])
        await group.stopAll()
        await relay.close()
    }

    private static func bare(_ change: (inout Node.Configuration) -> Void = { _ in }) -> Node.Configuration {
        var configuration = Node.Configuration(agentVersion: "test/1.0")
        configuration.kad = nil
        configuration.gossipsub = nil
        configuration.holePunch = nil
        change(&configuration)
        return configuration
    }

    @Test func `checks at the same time share their dials, and one that is called off says what it found`() async throws {
        let group = try NodeGroup(3)
        for place in 0..<2 { try await group.start(place) }
        let (node, digest) = (try group.node(0), try await self.policy(group))
        let silent = try Loopback.Silent()
        await node.learn([silent.address], of: group.keys[2].identity.id)
        let options = ConnectivityOptions(requirement: .all, timeLimit: .seconds(600))
        let called = Task { try await node.connectivity(of: digest, options) }
        let short = (0..<8).map { _ in
            Task { try await node.connectivity(of: digest, ConnectivityOptions(requirement: .all, timeLimit: .seconds(1))) }
        }
        for check in short {
            let report = try await check.value
            #expect(report.connected == [group.keys[1].signer] && self.state(of: 2, report, group) == .failed(.timeout))
        }
        called.cancel()
        let report = try await called.value
        #expect(!report.isMet && report.duration < .seconds(600))
        // One that runs when the node stops ends with it.
        let waiting = Task { try await node.connectivity(of: digest, options) }
        await group.stopAll()
        // It either began before the end, or came too late.
        await #expect(throws: SigningNodeError.self) { try await waiting.value }
        withExtendedLifetime(silent) {}
    }
}

/// Ends of pipes on this machine that are no node.
enum Loopback {
    /// A socket bound to a port of loopback that was free.
    private static func bound() throws -> (descriptor: Int32, address: Multiaddr) {
        #if canImport(Glibc)
        let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        #else
        let descriptor = socket(AF_INET, SOCK_STREAM, 0)
        #endif
        var name = sockaddr_in()
        name.sin_family = sa_family_t(AF_INET)
        name.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        let port: UInt16? =
            withUnsafeMutablePointer(to: &name) { pointer in
                pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { pointer in
                    bind(descriptor, pointer, length) == 0 && getsockname(descriptor, pointer, &length) == 0
                }
            } ? UInt16(bigEndian: name.sin_port) : nil
        return (descriptor, try Multiaddr(text: "/ip4/127.0.0.1/tcp/\(try #require(port))"))
    }

    /// Where nobody listens.
    static func refusing() throws -> Multiaddr {
        let (descriptor, address) = try self.bound()
        close(descriptor)
        return address
    }

    /// Takes connections, as the system does for whoever listens, and never says a word.
    final class Silent: Sendable {
        private let descriptor: Int32
        let address: Multiaddr

        init() throws {
            (self.descriptor, self.address) = try Loopback.bound()
            try #require(listen(self.descriptor, 16) == 0)
        }

        deinit { close(self.descriptor) }
    }
}

extension NodeGroup {
    /// How the first connections of a node with a signer were made, once there were so many.
    func connections(of signer: PublicKey, at place: Int, count: Int) async throws -> [ConnectionMethod] {
        var methods: [ConnectionMethod] = []
        for await (_, event) in try await self.node(place).events() {
            guard case .connected(signer, let method) = event else { continue }
            methods.append(method)
            if methods.count == count { break }
        }
        return methods
    }
}
