/// Under which addresses others see us, by vote: one household, one voice, so that one liar with many peers gains nothing.
public struct ObservedAddresses: Sendable {
    public struct Configuration: Sendable {
        /// How many households must see the same address before it counts (go-libp2p, `ActivationThresh`: 4).
        public var voiceCountMin = 4
        /// How long a voice counts: as long as the mappings of home routers are usually left alone.
        public var lifetime: Duration = .seconds(30 * 60)
        /// Most addresses that are counted at a time.
        public var addressCountMax = 32
        /// Most voices of one address: more change nothing.
        public var voiceCountMax = 16
        /// Most addresses that one household can name at a time.
        public var addressesPerHouseholdMax = 4

        public init() {}
    }

    private let configuration: Configuration
    /// Each address with the end of each household's voice.
    private var voices: [Multiaddr: [[UInt8]: Duration]] = [:]
    private var confirmed: Set<Multiaddr> = []
    /// When the first voice is over.
    private(set) var deadline: Duration?

    public init(_ configuration: Configuration) { self.configuration = configuration }

    /// Those that count now, in an order that does not depend on chance.
    public var addresses: [Multiaddr] { self.confirmed.sorted { $0.bytes.lexicographicallyPrecedes($1.bytes) } }

    var heldByteCount: Int {
        self.voices.reduce(0) { count, entry in count + 64 + entry.key.components.count * 16 + entry.value.count * 40 }
    }

    /// Whether an address is one to vote about: ours as seen from where the observer is.
    static func isPlausible(_ address: Multiaddr, observer: Multiaddr) -> Bool {
        guard !address.isRelayed, !observer.isRelayed, let scope = address.ipAddress?.scope else { return false }
        guard address.components.count >= 2, scope == observer.ipAddress?.scope else { return false }
        // Over one version of IP nobody sees an address of the other.
        guard address.household?.count == observer.household?.count else { return false }
        switch address.components[1] {
        case .tcp(let port), .udp(let port): return port != 0
        default: return false
        }
    }

    /// Counts a voice. Says whether the addresses that count changed.
    mutating func observe(_ address: Multiaddr, by observer: Multiaddr, now: Duration) -> Bool {
        // Of IPv6 48 bits, not 64: so much of it anybody gets (RFC 6177), and would have 65,536 voices.
        let household = Array((observer.household ?? []).prefix(6))
        let earlier = self.voices.filter { $0.key != address && $0.value[household] != nil }
        if earlier.count >= self.configuration.addressesPerHouseholdMax {
            // Its oldest voice goes: after a change of address the new one must be heard.
            let oldest = earlier.min { Self.precedes(($0.value[household] ?? .zero, $0.key), ($1.value[household] ?? .zero, $1.key)) }
            if let oldest { self.voices[oldest.key]?[household] = nil }
        }
        if self.voices[address] == nil, self.voices.count >= self.configuration.addressCountMax { self.evict() }
        let end = now + self.configuration.lifetime
        let voiceCount = self.voices[address]?.count ?? 0
        if self.voices[address]?[household] != nil || voiceCount < self.configuration.voiceCountMax {
            self.voices[address, default: [:]][household] = end
        }
        return self.recount(now: now)
    }

    /// Forgets voices that are over. Says whether the addresses that count changed.
    mutating func expire(now: Duration) -> Bool { self.recount(now: now) }

    /// The address with the fewest voices goes, the oldest of them first: a flood of inventions pushes out inventions.
    private mutating func evict() {
        let fewest = self.voices.values.map(\.count).min()
        let weakest = self.voices.filter { $0.value.count == fewest }.min {
            Self.precedes(($0.value.values.max() ?? .zero, $0.key), ($1.value.values.max() ?? .zero, $1.key))
        }
        if let weakest { self.voices[weakest.key] = nil }
    }

    /// By time, and where that is the same by address, so that a seed replays.
    private static func precedes(_ left: (time: Duration, address: Multiaddr), _ right: (time: Duration, address: Multiaddr)) -> Bool {
        left.time != right.time ? left.time < right.time : left.address.bytes.lexicographicallyPrecedes(right.address.bytes)
    }

    private mutating func recount(now: Duration) -> Bool {
        self.voices = self.voices.mapValues { $0.filter { $0.value > now } }.filter { !$0.value.isEmpty }
        let counted = Set(self.voices.filter { $0.value.count >= self.configuration.voiceCountMin }.keys)
        defer { self.confirmed = counted }
        self.deadline = self.voices.values.compactMap { $0.values.min() }.min()
        return counted != self.confirmed
    }
}
