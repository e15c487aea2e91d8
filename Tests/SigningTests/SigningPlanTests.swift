import Bitcoin
import CryptoPrimitives
import MuSig2
import Secp256k1
import Signing
import Synchronization
import Testing

@Suite struct SigningRequestTests {
    /// A request that can be varied, with an outside input beside the group's two.
    private struct Draft {
        var transaction: Transaction
        var prevouts: [TransactionOutput]
        var types: [SighashType] = [.default, .all, .default]
        var policy = SHA256.hash([1])
        var proposer: PublicKey?
        var expiry: UInt64 = 1_000
        var id = SHA256.hash([2])
        var usesNonceCommitments = false

        init() throws {
            let group = try SignerGroup(try Signer.make(2).map(\.publicKey))
            (self.transaction, self.prevouts) = Scene.transaction(inputs: 3, script: group.scriptPubKey)
            self.proposer = try Signer(0).publicKey
        }

        var digest: Bytes32 {
            get throws {
                try SigningRequest(
                    transaction: self.transaction, prevouts: self.prevouts, sighashTypes: self.types, policyDigest: self.policy,
                    proposer: self.proposer, expiry: self.expiry, id: self.id, usesNonceCommitments: self.usesNonceCommitments
                ).digest
            }
        }
    }

    @Test func `T0 changes with every part of the request`() throws {
        let other = SHA256.hash([9])
        let changes: [(inout Draft) throws -> Void] = [
            { $0.transaction.version += 1 },
            { $0.transaction.lockTime += 1 },
            { $0.transaction.inputs[1].sequence -= 1 },
            { $0.transaction.inputs[1].previousOutput.index += 10 },
            { $0.transaction.inputs[2].previousOutput.txid = Txid(other) },
            { $0.transaction.inputs.swapAt(0, 1) },
            { $0.transaction.outputs[0].amount -= 1 },
            { $0.transaction.outputs[0].scriptPubKey = Script([0x51]) },
            { $0.transaction.outputs.swapAt(0, 1) },
            { $0.transaction.outputs.removeLast() },
            { $0.prevouts[0].amount += 1 },
            { $0.prevouts[2].scriptPubKey = Script([0x51]) },
            { $0.prevouts.swapAt(0, 1) },
            { $0.types[0] = .all },
            { $0.types[1] = .singleAnyoneCanPay },
            { $0.types.swapAt(1, 2) },
            { $0.policy = other },
            { $0.proposer = nil },
            { $0.proposer = try Signer(1).publicKey },
            { $0.expiry = 0 },
            { $0.id = other },
            { $0.usesNonceCommitments = true },
        ]
        var digests: Set<Bytes32> = [try Draft().digest]
        for change in changes {
            var draft = try Draft()
            try change(&draft)
            digests.insert(try draft.digest)
        }
        #expect(digests.count == changes.count + 1)
        #expect(try Draft().digest == Draft().digest)
    }

    @Test func `signatures that are there already are no part of the request`() throws {
        var signed = try Draft()
        signed.transaction.inputs[0].witness = Witness([[1, 2, 3]])
        signed.transaction.inputs[2].scriptSig = Script([0x51])
        #expect(try signed.digest == Draft().digest)
    }

