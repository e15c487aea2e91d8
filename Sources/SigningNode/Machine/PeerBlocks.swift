internal import LibP2P
internal import Signing

/// Who is not listened to until the owner says otherwise, by the owner's word or for its own conduct; and which members were blocked for a
/// while, so that doing so again and again has an end.
///
/// Only members are remembered for their conduct: there are few of them. A stranger has a new peer id whenever it likes one, so that a
/// lasting block would keep nobody out, and fill this; and who is a stranger here may belong to a group that this node comes to know later.
struct PeerBlocks: Sendable {
    private var standings: [PeerID: PeerStanding] = [:]

    /// Blocks that an owner may set.
    static let countByOwnerMax = 1_024
    /// Blocks for conduct, and peers that were blocked for a while: of each so many. The oldest makes way for a new one, and never for it
    /// one that the owner set.
    static let countForConductMax = 1_024

    func block(of peer: PeerID) -> PeerStanding? { self.standings[peer].flatMap { $0.block == nil ? nil : $0 } }
    func isBlocked(_ peer: PeerID) -> Bool { self.block(of: peer) != nil }
    func isKnown(_ peer: PeerID) -> Bool { self.standings[peer] != nil }
    func standing(of peer: PeerID) -> PeerStanding? { self.standings[peer] }

    /// Those with a lasting block.
    var blocked: Set<PeerID> { Set(self.standings.filter { $0.value.block != nil }.keys) }

    /// What a former life of the process knew.
    mutating func restore(_ standing: PeerStanding, of peer: PeerID) { self.standings[peer] = standing }

    // MARK: The owner's word

    /// - Returns: what stands now; `nil` where there are too many.
    mutating func block(_ peer: PeerID, note: String, at time: UInt64) -> PeerStanding? {
        var standing = self.standings[peer] ?? PeerStanding(peer: peer.bytes)
        if standing.block != .owner {
            guard self.count(of: .owner) < Self.countByOwnerMax else { return nil }
            (standing.block, standing.since) = (.owner, time)
        }
        standing.note = note
        standing.temporaryBlocks = []
        self.standings[peer] = standing
        return standing
    }

    /// Forgets all that is known against the peer.
    mutating func forgive(_ peer: PeerID) { self.standings[peer] = nil }

    // MARK: Conduct

    /// What one temporary block more makes of a peer, and of one that makes way for it.
    struct Change: Sendable {
        let standing: PeerStanding
        /// Whether it is blocked lastingly from now on.
        let isLasting: Bool
        let forgotten: PeerID?
    }

    /// A member was blocked for a while.
    ///
    /// - Parameters:
    ///   - most: so many of it within `seconds` block it lastingly.
    /// - Returns: `nil` where a lasting block stands already.
    mutating func blockedForAWhile(_ peer: PeerID, most: Int, within seconds: UInt64, at time: UInt64) -> Change? {
        var standing = self.standings[peer] ?? PeerStanding(peer: peer.bytes)
        guard standing.block == nil else { return nil }
        let most = min(max(most, 1), PeerStanding.temporaryBlockCountMax)
        standing.temporaryBlocks = (standing.temporaryBlocks.filter { Self.counts($0, seconds, at: time) } + [time]).suffix(most)
        let isLasting = standing.temporaryBlocks.count >= most
        if isLasting { (standing.block, standing.since, standing.temporaryBlocks) = (.conduct, time, []) }
        self.standings[peer] = standing
        return Change(standing: standing, isLasting: isLasting, forgotten: self.makeRoom(of: standing.block, sparing: peer))
    }

    /// Forgets whose temporary blocks are all too long ago to count.
    ///
    /// - Returns: those who are forgotten.
    mutating func forgetOver(within seconds: UInt64, at time: UInt64) -> [PeerID] {
        let over = self.standings.filter { _, standing in
            standing.block == nil && !standing.temporaryBlocks.contains { Self.counts($0, seconds, at: time) }
        }.keys.sorted()
        for peer in over { self.standings[peer] = nil }
        return over
    }

    /// A time that is to come was written by a clock that was set back since: it counts.
    private static func counts(_ block: UInt64, _ seconds: UInt64, at time: UInt64) -> Bool { block >= time || time - block <= seconds }

    private func count(of block: PeerStanding.Block?) -> Int { self.standings.values.count { $0.block == block } }

    private mutating func makeRoom(of block: PeerStanding.Block?, sparing peer: PeerID) -> PeerID? {
        guard block != .owner, self.count(of: block) > Self.countForConductMax else { return nil }
        func age(_ standing: PeerStanding) -> UInt64 { block == nil ? standing.temporaryBlocks.last ?? 0 : standing.since }
        let others = self.standings.filter { $0.key != peer && $0.value.block == block }
        guard let oldest = others.min(by: { (age($0.value), $0.key) < (age($1.value), $1.key) })?.key else { return nil }
        self.standings[oldest] = nil
        return oldest
    }
}
