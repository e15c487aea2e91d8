import Bitcoin
import CryptoPrimitives
import LibP2P
import Secp256k1
import Testing

@testable import Signing
@testable import SigningNode

/// What a request waits for, and what to do, by what one node knows.
@Suite struct RequestExplanationTests {
    private typealias Missing = RequestExplanation.Missing

    private let members: [PublicKey]

    init() throws { self.members = try (0..<4).map { _ in try SecretKey.generate().publicKey }.sorted() }

    /// The first member is us, the second one proposes.
    private func explanation(
        _ state: CoordinationState, decision: StoredRequest.Decision = .undecided, coordinator: Int = 2, approved: [Int] = [],
        refused: [Int] = [], awaited: [Int] = [], signed: [UInt32] = [], threshold: Int = 3, commitments: Bool = false,
        ownExpiry: UInt64 = 0, inputs: Int = 1, holdsNonces: Bool = false, _ connectivity: [MemberConnectivity] = []
    ) throws -> RequestExplanation {
        let policy = try DelegatedMultisig(internalKey: .unspendable, signers: self.members, threshold: threshold)
        let spent = (0..<inputs).map {
            TransactionInput(previousOutput: OutPoint(txid: Txid(SHA256.hash([1])), index: UInt32($0)), sequence: 0xffff_fffd)
        }
        let coin = TransactionOutput(amount: 100_000, scriptPubKey: policy.scriptPubKey)
        let transaction = Transaction(inputs: spent, outputs: [TransactionOutput(amount: 90_000, scriptPubKey: policy.scriptPubKey)])
        let request = try SigningRequest(
            transaction: transaction, prevouts: [TransactionOutput](repeating: coin, count: inputs), policyDigest: policy.digest,
            proposer: self.members[1],
            expiry: 1_800_086_400, usesNonceCommitments: commitments)
        let progress = CoordinationProgress(
            state: state, turn: 4, coordinator: self.members[coordinator], approved: self.keys(approved), refused: self.keys(refused),
            awaited: self.keys(awaited), awaitsNonces: commitments, holdsNoncesOfASet: holdsNonces, signedAttempts: signed)
        let summary = RequestSummary(
            id: request.digest, groupName: "family", group: policy.digest, request: request, proposer: self.members[1],
            terms: try #require(RequestTerms(createdAt: 1_800_000_000)), decision: decision, progress: progress, members: self.members,
            threshold: threshold, transaction: nil, changeScript: policy.scriptPubKey)
        return RequestExplanation(summary, connectivity, signer: self.members[0], ownExpiry: ownExpiry, time: 1_800_000_100)
    }

    private func keys(_ places: [Int]) -> [PublicKey] { places.map { self.members[$0] } }

    private func link(
        _ member: Int, _ method: ConnectionMethod? = nil, failures: Int = 0, error: ConnectivityError? = nil, hasAddress: Bool = true
    ) throws -> MemberConnectivity {
        MemberConnectivity(
            signer: self.members[member], peer: PeerID(of: try Ed25519.SecretKey.generate().publicKey), method: method,
            connectedSince: method.map { _ in .seconds(1) }, roundTrip: method.map { _ in .milliseconds(7) }, failures: failures,
            lastError: error, addresses: hasAddress ? [try Multiaddr(text: "/ip4/192.0.2.1/tcp/1")] : [])
    }

