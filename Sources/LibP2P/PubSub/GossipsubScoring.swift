/// How peers are scored (gossipsub 1.1, "Peer Scoring"). What is good for a topic depends on its traffic: the defaults ask for
/// nothing, reward who is first, and shut out whoever sends a few invalid messages or floods.
public struct GossipsubScoring: Sendable {
    // MARK: Thresholds

    /// Below it, no gossip is sent to the peer or taken from it.
    public var gossipThreshold = -10.0
    /// Below it, own messages do not go to the peer.
    public var publishThreshold = -50.0
    /// Below it, nothing at all is taken from the peer.
    public var graylistThreshold = -80.0
    /// Only peers above it may name others to dial. It takes some twenty messages brought first, lately.
    public var peerExchangeThreshold = 10.0
    /// When the median of a mesh is below it, better peers are grafted.
    public var opportunisticGraftThreshold = 5.0

    // MARK: The peer as a whole

    /// Most that all topics together add.
    public var topicScoreCap = 50.0
    /// P5: times what the application says of the peer.
    public var applicationWeight = 1.0
    /// P6: for each peer more than `addressPeerCountMax` at one address, squared.
    public var addressWeight = -5.0
    public var addressPeerCountMax = 10
    /// Addresses that any number of peers may share.
    public var sharedAddresses: Set<GossipsubAddressGroup> = [.loopback]
    /// P7: for what no honest peer does, above the threshold, squared.
    public var behaviourWeight = -10.0
    public var behaviourThreshold = 2.0
    /// Per `decayInterval`: half is forgiven in about two minutes.
    public var behaviourDecay = 0.994

    // MARK: Time

    public var decayInterval = Duration.seconds(1)
    /// Below it, what decays is zero.
    public var decayToZero = 0.01
    /// How long a bad score outlives the connection.
    public var retention = Duration.seconds(3_600)

    // MARK: Topics

    /// For topics that `topics` does not name.
    public var anyTopic = GossipsubTopicScoring()
    public var topics: [String: GossipsubTopicScoring] = [:]

    public init() {}

    var isConsistent: Bool {
        self.graylistThreshold < self.publishThreshold && self.publishThreshold <= self.gossipThreshold && self.gossipThreshold < 0
            && self.peerExchangeThreshold >= 0 && self.opportunisticGraftThreshold >= 0 && self.addressPeerCountMax >= 1
            && self.decayInterval > .zero && self.behaviourWeight <= 0 && self.addressWeight <= 0
    }

    func topic(_ name: String) -> GossipsubTopicScoring { self.topics[name] ?? self.anyTopic }
}

/// How a peer's behaviour in one topic counts. Decay factors are per `GossipsubScoring.decayInterval`.
public struct GossipsubTopicScoring: Equatable, Sendable {
    /// How much the topic counts.
    public var weight = 1.0

    /// P1: for each `meshTimeQuantum` in the mesh.
    public var meshTimeWeight = 0.01
    public var meshTimeQuantum = Duration.seconds(1)
    public var meshTimeCap = 300.0

    /// P2: for each message that the peer brought first.
    public var firstDeliveryWeight = 0.5
    /// Half is forgotten in about ten minutes.
    public var firstDeliveryDecay = 0.99885
    public var firstDeliveryCap = 40.0

    /// P3: for what a mesh peer brings less than the threshold, squared. Off unless the weight is negative.
    public var meshDeliveryWeight = 0.0
    public var meshDeliveryDecay = 0.997
    public var meshDeliveryThreshold = 10.0
    public var meshDeliveryCap = 100.0
    /// How long a peer must be in the mesh before P3 counts.
    public var meshDeliveryActivation = Duration.seconds(60)
    /// How much later than the first a message still counts as brought.
    public var meshDeliveryWindow = Duration.milliseconds(10)

    /// P3b: for such a deficit at the time of a PRUNE.
    public var meshFailureWeight = 0.0
    public var meshFailureDecay = 0.997

    /// P4: for invalid messages, squared. The third brings the peer below the thresholds.
    public var invalidWeight = -10.0
    /// Half is forgiven in about ten minutes.
    public var invalidDecay = 0.99885

    public init() {}

    /// Whether P3 is on.
    var countsMeshDeliveries: Bool { self.meshDeliveryWeight < 0 || self.meshFailureWeight < 0 }
}

/// Addresses that count as one for P6: a single IPv4 address, or an IPv6 network of 64 bits, which one subscriber gets.
public enum GossipsubAddressGroup: Hashable, Sendable {
    case ip4(IPv4Address)
    case ip6Network([UInt8])
    /// 127.0.0.0/8 and ::1.
    case loopback

    /// The group of the machine at the other end; `nil` where a relay or a name stands in its place.
    public init?(_ address: Multiaddr) {
        guard !address.isRelayed else { return nil }
        switch address.host {
        case .ip4(let ip): self = ip.bytes.first == 127 ? .loopback : .ip4(ip)
        case .ip6(let ip):
            // An IPv4 address in IPv6's clothes: all of them share their first 64 bits, and nothing else.
            if let ip = ip.mappedIPv4 {
                self = ip.bytes.first == 127 ? .loopback : .ip4(ip)
                return
            }
            let isLoopback = ip.bytes.dropLast().allSatisfy { $0 == 0 } && ip.bytes.last == 1
            self = isLoopback ? .loopback : .ip6Network(Array(ip.bytes.prefix(8)))
        default: return nil
        }
    }
}
