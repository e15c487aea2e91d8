import Bitcoin
import CryptoPrimitives
import Secp256k1
import Signing
import Testing

@Suite struct ApprovalHistoryTests {
    private var scene: ApprovalScene
    private var history: ApprovalHistory

    init() throws {
        let scene = try ApprovalScene()
        self.scene = scene
        self.history = ApprovalHistory(now: scene.now)
    }

    private func isAsked(_ decision: ApprovalDecision, _ reason: (ApprovalReason) -> Bool) -> Bool {
        guard case .ask(let reasons) = decision else { return false }
        return reasons.contains(where: reason)
    }

    private func isDayFull(_ decision: ApprovalDecision) -> Bool {
        self.isAsked(decision) { if case .amountPerDay = $0 { true } else { false } }
    }

    private func isClockDoubted(_ decision: ApprovalDecision) -> Bool {
        self.isAsked(decision) { if case .clockWasSet = $0 { true } else { false } }
    }

    // MARK: A day

    @Test mutating func `a day's amounts add up over 24 hours, and go one by one`() throws {
        let policy = try self.scene.policy(perRequest: 100_000, perDay: 250_000)
        for (number, amount) in [(1, 100_000), (2, 100_000), (3, 50_000)] as [(Int, UInt64)] {
            #expect(self.scene.approve(try self.scene.request([number], pays: amount), policy, &self.history))
            self.scene.pass(3_600)
        }
        let one = try self.scene.request([4], pays: 1)
        guard case .ask(let reasons) = self.scene.decide(one, policy, self.history) else {
            Issue.record("the day's limit did not hold")
            return
        }
        #expect(reasons == [.amountPerDay(1, counted: 250_000, limit: 250_000)])
        self.scene.pass(21 * 3_600 - 1)
        #expect(self.isDayFull(self.scene.decide(one, policy, self.history)))
        self.scene.pass(1)
        let next = try self.scene.request([4], pays: 100_000)
        #expect(self.scene.approve(next, policy, &self.history))
        #expect(self.isDayFull(self.scene.decide(try self.scene.request([5], pays: 1), policy, self.history)))
    }

