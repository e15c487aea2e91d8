internal import CryptoPrimitives
public import Signing

/// What a policy makes of one request.
public enum ApprovalNotice: Hashable, Sendable {
    /// It approves now; what follows from that is made durable first.
    case approves
    /// It approves at this time, in seconds since 1970, unless a person says no before.
    case waits(until: UInt64)
    /// A person decides, for these reasons.
    case asks([ApprovalReason])
    /// It refuses, for these reasons.
    case refuses([ApprovalReason])
    /// A person decides: nothing is approved automatically until the policy is set again.
    case isHalted(String)

    /// Whether the two tell a person the same. Amounts and times in the reasons change all the time.
    func tellsTheSame(as other: ApprovalNotice?) -> Bool {
        switch (self, other) {
        case (.approves, .approves?), (.waits, .waits?), (.asks, .asks?), (.refuses, .refuses?), (.isHalted, .isHalted?): true
        case (.approves, _), (.waits, _), (.asks, _), (.refuses, _), (.isHalted, _): false
        }
    }
}

/// What became of a group's policy.
public enum ApprovalPolicyNotice: Hashable, Sendable {
    /// It is durable, and in force from now on.
    case isInForce(ApprovalPolicy)
    /// A person decides everything from now on.
    case asks
    /// Nothing is approved automatically any more, for this reason, until the policy is set again.
    case isHalted(String)
    /// What should have been made durable is not, for this reason: what it was about is not approved.
    case isNotStored(String)
}

/// What a signer's machine may approve by itself in one group, what it approved, and what of both is on its way to the disk.
///
/// Whatever changes is written whole, one write at a time for each group: so of two requests that would fit alone the second finds the
/// first, on the disk too. A policy is in force once it is durable; while one is on its way, nothing is approved.
struct GroupApproval: Sendable {
    /// A decision that counts once the history that holds it is durable.
    struct Pending: Sendable {
        let decision: StoredRequest.Decision
        /// The write that it is in, once that is under way.
        var write: SigningWriteID?
    }

    struct Writing: Sendable {
        let id: SigningWriteID
        let revision: UInt64
    }

    /// As it was last set; `nil` where a person decides everything.
    private(set) var policy: ApprovalPolicy?
    var history: ApprovalHistory
    /// Why nothing is approved automatically; empty where nothing stands in the way.
    private(set) var halt = ""
    /// Goes up with the policy and the reason to halt.
    private(set) var revision: UInt64 = 0
    private(set) var durableRevision: UInt64 = 0
    private(set) var pending: [Bytes32: Pending] = [:]
    private(set) var writing: Writing?
    /// Whether the disk has something else.
    var isChanged = false

    init(history: ApprovalHistory) { self.history = history }

    /// What was kept. What cannot be read halts: a person sets the policy again, and the history begins anew.
    init(_ stored: StoredApproval, now: Moment) {
        do {
            self.history = try ApprovalHistory(parsing: stored.history)
            if !stored.policy.isEmpty { self.policy = try ApprovalPolicy(parsing: stored.policy) }
            self.halt = stored.halt
        } catch {
            self.history = ApprovalHistory(now: now)
            self.halt = "what was kept of automatic approvals cannot be read: \(error)"
        }
        self.history.look(now)
    }

    /// The policy that approves now, if any does.
    var policyInForce: ApprovalPolicy? { self.halt.isEmpty && self.revision == self.durableRevision ? self.policy : nil }

    var stored: StoredApproval {
        StoredApproval(policy: self.policy.map { Array($0.text.utf8) } ?? [], history: self.history.serialized(), halt: self.halt)
    }

    // MARK: The owner

    /// A person's word: it ends what stood in the way.
    mutating func set(_ policy: ApprovalPolicy?) {
        self.policy = policy
        self.halt = ""
        self.changed()
    }

    /// Nothing is approved from now on.
    mutating func stop(_ reason: String) {
        var reason = String(reason.unicodeScalars.map { $0.value < 0x20 || $0.value == 0x7f ? " " : Character($0) })
        while reason.utf8.count > StoredApproval.haltByteCountMax { reason.removeLast() }
        self.halt = reason.isEmpty ? "stopped" : reason
        self.changed()
    }

    /// Nothing is approved until all of it is durable as it is now, and what was about to be is judged again.
    mutating func changed() {
        self.revision += 1
        self.isChanged = true
        self.pending = self.pending.filter { $0.value.decision != .approved }
    }

    // MARK: Decisions that wait for the disk

    mutating func hold(_ decision: StoredRequest.Decision, about request: Bytes32) {
        self.pending[request] = Pending(decision: decision)
        self.isChanged = true
    }

    /// A newer word takes its place, or the request is over.
    mutating func forget(_ request: Bytes32) { self.pending[request] = nil }

    mutating func begin(_ write: SigningWriteID) {
        self.writing = Writing(id: write, revision: self.revision)
        self.isChanged = false
        for request in self.pending.keys where self.pending[request]?.write == nil { self.pending[request]?.write = write }
    }

    /// A write came to its end.
    ///
    /// - Returns: the decisions that were in it, by the requests' ids, and whether it was the first one with the policy as it is now; `nil`
    ///   for another write than the one that is under way.
    mutating func end(
        _ write: SigningWriteID, isDurable: Bool
    ) -> (decisions: [(request: Bytes32, decision: StoredRequest.Decision)], isNewPolicy: Bool)? {
        guard let writing = self.writing, writing.id == write else { return nil }
        self.writing = nil
        let isNewPolicy = isDurable && writing.revision == self.revision && self.durableRevision != self.revision
        if isDurable { self.durableRevision = writing.revision } else { self.isChanged = true }
        let done = self.pending.filter { $0.value.write == write }.sorted { $0.key < $1.key }
        for (request, _) in done { self.pending[request] = nil }
        return (done.map { ($0.key, $0.value.decision) }, isNewPolicy)
    }
}
