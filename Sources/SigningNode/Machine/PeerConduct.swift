internal import LibP2P

/// How peers behave towards us: each message that is refused counts against the peer whose connection brought it, and a few too many have
/// it not heard for a while.
///
/// Nothing that a message says counts against anybody else, so that nobody is blocked by what others say in its name.
struct PeerConduct: Sendable {
    private struct Record: Sendable {
        var refusals = 0
        var lastAt: Duration
        var blockedUntil: Duration?
    }

    private var records: [PeerID: Record] = [:]

    /// Peers that are remembered. Beyond it the one that was quiet for longest and is not blocked is forgotten.
    static let countMax = 4_096
    /// Refusals older than this are forgiven.
    static let memory = Duration.seconds(3_600)

    func isBlocked(_ peer: PeerID, now: Duration) -> Bool { self.records[peer]?.blockedUntil.map { now < $0 } ?? false }

    /// Who is not heard now, in order.
    func blocked(now: Duration) -> [(peer: PeerID, until: Duration)] {
        self.records.compactMap { peer, record in record.blockedUntil.flatMap { now < $0 ? (peer: peer, until: $0) : nil } }
            .sorted { $0.peer < $1.peer }
    }

    /// A message of the peer was refused.
    ///
    /// - Returns: until when it is blocked, if it is from now on.
    mutating func refused(_ peer: PeerID, most: Int, for time: Duration, now: Duration) -> Duration? {
        var record = self.records[peer] ?? Record(lastAt: now)
        if now - record.lastAt > Self.memory { record.refusals = 0 }
        record.refusals += 1
        record.lastAt = now
        var isNew = false
        if record.refusals >= most, record.blockedUntil.map({ $0 <= now }) ?? true {
            record.blockedUntil = now + time
            record.refusals = 0
            isNew = true
        }
        if self.records[peer] == nil { self.makeRoom(now: now) }
        self.records[peer] = record
        return isNew ? record.blockedUntil : nil
    }

    /// Blocks a peer for what a former life of the process saw.
    mutating func block(_ peer: PeerID, until: Duration, now: Duration) {
        if self.records[peer] == nil { self.makeRoom(now: now) }
        self.records[peer] = Record(lastAt: now, blockedUntil: until)
    }

    /// Nothing counts against the peer any more.
    mutating func forgive(_ peer: PeerID) { self.records[peer] = nil }

    /// Forgets who is neither blocked nor was heard of for long.
    mutating func forgetOver(now: Duration) {
        self.records = self.records.filter { $0.value.blockedUntil.map { now < $0 } ?? (now - $0.value.lastAt <= Self.memory) }
    }

    private mutating func makeRoom(now: Duration) {
        guard self.records.count >= Self.countMax else { return }
        let quiet = self.records.filter { $0.value.blockedUntil.map { $0 <= now } ?? true }
        guard let oldest = (quiet.isEmpty ? self.records : quiet).min(by: { ($0.value.lastAt, $0.key) < ($1.value.lastAt, $1.key) })
        else { return }
        self.records[oldest.key] = nil
    }
}