    @Test func `what cannot be signed is refused with the reason`() throws {
        let draft = try Draft()
        func refusal(_ change: (inout Transaction, inout [TransactionOutput]) -> Void) -> SigningError? {
            var (transaction, prevouts) = (draft.transaction, draft.prevouts)
            change(&transaction, &prevouts)
            do {
                _ = try SigningRequest(transaction: transaction, prevouts: prevouts)
                return nil
            } catch { return error }
        }
        #expect(refusal { _, _ in } == nil)
        #expect(refusal { transaction, coins in (transaction.inputs, coins) = ([], []) } == .transaction("it spends no coin"))
        #expect(refusal { transaction, _ in transaction.outputs = [] } == .transaction("it has no output"))
        #expect(refusal { _, coins in coins.removeLast() } == .sighash(.prevoutCount(inputs: 3, prevouts: 2)))
        #expect(
            refusal { transaction, _ in transaction.inputs[1].previousOutput = transaction.inputs[0].previousOutput }
                == .transaction("it spends one coin twice"))
        #expect(
            refusal { transaction, _ in transaction.outputs[0].amount = 20_000 }
                == .transaction("its outputs hold 38003 sat and its coins only 30003 sat"))
        let most = TransactionOutput.amountMax
        #expect(refusal { _, coins in coins[0].amount = most } == .transaction("the spent coins hold more than there are bitcoins"))
        #expect(refusal { _, coins in coins[0].amount = .max } == .transaction("the spent coins hold more than there are bitcoins"))
        #expect(
            refusal { transaction, _ in transaction.outputs[0].amount = .max }
                == .transaction("the outputs hold more than there are bitcoins"))
        #expect(throws: SigningError.transaction("2 sighash types were given for 3 inputs")) {
            _ = try SigningRequest(transaction: draft.transaction, prevouts: draft.prevouts, sighashTypes: [.all, .all])
        }
        #expect(try SigningRequest(transaction: draft.transaction, prevouts: draft.prevouts).fee == 3_000)
    }

    @Test func `a thousand inputs are signed, and one more is refused`() throws {
        let script = try SignerGroup([try Signer(0).publicKey]).scriptPubKey
        let (most, coins) = Scene.transaction(inputs: SigningRequest.inputCountMax, script: script)
        #expect(try SigningRequest(transaction: most, prevouts: coins).transaction.inputs.count == 1_000)
        let (over, more) = Scene.transaction(inputs: SigningRequest.inputCountMax + 1, script: script)
        #expect(throws: SigningError.tooLarge(what: "inputs", actual: 1_001, limit: 1_000)) {
            _ = try SigningRequest(transaction: over, prevouts: more)
        }
    }

    @Test func `as many outputs as a PSBT holds are signed, and one more is refused`() throws {
        var (transaction, coins) = Scene.transaction(inputs: 1, script: Script([0x51]))
        let output = TransactionOutput(amount: 0, scriptPubKey: Script([0x51]))
        transaction.outputs = Array(repeating: output, count: PSBT.outputCountMax)
        #expect(try SigningRequest(transaction: transaction, prevouts: coins).transaction.outputs.count == 12_000)
        transaction.outputs.append(output)
        #expect(throws: SigningError.tooLarge(what: "outputs", actual: 12_001, limit: 12_000)) {
            _ = try SigningRequest(transaction: transaction, prevouts: coins)
        }
    }

    @Test func `a request is over one second after its expiry, or never`() throws {
        let (transaction, coins) = Scene.transaction(inputs: 1, script: Script([0x51]))
        let request = try SigningRequest(transaction: transaction, prevouts: coins, expiry: 1_000)
        #expect(!request.isExpired(at: 1_000) && request.isExpired(at: 1_001))
        #expect(!(try SigningRequest(transaction: transaction, prevouts: coins).isExpired(at: .max)))
    }
}

@Suite struct SigningPlanTests {
    @Test(arguments: SighashType.allCases) func `every sighash type is signed, and says so in the witness`(type: SighashType) throws {
        let scene = try Scene(signers: 2, inputs: 2, sighashTypes: [type, .default])
        let signed = try complete(scene.processes())
        #expect(signed.inputs[0].witness.items.map(\.count) == [type == .default ? 64 : 65])
        try expectValid(signed, for: scene.plan)
    }

