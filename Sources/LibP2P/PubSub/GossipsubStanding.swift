/// What is held for and against one peer (gossipsub 1.1, "Peer Scoring"), also for a while after it has gone.
struct GossipsubStanding: Sendable {
    /// A peer's behaviour in one topic.
    struct InTopic: Sendable {
        /// Since when the peer is in the mesh; `nil` if it is not.
        var inMeshSince: Duration?
        var firstDeliveries = 0.0
        var meshDeliveries = 0.0
        var meshFailures = 0.0
        var invalid = 0.0

        var isBlank: Bool {
            self.inMeshSince == nil && self.firstDeliveries == 0 && self.meshDeliveries == 0 && self.meshFailures == 0 && self.invalid == 0
        }

        mutating func decay(_ rates: GossipsubTopicScoring, intervalCount: Int, toZeroAt zero: Double) {
            self.firstDeliveries.decay(by: rates.firstDeliveryDecay, intervalCount, toZeroAt: zero)
            self.meshDeliveries.decay(by: rates.meshDeliveryDecay, intervalCount, toZeroAt: zero)
            self.meshFailures.decay(by: rates.meshFailureDecay, intervalCount, toZeroAt: zero)
            self.invalid.decay(by: rates.invalidDecay, intervalCount, toZeroAt: zero)
        }

        /// How far P3 lies below its threshold.
        func deficit(_ scoring: GossipsubTopicScoring, now: Duration) -> Double {
            guard scoring.countsMeshDeliveries else { return 0 }
            guard let since = self.inMeshSince, now - since > scoring.meshDeliveryActivation else { return 0 }
            return max(0, scoring.meshDeliveryThreshold - self.meshDeliveries)
        }

        func score(_ scoring: GossipsubTopicScoring, now: Duration) -> Double {
            let meshTime = self.inMeshSince.map { min((now - $0) / scoring.meshTimeQuantum, scoring.meshTimeCap) } ?? 0
            let deficit = self.deficit(scoring, now: now)
            let sum =
                meshTime * scoring.meshTimeWeight + self.firstDeliveries * scoring.firstDeliveryWeight
                + deficit * deficit * scoring.meshDeliveryWeight + self.meshFailures * scoring.meshFailureWeight
                + self.invalid * self.invalid * scoring.invalidWeight
            return sum * scoring.weight
        }
    }

    /// Only topics that we are subscribed to, or were when something happened in them.
    private(set) var topics: [String: InTopic] = [:]
    /// P7.
    private(set) var behaviour = 0.0
    /// Until when the peer is not grafted, and may not graft, by topic.
    private(set) var backoffs: [String: Duration] = [:]

    // MARK: What happened

    mutating func joinedMesh(_ topic: String, now: Duration) { self.topics[topic, default: InTopic()].inMeshSince = now }

    mutating func leftMesh(_ topic: String, _ scoring: GossipsubScoring, now: Duration) {
        guard var standing = self.topics[topic], standing.inMeshSince != nil else { return }
        let deficit = standing.deficit(scoring.topic(topic), now: now)
        standing.meshFailures += deficit * deficit
        standing.inMeshSince = nil
        self.topics[topic] = standing
    }

    mutating func deliveredFirst(_ topic: String, _ scoring: GossipsubScoring) {
        let limits = scoring.topic(topic)
        self.topics[topic, default: InTopic()].firstDeliveries += 1
        self.topics[topic]?.firstDeliveries.clamp(to: limits.firstDeliveryCap)
        self.deliveredNearFirst(topic, scoring)
    }

    /// Brought a message first or soon after the first: counts for mesh peers.
    mutating func deliveredNearFirst(_ topic: String, _ scoring: GossipsubScoring) {
        guard self.topics[topic]?.inMeshSince != nil else { return }
        self.topics[topic]?.meshDeliveries += 1
        self.topics[topic]?.meshDeliveries.clamp(to: scoring.topic(topic).meshDeliveryCap)
    }

    mutating func deliveredInvalid(_ topic: String) { self.topics[topic, default: InTopic()].invalid += 1 }

    mutating func penalise(_ count: Int = 1) { self.behaviour += Double(count) }

    /// A later end is kept.
    mutating func backOff(_ topic: String, until end: Duration) {
        self.backoffs[topic] = max(end, self.backoffs[topic] ?? end)
    }

    /// The peer has gone: what it has earned goes, what it owes stays.
    mutating func disconnected(_ scoring: GossipsubScoring, now: Duration) {
        for topic in self.topics.keys {
            self.leftMesh(topic, scoring, now: now)
            self.topics[topic]?.firstDeliveries = 0
            self.topics[topic]?.meshDeliveries = 0
        }
    }

    // MARK: Time

    /// Lets everything fade for so many intervals.
    mutating func decay(_ scoring: GossipsubScoring, intervalCount: Int, now: Duration) {
        var (index, isAnyBlank) = (self.topics.startIndex, false)
        while index != self.topics.endIndex {
            let rates = scoring.topic(self.topics[index].key)
            self.topics.values[index].decay(rates, intervalCount: intervalCount, toZeroAt: scoring.decayToZero)
            isAnyBlank = isAnyBlank || self.topics.values[index].isBlank
            self.topics.formIndex(after: &index)
        }
        if isAnyBlank { self.topics = self.topics.filter { !$0.value.isBlank } }
        self.behaviour.decay(by: scoring.behaviourDecay, intervalCount, toZeroAt: scoring.decayToZero)
    }

    /// Forgets backoffs that ended before this time.
    mutating func forgetBackoffs(before time: Duration) {
        guard self.backoffs.contains(where: { $0.value < time }) else { return }
        self.backoffs = self.backoffs.filter { $0.value >= time }
    }

    var isBlank: Bool { self.topics.isEmpty && self.behaviour == 0 && self.backoffs.isEmpty }

    // MARK: The score

    /// P1 to P4 and P7.
    func score(_ scoring: GossipsubScoring, now: Duration) -> Double {
        // In an order that is always the same: sums of floating-point numbers depend on it.
        var sum = 0.0
        if self.topics.count == 1, let (name, standing) = self.topics.first {
            sum = standing.score(scoring.topic(name), now: now)
        } else {
            for (name, standing) in self.topics.sorted(by: { $0.key < $1.key }) { sum += standing.score(scoring.topic(name), now: now) }
        }
        let excess = max(0, self.behaviour - scoring.behaviourThreshold)
        return min(sum, scoring.topicScoreCap) + excess * excess * scoring.behaviourWeight
    }

    var heldByteCount: Int {
        64 + self.topics.keys.reduce(0) { $0 + $1.utf8.count + 64 } + self.backoffs.keys.reduce(0) { $0 + $1.utf8.count + 32 }
    }
}

extension Double {
    fileprivate mutating func clamp(to cap: Double) { self = Swift.min(self, cap) }

    fileprivate mutating func decay(by factor: Double, _ count: Int, toZeroAt zero: Double) {
        guard self != 0 else { return }
        for _ in 0..<count {
            self *= factor
            if self < zero {
                self = 0
                return
            }
        }
    }
}
