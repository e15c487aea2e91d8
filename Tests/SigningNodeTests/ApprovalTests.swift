import Bitcoin
import CryptoPrimitives
import SessionStore
import Signing
import SigningNode
import Testing

/// Whole nodes whose machines approve by themselves, within limits.
@Suite(.timeLimit(.minutes(15))) struct ApprovalTests {
    private static let shop = Script([0x00, 0x14] + Array(repeating: 7, count: 20))

    private func policy(
        _ group: NodeGroup, perRequest: UInt64 = 60_000, perDay: UInt64 = 100_000, delay: UInt64 = 0,
        windows: [ApprovalWindow]? = nil, otherwise: ApprovalPolicy.Otherwise = .ask
    ) async throws -> ApprovalPolicy {
        try ApprovalPolicy(
            network: .regtest, groupScript: await group.record.policy().scriptPubKey, proposers: .any, destinations: .these([Self.shop]),
            limits: ApprovalPolicy.Limits(
                amountPerRequest: perRequest, amountPerDay: perDay, approvalsPerDay: 10, fee: 20_000, feeRate: try FeeRate(100)),
            times: ApprovalPolicy.Times(windows: windows, delay: delay), otherwise: otherwise)
    }

    /// Asks for a payment out of a coin of 200,000 sat, with a fee of 1,000 sat.
    private func ask(_ group: NodeGroup, pays: UInt64, to script: Script? = nil, coin: UInt8? = nil) async throws -> Bytes32 {
        let own = try await group.record.policy().scriptPubKey
        let salt = coin.map { [$0] } ?? SystemRandom.bytes(count: 8)
        let transaction = Transaction(
            inputs: [TransactionInput(previousOutput: OutPoint(txid: Txid(SHA256.hash(salt)), index: 0), sequence: 0xffff_fffd)],
            outputs: [
                TransactionOutput(amount: pays, scriptPubKey: script ?? Self.shop),
                TransactionOutput(amount: 199_000 - pays, scriptPubKey: own),
            ])
        return try await group.node(0).propose(
            transaction, prevouts: [TransactionOutput(amount: 200_000, scriptPubKey: own)], group: await group.record.policy().digest,
            seconds: 600)
    }

    /// What the policy says first of the request.
    private func notice(_ group: NodeGroup, _ id: Bytes32, at place: Int = 1) async throws -> ApprovalNotice? {
        try await group.first(of: place) { event in if case .approval(id, let notice) = event { notice } else { nil } }
    }

    private func start(_ count: Int, _ policy: (NodeGroup) async throws -> ApprovalPolicy) async throws -> NodeGroup {
        let group = try NodeGroup(count)
        for place in 0..<count { try await group.start(place) }
        let digest = try await group.record.policy().digest
        for place in 1..<count { try await group.node(place).setApprovalPolicy(await policy(group), of: digest) }
        return group
    }

    @Test func `what is within the limits is signed without a person, and what is beyond them is asked about`() async throws {
        let group = try await self.start(3) { try await self.policy($0) }
        let first = try await self.ask(group, pays: 50_000)
        for place in 0..<3 { #expect(try await group.completion(of: first, at: place) != nil) }
        #expect(try await self.notice(group, first) == .approves)
        // Alone it would fit, after the first it is too much for one day.
        let second = try await self.ask(group, pays: 49_001)
        guard case .asks(let reasons)? = try await self.notice(group, second) else {
            Issue.record("it is not asked about")
            return
        }
        #expect(reasons == [.amountPerDay(50_001, counted: 51_000, limit: 100_000)])
        #expect(try await group.node(1).request(second)?.decision == .undecided)
        guard case .asks(let others)? = try await group.node(1).approvalNotice(of: second) else {
            Issue.record("the policy says something else when it is asked again")
            return
        }
        #expect(others == reasons)
        // A person may do what the policy leaves to it.
        for place in 1..<3 {
            try await group.request(second, at: place)
            try await group.node(place).approve(second)
        }
        for place in 0..<3 { #expect(try await group.completion(of: second, at: place) != nil) }
        await group.stopAll()
    }

    @Test func `what was approved counts after a restart, and the policy stands`() async throws {
        let group = try await self.start(2) { try await self.policy($0) }
        let first = try await self.ask(group, pays: 50_000)
        #expect(try await group.completion(of: first, at: 1) != nil)
        await group.stop(1)
        try await group.start(1)
        let digest = try await group.record.policy().digest
        #expect(try await group.node(1).approvalPolicy(of: digest).policy == self.policy(group))
        let second = try await self.ask(group, pays: 49_001)
        guard case .asks(let reasons)? = try await self.notice(group, second) else {
            Issue.record("it is not asked about")
            return
        }
        #expect(reasons.contains { if case .amountPerDay(_, counted: 51_000, _) = $0 { true } else { false } })
        // A wider policy does not begin the day anew, and is asked about what waits.
        try await group.node(1).setApprovalPolicy(self.policy(group, perDay: 101_001), of: digest)
        #expect(try await group.completion(of: second, at: 1) != nil)
        await group.stopAll()
    }

    @Test func `a person rejects before the delay is over, and nothing approves these coins any more`() async throws {
        let group = try await self.start(2) { try await self.policy($0, delay: 300) }
        let id = try await self.ask(group, pays: 10_000, coin: 1)
        guard case .waits? = try await self.notice(group, id) else {
            Issue.record("it does not wait")
            return
        }
        try await group.node(1).reject(id)
        _ = try await group.first(of: 1) { event -> Bool? in if case .decided(id, .rejected) = event { true } else { nil } }
        let digest = try await group.record.policy().digest
        // The disk holds it before the word is out.
        let stored = try #require(try await group.databases[1]?.approvals.approval(of: digest))
        #expect(Hex.encode(stored.history).contains("\(id)") && Hex.encode(stored.history).contains(Hex.encode(SHA256.hash([1]).bytes)))
        try await group.node(1).setApprovalPolicy(self.policy(group, delay: 0), of: digest)
        _ = try await group.first(of: 0) { event -> Bool? in if case .request(id, .ended) = event { true } else { nil } }
        let again = try await self.ask(group, pays: 10_001, coin: 1)
        guard case .asks(let reasons)? = try await self.notice(group, again) else {
            Issue.record("a coin that was refused is judged as any other")
            return
        }
        #expect(reasons == [.refusedBefore(OutPoint(txid: Txid(SHA256.hash([1])), index: 0))])
        // Until the person says otherwise.
        try await group.node(1).forgetRefusals(of: digest)
        #expect(try await group.completion(of: again, at: 1) != nil)
        await group.stopAll()
    }

    @Test func `a delay passes, and then it is approved`() async throws {
        let group = try await self.start(2) { try await self.policy($0, delay: 2) }
        let clock = ContinuousClock()
        let began = clock.now
        let id = try await self.ask(group, pays: 10_000)
        #expect(try await group.completion(of: id, at: 1) != nil)
        #expect(clock.now - began >= .seconds(2))
        await group.stopAll()
    }

    @Test func `who sits behind no machine refuses what lies outside`() async throws {
        let group = try await self.start(2) { try await self.policy($0, otherwise: .refuse) }
        let stranger = Script([0x00, 0x14] + Array(repeating: 9, count: 20))
        let id = try await self.ask(group, pays: 10_000, to: stranger)
        #expect(try await self.notice(group, id) == .refuses([.destination(stranger, output: 0)]))
        let end = try await group.first(of: 0) { event -> CoordinationState? in
            if case .request(id, .ended(let state)) = event { state } else { nil }
        }
        #expect(end == .aborted(.refused([group.keys[1].signer])))
        await group.stopAll()
    }

    @Test func `after an alarm nothing is approved in any later life, until the policy is set again`() async throws {
        let group = try await self.start(2) { try await self.policy($0) }
        let digest = try await group.record.policy().digest
        try await group.node(1).haltAutomaticApproval("another process has the key")
        let halted = try await group.first(of: 1) { event -> String? in
            if case .policy(digest, .isHalted(let reason)) = event { reason } else { nil }
        }
        #expect(halted == "another process has the key")
        await group.stop(1)
        try await group.start(1)
        let id = try await self.ask(group, pays: 10_000)
        #expect(try await self.notice(group, id) == .isHalted("another process has the key"))
        #expect(try await group.node(1).request(id)?.decision == .undecided)
        #expect(try await group.node(1).approvalPolicy(of: digest).halt == "another process has the key")
        // That the clock is right is another matter.
        try await group.node(1).confirmClock(of: digest)
        #expect(try await group.node(1).approvalNotice(of: id) == .isHalted("another process has the key"))
        try await group.node(1).setApprovalPolicy(self.policy(group), of: digest)
        #expect(try await group.completion(of: id, at: 1) != nil)
        await group.stopAll()
    }

    @Test func `a policy for other coins or another network is refused, and one that is not set says what it would do`() async throws {
        let group = try await self.start(2) { try await self.policy($0) }
        let digest = try await group.record.policy().digest
        let own = try await self.policy(group)
        let foreign = try ApprovalPolicy(
            network: .regtest, groupScript: Script([0x51, 0x20] + Array(repeating: 1, count: 32)), proposers: .any,
            destinations: .anywhere, limits: own.limits, times: own.times)
        let mainnet = try ApprovalPolicy(
            network: .mainnet, groupScript: own.groupScript, proposers: .any, destinations: .anywhere, limits: own.limits, times: own.times)
        for policy in [foreign, mainnet] {
            await #expect(throws: SigningNodeError.self) { try await group.node(1).setApprovalPolicy(policy, of: digest) }
        }
        await #expect(throws: SigningNodeError.self) { try await group.node(0).confirmClock(of: digest) }
        #expect(try await group.node(1).approvalPolicy(of: digest).policy == own)
        let id = try await self.ask(group, pays: 59_500)
        guard case .asks? = try await self.notice(group, id) else {
            Issue.record("it is not asked about")
            return
        }
        #expect(try await group.node(1).approvalNotice(of: id, under: self.policy(group, perRequest: 60_500)) == .approves)
        #expect(try await group.node(0).approvalNotice(of: id) == nil)
        // A person decides everything again.
        try await group.node(1).setApprovalPolicy(nil, of: digest)
        #expect(try await group.node(1).approvalNotice(of: id) == nil)
        #expect(try await group.node(1).request(id)?.decision == .undecided)
        await group.stopAll()
    }
}
