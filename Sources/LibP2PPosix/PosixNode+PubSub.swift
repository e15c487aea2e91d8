public import LibP2P

/// A message as a node gives it to who subscribed.
public struct PubSubDelivery: Equatable, Sendable {
    public let id: PubSubMessageID
    /// Verified.
    public let message: PubSubMessage
    /// Who brought it; its author is in the message.
    public let from: PeerID
    /// Whether it waits for ``PosixNode/judge(_:_:)`` before it goes on to others.
    public let needsVerdict: Bool

    /// What it takes while it waits, about.
    var byteCount: Int { 512 + self.message.data.count + self.message.unknownFields.count }
}

extension PosixNode {
    /// Messages that wait for one who reads them slowly, and their bytes. Beyond either the oldest are dropped.
    public static let deliveryCountMax = 256
    public static let deliveryByteCountMax = 16_777_216

    /// Subscribes to a topic. Several may do so; each gets all messages.
    ///
    /// The subscription ends with ``unsubscribe(from:)``, or when nobody reads any of its streams any more.
    ///
    /// - Parameter needsVerdict: whether messages wait for ``judge(_:_:)``, for all who subscribed to the topic: the last one's word counts.
    public func subscribe(to topic: String, needsVerdict: Bool = false) throws(NodeError) -> AsyncStream<PubSubDelivery> {
        guard self.state == .open else { throw .closed }
        guard let gossipsub = self.node.gossipsub else { throw .notConfigured(.gossipsub) }
        let now = self.now
        guard self.node.swarm.update(gossipsub, now: now, { $0.subscribe(topic, needsVerdict: needsVerdict, now: now) }) else {
            throw .invalidTopic(topic)
        }
        let deliveries = BoundedStream<PubSubDelivery>(countMax: Self.deliveryCountMax, byteCountMax: Self.deliveryByteCountMax)
        let number = self.subscriptions.add(deliveries, to: topic)
        self.carryOut()
        return deliveries.stream { [weak self] in
            guard let self else { return }
            self.executor.queue.async { self.assumeIsolated { $0.subscriberLeft(number, topic) } }
        }
    }

    /// Ends a subscription, and the streams of all who have it.
    public func unsubscribe(from topic: String) {
        self.subscriptions.finish(topic)
        guard let gossipsub = self.node.gossipsub else { return }
        let now = self.now
        self.node.swarm.update(gossipsub, now: now) { $0.unsubscribe(topic, now: now) }
        self.carryOut()
    }

    /// Publishes a message to a topic, whether or not it is subscribed to. It does not come back.
    @discardableResult
    public func publish(_ data: [UInt8], to topic: String) throws(NodeError) -> Gossipsub.Publication {
        guard self.state == .open else { throw .closed }
        let publication: Gossipsub.Publication?
        do throws(GossipsubPublishError) {
            publication = try self.node.publish(data, to: topic, now: self.now)
        } catch {
            throw .publish(error)
        }
        guard let publication else { throw .notConfigured(.gossipsub) }
        self.carryOut()
        return publication
    }

    /// Says what is thought of a message that needs a verdict.
    ///
    /// - Returns: `false` if it does not wait (any more).
    @discardableResult
    public func judge(_ id: PubSubMessageID, _ verdict: PubSubVerdict) -> Bool {
        guard let gossipsub = self.node.gossipsub else { return false }
        let now = self.now
        let isTaken = self.node.swarm.update(gossipsub, now: now) { $0.verdict(verdict, on: id, now: now) }
        self.carryOut()
        return isTaken
    }

    /// The topics that are subscribed to, sorted.
    public var topics: [String] { self.node.gossipsub.map { self.node.swarm.read($0) { $0.topics } } ?? [] }

    /// The connected peers that are subscribed to a topic, sorted.
    public func peers(of topic: String) -> [PeerID] { self.node.gossipsub.map { self.node.swarm.read($0) { $0.topicPeers(topic) } } ?? [] }

    /// The peers in the mesh of a topic, sorted.
    public func meshPeers(of topic: String) -> [PeerID] {
        self.node.gossipsub.map { self.node.swarm.read($0) { $0.meshPeers(topic) } } ?? []
    }

    private func subscriberLeft(_ number: UInt64, _ topic: String) {
        if self.subscriptions.remove(number, from: topic) { self.unsubscribe(from: topic) }
    }

    func tell(_ event: GossipsubEvent) {
        guard case .message(let id, let message, let from, let needsVerdict) = event, let topic = message.topic else { return }
        self.subscriptions.yield(PubSubDelivery(id: id, message: message, from: from, needsVerdict: needsVerdict), to: topic)
    }
}

/// Who reads which topic.
struct PubSubSubscriptions {
    private var readers: [String: [UInt64: BoundedStream<PubSubDelivery>]] = [:]
    private var nextNumber: UInt64 = 0

    mutating func add(_ reader: BoundedStream<PubSubDelivery>, to topic: String) -> UInt64 {
        defer { self.nextNumber += 1 }
        self.readers[topic, default: [:]][self.nextNumber] = reader
        return self.nextNumber
    }

    /// - Returns: whether it was the last one.
    mutating func remove(_ number: UInt64, from topic: String) -> Bool {
        guard self.readers[topic]?.removeValue(forKey: number) != nil, self.readers[topic]?.isEmpty == true else { return false }
        self.readers[topic] = nil
        return true
    }

    func yield(_ delivery: PubSubDelivery, to topic: String) {
        for reader in (self.readers[topic] ?? [:]).values { reader.yield(delivery, byteCount: delivery.byteCount) }
    }

    mutating func finish(_ topic: String) {
        for reader in (self.readers.removeValue(forKey: topic) ?? [:]).values { reader.finish() }
    }

    mutating func finish() { for topic in Array(self.readers.keys) { self.finish(topic) } }
}
