import Bitcoin
import CryptoPrimitives
import Foundation
import Secp256k1
import TestVectors
import Testing

/// The wallet test figures of BIP-341.
struct WalletVectors: Decodable {
    static let path = "bip-0341/wallet-test-vectors.json"
    static var isThere: Bool { VectorFolder.has(Self.path) }

    // Not by `VectorFolder.load`: the keys of this file are in camel case already.
    static func load() throws -> WalletVectors {
        try JSONDecoder().decode(WalletVectors.self, from: VectorFolder.data(Self.path))
    }

    let scriptPubKey: [Output]
    let keyPathSpending: [Spending]

    struct Output: Decodable {
        struct Given: Decodable {
            let internalPubkey: String
            let scriptTree: Tree?
        }
        struct Intermediary: Decodable {
            let leafHashes: [String]?
            let merkleRoot: String?
            let tweak: String
            let tweakedPubkey: String
        }
        struct Expected: Decodable {
            let scriptPubKey: String
            let bip350Address: String
            let scriptPathControlBlocks: [String]?
        }
        let given: Given
        let intermediary: Intermediary
        let expected: Expected
    }

    /// A leaf, or a list of two trees.
    indirect enum Tree: Decodable {
        struct Leaf: Decodable {
            let id: Int
            let script: String
            let leafVersion: UInt8
        }
        case leaf(Leaf)
        case branch([Tree])

        init(from decoder: any Decoder) throws {
            if let leaf = try? Leaf(from: decoder) {
                self = .leaf(leaf)
            } else {
                self = .branch(try [Tree](from: decoder))
            }
        }

        /// The ids of the leaves, left before right.
        var ids: [Int] {
            switch self {
            case .leaf(let leaf): [leaf.id]
            case .branch(let halves): halves.flatMap(\.ids)
            }
        }

        func node() throws -> TaprootTree.Node {
            switch self {
            case .leaf(let leaf):
                return .leaf(try TapLeaf(version: leaf.leafVersion, script: try #require(Script(hex: leaf.script))))
            case .branch(let halves):
                try #require(halves.count == 2)
                return .branch(try halves[0].node(), try halves[1].node())
            }
        }
    }

    struct Spending: Decodable {
        struct Coin: Decodable {
            let scriptPubKey: String
            let amountSats: UInt64
        }
        struct Given: Decodable {
            let rawUnsignedTx: String
            let utxosSpent: [Coin]
        }
        struct Intermediary: Decodable {
            let hashAmounts, hashOutputs, hashPrevouts, hashScriptPubkeys, hashSequences: String
        }
        struct Input: Decodable {
            struct Given: Decodable {
                let txinIndex: Int
                let internalPrivkey: String
                let merkleRoot: String?
                let hashType: UInt32
            }
            struct Intermediary: Decodable {
                let internalPubkey, tweak, tweakedPrivkey, sigMsg, sigHash: String
            }
            struct Expected: Decodable { let witness: [String] }
            let given: Given
            let intermediary: Intermediary
            let expected: Expected
        }
        struct Auxiliary: Decodable { let fullySignedTx: String }
        let given: Given
        let intermediary: Intermediary
        let inputSpending: [Input]
        let auxiliary: Auxiliary

        func prevouts() throws -> [TransactionOutput] {
            try self.given.utxosSpent.map {
                TransactionOutput(amount: $0.amountSats, scriptPubKey: try #require(Script(hex: $0.scriptPubKey)))
            }
        }

        func cache() throws -> SighashCache {
            let transaction = try Transaction(parsing: Hex.decode(self.given.rawUnsignedTx))
            return try SighashCache(transaction, prevouts: self.prevouts())
        }
    }
}

extension SecretKey {
    /// A secret that everybody knows.
    static func known(hex: String) throws -> SecretKey {
        let bytes = try Hex.decode(hex)
        return try SecretKey(parsing: SecretBytes(count: bytes.count) { $0.copyBytes(from: bytes) })
    }
}
