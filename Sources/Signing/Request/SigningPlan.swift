public import Bitcoin
public import CryptoPrimitives
public import MuSig2
public import Secp256k1

/// How the signers' aggregate key spends a Taproot coin.
public enum SpendPath: Hashable, Sendable {
    /// The aggregate is the coin's output key as it stands, with no commitment to scripts or to having none.
    case outputKey
    /// The aggregate is the coin's internal key; `merkleRoot` is the root of the script tree under it, if there is one.
    case keyPath(merkleRoot: Bytes32?)
    /// The aggregate is the key of a leaf `<32-byte aggregate> OP_CHECKSIG`, which the control block proves to be the coin's.
    case leaf(ControlBlock)
}

/// Who signs which inputs of a request, on which path: all that a set of signers needs to agree on before its nonces.
///
/// Built from the request alone, and checked against each coin's own script: what does not spend the coin is refused here and
/// not after two rounds.
public struct SigningPlan: Sendable {
    /// Most signers in a set.
    public static let signerCountMax = 1_000
    /// Most nonces in one session: signers × inputs.
    public static let nonceCountMax = 20_000

    /// One input that the set signs.
    public struct Input: Sendable {
        /// Position in the transaction.
        public let index: Int
        public let path: SpendPath
        /// The set's keys with this path's tweak.
        public let keys: KeyAggregation
        public let sighashType: SighashType
        /// The BIP-341 signature hash.
        public let message: Bytes32
        /// Script and control block, for a leaf.
        let leaf: (script: Script, controlBlock: ControlBlock)?

        /// The hash of the leaf that is signed, for a leaf.
        public var leafHash: TapLeafHash? { self.leaf.map { TapLeaf(script: $0.script).hash } }

        /// What follows the signature in the input's witness.
        func witness(_ signature: SchnorrSignature) -> Witness {
            let bytes = self.sighashType == .default ? signature.bytes : signature.bytes + [self.sighashType.rawValue]
            guard let leaf else { return Witness([bytes]) }
            return Witness([bytes, leaf.script.bytes, leaf.controlBlock.serialized()])
        }
    }

    public let request: SigningRequest
    /// The request's digest, T0.
    public let requestDigest: Bytes32
    /// The set, in the order in which its keys are aggregated.
    public let signers: [PublicKey]
    /// The same, to look up: every contribution asks whether its sender is a member.
    let members: Set<PublicKey>
    public let inputs: [Input]

    /// The plan of a set that comes without a policy.
    ///
    /// - Parameters:
    ///   - signers: the set, in the order of aggregation: sorted, unless the coin's maker chose another.
    ///   - paths: which inputs the set signs, and how. Others stay without a witness.
    /// - Throws: `scriptDoesNotMatch` when the signers' key on the path is not the coin's.
    public init(request: SigningRequest, signers: [PublicKey], paths: [Int: SpendPath]) throws(SigningError) {
        let members = try Self.members(of: signers, signing: paths.count)
        let group: KeyAggregation
        do { group = try KeyAggregation(signers) } catch { throw .musig(error, signer: nil, input: nil) }
        try self.init(request: request, group: group, members: members, paths: paths)
    }

    /// The plan of a set of a policy's signers: every input whose coin has the policy's script.
    ///
    /// Keys that the policy has aggregated already are not aggregated again.
    ///
    /// - Parameter set: the chosen set, in any order, or `nil` for all signers of an n-of-n group.
    /// - Throws: what `SpendingPolicy.spend` throws; `scriptDoesNotMatch` when no coin is the policy's; `transaction` for a policy that
    ///   contradicts itself.
    public init(request: SigningRequest, under policy: some SpendingPolicy, set: [PublicKey]? = nil) throws(SigningError) {
        let (signers, path) = try policy.spend(by: set)
        let script = policy.scriptPubKey
        let own = request.prevouts.indices.filter { request.prevouts[$0].scriptPubKey == script }
        guard !own.isEmpty else { throw .scriptDoesNotMatch(input: 0) }
        let members = try Self.members(of: signers, signing: own.count)
        let group = try policy.keyAggregation(of: signers)
        // A caller's own policy may be wrong about itself.
        guard group.publicKeys == signers, group.tweaks.isEmpty else {
            throw .transaction("the policy aggregates other keys than it named, or tweaks them")
        }
        try self.init(
            request: request, group: group, tweaked: policy.tweakedKeyAggregation(of: signers), members: members,
            paths: Dictionary(uniqueKeysWithValues: own.map { ($0, path) }))
    }

    /// The signers, checked before the work of aggregation.
    private static func members(of signers: [PublicKey], signing inputCount: Int) throws(SigningError) -> Set<PublicKey> {
        guard inputCount > 0 else { throw .transaction("none of its inputs is to be signed") }
        guard signers.count <= Self.signerCountMax else {
            throw .tooLarge(what: "signers", actual: signers.count, limit: Self.signerCountMax)
        }
        guard signers.count * inputCount <= Self.nonceCountMax else {
            throw .tooLarge(what: "signers × inputs", actual: signers.count * inputCount, limit: Self.nonceCountMax)
        }
        let members = Set(signers)
        guard members.count == signers.count else { throw .transaction("a signer stands twice in the set") }
        return members
    }

