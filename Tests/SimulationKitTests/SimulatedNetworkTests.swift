import LibP2P
import Testing

@testable import SimulationKit

/// A program that only listens: it keeps what its node told, and echoes nothing.
struct Log: SimulatedProgram {
    var events: [Node.Event] = []
    /// What came on streams of the test's own protocol.
    var received: [UInt8] = []
    var lastReceived: Duration?

    static let protocolID = "/test/1.0.0"

    mutating func start(_ node: inout Node, now: Duration) { node.swarm.serve(Self.protocolID) }

    mutating func handle(_ event: Node.Event, _ node: inout Node, now: Duration) {
        self.events.append(event)
        guard case .swarm(.readable(let id)) = event else { return }
        while let chunk = node.swarm.read(id, now: now) {
            self.received += chunk
            self.lastReceived = now
        }
    }

    var disconnectCount: Int { self.events.count { if case .swarm(.disconnected) = $0 { true } else { false } } }
    var dialFailureCount: Int { self.events.count { if case .swarm(.dialFailed) = $0 { true } else { false } } }
}

struct `A simulated network` {
    private func network(
        _ hostCount: Int = 4, seed: UInt64 = 1, _ change: (inout NetworkFaults) -> Void = { _ in }
    ) throws -> SimulatedNetwork<Log> {
        var faults = NetworkFaults()
        change(&faults)
        return try SimulatedNetwork(hostCount: hostCount, seed: seed, faults: faults) { _, _ in Log() }
    }

    private func dial(_ network: SimulatedNetwork<Log>, _ one: Int, _ other: Int) {
        let (peer, address) = (network.hosts[other].id, network.hosts[other].address)
        network.update(one) { node, _, now in _ = node.swarm.dial(peer, at: [address], now: now) }
    }

    private func isConnected(_ network: SimulatedNetwork<Log>, _ one: Int, _ other: Int) -> Bool {
        network.hosts[one].node.swarm.isConnected(to: network.hosts[other].id)
    }

    /// A stream from host 0 to host 1.
    private func stream(_ network: SimulatedNetwork<Log>) throws -> StreamID {
        let peer = network.hosts[1].id
        let request = network.update(0) { node, _, now in node.swarm.open([Log.protocolID], to: peer, now: now) }
        network.run(for: .seconds(1))
        for case .swarm(.streamOpened(request, let id, _)) in network.hosts[0].program.events { return id }
        Issue.record("the stream was not opened")
        throw StreamFailure.notConnected
    }

    /// Gives host 0's stream as many bytes as it takes.
    @discardableResult private func write(_ network: SimulatedNetwork<Log>, _ stream: StreamID, _ byteCount: Int) -> Int {
        let chunk = [UInt8](repeating: 7, count: 4_096)
        return network.update(0) { node, _, now in
            var count = 0
            while count < byteCount, (try? node.swarm.write(chunk, to: stream, now: now)) != nil { count += chunk.count }
            return count
        } ?? 0
    }

    @Test func `replays from its seed to the byte`() throws {
        func digest(seed: UInt64) throws -> EventDigest {
            let network = try self.network(6, seed: seed) { $0 = .internet }
            for host in 1..<6 { self.dial(network, host, host - 1) }
            network.run(for: .seconds(3))
            network.crash(2, silently: true)
            network.split(breakingPipes: true) { $0 / 3 }
            network.run(for: .seconds(2))
            network.split { _ in 0 }
            try network.restart(2)
            self.dial(network, 2, 5)
            network.run(for: .seconds(5))
            return network.digest
        }
        let first = try digest(seed: 4)
        #expect(first.eventCount > 100)
        #expect(try digest(seed: 4) == first)
        #expect(try digest(seed: 5) != first)
    }

    @Test func `takes a pair's delay each way`() throws {
        let network = try self.network { $0.delay = .milliseconds(30) ... .milliseconds(30) }
        self.dial(network, 0, 1)
        network.run(for: .seconds(2))
        let peer = network.hosts[1].id
        network.update(0) { node, _, now in
            node.swarm.update(node.ping, now: now) { $0.ping(peer, bytes: [UInt8](repeating: 1, count: 32), now: now) }
        }
        network.run(for: .seconds(1))
        #expect(network.hosts[0].program.events.contains(.ping(.roundTrip(peer, .milliseconds(60)))))
    }

    @Test func `moves no more bytes a second than an uplink has`() throws {
        let network = try self.network { $0.uplinkBytesPerSecond = 100_000 }
        self.dial(network, 0, 1)
        network.run(for: .seconds(1))
        let stream = try self.stream(network)
        let (start, count) = (network.now, self.write(network, stream, 200_000))
        network.run(for: .seconds(10))
        #expect(network.hosts[1].program.received.count == count)
        let took = try #require(network.hosts[1].program.lastReceived) - start
        #expect(took >= .seconds(2) && took < .seconds(2.2), "\(took)")
    }

