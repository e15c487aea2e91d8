import Signing
import SigningNode

// What a policy says, for programs and for people.

extension ApprovalNotice {
    /// One word for programs.
    var word: String {
        switch self {
        case .approves: "approve"
        case .waits: "wait"
        case .asks: "ask"
        case .refuses: "refuse"
        case .isHalted: "halted"
        }
    }

    var reasons: [String] {
        switch self {
        case .approves, .waits: []
        case .asks(let reasons), .refuses(let reasons): reasons.map(\.description)
        case .isHalted(let reason): [reason]
        }
    }

    var members: [(name: String, value: JSONValue)] {
        var members: [(name: String, value: JSONValue)] = [
            ("policy", .string(self.word)), ("reasons", .array(self.reasons.map(JSONValue.string))),
        ]
        if case .waits(let time) = self { members.append(("approves_at", .unsigned(time))) }
        return members
    }

    /// For people.
    var words: String {
        let reasons = self.reasons.joined(separator: "; ")
        switch self {
        case .approves: return "your policy approves it"
        case .waits(let time): return "your policy approves it at \(UnixTime.text(time)), unless you reject it before"
        case .asks: return "your policy leaves it to you: \(reasons)"
        case .refuses: return "your policy refuses it: \(reasons)"
        case .isHalted: return "nothing is approved automatically, so it is left to you: \(reasons)"
        }
    }
}

extension ApprovalPolicyNotice {
    var members: [(name: String, value: JSONValue)] {
        switch self {
        case .isInForce: [("state", .string("in_force"))]
        case .asks: [("state", .string("ask"))]
        case .isHalted(let reason): [("state", .string("halted")), ("reason", .string(reason))]
        case .isNotStored(let reason): [("state", .string("not_stored")), ("reason", .string(reason))]
        }
    }

    var words: String {
        switch self {
        case .isInForce: "it is in force"
        case .asks: "there is none any more: you are asked about every request"
        case .isHalted(let reason): "nothing is approved automatically until you set it again: \(reason)"
        case .isNotStored(let reason): "it cannot be made durable, and nothing is approved automatically until it is: \(reason)"
        }
    }
}
