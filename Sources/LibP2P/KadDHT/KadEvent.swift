/// Names an operation of one ``KadDHT``.
public struct KadOperationID: Hashable, Sendable, CustomStringConvertible {
    public let rawValue: UInt64

    public init(rawValue: UInt64) { self.rawValue = rawValue }

    public var description: String { "operation \(self.rawValue)" }
}

/// What a peer's word about another is worth.
public struct KadFoundPeer: Hashable, Sendable {
    public let id: PeerID
    public let addresses: [Multiaddr]
    /// Whether a connection to it stands, which proves that it is there.
    public let isConnected: Bool

    public init(id: PeerID, addresses: [Multiaddr], isConnected: Bool) {
        self.id = id
        self.addresses = addresses
        self.isConnected = isConnected
    }
}

/// How an operation went.
public struct KadReport: Equatable, Sendable {
    /// Peers that were asked, and of those the ones that answered in time and rightly.
    public internal(set) var askedCount = 0
    public internal(set) var answeredCount = 0
    public internal(set) var failedCount = 0
    /// Requests one after another that led to the result: 1 if a contact of ours had it, 0 if we had it ourselves.
    public internal(set) var hopCount = 0
    public internal(set) var elapsed: Duration = .zero
    /// Whether the time was over before the lookup was.
    public internal(set) var hasTimedOut = false

    /// Of an operation that asked nobody.
    public init() {}
}

/// Why an operation found or did nothing.
public enum KadFailure: Error, Equatable, Sendable, CustomStringConvertible {
    /// No peer to ask is known.
    case noPeers
    /// Nobody answered.
    case nobodyAnswered
    case notFound
    /// The peers that are responsible all refused, or did not answer.
    case nobodyStored(refusedCount: Int, silentCount: Int)
    /// The key has no namespace, or one without a validator here.
    case unknownNamespace
    /// The validator does not take the value.
    case invalidValue
    /// A better value is known under this key.
    case betterValueKnown
    case keyLength(byteCount: Int, maximum: Int)
    case valueLength(byteCount: Int, maximum: Int)
    /// Providing needs an address at which others reach this node.
    case noOwnAddress
    case tooManyOperations(maximum: Int)
    case tooManyPublished(maximum: Int)
    case cancelled

    public var description: String {
        switch self {
        case .noPeers: "no peer of the hash table is known; connect to one first"
        case .nobodyAnswered: "no peer of the hash table answered"
        case .notFound: "nobody near the key has it"
        case .nobodyStored(let refused, let silent): "nobody kept the record: \(refused) peers refused it, \(silent) did not answer"
        case .unknownNamespace: "the key belongs to no namespace that has a validator here; keys look like /namespace/name"
        case .invalidValue: "the value is none that may stand under this key"
        case .betterValueKnown: "a better value is known under this key"
        case .keyLength(let count, let maximum): "the key has \(count) bytes; 1 to \(maximum) are possible"
        case .valueLength(let count, let maximum): "the value has \(count) bytes; 1 to \(maximum) are possible"
        case .noOwnAddress: "this node knows no address at which others reach it, so it cannot be named as a provider"
        case .tooManyOperations(let maximum): "\(maximum) operations are under way; wait until one is over"
        case .tooManyPublished(let maximum): "\(maximum) records are kept alive; withdraw one first"
        case .cancelled: "the operation was cancelled"
        }
    }
}

/// How an operation ended.
public enum KadOutcome: Equatable, Sendable {
    /// The value was kept by so many peers.
    case stored(count: Int, refusedCount: Int)
    /// The best value that was found, and how many gave just this one.
    case value([UInt8], holderCount: Int)
    /// So many peers were told that this node provides the key.
    case provided(count: Int)
    case providers([KadFoundPeer])
    case peer(KadFoundPeer)
    /// The peers nearest to the key that answered, nearest first.
    case closest([PeerID])
    case bootstrapped(contactCount: Int)
    case failed(KadFailure)
}

/// Why something that a peer sent was not taken.
public enum KadRefusal: Equatable, Sendable {
    case malformed(ProtobufError)
    case frame(FrameReader.Failure)
    /// An answer of another type than the request, or for another key.
    case wrongAnswer
    /// More than one answer to a request, or one without.
    case unasked
    case tooManyStreams
    case tooManyRequests
    case tooManyAnswerBytes
    case tooManyPartialBytes
    /// A request that was begun and did not go on.
    case idle
    case missingKey
    case wrongKey
    case missingRecord
    case valueLength(Int)
    case unknownNamespace
    case invalidValue
    case betterValueKnown
    case noRoom
    /// Of the providers none is the sender with an address.
    case foreignProvider
}

public enum KadEvent: Equatable, Sendable {
    /// The one end of an operation.
    case finished(KadOperationID, KadOutcome, KadReport)
    case refused(PeerID, KadRefusal)
    case contactAdded(PeerID)
    case contactRemoved(PeerID)
}

/// What happened so far, to be shown and watched.
public struct KadCounters: Equatable, Sendable {
    public internal(set) var requestsSent = 0
    public internal(set) var answersReceived = 0
    public internal(set) var requestsFailed = 0
    public internal(set) var requestsTimedOut = 0
    public internal(set) var requestsServed = 0
    public internal(set) var refusals = 0
    public internal(set) var valuesStored = 0
    public internal(set) var providersStored = 0
    public internal(set) var recordsExpired = 0
    /// Peers that were sent a better value than they had.
    public internal(set) var corrections = 0
    /// Found values that their validator did not take.
    public internal(set) var invalidValuesFound = 0
    /// Peers and addresses that others named and that were not taken.
    public internal(set) var candidatesDropped = 0
    public internal(set) var addressesDropped = 0
    public internal(set) var operations = 0
    public internal(set) var refreshes = 0
    public internal(set) var republications = 0
}
