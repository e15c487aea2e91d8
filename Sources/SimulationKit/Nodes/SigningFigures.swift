internal import Bitcoin
internal import CryptoPrimitives
internal import LibP2P
internal import Secp256k1
internal import Signing
internal import SigningNode

/// What a signature costs a group whose members are all equally far from each other: time on the way, messages, bytes and work.
///
/// Measured of whole nodes under virtual time, where only the network takes time: a machine's work and its disk take none there, and
/// nothing goes wrong. All members are connected, and agree as soon as they are asked.
public struct SigningFigures: Sendable {
    /// What one member had of it.
    public struct Share: Sendable {
        /// Messages about the request, acknowledgements among them.
        public var sentMessageCount = 0
        public var receivedMessageCount = 0
        /// All bytes on its connections, with what carries the messages.
        public var sentByteCount = 0
        public var receivedByteCount = 0
        /// What its whole node computed, by the clock that was given.
        public var processorTime: UInt64 = 0
    }

    /// From the proposal until the coordinator has the signature.
    public let proposalToSignature: Duration
    /// From the last approval's arrival at the coordinator until it has the signature.
    public let lastApprovalToSignature: Duration
    /// From the proposal until everybody has the signature.
    public let proposalToEverybody: Duration
    public let coordinator: Share
    /// The median of those that do not coordinate.
    public let member: Share

    /// Measures a group.
    ///
    /// - Parameters:
    ///   - oneWay: how long bytes travel between any two members.
    ///   - requestCount: how many requests are measured, one after the other; of what they cost the medians count.
    ///   - proposerCoordinates: whether the member that proposes coordinates as well. If not, the group's last member coordinates.
    ///   - noncePool: how many entries of nonces each member gives each other one ahead. The proposer coordinates then.
    ///   - processorClock: how long the calling thread has computed, in any unit; without one no work is measured.
    public static func measure(
        memberCount: Int, threshold: Int, inputCount: Int = 1, oneWay: Duration, requestCount: Int = 1, seed: UInt64 = 1,
        proposerCoordinates: Bool = true, noncePool: Int = 0, processorClock: (() -> UInt64)? = nil
    ) throws -> SigningFigures {
        let group = try QuietGroup(memberCount: memberCount, threshold: threshold, oneWay: oneWay, seed: seed, noncePool: noncePool)
        group.network.processorClock = processorClock
        // The first one connects all, and is nobody's figure.
        _ = try group.sign(0, inputCount: inputCount, proposerCoordinates: proposerCoordinates)
        let all = try (1...max(1, requestCount)).map {
            try group.sign($0, inputCount: inputCount, proposerCoordinates: proposerCoordinates)
        }
        return SigningFigures(all)
    }

    init(
        proposalToSignature: Duration, lastApprovalToSignature: Duration, proposalToEverybody: Duration, coordinator: Share, member: Share
    ) {
        self.proposalToSignature = proposalToSignature
        self.lastApprovalToSignature = lastApprovalToSignature
        self.proposalToEverybody = proposalToEverybody
        self.coordinator = coordinator
        self.member = member
    }

    private init(_ all: [SigningFigures]) {
        self.init(
            proposalToSignature: Self.median(all.map(\.proposalToSignature)),
            lastApprovalToSignature: Self.median(all.map(\.lastApprovalToSignature)),
            proposalToEverybody: Self.median(all.map(\.proposalToEverybody)), coordinator: Share(medianOf: all.map(\.coordinator)),
            member: Share(medianOf: all.map(\.member)))
    }

    fileprivate static func median<Value: Comparable>(_ values: [Value]) -> Value { values.sorted()[values.count / 2] }
}

extension SigningFigures.Share {
    /// Of each figure by itself.
    init(medianOf all: [Self]) {
        self.init(
            sentMessageCount: SigningFigures.median(all.map(\.sentMessageCount)),
            receivedMessageCount: SigningFigures.median(all.map(\.receivedMessageCount)),
            sentByteCount: SigningFigures.median(all.map(\.sentByteCount)),
            receivedByteCount: SigningFigures.median(all.map(\.receivedByteCount)),
            processorTime: SigningFigures.median(all.map(\.processorTime)))
    }

    /// What came between two looks.
    static func - (later: Self, earlier: Self) -> Self {
        Self(
            sentMessageCount: later.sentMessageCount - earlier.sentMessageCount,
            receivedMessageCount: later.receivedMessageCount - earlier.receivedMessageCount,
            sentByteCount: later.sentByteCount - earlier.sentByteCount,
            receivedByteCount: later.receivedByteCount - earlier.receivedByteCount,
            processorTime: later.processorTime - earlier.processorTime)
    }
}

/// A signing that led to nothing, which in a quiet group cannot be.
public struct SigningFiguresError: Error, CustomStringConvertible {
    public let description: String
}

/// The group, and its requests one after the other.
private final class QuietGroup {
    let network: SimulatedNetwork<QuietMember>
    private let seats: [QuietMember.Seat]
    private let policy: any SpendingPolicy
    private let seed: UInt64
    private let noncePool: Int

