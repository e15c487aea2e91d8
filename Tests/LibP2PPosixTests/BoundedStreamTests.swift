import CryptoPrimitives
import LibP2P
import Testing

@testable import LibP2PPosix

struct `What waits for one who reads slowly` {
    @Test func `is bounded in number and in bytes, and the newest of it is kept`() async {
        let queue = BoundedStream<Int>(countMax: 100, byteCountMax: 1_000)
        let stream = queue.stream {}
        for number in 0..<1_000 { queue.yield(number, byteCount: 1) }
        #expect(queue.byteCount == 100)
        for number in 1_000..<1_050 { queue.yield(number, byteCount: 300) }
        #expect(queue.byteCount <= 1_000)
        // One that is larger than the bound comes alone.
        queue.yield(2_000, byteCount: 5_000)
        queue.finish()
        queue.yield(3_000, byteCount: 1)
        var read: [Int] = []
        for await number in stream { read.append(number) }
        #expect(read == [2_000])
        #expect(queue.byteCount == 0)
    }

    @Test func `is pushed out by no crowd of refusals, which push out each other, and all comes in order`() async {
        let queue = BoundedStream<Int>(countMax: 100, byteCountMax: 10_000, refusalCountMax: 10)
        let stream = queue.stream {}
        queue.yield(1, byteCount: 1)
        for number in 1_000..<2_000 { queue.yield(number, byteCount: 1, isRefusal: true) }
        queue.yield(2, byteCount: 1)
        queue.yield(2_000, byteCount: 1, isRefusal: true)
        queue.yield(3, byteCount: 1)
        #expect(queue.byteCount == 13)
        // In bytes the refusals have a bound of their own, too.
        queue.yield(2_001, byteCount: 9_995, isRefusal: true)
        #expect(queue.byteCount == 3 + 9_995 + 5)
        queue.finish()
        let read = await stream.reduce(into: [Int]()) { $0.append($1) }
        #expect(read == [1, 1_996, 1_997, 1_998, 1_999, 2, 2_000, 3, 2_001])
    }

    @Test func `and tells of a refusal is told apart from what a connection's peer cannot repeat at will`() throws {
        let peer = try PeerIdentity(Ed25519.SecretKey.generate()).id
        let address = try Multiaddr(text: "/ip4/192.0.2.1/tcp/1")
        let info = ConnectionInfo(id: ConnectionID(rawValue: 1), peer: peer, isOutbound: false, remoteAddress: address, isLimited: false)
        let refusals: [Node.Event] = [
            .swarm(.streamRefused(info, .negotiationTimedOut)), .swarm(.refused(.addressDenied, peer: nil, address: address)),
            .swarm(.handshakeFailed(from: address, .idle)), .relayServer(.requestMissing(peer, .ended)), .kad(.refused(peer, .idle)),
            .gossipsub(.refused(peer, .graylisted)), .holePunch(.refused(peer, .tooMany)),
        ]
        #expect(refusals.allSatisfy { $0.isRefusal })
        let others: [Node.Event] = [
            .swarm(.connected(info)), .swarm(.disconnected(info, .idle)), .swarm(.dialFailed(peer: peer, .noAddresses)),
            .holePunch(.upgraded(peer, attempts: 1)), .relayServer(.reserved(peer, isRenewal: false)), .kad(.contactAdded(peer)),
        ]
        #expect(others.allSatisfy { !$0.isRefusal })
    }

    @Test func `comes in order to one who waits, and ends when nobody can read any more`() async throws {
        let (ends, continuation) = AsyncStream.makeStream(of: Int.self)
        let queue = BoundedStream<Int>(countMax: 10, byteCountMax: 100)
        do {
            let stream = queue.stream { continuation.yield(1) }
            let reading = Task { await stream.prefix(5).reduce(into: [Int]()) { $0.append($1) } }
            for number in 0..<5 {
                queue.yield(number, byteCount: 1)
                await Task.yield()
            }
            #expect(try await within { await reading.value } == [0, 1, 2, 3, 4])
        }
        #expect(try await within { await ends.first { _ in true } } == 1)

        // A task that is cancelled reads no more.
        let stream = queue.stream { continuation.yield(2) }
        let reading = Task { await stream.first { _ in true } }
        try await Task.sleep(for: .milliseconds(20))
        reading.cancel()
        #expect(try await within { await reading.value } == nil)
    }

    @Test func `of a topic is bounded in bytes`() async throws {
        let subscriptions = BoundedStream<PubSubDelivery>(
            countMax: PosixNode.deliveryCountMax, byteCountMax: PosixNode.deliveryByteCountMax)
        let identity = try PeerIdentity(Ed25519.SecretKey.generate())
        let message = PubSubMessage(
            topic: "t", data: [UInt8](repeating: 7, count: 1_000_000), sequence: [UInt8](repeating: 0, count: 8), signedBy: identity)
        let delivery = PubSubDelivery(
            id: PubSubMessageID([1]), message: message, from: identity.id, needsVerdict: false)
        for _ in 0..<200 { subscriptions.yield(delivery, byteCount: delivery.byteCount) }
        #expect(subscriptions.byteCount <= 16_777_216)
        #expect(subscriptions.byteCount > 15_000_000)
    }
}
