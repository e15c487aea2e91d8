import LibP2P
import Secp256k1
import Signing
import SigningNode

/// Blocks in words and in JSON.
enum BlockWords {
    /// For programs.
    static func word(_ block: PeerStanding.Block) -> String {
        switch block {
        case .owner: "owner"
        case .conduct: "conduct"
        }
    }

    static func json(_ block: PeerBlock, label: String?, now: Duration) -> JSONValue {
        let (isLasting, by, since, seconds): (Bool, String, JSONValue, JSONValue) =
            switch block.term {
            case .until(let time): (false, self.word(.conduct), .null, LinkText.seconds(max(.zero, time - now)))
            case .lasting(let cause, let since): (true, self.word(cause), .unsigned(since), .null)
            }
        return .object([
            "peer_id": .string("\(block.peer)"), "public_key": .optional(block.signer.map { "\($0)" }), "label": .optional(label),
            "is_member": .bool(block.signer != nil), "is_lasting": .bool(isLasting), "by": .string(by), "since": since, "seconds": seconds,
            "note": .string(block.note),
        ])
    }

    /// What `json` says, in a line.
    static func line(_ block: JSONValue) -> String {
        let name = block["label"]?.asText.map { "\($0.printable), " } ?? (block["is_member"]?.asBool == true ? "a member, " : "")
        let why: String
        if let seconds = block["seconds"]?.asUnsigned {
            why = "for \(UnixTime.span(seconds)) more, for messages that were refused"
        } else {
            let since = UnixTime.text(block["since"]?.asUnsigned ?? 0)
            why = block.shown("by") == "owner" ? "by you, since \(since)" : "for its conduct, again and again, since \(since)"
        }
        let note = block.shown("note").isEmpty ? "" : ": “\(block.shown("note"))”"
        return "\(block.shown("peer_id"))  \(name)blocked \(why)\(note)"
    }

    /// Before what is said of a member's connection: why it counts for nothing.
    ///
    /// - Parameter time: now, in seconds since 1970.
    static func mark(_ member: JSONValue, at time: UInt64) -> String {
        let expiry = member["enrolment_expiry"]?.asUnsigned ?? 0
        let ended = expiry != 0 && time > expiry ? "enrolment ended at \(UnixTime.text(expiry)); " : ""
        switch member["blocked_by"]?.asText {
        case nil: return ended
        case "owner": return "blocked by you; \(ended)"
        default: return "blocked for its conduct; \(ended)"
        }
    }

    /// How to end it.
    static func remedy(_ name: String) -> String { "chorale node unblock \(name.shellWord)" }

    static func blockedLastingly(_ peer: PeerID, _ signer: PublicKey?, _ names: SignerNames) -> String {
        guard let signer else { return "\(peer) was blocked again and again, and stays blocked until you say: \(self.remedy("\(peer)"))" }
        return "\(names.short(signer)) sent what no honest node sends, again and again, and stays blocked: your groups may not be able to "
            + "sign without it. If its machine is well again: \(self.remedy("\(peer)"))"
    }

    /// Why a member that is waited for is not reached.
    static func reach(_ block: PeerStanding.Block, of signer: PublicKey) -> String {
        let why = block == .owner ? "blocked by you" : "blocked, for it sent again and again what no honest node sends"
        return "\(why): nothing of it is heard here, and the group may not be able to sign without it. To hear it again, if its machine is "
            + "well: \(self.remedy("\(signer)"))"
    }
}