    @Test func `SINGLE without its output is refused`() throws {
        let group = try SignerGroup(try Signer.make(2).map(\.publicKey))
        var (transaction, coins) = Scene.transaction(inputs: 2, script: group.scriptPubKey)
        transaction.outputs.removeLast()
        let request = try SigningRequest(transaction: transaction, prevouts: coins, sighashTypes: [.default, .single])
        #expect(throws: SigningError.sighash(.singleWithoutOutput(input: 1, outputs: 1))) {
            _ = try SigningPlan(request: request, under: group, set: nil)
        }
    }

    @Test func `a key path with scripts under it is signed`() throws {
        let scene = try Scene(signers: 3, inputs: 1, merkleRoot: SHA256.hash([3]))
        try expectValid(try complete(scene.processes()), for: scene.plan)
    }

    @Test func `an aggregate that is the output key itself is signed`() throws {
        let signers = try Signer.make(3).reversed() as [Signer]
        let group = try SignerGroup(untweakedInOrder: signers.map(\.publicKey))
        let scene = try Scene(signers, under: group, set: nil, inputs: 2)
        #expect(scene.plan.inputs.allSatisfy { $0.path == .outputKey })
        try expectValid(try complete(scene.processes()), for: scene.plan)
    }

    @Test(arguments: [DelegatedMultisig.InternalKey.unspendable, .aggregate])
    func `every set of a 2-of-4 signs its leaf, and all four what the policy has for them`(internalKey: DelegatedMultisig.InternalKey)
        throws
    {
        let signers = try Signer.make(4)
        let policy = try DelegatedMultisig(internalKey: internalKey, signers: signers.map(\.publicKey), threshold: 2)
        for leaf in 0..<policy.leafCount {
            let set = try policy.signers(ofLeaf: leaf).map { policy.signers[$0] }
            let scene = try Scene(signers, under: policy, set: set.reversed(), inputs: 1, sighashTypes: [leaf == 0 ? .all : .default])
            let signed = try complete(scene.processes())
            #expect(signed.inputs[0].witness.items.count == 3)
            #expect(scene.plan.inputs[0].leafHash == (try policy.leaf(at: leaf).tapLeaf.hash))
            try expectValid(signed, for: scene.plan)
        }
        guard internalKey == .aggregate else { return }
        let scene = try Scene(signers, under: policy, set: policy.signers, inputs: 1)
        let signed = try complete(scene.processes())
        #expect(signed.inputs[0].witness.items.count == 1)
        try expectValid(signed, for: scene.plan)
    }

    @Test func `inputs of others stay as they are, and ours are signed over their coins`() throws {
        let signers = try Signer.make(2)
        let group = try SignerGroup(signers.map(\.publicKey))
        var (transaction, coins) = Scene.transaction(inputs: 4, script: group.scriptPubKey)
        coins[0].scriptPubKey = Script([0x00, 0x14] + [UInt8](repeating: 7, count: 20))
        coins[2].scriptPubKey = try SignerGroup([try Signer(50).publicKey]).scriptPubKey
        transaction.inputs[0].witness = Witness([[1]])
        let request = try SigningRequest(transaction: transaction, prevouts: coins)
        let plan = try SigningPlan(request: request, under: group, set: nil)
        #expect(plan.inputs.map(\.index) == [1, 3])
        let signed = try complete(signers.map { Party($0, plan) })
        #expect(signed.inputs.map(\.witness.items.count) == [0, 1, 0, 1])
        #expect(signed.txid == transaction.txid)
        try expectValid(signed, for: plan)
        coins[2].amount += 1
        let other = try SigningPlan(request: try SigningRequest(transaction: transaction, prevouts: coins), under: group, set: nil)
        #expect(zip(plan.inputs, other.inputs).allSatisfy { $0.message != $1.message })
    }

    @Test func `a path that is not the coin's is refused before any nonce`() throws {
        let signers = try Signer.make(3)
        let keys = signers.map(\.publicKey)
        let group = try SignerGroup(keys)
        let policy = try DelegatedMultisig(internalKey: .unspendable, signers: keys, threshold: 2)
        let block = try policy.leaf(at: 0).controlBlock
        let (transaction, coins) = Scene.transaction(inputs: 1, script: group.scriptPubKey)
        let request = try SigningRequest(transaction: transaction, prevouts: coins)
        let wrong: [([PublicKey], SpendPath)] = [
            (keys, .outputKey), (keys, .keyPath(merkleRoot: Bytes32())), (Array(keys.prefix(2)), .keyPath(merkleRoot: nil)),
            (keys.reversed(), .keyPath(merkleRoot: nil)), (Array(keys.prefix(2)), .leaf(block)),
        ]
        for (set, path) in wrong {
            #expect(throws: SigningError.scriptDoesNotMatch(input: 0)) {
                _ = try SigningPlan(request: request, signers: set, paths: [0: path])
            }
        }
        #expect(throws: SigningError.sighash(.inputOutOfRange(input: 1, inputs: 1))) {
            _ = try SigningPlan(request: request, signers: keys, paths: [1: .keyPath(merkleRoot: nil)])
        }
        #expect(throws: SigningError.sighash(.inputOutOfRange(input: -1, inputs: 1))) {
            _ = try SigningPlan(request: request, signers: keys, paths: [-1: .keyPath(merkleRoot: nil)])
        }
        #expect(throws: SigningError.transaction("none of its inputs is to be signed")) {
            _ = try SigningPlan(request: request, signers: keys, paths: [:])
        }
        #expect(throws: SigningError.transaction("a signer stands twice in the set")) {
            _ = try SigningPlan(request: request, signers: keys + [keys[0]], paths: [0: .keyPath(merkleRoot: nil)])
        }
        #expect(throws: SigningError.musig(.noSigners, signer: nil, input: nil)) {
            _ = try SigningPlan(request: request, signers: [], paths: [0: .keyPath(merkleRoot: nil)])
        }
    }

    @Test func `the plan under a policy is the plan of the set and path that the policy names`() throws {
        let keys = try Signer.make(4).map(\.publicKey)
        let delegated = try DelegatedMultisig(internalKey: .aggregate, signers: keys, threshold: 2)
        let cases: [(any SpendingPolicy, [PublicKey]?)] = [
            (try SignerGroup(keys, merkleRoot: SHA256.hash([1])), nil), (try SignerGroup(untweakedInOrder: keys.reversed()), nil),
            (delegated, [keys[3], keys[1]]), (delegated, keys),
        ]
        for (policy, set) in cases {
            var (transaction, coins) = Scene.transaction(inputs: 3, script: policy.scriptPubKey)
            coins[1].scriptPubKey = Script([0x51])
            transaction.inputs[0].witness = Witness([[1]])
            let request = try SigningRequest(transaction: transaction, prevouts: coins)
            let (signers, path) = try policy.spend(by: set)
            let expected = try SigningPlan(request: request, signers: signers, paths: [0: path, 2: path])
            let plan = try SigningPlan(request: request, under: policy, set: set)
            #expect(plan.signers == expected.signers)
            #expect(plan.inputs.map(\.index) == [0, 2])
            #expect(plan.inputs.map(\.message) == expected.inputs.map(\.message))
            #expect(plan.inputs.map(\.leafHash) == expected.inputs.map(\.leafHash))
            #expect(plan.inputs.map(\.keys.aggregateKey) == expected.inputs.map(\.keys.aggregateKey))
            #expect(plan.inputs.map(\.keys.tweaks) == expected.inputs.map(\.keys.tweaks))
        }
    }

    /// A policy of the caller's own, whose parts need not fit together.
    private struct OddPolicy: SpendingPolicy {
        let scriptPubKey: Script
        let members: [PublicKey]
        let path: SpendPath
        let aggregation: @Sendable () throws(SigningError) -> KeyAggregation
        var tweaked: KeyAggregation?
        let digest = Bytes32()
        var threshold: Int { self.members.count }
        var onlySet: [PublicKey]? { self.members }
        func chooseSet(among present: Set<PublicKey>) -> [PublicKey]? { self.members }
        func spend(by signers: [PublicKey]?) -> (signers: [PublicKey], path: SpendPath) { (self.members, self.path) }
        func keyAggregation(of set: [PublicKey]) throws(SigningError) -> KeyAggregation { try self.aggregation() }
        func tweakedKeyAggregation(of set: [PublicKey]) -> KeyAggregation? { self.tweaked }
    }

    @Test func `a tweak that a policy has at hand is taken where it is the path's, of these keys, and else made`() throws {
        let keys = try Signer.make(3).map(\.publicKey).sorted()
        let group = try SignerGroup(keys)
        let expected = try group.keys.tweakedForTaproot(merkleRoot: nil)
        let (transaction, coins) = Scene.transaction(inputs: 1, script: group.scriptPubKey)
        let request = try SigningRequest(transaction: transaction, prevouts: coins)
        let other = try KeyAggregation(Array(keys.reversed()))
        let offers = [
            nil, expected, group.keys, try group.keys.tweakedForTaproot(merkleRoot: SHA256.hash([9])),
            try other.tweakedForTaproot(merkleRoot: nil), try expected.tweakedForTaproot(merkleRoot: nil),
        ]
        for (number, offer) in offers.enumerated() {
            var policy = OddPolicy(scriptPubKey: group.scriptPubKey, members: keys, path: .keyPath(merkleRoot: nil)) { group.keys }
            policy.tweaked = offer
            let input = try #require(try SigningPlan(request: request, under: policy).inputs.first)
            #expect(input.keys.publicKeys == keys, "offer \(number)")
            #expect(input.keys.tweaks == expected.tweaks, "offer \(number)")
            #expect(input.keys.aggregateKey == expected.aggregateKey, "offer \(number)")
        }
    }

    @Test func `a policy's aggregation is asked for once, after the limits, and held against the coins`() throws {
        let keys = try Signer.make(3).map(\.publicKey)
        let group = try SignerGroup(keys)
        let other = try SignerGroup(Array(keys.prefix(2)))
        let (transaction, coins) = Scene.transaction(inputs: 50, script: group.scriptPubKey)
        let request = try SigningRequest(transaction: transaction, prevouts: coins)
        let asked = Mutex(0)
        func plan(_ signers: [PublicKey], _ path: SpendPath, _ keys: KeyAggregation) throws -> SigningPlan {
            let policy = OddPolicy(scriptPubKey: group.scriptPubKey, members: signers, path: path) { () throws(SigningError) in
                asked.withLock { $0 += 1 }
                return keys
            }
            return try SigningPlan(request: request, under: policy)
        }
        #expect(try plan(keys, .keyPath(merkleRoot: nil), group.keys).inputs.count == 50)
        #expect(asked.withLock { $0 } == 1)
        // Other keys than it named, and the right ones with a tweak.
        let contradiction = SigningError.transaction("the policy aggregates other keys than it named, or tweaks them")
        #expect(throws: contradiction) { _ = try plan(keys, .keyPath(merkleRoot: nil), other.keys) }
        #expect(throws: contradiction) { _ = try plan(keys, .outputKey, group.keys.tweakedForTaproot(merkleRoot: nil)) }
        asked.withLock { $0 = 1 }
        // Keys and path of somebody else's coin, under a policy that claims this coin.
        for (signers, path, aggregation) in [
            (other.members, SpendPath.keyPath(merkleRoot: nil), other.keys), (keys, .outputKey, group.keys),
            (keys, .keyPath(merkleRoot: Bytes32()), group.keys),
        ] {
            #expect(throws: SigningError.scriptDoesNotMatch(input: 0)) { _ = try plan(signers, path, aggregation) }
        }
        #expect(asked.withLock { $0 } == 4)
        let twice = SigningError.transaction("a signer stands twice in the set")
        #expect(throws: twice) { _ = try plan(keys + [keys[0]], .outputKey, group.keys) }
        let many = SigningError.tooLarge(what: "signers", actual: 1_001, limit: 1_000)
        #expect(throws: many) { _ = try plan(Array(repeating: keys[0], count: 1_001), .outputKey, group.keys) }
        let product = SigningError.tooLarge(what: "signers × inputs", actual: 50_000, limit: 20_000)
        #expect(throws: product) { _ = try plan(Array(repeating: keys[0], count: 1_000), .outputKey, group.keys) }
        #expect(asked.withLock { $0 } == 4)
        let others = coins.map { TransactionOutput(amount: $0.amount, scriptPubKey: Script([0x51])) }
        let foreign = try SigningRequest(transaction: transaction, prevouts: others)
        #expect(throws: SigningError.scriptDoesNotMatch(input: 0)) { _ = try SigningPlan(request: foreign, under: group) }
    }

    @Test func `a group keeps what it aggregated, and gives it for no other set`() throws {
        let keys = try Signer.make(3).map(\.publicKey)
        for group in [try SignerGroup(keys, merkleRoot: SHA256.hash([2])), try SignerGroup(untweakedInOrder: keys)] {
            #expect(group.scriptPubKey == .payToTaproot(group.outputKey))
            #expect(try group.keyAggregation(of: keys).aggregateKey == KeyAggregation(keys).aggregateKey)
            for set in [[], keys.reversed(), Array(keys.prefix(2))] as [[PublicKey]] {
                #expect(throws: SigningError.self) { _ = try group.keyAggregation(of: set) }
            }
        }
        let tree = try SignerGroup(keys, merkleRoot: SHA256.hash([2]))
        #expect(tree.merkleRoot == SHA256.hash([2]) && tree.outputKey != tree.keys.xOnlyKey)
        let bare = try SignerGroup(untweakedInOrder: keys)
        #expect(bare.merkleRoot == nil && bare.outputKey == bare.keys.xOnlyKey)
    }

    @Test func `twenty signers sign a thousand inputs, and one nonce more is refused`() throws {
        let scene = try Scene(signers: 20, inputs: 1_000)
        #expect(scene.plan.inputs.count * scene.plan.signers.count == SigningPlan.nonceCountMax)
        // 20,001 = 59 × 339.
        #expect(throws: SigningError.tooLarge(what: "signers × inputs", actual: 20_001, limit: 20_000)) {
            _ = try Scene(signers: 59, inputs: 339)
        }
    }

    @Test func `a thousand signers make a set, and one more does not`() throws {
        #expect(try Scene(signers: 1_000, inputs: 1).plan.signers.count == SigningPlan.signerCountMax)
        #expect(throws: SigningError.tooLarge(what: "signers", actual: 1_001, limit: 1_000)) { _ = try Scene(signers: 1_001, inputs: 1) }
    }
}