    @Test mutating func `no more are approved in a day than the policy says`() throws {
        let policy = try self.scene.policy(count: 2)
        for number in 1...2 { #expect(self.scene.approve(try self.scene.request([number], pays: 1), policy, &self.history)) }
        let third = try self.scene.request([3], pays: 1)
        #expect(self.scene.decide(third, policy, self.history) == .ask([.approvalsPerDay(2, limit: 2)]))
        self.scene.pass(86_400)
        #expect(self.scene.approve(third, policy, &self.history))
    }

    @Test mutating func `a request that is asked about again counts once, though the process died in between`() throws {
        let policy = try self.scene.policy(perDay: 100_000, count: 1)
        let request = try self.scene.request([1], pays: 100_000)
        #expect(self.scene.approve(request, policy, &self.history))
        for _ in 0..<3 {
            self.history = try self.scene.restart(self.history)
            #expect(self.scene.approve(request, policy, &self.history))
        }
        self.scene.pass(86_400 - 1)
        #expect(self.isDayFull(self.scene.decide(try self.scene.request([2], pays: 1), policy, self.history)))
    }

    // MARK: The same coins again

    @Test mutating func `a replacement counts what it takes beyond what it replaces`() throws {
        let policy = try self.scene.policy(perRequest: 110_000, perDay: 120_000)
        #expect(self.scene.approve(try self.scene.request([1], pays: 100_000, id: 1), policy, &self.history))
        // The same payment with a higher fee, twice, the second time with one more coin.
        #expect(self.scene.approve(try self.scene.request([1], pays: 100_000, fee: 5_000, id: 2), policy, &self.history))
        #expect(self.scene.approve(try self.scene.request([1, 2], pays: 100_000, fee: 10_000, id: 3), policy, &self.history))
        #expect(self.scene.decide(try self.scene.request([3], pays: 10_000), policy, self.history) == .approve(at: self.scene.now))
        guard case .ask(let reasons) = self.scene.decide(try self.scene.request([3], pays: 10_001), policy, self.history) else {
            Issue.record("the greatest of the replacements does not count")
            return
        }
        #expect(reasons == [.amountPerDay(10_001, counted: 110_000, limit: 120_000)])
    }

    @Test mutating func `a harmless request first does not make room for a harmful one of the same coin`() throws {
        let policy = try self.scene.policy(perRequest: 100_000, perDay: 100_000)
        #expect(self.scene.approve(try self.scene.request([1], pays: 100, id: 1), policy, &self.history))
        #expect(self.scene.approve(try self.scene.request([1], pays: 60_000, id: 2), policy, &self.history))
        #expect(self.isDayFull(self.scene.decide(try self.scene.request([2], pays: 40_001), policy, self.history)))
    }

    @Test mutating func `two requests that share a coin with a third, and none with each other, both count`() throws {
        // The one in the middle conflicts with both; without it both confirm.
        let policy = try self.scene.policy(perRequest: 100_000, perDay: 150_000)
        #expect(self.scene.approve(try self.scene.request([1], pays: 100_000), policy, &self.history))
        let middle = try self.scene.request([1, 2], pays: 100_000, id: 1)
        #expect(self.scene.approve(middle, policy, &self.history))
        #expect(self.isDayFull(self.scene.decide(try self.scene.request([2], pays: 100_000), policy, self.history)))
    }

    @Test mutating func `what ended before a partial signature left makes room, and what ended after it counts on`() throws {
        let policy = try self.scene.policy(perRequest: 100_000, perDay: 100_000)
        let first = try self.scene.request([1], pays: 100_000)
        #expect(self.scene.approve(first, policy, &self.history))
        self.history.noteEnd(of: first.digest, partialSignaturesAreOut: true)
        let second = try self.scene.request([2], pays: 100_000)
        #expect(self.isDayFull(self.scene.decide(second, policy, self.history)))
        self.history.noteEnd(of: first.digest, partialSignaturesAreOut: false)
        #expect(self.scene.approve(second, policy, &self.history))
        // One of the two that were approved is still one of the day's.
        #expect(
            self.scene.decide(try self.scene.request([3], pays: 0), try self.scene.policy(count: 2), self.history)
                == .ask([.approvalsPerDay(2, limit: 2)]))
        // Approved again it counts again.
        #expect(self.isDayFull(self.scene.decide(first, policy, self.history)))
    }

    @Test mutating func `what a person refused is not approved automatically under another name`() throws {
        let policy = try self.scene.policy()
        #expect(self.scene.refuse(try self.scene.request([1, 2], pays: 90_000), policy, &self.history))
        let smaller = try self.scene.request([2, 3], pays: 1, id: 9)
        #expect(self.scene.decide(smaller, policy, self.history) == .ask([.refusedBefore(ApprovalScene.coin(2))]))
        #expect(self.scene.approve(try self.scene.request([3], pays: 1), policy, &self.history))
        self.history = try self.scene.restart(self.history)
        #expect(self.scene.decide(smaller, policy, self.history) == .ask([.refusedBefore(ApprovalScene.coin(2))]))
        self.history.forgetRefusals()
        #expect(self.scene.approve(smaller, policy, &self.history))
    }

