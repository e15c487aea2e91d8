import Bitcoin
import CryptoPrimitives
import Secp256k1
import Signing
import SigningNode

// What states and events of requests are called, for programs and for people.

extension CoordinationState {
    /// One word for programs.
    var word: String { StoredRequest.State(self).word }

    /// For people, who want to know why.
    ///
    /// - Parameter byPolicy: whether the group's policy made the decision that this rests on, and no person.
    func words(_ names: SignerNames, byPolicy: Bool = false) -> String {
        switch self {
        case .proposed: "waits for your decision"
        case .approved: "approved by \(byPolicy ? "your policy" : "you"); waits for enough others"
        case .signing: "being signed"
        case .complete: "complete"
        case .rejected: "rejected by \(byPolicy ? "your policy" : "you")"
        case .withdrawn: "withdrawn by you"
        case .expired: "expired"
        case .aborted(let reason): "ended: \(reason.words(names))"
        case .endedMayStillComplete(let reason):
            "ended here (\(reason.words(names))), but your partial signatures are out: others may still complete it"
        }
    }

    /// The signers whom these words name.
    var named: [PublicKey] {
        switch self {
        case .aborted(let reason), .endedMayStillComplete(.aborted(let reason)): reason.named
        case .proposed, .approved, .signing, .complete, .rejected, .withdrawn, .expired, .endedMayStillComplete: []
        }
    }
}

extension AbortReason {
    func words(_ names: SignerNames) -> String {
        switch self {
        case .cancelled: "its proposer took it back"
        case .refused(let signers): "refused by \(signers.map(names.short).joined(separator: ", ")), without whom no set can sign"
        case .fault(let signers): "\(signers.map(names.short).joined(separator: ", ")) proved to be at fault"
        // It was written down with whole keys.
        case .before(let reason): reason.isEmpty ? "it ended before" : names.calling(reason)
        }
    }