@Suite struct TranscriptTests {
    private func sets(_ scene: Scene) throws -> [NonceSet] { try scene.processes().map { try $0.nonces() } }

    @Test func `T1 changes with each of its parts`() throws {
        let scene = try Scene(signers: 3, inputs: 2)
        let sets = try self.sets(scene)
        let base = scene.plan.transcript(attempt: 1, nonceSets: sets)
        var digests: Set<Bytes32> = [base]
        func expectNew(_ digest: Bytes32, sourceLocation: SourceLocation = #_sourceLocation) {
            #expect(digests.insert(digest).inserted, sourceLocation: sourceLocation)
        }
        expectNew(scene.plan.transcript(attempt: 2, nonceSets: sets))
        for signer in sets.indices {
            let set = sets[signer]
            for name in [Party.name(2), Party.name(1, 2)] {
                var changed = sets
                changed[signer] = set.with(name: name)
                expectNew(scene.plan.transcript(attempt: 1, nonceSets: changed))
            }
            for input in set.nonces.indices {
                var (changed, nonces) = (sets, set.nonces)
                nonces[input] = sets[(signer + 1) % 3].nonces[input]
                changed[signer] = set.with(nonces: nonces)
                expectNew(scene.plan.transcript(attempt: 1, nonceSets: changed))
            }
            var swapped = sets
            swapped[signer] = set.with(nonces: set.nonces.reversed())
            expectNew(scene.plan.transcript(attempt: 1, nonceSets: swapped))
        }
        expectNew(scene.plan.transcript(attempt: 1, nonceSets: sets.reversed()))
        expectNew(try Scene(signers: 3, inputs: 2, id: SHA256.hash([1])).plan.transcript(attempt: 1, nonceSets: sets))
        expectNew(try Scene(signers: 3, inputs: 2, sighashTypes: [.all, .default]).plan.transcript(attempt: 1, nonceSets: sets))
        expectNew(try Scene(signers: 3, inputs: 2, merkleRoot: SHA256.hash([1])).plan.transcript(attempt: 1, nonceSets: sets))
    }

