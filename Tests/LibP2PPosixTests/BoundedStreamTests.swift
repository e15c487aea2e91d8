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
