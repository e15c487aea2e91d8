internal import CryptoPrimitives
internal import LibP2P
internal import Secp256k1
internal import Signing
internal import SigningNode
internal import Synchronization

/// A member of a simulated group: what does not change from one life of its process to the next, and who sits before it.
final class SigningPerson {
    /// What the person wants in the end.
    enum Mind {
        case approves
        case rejects
        /// Agrees, and takes it back.
        case withdraws
    }

    let place: Int
    let identity: PeerIdentity
    let key: SecretKey
    private(set) var keys: SignerKeys
    let policy: any SpendingPolicy
    let enrolments: [Enrolment]
    /// Where the others' nodes are.
    let addresses: [(peer: PeerID, address: Multiaddr)]
    let clock: SimulatedClock
    var mind: Mind
    let thoughtMax: Duration
    let diskDelayMax: Duration
    /// What its machine may approve by itself; then it never says anything itself.
    var rules: ApprovalPolicy?
    /// Its disk says that what was approved automatically is durable, and forgets it.
    var forgetsApprovals = false
    let store = SimulatedStore()
    /// How its disk says that others stand with it.
    var standings: [PeerID: PeerStanding] = [:]
    /// How it cheats, if it does.
    let cheat: SigningCheat?
    /// Entries of nonces that it gives each other member ahead.
    var noncePool = 0
    private var random: SeededRandom
    /// Lives of its process so far.
    var life = 0
    /// What is wrong with it on purpose.
    var fault: NodeSigningFault?
    /// From when on time makes its process do nothing, where that is what is wrong.
    var sleepsAt: Duration?
    /// How its node meets the others, where that takes a third one.
    var meeting: MemberMeeting.Plan?
    weak var watch: (any SigningWatch)?

    init(
        place: Int, seed: UInt64, identity: PeerIdentity, policy: any SpendingPolicy, enrolments: [Enrolment],
        addresses: [(peer: PeerID, address: Multiaddr)], skew: Int, mind: Mind, cheat: SigningCheat?, thoughtMax: Duration,
        diskDelayMax: Duration, choices: UInt64
    ) throws {
        self.place = place
        self.identity = identity
        self.key = try Self.key(seed: seed, place: place)
        self.keys = try Self.keys(seed: seed, place: place, identity: identity, version: 1)
        self.policy = policy
        self.enrolments = enrolments
        self.addresses = addresses
        self.clock = SimulatedClock(skew: .seconds(skew))
        self.mind = mind
        self.cheat = cheat
        self.thoughtMax = thoughtMax
        self.diskDelayMax = diskDelayMax
        self.random = SeededRandom(seed: choices)
    }

    private static func key(seed: UInt64, place: Int) throws -> SecretKey {
        let digest = SHA256.hash(Array("simulated signer \(seed) \(place)".utf8))
        return try SecretKey(parsing: try SecretBytes(count: 32) { $0.copyBytes(from: digest.bytes) })
    }

    static func keys(seed: UInt64, place: Int, identity: PeerIdentity, version: UInt32) throws -> SignerKeys {
        try SignerKeys(key: try Self.key(seed: seed, place: place), identity: identity, network: .regtest, version: version)
    }

    /// From its next life on it speaks under an enrolment of a higher version.
    func renewEnrolment(seed: UInt64) throws {
        self.keys = try Self.keys(seed: seed, place: self.place, identity: self.identity, version: self.keys.enrolment.version + 1)
    }

    /// Its disk keeps what is approved automatically.
    func keep(_ approval: StoredApproval, of group: Bytes32) {
        guard !self.forgetsApprovals else { return }
        self.store.keep(approval, of: group)
    }

    /// What it or its disk chooses.
    func draw(_ range: ClosedRange<Int64>) -> Int64 { Int64.random(in: range, using: &self.random) }

    /// Bytes that are random enough for a simulation.
    func fill(_ bytes: UnsafeMutableRawBufferPointer) {
        for index in bytes.indices { bytes[index] = UInt8(truncatingIfNeeded: self.random.next() >> 56) }
    }

    /// What its process calls itself: another name in each life.
    func incarnations() -> IncarnationRow {
        IncarnationRow(seed: UInt64(self.place) << 32 | UInt64(self.fault == .reusesIncarnations ? 1 : self.life))
    }
}

/// Who looks on.
protocol SigningWatch: AnyObject {
    /// A write is on its way, and done at `due` unless the process dies before.
    func writes(_ write: SigningWrite, of member: SigningPerson, from now: Duration, due: Duration)
    func happened(_ event: CoordinationEvent, to request: Bytes32, at member: SigningPerson)
    /// A message leaves the member's process.
    func sent(_ message: [UInt8], by member: SigningPerson)
    /// A refusal is told.
    func refused(_ refusal: SigningRefusal, from peer: PeerID, at member: SigningPerson)
    /// An announcement left, or came to who it is for.
    func announced(isHeard: Bool, by member: SigningPerson)
    /// Another member is reached, through a relay or directly.
    func connected(by method: ConnectionMethod, member: SigningPerson)
    /// A peer is not heard any more.
    func blocked(_ peer: PeerID, at member: SigningPerson)
}

/// A machine's clock of the day, which may be wrong and may be set.
final class SimulatedClock: Sendable {
    private let offset: Mutex<Duration>

    init(skew: Duration) { self.offset = Mutex(skew) }

    func set(skew: Duration) { self.offset.withLock { $0 = skew } }

    func wall(at now: Duration) -> Duration { SimulatedNetwork<NodeSigningProgram>.unixTimeOffset + now + self.offset.withLock { $0 } }
}

/// The incarnations of one process: no other has the same.
final class IncarnationRow: Sendable {
    private let random: Mutex<SeededRandom>

    init(seed: UInt64) { self.random = Mutex(SeededRandom(seed: seed ^ 0x696e_6361)) }

    func next() -> Incarnation {
        self.random.withLock { random in
            Incarnation(known: (0..<Incarnation.byteCount).map { _ in UInt8(truncatingIfNeeded: random.next() >> 56) })
        }
    }
}
