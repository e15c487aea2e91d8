import Bitcoin
import CryptoPrimitives
import Secp256k1
import Signing
import Testing

@Suite struct ApprovalDecisionTests {
    private var scene: ApprovalScene
    private let history: ApprovalHistory

    init() throws {
        let scene = try ApprovalScene()
        self.scene = scene
        self.history = ApprovalHistory(now: scene.now)
    }

    private func reasons(_ decision: ApprovalDecision, sourceLocation: SourceLocation = #_sourceLocation) -> [ApprovalReason] {
        guard case .ask(let reasons) = decision else {
            Issue.record("nobody is asked: \(decision)", sourceLocation: sourceLocation)
            return []
        }
        for reason in reasons { #expect(!reason.description.isEmpty, sourceLocation: sourceLocation) }
        return reasons
    }

    @Test func `what lies within all limits is approved at once`() throws {
        let request = try self.scene.request([1], pays: 90_000, fee: 10_000)
        #expect(self.scene.decide(request, try self.scene.policy(), self.history) == .approve(at: self.scene.now))
    }

    // MARK: How much

    @Test func `only what does not come back counts, to the satoshi, its fee included`() throws {
        let policy = try self.scene.policy(perRequest: 100_000)
        let exact = try self.scene.request([1, 2], pays: 90_000, fee: 10_000)
        #expect(self.scene.decide(exact, policy, self.history) == .approve(at: self.scene.now))
        let above = try self.scene.request([1, 2], pays: 90_000, fee: 10_001)
        #expect(self.reasons(self.scene.decide(above, policy, self.history)) == [.amount(100_001, limit: 100_000)])
        // A transaction that only joins the group's own coins takes its fee.
        let joining = try self.scene.request([1, 2], pays: 399_000, to: self.scene.group, fee: 1_000)
        let small = try self.scene.policy(perRequest: 1_000)
        #expect(self.scene.decide(joining, small, self.history) == .approve(at: self.scene.now))
    }

    @Test func `change that goes to any other script than the group's own, to the byte, has left`() throws {
        let policy = try self.scene.policy(perRequest: 100_000)
        var lookalike = self.scene.group.bytes
        lookalike[33] ^= 1
        let request = try self.scene.request(
            [(ApprovalScene.coin(1), TransactionOutput(amount: 200_000, scriptPubKey: self.scene.group))],
            [
                TransactionOutput(amount: 10_000, scriptPubKey: self.scene.shop),
                TransactionOutput(amount: 190_000, scriptPubKey: Script(lookalike)),
            ])
        #expect(self.reasons(self.scene.decide(request, policy, self.history)) == [.amount(200_000, limit: 100_000)])
        let named = try self.scene.policy(perRequest: 100_000, own: [Script(lookalike)])
        #expect(self.scene.decide(request, named, self.history) == .approve(at: self.scene.now))
    }

    @Test func `fees have a limit of their own, and so has their rate by the least size that the transaction can have`() throws {
        let request = try self.scene.request([1], pays: 10_000, fee: 5_000)
        let policy = try self.scene.policy(fee: 4_999)
        #expect(self.reasons(self.scene.decide(request, policy, self.history)) == [.fee(5_000, limit: 4_999)])
        // One input by the key path and two outputs: 11 + 57.5 + 43 + 31 bytes.
        let size = 142
        let rate = try FeeRate(35)
        let atLimit = try self.scene.request([1], pays: 10_000, fee: rate.fee(forVirtualSize: size))
        #expect(self.scene.decide(atLimit, try self.scene.policy(rate: 35), self.history) == .approve(at: self.scene.now))
        let above = try self.scene.request([1], pays: 10_000, fee: rate.fee(forVirtualSize: size) + 1)
        #expect(
            self.reasons(self.scene.decide(above, try self.scene.policy(rate: 35), self.history))
                == [.feeRate(fee: above.fee, virtualSize: size, limit: rate)])
    }

    @Test func `amounts as high as there are bitcoins neither overflow nor pass`() throws {
        let all = TransactionOutput.amountMax
        let request = try self.scene.request(
            [(ApprovalScene.coin(1), TransactionOutput(amount: all, scriptPubKey: self.scene.group))],
            [TransactionOutput(amount: all, scriptPubKey: self.scene.shop)])
        let reasons = self.reasons(self.scene.decide(request, try self.scene.policy(), self.history))
        #expect(reasons.contains(.amount(all, limit: 100_000)))
        #expect(reasons.contains(.amountPerDay(all, counted: 0, limit: 250_000)))
        let boundless = try self.scene.policy(perRequest: all, perDay: all)
        var history = self.history
        #expect(self.scene.approve(request, boundless, &history))
        let again = try self.scene.request(
            [(ApprovalScene.coin(2), TransactionOutput(amount: all, scriptPubKey: self.scene.group))],
            [TransactionOutput(amount: all, scriptPubKey: self.scene.shop)])
        #expect(self.reasons(self.scene.decide(again, boundless, history)) == [.amountPerDay(all, counted: all, limit: all)])
    }

