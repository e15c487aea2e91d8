import CryptoPrimitives
import Secp256k1
import Testing

@testable import Bitcoin

@Suite(.enabled(if: WalletVectors.isThere, "needs the bips folder: set CHORALE_BIPS"))
struct WalletVectorTests {
    let vectors: WalletVectors

    init() throws { self.vectors = try WalletVectors.load() }

    @Test func `the file has the cases it had when these tests were written`() {
        #expect(self.vectors.scriptPubKey.count == 7)
        #expect(self.vectors.keyPathSpending.map(\.inputSpending.count) == [7])
    }

    @Test func `outputs have the keys, scripts and addresses of BIP-341`() throws {
        for vector in self.vectors.scriptPubKey {
            let key = try XOnlyPublicKey(parsing: Hex.decode(vector.given.internalPubkey))
            let tree = try vector.given.scriptTree.map { try TaprootTree($0.node()) }
            let output = try TaprootOutput(internalKey: key, merkleRoot: tree?.merkleRoot)
            #expect(output.merkleRoot?.description == vector.intermediary.merkleRoot)
            #expect(output.tweak.description == vector.intermediary.tweak)
            #expect(output.outputKey.description == vector.intermediary.tweakedPubkey)
            #expect(output.scriptPubKey.hex == vector.expected.scriptPubKey)
            #expect(Address(scriptPubKey: output.scriptPubKey, network: .mainnet)?.text == vector.expected.bip350Address)
            #expect(try Address(parsing: vector.expected.bip350Address, on: .mainnet).scriptPubKey == output.scriptPubKey)
        }
    }

    @Test func `leaves have the hashes and control blocks of BIP-341`() throws {
        var blockCount = 0
        for vector in self.vectors.scriptPubKey {
            guard let shape = vector.given.scriptTree else { continue }
            let tree = try TaprootTree(shape.node())
            let output = try TaprootOutput(
                internalKey: XOnlyPublicKey(parsing: Hex.decode(vector.given.internalPubkey)), tree: tree)
            let hashes = try #require(vector.intermediary.leafHashes)
            let blocks = try #require(vector.expected.scriptPathControlBlocks)
            #expect(tree.leafCount == hashes.count && tree.leafCount == blocks.count)
            for (index, id) in shape.ids.enumerated() {
                let leaf = tree.leaf(at: index)
                #expect(leaf.hash.description == hashes[id])
                let block = try output.controlBlock(forLeafAt: index, in: tree)
                #expect(Hex.encode(block.serialized()) == blocks[id])
                #expect(try ControlBlock(parsing: block.serialized()) == block)
                #expect(block.merkleRoot(for: leaf.hash) == tree.merkleRoot)
                #expect(block.proves(leaf.script, for: output.outputKey))
                #expect(!block.proves(Script(leaf.script.bytes + [0x51]), for: output.outputKey))
                blockCount += 1
            }
        }
        #expect(blockCount == 12)
    }

    @Test func `the hashes that inputs share are those of BIP-341`() throws {
        for spending in self.vectors.keyPathSpending {
            let cache = try spending.cache()
            #expect(cache.shaAmounts.description == spending.intermediary.hashAmounts)
            #expect(cache.shaOutputs.description == spending.intermediary.hashOutputs)
            #expect(cache.shaPrevouts.description == spending.intermediary.hashPrevouts)
            #expect(cache.shaScriptPubKeys.description == spending.intermediary.hashScriptPubkeys)
            #expect(cache.shaSequences.description == spending.intermediary.hashSequences)
        }
    }

    @Test func `each input signs the message of BIP-341`() throws {
        for spending in self.vectors.keyPathSpending {
            let cache = try spending.cache()
            for input in spending.inputSpending {
                let (index, type) = (input.given.txinIndex, try SighashType(parsing: input.given.hashType))
                let message = try cache.taprootMessage(
                    input: index, type: type, leaf: nil, codeSeparatorPosition: SighashCache.noCodeSeparator, annex: nil)
                #expect(Hex.encode(message) == input.intermediary.sigMsg)
                let hash = try cache.taprootSighash(input: index, type: type)
                #expect(hash.description == input.intermediary.sigHash)
                #expect(try cache.transaction.taprootSighash(input: index, prevouts: cache.prevouts, type: type) == hash)
            }
        }
    }

    @Test func `the signatures of BIP-341 and ours are valid for the tweaked key`() throws {
        for spending in self.vectors.keyPathSpending {
            let cache = try spending.cache()
            for input in spending.inputSpending {
                let (index, type) = (input.given.txinIndex, try SighashType(parsing: input.given.hashType))
                let merkleRoot = try input.given.merkleRoot.map { try #require(Bytes32(hex: $0)) }
                let secret = try SecretKey.known(hex: input.given.internalPrivkey)
                #expect(secret.publicKey.xOnly.description == input.intermediary.internalPubkey)
                let output = try TaprootOutput(internalKey: secret.publicKey.xOnly, merkleRoot: merkleRoot)
                #expect(output.tweak.description == input.intermediary.tweak)
                #expect(output.scriptPubKey == cache.prevouts[index].scriptPubKey)

                let tweaked = try secret.tweakedForTaproot(merkleRoot: merkleRoot)
                #expect(tweaked.publicKey.xOnly == output.outputKey)
                let hash = try cache.taprootSighash(input: index, type: type)
                let expected = try Hex.decode(input.expected.witness[0])
                #expect(try SchnorrSignature(parsing: expected.prefix(64)).isValid(for: hash, by: output.outputKey))
                #expect(Array(expected.dropFirst(64)) == (type == .default ? [] : [type.rawValue]))
                #expect(try tweaked.sign(hash).isValid(for: hash, by: output.outputKey))
            }
        }
    }

    @Test func `the signed transaction is read, written and weighed`() throws {
        for spending in self.vectors.keyPathSpending {
            let bytes = try Hex.decode(spending.auxiliary.fullySignedTx)
            let signed = try Transaction(parsing: bytes)
            #expect(signed.serialized() == bytes)
            #expect(signed.weight == signed.serializedWithoutWitness().count * 3 + bytes.count)
            for input in spending.inputSpending {
                #expect(signed.inputs[input.given.txinIndex].witness.items.map { Hex.encode($0) } == input.expected.witness)
            }
        }
    }
}
