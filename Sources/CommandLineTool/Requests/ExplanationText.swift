import CryptoPrimitives
import Secp256k1
import Signing
import SigningNode

/// A request's explanation in words.
struct ExplanationText {
    let explanation: RequestExplanation
    let names: SignerNames
    /// Seconds since 1970.
    let now: UInt64
    /// Whether the group's policy made the own decision, and no person.
    var isByPolicy = false
    /// What of it went to mailboxes, or is to.
    var mail: [MemberMail] = []

    var lines: [String] {
        let explanation = self.explanation
        let clones = explanation.clones.map { "\(CloneWords.alarm(self.name($0)))." }
        var lines = clones + ["Where it stands: \(explanation.state.words(self.names, byPolicy: self.isByPolicy))."]
        guard !explanation.state.isOver else {
            let afterwards = Self.afterwards(explanation.state, of: explanation.request, seenAt: explanation.broadcastSeenAt)
            return lines + afterwards + self.inMailboxes + [self.blame]
        }
        lines += self.missing
        lines += self.endedEnrolments
        lines += self.inMailboxes
        lines.append(
            "Coordinator in turn \(explanation.turn): \(self.name(explanation.coordinator)). Should nothing come of it, the next one takes over "
                + "by itself.")
        lines += self.running
        lines.append(self.endings)
        lines.append(self.end)
        lines.append(self.blame)
        return lines
    }

    /// What is left to be done about a request that is over.
    static func afterwards(_ state: CoordinationState, of request: Bytes32, seenAt: UInt64?) -> [String] {
        switch state {
        case .complete where seenAt != nil:
            return [
                "Nobody has to stay running, and nobody here has to send the transaction: you said at \(UnixTime.text(seenAt ?? 0)) that it was "
                    + "seen on the Bitcoin network."
            ]
        case .complete:
            let id = "\(request)".prefix(EventReport.idDigitCount)
            return [
                "Nobody has to stay running. The transaction is on its way to those members who do not have it yet.",
                "Somebody still has to send it to the Bitcoin network, for no node of Chorale does. Whether somebody has already, this node "
                    + "cannot know; to send it twice does no harm. chorale request show \(id) --out signed.hex writes it to a file: give "
                    + "that to a wallet, or to Bitcoin Core (bitcoin-cli sendrawtransaction \"$(cat signed.hex)\"). Once it was seen there, "
                    + "chorale request sent \(id) keeps that in mind.",
            ]
        case .endedMayStillComplete:
            return [
                "Its coins stay reserved: only a transaction that spends one of them, and is confirmed, makes sure that it never completes. "
                    + "To ask for one: chorale request new --replaces \("\(request)".prefix(EventReport.idDigitCount))."
            ]
        case .expired: return ["Nothing more is signed for it here. Ask anew, if it is still wanted (chorale request new)."]
        case .proposed, .approved, .signing, .rejected, .withdrawn, .aborted: return ["Nothing more is signed for it here."]
        }
    }

    /// What waits for members that are not connected.
    private var inMailboxes: [String] {
        self.mail.map { mail in
            var parts: [String] = []
            if mail.leftCount > 0 {
                let verb = mail.leftCount == 1 ? "was" : "were"
                parts.append("\(Amounts.count(mail.leftCount, "message")) about it \(verb) left in its mailboxes")
            }
            if mail.waitingCount > 0 {
                let verb = mail.waitingCount == 1 ? "waits" : "wait"
                parts.append("\(Amounts.count(mail.waitingCount, "message")) \(verb) here until one of its mailboxes is reached")
            }
            return "For \(self.name(mail.signer)), who is not connected: \(parts.joined(separator: "; "))."
        }
    }

    // MARK: - What is missing

    private var missing: [String] {
        let explanation = self.explanation
        let count =
            "\(explanation.approvers.count) of \(explanation.memberCount) members have approved"
            + (explanation.approversMayBeMore ? ", as far as this node knows" : "") + ", and it takes \(explanation.threshold)"
        switch explanation.missing {
        case .nothing: return ["\(count)."]
        case .decisions(let missing, let members):
            var lines = ["\(count): it waits for \(missing) more, of these:"] + members.map { self.line($0, isForPerson: true) }
            if explanation.advice.contains(.askCoordinator(explanation.coordinator)) {
                lines.append("More may have approved: \(self.name(explanation.coordinator)), who coordinates, knows of all.")
            }
            return lines
        case .coordinator(let member) where member.signer == explanation.signer:
            return ["\(count): the next attempt begins by itself, as soon as fresh nonces of enough of them are here."]
        case .coordinator(let member):
            return ["\(count): it waits for its coordinator, who brings the signatures together:", self.line(member, isForPerson: false)]
        case .nonces(let members):
            return ["\(count): it waits for the nonces of these, who have committed to them:"]
                + members.map { self.line($0, isForPerson: false) }
        case .partialSignatures(let members):
            return ["\(count): it waits for the partial signatures of:"] + members.map { self.line($0, isForPerson: false) }
        }
    }

    private func line(_ member: RequestExplanation.Member, isForPerson: Bool) -> String {
        "  \(self.names.short(member.signer)): \(self.reach(member, isForPerson: isForPerson))"
    }

