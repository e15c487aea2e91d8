internal import LibP2P

/// Tasks that wait for an answer, by what they wait for. Each is answered once; who came first is first.
struct Waiters<Key: Hashable & Sendable, Value: Sendable> {
    typealias Continuation = CheckedContinuation<Result<Value, NodeError>, Never>

    private struct Waiter {
        let number: UInt64
        /// `nil` once its task was cancelled and its answer is still to come.
        var continuation: Continuation?
        /// Whether an answer that suits others is this one's.
        let isAnswered: (Value) -> Bool
    }

    private var waiting: [Key: [Waiter]] = [:]
    /// Answers come one by one, in the order of the questions: one that nobody waits for any more keeps its place.
    private let areInOrder: Bool

    init(inOrder areInOrder: Bool = false) { self.areInOrder = areInOrder }

    var count: Int { self.waiting.values.reduce(0) { $0 + $1.count } }

    func count(of key: Key) -> Int { self.waiting[key]?.count ?? 0 }

    mutating func add(
        _ continuation: Continuation, _ number: UInt64, for key: Key, isAnswered: @escaping (Value) -> Bool = { _ in true }
    ) {
        self.waiting[key, default: []].append(Waiter(number: number, continuation: continuation, isAnswered: isAnswered))
    }

    /// - Returns: whether somebody waited.
    @discardableResult
    mutating func answerFirst(_ key: Key, _ result: Result<Value, NodeError>) -> Bool {
        guard var waiters = self.waiting.removeValue(forKey: key), !waiters.isEmpty else { return false }
        waiters.removeFirst().continuation?.resume(returning: result)
        if !waiters.isEmpty { self.waiting[key] = waiters }
        return true
    }

    mutating func answerAll(_ key: Key, _ result: Result<Value, NodeError>) {
        for waiter in self.waiting.removeValue(forKey: key) ?? [] { waiter.continuation?.resume(returning: result) }
    }

    /// Answers those whom the value suits; the others go on waiting.
    mutating func answer(_ key: Key, with value: Value) {
        guard let waiters = self.waiting.removeValue(forKey: key) else { return }
        let rest = waiters.filter { !$0.isAnswered(value) }
        if !rest.isEmpty { self.waiting[key] = rest }
        for waiter in waiters where waiter.isAnswered(value) { waiter.continuation?.resume(returning: .success(value)) }
    }

    mutating func answerEverybody(_ error: NodeError) {
        for waiters in self.waiting.values {
            for waiter in waiters { waiter.continuation?.resume(returning: .failure(error)) }
        }
        self.waiting = [:]
    }

    /// The task of one that waits was cancelled: it waits no more.
    mutating func cancel(_ number: UInt64, for key: Key) {
        guard let index = self.waiting[key]?.firstIndex(where: { $0.number == number }) else { return }
        let continuation = self.waiting[key]?[index].continuation
        if self.areInOrder {
            self.waiting[key]?[index].continuation = nil
        } else {
            self.waiting[key]?.remove(at: index)
            if self.waiting[key]?.isEmpty == true { self.waiting[key] = nil }
        }
        continuation?.resume(returning: .failure(.cancelled))
    }
}

/// All who wait for a node, by what they wait for.
struct NodeWaiters {
    var dials = Waiters<PeerID, ConnectionInfo>()
    var streams = Waiters<UInt64, NodeStream>()
    var pings = Waiters<PeerID, Duration>(inOrder: true)
    var identifications = Waiters<PeerID, IdentifiedPeer>()
    var kad = Waiters<KadOperationID, KadOutcome>()
    var reservations = Waiters<PeerID, RelayReservation>()
    var upgrades = Waiters<PeerID, Int>()
    private var nextNumber: UInt64 = 0

    mutating func takeNumber() -> UInt64 {
        defer { self.nextNumber += 1 }
        return self.nextNumber
    }

    /// How many wait, those included whose answers are awaited only for their order.
    var count: Int {
        self.dials.count + self.streams.count + self.pings.count + self.identifications.count + self.kad.count + self.reservations.count
            + self.upgrades.count
    }

    /// No answer will count any more.
    mutating func answerEverybody(_ error: NodeError) {
        self.dials.answerEverybody(error)
        self.streams.answerEverybody(error)
        self.pings.answerEverybody(error)
        self.identifications.answerEverybody(error)
        self.kad.answerEverybody(error)
        self.reservations.answerEverybody(error)
        self.upgrades.answerEverybody(error)
    }
}

extension PosixNode {
    var waitingCount: Int { self.waiters.count }

    /// Carries out what was begun, and waits for its answer. A task that is cancelled waits no more; what it asked for goes on or ends by
    /// itself.
    ///
    /// - Parameters:
    ///   - isAnswered: whether an answer that suits others who wait for the same is this one's.
    ///   - whenCancelled: ends what was begun, where that is possible.
    func answer<Key: Hashable & Sendable, Value: Sendable>(
        _ waiters: WritableKeyPath<NodeWaiters, Waiters<Key, Value>> & Sendable, for key: Key,
        isAnswered: @escaping (Value) -> Bool = { _ in true },
        whenCancelled: @escaping @Sendable (isolated PosixNode) -> Void = { _ in }
    ) async throws(NodeError) -> Value {
        let number = self.waiters.takeNumber()
        let result = await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                self.waiters[keyPath: waiters].add(continuation, number, for: key, isAnswered: isAnswered)
                self.carryOut()
            }
        } onCancel: {
            // Comes after the waiter is there, for this turn of the loop adds it.
            self.executor.queue.async {
                self.assumeIsolated { node in
                    let count = node.waiters[keyPath: waiters].count(of: key)
                    node.waiters[keyPath: waiters].cancel(number, for: key)
                    if node.waiters[keyPath: waiters].count(of: key) < count { whenCancelled(node) }
                }
            }
        }
        return try result.get()
    }
}
