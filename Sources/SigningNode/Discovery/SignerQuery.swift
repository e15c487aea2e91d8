internal import CryptoPrimitives
public import Secp256k1
internal import Signing

/// Which signers are looked for. What is not said does not matter.
public struct SignerQuery: Hashable, Sendable {
    /// Only this key.
    public var signer: PublicKey?
    /// All of these.
    public var kinds: TransactionKinds
    /// Of one transaction, in satoshi.
    public var amount: UInt64?
    /// Most that it may cost for the amount, or for nothing where none is said, in satoshi.
    public var feeMax: UInt64?
    /// Longest response time in seconds. Who does not say is not found by it.
    public var responseSecondsMax: UInt32?

    public init(
        signer: PublicKey? = nil, kinds: TransactionKinds = [], amount: UInt64? = nil, feeMax: UInt64? = nil,
        responseSecondsMax: UInt32? = nil
    ) {
        self.signer = signer
        self.kinds = kinds
        self.amount = amount
        self.feeMax = feeMax
        self.responseSecondsMax = responseSecondsMax
    }

    /// Whether an advertisement is one that is looked for, at this time in seconds since 1970.
    public func matches(_ advertisement: SignerAdvertisement, at now: UInt64) -> Bool {
        guard let offer = advertisement.offer, !advertisement.isExpired(at: now) else { return false }
        let standing = advertisement.enrolments.filter { !$0.isExpired(at: now) }
        guard !standing.isEmpty, self.signer.map({ signer in standing.contains { $0.signer == signer } }) ?? true else { return false }
        guard offer.kinds.isSuperset(of: self.kinds), self.amount.map(offer.amounts.contains) ?? true else { return false }
        if let feeMax, offer.fee.total(for: self.amount ?? 0) > feeMax { return false }
        if let responseSecondsMax, offer.responseSeconds == 0 || offer.responseSeconds > responseSecondsMax { return false }
        return true
    }

    /// The cheapest first, then the quickest; what is alike by its identity, so that the order is always the same.
    public func sorted(_ found: [SignerAdvertisement]) -> [SignerAdvertisement] {
        func rank(_ one: SignerAdvertisement) -> (UInt64, UInt32) {
            let response = one.offer?.responseSeconds ?? 0
            return (one.offer?.fee.total(for: self.amount ?? 0) ?? .max, response == 0 ? .max : response)
        }
        return found.sorted { left, right in
            let (a, b) = (rank(left), rank(right))
            return a == b ? left.identity.bytes.lexicographicallyPrecedes(right.identity.bytes) : a < b
        }
    }
}
