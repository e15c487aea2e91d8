public import CryptoPrimitives

/// What a signer's machine may approve by itself in one group, and what it approved, as it is kept.
public struct StoredApproval: Hashable, Sendable {
    /// The text of an `ApprovalPolicy`; empty where a person decides everything.
    public let policy: [UInt8]
    /// What `ApprovalHistory.serialized()` gave. It stays when the policy goes: another one does not begin a day anew.
    public let history: [UInt8]
    /// Why nothing is approved automatically until a person sets the policy again; empty where nothing stands in the way.
    public let halt: String

    public init(policy: [UInt8], history: [UInt8], halt: String) {
        self.policy = policy
        self.history = history
        self.halt = halt
    }

    /// Bytes of a reason to halt, in UTF-8.
    public static let haltByteCountMax = 500
}

/// What a group's policy may approve from now on, as it is made durable together with what made it so.
public struct ApprovalHalt: Hashable, Sendable {
    /// The group's policy digest.
    public let group: Bytes32
    public let approval: StoredApproval

    public init(group: Bytes32, approval: StoredApproval) {
        self.group = group
        self.approval = approval
    }
}

/// What is approved automatically, group by group.
public protocol ApprovalStore: Sendable {
    /// Keeps this in place of what stands; durable when it returns.
    ///
    /// - Throws: `notFound` where there is no such group; `tooLarge`.
    func put(_ approval: StoredApproval, of group: Bytes32) async throws(StoreError)

    /// - Returns: `nil` where nobody ever set a policy.
    func approval(of group: Bytes32) async throws(StoreError) -> StoredApproval?
}
