import Bitcoin
import CryptoPrimitives
import MuSig2
import Secp256k1
import Signing
import TestVectors
import Testing

private struct BIP373File: Decodable {
    struct Case: Decodable {
        let valid: Bool
        let why: String
        let base64: String
    }

    struct Participant: Decodable { let pubkey: String }

    static let path = "extracted/bip373.json"
    let psbts: [Case]
    let participants: [Participant]

    /// The PSBT whose label ends so.
    func psbt(_ what: String) throws -> PSBT { try PSBT(base64: try #require(self.psbts.first { $0.why == what }).base64) }
}

@Suite(.enabled(if: VectorFolder.has(BIP373File.path), "needs the bips folder: set CHORALE_BIPS"))
struct OfficialMuSig2PSBTTests {
    /// The cases whose keys are not derived.
    enum Spend: String, CaseIterable {
        case outputKey = "spend, output key is the aggregate"
        case internalKey = "spend, internal key is the aggregate"
        case leaf = "spend, key in a leaf script is the aggregate"
    }

    private let file: BIP373File

    init() throws { self.file = try VectorFolder.load(BIP373File.path) }

    /// The plan, rebuilt from what the PSBT says of coin and participants.
    private func plan(_ spend: Spend, _ psbt: PSBT) throws -> SigningPlan {
        let input = psbt.inputs[0]
        let participants = try #require(input.musig2Participants.values.first)
        if spend != .leaf {
            let subject = try PSBTSubject(psbt, for: participants[0])
            guard case .all(let group) = subject.group else { throw SigningError.notASigner(participants[0]) }
            let plan = try SigningPlan(request: try subject.request(under: group), under: group, set: nil)
            #expect(plan.inputs.map(\.path) == [spend == .outputKey ? .outputKey : .keyPath(merkleRoot: input.tapMerkleRoot)])
            return plan
        }
        let request = try SigningRequest(transaction: psbt.unsignedTransaction, prevouts: try psbt.spentOutputs())
        for block in input.tapLeafScripts.keys {
            if let plan = try? SigningPlan(request: request, signers: participants, paths: [0: .leaf(block)]) { return plan }
        }
        throw SigningError.scriptDoesNotMatch(input: 0)
    }

    @Test(arguments: Spend.allCases) func `nonces and partial signatures of the BIP's own PSBTs make a valid signature`(spend: Spend)
        async throws
    {
        let psbt = try self.file.psbt("\(spend.rawValue): all partial signatures")
        let plan = try self.plan(spend, psbt)
        #expect(Set(plan.signers.map(\.description)) == Set(self.file.participants.map { $0.pubkey.lowercased() }))
        let (input, ours) = (psbt.inputs[0], plan.inputs[0])
        var session = SigningSession(plan: plan)
        var partials: [(PublicKey, PartialSignature)] = []
        for (number, signer) in plan.signers.enumerated() {
            // The label is the key as it stands in output or script, tweaks included, with its parity; and the leaf.
            let label = PSBT.MuSig2Contribution(participant: signer, aggregateKey: ours.keys.aggregateKey, leafHash: ours.leafHash)
            let nonce = try PublicNonce(parsing: try #require(input.musig2PublicNonces[label]))
            _ = try session.add(NonceSet(plan, name: Party.name(1, UInt32(number)), nonces: [nonce]), from: signer)
            partials.append((signer, try PartialSignature(parsing: try #require(input.musig2PartialSignatures[label]))))
        }
        try session.fixTranscript()
        let transcript = session.transcriptDigest ?? Bytes32()
        for (signer, partial) in partials {
            _ = try session.add(SignatureShares(transcript: transcript, partialSignatures: [partial]), from: signer)
        }
        let inquiry = session.inquiry
        #expect(await inquiry?.faults().isEmpty == true)
        let finished = try session.tryFinalize()
        try expectValid(try #require(finished), for: plan)
    }

    @Test(arguments: Spend.allCases) func `a signature of the BIP's own PSBTs with one bit changed is found out`(spend: Spend) async throws
    {
        let psbt = try self.file.psbt("\(spend.rawValue): all partial signatures")
        let plan = try self.plan(spend, psbt)
        var session = SigningSession(plan: plan)
        for nonces in psbt.inputs[0].musig2PublicNonces {
            _ = try session.add(
                NonceSet(plan, name: Party.name(1), nonces: [try PublicNonce(parsing: nonces.value)]), from: nonces.key.participant)
        }
        try session.fixTranscript()
        let transcript = session.transcriptDigest ?? Bytes32()
        for partial in psbt.inputs[0].musig2PartialSignatures {
            var bytes = partial.value
            if partial.key.participant == plan.signers[0] { bytes[31] ^= 1 }
            let shares = SignatureShares(transcript: transcript, partialSignatures: [try PartialSignature(parsing: bytes)])
            _ = try session.add(shares, from: partial.key.participant)
        }
        do {
            _ = try session.tryFinalize()
            Issue.record("a wrong signature passed")
        } catch { #expect(error == .signatureDoesNotVerify(input: 0)) }
        let inquiry = session.inquiry
        #expect(await inquiry?.faults().map(\.signer) == [plan.signers[0]])
    }

    @Test func `keys derived from the aggregate are refused, not signed for wrongly`() throws {
        let psbt = try self.file.psbt("spend, internal key derived from the aggregate: participants only")
        let key = try #require(psbt.inputs[0].musig2Participants.values.first?.first)
        #expect(throws: SigningError.notASigner(key)) { _ = try PSBTSubject(psbt, for: key) }
    }
}

@Suite struct PSBTSubjectTests {
    private struct Paper {
        let signers: [Signer]
        let group: SignerGroup
        var psbt: PSBT

        init(inputs: Int = 2) throws {
            self.signers = try Signer.make(3)
            self.group = try SignerGroup(self.signers.map(\.publicKey))
            let (transaction, coins) = Scene.transaction(inputs: inputs, script: self.group.scriptPubKey)
            self.psbt = try PSBT(unsignedTransaction: transaction)
            for index in coins.indices {
                self.psbt.inputs[index].witnessUTXO = coins[index]
                self.psbt.inputs[index].musig2Participants[self.group.keys.aggregateKey] = self.group.members
            }
        }

        func subject(_ signer: Int = 0) throws -> PSBTSubject { try PSBTSubject(self.psbt, for: self.signers[signer].publicKey) }
    }

    @Test func `all signers of one PSBT arrive at one request`() throws {
        let paper = try Paper()
        let digests = try (0..<3).map { try paper.subject($0).request(under: paper.group).digest }
        #expect(Set(digests).count == 1)
        var noisy = paper
        noisy.psbt.inputs[0].proprietary[PSBT.ProprietaryKey(identifier: [1], subtype: 0)] = [1]
        #expect(try noisy.subject().request(under: paper.group).digest == digests[0])
        #expect(throws: SigningError.notASigner(try Signer(99).publicKey)) {
            _ = try PSBTSubject(paper.psbt, for: try Signer(99).publicKey)
        }
    }

    @Test func `an unusual sighash type is signed only where it is allowed by name`() throws {
        var paper = try Paper()
        paper.psbt.inputs[1].sighashType = 1
        #expect(try paper.subject().request(under: paper.group).sighashTypes == [.default, .all])
        paper.psbt.inputs[1].sighashType = 2
        let subject = try paper.subject()
        let error = #expect(throws: SigningError.self) { _ = try subject.request(under: paper.group) }
        #expect(error?.description.contains("input 1 asks for a signature of type NONE") == true)
        #expect(try subject.request(under: paper.group, allowing: [.none]).sighashTypes == [.default, .none])
        paper.psbt.inputs[1].sighashType = 0x41
        #expect(throws: SigningError.self) { _ = try paper.subject() }
    }

    @Test func `sighash types of other people's inputs make no difference`() throws {
        var paper = try Paper()
        paper.psbt.inputs[1].witnessUTXO?.scriptPubKey = Script([0x00, 0x14] + [UInt8](repeating: 7, count: 20))
        paper.psbt.inputs[1].musig2Participants = [:]
        let bare = try paper.subject().request(under: paper.group)
        paper.psbt.inputs[1].sighashType = 0x83
        #expect(try paper.subject().request(under: paper.group) == bare)
        #expect(try SigningPlan(request: bare, under: paper.group, set: nil).inputs.map(\.index) == [0])
    }

    @Test func `what a PSBT claims about participants is proved or refused`() throws {
        var paper = try Paper(inputs: 1)
        let (group, keys) = (paper.group, paper.group.members)
        // Other participants under the aggregate's name.
        paper.psbt.inputs[0].musig2Participants = [group.keys.aggregateKey: [keys[0], keys[1]]]
        #expect(throws: SigningError.self) { _ = try paper.subject() }
        // A right list, which is not the coin's.
        let other = try SignerGroup([keys[0], keys[1]])
        paper.psbt.inputs[0].musig2Participants = [other.keys.aggregateKey: other.members]
        #expect(throws: SigningError.notASigner(keys[0])) { _ = try paper.subject() }
        // A coin whose amount is unknown.
        paper.psbt.inputs[0].witnessUTXO = nil
        #expect(throws: SigningError.self) { _ = try paper.subject() }
    }

    /// Each would cost the aggregation of up to a thousand keys, and the order of a dictionary would decide which one is complained of.
    @Test func `groups with the signer's key that are not the coin's are passed over, up to a stated number`() throws {
        var paper = try Paper(inputs: 1)
        let (script, group) = (paper.group.scriptPubKey, paper.group)
        let keys = (0..<42_000).lazy.compactMap { try? XOnlyPublicKey(SHA256.hash(Array("group \($0)".utf8))).evenKey }
        for key in keys.prefix(PSBTSubject.groupCountMax - 1) { paper.psbt.inputs[0].musig2Participants[key] = group.members }
        guard case .all(let found) = try paper.subject().group else { throw SigningError.closed }
        #expect(found.scriptPubKey == script && found.members == group.members)
        for key in keys.prefix(PSBTSubject.groupCountMax) { paper.psbt.inputs[0].musig2Participants[key] = group.members }
        let limit = PSBTSubject.groupCountMax
        #expect(throws: SigningError.tooLarge(what: "groups with this signer", actual: limit + 1, limit: limit)) { try paper.subject() }
    }

    @Test func `the input that an owner cannot sign is named`() throws {
        let (signers, owner) = (try Signer.make(2), try Signer(7))
        let policy = try DelegatedMultisig(internalKey: .owner(owner.publicKey), signers: signers.map(\.publicKey), threshold: 2)
        var (transaction, coins) = Scene.transaction(inputs: 3, script: policy.scriptPubKey)
        // The last input has no output beside it.
        transaction.outputs.removeLast()
        let request = try SigningRequest(
            transaction: transaction, prevouts: coins, sighashTypes: [.default, .single, .single], policyDigest: policy.digest)
        let error = #expect(throws: SigningError.self) { _ = try policy.spendAsOwner(request, with: owner.key) }
        guard case .transaction(let text)? = error, text.hasPrefix("input 2: ") else {
            Issue.record("\(String(describing: error))")
            return
        }
    }

    @Test func `a k-of-n policy travels in the PSBT and is not believed but computed`() async throws {
        var paper = try Paper(inputs: 1)
        let policy = try DelegatedMultisig(
            internalKey: .owner(try Signer(7).publicKey), signers: paper.group.members, threshold: 2)
        paper.psbt.proprietary[PolicyRecord.psbtKey] = PolicyRecord(policy).serialized()
        guard case .delegated(let record) = try paper.subject().group else { throw SigningError.closed }
        #expect(record == PolicyRecord(policy))
        #expect(throws: SigningError.notASigner(try Signer(99).publicKey)) {
            _ = try PSBTSubject(paper.psbt, for: try Signer(99).publicKey)
        }
        _ = try PSBTSubject(paper.psbt, for: try Signer(7).publicKey)
        // The coin is the group's and not the policy's: nothing to sign.
        let subject = try paper.subject()
        let request = try subject.request(under: policy)
        #expect(throws: SigningError.scriptDoesNotMatch(input: 0)) {
            _ = try SigningPlan(request: request, under: policy, set: Array(policy.signers[0...1]))
        }
        paper.psbt.inputs[0].witnessUTXO?.scriptPubKey = policy.scriptPubKey
        let set = try #require(policy.chooseSet(among: Set(policy.signers[1...2])))
        let right = try paper.subject().request(under: try await record.policy())
        #expect(try SigningPlan(request: right, under: policy, set: set).signers == Array(policy.signers[1...2]))
        paper.psbt.proprietary[PolicyRecord.psbtKey] = [1, 2, 3]
        #expect(throws: SigningError.self) { _ = try paper.subject() }
    }

    @Test func `policies say which sets can spend`() throws {
        let signers = try Signer.make(3).map(\.publicKey)
        let group = try SignerGroup(signers)
        #expect(group.chooseSet(among: Set(signers)) == signers)
        #expect(group.chooseSet(among: Set(signers.dropLast())) == nil)
        #expect(throws: SigningError.self) { _ = try group.spend(by: Array(signers.dropLast())) }
        #expect(try group.spend(by: signers.reversed()).signers == signers)
        #expect(throws: SigningError.transaction("a signer stands twice in the group")) { _ = try SignerGroup(signers + [signers[0]]) }
        let policy = try DelegatedMultisig(internalKey: .unspendable, signers: signers, threshold: 2)
        #expect(policy.chooseSet(among: [signers[0]]) == nil)
        #expect(policy.chooseSet(among: [signers[2], signers[0]]) == [signers[0], signers[2]])
        for set in [nil, [signers[0]], signers, [signers[0], signers[0]]] as [[PublicKey]?] {
            #expect(throws: SigningError.self) { _ = try policy.spend(by: set) }
        }
        #expect(throws: SigningError.notASigner(try Signer(99).publicKey)) {
            _ = try policy.spend(by: [signers[0], try Signer(99).publicKey])
        }
    }
}