    @Test func `holds a sender up whose reader is slow, and loses nothing`() throws {
        let network = try self.network { $0.windowByteCount = 16_384 }
        self.dial(network, 0, 1)
        network.run(for: .seconds(1))
        let stream = try self.stream(network)
        network.stopReading(1, for: .seconds(5))
        let before = network.hosts[0].sentByteCount
        let count = self.write(network, stream, 200_000)
        network.run(for: .seconds(4))
        #expect(network.hosts[1].program.received.isEmpty)
        // What is in the pipe: its window, and the one piece that passed it.
        #expect(network.hosts[0].sentByteCount - before <= 16_384 + 65_536)
        network.setReading(of: 1, bytesPerSecond: 50_000)
        network.run(for: .seconds(2))
        #expect(network.hosts[1].program.received.count < count)
        network.setReading(of: 1, bytesPerSecond: nil)
        network.run(for: .seconds(10))
        #expect(network.hosts[1].program.received == [UInt8](repeating: 7, count: count))
    }

    @Test func `keeps what is under way while it is cut, and lets no dial through`() throws {
        let network = try self.network()
        self.dial(network, 0, 1)
        network.run(for: .seconds(1))
        let stream = try self.stream(network)
        network.split { $0 % 2 }
        self.write(network, stream, 4_096)
        self.dial(network, 2, 3)
        network.run(for: .seconds(16))
        #expect(network.hosts[1].program.received.isEmpty)
        #expect(!self.isConnected(network, 2, 3) && network.hosts[2].program.dialFailureCount == 1)
        network.split { _ in 0 }
        network.run(for: .seconds(1))
        #expect(network.hosts[1].program.received.count == 4_096)
        #expect(self.isConnected(network, 0, 1))
    }

    @Test func `breaks pipes between parts where a cut is to do that, and no others`() throws {
        let network = try self.network()
        self.dial(network, 0, 1)
        self.dial(network, 0, 2)
        network.run(for: .seconds(1))
        network.split(breakingPipes: true) { $0 % 2 }
        #expect(!self.isConnected(network, 0, 1) && !self.isConnected(network, 1, 0))
        #expect(self.isConnected(network, 0, 2) && self.isConnected(network, 2, 0))
    }

    @Test func `tells of a crash, unless the machine went with it: then its silence does`() throws {
        let network = try self.network()
        self.dial(network, 0, 1)
        self.dial(network, 2, 3)
        network.run(for: .seconds(1))
        network.crash(1)
        network.crash(3, silently: true)
        network.run(for: .seconds(1))
        #expect(!self.isConnected(network, 0, 1))
        #expect(self.isConnected(network, 2, 3))
        network.run(for: .seconds(60))
        #expect(!self.isConnected(network, 2, 3))
        #expect(network.hosts[2].program.disconnectCount == 1)
        // Back again with nothing but its identity.
        try network.restart(1)
        #expect(network.hosts[1].program.events.isEmpty && network.hosts[1].startCount == 2)
        self.dial(network, 0, 1)
        network.run(for: .seconds(1))
        #expect(self.isConnected(network, 0, 1) && self.isConnected(network, 1, 0))
    }

    @Test func `answers with a reset for a machine that is back and knows nothing of the pipe`() throws {
        let network = try self.network()
        self.dial(network, 0, 1)
        network.run(for: .seconds(1))
        let stream = try self.stream(network)
        network.crash(1, silently: true)
        network.run(for: .seconds(2))
        self.write(network, stream, 4_096)
        network.run(for: .seconds(2))
        #expect(self.isConnected(network, 0, 1))
        try network.restart(1)
        network.run(for: .seconds(1))
        #expect(!self.isConnected(network, 0, 1))
    }

    @Test func `fails as many dials and breaks as many pipes as its faults say`() throws {
        var failed = 0
        for seed in UInt64(0)..<40 {
            let network = try self.network(2, seed: seed) {
                ($0.dialFailureProbability, $0.silentFailureShare, $0.pipeLifetime) = (0.5, 0.5, .seconds(10))
            }
            self.dial(network, 0, 1)
            network.run(for: .seconds(1))
            if !self.isConnected(network, 0, 1) {
                failed += 1
            } else {
                network.run(for: .seconds(200))
                #expect(network.counters.brokenPipes == 1 && network.hosts[1].program.disconnectCount == 1, "seed \(seed)")
            }
        }
        // Half of forty, give or take three standard deviations.
        #expect((10...30).contains(failed), "\(failed)")
    }
}