    private init(
        request: SigningRequest, group: KeyAggregation, tweaked: KeyAggregation? = nil, members: Set<PublicKey>, paths: [Int: SpendPath]
    ) throws(SigningError) {
        let cache: SighashCache
        do { cache = try SighashCache(request.transaction, prevouts: request.prevouts) } catch { throw .sighash(error) }
        var spends: [SpendPath: Spend] = [:]
        var inputs: [Input] = []
        for (index, path) in paths.sorted(by: { $0.key < $1.key }) {
            guard request.prevouts.indices.contains(index) else {
                throw .sighash(.inputOutOfRange(input: index, inputs: request.prevouts.count))
            }
            let spend = if let known = spends[path] { known } else { try Spend(by: group, tweaked, on: path, input: index) }
            spends[path] = spend
            guard request.prevouts[index].scriptPubKey == spend.scriptPubKey else { throw .scriptDoesNotMatch(input: index) }
            let type = request.sighashTypes[index]
            inputs.append(
                Input(
                    index: index, path: path, keys: spend.keys, sighashType: type,
                    message: try Self.sighash(cache, index, type, leaf: spend.leafHash), leaf: spend.leaf))
        }
        self.request = request
        self.requestDigest = request.digest
        self.signers = group.publicKeys
        self.members = members
        self.inputs = inputs
    }

    /// What a path makes of the set's keys: worked out once, however many inputs it spends.
    private struct Spend {
        let keys: KeyAggregation
        /// The script of the coins that can be spent so; `nil` when there are none.
        let scriptPubKey: Script?
        var leaf: (script: Script, controlBlock: ControlBlock)?
        var leafHash: TapLeafHash?

        /// - Parameters:
        ///   - tweaked: the group with a tweak that a policy has at hand; it need not be this path's.
        ///   - input: the first input that is spent so, for the error.
        init(by group: KeyAggregation, _ tweaked: KeyAggregation?, on path: SpendPath, input: Int) throws(SigningError) {
            switch path {
            case .outputKey:
                self.keys = group
                self.scriptPubKey = .payToTaproot(group.xOnlyKey)
            case .keyPath(let merkleRoot):
                let tweak = Tweak.xOnly(group.xOnlyKey.taprootTweak(merkleRoot: merkleRoot))
                if let tweaked, tweaked.publicKeys == group.publicKeys, tweaked.tweaks == [tweak] {
                    self.keys = tweaked
                } else {
                    do { self.keys = try group.tweaked(by: tweak) } catch { throw .musig(error, signer: nil, input: input) }
                }
                self.scriptPubKey = .payToTaproot(self.keys.xOnlyKey)
            case .leaf(let controlBlock):
                let script = Script.checkSig(group.xOnlyKey)
                self.keys = group
                self.scriptPubKey =
                    controlBlock.leafVersion == TapLeaf.tapscriptVersion
                    ? controlBlock.output(committingTo: script)?.scriptPubKey : nil
                self.leaf = (script, controlBlock)
                self.leafHash = TapLeaf(script: script).hash
            }
        }
    }

    private static func sighash(
        _ cache: SighashCache, _ input: Int, _ type: SighashType, leaf: TapLeafHash?
    ) throws(SigningError) -> Bytes32 {
        do { return try cache.taprootSighash(input: input, type: type, leaf: leaf) } catch { throw .sighash(error) }
    }

    /// The request's transaction with the set's signatures, one for each signed input.
    package func transaction(with signatures: [SchnorrSignature]) -> Transaction {
        var transaction = self.request.transaction
        for (input, signature) in zip(self.inputs, signatures) { transaction.inputs[input.index].witness = input.witness(signature) }
        return transaction
    }

    /// T1: tagged hash `chorale/transcript` of everything that the set's partial signatures rest on: T0, the attempt's number, each
    /// input's path, the set, and all nonce sets with their names, in the signers' order.
    ///
    /// - Precondition: there is one nonce set for each signer.
    package func transcript(attempt: UInt32, nonceSets: [NonceSet]) -> Bytes32 {
        precondition(nonceSets.count == self.signers.count, "a transcript has one nonce set a signer")
        var writer = ByteWriter()
        writer.write(self.requestDigest)
        writer.writeUInt32(attempt)
        writer.writeCompactSize(self.inputs.count)
        for input in self.inputs {
            writer.writeUInt32(UInt32(input.index))
            writer.writeUInt8(input.sighashType.rawValue)
            writer.write(input.keys.xOnlyKey.bytes)
            writer.write(input.message)
        }
        writer.writeCompactSize(self.signers.count)
        for (signer, set) in zip(self.signers, nonceSets) {
            writer.write(signer.bytes)
            set.write(to: &writer)
        }
        var hash = Self.tag
        hash.update(writer.bytes)
        return hash.finalize()
    }

    private static let tag = SHA256.tagged("chorale/transcript")
}

extension Script {
    /// `<32-byte key> OP_CHECKSIG`: the leaf that one aggregate key can spend (BIP-342).
    static func checkSig(_ key: XOnlyPublicKey) -> Script { Script([0x20] + key.bytes.bytes + [0xac]) }
}