    private func reach(_ member: RequestExplanation.Member, isForPerson: Bool) -> String {
        switch member.reach {
        case .own: "that is you: chorale request approve \("\(self.explanation.request)".prefix(EventReport.idDigitCount))"
        case .connected(let method, let roundTrip):
            "connected\(method == .relay ? " through a relay" : "")\(roundTrip.map { " (\(LinkText.milliseconds($0)))" } ?? ""); "
                + (isForPerson ? "the person has not answered yet, or the machine is busy" : "its machine is on it")
        case .notConnected(let failureCount, let error):
            "not connected" + (failureCount > 0 ? ", after \(Amounts.count(failureCount, "dial")) that led to nothing" : "")
                + (error.map { " (\($0))" } ?? "") + "; it is tried again"
        case .noAddress: "not connected, and no address is known: ask for its contact (chorale contact add)"
        case .notEnrolled: "no machine is known that speaks for it: it was never enrolled here"
        case .blocked(let block): BlockWords.reach(block, of: member.signer)
        case .enrolmentEnded(let time): "its machine is not heard: its enrolment ended at \(UnixTime.text(time))"
        }
    }

    /// Whose machines nobody hears any more, and what ends that.
    private var endedEnrolments: [String] {
        self.explanation.endedEnrolments.map { ended in
            let time = UnixTime.text(ended.endedAt)
            guard ended.signer != self.explanation.signer else {
                return "Your own machine's enrolment ended at \(time), and the others hear it no more: enrol it again (chorale key enrol), "
                    + "start the node with the new key file, and give them its contact (chorale node show)."
            }
            return "The enrolment of \(self.name(ended.signer)) ended at \(time), and its machine is not heard until its owner has "
                + "enrolled it again (chorale key enrol) and you have added its new contact (chorale contact add)."
        }
    }

    // MARK: - Who must stay, and how it ends

    private var running: [String] {
        guard !self.explanation.mustStayRunning.isEmpty else { return [] }
        let who = self.explanation.mustStayRunning.map(self.name).joined(separator: ", ")
        var lines = [
            "Must stay running until it is signed, connected or not: \(who). Their secret nonces live in their processes alone. Should one "
                + "end, nothing is lost but an attempt: the next begins by itself when it is back."
        ]
        if self.explanation.hasAllOtherNonces {
            lines.append(
                "One visit is enough for you: all other nonces are here already. Approve, and stay until what you sign has reached the others, "
                    + "or their mailboxes.")
        } else if self.explanation.oneVisitSuffices {
            lines.append(
                "The next one to approve needs one visit only: all other nonces wait for it, at the coordinator and, while it is away, in its "
                    + "mailbox.")
        }
        return lines
    }

    private var endings: String {
        let parts = self.explanation.endings.map { ending in
            switch ending {
            case .cancellation(let proposer): "\(self.name(proposer)) (chorale request cancel)"
            case .refusals(1, _): "any member that says no, for all are needed"
            case .refusals(let count, let members): "\(count) of \(members.count) members that say no"
            }
        }
        let open = self.explanation.isSignatureOut ? " Your partial signatures are out: others may complete it all the same." : ""
        return "Can end it: \(parts.joined(separator: "; ")).\(open)"
    }

    private var end: String {
        let expiry = self.explanation.expiry
        guard expiry != 0 else { return "It does not expire." }
        guard expiry > self.now else { return "Its time is over." }
        return "It expires at \(UnixTime.text(expiry)), in \(UnixTime.span(expiry - self.now))."
    }

    private var blame: String {
        guard !self.explanation.culprits.isEmpty else { return "Nobody is proved to be at fault: silence and restarts prove nothing." }
        return "Proved to be at fault, by their own signed messages: \(self.explanation.culprits.map(self.name).joined(separator: ", "))."
    }

    private func name(_ signer: PublicKey) -> String { signer == self.explanation.signer ? "you" : self.names.short(signer) }
}

// MARK: - For programs

extension RequestExplanation.Advice {
    /// One word, and whom it is about.
    var json: JSONValue {
        func about(_ word: String, _ signer: PublicKey? = nil) -> JSONValue {
            .object([("do", .string(word))] + (signer.map { [("public_key", .string("\($0)"))] } ?? []))
        }
        return switch self {
        case .decide: about("decide")
        case .keepRunning: about("keep_running")
        case .remind(let signer): about("remind", signer)
        case .wakeMachine(let signer): about("wake_machine", signer)
        case .askForContact(let signer): about("ask_for_contact", signer)
        case .askCoordinator(let signer): about("ask_coordinator", signer)
        case .unblock(let signer): about("unblock", signer)
        case .askToEnrol(let signer): about("ask_to_enrol", signer)
        case .enrolAgain: about("enrol_again")
        case .broadcast: about("broadcast")
        case .spendCoins: about("spend_coins")
        case .askAnew: about("ask_anew")
        case .moveFunds(let signer): about("move_funds", signer)
        }
    }
}

extension RequestExplanation.Missing {
    /// One word, and of whom.
    var json: (what: String, of: [PublicKey]) {
        switch self {
        case .nothing: ("nothing", [])
        case .decisions(_, let members): ("decisions", members.map(\.signer))
        case .coordinator(let member): ("coordinator", [member.signer])
        case .nonces(let members): ("nonces", members.map(\.signer))
        case .partialSignatures(let members): ("partial_signatures", members.map(\.signer))
        }
    }
}
