public import CryptoPrimitives
internal import LibP2P
internal import LibP2PPosix
public import Signing

// What the signer's machine may approve by itself.

extension SigningNode {
    /// Says what this signer's machine may approve by itself in a group, in this process and in later ones; `nil` has a person asked about
    /// everything. Returns when it is durable, and in force.
    ///
    /// What was approved before counts on, and requests that nobody has decided on are judged by it. What the policy says of each request
    /// comes as the event `approval`.
    public func setApprovalPolicy(_ policy: ApprovalPolicy?, of group: Bytes32) async throws(SigningNodeError) {
        try await self.change(group) { machine, now throws(SigningMachineError) in
            try machine.setApprovalPolicy(policy, of: group, now: now)
        }
    }

    /// Whether a policy can be set in a group: it is about the group's coins, on the signer's network.
    public func check(_ policy: ApprovalPolicy, of group: Bytes32) async throws(SigningNodeError) {
        try await self.ask { machine, _ throws(SigningMachineError) in try machine.check(policy, of: group) }
    }

    /// A person says that the time of day is right: what passed while nothing ran counts from now on.
    public func confirmClock(of group: Bytes32) async throws(SigningNodeError) {
        try await self.change(group) { machine, now throws(SigningMachineError) in try machine.confirmClock(of: group, now: now) }
    }

    /// A person wants the coins that were refused to be judged by the policy again.
    public func forgetRefusals(of group: Bytes32) async throws(SigningNodeError) {
        try await self.change(group) { machine, now throws(SigningMachineError) in try machine.forgetRefusals(of: group, now: now) }
    }

    /// Approves nothing automatically any more, in any group and any later process, until the policies are set again: something is wrong
    /// with the key, or with this copy of it.
    public func haltAutomaticApproval(_ reason: String) async throws(SigningNodeError) {
        try await self.ask { machine, now throws(SigningMachineError) in machine.haltAutomaticApproval(reason, now: now) }
    }

    /// The policy of a group, and why it approves nothing, where it does not; `nil` where a person is asked about everything.
    public func approvalPolicy(of group: Bytes32) async throws(SigningNodeError) -> (policy: ApprovalPolicy?, halt: String) {
        try await self.ask { machine, _ throws(SigningMachineError) in
            (machine.approvalPolicy(of: group), machine.approvalHalt(of: group))
        }
    }

    /// What a policy makes of a request now. Nothing follows from the question.
    ///
    /// - Parameter policy: one that is not set, to see what it would say; `nil` for the group's own.
    /// - Returns: `nil` where a person is asked about everything, and for requests of our own.
    public func approvalNotice(
        of id: Bytes32, under policy: ApprovalPolicy? = nil
    ) async throws(SigningNodeError) -> ApprovalNotice? {
        try await self.ask { machine, now throws(SigningMachineError) in try machine.approvalNotice(of: id, under: policy, now: now) }
    }

    /// Changes something of a group's policy, and returns when that is durable.
    private func change(
        _ group: Bytes32, _ body: @escaping @Sendable (inout SigningMachine, Duration) throws(SigningMachineError) -> Void
    ) async throws(SigningNodeError) {
        // Before the change, so that nothing of it is missed.
        let events = self.events(after: .max - 1)
        try await self.ask(body)
        for await (_, event) in events {
            guard case .policy(group, let notice) = event else { continue }
            if case .isNotStored(let reason) = notice { throw .policyNotStored(reason) }
            return
        }
        throw .notRunning
    }
}
