import Bitcoin
import CryptoPrimitives
import Secp256k1
import Testing

@Suite struct TaprootTreeTests {
    static func leaf(_ number: Int) -> TapLeaf { TapLeaf(script: Script { $0.appendPush(number: Int64(number)) }) }

    static func placed(_ depths: [Int]) -> [TaprootTree.PlacedLeaf] {
        depths.enumerated().map { TaprootTree.PlacedLeaf(depth: $1, leaf: Self.leaf($0)) }
    }

    /// The base point's x coordinate: a key for everybody.
    static func knownKey() throws -> XOnlyPublicKey {
        try XOnlyPublicKey(parsing: Hex.decode("79be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798"))
    }

    /// A tree grown by splitting leaves at random.
    static func randomShape(_ leafCount: Int, using generator: inout TransactionGenerator) -> TaprootTree.Node {
        guard leafCount > 1 else { return .leaf(TapLeaf(script: Script(generator.bytes(0...40)))) }
        let left = Int.random(in: 1..<leafCount, using: &generator)
        return .branch(Self.randomShape(left, using: &generator), Self.randomShape(leafCount - left, using: &generator))
    }

    /// The root by the definition, from the top down.
    static func root(_ node: TaprootTree.Node) -> Bytes32 {
        switch node {
        case .leaf(let leaf): return leaf.hash.hash
        case .branch(let left, let right):
            let (a, b) = (Self.root(left), Self.root(right))
            var hash = SHA256.tagged("TapBranch")
            hash.update(a < b ? a.bytes + b.bytes : b.bytes + a.bytes)
            return hash.finalize()
        }
    }

    @Test(arguments: UInt64(0)..<100)
    func `every leaf of any tree has a path to the root`(seed: UInt64) throws {
        var generator = TransactionGenerator(seed: seed)
        let shape = Self.randomShape(Int.random(in: 1...40, using: &generator), using: &generator)
        let tree = try TaprootTree(shape)
        #expect(tree.merkleRoot == Self.root(shape))
        #expect(try TaprootTree(depthFirst: tree.placedLeaves) == tree)
        #expect(try TaprootTree(parsing: tree.serialized()) == tree)

        let output = try TaprootOutput(internalKey: Self.knownKey(), tree: tree)
        for (index, placed) in tree.placedLeaves.enumerated() {
            let block = try output.controlBlock(forLeafAt: index, in: tree)
            #expect(block.merklePath.count == placed.depth && block.byteCount == 33 + 32 * placed.depth)
            #expect(block.proves(placed.leaf.script, for: output.outputKey))
            #expect(try ControlBlock(parsing: block.serialized()) == block)
        }
    }

    @Test func `left and right can change places without changing the root`() throws {
        let (a, b, c) = (TaprootTree.Node.leaf(Self.leaf(1)), TaprootTree.Node.leaf(Self.leaf(2)), TaprootTree.Node.leaf(Self.leaf(3)))
        #expect(try TaprootTree(.branch(a, .branch(b, c))).merkleRoot == TaprootTree(.branch(.branch(c, b), a)).merkleRoot)
        #expect(try TaprootTree(.branch(a, .branch(b, c))).merkleRoot != TaprootTree(.branch(b, .branch(a, c))).merkleRoot)
    }

    @Test(arguments: [
        (1, [0]), (2, [1, 1]), (3, [2, 2, 1]), (5, [3, 3, 2, 2, 2]), (6, [3, 3, 2, 3, 3, 2]), (7, [3, 3, 3, 3, 3, 3, 2]),
    ])
    func `a balanced tree gives its first half the odd leaf`(leafCount: Int, depths: [Int]) throws {
        let tree = try TaprootTree(balanced: (0..<leafCount).map(Self.leaf))
        #expect(tree.placedLeaves.map(\.depth) == depths)
        #expect((0..<leafCount).map { tree.firstIndex(of: Self.leaf($0)) } == Array(0..<leafCount))
    }

    @Test func `128 branches are the deepest`() throws {
        let deepest = Array(1...128) + [128]
        let tree = try TaprootTree(depthFirst: Self.placed(deepest))
        #expect(tree.merklePath(ofLeafAt: 128).count == 128)
        #expect(throws: TaprootError.tooDeep(leaf: 128, depth: 129)) {
            try TaprootTree(depthFirst: Self.placed(Array(1...128) + [129, 129]))
        }
        var shape = TaprootTree.Node.leaf(Self.leaf(0))
        for number in 1...129 { shape = .branch(.leaf(Self.leaf(number)), shape) }
        #expect(throws: TaprootError.tooDeep(leaf: 128, depth: 129)) { try TaprootTree(shape) }
    }

    @Test func `lists that are no tree are refused with the leaf at fault`() {
        #expect(throws: TaprootError.emptyTree) { try TaprootTree(depthFirst: []) }
        #expect(throws: TaprootError.emptyTree) { try TaprootTree(balanced: []) }
        #expect(throws: TaprootError.incompleteTree) { try TaprootTree(depthFirst: Self.placed([1])) }
        #expect(throws: TaprootError.incompleteTree) { try TaprootTree(depthFirst: Self.placed([2, 2])) }
        #expect(throws: TaprootError.misplacedLeaf(leaf: 1, depth: 0)) { try TaprootTree(depthFirst: Self.placed([0, 0])) }
        #expect(throws: TaprootError.misplacedLeaf(leaf: 2, depth: 1)) { try TaprootTree(depthFirst: Self.placed([1, 1, 1])) }
        #expect(throws: TaprootError.misplacedLeaf(leaf: 1, depth: 1)) { try TaprootTree(depthFirst: Self.placed([2, 1, 2])) }
        #expect(throws: TaprootError.tooDeep(leaf: 0, depth: -1)) { try TaprootTree(depthFirst: Self.placed([-1])) }
    }

    @Test func `a leaf version is even and not the annex's`() {
        for version: UInt8 in [0xc1, 0x01, 0x50, 0xff] {
            #expect(throws: TaprootError.invalidLeafVersion(version)) { try TapLeaf(version: version, script: Script()) }
        }
        #expect(throws: Never.self) { try TapLeaf(version: 0xfa, script: Script()) }
    }

    @Test func `encoded trees are refused when cut short anywhere`() throws {
        let bytes = try TaprootTree(balanced: (0..<5).map(Self.leaf)).serialized()
        for count in 0..<bytes.count {
            #expect(throws: TaprootError.self) { try TaprootTree(parsing: Array(bytes.prefix(count))) }
        }
        #expect(throws: TaprootError.misplacedLeaf(leaf: 5, depth: 0)) { try TaprootTree(parsing: bytes + [0, 0xc0, 0]) }
        #expect(throws: TaprootError.invalidLeafVersion(0xc1)) { try TaprootTree(parsing: [0, 0xc1, 0]) }
    }
}