    /// Whatever is asked, in whatever order: of all that was approved within a day, no part that can confirm together takes more than the
    /// day's limit.
    @Test(arguments: UInt64(0)..<40)
    mutating func `no choice of approved requests that can confirm together takes more than a day's limit`(seed: UInt64) throws {
        var numbers = SeededNumbers(seed: seed)
        let limit: UInt64 = 300_000
        let policy = try self.scene.policy(perRequest: 200_000, perDay: limit, count: 9)
        var approved: [(at: UInt64, coins: Set<Int>, amount: UInt64)] = []
        for number in 0..<60 {
            let coins = Set((0..<Int.random(in: 1...3, using: &numbers)).map { _ in Int.random(in: 0..<6, using: &numbers) })
            let amount = UInt64.random(in: 0...200_000, using: &numbers)
            let request = try self.scene.request(coins.sorted(), pays: amount, id: UInt8(number))
            if self.scene.approve(request, policy, &self.history) { approved.append((self.scene.now.time, coins, amount)) }
            if numbers.oneIn(5) {
                self.history = try self.scene.restart(self.history)
                self.history.look(self.scene.now)
            }
            self.scene.pass(UInt64.random(in: 0...7_200, using: &numbers))
            let day = approved.filter { $0.at + 86_400 > self.scene.now.time }
            #expect(day.count <= 9)
            for choice in 0..<(1 << day.count) {
                let chosen = day.indices.filter { choice >> $0 & 1 == 1 }.map { day[$0] }
                let coins = chosen.reduce(into: Set<Int>()) { $0.formUnion($1.coins) }
                guard coins.count == chosen.reduce(0, { $0 + $1.coins.count }) else { continue }
                #expect(chosen.reduce(0) { $0 + $1.amount } <= limit)
            }
        }
        #expect(approved.count > 3)
    }

    // MARK: Clocks

    @Test(arguments: [-301, 301, 86_400, -86_400, 10 * 86_400] as [Int64])
    mutating func `a clock that is set makes no room and opens no window`(seconds: Int64) throws {
        let policy = try self.scene.policy(perRequest: 100_000, perDay: 100_000)
        #expect(self.scene.approve(try self.scene.request([1], pays: 100_000), policy, &self.history))
        self.scene.set(by: seconds)
        let other = try self.scene.request([2], pays: 1, expiry: ApprovalScene.start + 30 * 86_400)
        let decision = self.scene.decide(other, policy, self.history)
        #expect(self.isClockDoubted(decision) && self.isDayFull(decision))
        // Nor after a restart, nor while it is set; and a person's word makes it right.
        self.history.look(self.scene.now)
        self.history = try self.scene.restart(self.history)
        let after = self.scene.decide(other, try self.scene.policy(unseen: 300), self.history)
        #expect(self.isAsked(after) { if case .clockWasSet = $0 { true } else if case .timeUnseen = $0 { true } else { false } })
        #expect(self.isDayFull(self.scene.decide(other, policy, self.history)))
        self.history.confirmClock(self.scene.now)
        #expect(self.scene.decide(other, try self.scene.policy(), self.history) == .approve(at: self.scene.now))
    }

    @Test mutating func `a clock that is in doubt ends no request for good`() throws {
        let request = try self.scene.request([1], pays: 1, expiry: ApprovalScene.start + 600)
        self.scene.set(by: 86_400)
        for otherwise in ApprovalPolicy.Otherwise.allCases {
            let policy = try self.scene.policy(otherwise: otherwise)
            #expect(self.scene.decide(request, policy, self.history) == .ask([.clockWasSet(seconds: 86_400)]))
        }
        self.history.confirmClock(self.scene.now)
        let policy = try self.scene.policy()
        #expect(self.scene.decide(request, policy, self.history) == .never([.expired(ApprovalScene.start + 600)]))
    }

    @Test mutating func `of two that fit alone the second is asked about, though both were let through before`() throws {
        let policy = try self.scene.policy(perRequest: 100_000, perDay: 100_000)
        let (one, other) = (try self.scene.request([1], pays: 60_000), try self.scene.request([2], pays: 60_000))
        #expect(self.scene.decide(one, policy, self.history) == .approve(at: self.scene.now))
        #expect(self.scene.decide(other, policy, self.history) == .approve(at: self.scene.now))
        #expect(self.scene.approve(one, policy, &self.history))
        #expect(!self.scene.approve(other, policy, &self.history))
        #expect(self.isDayFull(self.scene.decide(other, policy, self.history)))
    }

    @Test mutating func `what time services correct is no reason to ask`() throws {
        let policy = try self.scene.policy()
        let request = try self.scene.request([1], pays: 1)
        for seconds in [-200, 400, -350] as [Int64] {
            self.scene.set(by: seconds)
            #expect(self.scene.decide(request, policy, self.history) == .approve(at: self.scene.now))
        }
    }

