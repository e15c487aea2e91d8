import Testing

@testable import LibP2P

struct `A relay between one that writes and one that does not read` {
    static let byteCount = 8 << 20

    @Test(arguments: UInt64(0)..<3)
    func `holds little, and passes on everything once that one reads`(seed: UInt64) throws {
        let world = try SwarmWorld(seed: seed, nodeCount: 3)
        world.pieceByteCountMax = 65_536
        let (writer, relay, reader) = (world.nodes[0], world.nodes[1], world.nodes[2])
        var configuration = RelayServer.Configuration()
        configuration.circuitLimit = RelayLimit(duration: nil, byteCount: nil)
        let server = RelayServer(
            relay.known.identity, unixOffset: .seconds(1_700_000_000), addresses: [relay.address], configuration: configuration)
        let handle = relay.swarm.add(server, now: world.now)
        // Both ends speak the protocols by hand: nothing of theirs is in the way.
        reader.swarm.serve(RelayClient.stopProtocolID)
        world.connect(0, to: 1)
        world.connect(2, to: 1)
        let place = try world.openStream(2, to: 1, RelayClient.hopProtocolID)
        reader.unwritten[place] = FrameReader.frame(HopMessage(.reserve).bytes)
        world.write(place, of: reader)
        world.run(for: .seconds(1))
        #expect(relay.swarm.read(handle) { $0.reservedPeers } == [reader.id])
        let source = try world.openStream(0, to: 1, RelayClient.hopProtocolID)
        writer.unwritten[source] = FrameReader.frame(HopMessage(.connect, peer: reader.id).bytes)
        world.write(source, of: writer)
        world.run(for: .seconds(1))
        let target = try #require(reader.events.inboundStreams.last)
        let request = try #require(reader.received[target]).count
        reader.unwritten[target] = FrameReader.frame(StopMessage(.status, status: .ok).bytes)
        world.write(target, of: reader)
        world.run(for: .seconds(1))
        let answer = try #require(writer.received[source]).count

        // Noise and yamux of the relay's own connections.
        let before = relay.swarm.heldByteCount
        let bytes = (0..<Self.byteCount).map { UInt8(truncatingIfNeeded: $0 &* 31 ^ $0 >> 11) }
        reader.isNotReading = true
        writer.unwritten[source] = bytes
        writer.closesAfterwards.insert(source)
        world.write(source, of: writer)
        for _ in 0..<20 {
            world.run(for: .milliseconds(500))
            #expect(relay.swarm.heldByteCount - before < 2 << 20)
        }
        #expect(try #require(writer.unwritten[source]).count > Self.byteCount / 2)

        // The other direction does not wait for this one.
        reader.unwritten[target] = Array("keep going".utf8)
        world.write(target, of: reader)
        world.run(for: .seconds(1))
        #expect(writer.received[source]?.dropFirst(answer).elementsEqual("keep going".utf8) == true)

        reader.isNotReading = false
        world.read(target, of: reader)
        world.run(for: .seconds(60))
        #expect(reader.received[target]?.dropFirst(request).elementsEqual(bytes) == true)
        #expect(relay.swarm.counters.overfullStreams == 0)
        #expect(relay.swarm.heldByteCount - before < 1 << 20)
    }
}
