import Bitcoin
import CryptoPrimitives
import Secp256k1
import Signing
import SigningNode

// Requests: what is asked, decided, watched and explained.

extension NodeService {
    // MARK: - Showing

    /// - Parameter full: with everything that it pays and who said what.
    func json(_ summary: RequestSummary, full: Bool) async throws(ControlError) -> JSONValue {
        let (request, progress) = (summary.request, summary.progress)
        let names = try await self.names(of: summary.members + [summary.proposer])
        let paid = request.transaction.outputs.reduce(0) { $0 + ($1.scriptPubKey == summary.changeScript ? 0 : $1.amount) }
        var members: [(name: String, value: JSONValue)] = [
            ("request", .string("\(summary.id)")), ("group", .string(summary.groupName)), ("state", .string(summary.state.word)),
            ("is_over", .bool(summary.state.isOver)),
            ("reason", .string(summary.state.words(names, byPolicy: summary.isByPolicy))),
            ("decision", .string(summary.decision.word)), ("by_policy", .bool(summary.isByPolicy)),
            ("proposer", .string("\(summary.proposer)")), ("proposer_label", .optional(names[summary.proposer])),
            ("is_own", .bool(summary.proposer == self.node.signer)), ("note", .string(summary.terms.note)),
            ("created", .unsigned(summary.terms.createdAt)), ("expiry", .unsigned(request.expiry)), ("paid", .unsigned(paid)),
            ("fee", .unsigned(request.fee)), ("txid", .string("\(request.transaction.txid)")),
            ("approved_count", .integer(Self.approvedCount(summary))), ("threshold", .integer(summary.threshold)),
            ("knows_all_approvals", .bool(self.knowsAllApprovals(of: summary))),
            ("member_count", .integer(summary.members.count)), ("nonce_commitments", .bool(request.usesNonceCommitments)),
        ]
        members.append(("seen", summary.broadcastSeenAt.map(JSONValue.unsigned) ?? .null))
        guard full else { return .object(members) }
        members += [
            ("policy_digest", .string("\(summary.group)")), ("coordinator", .string("\(progress.coordinator)")),
            ("turn", .integer(Int(progress.turn))), ("signed_attempts", .array(progress.signedAttempts.map { .integer(Int($0)) })),
            ("inputs", self.inputs(of: summary)),
            (
                "outputs",
                .array(
                    request.transaction.outputs.map { output in
                        .object(
                            ScriptDescription.json(output, on: self.network)
                                + [("is_change", .bool(output.scriptPubKey == summary.changeScript))])
                    })
            ),
            ("members", .array(try await self.members(of: summary, names))),
            ("transaction", .optional(summary.transaction.map { Hex.encode($0.serialized()) })),
        ]
        return .object(members)
    }

    /// What is complete was agreed to by as many as it takes, whoever they are.
    private static func approvedCount(_ summary: RequestSummary) -> Int {
        max(summary.approvers.count, summary.state == .complete ? summary.threshold : 0)
    }

    private func knowsAllApprovals(of summary: RequestSummary) -> Bool {
        guard !summary.isPast else { return summary.state == .complete }
        return summary.progress.coordinator == self.node.signer || summary.approvers.count == summary.members.count
    }

    private func inputs(of summary: RequestSummary) -> JSONValue {
        let request = summary.request
        return .array(
            zip(request.transaction.inputs, request.prevouts).map { input, coin in
                .object(
                    [("output", .string("\(input.previousOutput)"))] + ScriptDescription.json(coin, on: self.network)
                        + [("is_group", .bool(coin.scriptPubKey == summary.changeScript))])
            })
    }

    private func members(of summary: RequestSummary, _ names: SignerNames) async throws(ControlError) -> [JSONValue] {
        let connected = Set(try await self.connectivity().filter { $0.method != nil }.map(\.signer))
        let (approved, refused) = (Set(summary.approvers), Set(summary.progress.refused))
        return summary.members.map { member in
            let says = approved.contains(member) ? "approved" : refused.contains(member) ? "refused" : "nothing"
            return .object([
                "public_key": .string("\(member)"), "label": .optional(names[member]), "is_self": .bool(member == self.node.signer),
                "says": .string(says), "is_connected": .bool(member == self.node.signer || connected.contains(member)),
            ])
        }
    }