    // MARK: Whose, where to, and what is signed

    @Test(arguments: SighashType.allCases)
    func `a signature that leaves anything open is never given automatically`(type: SighashType) throws {
        let request = try self.scene.request([1, 2], pays: 10_000, type: type)
        let decision = self.scene.decide(request, try self.scene.policy(), self.history)
        if type == .default || type == .all {
            #expect(decision == .approve(at: self.scene.now))
        } else {
            #expect(self.reasons(decision) == [.sighashType(type, input: 0)])
        }
    }

    @Test func `a transaction that spends other people's coins too is for a person, unless that is allowed`() throws {
        // A stranger's coin pays what the group's does not: nothing of the group's leaves.
        let request = try self.scene.request(
            [
                (ApprovalScene.coin(1), TransactionOutput(amount: 200_000, scriptPubKey: self.scene.group)),
                (ApprovalScene.coin(2), TransactionOutput(amount: 900_000, scriptPubKey: self.scene.stranger)),
            ],
            [
                TransactionOutput(amount: 200_000, scriptPubKey: self.scene.group),
                TransactionOutput(amount: 899_000, scriptPubKey: self.scene.stranger),
            ])
        #expect(self.reasons(self.scene.decide(request, try self.scene.policy(), self.history)) == [.coinOfOthers(input: 1)])
        let open = try self.scene.policy(perRequest: 0, others: true)
        #expect(self.scene.decide(request, open, self.history) == .approve(at: self.scene.now))
        // Where it may go is asked of every output, whoever pays for it.
        let listed = try self.scene.policy(destinations: .these([self.scene.shop]), others: true)
        #expect(self.reasons(self.scene.decide(request, listed, self.history)) == [.destination(self.scene.stranger, output: 1)])
    }

    @Test func `coins that are not the group's are nobody's to approve`() throws {
        let request = try self.scene.request(
            [(ApprovalScene.coin(1), TransactionOutput(amount: 200_000, scriptPubKey: self.scene.stranger))],
            [TransactionOutput(amount: 200_000, scriptPubKey: self.scene.shop)])
        #expect(self.scene.decide(request, try self.scene.policy(others: true), self.history) == .never([.noCoinOfTheGroup]))
    }

