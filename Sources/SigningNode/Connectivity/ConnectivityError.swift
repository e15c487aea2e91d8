public import LibP2P

/// Why a member's node is not connected.
public enum ConnectivityError: Error, Hashable, Sendable {
    /// The peer that speaks for the member cannot be found.
    case peerNotFound(Absence)
    /// No address of it is known, and nobody who was asked knows one.
    case noAddress
    /// Addresses are known, and none can be dialled from here; none of them leads through a relay.
    case noRelayAddress
    /// No answer within the check's time, or within that of its last address.
    case timeout
    /// The other side turned the connection away, in these words.
    case rejected(String)
    /// A list or a limit of this node stands in the way.
    case refusedHere(SwarmRefusal)
    /// The network leads nowhere, in these words.
    case networkError(String)

    public enum Absence: Hashable, Sendable {
        /// No identity is enrolled for the signer here.
        case notEnrolled
        /// At its address somebody else answers, who is not let in.
        case somebodyElse(at: Multiaddr)
    }

    /// Whether the same may succeed a little later, with nobody doing anything about it here.
    public var isRetryable: Bool {
        switch self {
        case .timeout, .rejected, .networkError: true
        case .peerNotFound, .noAddress, .noRelayAddress: false
        case .refusedHere(let refusal):
            switch refusal {
            case .peerDenied, .peerNotAllowed, .addressDenied, .ownIdentity: false
            case .tooManyConnections, .tooManyConnectionsOfPeer, .tooManyConnectionsFromAddress, .tooManyHandshakes, .tooManyStreams,
                .tooManyStreamsOfPeer, .noDescriptors:
                true
            }
        }
    }
}

extension ConnectivityError: CustomStringConvertible {
    public var description: String {
        switch self {
        case .peerNotFound(.notEnrolled): "no machine is known that speaks for it: ask for its contact"
        case .peerNotFound(.somebodyElse(let address)): "somebody else answers at \(address): ask for its contact again"
        case .noAddress: "no address of it is known: ask for its contact"
        case .noRelayAddress: "none of its addresses can be dialled from here, and none leads through a relay"
        case .timeout: "no answer in time"
        case .rejected(let reason): "it turned the connection away: \(reason)"
        case .refusedHere(let refusal): "this node does not connect to it: \(refusal)"
        case .networkError(let reason): reason
        }
    }
}

// MARK: - From what a dial says

extension ConnectivityError {
    /// - Parameter isAnyAddressKnown: whether there was anything to dial.
    init(_ error: DialError, isAnyAddressKnown: Bool) {
        switch error {
        case .noAddresses: self = isAnyAddressKnown ? .noRelayAddress : .noAddress
        case .refused(let refusal): self = .refusedHere(refusal)
        case .backingOff: self = .networkError(error.description)
        case .allFailed(let failures):
            let errors = failures.compactMap(Self.init)
            // Who got farthest tells most.
            self = errors.min { $0.distance < $1.distance } ?? .noRelayAddress
        }
    }

    /// What one address led to; `nil` where it cannot be dialled from here at all.
    private init?(_ failure: DialAttemptFailure) {
        switch failure.reason {
        case .pipe(let pipe):
            switch pipe {
            case .refused: self = .rejected(failure.description)
            case .timedOut: self = .timeout
            case .noTransport: return nil
            case .tooManyDescriptors: self = .refusedHere(.noDescriptors)
            case .unreachable, .nameNotFound, .leadsNearby, .transport, .system: self = .networkError(failure.description)
            }
        case .connection(let connection):
            switch connection {
            case .handshake(.wrongPeer): self = .peerNotFound(.somebodyElse(at: failure.address))
            case .timedOut, .peerSilent, .peerNotReading: self = .timeout
            case .closedHere(.limit(let refusal)): self = .refusedHere(refusal)
            case .security, .handshake, .muxer, .pipeEnded: self = .rejected(failure.description)
            case .webSocket, .encryption, .session, .idle, .closedHere: self = .networkError(failure.description)
            }
        }
    }

    /// How far a dial got, the farthest first.
    private var distance: Int {
        switch self {
        case .peerNotFound: 0
        case .rejected: 1
        case .refusedHere: 2
        case .timeout: 3
        case .networkError: 4
        case .noRelayAddress: 5
        case .noAddress: 6
        }
    }
}
