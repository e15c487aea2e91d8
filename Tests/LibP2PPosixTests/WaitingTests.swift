import LibP2P
import Testing

@testable import LibP2PPosix

/// What an answer to nobody in particular comes to.
private actor Questions {
    private var waiters: Waiters<Int, String>

    init(inOrder: Bool) { self.waiters = Waiters(inOrder: inOrder) }

    func ask(_ number: UInt64) async -> Result<String, NodeError> {
        await withCheckedContinuation { self.waiters.add($0, number, for: 1) }
    }

    func cancel(_ number: UInt64) { self.waiters.cancel(number, for: 1) }
    func answerFirst(_ text: String) -> Bool { self.waiters.answerFirst(1, .success(text)) }
    var count: Int { self.waiters.count(of: 1) }

    func asked(_ count: Int) async { while self.count < count { await Task.yield() } }
}

extension `A node with real sockets` {
    @Suite(.serialized)
    struct `whose owner gives up waiting` {
        /// Each question alone: what is begun, waits, and whose task is then cancelled.
        private func expectCancelled<Value: Sendable>(
            _ what: String, _ work: @escaping @Sendable () async throws -> Value
        ) async throws {
            let task = Task { try await work() }
            try await Task.sleep(for: .milliseconds(50))
            task.cancel()
            let error = try await within(.seconds(5)) {
                do {
                    _ = try await task.value
                    return NodeError?.none
                } catch {
                    return error as? NodeError
                }
            }
            #expect(error == .cancelled, "\(what)")
            // One that was cancelled before it asks anything does not begin.
            let late = Task {
                while !Task.isCancelled { await Task.yield() }
                _ = try await work()
            }
            late.cancel()
            await #expect(throws: NodeError.cancelled, "\(what), late") { try await late.value }
        }

        @Test func `ends each of its questions with its task, and leaves the others alone`() async throws {
            let (one, _) = try await wholeNode()
            let (other, address) = try await wholeNode()
            let (relay, relayAddress) = try await wholeNode { $0.relayServer = RelayServer.Configuration() }
            _ = try await within { try await one.dial(other.id, at: [address]) }
            _ = try await within { try await one.dial(relay.id, at: [relayAddress]) }
            _ = try await within { try await one.identify(other.id) }
            _ = try await within { try await one.identify(relay.id) }
            #expect(try await within { try await one.addContact(other.id) })
            // Their loops stand still: nothing is answered.
            let (otherID, relayID, stranger) = (other.id, relay.id, try newNode().id)
            other.executor.queue.suspend()
            relay.executor.queue.suspend()
            let patient = Task { try await one.ping(otherID) }
            try await self.expectCancelled("dial") { try await one.dial(stranger, at: [address]) }
            try await self.expectCancelled("ping") { try await one.ping(otherID) }
            try await self.expectCancelled("identify") { try await one.identify(otherID) }
            try await self.expectCancelled("open") { try await one.openStream(to: otherID, ["/unknown/1.0.0"]) }
            try await self.expectCancelled("kad") { try await one.getValue(of: Array("/v/name".utf8)) }
            try await self.expectCancelled("reserve") { try await one.reserve(at: relayID) }
            // Only the pings keep their places: their answers come in order.
            #expect(await one.waitingCount == 2)
            other.executor.queue.resume()
            relay.executor.queue.resume()
            // The ping before the one that was cancelled has its own answer, and so has one after it.
            #expect(try await within { try await patient.value }.count == 1)
            #expect(try await within { try await one.ping(otherID) }.count == 1)
            #expect(await one.waitingCount == 0)
            for node in [one, other, relay] { await node.close() }
        }

        @Test func `keeps the place of a question in order whose task is gone, and no other's`() async throws {
            for inOrder in [true, false] {
                let questions = Questions(inOrder: inOrder)
                let tasks = (0..<3 as Range<UInt64>).map { number in Task { await questions.ask(number) } }
                for task in tasks { _ = task }
                await questions.asked(3)
                await questions.cancel(1)
                #expect(await tasks[1].value == .failure(.cancelled))
                #expect(await questions.count == (inOrder ? 3 : 2))
                let answers = inOrder ? ["a", "b", "c"] : ["a", "c"]
                for answer in answers { #expect(await questions.answerFirst(answer)) }
                #expect(await !questions.answerFirst("d"))
                var given = Set<String>()
                for task in [tasks[0], tasks[2]] { given.insert(try await task.value.get()) }
                if !inOrder { #expect(given == ["a", "c"]) } else { #expect(given.isSubset(of: ["a", "b", "c"]) && given.count == 2) }
            }
        }
    }
}