    init(memberCount: Int, threshold: Int, oneWay: Duration, seed: UInt64, noncePool: Int) throws {
        let identities = try (0..<memberCount).map { try SimulatedKeys.identity(seed: seed, host: $0) }
        let keys = try identities.enumerated().map { place, identity in
            let digest = SHA256.hash(Array("quiet signer \(seed) \(place)".utf8))
            let key = try SecretKey(parsing: try SecretBytes(count: 32) { $0.copyBytes(from: digest.bytes) })
            return try SignerKeys(key: key, identity: identity, network: .regtest)
        }
        let signers = keys.map(\.signer)
        let policy: any SpendingPolicy =
            if threshold == memberCount { try SignerGroup(signers) } else {
                try DelegatedMultisig(internalKey: .unspendable, signers: signers, threshold: threshold)
            }
        let addresses = identities.enumerated().map { (peer: $1.id, address: SimulatedNetwork<QuietMember>.address(of: $0)) }
        let seats = keys.enumerated().map { place, own in
            QuietMember.Seat(
                place: place, keys: own, policy: policy, enrolments: keys.map(\.enrolment),
                addresses: addresses.filter { $0.peer != own.identity.id })
        }
        for seat in seats { seat.noncePool = noncePool }
        var faults = NetworkFaults()
        faults.delay = oneWay...oneWay
        self.network = try SimulatedNetwork(hostCount: memberCount, seed: seed, faults: faults) { _, configuration in
            configuration = .bare(agentVersion: configuration.agentVersion, addresses: configuration.addresses)
        } makeProgram: { place, _ in
            QuietMember(seats[place])
        }
        self.seats = seats
        self.policy = policy
        self.seed = seed
        self.noncePool = noncePool
    }

    /// Has one request signed.
    func sign(_ number: Int, inputCount: Int, proposerCoordinates: Bool) throws -> SigningFigures {
        for seat in self.seats { seat.events = [] }
        let proposer = try self.place(of: self.policy.members.first)
        let before = self.network.hosts.indices.map { self.share($0) }
        let start = self.network.now
        let election: CoordinatorElection? = self.noncePool > 0 ? nil : proposerCoordinates ? .firstSigner : .lastSigner
        let id = try self.propose(number, inputCount, by: proposer, election)
        let isDone = self.network.run(
            until: { _ in self.seats.allSatisfy { seat in seat.events.contains { Self.isCompletion($0.event) } } }, within: .seconds(300),
            step: .milliseconds(10))
        // Until what was said is acknowledged.
        self.network.run(for: .seconds(2))
        if let failure = self.network.failure { throw failure }
        let completions = self.seats.compactMap { seat in seat.events.first { $0.request == id && Self.isCompletion($0.event) }?.time }
        guard isDone, completions.count == self.seats.count, let last = completions.max(), let signed = completions.min() else {
            throw SigningFiguresError(description: "\(completions.count) of \(self.seats.count) members have the transaction")
        }
        let heldBack = self.network.hosts.indices.reduce(0) { $0 + self.heldBackCount($1) }
        guard heldBack == 0 else { throw SigningFiguresError(description: "\(heldBack) messages of honest members were over their rate") }
        let coordinator = try self.place(of: proposerCoordinates ? self.policy.members.first : self.policy.members.last)
        let joined = self.seats[coordinator].events.filter { if case .joined = $0.event { $0.time <= signed } else { false } }
        let after = self.network.hosts.indices.map { self.share($0) }
        let shares = zip(after, before).map { $0 - $1 }
        let members = shares.indices.filter { $0 != coordinator }.map { shares[$0] }
        return SigningFigures(
            proposalToSignature: signed - start, lastApprovalToSignature: signed - (joined.last?.time ?? start),
            proposalToEverybody: last - start, coordinator: shares[coordinator], member: SigningFigures.Share(medianOf: members))
    }

    private static func isCompletion(_ event: CoordinationEvent) -> Bool { if case .complete = event { true } else { false } }

    private func place(of signer: PublicKey?) throws -> Int {
        guard let place = self.seats.firstIndex(where: { $0.keys.signer == signer }) else {
            throw SigningFiguresError(description: "the policy has another member than the group")
        }
        return place
    }

    private func propose(_ number: Int, _ inputCount: Int, by proposer: Int, _ election: CoordinatorElection?) throws -> Bytes32 {
        let script = self.policy.scriptPubKey
        let coin = Txid(SHA256.hash(Array("quiet coin \(self.seed) \(number)".utf8)))
        let transaction = Transaction(
            inputs: (0..<inputCount).map {
                TransactionInput(previousOutput: OutPoint(txid: coin, index: UInt32($0)), sequence: 0xffff_fffd)
            }, outputs: [TransactionOutput(amount: 9_000, scriptPubKey: script)])
        let coins = (0..<inputCount).map { _ in TransactionOutput(amount: 10_000, scriptPubKey: script) }
        let (digest, id) = (self.policy.digest, SHA256.hash(Array("quiet request \(self.seed) \(number)".utf8)))
        let asked = try self.network.update(proposer) { node, program, now in
            guard let machine = program.machine else { preconditionFailure("a host that is up has a machine") }
            return try node.swarm.update(machine, now: now) { machine in
                Result { () throws(SigningMachineError) in
                    try machine.propose(
                        transaction, prevouts: coins, group: digest, seconds: 3_600, election: election, id: id, now: now)
                }
            }.get()
        }
        guard let asked else { throw SigningFiguresError(description: "the proposer's host is down") }
        return asked
    }

    private func heldBackCount(_ place: Int) -> UInt64 {
        let host = self.network.hosts[place]
        return host.program.machine.map { host.node.swarm.read($0) { $0.heldBackCount } } ?? 0
    }

    private func share(_ place: Int) -> SigningFigures.Share {
        let host = self.network.hosts[place]
        let counters = host.program.machine.map { host.node.swarm.read($0) { $0.messageCounters } }
        return SigningFigures.Share(
            sentMessageCount: counters?.sent ?? 0, receivedMessageCount: counters?.asked ?? 0, sentByteCount: host.sentByteCount,
            receivedByteCount: host.receivedByteCount, processorTime: host.processorTime)
    }
}
