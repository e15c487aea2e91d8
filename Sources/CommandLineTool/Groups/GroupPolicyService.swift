import Bitcoin
import CryptoPrimitives
import Signing
import SigningNode

// What a node may approve by itself in a group.

extension NodeService {
    func showPolicy(_ request: NodeRequest) async throws(ControlError) -> JSONValue {
        let group = try await self.storedGroup(named: request.text("name"))
        let (policy, halt): (ApprovalPolicy?, String)
        do throws(SigningNodeError) { (policy, halt) = try await self.node.approvalPolicy(of: group.policyDigest) } catch {
            throw Self.failure(error)
        }
        let state = !halt.isEmpty ? "halted" : policy == nil ? "ask" : "in_force"
        return .object([
            "name": .string(group.name), "state": .string(state), "reason": .optional(halt.isEmpty ? nil : halt),
            "policy": .optional(policy?.text), "report": .array((policy.map(self.lines) ?? []).map(JSONValue.string)),
        ])
    }

    /// Sets the policy of a group, or none; or only says what it would let out.
    func setPolicy(_ request: NodeRequest) async throws(ControlError) -> JSONValue {
        let group = try await self.storedGroup(named: request.text("name"))
        let policy = try Self.policy(in: request)
        guard !request.isOn("is_preview") else {
            try await self.check(policy, of: group.policyDigest)
            return .object([
                "name": .string(group.name), "report": .array((policy.map(self.lines) ?? []).map(JSONValue.string)),
            ])
        }
        do throws(SigningNodeError) { try await self.node.setApprovalPolicy(policy, of: group.policyDigest) } catch {
            throw Self.failure(error)
        }
        return try await self.showPolicy(request)
    }

    /// - Parameter change: is durable when it returns.
    func changePolicy(
        _ request: NodeRequest, _ change: (Bytes32) async throws(SigningNodeError) -> Void
    ) async throws(ControlError) -> JSONValue {
        let group = try await self.storedGroup(named: request.text("name"))
        do throws(SigningNodeError) { try await change(group.policyDigest) } catch { throw Self.failure(error) }
        return try await self.showPolicy(request)
    }

    /// What a policy, set or not, makes of a request.
    func tryPolicy(_ request: NodeRequest) async throws(ControlError) -> JSONValue {
        let group = try await self.storedGroup(named: request.text("name"))
        let summary = try await self.summary(request)
        guard summary.group == group.policyDigest else {
            throw .failed("the request is one of the group \(summary.groupName.printable), not of \(group.name.printable)")
        }
        // No policy is asked about what nobody is answered about any more.
        if summary.isPast, let over = summary.overText(try await self.names(of: summary.members)) { throw .failed(over) }
        let policy = try Self.policy(in: request)
        try await self.check(policy, of: group.policyDigest)
        let notice = try await self.notice(of: summary, under: policy)
        return .object([("request", .string("\(summary.id)"))] + notice.members + [("text", .string(notice.words))])
    }

    private static func policy(in request: NodeRequest) throws(ControlError) -> ApprovalPolicy? {
        guard let text = try request.optionalText("policy") else { return nil }
        do throws(ApprovalPolicyError) { return try ApprovalPolicy(parsing: Array(text.utf8)) } catch {
            throw .failed("the policy: \(error)")
        }
    }

    private func check(_ policy: ApprovalPolicy?, of group: Bytes32) async throws(ControlError) {
        guard let policy else { return }
        do throws(SigningNodeError) { try await self.node.check(policy, of: group) } catch { throw Self.failure(error) }
    }

    /// - Parameter policy: one that is not set; `nil` for the group's own.
    func notice(of summary: RequestSummary, under policy: ApprovalPolicy? = nil) async throws(ControlError) -> PolicyOpinion {
        do throws(SigningNodeError) {
            let notice = try await self.node.approvalNotice(of: summary.id, under: policy)
            return PolicyOpinion(notice: notice, isOwn: summary.proposer == self.node.signer)
        } catch { throw Self.failure(error) }
    }

    /// What a policy lets out, for people.
    private func lines(_ policy: ApprovalPolicy) -> [String] {
        var report = Report(style: Style(isOn: false))
        let width = 16
        func field(_ label: String, _ values: [String]) { report.field(label, values, indent: 2, width: width) }
        func script(_ script: Script) -> String { ScriptDescription.recipient(script, on: policy.network) }
        report.line("Approves by itself, for \(script(policy.groupScript)):")
        switch policy.proposers {
        case .any: field("asked by", ["any member"])
        case .these(let keys): field("asked by", keys.isEmpty ? ["nobody"] : keys.map(\.description).sorted())
        }
        switch policy.destinations {
        case .anywhere: field("paid to", ["any address"])
        case .these(let scripts): field("paid to", scripts.isEmpty ? ["nobody: only back to the group"] : scripts.map(script).sorted())
        }
        if !policy.otherOwnScripts.isEmpty { field("uncounted to", policy.otherOwnScripts.map(script).sorted()) }
        let limits = policy.limits
        field("in a request", ["up to \(Amounts.satoshi(limits.amountPerRequest)), with a fee of up to \(Amounts.satoshi(limits.fee))"])
        field("fee rate", ["up to \(limits.feeRate)"])
        field(
            "in 24 hours",
            ["up to \(Amounts.satoshi(limits.amountPerDay)), in up to \(Amounts.count(limits.approvalsPerDay, "approval"))"])
        field("when", policy.times.windows.map { $0.map { "\($0) UTC" } } ?? ["at any time"])
        let delay = policy.times.delay
        field("after", [delay == 0 ? "no delay" : "\(UnixTime.span(delay)), in which you can reject it"])
        if policy.allowsCoinsOfOthers { field("coins of others", ["may be spent with the group's"]) }
        field("all else", [policy.otherwise == .refuse ? "is refused" : "is left to you"])
        return report.lines
    }
}

/// What a policy says of a request, or that none is asked.
struct PolicyOpinion {
    let notice: ApprovalNotice?
    let isOwn: Bool

    var members: [(name: String, value: JSONValue)] {
        self.notice?.members ?? [("policy", .string("none")), ("reasons", .array([]))]
    }

    var words: String {
        self.notice?.words ?? (self.isOwn ? "you asked for it yourself: no policy is asked" : "there is no policy: it is left to you")
    }
}
