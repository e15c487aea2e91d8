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
        case .notRunning: "the node is not running"
        }
    }
}
