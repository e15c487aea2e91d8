import CryptoPrimitives
import Secp256k1
import Signing
import SigningNode

/// What a request waits for, who must stay running for it, and who is proved to be at fault: worked out from what is known here.
struct RequestExplanation {
    let summary: RequestSummary
    let connectivity: [MemberConnectivity]
    let own: PublicKey
    let names: SignerNames
    /// Seconds since 1970.
    let now: UInt64

    /// The members that it waits for.
    var awaited: [PublicKey] {
        guard !self.summary.state.isOver else { return [] }
        guard self.isApprovedByEnough else { return self.undecided }
        return self.summary.progress.awaited
    }

    /// Those who have not said anything that is known here.
    private var undecided: [PublicKey] {
        let heard = Set(self.approvers + self.summary.progress.refused)
        return self.summary.members.filter { !heard.contains($0) }
    }

    private var approvers: [PublicKey] { self.summary.approvers(own: self.own) }

    private var isApprovedByEnough: Bool { self.approvers.count >= self.summary.threshold }

    /// Those whose processes hold secret nonces for it: should one end, an attempt with it is lost.
    var mustStayRunning: [PublicKey] { self.summary.state.isOver ? [] : self.approvers }

    var culprits: [PublicKey] { self.summary.state.culprits }

    // MARK: - In words

    var lines: [String] {
        var lines = ["Where it stands: \(self.standing)."]
        guard !self.summary.state.isOver else { return lines + self.afterwards + [self.blame] }
        lines.append(self.waiting)
        lines += self.awaited.map { "  \(self.names.short($0)): \(self.reach($0))" }
        lines.append(
            "Coordinator in turn \(self.summary.progress.turn): \(self.name(self.summary.progress.coordinator)). Should nothing come of it, the "
                + "next one takes over by itself.")
        lines += self.running
        lines.append(self.end)
        lines.append(self.blame)
        return lines
    }

    private var standing: String { self.summary.state.words(self.names) }

    private var afterwards: [String] {
        switch self.summary.state {
        case .complete: ["Nobody has to stay running. The transaction is on its way to those who do not have it yet."]
        case .endedMayStillComplete:
            ["Its coins stay reserved: only a transaction that spends one of them, and is confirmed, makes sure that it never completes."]
        case .proposed, .approved, .signing, .rejected, .withdrawn, .expired, .aborted: ["Nothing more is signed for it here."]
        }
    }

    private var waiting: String {
        let (approved, threshold) = (self.approvers.count, self.summary.threshold)
        let isCoordinator = self.summary.progress.coordinator == self.own
        let count =
            "\(approved) of \(self.summary.members.count) members have approved\(isCoordinator ? "" : ", as far as this node knows"), and it "
            + "takes \(threshold)"
        if !self.isApprovedByEnough { return "\(count): it waits for \(threshold - approved) more, of these:" }
        guard !self.awaited.isEmpty else { return "\(count): it waits for its coordinator to begin, or for the signature." }
        return "\(count): it waits for the partial signatures of:"
    }

    private func reach(_ signer: PublicKey) -> String {
        if signer == self.own { return "that is you: chorale request approve \("\(self.summary.id)".prefix(EventReport.idDigitCount))" }
        guard let member = self.connectivity.first(where: { $0.signer == signer }) else {
            return "no machine is known that speaks for it: it was never enrolled here"
        }
        if member.connectedSince != nil { return "connected; the person has not answered yet, or the machine is busy" }
        if member.addresses.isEmpty { return "not connected, and no address is known: ask for its contact (chorale contact add)" }
        return
            "not connected\(member.failures > 0 ? ", after \(Amounts.count(member.failures, "dial")) that led to nothing" : ""); it is tried again"
    }

    private var running: [String] {
        guard !self.mustStayRunning.isEmpty else { return [] }
        let who = self.mustStayRunning.map(self.name).joined(separator: ", ")
        var lines = [
            "Must stay running until it is signed, connected or not: \(who). Their secret nonces live in their processes alone. Should one "
                + "end, nothing is lost but an attempt: the next begins by itself when it is back."
        ]
        if self.summary.threshold - self.approvers.count == 1 {
            lines.append("The next one to approve needs one visit only: all other nonces are there already.")
        }
        return lines
    }

    private var end: String {
        let expiry = self.summary.request.expiry
        guard expiry != 0 else { return "It does not expire." }
        guard expiry > self.now else { return "Its time is over." }
        return "It expires at \(UnixTime.text(expiry)), in \(UnixTime.span(expiry - self.now))."
    }

    private var blame: String {
        guard !self.culprits.isEmpty else { return "Nobody is proved to be at fault: silence and restarts prove nothing." }
        return "Proved to be at fault, by their own signed messages: \(self.culprits.map(self.name).joined(separator: ", "))."
    }

    private func name(_ signer: PublicKey) -> String { signer == self.own ? "you" : self.names.short(signer) }
}
