public import Bitcoin
public import CryptoPrimitives
public import MuSig2
public import Secp256k1

/// Who may spend a group's coins together, and how: what a signing session asks of a wallet.
public protocol SpendingPolicy: Sendable {
    /// The script of every coin of this policy.
    var scriptPubKey: Script { get }

    /// Digest of the policy, which the request's digest T0 covers.
    var digest: Bytes32 { get }

    /// All signers, in the policy's order.
    var members: [PublicKey] { get }

    /// How many signers a set has at least.
    var threshold: Int { get }

    /// The one set that can sign, where all signers are needed; `nil` where it depends on who is present.
    var onlySet: [PublicKey]? { get }

    /// The set that signs when these are present: the one with the cheapest path; `nil` while they are too few.
    func chooseSet(among present: Set<PublicKey>) -> [PublicKey]?

    /// How a set of signers spends: its keys in the order of aggregation, and the path.
    ///
    /// - Parameter signers: the chosen set, in any order, or `nil` for all signers of an n-of-n group.
    /// - Throws: `SigningError.transaction` when this set cannot spend, with the reason.
    func spend(by signers: [PublicKey]?) throws(SigningError) -> (signers: [PublicKey], path: SpendPath)

    /// The keys of a set as one, in the order that `spend` named and without a tweak.
    ///
    /// Left out, they are aggregated for each plan anew, at some 30 µs a key.
    func keyAggregation(of set: [PublicKey]) throws(SigningError) -> KeyAggregation

    /// The same with the tweak of the set's key path, where the policy has it at hand.
    ///
    /// Left out, it is made for each plan anew, at the price of a point multiplication.
    func tweakedKeyAggregation(of set: [PublicKey]) -> KeyAggregation?
}

extension SpendingPolicy {
    public func tweakedKeyAggregation(of set: [PublicKey]) -> KeyAggregation? { nil }

    public func keyAggregation(of set: [PublicKey]) throws(SigningError) -> KeyAggregation {
        do { return try KeyAggregation(set) } catch { throw .musig(error, signer: nil, input: nil) }
    }
}

/// All signers together: a Taproot output whose internal key is the MuSig2 aggregate of its signers.
public struct SignerGroup: SpendingPolicy {
    /// The signers' keys as one, before any tweak.
    public let keys: KeyAggregation
    /// The key that stands in the coins' script: what their signatures verify against.
    public let outputKey: XOnlyPublicKey
    public let scriptPubKey: Script
    /// Tagged hash `chorale/group` of script and signers.
    public let digest: Bytes32
    private let path: SpendPath
    /// The signers' keys as one, as the coins' signatures need them.
    private let spendingKeys: KeyAggregation

    /// - Parameter publicKeys: the signers, in any order; they are sorted (BIP-327, "KeySort").
    public init(_ publicKeys: [PublicKey], merkleRoot: Bytes32? = nil) throws(SigningError) {
        try self.init(inOrder: publicKeys.sorted(), merkleRoot: merkleRoot)
    }

    /// A group whose maker aggregated the keys in this order, as a PSBT's participants field tells it (BIP-373).
    public init(inOrder publicKeys: [PublicKey], merkleRoot: Bytes32? = nil) throws(SigningError) {
        try self.init(inOrder: publicKeys, path: .keyPath(merkleRoot: merkleRoot)) { keys throws(MuSig2Error) in
            try keys.tweakedForTaproot(merkleRoot: merkleRoot)
        }
    }

    /// A group whose aggregate is the coin's output key as it stands, with no commitment to scripts or to having none.
    public init(untweakedInOrder publicKeys: [PublicKey]) throws(SigningError) {
        try self.init(inOrder: publicKeys, path: .outputKey) { $0 }
    }

    /// A group whose aggregate is the coin's output key in one of these two ways.
    ///
    /// - Precondition: the path is no leaf.
    init(inOrder publicKeys: [PublicKey], path: SpendPath) throws(SigningError) {
        switch path {
        case .outputKey: try self.init(untweakedInOrder: publicKeys)
        case .keyPath(let merkleRoot): try self.init(inOrder: publicKeys, merkleRoot: merkleRoot)
        case .leaf: preconditionFailure("all signers together sign by the key path")
        }
    }