@Suite struct TaprootNoiseTests {
    @Test(arguments: UInt64(0)..<300)
    func `noise gives an error or a tree that is written just so`(seed: UInt64) throws {
        var generator = TransactionGenerator(seed: seed)
        var bytes: [UInt8] = []
        for _ in 0..<Int.random(in: 1...6, using: &generator) {
            let script = generator.bytes(0...5)
            bytes += [UInt8.random(in: 0...3, using: &generator), 0xc0, UInt8(script.count)] + script
        }
        if Bool.random(using: &generator) { bytes[Int.random(in: bytes.indices, using: &generator)] ^= 1 }
        guard let tree = try? TaprootTree(parsing: bytes) else { return }
        #expect(tree.serialized() == bytes)
        #expect(tree.placedLeaves.indices.allSatisfy { tree.merklePath(ofLeafAt: $0).count == tree.placedLeaves[$0].depth })
    }
}

@Suite struct ControlBlockTests {
    @Test func `only the lengths of BIP-341 are control blocks`() throws {
        let bytes = try [0xc0] + TaprootTreeTests.knownKey().bytes.bytes + [UInt8](repeating: 1, count: 32 * 129)
        for count in 0...bytes.count {
            let isBlock = count >= 33 && (count - 33) % 32 == 0 && count <= 33 + 32 * 128
            let block = try? ControlBlock(parsing: Array(bytes.prefix(count)))
            #expect((block != nil) == isBlock, "\(count) bytes")
            #expect(block == nil || block?.serialized() == Array(bytes.prefix(count)))
        }
    }

    @Test func `an internal key off the curve and an impossible version are refused`() throws {
        // 5 is no x coordinate on secp256k1.
        let offCurve = [UInt8](repeating: 0, count: 31) + [5]
        #expect(throws: TaprootError.internalKey(.notOnCurve)) { try ControlBlock(parsing: [0xc0] + offCurve) }
        let key = try TaprootTreeTests.knownKey().bytes.bytes
        #expect(throws: TaprootError.invalidLeafVersion(0x50)) { try ControlBlock(parsing: [0x51] + key) }
    }

    @Test func `there is no block for another output's tree, or for a leaf that it has not`() throws {
        let trees = try [9, 3].map { try TaprootTree(balanced: (0..<$0).map(TaprootTreeTests.leaf)) }
        let output = try TaprootOutput(internalKey: TaprootTreeTests.knownKey(), tree: trees[0])
        let keyOnly = try TaprootOutput(internalKey: TaprootTreeTests.knownKey())
        #expect(throws: TaprootError.otherTree) { try output.controlBlock(forLeafAt: 0, in: trees[1]) }
        #expect(throws: TaprootError.otherTree) { try keyOnly.controlBlock(forLeafAt: 0, in: trees[0]) }
        for index in [-1, 9, .max, .min] {
            #expect(throws: TaprootError.noSuchLeaf(index, count: 9)) { try output.controlBlock(forLeafAt: index, in: trees[0]) }
        }
        #expect(try output.controlBlock(forLeafAt: 8, in: trees[0]).proves(trees[0].leaf(at: 8).script, for: output.outputKey))
    }

    @Test(arguments: UInt64(0)..<100)
    func `a block with any bit changed proves nothing`(seed: UInt64) throws {
        var generator = TransactionGenerator(seed: seed)
        let tree = try TaprootTree(balanced: (0..<9).map(TaprootTreeTests.leaf))
        let output = try TaprootOutput(internalKey: TaprootTreeTests.knownKey(), tree: tree)
        let index = Int.random(in: 0..<9, using: &generator)
        var bytes = try output.controlBlock(forLeafAt: index, in: tree).serialized()
        let bit = Int.random(in: 0..<bytes.count * 8, using: &generator)
        bytes[bit / 8] ^= 1 << UInt8(bit % 8)
        let block = try? ControlBlock(parsing: bytes)
        #expect(block?.proves(tree.leaf(at: index).script, for: output.outputKey) != true)
    }
}