    @Test func `a listed destination is paid, and any other is for a person, an output without value too`() throws {
        let policy = try self.scene.policy(destinations: .these([self.scene.shop]))
        #expect(
            self.scene.decide(try self.scene.request([1], pays: 10_000), policy, self.history) == .approve(at: self.scene.now))
        let other = try self.scene.request([1], pays: 10_000, to: self.scene.stranger)
        #expect(self.reasons(self.scene.decide(other, policy, self.history)) == [.destination(self.scene.stranger, output: 0)])
        let note = Script([0x6a, 0x01, 0x00])
        let marked = try self.scene.request([1], pays: 0, to: note)
        #expect(self.reasons(self.scene.decide(marked, policy, self.history)) == [.destination(note, output: 0)])
    }

    @Test func `only listed proposers are answered automatically, and nobody asks in another's name`() throws {
        let policy = try self.scene.policy(proposers: .these([self.scene.proposer]))
        let other = self.scene.signers[1].publicKey
        let theirs = try self.scene.request([1], pays: 10_000, proposer: other)
        #expect(self.reasons(self.scene.decide(theirs, policy, self.history)) == [.proposer(other)])
        let ours = try self.scene.request([1], pays: 10_000)
        #expect(policy.decide(ours, by: other, history: self.history, now: self.scene.now) == .never([.notItsProposer(other)]))
    }

    // MARK: When

    @Test func `what has expired is over, and what never does is for a person`() throws {
        let policy = try self.scene.policy()
        let expiry = ApprovalScene.start - 1
        let over = try self.scene.request([1], pays: 10_000, expiry: expiry)
        #expect(self.scene.decide(over, policy, self.history) == .never([.expired(expiry)]))
        let last = try self.scene.request([1], pays: 10_000, expiry: ApprovalScene.start)
        #expect(self.scene.decide(last, policy, self.history) == .approve(at: self.scene.now))
        let endless = try self.scene.request([1], pays: 10_000, expiry: 0)
        #expect(self.reasons(self.scene.decide(endless, policy, self.history)) == [.neverExpires])
    }

    @Test func `a window opens on its minute and closes on its minute, on its days`() throws {
        // The scene begins on a Friday at 8 o'clock.
        let window = try #require(ApprovalWindow(days: [.friday], minutes: 540..<1_020))
        let policy = try self.scene.policy(windows: [window])
        let request = try self.scene.request([1], pays: 10_000)
        var (scene, history) = (self.scene, self.history)
        let opening = ApprovalScene.start + 3_600
        #expect(self.reasons(scene.decide(request, policy, history)) == [.outsideOfWindows(opensAt: opening)])
        scene.pass(3_599)
        #expect(self.reasons(scene.decide(request, policy, history)) == [.outsideOfWindows(opensAt: opening)])
        scene.pass(1)
        #expect(scene.decide(request, policy, history) == .approve(at: scene.now))
        scene.pass(8 * 3_600 - 1)
        #expect(scene.decide(request, policy, history) == .approve(at: scene.now))
        scene.pass(1)
        #expect(self.reasons(scene.decide(request, policy, history)) == [.outsideOfWindows(opensAt: opening + 7 * 86_400)])
        history.look(scene.now)
        scene.pass(6 * 86_400 + 16 * 3_600 + 1)
        #expect(scene.decide(request, policy, history) == .approve(at: scene.now))
    }

    @Test func `a policy whose list of windows is empty approves nothing`() throws {
        let request = try self.scene.request([1], pays: 10_000)
        let decision = self.scene.decide(request, try self.scene.policy(windows: []), self.history)
        #expect(self.reasons(decision) == [.outsideOfWindows(opensAt: nil)])
    }

    @Test func `a person has the whole delay to object, however often the policy is asked`() throws {
        let policy = try self.scene.policy(delay: 600)
        let request = try self.scene.request([1], pays: 10_000)
        var (scene, history) = (self.scene, self.history)
        let due = Moment(uptime: scene.now.uptime + .seconds(600), time: ApprovalScene.start + 600)
        // Unnoted it has not begun.
        scene.pass(600)
        #expect(!scene.approve(request, policy, &history))
        for _ in 0..<6 {
            #expect(scene.decide(request, policy, history) != .approve(at: scene.now))
            #expect(!scene.approve(request, policy, &history))
            scene.pass(100)
        }
        #expect(due.time + 600 == scene.now.time)
        #expect(scene.approve(request, policy, &history))
    }

    @Test func `what expires before its delay is over, or falls out of the window by then, is for a person`() throws {
        let policy = try self.scene.policy(delay: 600)
        let short = try self.scene.request([1], pays: 10_000, expiry: ApprovalScene.start + 599)
        #expect(self.reasons(self.scene.decide(short, policy, self.history)) == [.expiresBeforeDelay(seconds: 600)])
        let window = try #require(ApprovalWindow(days: [.friday], minutes: 470..<490))
        let closing = try self.scene.policy(windows: [window], delay: 600)
        let request = try self.scene.request([1], pays: 10_000)
        #expect(
            self.reasons(self.scene.decide(request, closing, self.history))
                == [.outsideOfWindows(opensAt: ApprovalScene.start - 600 + 7 * 86_400)])
    }

    // MARK: What it says

    @Test func `all reasons are given, and a machine that nobody sits behind refuses what does not pass by itself`() throws {
        let policy = try self.scene.policy(
            perRequest: 5_000, fee: 100, rate: 1, proposers: .these([]), destinations: .these([]), otherwise: .refuse)
        let request = try self.scene.request([1], pays: 10_000, fee: 1_000, type: .none)
        guard case .never(let reasons) = self.scene.decide(request, policy, self.history) else {
            Issue.record("not refused")
            return
        }
        #expect(reasons.count == 6)
        #expect(reasons.allSatisfy { !$0.passes })
        let rare = try self.scene.policy(count: 0, otherwise: .refuse)
        #expect(
            self.reasons(self.scene.decide(try self.scene.request([1], pays: 10_000), rare, self.history))
                == [.approvalsPerDay(0, limit: 0)])
    }

    @Test func `moments at the end of time neither trap nor pass`() throws {
        let request = try self.scene.request([1], pays: 10_000, expiry: .max)
        let window = try #require(ApprovalWindow(days: Set(ApprovalWindow.Weekday.allCases), minutes: 0..<1))
        for time in [.max, .max - 1, .max - 86_400, 0] as [UInt64] {
            let policy = try self.scene.policy(windows: [window], delay: 86_400)
            let decision = policy.decide(
                request, by: self.scene.proposer, history: self.history, now: Moment(uptime: .seconds(60), time: time))
            #expect(self.reasons(decision).contains { if case .clockWasSet = $0 { true } else { false } })
        }
    }
}
