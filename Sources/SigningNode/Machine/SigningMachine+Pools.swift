internal import Bitcoin
internal import CryptoPrimitives
internal import LibP2P
internal import Secp256k1
internal import Signing
internal import Synchronization

// Nonces given ahead to the members that are connected, where the owner wants that: a proposal of theirs then takes one round trip.

/// A group's pool, which a collection cannot hold by itself, because it cannot be copied.
final class LivePool: Sendable {
    let group: Bytes32
    /// What members sign for in place of a request (`Roster.poolDigest`).
    let context: Bytes32
    let nonces: Mutex<NoncePool>
    /// Members that may lack what they were given: they are given it again.
    let lacking = Mutex<Set<PublicKey>>([])

    init(group: Bytes32, pool: consuming NoncePool) {
        self.group = group
        self.context = pool.context
        self.nonces = Mutex(pool)
    }
}

extension SigningMachine {
    /// How often entries that grow old are replaced, and what did not arrive is given again.
    static let poolInterval = Duration.seconds(Int64(NoncePool.refillInterval))
    /// Most nonces that all pools hold together: the arena is for requests under way first.
    private static let pooledNonceCountMax = 4_096

    /// The pool of a group, by its digest; `nil` where the owner wants none.
    private func pool(of group: Bytes32) -> LivePool? { self.pools.values.first { $0.group == group } }

    /// Nonces of our own that all pools hold.
    var pooledNonceCount: Int { self.pools.values.reduce(0) { $0 + $1.nonces.withLock { $0.secretNonceCount } } }
    var pooledByteCount: Int { self.pools.values.reduce(0) { $0 + $1.nonces.withLock { $0.heldByteCount } } }

    /// A group has come, or its members have changed.
    ///
    /// Of groups with the same members in the same order, whose entries could not be told from each other, the first has a pool and the others
    /// have none.
    mutating func addPool(of digest: Bytes32, now: Duration) {
        guard self.configuration.noncePoolCount > 0, let group = self.groups[digest], self.pools[group.roster.poolDigest] == nil else {
            return
        }
        let pool = NoncePool(policy: group.policy, roster: group.roster, incarnation: self.makeIncarnation())
        self.pools[group.roster.poolDigest] = LivePool(group: digest, pool: pool)
        self.deadlines.set(.pools, at: now)
    }

    /// Gives every connected member what is missing of its entries.
    mutating func tendPools(now: Duration) {
        guard !self.pools.isEmpty else { return }
        self.lookAtClocks(now: now)
        for context in self.pools.keys.sorted() {
            guard let live = self.pools[context], let group = self.groups[live.group] else { continue }
            for member in group.policy.members where member != self.keys.signer { self.give(live, to: member, group, now: now) }
        }
        self.deadlines.set(.pools, at: now + Self.poolInterval)
    }

    private mutating func give(_ live: LivePool, to member: PublicKey, _ group: Group, now: Duration) {
        guard let enrolment = group.roster.enrolment(of: member) else { return }
        let peer = PeerID(of: enrolment.identity)
        // Who has nonces of us ahead is to be reached at once, when it proposes.
        guard self.members.isConnected(peer) else { return self.want(peer, now: now) }
        guard group.roster.enrolment(of: self.keys.signer) == self.keys.enrolment else { return }
        let (context, count) = (live.context, self.configuration.noncePoolCount)
        let room = max(0, Self.pooledNonceCountMax - self.pooledNonceCount) / NoncePool.width
        let time = self.moment(now).time
        let isLacking = live.lacking.withLock { $0.remove(member) != nil }
        let given = self.keys.identity.withSecretKey { identity in
            live.nonces.withLock { pool -> [Statement] in
                let made = pool.fill(for: member, count: count, room: room, now: time, key: self.keys.key) { body in
                    Statement(body, request: context, attempt: 0, enrolment: self.keys.enrolment, identity: identity)
                }
                return made ?? (isLacking ? pool.entries(for: member) : [])
            }
        }
        guard !given.isEmpty else { return }
        let message = CoordinationMessage(
            request: context, series: .init(incarnation: [UInt8](repeating: 0, count: NonceName.incarnationByteCount)), sequence: 0,
            acknowledged: nil, content: .pooledNonces(given))
        // What does not arrive is missing until it is given again: the first attempt begins as ever then.
        if let id = try? self.transport.send(message.serialized(group.roster), to: peer, now: now) {
            self.underWay[id] = (context, member)
        } else {
            self.notGiven(live.context, to: member)
        }
    }

    /// What a member was given ahead did not arrive, or found no room there: at the next look it is given again.
    func notGiven(_ context: Bytes32, to member: PublicKey) {
        guard let live = self.pools[context] else { return }
        live.lacking.withLock { _ = $0.insert(member) }
    }

