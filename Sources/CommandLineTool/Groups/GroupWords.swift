import Signing
import SigningNode

// What became of a group that is being made, for programs and for people.

extension GroupNews {
    var members: [(name: String, value: JSONValue)] {
        switch self {
        case .invited(let count): [("state", .string("inviting")), ("member_count", .integer(count))]
        case .joining: [("state", .string("joining"))]
        case .joined(let count, let memberCount):
            [("state", .string("joined")), ("joined_count", .integer(count)), ("member_count", .integer(memberCount))]
        case .made(let digest): [("state", .string("made")), ("policy_digest", .string("\(digest)"))]
        case .refused(let reason): [("state", .string("refused")), ("reason", .string("\(reason)"))]
        case .calledOff: [("state", .string("called_off"))]
        }
    }

    var words: String {
        switch self {
        case .invited(let count):
            "invitations for \(Amounts.count(count - 1, "other member")) are made; chorale group show tells who has joined"
        case .joining: "asking to join"
        case .joined(let count, let memberCount): "\(count) of \(memberCount) have joined"
        case .made: "made: all have joined, and read each other its number (chorale group show)"
        case .refused(let reason): "not joined: \(reason)"
        case .calledOff: "called off"
        }
    }
}
