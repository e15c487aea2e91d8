import CryptoPrimitives
import Testing

@testable import Bitcoin

@Suite struct DelegatedMultisigTreeTests {
    static func leaf(_ index: Int) -> TapLeaf { DelegatedMultisig.leaf(key: SHA256.hash(Array("leaf \(index)".utf8))) }

    static func tree(_ count: Int) -> BalancedTree { BalancedTree(leafCount: count) { Self.leaf($0).hash.hash } }

    /// The depths of m leaves when the first half is the greater one.
    @Test(arguments: [
        [0], [1, 1], [2, 2, 1], [2, 2, 2, 2], [3, 3, 2, 2, 2], [3, 3, 2, 3, 3, 2], [3, 3, 3, 3, 3, 3, 2],
        [3, 3, 3, 3, 3, 3, 3, 3], [4, 4, 3, 3, 3, 3, 3, 3, 3],
    ])
    func `one to nine leaves lie at these depths`(depths: [Int]) throws {
        let tree = Self.tree(depths.count)
        #expect(depths.indices.map(tree.depth(ofLeafAt:)) == depths)
        #expect(tree.depthMin == depths.min())
        let written = try TaprootTree(balanced: depths.indices.map(Self.leaf))
        #expect(written.placedLeaves.map(\.depth) == depths)
    }

    @Test(arguments: [1, 2, 3, 5, 9, 63, 64, 65, 127, 128, 129, 255, 256, 257, 300, 511, 1_000, 1_025])
    func `root and every path are those of the tree that keeps everything`(count: Int) throws {
        let tree = Self.tree(count)
        let whole = try TaprootTree(balanced: (0..<count).map(Self.leaf))
        #expect(tree.root == whole.merkleRoot)
        for index in 0..<count {
            let path = tree.merklePath(ofLeafAt: index) { Self.leaf($0).hash.hash }
            #expect(path == whole.merklePath(ofLeafAt: index))
            #expect(path.count == tree.depth(ofLeafAt: index))
        }
    }

    @Test func `a path remakes fewer than 128 leaf hashes`() {
        for count in [127, 128, 255, 8_191, 8_192, 19_600] {
            let tree = Self.tree(count)
            var made = 0
            _ = tree.merklePath(ofLeafAt: count / 3) {
                made += 1
                return Self.leaf($0).hash.hash
            }
            #expect(made < 128, "\(count) leaves")
        }
    }
}