    /// A member is connected. Its process may have started anew, and then it has nothing of what it was given.
    mutating func giveAgain(to peer: PeerID, now: Duration) {
        guard let identity = peer.identity else { return }
        for live in self.pools.values {
            guard let member = self.groups[live.group]?.roster.signer(speakingThrough: identity) else { continue }
            self.notGiven(live.context, to: member)
            self.deadlines.set(.pools, at: now)
        }
    }

    /// Whether a peer is a member of a group with a pool.
    func isPooled(_ peer: PeerID) -> Bool {
        guard !self.pools.isEmpty, let identity = peer.identity else { return false }
        return self.pools.values.contains { self.groups[$0.group]?.roster.signer(speakingThrough: identity) != nil }
    }

    /// What a member gives us; `nil` for what is about no pool of ours.
    mutating func takePooled(
        _ bytes: [UInt8], about context: Bytes32, from identity: Ed25519.PublicKey, now: Duration
    ) -> CoordinationProtocol.Answer? {
        guard let live = self.pools[context], let group = self.groups[live.group] else { return nil }
        guard let member = group.roster.signer(speakingThrough: identity), member != self.keys.signer else { return .refused }
        // Each entry costs a verification. What is not looked at is given again, for its giver hears that.
        var allowance = self.poolAllowances[member] ?? TokenBucket(burst: 8, perSecond: 1, now: now)
        guard allowance.holds(1, now: now) else { return .blocked }
        allowance.draw(1)
        self.poolAllowances[member] = allowance
        guard let head = try? CoordinationMessage.Head(parsing: bytes),
            case .pooledNonces(let statements)? = try? head.content(group.roster)
        else { return .refused }
        let time = self.moment(now).time
        return live.nonces.withLock { $0.receive(statements, from: member, now: time) } ? .taken : .refused
    }

    // MARK: Requests

    /// The set with which a proposal of ours would begin at once: ourselves, and the first members that are connected and have given us
    /// what serves so many inputs; `nil` where they do not suffice.
    private func pooledSet(inputs: Int, of digest: Bytes32, now: Duration) -> (live: LivePool, set: [PublicKey])? {
        guard let live = self.pool(of: digest), let group = self.groups[digest] else { return nil }
        let time = self.moment(now).time
        let ready = live.nonces.withLock { $0.counterparties(inputs: inputs, group.roster, now: time) }.filter { member in
            group.roster.enrolment(of: member).map { self.members.isConnected(PeerID(of: $0.identity)) } ?? false
        }
        let possible = Set(ready.prefix(group.policy.threshold - 1) + [self.keys.signer])
        return group.policy.chooseSet(among: possible).map { (live, $0) }
    }

    func canBeginAtOnce(inputs: Int, of digest: Bytes32, now: Duration) -> Bool {
        self.pooledSet(inputs: inputs, of: digest, now: now) != nil
    }

    /// What a proposal of ours takes to begin at once: an entry of each other member of the set. Taken for good.
    mutating func takeOthers(inputs: Int, of digest: Bytes32, now: Duration) -> [Statement] {
        guard let (live, set) = self.pooledSet(inputs: inputs, of: digest, now: now), let group = self.groups[digest] else { return [] }
        let others = set.filter { $0 != self.keys.signer }
        let time = self.moment(now).time
        return live.nonces.withLock { $0.takeOthers(others, inputs: inputs, group.roster, now: time) } ?? []
    }

    /// A begin names an entry of ours: whatever comes of it, the entry is used up.
    mutating func take(_ entry: Statement, for coordinator: PublicKey, of request: LiveRequest, now: Duration) {
        request.wantsStep = true
        guard let live = self.pool(of: request.group) else { return request.coordination.give(nil, for: entry) }
        let time = self.moment(now).time
        live.nonces.withLock { request.coordination.give($0.take(entry, by: coordinator, now: time), for: entry) }
        // Not at once: the answer goes first.
        self.deadlines.set(.pools, at: now + Self.poolRefillPause)
    }

    private static let poolRefillPause = Duration.milliseconds(200)

    /// Our memory may live twice.
    mutating func discardPools(now: Duration) {
        for live in self.pools.values {
            let incarnation = self.makeIncarnation()
            live.nonces.withLock { $0.discard(incarnation: incarnation) }
        }
        if !self.pools.isEmpty { self.deadlines.set(.pools, at: now) }
    }

    /// A copy of our machine is running, it seems: what it makes ahead this one may make as well, so there is none until somebody has looked
    /// and started it anew.
    mutating func endPools() {
        self.configuration.noncePoolCount = 0
        self.pools = [:]
    }
}
