internal import Bitcoin
internal import CryptoPrimitives
public import Secp256k1

extension ApprovalPolicy {
    /// Says what becomes of a request, and why.
    ///
    /// All reasons are given, not the first only. Asked again at any time: it says the same of the same, and a request that the history
    /// already holds as approved does not count twice.
    ///
    /// - Parameters:
    ///   - proposer: who was proved to ask, by the signed proposal.
    ///   - history: what was approved before, as the owner keeps it.
    public func decide(_ request: SigningRequest, by proposer: PublicKey, history: ApprovalHistory, now: Moment) -> ApprovalDecision {
        let exposure = ApprovalExposure(request, under: self)
        var history = history
        history.look(now)
        let doubts = history.doubts(now, unseenMax: self.times.unseenMax)
        let hopeless = Self.whatNobodyMayApprove(request, exposure, proposer, isExpired: doubts.isEmpty && request.isExpired(at: now.time))
        guard hopeless.isEmpty else { return .never(hopeless) }
        let wait = history.waitingTimeLeft(of: request.digest, delay: self.times.delay)
        let reasons =
            doubts + self.reasons(against: request, exposure, proposer)
            + self.reasons(ofTime: request, now, wait, isTrusted: doubts.isEmpty)
            + self.reasons(ofDay: request, exposure, history)
        guard reasons.isEmpty else {
            return self.otherwise == .refuse && reasons.contains { !$0.passes } ? .never(reasons) : .ask(reasons)
        }
        return .approve(at: Moment(uptime: now.uptime + .seconds(Int64(clamping: wait)), time: now.time + wait))
    }

    /// A clock that is in doubt ends nothing for good.
    private static func whatNobodyMayApprove(
        _ request: SigningRequest, _ exposure: ApprovalExposure, _ proposer: PublicKey, isExpired: Bool
    ) -> [ApprovalReason] {
        var reasons: [ApprovalReason] = []
        if exposure.coins.isEmpty { reasons.append(.noCoinOfTheGroup) }
        if isExpired { reasons.append(.expired(request.expiry)) }
        if request.proposer != proposer { reasons.append(.notItsProposer(proposer)) }
        return reasons
    }

    /// What the request itself says.
    private func reasons(against request: SigningRequest, _ exposure: ApprovalExposure, _ proposer: PublicKey) -> [ApprovalReason] {
        var reasons: [ApprovalReason] = []
        if case .these(let allowed) = self.proposers, !allowed.contains(proposer) { reasons.append(.proposer(proposer)) }
        let isOwnInput = request.prevouts.map { $0.scriptPubKey == self.groupScript }
        if let input = isOwnInput.indices.first(where: { isOwnInput[$0] && !Self.coversAll(request.sighashTypes[$0]) }) {
            reasons.append(.sighashType(request.sighashTypes[input], input: input))
        }
        if !self.allowsCoinsOfOthers, let input = isOwnInput.firstIndex(of: false) { reasons.append(.coinOfOthers(input: input)) }
        if case .these(let allowed) = self.destinations {
            let outputs = request.transaction.outputs
            if let output = outputs.firstIndex(where: { !self.isOwn($0.scriptPubKey) && !allowed.contains($0.scriptPubKey) }) {
                reasons.append(.destination(outputs[output].scriptPubKey, output: output))
            }
        }
        if exposure.amount > self.limits.amountPerRequest {
            reasons.append(.amount(exposure.amount, limit: self.limits.amountPerRequest))
        }
        if request.fee > self.limits.fee { reasons.append(.fee(request.fee, limit: self.limits.fee)) }
        if request.fee > self.limits.feeRate.fee(forVirtualSize: exposure.virtualSizeMin) {
            reasons.append(.feeRate(fee: request.fee, virtualSize: exposure.virtualSizeMin, limit: self.limits.feeRate))
        }
        return reasons
    }

    private static func coversAll(_ type: SighashType) -> Bool {
        switch type {
        case .default, .all: true
        case .none, .single, .allAnyoneCanPay, .noneAnyoneCanPay, .singleAnyoneCanPay: false
        }
    }

    /// What the time says, now and when the delay is over.
    private func reasons(ofTime request: SigningRequest, _ now: Moment, _ wait: UInt64, isTrusted: Bool) -> [ApprovalReason] {
        var reasons: [ApprovalReason] = []
        if request.expiry == 0 { reasons.append(.neverExpires) }
        let (effect, overflows) = now.time.addingReportingOverflow(wait)
        guard !overflows else { return reasons + [.clockWasSet(seconds: .max)] }
        if isTrusted, request.isExpired(at: effect) { reasons.append(.expiresBeforeDelay(seconds: wait)) }
        if let windows = self.times.windows, !windows.contains(where: { $0.contains(effect) }) {
            reasons.append(.outsideOfWindows(opensAt: windows.compactMap { $0.nextOpening(after: effect) }.min()))
        }
        return reasons
    }

    /// What was approved before says.
    private func reasons(ofDay request: SigningRequest, _ exposure: ApprovalExposure, _ history: ApprovalHistory) -> [ApprovalReason] {
        var reasons: [ApprovalReason] = []
        let digest = request.digest
        let refused = history.refusedCoins
        if let coin = exposure.coins.first(where: { refused.contains($0.outPoint) }) { reasons.append(.refusedBefore(coin.outPoint)) }
        let count = history.approvalCount(besides: digest)
        if count >= self.limits.approvalsPerDay { reasons.append(.approvalsPerDay(count, limit: self.limits.approvalsPerDay)) }
        let standing = history.standingCharges(besides: digest)
        let counted = standing.values.reduce(UInt64(0)) { $0.addingClamped($1) }
        let added = exposure.charges(over: standing).reduce(UInt64(0)) { sum, charge in
            let before = standing[charge.coin] ?? 0
            return charge.amount > before ? sum + (charge.amount - before) : sum
        }
        if counted > self.limits.amountPerDay || added > self.limits.amountPerDay - counted {
            reasons.append(.amountPerDay(added, counted: counted, limit: self.limits.amountPerDay))
        }
        if !history.hasRoom(for: exposure, digest) { reasons.append(.historyFull) }
        return reasons
    }
}
