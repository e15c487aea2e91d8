extension KadDHT {
    /// Whether a node serves others, or only asks (kad-dht, "Client and server mode").
    public enum Mode: Sendable {
        /// Asks; does not serve the protocol and is in nobody's table.
        case client
        /// Answers too. For nodes that others can reach.
        case server
    }

    /// What can be set of a node's part in the hash table. Times and counts stand here with their reasons.
    public struct Configuration: Sendable {
        /// Networks with another id have nothing to do with each other.
        public var protocolID = "/ipfs/kad/1.0.0"
        public var mode = Mode.server
        /// By namespace; `/pk/` is always known.
        public var validators: [String: KadValidator] = [:]

        /// k: peers that hold a record, and contacts in a bucket (kad-dht, "Replication parameter").
        public var replicationCount = 20
        /// α: requests of a lookup under way at a time (kad-dht, "Alpha concurrency parameter").
        public var parallelCount = 10
        /// β: answers without which a lookup does not end early. Source: go-libp2p-kad-dht, `DefaultResiliency`.
        public var resilienceCount = 3
        /// How long a lookup goes on, and then again how long what it found is stored (kad-dht, "Bootstrap process", `QueryTimeout`).
        public var queryTimeout: Duration = .seconds(10)
        /// How long one peer has for a dial and an answer: half of a lookup, so that one replacement can still answer.
        public var requestTimeout: Duration = .seconds(5)
        /// Between two refreshes of the routing table (kad-dht, "Bootstrap process").
        public var refreshInterval: Duration = .seconds(600)
        /// Buckets that one refresh looks into, the farthest first. Source: go-libp2p-kad-dht refreshes at most 16.
        public var refreshBucketCountMax = 16
        /// How long a value is kept that nobody puts again. Source: go-libp2p-kad-dht, `MaxRecordAge`, 48 h; py-libp2p too.
        public var valueLifetime: Duration = .seconds(48 * 3_600)
        /// How long a provider counts that does not tell so again (kad-dht, "Provider Record Expiration Interval").
        public var providerLifetime: Duration = .seconds(48 * 3_600)
        /// How long a provider's addresses are told with it; later its id alone, for addresses change (kad-dht, "Content provider
        /// advertisement").
        public var providerAddressLifetime: Duration = .seconds(1_800)
        /// After this time own values and provider records are put again (kad-dht, "Provider Record Republish Interval").
        public var republishInterval: Duration = .seconds(22 * 3_600)

        /// Longest value, in bytes, that is put, kept or believed: what py-libp2p keeps (`MAX_RECORD_SIZE`).
        public var valueByteCountMax = 1 << 20
        /// Bytes of all values kept for the network.
        public var valueStoreByteCountMax = 16 << 20
        /// Provider records kept for the network, about 500 bytes each.
        public var providerRecordCountMax = 20_000
        /// Bytes of all provider records: each may have eight addresses, and few have as many.
        public var providerStoreByteCountMax = 16 << 20
        /// Bytes of requests that are not whole yet, of all peers together: three of the longest.
        public var partialByteCountMax = 12 << 20
        /// Bytes of answers to our requests that are not whole yet, of all peers together, each household as much as is left: eight of the
        /// longest, and a thousand usual ones.
        public var answerPartialByteCountMax = 32 << 20
        /// Streams that one peer may have open to us. js-libp2p opens up to 32 of one protocol, go-libp2p one or two.
        public var inboundStreamCountMaxPerPeer = 32
        /// Streams that all peers may have open to us.
        public var inboundStreamCountMax = 1_024
        /// After this time without a whole request a stream is reset. Source: go-libp2p-kad-dht, `dhtStreamIdleTimeout`.
        public var inboundIdleTimeout: Duration = .seconds(60)
        /// Requests that one peer may send at once, and each second after that: 50 lookups come through one peer at most once each.
        public var requestBurst = 200
        public var requestsPerSecond = 50
        /// Records (values, providers) that one peer may send at once, and each second after that: republishing 200 goes through.
        public var recordBurst = 200
        public var recordsPerSecond = 2
        /// Bytes of answers that one peer may cause at once, and each second after that: they wait for it to read them.
        public var answerByteBurst = 4 << 20
        public var answerBytesPerSecond = 1 << 20
        /// Peers whose use is counted at a time.
        public var ratedPeerCountMax = 4_096

        /// Operations at a time; each has up to 3 α requests under way.
        public var operationCountMax = 64
        /// Own values and provider records that are kept alive.
        public var publishedCountMax = 1_000
        /// Streams kept open for the next request to a peer, and for how long.
        public var idleStreamCountMax = 64
        public var idleStreamTimeout: Duration = .seconds(30)
        /// Peers that are asked when the routing table is empty, as after a long time without a network.
        public var bootstrapPeerCountMax = 64
        /// Places of a bucket for peers of one network: half, so that one operator does not own it, and small networks still work.
        public var networkShareMax = 10

        public init() {}
    }
}