    @Test func `a decision that is missing is asked for, of whom, and how each is reached`() throws {
        let explanation = try self.explanation(
            .proposed, [self.link(1, .relay), self.link(2, .direct), self.link(3, failures: 3, error: .timeout)])
        // Who asked agrees by that.
        #expect(explanation.approvers == self.keys([1]) && explanation.mustStayRunning == self.keys([1]))
        #expect(
            explanation.missing
                == .decisions(
                    count: 2,
                    of: [
                        .init(signer: self.members[0], reach: .own),
                        .init(signer: self.members[2], reach: .connected(.direct, roundTrip: .milliseconds(7))),
                        .init(signer: self.members[3], reach: .notConnected(failureCount: 3, .timeout)),
                    ]))
        // Another one coordinates, so that others may have agreed already.
        #expect(explanation.approversMayBeMore && !explanation.oneVisitSuffices)
        #expect(
            explanation.advice
                == [.decide, .askCoordinator(self.members[2]), .remind(self.members[2]), .wakeMachine(self.members[3])])
        #expect(explanation.endings == [.cancellation(by: self.members[1]), .refusals(count: 2, of: self.members)])
        let lost = try self.explanation(
            .proposed, [self.link(2, hasAddress: false), self.link(3, failures: 1, error: .noRelayAddress)])
        #expect(lost.advice.suffix(2) == [.askForContact(self.members[2]), .askForContact(self.members[3])])
        guard case .decisions(_, let unknown) = try self.explanation(.proposed).missing else {
            Issue.record("nothing is missing")
            return
        }
        #expect(unknown.map(\.reach) == [.own, .notEnrolled, .notEnrolled])
    }

    @Test func `one visit suffices only when one decision is missing, as far as anybody can know`() throws {
        // We coordinate: approvals come to us.
        #expect(try self.explanation(.approved, decision: .approved, coordinator: 0, approved: [0]).oneVisitSuffices)
        // Nobody is missing.
        let complete = try self.explanation(.approved, decision: .approved, coordinator: 0, approved: [0, 2])
        #expect(!complete.oneVisitSuffices && complete.missing == .coordinator(.init(signer: self.members[0], reach: .own)))
        // Another coordinates, and may have what is missing.
        let other = try self.explanation(.approved, decision: .approved, approved: [0])
        #expect(!other.oneVisitSuffices && other.approversMayBeMore)
        // Ours is missing, and enough others are known to agree.
        #expect(try self.explanation(.proposed, approved: [2]).oneVisitSuffices)
        // Where nonces are committed to first, others have to hear of the last commitment, too.
        #expect(try !self.explanation(.proposed, approved: [2], commitments: true).oneVisitSuffices)
        #expect(try !self.explanation(.proposed, approved: [2, 3]).oneVisitSuffices)
        #expect(try !self.explanation(.proposed).oneVisitSuffices)
        // More nonces than are left for those who are away: who is not connected with the coordinator comes again.
        #expect(try self.explanation(.proposed, approved: [2], inputs: 256).oneVisitSuffices)
        #expect(try !self.explanation(.proposed, approved: [2], inputs: 257).oneVisitSuffices)
        // What is here is known to be.
        for inputs in [1, 257] {
            let explanation = try self.explanation(.proposed, approved: [2, 3], inputs: inputs, holdsNonces: true)
            #expect(explanation.hasAllOtherNonces && explanation.oneVisitSuffices)
        }
        #expect(try !self.explanation(.proposed, approved: [2]).hasAllOtherNonces)
        #expect(try !self.explanation(.approved, decision: .approved, approved: [0, 2], holdsNonces: true).hasAllOtherNonces)
        #expect(try !self.explanation(.expired, approved: [2], holdsNonces: true).hasAllOtherNonces)
    }

    @Test func `when enough agree it waits for whoever brings the signatures together, or for theirs`() throws {
        let waiting = try self.explanation(
            .signing, decision: .approved, approved: [0, 2, 3], signed: [1], [self.link(2, failures: 2, error: .timeout)])
        #expect(waiting.missing == .coordinator(.init(signer: self.members[2], reach: .notConnected(failureCount: 2, .timeout))))
        #expect(waiting.advice == [.keepRunning, .wakeMachine(self.members[2])] && waiting.isSignatureOut && !waiting.approversMayBeMore)
        let own = try self.explanation(
            .signing, decision: .approved, coordinator: 0, approved: [0, 3], awaited: [3], [self.link(3, .direct)])
        #expect(
            own.missing
                == .partialSignatures([.init(signer: self.members[3], reach: .connected(.direct, roundTrip: .milliseconds(7)))]))
        // A machine that is there needs no person any more.
        #expect(own.advice == [.keepRunning] && own.mustStayRunning == self.keys([0, 1, 3]))
    }

    @Test func `whoever said no, the proposer too, agrees no more, and fewer can still end it`() throws {
        let refused = try self.explanation(.proposed, refused: [1])
        #expect(refused.approvers.isEmpty && refused.mustStayRunning.isEmpty && refused.refusers == self.keys([1]))
        #expect(refused.endings.last == .refusals(count: 1, of: self.keys([0, 2, 3])))
        guard case .decisions(3, let members) = refused.missing else {
            Issue.record("\(refused.missing)")
            return
        }
        #expect(members.map(\.signer) == self.keys([0, 2, 3]))
    }

    @Test func `what is over waits for nobody, and says what is left to do`() throws {
        for (state, advice) in [
            (.complete, [.broadcast]), (.expired, [.askAnew]), (.endedMayStillComplete(.expired), [.spendCoins]), (.rejected, []),
            (.aborted(.fault([self.members[3]])), []),
        ] as [(CoordinationState, [RequestExplanation.Advice])] {
            let explanation = try self.explanation(state, decision: .approved, approved: [0])
            #expect(explanation.missing == .nothing && explanation.mustStayRunning.isEmpty && explanation.endings.isEmpty)
            #expect(!explanation.oneVisitSuffices && !explanation.approversMayBeMore && explanation.advice == advice)
        }
        #expect(try self.explanation(.aborted(.fault([self.members[3]]))).culprits == [self.members[3]])
        #expect(try self.explanation(.aborted(.refused([self.members[3]]))).culprits == [])
    }

    @Test func `a machine whose enrolment has ended is named, whether it is waited for or not, and so is our own`() throws {
        var (link, other) = (try self.link(2, .direct), try self.link(3, .direct))
        (link.enrolmentExpiry, other.enrolmentExpiry) = (1_800_000_000, 1_800_000_100)
        let explanation = try self.explanation(.signing, decision: .approved, approved: [0, 2, 3], [link, other])
        #expect(explanation.missing == .coordinator(.init(signer: self.members[2], reach: .enrolmentEnded(at: 1_800_000_000))))
        #expect(explanation.endedEnrolments == [.init(signer: self.members[2], endedAt: 1_800_000_000)], "the other's last second counts")
        #expect(explanation.advice == [.askToEnrol(self.members[2]), .keepRunning])
        let own = try self.explanation(.approved, decision: .approved, coordinator: 0, approved: [0], ownExpiry: 1_800_000_099, [link])
        #expect(own.endedEnrolments.map(\.signer) == self.keys([0, 2]))
        #expect(own.advice.prefix(2) == [.enrolAgain, .askToEnrol(self.members[2])])
        #expect(try self.explanation(.complete, ownExpiry: 1, [link]).endedEnrolments.isEmpty)
    }

    @Test(arguments: [PeerStanding.Block.owner, .conduct])
    func `a member that is blocked here is named as such, with what ends it, however it is reached`(block: PeerStanding.Block) throws {
        var link = try self.link(2, .direct)
        link.block = block
        let explanation = try self.explanation(.signing, decision: .approved, approved: [0, 2, 3], [link])
        #expect(explanation.missing == .coordinator(.init(signer: self.members[2], reach: .blocked(block))))
        #expect(explanation.advice.contains(.unblock(self.members[2])) && !explanation.advice.contains(.wakeMachine(self.members[2])))
    }
}
