import CryptoPrimitives
import MuSig2
import Secp256k1
import Synchronization
import Testing

@testable import Bitcoin

@Suite struct DelegatedMultisigPolicyTests {
    // MARK: What a policy is

    @Test func `each leaf is the aggregate of its set of sorted keys`() throws {
        let policy = try DelegatedMultisig.figure(3, of: 5)
        let sorted = try FigureKey.signers(5).sorted()
        #expect(policy.signers == sorted)
        #expect(policy.leafCount == 10)
        #expect(policy.leafCountOfEachSigner == 6)
        for index in 0..<10 {
            let leaf = try policy.leaf(at: index)
            let group = try KeyAggregation(leaf.signers.map { sorted[$0] })
            #expect(leaf.key == group.xOnlyKey)
            #expect(leaf.tapLeaf.script.bytes == [0x20] + leaf.key.bytes.bytes + [0xac])
            #expect(leaf.tapLeaf.version == 0xc0)
            #expect(leaf.controlBlock.proves(leaf.tapLeaf.script, for: policy.output.outputKey))
            #expect(try policy.keyAggregation(for: .leaf(index)).xOnlyKey == leaf.key)
        }
    }

    @Test func `the same policy comes out whatever the order of the keys`() throws {
        let keys = try FigureKey.signers(6)
        let first = try DelegatedMultisig(internalKey: .unspendable, signers: keys, threshold: 4)
        let second = try DelegatedMultisig(internalKey: .unspendable, signers: keys.reversed(), threshold: 4)
        #expect(first == second)
        #expect(first.scriptPubKey == second.scriptPubKey)
        #expect(first.leafKeys == second.leafKeys)
    }

    @Test func `an unspendable internal key is H plus the published scalar times G, and differs for each policy`() throws {
        let policy = try DelegatedMultisig.figure(2, of: 3, .unspendable)
        let tweak = try #require(policy.unspendableTweak)
        var hash = SHA256.tagged("chorale/unspendable")
        hash.update([0, 0, 0, 2])
        for key in policy.signers { hash.update(key.bytes) }
        #expect(tweak == hash.finalize())
        #expect(try policy.output.internalKey == UnspendableKey.base.tweaked(adding: tweak).xOnly)
        #expect(try DelegatedMultisig.figure(3, of: 3, .unspendable).output.internalKey != policy.output.internalKey)
        #expect(try DelegatedMultisig.figure(2, of: 3).unspendableTweak == nil)
    }

    @Test func `H is the hash of the generator`() {
        let generator =
            "0479be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798"
            + "483ada7726a3c4655da4fbfc0e1108a8fd17b448a68554199c47d08ffb10d4b8"
        #expect((try? Hex.decode(generator)).map(SHA256.hash) == UnspendableKey.base.bytes)
    }

    @Test func `the aggregate of all signers can stand before the tree`() throws {
        let policy = try DelegatedMultisig.figure(2, of: 3, .aggregate)
        let all = try KeyAggregation(policy.signers)
        #expect(policy.output.internalKey == all.xOnlyKey)
        #expect(try policy.keyAggregation(for: .aggregateKeyPath).xOnlyKey == policy.output.outputKey)
    }

    @Test func `addresses decode to the output's script on every network`() throws {
        let policy = try DelegatedMultisig.figure(2, of: 3)
        for network in Network.allCases {
            let address = policy.address(on: network)
            #expect(try Address(parsing: address.text, on: network).scriptPubKey == policy.scriptPubKey)
        }
        #expect(policy.merkleRoot == policy.output.merkleRoot)
    }

    // MARK: What is refused

