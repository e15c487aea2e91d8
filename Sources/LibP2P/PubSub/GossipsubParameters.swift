/// How a gossipsub node behaves. The defaults are those of the specification (gossipsub 1.0 and 1.1, "Parameters") and of
/// go-libp2p-pubsub.
public struct GossipsubParameters: Sendable {
    /// The versions that are spoken, preferred first: all of these four, or some of them in any order.
    public var protocolIDs = ["/meshsub/1.2.0", "/meshsub/1.1.0", "/meshsub/1.0.0", "/floodsub/1.0.0"]

    // MARK: The mesh

    /// How many mesh peers a topic should have (`D`).
    public var meshDegree = 6
    /// Fewer than this, and peers are grafted (`D_lo`).
    public var meshDegreeLow = 5
    /// More than this, and peers are pruned (`D_hi`).
    public var meshDegreeHigh = 12
    /// How many of the best stay when peers are pruned (`D_score`).
    public var meshDegreeByScore = 4
    /// How many peers that we dialled each mesh holds (`D_out`): an attacker who dials cannot take all places. Below `D_lo`, at most D/2.
    public var meshDegreeOutbound = 2
    public var heartbeatInterval = Duration.seconds(1)
    /// How long nobody grafts after a PRUNE.
    public var pruneBackoff = Duration.seconds(60)
    /// The same after our own unsubscribing.
    public var unsubscribeBackoff = Duration.seconds(10)
    /// A GRAFT so soon after a PRUNE counts twice.
    public var graftFloodThreshold = Duration.seconds(10)
    /// How many heartbeats lie between two rounds of opportunistic grafting.
    public var opportunisticGraftHeartbeatCount = 60
    /// How many peers one such round grafts.
    public var opportunisticGraftPeerCount = 2
    /// How many heartbeats lie between two dials of direct peers that are not connected.
    public var directDialHeartbeatCount = 300

    // MARK: Publishing and gossip

    /// Own messages go to all peers of the topic that score well enough, not only to the mesh.
    public var floodsOwnMessages = true
    /// How long peers of a topic that we publish to without being subscribed are remembered.
    public var fanoutLifetime = Duration.seconds(60)
    /// To how many peers outside the mesh gossip goes at least (`D_lazy`).
    public var gossipDegree = 6
    /// To which part of them, where that is more.
    public var gossipFactor = 0.25
    /// For how many heartbeats messages are kept for who asks for them.
    public var historyHeartbeatCount = 5
    /// The messages of how many heartbeats are told in gossip.
    public var gossipHeartbeatCount = 3
    /// How long a message's id is remembered.
    public var seenLifetime = Duration.seconds(120)
    /// Messages of at least so many bytes are announced to 1.2 peers as not wanted any more.
    public var doNotWantByteCountMin = 1_024
    /// How long a peer has to send what it announced and we asked for.
    public var promiseLifetime = Duration.seconds(3)
    /// How often one peer gets one message that it asks for.
    public var retransmissionCountMax = 3
    /// Whether peers that are pruned are told of others.
    public var exchangesPeers = true
    /// How long the application has for its verdict; afterwards the message is ignored.
    public var verdictLifetime = Duration.seconds(60)

    // MARK: Policy

    public var signaturePolicy = PubSubSignaturePolicy.strictSign
    public var identification = PubSubMessageIdentification.authorAndSequence
    public var scoring = GossipsubScoring()
    public var limits = GossipsubLimits()

    public init() {}

    /// What must hold for the parameters to make sense together.
    var isConsistent: Bool {
        let degrees = self.meshDegreeLow <= self.meshDegree && self.meshDegree <= self.meshDegreeHigh && self.meshDegreeLow >= 0
        let outbound =
            self.meshDegreeOutbound == 0 || (self.meshDegreeOutbound < self.meshDegreeLow && self.meshDegreeOutbound <= self.meshDegree / 2)
        let byScore = (0...self.meshDegree).contains(self.meshDegreeByScore)
        let history = 0 < self.gossipHeartbeatCount && self.gossipHeartbeatCount <= self.historyHeartbeatCount
        let times = self.heartbeatInterval > .zero && self.opportunisticGraftHeartbeatCount > 0 && self.directDialHeartbeatCount > 0
        let ids: Bool =
            switch (self.signaturePolicy, self.identification) {
            case (.strictNoSign, .authorAndSequence): false
            case (.strictSign, _), (.strictNoSign, .custom): true
            }
        let versions = !self.protocolIDs.isEmpty && self.protocolIDs.allSatisfy { GossipsubVersion(protocolID: $0) != nil }
        return versions && degrees && outbound && byScore && history && times && ids && self.scoring.isConsistent
    }
}

/// How much of everything strangers can make a gossipsub node hold or do.
public struct GossipsubLimits: Equatable, Sendable {
    /// Bytes of frames that have not come whole, of all peers together: beyond it, the household that has most of them gives up its oldest.
    /// Many times what honest peers have under way, and far below what thousands could leave unfinished.
    public var unfinishedByteCountMax = 67_108_864
    /// Topics that one peer may be subscribed to. Further ones are passed over.
    public var peerTopicCountMax = 256
    /// Changes of subscriptions by one peer in one heartbeat. Further ones are passed over.
    public var peerSubscriptionChangeCountMax = 1_024
    /// Message ids that are read from one peer's IHAVE in one heartbeat, or requested of it. As in go-libp2p-pubsub.
    public var haveIDCountMax = 5_000
    /// Frames with IHAVE that are read from one peer in one heartbeat. As in go-libp2p-pubsub.
    public var haveFrameCountMax = 10
    /// Message ids that one peer may ask for in one heartbeat.
    public var wantIDCountMax = 5_000
    /// IDONTWANT ids that are kept for one peer. Further ones are passed over: the peer then gets a message twice.
    public var doNotWantIDCountMax = 1_000
    /// Bytes that wait to be sent to one peer, beyond what is under way. Twice the largest frame.
    public var outboxByteCountMax = 2_097_152
    /// Frames that wait to be sent to one peer.
    public var outboxFrameCountMax = 1_024
    /// Bytes that are given to one stream before it says that it can take more.
    public var underWayByteCountMax = 262_144
    /// Message ids that are remembered as seen. The oldest make room.
    public var seenCountMax = 32_768
    /// Bytes of messages that are kept for who asks for them. The oldest make room.
    public var historyByteCountMax = 33_554_432
    /// Bytes of messages that wait for the application's verdict. Further ones are passed over, and may come again.
    public var verdictByteCountMax = 16_777_216
    /// Messages that wait for the application's verdict.
    public var verdictCountMax = 1_024
    /// Disconnected peers of which a bad score or a backoff is remembered.
    public var rememberedPeerCountMax = 4_096
    /// Bytes of signed peer records that are kept of connected peers for peer exchange.
    public var recordByteCountMax = 4_096
    /// Addresses that are dialled in one heartbeat because a peer named others, and of one such peer: anybody can make up peers and sign
    /// for them, with addresses of a victim.
    public var exchangeAddressCountMax = 32
    public var exchangeAddressCountOfPeerMax = 4
    /// Bytes of all topics that peers are subscribed to, each household as much as is left. Further subscriptions are passed over. 8,000
    /// peers with ten topics each have room.
    public var topicByteCountMax = 33_554_432
    /// Bytes of all IDONTWANT ids, each household as much as is left. As many as forty mesh peers can name, or ten thousand usual ones.
    public var doNotWantByteCountMax = 16_777_216
    /// Floodsub peers, which get every message of their topics, each household as much as is left. Further ones get none until others go.
    public var floodPeerCountMax = 128

    public init() {}
}
