internal import CryptoPrimitives
public import LibP2P
internal import LibP2PPosix
public import Secp256k1
public import Signing

/// How a node is, for whoever watches over it: a moment's figures, none of which is secret.
public struct SigningNodeHealth: Hashable, Sendable {
    /// Its disk, as far as its last writes show.
    public struct Store: Hashable, Sendable {
        public struct Failure: Hashable, Sendable {
            /// Seconds since 1970.
            public let time: UInt64
            public let reason: String
        }

        /// Writes that have not come to their end.
        public internal(set) var pendingCount = 0
        /// Since the process started: writes that the disk or the database refused. What a bound refused is none.
        public internal(set) var failureCount = 0
        public internal(set) var lastFailure: Failure?
        /// Whether a write has succeeded since the last one that failed. While it has not, nothing is decided and nothing signed.
        public internal(set) var isWritable = true
    }

    /// A peer that is not listened to for a while.
    public struct Blocked: Hashable, Sendable {
        public let peer: PeerID
        /// By the node's clock.
        public let until: Duration
    }

    /// Of the secret memory that the process has, for keys and nonces together.
    public struct Arena: Hashable, Sendable {
        public let usedSlotCount: Int
        public let slotCount: Int
    }

    /// When the node was started, in seconds since 1970.
    public let startedAt: UInt64
    /// For how long it has run.
    public let uptime: Duration
    /// The node's clock: durations of this and of reports are by it.
    public let time: Duration
    /// With anybody.
    public let connectionCount: Int
    /// The other members of all groups whose machines are known, and how many of them are connected.
    public let memberCount: Int
    public let connectedMemberCount: Int
    /// Requests in this process, by state: those that are not over, and those that were a while ago. A state without any is left out.
    public let requestCounts: [StoredRequest.State: Int]
    /// Secret nonces that wait for an attempt. They go with the process.
    public let secretNonceCount: Int
    /// `nil` where there is no secret memory to be had.
    public let arena: Arena?
    public let store: Store
    public let blocked: [Blocked]
    /// Signers of whom it is proved, in requests that this process has, that one nonce served two attempts: copies of their machines may run,
    /// and their keys may be known.
    public var clones: [PublicKey] = []
    /// Held for connections, streams and machines.
    public let heldByteCount: Int
    /// How often the machine's clocks went apart, and when last, in seconds since 1970: secret nonces were wiped then.
    public let clockJumpCount: Int
    public let lastClockJumpAt: UInt64?

    /// Requests that are not over.
    public var openRequestCount: Int { self.requestCounts.reduce(0) { $0 + ($1.key.isOver ? 0 : $1.value) } }
}

/// What a machine knows of a node's health.
struct SigningMachineVitals: Sendable {
    let memberCount: Int
    let connectedMemberCount: Int
    let requestCounts: [StoredRequest.State: Int]
    let secretNonceCount: Int
    let blocked: [SigningNodeHealth.Blocked]
    let clones: [PublicKey]
}

extension SigningMachine {
    func vitals(now: Duration) -> SigningMachineVitals {
        let members = self.connectivity
        return SigningMachineVitals(
            memberCount: members.count, connectedMemberCount: members.count { $0.method != nil },
            requestCounts: self.live.values.reduce(into: [:]) { $0[$1.state, default: 0] += 1 },
            secretNonceCount: self.live.values.reduce(self.pooledNonceCount) { $0 + $1.coordination.secretNonceCount },
            blocked: self.blocked(now: now),
            clones: Set(self.live.values.flatMap { $0.coordination.cloneAlarms.map(\.signer) }).sorted())
    }

    /// Who is not listened to, in order: what it did as a stranger counts while it is one.
    private func blocked(now: Duration) -> [SigningNodeHealth.Blocked] {
        let strangers = self.strangers.blocked(now: now).filter { !self.isMember($0.peer) }
        // Who was a member once may be both.
        let until = (self.conduct.blocked(now: now) + strangers).reduce(into: [:]) { $0[$1.peer] = max($0[$1.peer] ?? $1.until, $1.until) }
        return until.sorted { $0.key < $1.key }.map { .init(peer: $0.key, until: $0.value) }
    }
}

extension SigningNode {
    /// How the node is, now.
    public var health: SigningNodeHealth {
        get async throws(SigningNodeError) {
            let (vitals, now) = try await self.update { machine, now in (machine.vitals(now: now), now) }
            let connectionCount = await self.network.connectionCount
            let heldByteCount = await self.network.heldByteCount
            let arena = (try? SecretArena.shared).map {
                SigningNodeHealth.Arena(usedSlotCount: $0.usedSlotCount, slotCount: $0.slotCount)
            }
            return SigningNodeHealth(
                startedAt: self.record.startedAt, uptime: now - self.record.started, time: now, connectionCount: connectionCount,
                memberCount: vitals.memberCount, connectedMemberCount: vitals.connectedMemberCount, requestCounts: vitals.requestCounts,
                secretNonceCount: vitals.secretNonceCount, arena: arena, store: self.record.store, blocked: vitals.blocked,
                clones: vitals.clones, heldByteCount: heldByteCount, clockJumpCount: self.record.clockJumpCount,
                lastClockJumpAt: self.record.lastClockJumpAt)
        }
    }
}

/// What a node remembers for its health.
struct HealthRecord: Sendable {
    /// Seconds since 1970, and by the node's clock.
    var startedAt: UInt64 = 0
    var started: Duration = .zero
    var store = SigningNodeHealth.Store()
    var clockJumpCount = 0
    var lastClockJumpAt: UInt64?

    mutating func wrote() { self.store.isWritable = true }

    /// A write came to nothing.
    ///
    /// - Parameter error: the store's, or the journal's.
    mutating func failed(_ error: any Error, at time: UInt64) {
        guard Self.isOfDisk(error) else { return }
        self.store.failureCount += 1
        self.store.lastFailure = .init(time: time, reason: "\(error)")
        self.store.isWritable = false
    }

    mutating func clocksJumped(at time: UInt64) {
        self.clockJumpCount += 1
        self.lastClockJumpAt = time
    }

    /// Whether the disk or the whole database is at fault, and not what was asked.
    private static func isOfDisk(_ error: any Error) -> Bool {
        switch error {
        case let error as StoreError:
            switch error {
            case .heldByAnotherProcess, .newerVersion, .notOurs, .damaged, .storage, .full(.store, _): true
            case .tooLarge, .full, .notFound, .differentStands, .stale: false
            }
        case let error as JournalError:
            switch error {
            case .heldByAnotherProcess, .damaged, .corrupt, .storage: true
            case .differentRecordStands, .nonceServedAlready: false
            }
        default: true
        }
    }
}