    var named: [PublicKey] {
        switch self {
        case .cancelled: []
        case .refused(let signers), .fault(let signers): signers
        case .before(let reason): KeysInText(reason).keys
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

extension StoredRequest.State {
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

    /// For people who count requests.
    static func words(ofWord word: String) -> String {
        word == Self.endedMayStillComplete.word ? "ended here that others may still complete" : word
    }
}

/// One event of a node, as a program and as a person reads it.
struct EventReport {
    let event: SigningNodeEvent
    /// Of a decision: whether the group's policy made it, and no person.
    var isByPolicy = false

    private typealias Members = [(name: String, value: JSONValue)]

    /// The request that it is about.
    var request: Bytes32? {
        switch self.event {
        case .requested(let id), .request(let id, _), .decided(let id, _), .approval(let id, _), .notStored(let id, _),
            .notLeft(let id, _, _), .announced(let id, _):
            id
        case .policy, .refused, .blocked, .blockedLastingly, .enrolled, .superseded, .connected, .disconnected, .clocksJumped, .group,
            .missed, .advertised,
            .signerDiscovered, .signerWithdrawn, .signersWanted:
            nil
        }
    }

    /// Every signer that it names.
    var signers: [PublicKey] {
        switch self.event {
        case .request(_, let event): Self.signers(in: event)
        case .connected(let signer, _), .disconnected(let signer), .notLeft(_, let signer, _), .announced(_, let signer),
            .enrolled(let signer, _):
            [signer]
        case .advertised(let advertisement), .signerDiscovered(let advertisement), .signerWithdrawn(let advertisement):
            advertisement.signers
        case .signersWanted(let announcement): [announcement.enrolment.signer]
        case .requested, .decided, .approval, .policy, .notStored, .refused, .blocked, .superseded, .clocksJumped, .group, .missed: []
        case .blockedLastingly(_, let signer): [signer].compactMap(\.self)
        }
    }

    private static func signers(in event: CoordinationEvent) -> [PublicKey] {
        switch event {
        case .coordinatorElected(let signer, _), .coordinatorFailed(let signer, _), .joined(let signer), .refused(let signer, _),
            .partialSignaturesReceived(_, let signer), .restarted(let signer), .fault(let signer, _, _):
            [signer]
        case .cloneAlarm(let alarm, _): [alarm.signer]
        case .attemptBegan(_, let signers), .commitmentsComplete(_, let signers): signers
        case .ended(let state): state.named
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
        case .decided(_, let decision): ("decided", [("decision", .string(decision.word)), ("by_policy", .bool(self.isByPolicy))])
        case .approval(_, let notice): ("policy_says", notice.members)
        case .policy(let group, let notice): ("policy", [("policy_digest", .string("\(group)"))] + notice.members)
        case .notStored(_, let reason): ("not_stored", [("reason", .string(reason))])
        case .refused(let peer, let refusal): ("refused_message", [("peer_id", .string("\(peer)")), ("reason", .string("\(refusal)"))])
        case .blocked(let peer): ("blocked", [("peer_id", .string("\(peer)"))])
        case .blockedLastingly(let peer, let signer):
            ("blocked_lastingly", [("peer_id", .string("\(peer)")), ("public_key", .optional(signer.map { "\($0)" }))])
        case .enrolled(let signer, let peer):
            ("enrolled", [("public_key", .string("\(signer)")), ("peer_id", .string("\(peer)"))])
        case .superseded(let peer): ("superseded", [("peer_id", .string("\(peer)"))])
        case .connected(let signer, let method):
            ("connected", [("public_key", .string("\(signer)")), ("by", .string(method.rawValue))])
        case .disconnected(let signer): ("disconnected", [("public_key", .string("\(signer)"))])
        case .notLeft(_, let signer, let error): ("not_left", [("public_key", .string("\(signer)")), ("reason", .string("\(error)"))])
        case .clocksJumped: ("clocks_jumped", [])
        case .announced(_, let signer): ("announced", [("public_key", .string("\(signer)"))])
        case .advertised(let advertisement):
            (
                advertisement.isWithdrawal ? "advertisement_withdrawn" : "advertised",
                [("signer_advertisement", SignerWords.json(advertisement))]
            )
        case .signerDiscovered(let advertisement): ("signer_discovered", [("signer_advertisement", SignerWords.json(advertisement))])
        case .signerWithdrawn(let advertisement): ("signer_withdrawn", [("signer_advertisement", SignerWords.json(advertisement))])
        case .signersWanted(let announcement): ("signers_wanted", [("announcement", SignerWords.json(announcement))])
        case .group(let name, let news): ("group", [("name", .string(name))] + news.members)
        case .missed(let count): ("missed", [("count", .unsigned(count))])
        }
    }

    private static func members(of event: CoordinationEvent) -> (name: String, members: Members) {
        func signer(_ key: PublicKey) -> Members { [("public_key", .string("\(key)"))] }
        func number(_ name: String, _ value: UInt32) -> Members { [(name, .integer(Int(value)))] }
        switch event {
        case .coordinatorElected(let key, let turn): return ("coordinator_elected", signer(key) + number("turn", turn))
        case .coordinatorFailed(let key, let turn): return ("coordinator_failed", signer(key) + number("turn", turn))
        case .failoverExhausted(let turn): return ("failover_exhausted", number("turn", turn))
        case .joined(let key): return ("joined", signer(key))
        case .refused(let key, let reason): return ("refused", signer(key) + [("reason", .string("\(reason)"))])
        case .commitmentsComplete(let attempt, let signers):
            return ("commitments_complete", number("attempt", attempt) + [("signers", .array(signers.map { .string("\($0)") }))])
        case .attemptBegan(let attempt, let signers):
            return ("attempt_began", number("attempt", attempt) + [("signers", .array(signers.map { .string("\($0)") }))])
        case .partialSignaturesReceived(let attempt, let key):
            return ("partial_signatures_received", number("attempt", attempt) + signer(key))
        case .signed(let attempt): return ("signed", number("attempt", attempt))
        case .restarted(let key): return ("restarted", signer(key))
        case .fault(let key, let fault, let evidence):
            // The file that `chorale audit verify` reads.
            return ("fault", signer(key) + [("fault", .string("\(fault)")), ("evidence", .string(Hex.encode(evidence.serialized())))])
        case .cloneAlarm(let alarm, let isFoundHere):
            return (
                "clone_alarm",
                signer(alarm.signer) + [("is_found_here", .bool(isFoundHere)), ("alarm", .string(Hex.encode(alarm.serialized())))]
            )
        case .complete(let transaction, _): return ("complete", [("txid", .string("\(transaction.txid)"))])
        case .shouldBroadcast(let transaction):
            return (
                "should_broadcast",
                [("txid", .string("\(transaction.txid)")), ("transaction", .string(Hex.encode(transaction.serialized())))]
            )
        // With whole keys: programs have no names.
        case .ended(let state): return ("ended", [("state", .string(state.word)), ("reason", .string("\(state)"))])
        }
    }

    // MARK: - For people

    /// Hex digits of a request's id that people see and type.
    static let idDigitCount = 8

    /// Whether a person who saw the node's last run has not read it yet: at each start a program hears again that a transaction is ready,
    /// and a person was told when it was.
    func isNews(completeBefore: Set<Bytes32>) -> Bool {
        if case .request(let id, .shouldBroadcast) = self.event { return !completeBefore.contains(id) }
        return true
    }

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
        case .decided(_, let decision): "\(self.isByPolicy ? "your policy's" : "your") decision is kept: \(decision.word)"
        case .approval(_, let notice): notice.words
        case .policy(let group, let notice): "the policy of group \("\(group)".prefix(Self.idDigitCount)): \(notice.words)"
        case .notStored(_, let reason): "cannot be made durable: \(reason)"
        case .refused(let peer, let refusal): "a message of \(peer) was refused: \(refusal)"
        case .blocked(let peer): "\(peer) is not listened to for a while"
        case .blockedLastingly(let peer, let signer): BlockWords.blockedLastingly(peer, signer, names)
        case .enrolled(let signer, let peer):
            "\(names.short(signer)) speaks through another machine now, \(peer), and through its former one no more. Compare your numbers with "
                + "its owner: chorale contact verify"
        case .superseded(let peer):
            "another machine speaks for your key now, \(peer), and the others hear this one no more. If you enrolled it, end this node; if "
                + "you did not, your key is in other hands: move the coins"
        case .connected(let signer, .direct): "\(names.short(signer)) is connected"
        case .connected(let signer, .relay): "\(names.short(signer)) is connected, through a relay"
        case .disconnected(let signer): "\(names.short(signer)) is not connected any more"
        case .notLeft(_, let signer, let error):
            "Nothing can be left in the mailboxes of \(names.short(signer)): \(error). It is told once it is connected"
        case .clocksJumped: "the machine's clocks jumped: secret nonces were wiped, and requests go on with new ones"
        case .announced(_, let signer): "waits at \(names.short(signer)), who announced it: asking there"
        case .advertised(let advertisement):
            advertisement.isWithdrawal ? "your advertisement is taken back" : "you are advertised as a signer"
        case .signerDiscovered(let advertisement): "a signer advertises: \(SignerWords.line(advertisement, names))"
        case .signerWithdrawn(let advertisement):
            "a signer advertises no more: \(advertisement.signers.map(names.short).joined(separator: ", "))"
        case .signersWanted(let announcement): "signers are looked for: \(SignerWords.line(announcement, names))"
        case .group(let name, let news): "group \(name): \(news.words)"
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
        case .commitmentsComplete(let attempt, let signers):
            "\(signers.map(names.short).joined(separator: ", ")) have committed to their nonces for attempt \(attempt)"
        case .attemptBegan(let attempt, let signers):
            "attempt \(attempt) began, of \(signers.map(names.short).joined(separator: ", "))"
        case .partialSignaturesReceived(let attempt, let key): "partial signatures of \(names.short(key)) in attempt \(attempt)"
        case .signed(let attempt): "signed here, in attempt \(attempt)"
        case .restarted(let key): "\(names.short(key)) was started anew: its nonces are new ones"
        case .fault(let key, let fault, _): "\(names.short(key)) is proved to be at fault: \(fault)"
        case .cloneAlarm(let alarm, _): CloneWords.alarm(names.short(alarm.signer))
        case .complete(let transaction, _): "complete: transaction \(transaction.txid)"
        case .shouldBroadcast(let transaction):
            "transaction \(transaction.txid) is ready for the Bitcoin network: send it there, this node does not"
        case .ended(let state): state.words(names)
        }
    }
}
