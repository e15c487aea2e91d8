public import CryptoPrimitives
public import Secp256k1

/// A signer that the owner of this node knows.
public struct Contact: Hashable, Sendable {
    public let signer: PublicKey
    /// What the owner calls the signer.
    public var label: String
    /// The enrolment with the highest version that was seen.
    public package(set) var enrolment: Enrolment?
    /// Where the signer's machine was last found, as multiaddrs.
    public package(set) var addresses: [String]
    /// Whether the owner compared the signer's words by voice, for the identity that is enrolled now.
    public var isVerified: Bool
    /// Seconds since 1970 until which nothing of the signer is listened to; 0 for not at all.
    public var blockedUntil: UInt64

    public init(signer: PublicKey, label: String, isVerified: Bool = false, blockedUntil: UInt64 = 0) {
        self.signer = signer
        self.label = label
        self.enrolment = nil
        self.addresses = []
        self.isVerified = isVerified
        self.blockedUntil = blockedUntil
    }

    /// Bytes of a label, in UTF-8.
    public static let labelByteCountMax = 64
    /// Addresses of one contact, and bytes of each. What a peer says of itself decides them, so there are few.
    public static let addressCountMax = 16
    public static let addressByteCountMax = 512
}

/// The address book. Only its owner adds to it; what others say changes entries that are there.
public protocol ContactStore: Sendable {
    /// Adds a contact, or changes the label, verification and block of the one with this key. Its enrolment and addresses stay.
    func put(_ contact: Contact) async throws(StoreError)

    func contact(_ signer: PublicKey) async throws(StoreError) -> Contact?

    /// Contacts in the order of their keys, at most so many, from behind `signer` on.
    func contacts(after signer: PublicKey?, countMax: Int) async throws(StoreError) -> [Contact]

    /// Keeps a newer enrolment of a contact. One of another identity ends the contact's verification.
    ///
    /// - Throws: `notFound` for who is no contact; `stale` for a lower version; `differentStands` for another one of the same version.
    func learn(_ enrolment: Enrolment) async throws(StoreError)

    /// Puts the addresses in place of those that stand.
    func setAddresses(_ addresses: [String], of signer: PublicKey) async throws(StoreError)

    func remove(_ signer: PublicKey) async throws(StoreError)
}

/// A signing group that this node belongs to.
public struct StoredGroup: Hashable, Sendable {
    public let name: String
    /// What makes the policy again.
    public let policy: [UInt8]
    public let policyDigest: Bytes32
    /// The enrolments of those members that are known, each once, with the highest version.
    public let members: [Enrolment]

    public init(name: String, policy: [UInt8], policyDigest: Bytes32, members: [Enrolment]) {
        self.name = name
        self.policy = policy
        self.policyDigest = policyDigest
        self.members = members
    }

    /// Bytes of a name, in UTF-8.
    public static let nameByteCountMax = 64
    /// Bytes of a policy record: that of 1,000 signers has 33,042.
    public static let policyByteCountMax = 64 << 10
    public static let memberCountMax = 1_000
}

/// The groups. Only the owner adds and removes them.
public protocol GroupStore: Sendable {
    /// Adds a group, or its members' newer enrolments to the one of this policy. Members that stand stay, and older enrolments change nothing.
    ///
    /// - Throws: `differentStands` when its name or its policy's digest is another group's.
    func put(_ group: StoredGroup) async throws(StoreError)

    func group(_ policyDigest: Bytes32) async throws(StoreError) -> StoredGroup?
    func group(named name: String) async throws(StoreError) -> StoredGroup?

    /// Names and policy digests by name, at most so many, from behind `name` on.
    func groups(after name: String?, countMax: Int) async throws(StoreError) -> [(name: String, policyDigest: Bytes32)]

    func remove(_ policyDigest: Bytes32) async throws(StoreError)
}
