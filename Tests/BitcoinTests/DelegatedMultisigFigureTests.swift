import CryptoPrimitives
import Foundation
import MuSig2
import Secp256k1
import Testing

@testable import Bitcoin

/// The published figures of k-of-n policies: `Tests/Figures/delegated-multisig.json`.
///
/// `scripts/check-policy-figures` recomputes the same file in Python without any of this package's code, so that two
/// implementations agree. When policies gain something that the file should show, write it anew:
///
///     CHORALE_WRITE_FIGURES=1 swift test --disable-xctest --filter DelegatedMultisigFigureTests
///     scripts/check-policy-figures
struct PolicyFigures: Codable, Equatable {
    var about: String
    var owner: String
    /// In the order in which they were given to the policy, not sorted.
    var signers: [String]
    var policies: [Policy]

    struct Policy: Codable, Equatable {
        var signerCount: Int
        var threshold: Int
        var internalKeyKind: String
        var unspendableTweak: String?
        var internalKey: String
        var leafCount: Int
        var merkleRoot: String
        var outputKey: String
        var outputKeyIsOdd: Bool
        var scriptPubKey: String
        var addresses: [String: String]
        /// For small policies all leaves; for large ones none.
        var leaves: [Leaf]?
        var descriptor: String?
    }

    struct Leaf: Codable, Equatable {
        /// Indices into the sorted keys.
        var signers: [Int]
        var key: String
        var script: String
        var leafHash: String
        var controlBlock: String
    }
}

extension PolicyFigures {
    static let path = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .appendingPathComponent("Figures/delegated-multisig.json")

    static let aboutText = """
        k-of-n policies: each set of k signers has one leaf, <x-only MuSig2 aggregate> OP_CHECKSIG. Keys are sorted by their 33 bytes, \
        sets are in lexicographic order of indices, m leaves split into the first ceil(m/2) and the rest, recursively. \
        An unspendable internal key is H + r*G, r = tagged hash chorale/unspendable of (k as 4 bytes big endian, sorted keys). \
        Secret keys: SHA-256 of 'chorale figure owner' and of 'chorale figure signer N', N from 0. Never use them for money.
        """

    static let leafListCountMax = 20

    static func computed() throws -> PolicyFigures {
        let (owner, all) = (try FigureKey.owner(), try FigureKey.signers(15))
        var policies: [Policy] = []
        // 1-of-m gives every tree of one to nine leaves.
        for count in 1...9 {
            policies.append(
                try Policy(DelegatedMultisig(internalKey: .owner(owner), signers: Array(all.prefix(count)), threshold: 1)))
        }
        for (threshold, count) in [(2, 2), (2, 3), (3, 5), (3, 6), (7, 8), (15, 15), (8, 15)] {
            for internalKey in [.owner(owner), .aggregate, .unspendable] as [DelegatedMultisig.InternalKey] {
                // One figure of the large tree is enough.
                if threshold == 8, internalKey != .unspendable { continue }
                policies.append(
                    try Policy(DelegatedMultisig(internalKey: internalKey, signers: Array(all.prefix(count)), threshold: threshold)))
            }
        }
        return PolicyFigures(
            about: Self.aboutText, owner: owner.description, signers: all.map(\.description), policies: policies)
    }
}

extension PolicyFigures.Policy {
    init(_ policy: DelegatedMultisig) throws {
        self.signerCount = policy.signers.count
        self.threshold = policy.threshold
        self.internalKeyKind =
            switch policy.internalKey {
            case .owner: "owner"
            case .aggregate: "aggregate"
            case .unspendable: "unspendable"
            }
        self.unspendableTweak = policy.unspendableTweak?.description
        self.internalKey = policy.output.internalKey.description
        self.leafCount = policy.leafCount
        self.merkleRoot = policy.merkleRoot.description
        self.outputKey = policy.output.outputKey.description
        self.outputKeyIsOdd = policy.output.outputKeyIsOdd
        self.scriptPubKey = policy.scriptPubKey.hex
        self.addresses = Dictionary(uniqueKeysWithValues: Network.allCases.map { ($0.rawValue, policy.address(on: $0).text) })
        guard policy.leafCount <= PolicyFigures.leafListCountMax else { return }
        self.leaves = try (0..<policy.leafCount).map { PolicyFigures.Leaf(try policy.leaf(at: $0)) }
        self.descriptor = try policy.descriptor()
    }
}

extension PolicyFigures.Leaf {
    init(_ leaf: DelegatedMultisig.Leaf) {
        self.signers = leaf.signers
        self.key = leaf.key.description
        self.script = leaf.tapLeaf.script.hex
        self.leafHash = leaf.tapLeaf.hash.description
        self.controlBlock = Hex.encode(leaf.controlBlock.serialized())
    }
}

@Suite struct DelegatedMultisigFigureTests {
    @Test func `policies come out as published`() throws {
        let computed = try PolicyFigures.computed()
        if ProcessInfo.processInfo.environment["CHORALE_WRITE_FIGURES"] != nil {
            let encoder = JSONEncoder()
            encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
            encoder.keyEncodingStrategy = .convertToSnakeCase
            try (try encoder.encode(computed) + Data("\n".utf8)).write(to: PolicyFigures.path)
        }
        let decoder = JSONDecoder()
        decoder.keyDecodingStrategy = .convertFromSnakeCase
        let published = try decoder.decode(PolicyFigures.self, from: Data(contentsOf: PolicyFigures.path))
        #expect(published.policies.count == computed.policies.count)
        for (published, computed) in zip(published.policies, computed.policies) { #expect(published == computed) }
        #expect(published == computed)
    }

    @Test func `a published policy whose keys are given in another order is the same`() throws {
        let keys = try FigureKey.signers(5)
        let first = try PolicyFigures.Policy(DelegatedMultisig(internalKey: .aggregate, signers: keys, threshold: 3))
        let second = try PolicyFigures.Policy(DelegatedMultisig(internalKey: .aggregate, signers: keys.reversed(), threshold: 3))
        #expect(first == second)
    }
}