    @Test func `a threshold outside 1 to n is refused`() throws {
        let keys = try FigureKey.signers(3)
        for threshold in [Int.min, -1, 0, 4, Int.max] {
            #expect(throws: DelegatedMultisigError.thresholdOutOfRange(threshold: threshold, signers: 3)) {
                try DelegatedMultisig(internalKey: .unspendable, signers: keys, threshold: threshold)
            }
        }
        #expect(throws: DelegatedMultisigError.noSigners) {
            try DelegatedMultisig(internalKey: .unspendable, signers: [], threshold: 1)
        }
    }

    @Test func `a key that stands twice is refused, also with its sign turned`() throws {
        var keys = try FigureKey.signers(4)
        keys.append(keys[1])
        #expect(throws: DelegatedMultisigError.duplicateSigner(1, 4)) {
            try DelegatedMultisig(internalKey: .unspendable, signers: keys, threshold: 2)
        }
        keys[4] = try FigureKey.negated(keys[2])
        #expect(throws: DelegatedMultisigError.duplicateSigner(2, 4)) {
            try DelegatedMultisig(internalKey: .unspendable, signers: keys, threshold: 2)
        }
    }

    @Test func `an owner who is also a signer is refused, also with the sign turned`() throws {
        let keys = try FigureKey.signers(3)
        for owner in [keys[1], try FigureKey.negated(keys[1])] {
            #expect(throws: DelegatedMultisigError.ownerIsSigner(signer: 1)) {
                try DelegatedMultisig(internalKey: .owner(owner), signers: keys, threshold: 2)
            }
        }
    }

    @Test func `the limit on leaves holds at its edge and says the numbers`() throws {
        #expect(try DelegatedMultisig.leafCount(signers: 1_000_000, threshold: 1) == 1_000_000)
        #expect(try DelegatedMultisig.leafCount(signers: 1_414, threshold: 2) == 998_991)
        for (signers, threshold, leaves) in [(1_000_001, 1, UInt64(1_000_001)), (1_415, 2, 1_000_405), (50, 25, 126_410_606_437_752)] {
            let error = DelegatedMultisigError.tooManyLeaves(threshold: threshold, signers: signers, leaves: leaves, limit: 1_000_000)
            for allowing in [false, true] {
                #expect(throws: error) {
                    try DelegatedMultisig.leafCount(signers: signers, threshold: threshold, allowingLargeTree: allowing)
                }
            }
            #expect(error.description.contains("\(leaves)") && error.description.contains("1000000"))
        }
        let uncountable = DelegatedMultisigError.tooManyLeaves(threshold: 500, signers: 1_000, leaves: nil, limit: 1_000_000)
        #expect(throws: uncountable) { try DelegatedMultisig.leafCount(signers: 1_000, threshold: 500) }
        #expect(uncountable.description.contains("more than 18446744073709551615"))
    }

    @Test func `the limit on work holds at its edge, says the numbers, and is lifted by name alone`() throws {
        #expect(try DelegatedMultisig.leafCount(signers: 20_000_000, threshold: 20_000_000) == 1)
        #expect(try DelegatedMultisig.leafCount(signers: 4_472, threshold: 4_471) == 4_472)
        let error = DelegatedMultisigError.tooMuchWork(leaves: 4_473, threshold: 4_472, keys: 20_003_256, limit: 20_000_000)
        #expect(throws: error) { try DelegatedMultisig.leafCount(signers: 4_473, threshold: 4_472) }
        #expect(try DelegatedMultisig.leafCount(signers: 4_473, threshold: 4_472, allowingLargeTree: true) == 4_473)
        #expect(error.description.contains("20003256") && error.description.contains("20000000"))
        #expect(throws: DelegatedMultisigError.tooMuchWork(leaves: 1, threshold: 20_000_001, keys: 20_000_001, limit: 20_000_000)) {
            try DelegatedMultisig.leafCount(signers: 20_000_001, threshold: 20_000_001)
        }
        #expect(try DelegatedMultisig.leafCount(signers: .max, threshold: .max, allowingLargeTree: true) == 1)
    }

    @Test func `leaves, signers and paths that are not there are refused`() throws {
        let policy = try DelegatedMultisig.figure(2, of: 3, .unspendable)
        for index in [-1, 3, Int.max, Int.min] {
            let error = DelegatedMultisigError.noSuchLeaf(index, leaves: 3)
            #expect(throws: error) { try policy.leaf(at: index) }
            #expect(throws: error) { try policy.signers(ofLeaf: index) }
            #expect(throws: error) { try policy.keyAggregation(for: .leaf(index)) }
            #expect(throws: error) { try policy.inputSize(for: .leaf(index)) }
        }
        #expect(throws: DelegatedMultisigError.noSuchSigner(3, signers: 3)) { try policy.leafIndex(ofSigners: [0, 3]) }
        #expect(throws: DelegatedMultisigError.noSuchSigner(-1, signers: 3)) { try policy.cheapestLeafIndex(present: [0, 1, -1]) }
        #expect(throws: DelegatedMultisigError.wrongSignerCount(3, threshold: 2)) { try policy.leafIndex(ofSigners: [0, 1, 2]) }
        #expect(throws: DelegatedMultisigError.wrongSignerCount(2, threshold: 2)) { try policy.leafIndex(ofSigners: [1, 1]) }
        #expect(throws: DelegatedMultisigError.notEnoughSigners(present: 1, threshold: 2)) {
            try policy.cheapestPath(present: [2, 2])
        }
        for path in [DelegatedMultisig.Path.owner, .aggregateKeyPath] {
            #expect(throws: DelegatedMultisigError.pathNotInPolicy(path)) { try policy.inputSize(for: path) }
        }
        let owned = try DelegatedMultisig.figure(2, of: 3)
        #expect(throws: DelegatedMultisigError.pathHasNoGroup(.owner)) { try owned.keyAggregation(for: .owner) }
        #expect(throws: DelegatedMultisigError.pathNotInPolicy(.aggregateKeyPath)) { try owned.check(.aggregateKeyPath) }
    }

    @Test(
        arguments: [
            (.noSigners, ["at least one"]), (.thresholdOutOfRange(threshold: 4, signers: 3), ["is 4", "1 to 3"]),
            (.ownerIsSigner(signer: 7), ["signer 7"]), (.duplicateSigner(2, 5), ["2 and 5"]), (.cancelled, ["cancelled"]),
            (.aggregation(.noSigners), ["did not aggregate", "signer"]), (.output(.emptyTree), ["no output", "leaf"]),
            (.noSuchLeaf(9, leaves: 3), ["leaf 9", "has 3"]), (.noSuchSigner(8, signers: 3), ["signer 8", "has 3"]),
            (.wrongSignerCount(3, threshold: 2), ["exactly 2", "are 3"]),
            (.notEnoughSigners(present: 1, threshold: 2), ["2 signers", "1 are"]),
            (.pathNotInPolicy(.aggregateKeyPath), ["key path of all signers"]), (.pathHasNoGroup(.owner), ["owner's key path"]),
            (.descriptorTooLong(leaves: 1_001, limit: 1_000), ["1001", "1000"]),
        ] as [(DelegatedMultisigError, [String])])
    func `an error says what is wrong with its numbers`(error: DelegatedMultisigError, words: [String]) {
        for word in words { #expect(error.description.contains(word), "\(error)") }
    }

    @Test func `a count of signers below zero is refused`() {
        #expect(throws: DelegatedMultisigError.noSigners) { try DelegatedMultisig.leafCount(signers: -1, threshold: 1) }
        #expect(throws: DelegatedMultisigError.noSigners) { try DelegatedMultisig.leafCount(signers: .min, threshold: .min) }
    }

    // MARK: Choosing

    @Test func `a set leads to its leaf and back`() throws {
        let policy = try DelegatedMultisig.figure(3, of: 6)
        for index in 0..<policy.leafCount {
            #expect(try policy.leafIndex(ofSigners: policy.signers(ofLeaf: index).reversed()) == index)
        }
        for (place, key) in policy.signers.enumerated() { #expect(policy.signer(holding: key) == place) }
        #expect(try policy.signer(holding: FigureKey.owner()) == nil)
    }

    @Test func `the cheapest leaf of those present is the first of the least depth`() throws {
        for (k, n) in [(1, 5), (2, 3), (2, 4), (3, 5), (2, 6), (3, 6), (5, 7), (4, 4)] {
            let policy = try DelegatedMultisig.figure(k, of: n)
            for mask in 0..<(1 << n) where mask.nonzeroBitCount >= k {
                let present = Set((0..<n).filter { mask >> $0 & 1 == 1 })
                let candidates = try (0..<policy.leafCount).filter { try present.isSuperset(of: policy.signers(ofLeaf: $0)) }
                let depths = try candidates.map { try policy.leaf(at: $0).controlBlock.merklePath.count }
                let expected = candidates[try #require(depths.firstIndex(of: depths.min() ?? 0))]
                #expect(try policy.cheapestLeafIndex(present: present) == expected, "\(k) of \(n), present \(present.sorted())")
            }
        }
    }

    @Test func `a key path is taken by whoever can sign it`() throws {
        let owned = try DelegatedMultisig.figure(2, of: 3)
        #expect(try owned.cheapestPath(present: [Int](), ownerIsPresent: true) == .owner)
        #expect(try owned.cheapestPath(present: [0, 2]) == .leaf(1))
        let shared = try DelegatedMultisig.figure(2, of: 3, .aggregate)
        #expect(try shared.cheapestPath(present: [0, 1, 2]) == .aggregateKeyPath)
        #expect(try shared.cheapestPath(present: [1, 2], ownerIsPresent: true) == .leaf(2))
        #expect(try shared.signers(of: .aggregateKeyPath) == [0, 1, 2])
        let nobodys = try DelegatedMultisig.figure(2, of: 3, .unspendable)
        #expect(try nobodys.cheapestPath(present: [0, 1, 2], ownerIsPresent: true) == .leaf(2), "the one leaf at depth 1")
        #expect(try owned.signers(of: .owner).isEmpty)
    }

    // MARK: Spending

    @Test func `k signers spend by their leaf, and all by the key path`() throws {
        let policy = try DelegatedMultisig.figure(2, of: 3, .aggregate)
        let coin = TransactionOutput(amount: 50_000, scriptPubKey: policy.scriptPubKey)
        var transaction = Transaction(
            inputs: [TransactionInput(previousOutput: OutPoint(txid: Txid(SHA256.hash([1])), index: 0))],
            outputs: [TransactionOutput(amount: 49_000, scriptPubKey: policy.scriptPubKey)])
        for path in [DelegatedMultisig.Path.leaf(0), .leaf(1), .leaf(2), .aggregateKeyPath] {
            let leaf: DelegatedMultisig.Leaf? = if case .leaf(let index) = path { try policy.leaf(at: index) } else { nil }
            let hash = try transaction.taprootSighash(input: 0, prevouts: [coin], type: .default, leaf: leaf?.tapLeaf.hash)
            let group = try policy.keyAggregation(for: path)
            let signature = try Self.sign(hash, group: group, policy: policy)
            // What consensus verifies against: the leaf's key as it stands, or the output key.
            #expect(signature.isValid(for: hash, by: leaf?.key ?? policy.output.outputKey))
            transaction.inputs[0].witness = try policy.witness(for: path, signature: signature)
            let size = TransactionSize(inputs: [try policy.inputSize(for: path)], outputs: transaction.outputs)
            #expect(size.weight == transaction.weight)
        }
    }

    /// Signs with the secrets of all members, one after the other.
    private static func sign(_ hash: Bytes32, group: KeyAggregation, policy: DelegatedMultisig) throws -> SchnorrSignature {
        let names = try (0..<policy.signers.count).reduce(into: [PublicKey: Int]()) { names, index in
            let secret = try FigureKey.secret(of: index)
            names[secret.publicKey] = index
        }
        var partials: [PartialSignature] = []
        // Two members at most are signed for here by recursion, because secret nonces cannot stand in an array.
        func collect(_ member: Int, _ nonces: [PublicNonce]) throws -> SigningContext {
            guard member < group.publicKeys.count else { return try SigningContext(keys: group, nonces: nonces, message: hash) }
            let secret = try FigureKey.secret(of: try #require(names[group.publicKeys[member]]))
            let nonce = try SecretNonce(for: secret, keys: group, message: hash, extraInput: Bytes32())
            let context = try collect(member + 1, nonces + [nonce.publicNonce])
            partials.append(try nonce.sign(with: secret, in: context))
            return context
        }
        let context = try collect(0, [])
        return try context.finish(partials.reversed())
    }

    // MARK: Computing

    @Test func `8-of-15 is the same by one worker and by two`() async throws {
        let keys = try FigureKey.signers(15)
        let one = try await DelegatedMultisig.make(internalKey: .unspendable, signers: keys, threshold: 8, workers: 1)
        let two = try await DelegatedMultisig.make(internalKey: .unspendable, signers: keys.shuffled(), threshold: 8, workers: 2)
        #expect(one.leafCount == 6_435)
        #expect(one.leafKeys == two.leafKeys)
        #expect(one.merkleRoot == two.merkleRoot && one.scriptPubKey == two.scriptPubKey)
        for index in [0, 1, 3_217, 6_434] {
            let leaf = try one.leaf(at: index)
            #expect(leaf.key == (try KeyAggregation(leaf.signers.map { one.signers[$0] }).xOnlyKey))
            #expect(leaf.controlBlock.proves(leaf.tapLeaf.script, for: one.output.outputKey))
        }
    }

    @Test func `progress rises to the end in at most 100 steps`() async throws {
        let steps = Mutex<[Int]>([])
        let policy = try await DelegatedMultisig.make(
            internalKey: .unspendable, signers: FigureKey.cheap(24), threshold: 3, workers: 2
        ) { completed, total in
            #expect(total == 2_024)
            steps.withLock { $0.append(completed) }
        }
        let seen = steps.withLock { $0 }
        #expect(seen.last == policy.leafCount)
        #expect(seen.count <= 100 && seen == seen.sorted() && Set(seen).count == seen.count)
    }

    @Test(arguments: [-5, 0, 1, 3, 1_000, nil])
    func `any count of workers computes what the calling thread alone does`(workers: Int?) async throws {
        // 455 leaves in two pieces of unequal length.
        let keys = try FigureKey.signers(15)
        let policy = try await DelegatedMultisig.make(internalKey: .aggregate, signers: keys, threshold: 3, workers: workers)
        #expect(try policy.leafKeys == DelegatedMultisig.figure(3, of: 15, .aggregate).leafKeys)
    }

    @Test func `cancelling the task ends a long computation`() async throws {
        let keys = FigureKey.cheap(22)
        let task = Task {
            // 646,646 leaves of 10 keys: minutes, if nothing ended it.
            try await DelegatedMultisig.make(internalKey: .unspendable, signers: keys, threshold: 10)
        }
        try await Task.sleep(for: .milliseconds(100))
        task.cancel()
        await #expect(throws: DelegatedMultisigError.cancelled) { try await task.value }
    }
}
