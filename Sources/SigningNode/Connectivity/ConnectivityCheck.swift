internal import LibP2P
internal import Secp256k1
internal import Signing

/// A check whether a group's members are there, all of them dialled at once: a value, to which its machine tells what happened, and which says
/// what is wanted next.
///
///     dialling ──connected──▶ measuring ──pong──▶ reached
///        │  ▲                     │
///        │  └──── lost, thrice ───┘
///        ├──no address──▶ searching ──found──▶ dialling
///        └──── an error, or the time ──▶ failed
///
/// Who is connected is proved by its handshake; that its machine is still there, by its answer to a ping. There is one time limit over all,
/// and whoever was reached by then stays reached.
struct ConnectivityCheck: Sendable {
    /// What is wanted of the machine.
    enum Want: Equatable, Sendable {
        case dial(PeerID)
        case search(PeerID)
        case ping(PeerID)
    }

    private enum Step: Equatable, Sendable {
        case dialling
        case searching
        case measuring
        case reached
        case failed(ConnectivityError)
    }

    private struct Participant: Sendable {
        let signer: PublicKey
        let peer: PeerID?
        var step: Step
        /// Dials so far, beyond the first only after a connection was lost or an address was found.
        var dialCount = 0
        var hasSearched = false
    }

    let options: ConnectivityOptions
    let began: Duration
    private let own: PublicKey
    private let policy: any SpendingPolicy
    private var participants: [Participant]

    /// Most dials of one participant in a check.
    static let dialCountMax = 3

    /// - Parameters:
    ///   - members: who takes part, ourselves among them or not, each with the peer that speaks for it.
    ///   - own: our key: we need no connection.
    init(
        _ members: [(signer: PublicKey, peer: PeerID?)], own: PublicKey, policy: any SpendingPolicy, options: ConnectivityOptions,
        now: Duration
    ) {
        self.options = options
        self.began = now
        self.own = own
        self.policy = policy
        self.participants = members.filter { $0.signer != own }.map { signer, peer in
            Participant(signer: signer, peer: peer, step: peer == nil ? .failed(.peerNotFound(.notEnrolled)) : .dialling)
        }
    }

    /// When it is over at the latest.
    var deadline: Duration { self.began + max(.zero, min(self.options.timeLimit, ConnectivityOptions.timeLimitMax)) }

    var peers: [PeerID] { self.participants.compactMap(\.peer) }

    /// About.
    var heldByteCount: Int { 512 + self.participants.count * 256 }

    // MARK: What happened

    /// - Parameter isConnected: whether there is a connection already.
    mutating func begin(_ isConnected: (PeerID) -> Bool) -> [Want] {
        self.change(where: { _ in true }) { participant, peer in
            guard !isConnected(peer) else { return Self.measure(&participant, peer) }
            return Self.dial(&participant, peer)
        }
    }

    mutating func connected(_ peer: PeerID) -> [Want] {
        self.change(where: { $0 == peer }) { participant, peer in
            switch participant.step {
            // What failed may come by itself, from the other side.
            case .dialling, .searching, .failed: return Self.measure(&participant, peer)
            case .measuring, .reached: return nil
            }
        }
    }

    /// The last connection ended.
    mutating func lost(_ peer: PeerID) -> [Want] {
        self.change(where: { $0 == peer }) { participant, peer in
            switch participant.step {
            case .measuring, .reached: return Self.dial(&participant, peer)
            case .dialling, .searching, .failed: return nil
            }
        }
    }

    /// A dial led to a connection that is gone again already.
    mutating func vanished(_ peer: PeerID) -> [Want] {
        self.change(where: { $0 == peer }) { participant, peer in participant.step == .dialling ? Self.dial(&participant, peer) : nil }
    }

    /// A dial led to nothing.
    mutating func notReached(_ peer: PeerID, _ error: ConnectivityError) -> [Want] {
        self.change(where: { $0 == peer }) { participant, peer in
            guard participant.step == .dialling else { return nil }
            if error == .noAddress, !participant.hasSearched {
                participant.step = .searching
                participant.hasSearched = true
                return .search(peer)
            }
            participant.step = .failed(error)
            return nil
        }
    }

