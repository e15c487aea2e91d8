import CryptoPrimitives
import Secp256k1

/// One MuSig2 signature in the making, as a PSBT's input tells it: who takes part and who has given what (BIP-373).
package struct MuSig2Signing {
    /// The key that is signed for, as it stands in the output or in the leaf; `nil` before the first nonce has named it.
    package var signedKey: PublicKey?
    /// The leaf that is signed, or `nil` for the key path.
    package var leafHash: TapLeafHash?
    /// The aggregate of the participants' keys, if the PSBT lists them.
    package var aggregateKey: PublicKey?
    /// In the order of aggregation; without a list, those who have given something.
    package var participants: [PublicKey]
    package var nonces: Set<PublicKey> = []
    package var partialSignatures: Set<PublicKey> = []
    /// The participants, if the PSBT lists them; thousands of signings may share one group, so each asks it without a walk.
    private var members: Set<PublicKey>?

    /// All signatures of the input that the PSBT knows participants or contributions of, in a fixed order.
    package static func all(of input: PSBT.Input) -> [MuSig2Signing] {
        var byLabel: [Label: MuSig2Signing] = [:]
        for contribution in input.musig2PublicNonces.keys {
            byLabel[Label(contribution), default: MuSig2Signing(contribution)].nonces.insert(contribution.participant)
        }
        for contribution in input.musig2PartialSignatures.keys {
            byLabel[Label(contribution), default: MuSig2Signing(contribution)].partialSignatures.insert(contribution.participant)
        }
        let groups = Groups(of: input)
        var notBegun = input.musig2Participants
        var signings: [MuSig2Signing] = []
        for label in byLabel.keys.sorted() {
            guard var signing = byLabel[label] else { continue }
            if let aggregate = groups.aggregate(for: signing), let keys = input.musig2Participants[aggregate] {
                signing.aggregateKey = aggregate
                signing.participants = keys
                signing.members = groups.members[aggregate]
            } else {
                signing.participants = signing.nonces.union(signing.partialSignatures).sorted()
            }
            signings.append(signing)
        }
        for signing in signings { if let aggregate = signing.aggregateKey { notBegun[aggregate] = nil } }
        for (aggregate, keys) in notBegun.sorted(by: { $0.key < $1.key }) {
            signings.append(MuSig2Signing(aggregateKey: aggregate, participants: keys))
        }
        return signings
    }

    /// Whether anybody has given something; else only the participants are listed.
    package var isBegun: Bool { self.signedKey != nil }

    /// Whether every listed participant has given a nonce and a partial signature.
    ///
    /// Never for a list that repeats a key: contributions stand under their participant's key (BIP-373), so there is room for one of the
    /// two that such a group needs.
    package var isComplete: Bool {
        guard let members = self.members, members.count == self.participants.count else { return false }
        // Those who are lacking are told by their number alone, most of the time.
        return members.count <= self.nonces.count && members.count <= self.partialSignatures.count
            && members.isSubset(of: self.nonces) && members.isSubset(of: self.partialSignatures)
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

    /// The participants' aggregates by the keys that they may stand for in output or leaf.
    ///
    /// A contribution names the key as it stands there (BIP-373), where the group's aggregate may have been tweaked. So the key
    /// itself is looked for, then the key tweaked for the output, and then, for keys derived from an aggregate, a single group that
    /// holds all contributors.
    private struct Groups {
        private let byStandingKey: [XOnlyPublicKey: PublicKey]
        /// Of the groups that are looked at.
        let members: [PublicKey: Set<PublicKey>]
        /// Whether contributors are searched for in them.
        private let areSearched: Bool

        /// Most groups of one input that are looked at.
        ///
        /// Source: an input has a group for each of its leaves at most, of which a signer is shown a few; a stranger's input of
        /// 240,000 groups would take seconds for nothing.
        private static let countMax = 1_000
        /// Most groups that are searched for contributors.
        private static let searchedCountMax = 16

        init(of input: PSBT.Input) {
            self.areSearched = input.musig2Participants.count <= Self.searchedCountMax
            var keys: [XOnlyPublicKey: PublicKey] = [:]
            let aggregates = input.musig2Participants.keys.sorted().prefix(Self.countMax)
            for aggregate in aggregates {
                let output = try? TaprootOutput(internalKey: aggregate.xOnly, merkleRoot: input.tapMerkleRoot)
                if let key = output?.outputKey { keys[key] = aggregate }
            }
            // Last, so that a key that stands there as it is wins.
            for aggregate in aggregates { keys[aggregate.xOnly] = aggregate }
            self.byStandingKey = keys
            self.members = Dictionary(uniqueKeysWithValues: aggregates.map { ($0, Set(input.musig2Participants[$0] ?? [])) })
        }

        func aggregate(for signing: MuSig2Signing) -> PublicKey? {
            guard let signedKey = signing.signedKey else { return nil }
            if let aggregate = self.byStandingKey[signedKey.xOnly] { return aggregate }
            guard self.areSearched else { return nil }
            let contributors = signing.nonces.union(signing.partialSignatures)
            let holding = self.members.filter { contributors.isSubset(of: $0.value) }
            return holding.count == 1 ? holding.first?.key : nil
        }
    }
}