    func showRequest(_ request: NodeRequest) async throws(ControlError) -> JSONValue {
        let summary = try await self.summary(request)
        let policy: (any SpendingPolicy)?
        do throws(SigningNodeError) { policy = try await self.node.policy(of: summary.group) } catch { throw Self.failure(error) }
        guard let policy, case .object(var members) = try await self.json(summary, full: true) else {
            throw .failed("the policy of the group \(summary.groupName.printable) is not known")
        }
        if summary.state.isOver {
            members.append(
                (
                    "next",
                    .array(ExplanationText.afterwards(summary.state, of: summary.id, seenAt: summary.broadcastSeenAt).map(JSONValue.string))
                ))
        }
        // Of what only the store has, the policy is asked no more.
        let opinion = summary.isPast ? PolicyOpinion(notice: nil, isOwn: false) : try await self.notice(of: summary)
        members.append(("policy", .object(opinion.members)))
        members += try await self.report(summary.request, under: policy, request)
        // Of what is decided on already the policy is asked no more.
        guard summary.decision == .undecided, !summary.state.isOver, opinion.notice != nil else { return .object(members) }
        return .object(members.map { $0.name == "report" ? ($0.name, Self.line(opinion, beside: $0.value)) : $0 })
    }

    /// What is to be signed, for the person who decides, as `cosign` shows it.
    private func report(
        _ signing: SigningRequest, under policy: any SpendingPolicy, _ request: NodeRequest
    ) async throws(ControlError) -> [(name: String, value: JSONValue)] {
        let task = CosignTask(
            request: signing, policy: policy, signer: self.node.signer, names: try await self.names(of: policy.members),
            network: self.network, set: nil)
        var lines = CosignReport(task: task, style: Style(isOn: request.isOn("in_colour"))).lines()
        if signing.usesNonceCommitments {
            lines += ["", "The signers commit to their nonces before any of them shows its own: that takes one round more."]
        }
        return [("has_unusual_fee", .bool(task.hasUnusualFee)), ("report", .array(lines.map(JSONValue.string)))]
    }

    /// Of what is over for long nothing goes anywhere any more.
    private func waitingMail(of summary: RequestSummary) async throws(ControlError) -> [MemberMail] {
        do throws(SigningNodeError) { return try await self.node.mail(about: summary.id) } catch { throw Self.failure(error) }
    }

    private static func line(_ opinion: PolicyOpinion, beside report: JSONValue) -> JSONValue {
        .array(report.asArray + [.string(""), .string("What the node may do by itself: \(opinion.words.printable).")])
    }

    // MARK: - Asking

    /// Asks a group to sign, or only shows what would be asked.
    func propose(_ request: NodeRequest) async throws(ControlError) -> JSONValue {
        let group = try await self.storedGroup(named: request.text("group"))
        let policy = try await self.policy(of: group)
        let subject = try self.subject(request, policy)
        // All that stands in its way is told before anybody is asked to agree.
        let replaced = try await self.replaced(request)
        let connectivity = try self.connectivity(request, policy)
        try await self.checkCoins(of: subject, replacing: replaced)
        guard !request.isOn("is_preview") else {
            return .object([("txid", .string("\(subject.transaction.txid)"))] + (try await self.report(subject, under: policy, request)))
        }
        let (note, seconds) = (try request.optionalText("note") ?? "", try request.integer("seconds", 1...30 * 86_400))
        // Before the request, so that nothing of it is missed.
        let events = await self.node.events(after: .max - 1)
        let id: Bytes32
        do throws(SigningNodeError) {
            id = try await self.node.propose(
                subject.transaction, prevouts: subject.prevouts, group: group.policyDigest, note: note, seconds: UInt64(seconds),
                replaces: replaced, connectivity: connectivity, usesNonceCommitments: request.isOn("nonce_commitments"))
        } catch {
            guard case .notConnected(let report) = error else { throw Self.failure(error) }
            throw try await self.notConnected(report)
        }
        // Who has the id can rely on the request, and on the own agreement to it, whatever happens to the node.
        try await self.wait(for: .approved, about: id, in: events)
        return .object(["request": .string("\(id)"), "group": .string(group.name), "txid": .string("\(subject.transaction.txid)")])
    }

    /// The request that is to be replaced.
    private func replaced(_ request: NodeRequest) async throws(ControlError) -> Bytes32? {
        guard let digits = try request.optionalText("replaces") else { return nil }
        do throws(ControlError) { return try await self.summary(of: digits).id } catch {
            throw ControlError(error.kind, "nothing can be replaced: \(error.message)")
        }
    }

    /// Refuses coins that another request spends.
    private func checkCoins(of subject: SigningRequest, replacing replaced: Bytes32?) async throws(ControlError) {
        do throws(SigningNodeError) { try await self.node.checkCoins(of: subject.transaction, replacing: replaced) } catch {
            throw Self.failure(error)
        }
    }

