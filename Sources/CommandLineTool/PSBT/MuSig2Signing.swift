import Bitcoin
import CryptoPrimitives
import Secp256k1

/// One MuSig2 signature in the making, as a PSBT's input tells it: who takes part and who has given what (BIP-373).
struct MuSig2Signing {
    /// The key that is signed for, as it stands in the output or in the leaf; `nil` before the first nonce has named it.
    var signedKey: PublicKey?
    /// The leaf that is signed, or `nil` for the key path.
    var leafHash: TapLeafHash?
    /// The aggregate of the participants' keys, if the PSBT lists them.
    var aggregateKey: PublicKey?
    /// In the order of aggregation; without a list, those who have given something.
    var participants: [PublicKey]
    var nonces: Set<PublicKey> = []
    var partialSignatures: Set<PublicKey> = []

    /// All signatures of the input that the PSBT knows participants or contributions of, in a fixed order.
    static func all(of input: PSBT.Input) -> [MuSig2Signing] {
        var byLabel: [Label: MuSig2Signing] = [:]
        for contribution in input.musig2PublicNonces.keys {
            byLabel[Label(contribution), default: MuSig2Signing(contribution)].nonces.insert(contribution.participant)
        }
        for contribution in input.musig2PartialSignatures.keys {
            byLabel[Label(contribution), default: MuSig2Signing(contribution)].partialSignatures.insert(contribution.participant)
        }
        var groups = input.musig2Participants
        var signings: [MuSig2Signing] = []
        for label in byLabel.keys.sorted() {
            guard var signing = byLabel[label] else { continue }
            if let aggregate = signing.group(among: input.musig2Participants, of: input), let keys = groups[aggregate] {
                signing.aggregateKey = aggregate
                signing.participants = keys
            } else {
                signing.participants = signing.nonces.union(signing.partialSignatures).sorted()
            }
            signings.append(signing)
        }
        // Groups that nobody has begun to sign for.
        for signing in signings { if let aggregate = signing.aggregateKey { groups[aggregate] = nil } }
        for (aggregate, keys) in groups.sorted(by: { $0.key < $1.key }) {
            signings.append(MuSig2Signing(aggregateKey: aggregate, participants: keys))
        }
        return signings
    }

    private init(aggregateKey: PublicKey, participants: [PublicKey]) {
        self.aggregateKey = aggregateKey
        self.participants = participants
    }

    private init(_ contribution: PSBT.MuSig2Contribution) {
        self.signedKey = contribution.aggregateKey
        self.leafHash = contribution.leafHash
        self.participants = []
    }

    /// What contributions to one signature have in common.
    private struct Label: Hashable, Comparable {
        let key: PublicKey
        let leafHash: TapLeafHash?

        init(_ contribution: PSBT.MuSig2Contribution) {
            self.key = contribution.aggregateKey
            self.leafHash = contribution.leafHash
        }

        static func < (left: Label, right: Label) -> Bool {
            if left.key != right.key { return left.key < right.key }
            return (left.leafHash?.hash ?? Bytes32()) < (right.leafHash?.hash ?? Bytes32())
        }
    }

    /// The aggregate of the group that signs.
    ///
    /// A contribution names the key as it stands in output or leaf (BIP-373), where the group's aggregate may have been tweaked.
    /// So the key itself is looked for, then the key tweaked for the output, and then a single group that holds all contributors.
    private func group(among groups: [PublicKey: [PublicKey]], of input: PSBT.Input) -> PublicKey? {
        guard let signedKey = self.signedKey else { return nil }
        if groups[signedKey] != nil { return signedKey }
        let equal = groups.keys.filter { aggregate in
            if aggregate.xOnly == signedKey.xOnly { return true }
            let output = try? TaprootOutput(internalKey: aggregate.xOnly, merkleRoot: input.tapMerkleRoot)
            return output?.outputKey == signedKey.xOnly
        }
        if equal.count == 1 { return equal.first }
        let contributors = self.nonces.union(self.partialSignatures)
        let holding = groups.filter { contributors.isSubset(of: $0.value) }
        return holding.count == 1 ? holding.first?.key : nil
    }
}
