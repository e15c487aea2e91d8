internal import Bitcoin
package import CryptoPrimitives
internal import MuSig2
package import Secp256k1

/// Nonces that one process has made ahead for one group: the secret halves of its own, and the public ones that others gave it.
///
///     we make entries for a counterparty ──▶ it names one in a begin of ours to answer ──▶ taken, used once or wiped
///     a counterparty gives us entries    ──▶ our proposal takes one of each           ──▶ gone, whatever comes of it
///
/// With them a proposal and its first attempt go out together, so that one round trip is enough. Each entry is for one counterparty alone, so
/// that no two proposers take the same. It is bound to its signer's key and to the group when it is made, to the aggregate key too where
/// only one set can sign, and to the request by the signature under T1.
///
/// It lives in memory and nowhere else, and has bounds in number and in time. After a restart, a clock jump or an alarm about our own key
/// there is none of it left: a begin that names one that is gone is answered as any whose nonces are gone, with fresh ones.
package struct NoncePool: ~Copyable, Sendable {
    /// Nonces in an entry: most inputs of a request that it serves.
    package static let width = 2
    /// Most entries for one counterparty, and from one.
    package static let countMax = 64
    /// Most of our own entries in one group, whatever its size.
    package static let ownCountMax = 1_024
    /// Seconds for which an entry is good: it is given again in time by who is still there.
    package static let lifetime: UInt64 = 600
    /// Seconds before its end from which a proposer does not take one any more: the way to its maker, and clocks that differ.
    static let margin: UInt64 = 60
    /// Seconds after which its maker looks again for what is missing, at the latest.
    package static let refillInterval: UInt64 = 60

    struct Entry: ~Copyable, Sendable {
        let counterparty: PublicKey
        let statement: Statement
        let name: NonceName
        let until: UInt64
        let nonces: OwnNonces
    }

    package let context: Bytes32
    private let members: [PublicKey]
    /// With which only set can sign, for the one key that it has then.
    private let keys: KeyAggregation?
    private var incarnation: [UInt8]
    private var counter: UInt32 = 0
    private var own = OwnedList<Entry>()
    /// The public halves of what is in `own`, the oldest first.
    private var offered: [PublicKey: [Statement]] = [:]
    private var received: [PublicKey: [Statement]] = [:]
    /// Names that were taken, or that came, so that none comes twice. They go with their time.
    private var taken: [NonceName: UInt64] = [:]

    package init(policy: any SpendingPolicy, roster: Roster, incarnation: Incarnation) {
        self.context = roster.poolDigest
        self.members = policy.members
        self.keys = Self.keys(of: policy)
        self.incarnation = incarnation.bytes
    }

    /// The key of the only set that can sign, with the tweak of its path.
    private static func keys(of policy: any SpendingPolicy) -> KeyAggregation? {
        guard let set = policy.onlySet, let (signers, path) = try? policy.spend(by: set),
            let group = try? policy.keyAggregation(of: signers)
        else { return nil }
        switch path {
        case .outputKey, .leaf: return group
        case .keyPath(let merkleRoot): return try? group.tweakedForTaproot(merkleRoot: merkleRoot)
        }
    }

    package var secretNonceCount: Int { self.own.count * Self.width }
    package var heldByteCount: Int { (self.own.count + self.received.values.reduce(0) { $0 + $1.count } + self.taken.count) * 512 }

    // MARK: Our own

    /// Makes entries for a counterparty until it has so many that it may take until we look again.
    ///
    /// - Parameter room: most entries that may be made now.
    /// - Returns: what is for it, to be given to it; `nil` where nothing was made.
    package mutating func fill(
        for counterparty: PublicKey, count: Int, room: Int = .max, now: UInt64, key: borrowing SecretKey,
        say: (Statement.Body) -> Statement
    ) -> [Statement]? {
        guard self.members.contains(counterparty), counterparty != key.publicKey else { return nil }
        self.expire(now: now)
        let present = self.offered[counterparty]?.count { Self.end(of: $0) >= now + Self.margin + Self.refillInterval } ?? 0
        let wanted = min(min(count, Self.countMax) - present, room)
        var isNew = false
        for _ in 0..<max(0, wanted) {
            guard self.own.count < Self.ownCountMax, self.counter < .max else { break }
            self.counter += 1
            let name = NonceName(known: self.incarnation, counter: self.counter)
            let targets = (0..<Self.width).map { OwnNonces.Target(index: $0, keys: self.keys) }
            // Where the arena is full, whatever is there has to do.
            guard let nonces = try? OwnNonces(for: key, request: self.context, targets, attempt: 0, name: name) else { break }
            let until = now + Self.lifetime
            let statement = say(.pooledNonces(until: until, name, nonces.set.nonces.map(\.bytes)))
            self.own.append(Entry(counterparty: counterparty, statement: statement, name: name, until: until, nonces: nonces))
            self.offered[counterparty, default: []].append(statement)
            isNew = true
        }
        return isNew ? self.entries(for: counterparty) : nil
    }

    /// What is for a counterparty, the newest first: as much as it takes.
    package func entries(for counterparty: PublicKey) -> [Statement] {
        (self.offered[counterparty] ?? []).suffix(Self.countMax).reversed()
    }

    /// Takes an entry that a begin names, for good.
    ///
    /// - Returns: `nil` where it is not there (any more), or was for another counterparty.
    package mutating func take(_ statement: Statement, by counterparty: PublicKey, now: UInt64) -> PooledNonces? {
        self.expire(now: now)
        guard let entry = self.own.remove(where: { $0.statement == statement && $0.counterparty == counterparty }) else { return nil }
        self.offered[counterparty]?.removeAll { $0 == statement }
        return PooledNonces(entry.nonces)
    }

    /// What is too old goes, and is wiped.
    package mutating func expire(now: UInt64) {
        while self.own.remove(where: { $0.until < now }) != nil {}
        for member in self.members {
            self.offered[member]?.removeAll { Self.end(of: $0) < now }
            self.received[member]?.removeAll { Self.end(of: $0) < now }
        }
        self.taken = self.taken.filter { $0.value >= now }
    }

    /// Nothing of it is good any more: this memory may live twice.
    package mutating func discard(incarnation: Incarnation) {
        self.own = OwnedList()
        self.offered = [:]
        self.received = [:]
        self.incarnation = incarnation.bytes
        self.counter = 0
    }

    // MARK: Others'

    /// Takes what a counterparty gives us, in place of what it gave before.
    ///
    /// - Returns: whether all of it can be used.
    package mutating func receive(_ statements: [Statement], from member: PublicKey, now: UInt64) -> Bool {
        self.expire(now: now)
        guard statements.count <= Self.countMax else { return false }
        var kept: [Statement] = []
        for statement in statements {
            guard case .pooledNonces(let until, let name, let items) = statement.body, statement.sender == member,
                statement.request == self.context, statement.attempt == 0, items.count == Self.width, (try? statement.nonceSet()) != nil,
                until <= now + 2 * Self.lifetime
            else { return false }
            if self.taken[name] == nil, !kept.contains(where: { $0.namedNonces?.name == name }) { kept.append(statement) }
        }
        self.received[member] = kept
        return true
    }

    /// Members of whom there is an entry that serves a request of so many inputs.
    ///
    /// - Parameter roster: what somebody said under an enrolment that counts no more is void.
    package func counterparties(inputs: Int, _ roster: Roster, now: UInt64) -> [PublicKey] {
        guard inputs <= Self.width else { return [] }
        return self.members.filter { self.place(ofEntryOf: $0, roster, now: now) != nil }
    }

    /// Where the first entry of a member is that may be taken.
    private func place(ofEntryOf member: PublicKey, _ roster: Roster, now: UInt64) -> Int? {
        self.received[member]?.firstIndex {
            Self.end(of: $0) >= now + Self.margin && roster.enrolment(of: member) == $0.enrolment && !$0.enrolment.isExpired(at: now)
        }
    }

    /// Takes one entry of each of these, for good: whatever comes of it, none is used again.
    ///
    /// - Returns: `nil` where one of them has none.
    package mutating func takeOthers(_ members: [PublicKey], inputs: Int, _ roster: Roster, now: UInt64) -> [Statement]? {
        let ready = Set(self.counterparties(inputs: inputs, roster, now: now))
        guard members.allSatisfy(ready.contains), self.taken.count + members.count <= Self.takenCountMax else { return nil }
        return members.compactMap { member -> Statement? in
            guard let place = self.place(ofEntryOf: member, roster, now: now), let statement = self.received[member]?.remove(at: place)
            else { return nil }
            if let name = statement.namedNonces?.name { self.taken[name] = Self.end(of: statement) }
            return statement
        }
    }

    private static let takenCountMax = 16_384

    private static func end(of statement: Statement) -> UInt64 {
        if case .pooledNonces(let until, _, _) = statement.body { until } else { 0 }
    }
}

/// Secret nonces out of a pool, on their way to the request that took them: good for one of its attempts, and wiped with this value.
public struct PooledNonces: ~Copyable, Sendable {
    let nonces: OwnNonces

    init(_ nonces: consuming OwnNonces) { self.nonces = nonces }

    consuming func serving(_ request: Bytes32, inputs: Int) -> OwnNonces { self.nonces.serving(request, inputs: inputs) }
}
