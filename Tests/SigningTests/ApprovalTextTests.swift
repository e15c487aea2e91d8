import Bitcoin
import CryptoPrimitives
import Secp256k1
import Signing
import Testing

@Suite struct ApprovalTextTests {
    private let scene: ApprovalScene
    private let address: String

    init() throws {
        self.scene = try ApprovalScene()
        self.address = try #require(Address(scriptPubKey: self.scene.group, network: .regtest)).text
    }

    private var lines: [String] {
        [
            "chorale-approval 1", "# What the till may do alone.", "", "network: regtest", "group: \(self.address)", "proposer: any",
            "destination: any", "amount-per-request: 100000 sat", "amount-per-day: 250000 sat", "approvals-per-day: 20", "fee: 20000 sat",
            "fee-rate: 12.5 sat/vB", "window: Mon-Fri,Sun 09:00-17:30", "delay: 600 s",
        ]
    }

    private func read(_ lines: [String]) throws(ApprovalPolicyError) -> ApprovalPolicy {
        try ApprovalPolicy(parsing: Array(lines.joined(separator: "\n").utf8))
    }

    /// The policy with one line put in place of another.
    private func read(_ old: String, as new: String) throws -> ApprovalPolicy {
        let place = try #require(self.lines.firstIndex { $0.hasPrefix(old) })
        var lines = self.lines
        lines[place] = new
        return try self.read(lines)
    }

