internal import LibP2P
public import LibP2PPosix
public import Signing

/// Why a node could not do something.
public enum SigningNodeError: Error, Sendable, CustomStringConvertible {
    case store(StoreError)
    case journal(JournalError)
    case listen(ListenError)
    case machine(SigningMachineError)
    /// A group's record makes no policy, or does not fit the signer.
    case group(SigningError)
    case record(StatementError)
    /// These members have such a group here already.
    case groupExists(name: String)
    /// What the owner said of a group's policy could not be made durable, for this reason.
    case policyNotStored(String)
    /// Who is blocked and who is not could not be made durable, for this reason. It holds as long as this process runs.
    case blockNotStored(String)
    /// Members that were required are not there, for these reasons. Nobody was asked for anything.
    case notConnected(ConnectivityReport)
    case network(NodeError)
    /// What was to be advertised or announced cannot be said.
    case offer(SignerOfferError)
    /// The node takes no part in the gossip about signers: `DiscoveryConfiguration.isOn`.
    case discoveryIsOff
    /// Others would not listen yet: so many seconds are to be waited.
    case tooSoon(seconds: Int)
    /// Not before `start`, and not after `stop`.
    case notRunning

    public var description: String {
        switch self {
        case .store(let error): error.description
        case .journal(let error): error.description
        case .listen(let error): "\(error)"
        case .machine(let error): error.description
        case .group(let error): "\(error)"
        case .record(let error): error.description
        case .groupExists(let name): "you and these members have this group already: it is called \(name)"
        case .policyNotStored(let reason): "it could not be made durable, and nothing is approved automatically until it is: \(reason)"
        case .blockNotStored(let reason):
            "it holds until this node ends, and could not be made durable: see to the disk, and say it again: \(reason)"
        case .notConnected(let report): "nobody is asked: \(report)"
        case .network(let error): error.description
        case .offer(let error): error.description
        case .discoveryIsOff: "this node takes no part in finding signers: start it with discovery on (chorale node run --discover)"
        case .tooSoon(let seconds): "others listen to no more such words yet: try again in \(seconds) s"
        case .notRunning: "the node is not running"
        }
    }
}