    /// Addresses became known that were not.
    mutating func learned(_ peer: PeerID) -> [Want] {
        self.change(where: { $0 == peer }) { participant, peer in
            switch participant.step {
            case .searching, .failed(.noAddress), .failed(.noRelayAddress): return Self.dial(&participant, peer)
            case .dialling, .measuring, .reached, .failed: return nil
            }
        }
    }

    /// Nobody else knows an address.
    mutating func searched(_ peer: PeerID) {
        _ = self.change(where: { $0 == peer }) { participant, _ in
            if participant.step == .searching { participant.step = .failed(.noAddress) }
            return nil
        }
    }

    /// A ping has its answer, or will have none.
    ///
    /// - Parameter isConnected: whether there is a connection still.
    mutating func pinged(_ peer: PeerID, _ error: PingError?, isConnected: Bool) -> [Want] {
        self.change(where: { $0 == peer }) { participant, peer in
            guard participant.step == .measuring else { return nil }
            switch error {
            case nil, .stream(.notSupported): participant.step = .reached
            case .timedOut, .stream(.timedOut): participant.step = .failed(.timeout)
            case .wrongBytes?: participant.step = .failed(.rejected("it answers a ping with other bytes"))
            case .stream, .ended, .tooManyWaiting, .tooManyStreams, .truncated, .answersNotRead:
                // The stream or its connection went: another one, if there is.
                guard isConnected else { return Self.dial(&participant, peer) }
                participant.dialCount += 1
                guard participant.dialCount <= Self.dialCountMax else {
                    participant.step = .failed(.rejected("it ends the streams of pings"))
                    return nil
                }
                return .ping(peer)
            }
            return nil
        }
    }

    /// Its time is over: who has not answered by now has not answered in time.
    mutating func timeIsOver() {
        for place in self.participants.indices {
            switch self.participants[place].step {
            case .dialling, .measuring: self.participants[place].step = .failed(.timeout)
            case .searching: self.participants[place].step = .failed(.noAddress)
            case .reached, .failed: break
            }
        }
    }

    private mutating func change(where isMeant: (PeerID) -> Bool, _ body: (inout Participant, PeerID) -> Want?) -> [Want] {
        var wants: [Want] = []
        for place in self.participants.indices {
            guard let peer = self.participants[place].peer, isMeant(peer) else { continue }
            if let want = body(&self.participants[place], peer), !wants.contains(want) { wants.append(want) }
        }
        return wants
    }

    private static func measure(_ participant: inout Participant, _ peer: PeerID) -> Want? {
        participant.step = .measuring
        return .ping(peer)
    }

    private static func dial(_ participant: inout Participant, _ peer: PeerID) -> Want? {
        guard participant.dialCount < Self.dialCountMax else {
            participant.step = .failed(.networkError("its connections do not last"))
            return nil
        }
        participant.dialCount += 1
        participant.step = .dialling
        return .dial(peer)
    }

    // MARK: What came of it

    /// Whether nothing more is to be found out: of everybody it is known, or what is required is there.
    var isOver: Bool {
        if case .atLeast = self.options.requirement, self.isMet { return true }
        return self.participants.allSatisfy { participant in
            switch participant.step {
            case .reached, .failed: true
            case .dialling, .searching, .measuring: false
            }
        }
    }

    var isMet: Bool {
        let reached = self.participants.filter { $0.step == .reached }.map(\.signer)
        switch self.options.requirement {
        case .none: return true
        case .all: return reached.count == self.participants.count
        case .atLeast(let count):
            // That so many are there does not help where the policy has no set among them.
            return reached.count + 1 >= count && self.policy.chooseSet(among: Set(reached + [self.own])) != nil
        }
    }

    /// - Parameter link: what is known of a connection that stands.
    func report(now: Duration, link: (PeerID) -> ParticipantConnectivity.Link?) -> ConnectivityReport {
        let participants = self.participants.map { participant in
            let state: ParticipantConnectivity.State =
                switch participant.step {
                case .reached: participant.peer.flatMap(link).map { .connected($0) } ?? .trying
                case .failed(let error): .failed(error)
                case .dialling, .searching, .measuring: .trying
                }
            return ParticipantConnectivity(signer: participant.signer, peer: participant.peer, state: state)
        }
        return ConnectivityReport(
            requirement: self.options.requirement, participants: participants, isMet: self.isMet, time: now, duration: now - self.began)
    }
}