    @Test func `a policy that a person wrote says what it says, and is strict where nothing is said`() throws {
        let policy = try self.read(self.lines)
        let window = try #require(
            ApprovalWindow(days: [.monday, .tuesday, .wednesday, .thursday, .friday, .sunday], minutes: 540..<1_050))
        #expect(policy.groupScript == self.scene.group && policy.otherOwnScripts.isEmpty)
        #expect(policy.proposers == .any && policy.destinations == .anywhere)
        #expect(policy.limits.amountPerRequest == 100_000 && policy.limits.amountPerDay == 250_000)
        #expect(policy.limits.approvalsPerDay == 20 && policy.limits.fee == 20_000)
        #expect(policy.limits.feeRate == (try FeeRate(parsing: "12.5")))
        #expect(policy.times.windows == [window] && policy.times.delay == 600 && policy.times.unseenMax == 3_600)
        #expect(!policy.allowsCoinsOfOthers && policy.otherwise == .ask)
    }

    @Test func `lines may stand in any order, and the text that is written reads as the same policy`() throws {
        let shop = try #require(Address(scriptPubKey: self.scene.shop, network: .regtest)).text
        let more = ["own: \(shop)", "coins-of-others: allow", "otherwise: refuse", "unseen: 0 s", "destination: script 6a"]
        let key = "proposer: \(Hex.encode(self.scene.proposer.bytes))"
        let rest = self.lines.dropFirst().filter { !$0.hasPrefix("proposer") && !$0.hasPrefix("destination") }
        let policy = try self.read([self.lines[0]] + (more + rest + [key, "destination: \(shop)"]).reversed())
        #expect(policy.destinations == .these([self.scene.shop, Script([0x6a])]))
        #expect(policy.proposers == .these([self.scene.proposer]) && policy.otherOwnScripts == [self.scene.shop])
        #expect(policy.allowsCoinsOfOthers && policy.otherwise == .refuse && policy.times.unseenMax == 0)
        #expect(try ApprovalPolicy(parsing: Array(policy.text.utf8)) == policy)
    }

    @Test func `nothing is unlimited by leaving it out`() throws {
        for name in ApprovalPolicyText.Name.allCases {
            let lines = self.lines.filter { !$0.hasPrefix(name.rawValue + ":") }
            guard lines.count < self.lines.count else { continue }
            #expect(throws: ApprovalPolicyError.missing(name)) { try self.read(lines) }
        }
    }

    @Test func `what does not read is refused with the number of its line`() throws {
        let cases: [(old: String, new: String, line: Int)] = [
            ("network", "network: mainnet2", 4), ("group", "group: \(self.address.dropLast())", 5), ("proposer", "proposer: 02", 6),
            ("destination", "destination: script 6", 7), ("amount-per-request", "amount-per-request: 100000", 8),
            ("amount-per-day", "amount-per-day: -1 sat", 9), ("approvals-per-day", "approvals-per-day: 007", 10),
            ("fee:", "fee: 18446744073709551616 sat", 11), ("fee-rate", "fee-rate: 12.5678 sat/vB", 12),
            ("window", "window: Mon-Fri 17:00-09:00", 13), ("delay", "delay: +5 s", 14), ("delay", "delay:  s", 14),
        ]
        for (old, new, line) in cases {
            let error = try #require(throws: ApprovalPolicyError.self) { try self.read(old, as: new) }
            guard case .unreadable(_, line: let named, _) = error else {
                Issue.record("\(new): \(error)")
                continue
            }
            #expect(named == line, "\(new)")
            #expect(error.description.hasPrefix("line \(line): "))
        }
    }

    @Test func `unknown, repeated and contradicting lines are refused, not passed over`() throws {
        #expect(throws: ApprovalPolicyError.otherKindOrVersion) { try self.read("chorale-approval", as: "chorale-approval 2") }
        for line in ["colour: red", "delay:5 s", "delay", "Delay: 5 s", " delay: 5 s", "delay : 5 s"] {
            #expect(throws: ApprovalPolicyError.unknownLine(15)) { try self.read(self.lines + [line]) }
        }
        #expect(throws: ApprovalPolicyError.repeated(.delay, line: 15)) { try self.read(self.lines + ["delay: 5 s"]) }
        let own = "own: \(self.address)"
        #expect(throws: ApprovalPolicyError.repeated(.own, line: 16)) { try self.read(self.lines + [own, own]) }
        for line in ["proposer: any", "destination: any", "window: always"] {
            let rest = self.lines.filter { !$0.hasPrefix(line.prefix(6)) }
            #expect(throws: ApprovalPolicyError.self) { try self.read(rest + [line, line]) }
        }
        #expect(throws: ApprovalPolicyError.self) { try self.read(self.lines + ["destination: \(self.address)"]) }
    }

    @Test func `limits that are none are refused`() throws {
        let shop = try #require(Address(scriptPubKey: self.scene.shop, network: .regtest)).text
        #expect(throws: ApprovalPolicyError.groupIsNotTaproot) { try self.read("group", as: "group: \(shop)") }
        #expect(throws: ApprovalPolicyError.outOfRange("an amount", 2_100_000_000_000_001, limit: TransactionOutput.amountMax)) {
            try self.read("amount-per-day", as: "amount-per-day: 2100000000000001 sat")
        }
        #expect(throws: ApprovalPolicyError.self) { try self.read("approvals-per-day", as: "approvals-per-day: 1001") }
        #expect(throws: ApprovalPolicyError.self) { try self.read("delay", as: "delay: 2592001 s") }
        #expect(try self.read("delay", as: "delay: 2592000 s").times.delay == 2_592_000)
        #expect(throws: ApprovalPolicyError.tooMany("time windows", limit: 64)) {
            try self.read(self.lines + Array(repeating: "window: Mon 00:00-24:00", count: 64))
        }
        #expect(throws: ApprovalPolicyError.tooMany("destinations", limit: 1_000)) {
            let lines = self.lines.filter { !$0.hasPrefix("destination") }
            return try self.read(lines + (0...1_000).map { "destination: script 6a02" + Hex.encode([UInt8($0 >> 8), UInt8($0 & 0xff)]) })
        }
    }

    @Test func `days and hours read as they are written`() throws {
        let texts = [
            "Mon 00:00-24:00", "Mon-Sun 09:00-17:30", "Sat-Sun 23:59-24:00", "Mon,Wed,Fri-Sat 00:00-00:01", "Tue-Wed,Sun 12:00-13:00",
        ]
        for text in texts {
            let policy = try self.read("window", as: "window: \(text)")
            #expect(policy.times.windows?.map(\.description) == [text])
        }
        let bad = [
            "Mon", "Mon 9:00-17:00", "Mon 09:00-24:01", "Mon 09:60-10:00", "Fri-Mon 09:00-10:00", "mon 09:00-10:00", "Mon, 09:00-10:00",
            "Mon 09:00-09:00", "Mon  09:00-10:00", "Mon 09:00–10:00", "Mon 09:00-10:00 ", "-Mon 09:00-10:00", "Mon-Tue-Wed 09:00-10:00", "",
            ",", "always 09:00-10:00",
        ]
        for text in bad { #expect(throws: ApprovalPolicyError.self, "\(text)") { try self.read("window", as: "window: \(text)") } }
    }

    @Test func `bytes that are no text, too many, or noise never trap`() throws {
        let text = Array(self.lines.joined(separator: "\n").utf8)
        #expect(throws: ApprovalPolicyError.notText(line: 15)) { try ApprovalPolicy(parsing: text + [0x0a, 0x23, 0xff]) }
        #expect(throws: ApprovalPolicyError.notText(line: 15)) { try ApprovalPolicy(parsing: text + Array("\n# a\r\n".utf8)) }
        let limit = ApprovalPolicyText.byteCountMax
        #expect(throws: ApprovalPolicyError.tooLarge(byteCount: limit + 1, limit: limit)) {
            try ApprovalPolicy(parsing: Array(repeating: 0x0a, count: limit + 1))
        }
        var numbers = SeededNumbers(seed: 1)
        var readable = 0
        for _ in 0..<2_000 {
            var bytes = text
            for _ in 0..<Int.random(in: 1...4, using: &numbers) {
                bytes[Int.random(in: 0..<bytes.count, using: &numbers)] = UInt8.random(in: 0x09...0x7f, using: &numbers)
            }
            if numbers.oneIn(4) { bytes.removeLast(Int.random(in: 0..<bytes.count, using: &numbers)) }
            guard let policy = try? ApprovalPolicy(parsing: bytes) else { continue }
            readable += 1
            #expect(try ApprovalPolicy(parsing: Array(policy.text.utf8)) == policy)
        }
        #expect(readable > 0 && readable < 2_000)
    }
}
