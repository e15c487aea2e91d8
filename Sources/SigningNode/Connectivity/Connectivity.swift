public import LibP2P
public import Secp256k1

/// By what a member's node is connected.
public enum ConnectionMethod: String, Hashable, Sendable {
    case direct
    /// Through a relay, which sees who speaks to whom and how much, and nothing of what is said.
    case relay

    init(_ info: ConnectionInfo) { self = info.isLimited || info.remoteAddress.isRelayed ? .relay : .direct }
}

/// What is asked of the connections with a group's members before an interactive request, and how long it may take.
public struct ConnectivityOptions: Hashable, Sendable {
    public enum Requirement: Hashable, Sendable {
        /// Whoever is there is told of; nobody has to be.
        case none
        /// Every member.
        case all
        /// So many members, ourselves among them: at least as many as the policy needs, and no more than it has.
        case atLeast(Int)
    }

    public var requirement: Requirement
    /// Over the whole check, however many members there are. What was reached by then stands. At most ``timeLimitMax``.
    public var timeLimit: Duration

    /// Source: the described wallet's plan, `connectivityTimeoutMs`.
    public static let timeLimitDefault = Duration.seconds(30)
    public static let timeLimitMax = Duration.seconds(3_600)

    public init(requirement: Requirement, timeLimit: Duration = ConnectivityOptions.timeLimitDefault) {
        self.requirement = requirement
        self.timeLimit = timeLimit
    }
}

/// How it went with one member.
public struct ParticipantConnectivity: Hashable, Sendable {
    /// A connection that stands, and through which the member's node answered.
    public struct Link: Hashable, Sendable {
        public let method: ConnectionMethod
        /// By the node's clock.
        public let since: Duration
        /// How long a ping and its answer took; `nil` where the peer speaks no ping.
        public let roundTrip: Duration?
    }

    public enum State: Hashable, Sendable {
        case connected(Link)
        case failed(ConnectivityError)
        /// Nothing is known yet: the check ended before, because it had what was required, or was called off.
        case trying
    }

    public let signer: PublicKey
    /// `nil` where no identity speaks for the signer here.
    public let peer: PeerID?
    public let state: State

    public var isConnected: Bool { if case .connected = self.state { true } else { false } }
}

/// What a check of a group's connections found.
public struct ConnectivityReport: Hashable, Sendable {
    public let requirement: ConnectivityOptions.Requirement
    /// Every member but ourselves, in the policy's order: also those without an address, and those whose machine nobody knows.
    public let participants: [ParticipantConnectivity]
    /// Whether what was required is there.
    public let isMet: Bool
    /// When it ended, by the node's clock.
    public let time: Duration
    /// How long it took.
    public let duration: Duration

    public var connected: [PublicKey] { self.participants.filter(\.isConnected).map(\.signer) }
    public var missing: [ParticipantConnectivity] { self.participants.filter { !$0.isConnected } }
}

extension ConnectivityReport: CustomStringConvertible {
    public var description: String {
        let missing = self.missing.map { participant in
            switch participant.state {
            case .failed(let error): "\(participant.signer): \(error)"
            case .trying, .connected: "\(participant.signer): it is still tried"
            }
        }
        let count = "\(self.connected.count) of \(self.participants.count) other members are connected"
        return missing.isEmpty ? count : "\(count); \(missing.joined(separator: "; "))"
    }
}
