import LibP2P
import Testing

struct `A hash table that is fed anything` {
    /// Bytes that begin as a message of the protocol and may have been changed.
    private func bytes(_ random: inout SeededRandom, peers: [PeerID]) -> [UInt8] {
        let keys: [[UInt8]] = [Array("/v/a".utf8), Array("/v/b".utf8), peers[0].bytes, Multihash.sha256(of: [1]).bytes, [], [1]]
        let key = keys[Int.random(in: keys.indices, using: &random)]
        let named = (0..<Int.random(in: 0...25, using: &random)).map { _ in
            KadPeer(
                id: peers[Int.random(in: peers.indices, using: &random)],
                addresses: [SimulatedNetwork.address(of: Int.random(in: 0..<300, using: &random)).bytes])
        }
        let record = Bool.random(using: &random) ? KadRecord(key: key, value: Array("good \(random.next() % 9)".utf8)) : nil
        let type = KadMessageType.allCases[Int.random(in: KadMessageType.allCases.indices, using: &random)]
        var bytes = FrameReader.frame(
            KadMessage(type, key: key, record: record, closerPeers: named, providerPeers: Array(named.prefix(3))).bytes)
        switch Int.random(in: 0..<6, using: &random) {
        case 0: bytes[Int.random(in: bytes.indices, using: &random)] ^= UInt8.random(in: 1...255, using: &random)
        case 1: bytes.removeLast(Int.random(in: 0..<bytes.count, using: &random))
        default: break
        }
        return bytes.isEmpty ? [0] : bytes
    }

    @Test(arguments: 0..<60 as Range<UInt64>) func `neither traps nor grows, and ends every operation once`(seed: UInt64) {
        var random = SeededRandom(seed: seed)
        let node = SingleNode(seed: seed)
        let peers = (0..<40).map { SimulatedNetwork.peer($0, seed: seed) }
        node.machine.setOwnAddresses([SimulatedNetwork.address(of: 1)])
        node.machine.addPeer(peers[5], addresses: [SimulatedNetwork.address(of: 5)], now: .zero)
        var (started, requests, streams): ([KadOperationID], [UInt64], [StreamID]) = ([], [], [])
        var now = Duration.zero
        var most = 0
        for _ in 0..<400 {
            now += .milliseconds(Int.random(in: 0...700, using: &random))
            let peer = peers[Int.random(in: peers.indices, using: &random)]
            let stream = streams.randomElement(using: &random) ?? StreamID(rawValue: 1)
            switch Int.random(in: 0..<14, using: &random) {
            case 0: started.append(node.machine.get(key: Array("/v/a".utf8), quorum: Int.random(in: 0...3, using: &random), now: now))
            case 1: started.append(node.machine.put(key: Array("/v/b".utf8), value: Array("good".utf8), now: now))
            case 2: started.append(node.machine.findPeer(peer, now: now))
            case 3: started.append(node.machine.findProviders(of: Multihash.sha256(of: [1]).bytes, now: now))
            case 4: started.append(Bool.random(using: &random) ? node.machine.bootstrap(now: now) : node.machine.provide([1, 2], now: now))
            case 5: node.connect(peer, isOutbound: Bool.random(using: &random), now: now)
            case 6: streams.append(node.inbound(from: peer, now: now))
            case 7: node.machine.handle(Bool.random(using: &random) ? .ended(stream) : .reset(stream), now: now)
            case 8: node.machine.handle(.failed(request: requests.randomElement(using: &random) ?? 0, .timedOut), now: now)
            case 9, 10:
                streams.append(StreamID(rawValue: 10_000 + random.next() % 50_000))
                let request = requests.randomElement(using: &random) ?? 0
                node.machine.handle(.opened(request: request, streams[streams.count - 1], protocolID: "/ipfs/kad/1.0.0"), now: now)
            default: node.machine.handle(.received(stream, self.bytes(&random, peers: peers)), now: now)
            }
            while let deadline = node.machine.deadline, deadline <= now { node.machine.tick(now: now) }
            for command in node.commands() { if case .open(let request, _, _, _) = command { requests.append(request) } }
            most = max(most, node.machine.heldByteCount)
        }
        // Nobody answers any more.
        for _ in 0..<2_000 {
            guard let deadline = node.machine.deadline, deadline < now + .seconds(300) else { break }
            node.machine.tick(now: deadline)
            _ = node.commands()
        }
        let ended = node.events.compactMap { if case .finished(let id, _, _) = $0 { id } else { nil } }
        #expect(Set(ended) == Set(started), "replay: seed \(seed)")
        #expect(ended.count == started.count, "replay: seed \(seed)")
        #expect(most < 3_000_000, "replay: seed \(seed)")
    }
}
