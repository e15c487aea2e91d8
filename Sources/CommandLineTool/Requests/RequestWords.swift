import Bitcoin
import CryptoPrimitives
import Secp256k1
import Signing
import SigningNode

// What states and events of requests are called, for programs and for people.

extension CoordinationState {
    /// One word for programs.
    var word: String {
        switch self {
        case .proposed: "proposed"
        case .approved: "approved"
        case .signing: "signing"
        case .complete: "complete"
        case .rejected: "rejected"
        case .withdrawn: "withdrawn"
        case .expired: "expired"
        case .aborted: "aborted"
        case .endedMayStillComplete: "ended_may_still_complete"
        }
    }

    /// For people, who want to know why.
    func words(_ names: SignerNames) -> String {
        switch self {
        case .proposed: "waits for your decision"
        case .approved: "approved by you; waits for enough others"
        case .signing: "being signed"
        case .complete: "complete"
        case .rejected: "rejected by you"
        case .withdrawn: "withdrawn by you"
        case .expired: "expired"
        case .aborted(let reason): "ended: \(reason.words(names))"
        case .endedMayStillComplete(let reason):
            "ended here (\(reason.words(names))), but your partial signatures are out: others may still complete it"
        }
    }

    /// Who is proved to have made it end.
    var culprits: [PublicKey] {
        switch self {
        case .aborted(.fault(let signers)), .endedMayStillComplete(.aborted(.fault(let signers))): signers
        case .proposed, .approved, .signing, .complete, .rejected, .withdrawn, .expired, .aborted, .endedMayStillComplete: []
        }
    }
}

extension AbortReason {
    func words(_ names: SignerNames) -> String {
        switch self {
        case .cancelled: "its proposer took it back"
        case .refused(let signers): "without \(signers.map(names.short).joined(separator: ", ")) no set can sign"
        case .fault(let signers): "\(signers.map(names.short).joined(separator: ", ")) proved to be at fault"
        case .before(let reason): reason.isEmpty ? "it ended before" : reason
        }
    }
}

extension EndReason {
    func words(_ names: SignerNames) -> String {
        switch self {
        case .withdrawn: "withdrawn"
        case .expired: "expired"
        case .aborted(let reason): reason.words(names)
        }
    }
}

extension RequestSummary {
    /// The members that are known here to agree, in the policy's order. Who asks agrees by that; approvals of others go to whoever
    /// coordinates, so that another node may know of more.
    func approvers(own: PublicKey) -> [PublicKey] {
        let (approved, refused) = (Set(self.progress.approved), Set(self.progress.refused))
        return self.members.filter { member in
            approved.contains(member) || (member == self.proposer && !refused.contains(member))
                || (member == own && self.decision == .approved)
        }
    }
}

extension StoredRequest.Decision {
    var word: String {
        switch self {
        case .undecided: "undecided"
        case .approved: "approved"
        case .rejected: "rejected"
        case .withdrawn: "withdrawn"
        case .cancelled: "cancelled"
        }
    }
}

/// One event of a node, as a program and as a person reads it.
struct EventReport {
    let event: SigningNodeEvent

    private typealias Members = [(name: String, value: JSONValue)]

    /// The request that it is about.
    var request: Bytes32? {
        switch self.event {
        case .requested(let id), .request(let id, _), .decided(let id, _), .notStored(let id, _): id
        case .refused, .blocked, .connected, .disconnected, .clocksJumped, .missed: nil
        }
    }

    /// Every signer that it names.
    var signers: [PublicKey] {
        switch self.event {
        case .request(_, let event): Self.signers(in: event)
        case .connected(let signer), .disconnected(let signer): [signer]
        case .requested, .decided, .notStored, .refused, .blocked, .clocksJumped, .missed: []
        }
    }

    private static func signers(in event: CoordinationEvent) -> [PublicKey] {
        switch event {
        case .coordinatorElected(let signer, _), .coordinatorFailed(let signer, _), .joined(let signer), .refused(let signer, _),
            .partialSignaturesReceived(_, let signer), .restarted(let signer), .fault(let signer, _, _):
            [signer]
        case .attemptBegan(_, let signers): signers
        case .ended(let state): state.culprits
        case .failoverExhausted, .signed, .complete, .shouldBroadcast: []
        }
    }

    // MARK: - For programs

    func json(cursor: UInt64) -> JSONValue {
        let (name, members) = self.members
        var all: Members = [("cursor", .unsigned(cursor)), ("event", .string(name))]
        if let request { all.append(("request", .string("\(request)"))) }
        return .object(all + members)
    }