    /// Who must be connected before anybody is asked; `nil` where nobody must.
    private func connectivity(_ request: NodeRequest, _ policy: any SpendingPolicy) throws(ControlError) -> ConnectivityOptions? {
        let seconds = try request.optionalInteger("connect_within", RequestCommands.connectWithinBounds)
        let limit = seconds.map { Duration.seconds($0) } ?? ConnectivityOptions.timeLimitDefault
        if request.isOn("requires_all") { return ConnectivityOptions(requirement: .all, timeLimit: limit) }
        guard let count = try request.optionalInteger("connected_min", 1...StoredGroup.memberCountMax) else { return nil }
        let allowed = policy.threshold...policy.members.count
        guard allowed.contains(count) else { throw Self.failure(.machine(.connectedCount(count, allowed: allowed))) }
        return ConnectivityOptions(requirement: .atLeast(count), timeLimit: limit)
    }

    private func notConnected(_ report: ConnectivityReport) async throws(ControlError) -> ControlError {
        let names = try await self.names(of: report.participants.map(\.signer))
        let missing = report.missing.map { participant in
            let name = names.short(participant.signer)
            switch participant.state {
            case .failed(let error): return "\(name): \(error)\(error.isRetryable ? " (it may be there later)" : "")"
            case .trying, .connected: return "\(name): it is still tried"
            }
        }
        let connected = report.connected.map(names.short)
        return .missing(
            "nobody is asked, for not enough members are connected. Away: \(missing.joined(separator: "; ")). "
                + (connected.isEmpty ? "Nobody else is connected. " : "Connected: \(connected.joined(separator: ", ")). ")
                + "Have those who are away start their nodes (chorale node run), and ask again; or ask without requiring them: the request "
                + "then waits until they are there")
    }

    private func subject(_ request: NodeRequest, _ policy: any SpendingPolicy) throws(ControlError) -> SigningRequest {
        let text = try request.text("psbt")
        let psbt: PSBT
        do throws(PSBTError) { psbt = try PSBT(base64: text) } catch { throw .failed("the PSBT: \(error)") }
        do {
            let prevouts = try psbt.spentOutputs()
            guard prevouts.contains(where: { $0.scriptPubKey == policy.scriptPubKey }) else {
                throw ControlError.failed("the PSBT spends no coin of this group")
            }
            for (index, input) in psbt.inputs.enumerated() where prevouts[index].scriptPubKey == policy.scriptPubKey {
                let type = try input.sighashType.map { value throws(SighashError) in try SighashType(parsing: value) } ?? .default
                guard PSBTSubject.usualSighashTypes.contains(type) else {
                    throw ControlError.failed("input \(index) asks for a signature of type \(type): ask for DEFAULT or ALL")
                }
            }
            return try SigningRequest(
                transaction: psbt.unsignedTransaction, prevouts: prevouts, policyDigest: policy.digest, proposer: self.node.signer,
                usesNonceCommitments: request.isOn("nonce_commitments"))
        } catch let error as ControlError { throw error } catch { throw .failed("the PSBT: \(error)") }
    }

    // MARK: - Deciding

    /// Says what the owner decided, and returns when that is durable.
    func decide(_ request: NodeRequest) async throws(ControlError) -> JSONValue {
        // Before anything is looked at, so that nothing of the decision is missed, whoever else makes it at the same time.
        let events = await self.node.events(after: .max - 1)
        let summary = try await self.summary(request)
        if let over = summary.overText(try await self.names(of: summary.members)) { throw .failed(over) }
        let wanted: StoredRequest.Decision
        do throws(SigningNodeError) {
            switch request.name {
            case "request.approve":
                wanted = .approved
                try await self.node.approve(summary.id)
            case "request.reject":
                wanted = .rejected
                try await self.node.reject(summary.id)
            case "request.withdraw":
                wanted = .withdrawn
                try await self.node.withdraw(summary.id)
            default:
                wanted = .cancelled
                try await self.node.cancel(summary.id)
            }
        } catch { throw Self.failure(error) }
        if summary.decision != wanted { try await self.wait(for: wanted, about: summary.id, in: events) }
        return try await self.json(self.summary(of: "\(summary.id)"), full: false)
    }

    /// Until a decision is durable, or came too late.
    func wait(
        for decision: StoredRequest.Decision, about id: Bytes32, in events: AsyncStream<(cursor: UInt64, event: SigningNodeEvent)>
    ) async throws(ControlError) {
        for await (_, event) in events {
            switch event {
            case .decided(id, decision): return
            case .notStored(id, let reason): throw .failed("the decision could not be made durable: \(reason)")
            case .request(id, .ended), .request(id, .complete):
                // Where it ended by the decision, or beside it, that is still to be told.
                let summary = try await self.living(id)
                if summary?.decision == decision { continue }
                throw .failed(
                    try await summary?.overText(self.names(of: summary?.members ?? []))
                        ?? "the request was over before the decision was durable, and nothing is decided: see chorale request show "
                        + "\("\(id)".prefix(EventReport.idDigitCount))")
            default: continue
            }
        }
        throw .failed("the node ended before the decision was durable: look at the request when it runs again")
    }

