public import SessionStore

/// Why a question to an inviter has no answer yet.
struct GroupTrouble: Error, CustomStringConvertible {
    let description: String
    init(_ description: String) { self.description = description }
}

/// Why a group cannot be made, joined or forgotten.
public enum GroupHostError: Error, Sendable, CustomStringConvertible {
    case group(GroupError)
    case node(SigningNodeError)
    case files(FileError)
    case nameTaken(String)
    case unknown(String)
    /// Everybody has joined: there is nothing to take back.
    case made(String)

    public var description: String {
        switch self {
        case .group(let error): error.description
        case .node(let error): error.description
        case .files(let error): error.description
        case .nameTaken(let name): "a group is called \(name) already: choose another name"
        case .unknown(let name): "no group called \(name) is being made or joined here"
        case .made(let name): "\(name) is made: each of its members has it, and nothing is left to call off"
        }
    }
}
