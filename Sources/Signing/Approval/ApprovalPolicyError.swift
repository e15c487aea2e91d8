/// Why a text is no approval policy, or why its values make none.
public enum ApprovalPolicyError: Error, Equatable, Sendable {
    case tooLarge(byteCount: Int, limit: Int)
    /// The text has this many lines before something that is not UTF-8, a control character, or the like.
    case notText(line: Int)
    /// It does not begin as a policy of a version that is known.
    case otherKindOrVersion
    /// A line that is no `name: value`, or whose name is not known.
    case unknownLine(Int)
    /// What may be said once is said again.
    case repeated(ApprovalPolicyText.Name, line: Int)
    case unreadable(ApprovalPolicyText.Name, line: Int, String)
    /// Nothing is unlimited by leaving it out.
    case missing(ApprovalPolicyText.Name)
    /// A group's coins have a Taproot script; this is another kind.
    case groupIsNotTaproot
    case outOfRange(String, UInt64, limit: UInt64)
    case tooMany(String, limit: Int)
}

extension ApprovalPolicyError: CustomStringConvertible {
    public var description: String {
        switch self {
        case .tooLarge(let count, let limit): "the policy has \(count) bytes, and the limit is \(limit)"
        case .notText(let line): "line \(line): it holds something that is not plain text"
        case .otherKindOrVersion: "line 1: a policy begins with \"\(ApprovalPolicyText.firstLine)\""
        case .unknownLine(let line):
            "line \(line): it is not \"name: value\" with one of the names "
                + ApprovalPolicyText.Name.allCases.map(\.rawValue).joined(separator: ", ")
        case .repeated(let name, let line): "line \(line): \"\(name.rawValue)\" is said a second time"
        case .unreadable(let name, let line, let expected): "line \(line): \"\(name.rawValue)\" has to be \(expected)"
        case .missing(let name): "the line \"\(name.rawValue): …\" is missing: nothing is unlimited by leaving it out"
        case .groupIsNotTaproot: "the group's address is not one of Taproot: take the one that the group's coins are paid to"
        case .outOfRange(let what, let value, let limit): "\(what) is \(value), and the limit is \(limit)"
        case .tooMany(let what, let limit): "there are more \(what) than the \(limit) that are allowed"
        }
    }
}