    /// A request that a machine of this process still answers for.
    private func living(_ id: Bytes32) async throws(ControlError) -> RequestSummary? {
        do throws(SigningNodeError) { return try await self.node.request(id) } catch { throw Self.failure(error) }
    }

    // MARK: - Watching and explaining

    /// Tells what happens: all of it from now or a cursor on, or what is about one request, up to its end.
    func watch(_ request: NodeRequest, _ reply: ControlReply) async throws(ControlError) {
        let cursor = try request.optionalInteger("after", 0...(.max - 1)).map(UInt64.init)
        guard try request.optionalText("id") != nil else {
            for await (cursor, event) in await self.node.events(after: cursor ?? .max - 1) {
                try await reply.send(self.json(self.report(event), cursor: cursor))
            }
            return
        }
        // Before its state is looked at, so that its end is not missed.
        let events = await self.node.events(after: cursor ?? 0)
        let summary = try await self.summary(request)
        if !summary.state.isOver { try await self.tell(events, of: summary.id, reply) }
        let last = try await self.living(summary.id)
        let (state, byPolicy) = (last?.state ?? summary.state, last?.isByPolicy ?? summary.isByPolicy)
        let words = state.words(try await self.names(of: summary.members), byPolicy: byPolicy)
        try await reply.send(
            .object([
                "event": .string("over"), "request": .string("\(summary.id)"), "state": .string(state.word),
                "reason": .string(words), "txid": .string("\(summary.request.transaction.txid)"),
                "text": .string(EventReport.line("is over: \(words)", of: summary.id)),
            ]))
    }

    /// Tells what is about one request, up to its end.
    func tell(
        _ events: AsyncStream<(cursor: UInt64, event: SigningNodeEvent)>, of id: Bytes32, _ reply: ControlReply
    ) async throws(ControlError) {
        var last: UInt64?
        for await (cursor, event) in events {
            // Whoever reads slowly misses the oldest of what came meanwhile, and the end may be among it.
            let isMissing = last.map { cursor != $0 + 1 } ?? false
            last = cursor
            if isMissing, try await self.living(id)?.state.isOver ?? true { return }
            guard EventReport(event: event).request == id else { continue }
            try await reply.send(self.json(self.report(event), cursor: cursor))
            switch event {
            case .request(_, .complete), .request(_, .ended): return
            default: continue
            }
        }
    }

    /// With the line that people read, for whoever shows it.
    private func json(_ report: EventReport, cursor: UInt64) async throws(ControlError) -> JSONValue {
        guard case .object(let members) = report.json(cursor: cursor) else { return .null }
        return .object(members + [("text", .string(report.text(try await self.names(of: report.signers))))])
    }

    func explain(_ request: NodeRequest) async throws(ControlError) -> JSONValue {
        let summary = try await self.summary(request)
        let explanation: RequestExplanation
        do throws(SigningNodeError) { explanation = try await self.node.explain(summary.id) } catch { throw Self.failure(error) }
        let mail = try await self.waitingMail(of: summary)
        let text = ExplanationText(
            explanation: explanation, names: try await self.names(of: summary.members + [summary.proposer]),
            now: WallClock.secondsSince1970, isByPolicy: summary.isByPolicy, mail: mail)
        func keys(_ keys: [PublicKey]) -> JSONValue { .array(keys.map { .string("\($0)") }) }
        let (missing, awaited) = explanation.missing.json
        return .object([
            "request": .string("\(summary.id)"), "group": .string(summary.groupName), "state": .string(explanation.state.word),
            "decision": .string(explanation.decision.word), "missing": .string(missing), "awaited": keys(awaited),
            "approved": keys(explanation.approvers), "refused": keys(explanation.refusers),
            "approved_may_be_more": .bool(explanation.approversMayBeMore), "threshold": .integer(explanation.threshold),
            "must_stay_running": keys(explanation.mustStayRunning), "one_visit_suffices": .bool(explanation.oneVisitSuffices),
            "coordinator": .string("\(explanation.coordinator)"), "turn": .integer(Int(explanation.turn)),
            "is_signature_out": .bool(explanation.isSignatureOut), "expiry": .unsigned(explanation.expiry),
            "seen": explanation.broadcastSeenAt.map(JSONValue.unsigned) ?? .null,
            "blamed": keys(explanation.culprits), "clones": keys(explanation.clones), "advice": .array(explanation.advice.map(\.json)),
            "ended_enrolments": .array(
                explanation.endedEnrolments.map {
                    .object(["public_key": .string("\($0.signer)"), "expiry": .unsigned($0.endedAt)])
                }),
            "mail": .array(
                mail.map { mail in
                    .object([
                        "public_key": .string("\(mail.signer)"), "waiting": .integer(mail.waitingCount), "left": .integer(mail.leftCount),
                    ])
                }),
            "explanation": .array(text.lines.map(JSONValue.string)),
        ])
    }
}
