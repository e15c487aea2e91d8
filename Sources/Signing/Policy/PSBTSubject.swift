public import Bitcoin
public import CryptoPrimitives
internal import MuSig2
public import Secp256k1

/// What a PSBT asks a group to sign, rebuilt from its coins and keys.
///
/// Nothing that the PSBT says is believed for itself: the group's script must be the coin's, and amounts come from the coins that
/// the signatures commit to (BIP-341).
public struct PSBTSubject: Sendable {
    /// Where the group's keys come from.
    public enum Group: Sendable {
        /// All signers together, as the PSBT's participants field lists them (BIP-373).
        case all(SignerGroup)
        /// k of n, from the policy record that travels in the PSBT; the tree is yet to be computed.
        case delegated(PolicyRecord)
    }

    public let psbt: PSBT
    public let group: Group
    public let transaction: Transaction
    public let prevouts: [TransactionOutput]
    public let sighashTypes: [SighashType]

    /// Finds the one group that this signer, or this owner, belongs to.
    ///
    /// - Throws: `PSBTError` text as `transaction` for missing or unknown fields; `notASigner` when no input names the key.
    public init(_ psbt: PSBT, for key: PublicKey) throws(SigningError) {
        self.psbt = psbt
        self.transaction = psbt.unsignedTransaction
        do { self.prevouts = try psbt.spentOutputs() } catch { throw .transaction("\(error)") }
        var types: [SighashType] = []
        for (index, input) in psbt.inputs.enumerated() {
            do {
                types.append(try input.sighashType.map { value throws(SighashError) in try SighashType(parsing: value) } ?? .default)
            } catch {
                throw .transaction("input \(index): \(error)")
            }
        }
        self.sighashTypes = types
        self.group = try Self.group(of: psbt, prevouts: self.prevouts, for: key)
    }

    private static func group(of psbt: PSBT, prevouts: [TransactionOutput], for key: PublicKey) throws(SigningError) -> Group {
        if let bytes = psbt.proprietary[PolicyRecord.psbtKey] {
            let record: PolicyRecord
            do { record = try PolicyRecord(parsing: bytes) } catch { throw .transaction("the k-of-n policy in the PSBT: \(error)") }
            guard record.signers.contains(key) || record.internalKey == .owner(key.xOnly) else { throw .notASigner(key) }
            return .delegated(record)
        }
        var search = GroupSearch(for: key)
        for (input, prevout) in zip(psbt.inputs, prevouts) { try search.look(at: input, coin: prevout.scriptPubKey) }
        guard let found = search.found else { throw .notASigner(key) }
        return .all(found)
    }

    /// Most groups with the signer in them that are looked at, those of several inputs that are the same counted once.
    ///
    /// Source: Chorale's own bound; half a second's work, and far more than one signer has coins with in one transaction.
    public static let groupCountMax = 20_000

    /// Looks through a PSBT's inputs for the one group that the signer belongs to and that the coins belong to.
    ///
    /// A stranger can list thousands of groups with a signer's key in them, of a thousand keys each. Which of them could be the coin's is
    /// told by the aggregate key that each stands under; only that one is aggregated.
    private struct GroupSearch {
        private let key: PublicKey
        private(set) var found: SignerGroup?
        /// The keys that groups would have in an output.
        private var outputKeys: [Candidate: XOnlyPublicKey?] = [:]

        private struct Candidate: Hashable {
            let aggregate: XOnlyPublicKey
            let merkleRoot: Bytes32?
        }

        init(for key: PublicKey) { self.key = key }