    private var members: (name: String, members: Members) {
        switch self.event {
        case .requested: ("requested", [])
        case .request(_, let event): Self.members(of: event)
        case .decided(_, let decision): ("decided", [("decision", .string(decision.word))])
        case .notStored(_, let reason): ("not_stored", [("reason", .string(reason))])
        case .refused(let peer, let refusal): ("refused_message", [("peer_id", .string("\(peer)")), ("reason", .string("\(refusal)"))])
        case .blocked(let peer): ("blocked", [("peer_id", .string("\(peer)"))])
        case .connected(let signer): ("connected", [("signer", .string("\(signer)"))])
        case .disconnected(let signer): ("disconnected", [("signer", .string("\(signer)"))])
        case .clocksJumped: ("clocks_jumped", [])
        case .missed(let count): ("missed", [("count", .unsigned(count))])
        }
    }

    private static func members(of event: CoordinationEvent) -> (name: String, members: Members) {
        func signer(_ key: PublicKey) -> Members { [("signer", .string("\(key)"))] }
        func number(_ name: String, _ value: UInt32) -> Members { [(name, .integer(Int(value)))] }
        switch event {
        case .coordinatorElected(let key, let turn): return ("coordinator_elected", signer(key) + number("turn", turn))
        case .coordinatorFailed(let key, let turn): return ("coordinator_failed", signer(key) + number("turn", turn))
        case .failoverExhausted(let turn): return ("failover_exhausted", number("turn", turn))
        case .joined(let key): return ("joined", signer(key))
        case .refused(let key, let reason): return ("refused", signer(key) + [("reason", .string("\(reason)"))])
        case .attemptBegan(let attempt, let signers):
            return ("attempt_began", number("attempt", attempt) + [("signers", .array(signers.map { .string("\($0)") }))])
        case .partialSignaturesReceived(let attempt, let key):
            return ("partial_signatures_received", number("attempt", attempt) + signer(key))
        case .signed(let attempt): return ("signed", number("attempt", attempt))
        case .restarted(let key): return ("restarted", signer(key))
        case .fault(let key, let fault, _): return ("fault", signer(key) + [("fault", .string("\(fault)"))])
        case .complete(let transaction, _): return ("complete", [("txid", .string("\(transaction.txid)"))])
        case .shouldBroadcast(let transaction):
            return (
                "should_broadcast",
                [("txid", .string("\(transaction.txid)")), ("transaction", .string(Hex.encode(transaction.serialized())))]
            )
        case .ended(let state): return ("ended", [("state", .string(state.word))])
        }
    }

    // MARK: - For people

    /// Hex digits of a request's id that people see and type.
    static let idDigitCount = 8

    /// One line.
    func text(_ names: SignerNames) -> String {
        let words = self.words(names)
        guard let request else { return words.printable }
        return Self.line(words, of: request)
    }

    static func line(_ words: String, of request: Bytes32) -> String {
        "request \("\(request)".prefix(Self.idDigitCount))  \(words.printable)"
    }

    private func words(_ names: SignerNames) -> String {
        switch self.event {
        case .requested: "is new: it waits for your decision"
        case .request(_, let event): Self.words(of: event, names)
        case .decided(_, let decision): "your decision is kept: \(decision.word)"
        case .notStored(_, let reason): "cannot be made durable: \(reason)"
        case .refused(let peer, let refusal): "a message of \(peer) was refused: \(refusal)"
        case .blocked(let peer): "\(peer) is not listened to for a while"
        case .connected(let signer): "\(names.short(signer)) is connected"
        case .disconnected(let signer): "\(names.short(signer)) is not connected any more"
        case .clocksJumped: "the machine's clocks jumped: secret nonces were wiped, and requests go on with new ones"
        case .missed(let count): "\(Amounts.count(Int(clamping: count), "event")) came that nobody read, and that are not kept any more"
        }
    }

    private static func words(of event: CoordinationEvent, _ names: SignerNames) -> String {
        switch event {
        case .coordinatorElected(let key, let turn): "turn \(turn) is \(names.short(key))'s"
        case .coordinatorFailed(let key, let turn): "turn \(turn) of \(names.short(key)) led to no signature in time"
        case .failoverExhausted: "every member had a turn, and there is no signature yet"
        case .joined(let key): "\(names.short(key)) approved it"
        case .refused(let key, let reason): "\(names.short(key)) \(reason)"
        case .attemptBegan(let attempt, let signers):
            "attempt \(attempt) began, of \(signers.map(names.short).joined(separator: ", "))"
        case .partialSignaturesReceived(let attempt, let key): "partial signatures of \(names.short(key)) in attempt \(attempt)"
        case .signed(let attempt): "signed here, in attempt \(attempt)"
        case .restarted(let key): "\(names.short(key)) was started anew: its nonces are new ones"
        case .fault(let key, let fault, _): "\(names.short(key)) is proved to be at fault: \(fault)"
        case .complete(let transaction, _): "complete: transaction \(transaction.txid)"
        case .shouldBroadcast(let transaction):
            "transaction \(transaction.txid) is ready for the Bitcoin network: send it there, this node does not"
        case .ended(let state): state.words(names)
        }
    }
}