    @Test mutating func `restarts with the clock set forth a little each time never make a day`() throws {
        let policy = try self.scene.policy(perRequest: 100_000, perDay: 100_000)
        #expect(self.scene.approve(try self.scene.request([1], pays: 100_000), policy, &self.history))
        var approved = 0
        for number in 0..<200 {
            self.history = try self.scene.restart(self.history, after: 1_800)
            if self.scene.approve(try self.scene.request([2 + number], pays: 1), policy, &self.history) { approved += 1 }
        }
        #expect(approved == 0)
        #expect(
            self.isAsked(self.scene.decide(try self.scene.request([201], pays: 1), policy, self.history)) {
                if case .timeUnseen(seconds: 360_000, limit: 3_600) = $0 { true } else { false }
            })
    }

    @Test mutating func `time that passed while nothing ran counts when a person says that the clock is right`() throws {
        let policy = try self.scene.policy(perRequest: 100_000, perDay: 100_000)
        #expect(self.scene.approve(try self.scene.request([1], pays: 100_000), policy, &self.history))
        self.history = try self.scene.restart(self.history, after: 2 * 86_400)
        let next = try self.scene.request([2], pays: 100_000)
        let decision = self.scene.decide(next, policy, self.history)
        #expect(self.isDayFull(decision))
        #expect(self.isAsked(decision) { $0 == .timeUnseen(seconds: 2 * 86_400, limit: 3_600) })
        self.history.confirmClock(self.scene.now)
        #expect(self.scene.approve(next, policy, &self.history))
    }

    @Test mutating func `a short restart is no reason to ask`() throws {
        let policy = try self.scene.policy()
        self.history = try self.scene.restart(self.history, after: 3_600)
        let request = try self.scene.request([1], pays: 1)
        #expect(self.scene.decide(request, policy, self.history) == .approve(at: self.scene.now))
        self.history.look(self.scene.now)
        self.history = try self.scene.restart(self.history, after: 1)
        #expect(self.scene.decide(request, policy, self.history) == .ask([.timeUnseen(seconds: 3_601, limit: 3_600)]))
    }

    @Test mutating func `an older copy that was put back is noticed, by the time that it does not know`() throws {
        let policy = try self.scene.policy(perRequest: 100_000, perDay: 100_000)
        let old = self.history
        self.scene.pass(7_200)
        #expect(self.scene.approve(try self.scene.request([1], pays: 100_000), policy, &self.history))
        self.history = try self.scene.restart(old)
        let decision = self.scene.decide(try self.scene.request([2], pays: 100_000), policy, self.history)
        #expect(self.isAsked(decision) { $0 == .timeUnseen(seconds: 7_200, limit: 3_600) })
    }

    @Test mutating func `a delay passes only while the process runs`() throws {
        let policy = try self.scene.policy(delay: 600)
        let request = try self.scene.request([1], pays: 1)
        #expect(!self.scene.approve(request, policy, &self.history))
        self.scene.pass(300)
        self.history.look(self.scene.now)
        self.history = try self.scene.restart(self.history, after: 3_000)
        #expect(!self.scene.approve(request, policy, &self.history))
        self.history.confirmClock(self.scene.now)
        self.scene.pass(299)
        #expect(!self.scene.approve(request, policy, &self.history))
        self.scene.pass(1)
        #expect(self.scene.approve(request, policy, &self.history))
    }

    // MARK: Bounds and bytes

    @Test mutating func `a history that is full asks, and goes on when there is room`() throws {
        let policy = try self.scene.policy(count: 1_000)
        let coins = (0..<1_000).map { number in
            (
                OutPoint(txid: Txid(SHA256.hash([9])), index: UInt32(number)),
                TransactionOutput(amount: 1_000, scriptPubKey: self.scene.group)
            )
        }
        let back = TransactionOutput(amount: 1_000_000, scriptPubKey: self.scene.group)
        for id in UInt8(0)..<20 { #expect(self.scene.approve(try self.scene.request(coins, [back], id: id), policy, &self.history)) }
        let more = try self.scene.request([1], pays: 1)
        #expect(self.scene.decide(more, policy, self.history) == .ask([.historyFull]))
        #expect(!self.scene.refuse(more, policy, &self.history))
        #expect(self.history.serialized().count <= ApprovalHistory.byteCountMax)
        #expect(try ApprovalHistory(parsing: self.history.serialized()).serialized() == self.history.serialized())
        self.scene.pass(86_400)
        #expect(self.scene.approve(more, policy, &self.history))
    }

    @Test mutating func `requests that wait are bounded, and those that wait already go on`() throws {
        let policy = try self.scene.policy(count: 1_000, delay: 600)
        let first = try self.scene.request([1], pays: 1, expiry: ApprovalScene.start + 86_400)
        #expect(!self.scene.approve(first, policy, &self.history))
        for number in UInt64(0)..<1_023 {
            let request = try self.scene.request([2], pays: 1, expiry: ApprovalScene.start + 100_000 + number)
            #expect(!self.scene.approve(request, policy, &self.history))
        }
        let late = try self.scene.request([3], pays: 1)
        #expect(self.scene.decide(late, policy, self.history) == .ask([.historyFull]))
        self.scene.pass(600)
        #expect(self.scene.approve(first, policy, &self.history))
        #expect(self.scene.decide(late, policy, self.history) != .ask([.historyFull]))
    }

    @Test mutating func `a history reads as it was written, and nothing else reads as one`() throws {
        let policy = try self.scene.policy(delay: 60)
        let quick = try self.scene.policy()
        for number in 1...3 {
            #expect(self.scene.approve(try self.scene.request([number, number + 1], pays: 10), quick, &self.history))
            _ = self.scene.approve(try self.scene.request([number + 9], pays: 10), policy, &self.history)
            #expect(self.scene.refuse(try self.scene.request([number + 5], pays: 10), policy, &self.history))
            self.scene.pass(10)
        }
        let bytes = self.history.serialized()
        #expect(try ApprovalHistory(parsing: bytes).serialized() == bytes)
        for count in 0..<bytes.count { #expect(throws: StatementError.self) { try ApprovalHistory(parsing: Array(bytes.prefix(count))) } }
        #expect(throws: StatementError.self) { try ApprovalHistory(parsing: bytes + [0]) }
        #expect(throws: StatementError.unknownFormat) { try ApprovalHistory(parsing: [2] + bytes.dropFirst()) }
        let limit = ApprovalHistory.byteCountMax
        #expect(throws: StatementError.tooLarge(byteCount: limit + 1, limit: limit)) {
            try ApprovalHistory(parsing: Array(repeating: 0, count: limit + 1))
        }
    }

    @Test mutating func `altered histories never trap, whatever is asked of them`() throws {
        let policy = try self.scene.policy(delay: 60)
        for number in 1...3 {
            #expect(self.scene.approve(try self.scene.request([number], pays: 10), try self.scene.policy(), &self.history))
            _ = self.scene.approve(try self.scene.request([number + 9], pays: 10), policy, &self.history)
        }
        let bytes = self.history.serialized()
        let request = try self.scene.request([1], pays: 10, id: 7)
        var numbers = SeededNumbers(seed: 3)
        var readable = 0
        for _ in 0..<3_000 {
            var altered = bytes
            for _ in 0..<Int.random(in: 1...3, using: &numbers) {
                altered[Int.random(in: 0..<altered.count, using: &numbers)] = UInt8.random(in: 0...255, using: &numbers)
            }
            guard var history = try? ApprovalHistory(parsing: altered) else { continue }
            readable += 1
            #expect(history.serialized() == altered)
            _ = self.scene.approve(request, policy, &history)
            history.confirmClock(self.scene.now)
            _ = self.scene.decide(request, policy, history)
        }
        #expect(readable > 100)
    }
}