        mutating func look(at input: PSBT.Input, coin script: Script) throws(SigningError) {
            guard case .payToTaproot(let outputKey) = script.kind else { return }
            var match: (aggregate: PublicKey, participants: [PublicKey], path: SpendPath)?
            for (aggregate, participants) in input.musig2Participants where participants.contains(self.key) {
                guard let path = try self.path(from: aggregate.xOnly, to: outputKey, input.tapMerkleRoot) else { continue }
                // Two keys can have one x; the lesser counts, so that what is found does not depend on a dictionary's order.
                if let match, match.aggregate < aggregate { continue }
                match = (aggregate, participants, path)
            }
            guard let match else { return }
            // The same group at another input.
            if let found, found.scriptPubKey == script, found.members == match.participants { return }
            guard match.participants.count <= SigningPlan.signerCountMax else {
                throw .tooLarge(what: "signers", actual: match.participants.count, limit: SigningPlan.signerCountMax)
            }
            let group = try SignerGroup(inOrder: match.participants, path: match.path)
            guard group.scriptPubKey == script else {
                throw .transaction("the participants of the key \(match.aggregate) aggregate to another key")
            }
            if let found, found.scriptPubKey != script {
                throw .transaction("its inputs belong to more than one group of this signer: sign them in one PSBT each")
            }
            self.found = group
        }

        /// How the aggregate key is the output's: with a tweak, or as it stands.
        private mutating func path(
            from aggregate: XOnlyPublicKey, to outputKey: Bytes32, _ merkleRoot: Bytes32?
        ) throws(SigningError) -> SpendPath? {
            let candidate = Candidate(aggregate: aggregate, merkleRoot: merkleRoot)
            let tweaked: XOnlyPublicKey?
            if let known = self.outputKeys[candidate] {
                tweaked = known
            } else {
                guard self.outputKeys.count < PSBTSubject.groupCountMax else {
                    throw .tooLarge(what: "groups with this signer", actual: self.outputKeys.count + 1, limit: PSBTSubject.groupCountMax)
                }
                tweaked = (try? TaprootOutput(internalKey: aggregate, merkleRoot: merkleRoot))?.outputKey
                self.outputKeys[candidate] = .some(tweaked)
            }
            if tweaked?.bytes == outputKey { return .keyPath(merkleRoot: merkleRoot) }
            return aggregate.bytes == outputKey ? .outputKey : nil
        }
    }

    /// The sighash types that cover the whole transaction: all that a signer accepts unless told otherwise (BIP-174, "Signer").
    public static let usualSighashTypes: Set<SighashType> = [.default, .all]

    /// The group's policy: at hand, or computed on all cores.
    ///
    /// A policy's leaf keys may travel in the PSBT, but a stranger may have put one of his own among them. So they save the computation
    /// only for a policy whose script this signer computed itself before.
    ///
    /// - Parameter computedBefore: scripts of policies that this signer computed, by the digest of their record.
    public func policy(
        computedBefore: [Bytes32: Script] = [:], progress: (@Sendable (_ completed: Int, _ total: Int) -> Void)? = nil
    ) async throws(DelegatedMultisigError) -> any SpendingPolicy {
        switch self.group {
        case .all(let group): return group
        case .delegated(let record):
            if let script = computedBefore[record.digest], let policy = self.psbt.policyFromLeafKeys(record), policy.scriptPubKey == script
            {
                return policy
            }
            return try await record.policy(progress: progress)
        }
    }

    /// The request that every signer arrives at without talking: no proposer, expiry or id.
    ///
    /// Inputs of others count with `DEFAULT`: their sighash types are none of this group's, and go from a PSBT with their signatures.
    ///
    /// - Parameter sighashTypes: those that the signer accepts. `NONE` would let anyone redirect the coins after the signature.
    /// - Throws: `transaction` for a type that is not accepted, naming the input.
    public func request(
        under policy: some SpendingPolicy, allowing sighashTypes: Set<SighashType> = Self.usualSighashTypes
    ) throws(SigningError) -> SigningRequest {
        var types: [SighashType] = []
        for (index, prevout) in self.prevouts.enumerated() {
            let type = prevout.scriptPubKey == policy.scriptPubKey ? self.sighashTypes[index] : .default
            guard type == .default || sighashTypes.contains(type) else {
                throw .transaction(
                    "input \(index) asks for a signature of type \(type), which is not accepted here: ask for DEFAULT or ALL")
            }
            types.append(type)
        }
        return try SigningRequest(
            transaction: self.transaction, prevouts: self.prevouts, sighashTypes: types, policyDigest: policy.digest)
    }
}