    @Test func `T1 changes with the path and the set, the request being the same`() throws {
        let signers = try Signer.make(4)
        let policy = try DelegatedMultisig(internalKey: .aggregate, signers: signers.map(\.publicKey), threshold: 2)
        let first = try Scene(signers, under: policy, set: Array(policy.signers[0...1]), inputs: 2)
        let second = try Scene(signers, under: policy, set: Array(policy.signers[2...3]), inputs: 2)
        #expect(first.plan.requestDigest == second.plan.requestDigest)
        let sets = try self.sets(first)
        #expect(first.plan.transcript(attempt: 1, nonceSets: sets) != second.plan.transcript(attempt: 1, nonceSets: sets))
        let one = try SigningPlan(request: first.plan.request, signers: first.plan.signers, paths: [0: first.plan.inputs[0].path])
        let other = try SigningPlan(request: first.plan.request, signers: first.plan.signers, paths: [1: first.plan.inputs[1].path])
        let short = sets.map { $0.with(nonces: [$0.nonces[0]]) }
        #expect(one.transcript(attempt: 1, nonceSets: short) != other.transcript(attempt: 1, nonceSets: short))
    }

    @Test func `T1 does not change with what the order of arrival or a signature adds`() throws {
        let scene = try Scene(signers: 3, inputs: 1)
        let sets = try self.sets(scene)
        let base = scene.plan.transcript(attempt: 1, nonceSets: sets)
        for order in permutations([0, 1, 2]) {
            let watcher = Party(scene.signers[0], scene.plan)
            for place in order { try watcher.add(sets[place], from: scene.signers[place].publicKey) }
            try watcher.session.fixTranscript()
            #expect(watcher.session.transcriptDigest == base)
        }
        var signed = scene.plan.request.transaction
        signed.inputs[0].witness = Witness([[1]])
        let request = try SigningRequest(
            transaction: signed, prevouts: scene.plan.request.prevouts, policyDigest: scene.plan.request.policyDigest)
        let plan = try SigningPlan(request: request, signers: scene.plan.signers, paths: [0: scene.plan.inputs[0].path])
        #expect(plan.transcript(attempt: 1, nonceSets: sets) == base)
    }
}