    private init(
        inOrder publicKeys: [PublicKey], path: SpendPath, tweak: (KeyAggregation) throws(MuSig2Error) -> KeyAggregation
    ) throws(SigningError) {
        guard Set(publicKeys).count == publicKeys.count else { throw .transaction("a signer stands twice in the group") }
        do {
            self.keys = try KeyAggregation(publicKeys)
            self.spendingKeys = try tweak(self.keys)
        } catch { throw .musig(error, signer: nil, input: nil) }
        self.outputKey = self.spendingKeys.xOnlyKey
        self.scriptPubKey = .payToTaproot(self.outputKey)
        self.path = path
        var hash = Self.tag
        hash.update(self.scriptPubKey.bytes)
        for key in publicKeys { hash.update(key.bytes) }
        self.digest = hash.finalize()
    }

    private static let tag = SHA256.tagged("chorale/group")

    /// Root of a script tree under the aggregate key, if there is one.
    public var merkleRoot: Bytes32? {
        switch self.path {
        case .keyPath(let merkleRoot): merkleRoot
        case .outputKey, .leaf: nil
        }
    }

    public var members: [PublicKey] { self.keys.publicKeys }

    public var threshold: Int { self.members.count }

    public var onlySet: [PublicKey]? { self.members }

    public func chooseSet(among present: Set<PublicKey>) -> [PublicKey]? {
        self.members.allSatisfy(present.contains) ? self.members : nil
    }

    public func spend(by signers: [PublicKey]?) throws(SigningError) -> (signers: [PublicKey], path: SpendPath) {
        if let signers, Set(signers) != Set(self.keys.publicKeys) {
            let named = "\(signers.count) \(signers.count == 1 ? "was" : "were") named"
            throw .transaction("all \(self.keys.publicKeys.count) signers of this group are needed, and \(named)")
        }
        return (self.keys.publicKeys, self.path)
    }

    public func keyAggregation(of set: [PublicKey]) throws(SigningError) -> KeyAggregation {
        guard set == self.members else { throw .transaction("this group's keys are aggregated all together and in its own order") }
        return self.keys
    }

    public func tweakedKeyAggregation(of set: [PublicKey]) -> KeyAggregation? { set == self.members ? self.spendingKeys : nil }
}

/// Any k of n: the set is chosen first and signs one leaf, or all sign by the key path where the policy has one.
extension DelegatedMultisig: SpendingPolicy {
    public var digest: Bytes32 { PolicyRecord(self).digest }

    public var members: [PublicKey] { self.signers }

    public var onlySet: [PublicKey]? { self.threshold == self.signers.count ? self.signers : nil }

    public func chooseSet(among present: Set<PublicKey>) -> [PublicKey]? {
        let places = self.signers.indices.filter { present.contains(self.signers[$0]) }
        guard let path = try? self.cheapestPath(present: places), let set = try? self.signers(of: path) else { return nil }
        return set.map { self.signers[$0] }
    }

    public func spend(by signers: [PublicKey]?) throws(SigningError) -> (signers: [PublicKey], path: SpendPath) {
        guard let signers else { throw .transaction("any \(self.threshold) of \(self.signers.count) may sign: name the set first") }
        var places: [Int] = []
        for key in signers {
            guard let place = self.signer(holding: key) else { throw .notASigner(key) }
            places.append(place)
        }
        if self.internalKey == .aggregate, Set(places).count == self.signers.count {
            return (self.signers, .keyPath(merkleRoot: self.merkleRoot))
        }
        do {
            let leaf = try self.leaf(at: try self.leafIndex(ofSigners: places))
            return (leaf.signers.map { self.signers[$0] }, .leaf(leaf.controlBlock))
        } catch { throw .transaction("\(error)") }
    }

    public func keyAggregation(of set: [PublicKey]) throws(SigningError) -> KeyAggregation {
        do { return try self.aggregation(of: set) } catch { throw .musig(error, signer: nil, input: nil) }
    }
}
