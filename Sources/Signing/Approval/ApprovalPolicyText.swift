internal import Bitcoin
internal import CryptoPrimitives
internal import Secp256k1

extension ApprovalPolicy {
    /// Reads a policy as people write it:
    ///
    ///     chorale-approval 1
    ///     # What the till may do alone.
    ///     network: signet
    ///     group: tb1p…                        the address whose coins are signed for
    ///     own: tb1p…                          any number, or none: where coins may return to uncounted
    ///     proposer: 02…                       any number, or: proposer: any
    ///     destination: tb1q…                  any number, or: destination: any. A script without an address: script 6a…
    ///     amount-per-request: 100000 sat
    ///     amount-per-day: 500000 sat
    ///     approvals-per-day: 20
    ///     fee: 20000 sat
    ///     fee-rate: 50 sat/vB
    ///     window: Mon-Fri 09:00-17:00         any number, UTC, or: window: always
    ///     delay: 600 s
    ///     unseen: 3600 s                      this line and the next two need not be there
    ///     coins-of-others: ask                or allow
    ///     otherwise: ask                      or refuse
    ///
    /// Lines in any order behind the first; blank ones, and those that begin with `#`, are passed over. The words on the right are not part
    /// of it.
    ///
    /// - Throws: with the number of the line, counted from 1.
    public init(parsing text: [UInt8]) throws(ApprovalPolicyError) {
        self = try ApprovalPolicyText(text).policy()
    }

    /// The text that reads as this policy.
    public var text: String { ApprovalPolicyText.text(of: self) }
}

/// The lines of a policy's text, and what they say.
public struct ApprovalPolicyText {
    /// Longest text that is read: lists of a thousand addresses with room for remarks.
    public static let byteCountMax = 512 << 10

    static let firstLine = "chorale-approval 1"

    /// What a line can be about, in the order in which they are written.
    public enum Name: String, Hashable, Sendable, CaseIterable {
        case network, group, own, proposer, destination
        case amountPerRequest = "amount-per-request"
        case amountPerDay = "amount-per-day"
        case approvalsPerDay = "approvals-per-day"
        case fee
        case feeRate = "fee-rate"
        case window, delay, unseen
        case coinsOfOthers = "coins-of-others"
        case otherwise

        var isList: Bool {
            switch self {
            case .own, .proposer, .destination, .window: true
            case .network, .group, .amountPerRequest, .amountPerDay, .approvalsPerDay, .fee, .feeRate, .delay, .unseen, .coinsOfOthers,
                .otherwise:
                false
            }
        }
    }

    private struct Line {
        let number: Int
        let name: Name
        let value: String

        func unreadable(_ expected: String) -> ApprovalPolicyError { .unreadable(self.name, line: self.number, expected) }
    }

    private var lines: [Name: [Line]] = [:]

    fileprivate init(_ bytes: [UInt8]) throws(ApprovalPolicyError) {
        guard bytes.count <= Self.byteCountMax else { throw .tooLarge(byteCount: bytes.count, limit: Self.byteCountMax) }
        var number = 0
        for bytes in bytes.split(separator: 0x0a, omittingEmptySubsequences: false) {
            number += 1
            guard let line = String(validating: bytes, as: UTF8.self), bytes.allSatisfy({ $0 >= 0x20 && $0 != 0x7f }) else {
                throw .notText(line: number)
            }
            if number == 1 {
                guard line == Self.firstLine else { throw .otherKindOrVersion }
                continue
            }
            if bytes.isEmpty || bytes.first == 0x23 { continue }
            try self.take(line, number)
        }
    }

    private mutating func take(_ line: String, _ number: Int) throws(ApprovalPolicyError) {
        let utf8 = line.utf8
        guard let colon = utf8.firstIndex(of: 0x3a), let name = Name(rawValue: String(Substring(utf8[..<colon]))) else {
            throw .unknownLine(number)
        }
        let rest = utf8[utf8.index(after: colon)...]
        guard rest.first == 0x20, rest.count > 1 else { throw .unknownLine(number) }
        guard name.isList || self.lines[name] == nil else { throw .repeated(name, line: number) }
        self.lines[name, default: []].append(Line(number: number, name: name, value: String(Substring(rest.dropFirst()))))
    }

    // MARK: - What they say

    fileprivate func policy() throws(ApprovalPolicyError) -> ApprovalPolicy {
        let networkLine = try self.one(.network)
        guard let network = Network(rawValue: networkLine.value) else {
            throw networkLine.unreadable("one of " + Network.allCases.map(\.rawValue).joined(separator: ", "))
        }
        return try ApprovalPolicy(
            network: network, groupScript: try Self.script(try self.one(.group), network),
            otherOwnScripts: try self.set(.own) { line throws(ApprovalPolicyError) in try Self.script(line, network) },
            proposers: try self.proposers(), destinations: try self.destinations(network), limits: try self.limits(),
            times: ApprovalPolicy.Times(
                windows: try self.windows(), delay: try Self.number(try self.one(.delay), unit: " s"),
                unseenMax: try self.optional(.unseen).map { line throws(ApprovalPolicyError) in try Self.number(line, unit: " s") } ?? 3_600
            ),
            allowsCoinsOfOthers: try self.choice(.coinsOfOthers, ["ask": false, "allow": true]) ?? false,
            otherwise: try self.choice(.otherwise, ["ask": .ask, "refuse": .refuse]) ?? .ask)
    }

    private func limits() throws(ApprovalPolicyError) -> ApprovalPolicy.Limits {
        let rateLine = try self.one(.feeRate)
        guard rateLine.value.hasSuffix(" sat/vB"), let rate = try? FeeRate(parsing: rateLine.value.dropLast(7)) else {
            throw rateLine.unreadable("a number of sat/vB with at most three places, like \"12.5 sat/vB\"")
        }
        return ApprovalPolicy.Limits(
            amountPerRequest: try Self.number(try self.one(.amountPerRequest), unit: " sat"),
            amountPerDay: try Self.number(try self.one(.amountPerDay), unit: " sat"),
            approvalsPerDay: Int(clamping: try Self.number(try self.one(.approvalsPerDay), unit: "")),
            fee: try Self.number(try self.one(.fee), unit: " sat"), feeRate: rate)
    }

    private func proposers() throws(ApprovalPolicyError) -> ApprovalPolicy.Proposers {
        if try self.isAny(.proposer, "any") { return .any }
        return .these(
            try self.set(.proposer) { line throws(ApprovalPolicyError) in
                guard let bytes = try? Hex.decode(line.value), let key = try? PublicKey(parsing: bytes) else {
                    throw line.unreadable("\"any\", or a signer's key of 66 hex digits")
                }
                return key
            })
    }

    private func destinations(_ network: Network) throws(ApprovalPolicyError) -> ApprovalPolicy.Destinations {
        if try self.isAny(.destination, "any") { return .anywhere }
        return .these(try self.set(.destination) { line throws(ApprovalPolicyError) in try Self.script(line, network) })
    }

    private func windows() throws(ApprovalPolicyError) -> [ApprovalWindow]? {
        if try self.isAny(.window, "always") { return nil }
        var windows: [ApprovalWindow] = []
        for line in self.lines[.window] ?? [] {
            guard let window = ApprovalWindow(line.value) else {
                throw line.unreadable("\"always\", or days and hours of UTC, like \"Mon-Fri,Sun 09:00-17:30\"; 24:00 ends a day")
            }
            windows.append(window)
        }
        return windows
    }

    // MARK: - Kinds of values

    private func optional(_ name: Name) -> Line? { self.lines[name]?.first }

    private func one(_ name: Name) throws(ApprovalPolicyError) -> Line {
        guard let line = self.optional(name) else { throw .missing(name) }
        return line
    }

    /// Whether a list says only that it has no bounds. One that is not there says nothing, and that is not enough.
    private func isAny(_ name: Name, _ word: String) throws(ApprovalPolicyError) -> Bool {
        let lines = self.lines[name] ?? []
        guard let first = lines.first else { throw .missing(name) }
        guard let any = lines.first(where: { $0.value == word }) else { return false }
        guard lines.count == 1 else { throw any.unreadable("\"\(word)\" alone, or a list without it, which began in line \(first.number)") }
        return true
    }

    private func set<Element: Hashable>(
        _ name: Name, _ read: (Line) throws(ApprovalPolicyError) -> Element
    ) throws(ApprovalPolicyError) -> Set<Element> {
        var elements: Set<Element> = []
        for line in self.lines[name] ?? [] {
            guard elements.insert(try read(line)).inserted else { throw .repeated(name, line: line.number) }
        }
        return elements
    }

    private func choice<Value>(_ name: Name, _ values: [String: Value]) throws(ApprovalPolicyError) -> Value? {
        guard let line = self.optional(name) else { return nil }
        guard let value = values[line.value] else {
            throw line.unreadable("one of " + values.keys.sorted().joined(separator: ", "))
        }
        return value
    }

    private static func script(_ line: Line, _ network: Network) throws(ApprovalPolicyError) -> Script {
        if line.value.hasPrefix("script ") {
            guard let script = Script(hex: line.value.dropFirst(7)) else { throw line.unreadable("\"script\" and hex digits") }
            return script
        }
        do { return try Address(parsing: line.value, on: network).scriptPubKey } catch {
            throw line.unreadable("an address of \(network): \(error)")
        }
    }

    /// A decimal number without sign or leading zeros, and its unit.
    private static func number(_ line: Line, unit: String) throws(ApprovalPolicyError) -> UInt64 {
        let digits = line.value.dropLast(unit.count)
        guard line.value.hasSuffix(unit), digits.utf8.allSatisfy({ (0x30...0x39).contains($0) }),
            digits == "0" || digits.utf8.first != 0x30, let number = UInt64(digits)
        else { throw line.unreadable("a whole number\(unit.isEmpty ? "" : " of\(unit)"), like \"100\(unit)\"") }
        return number
    }
}

// MARK: - Writing

extension ApprovalPolicyText {
    fileprivate static func text(of policy: ApprovalPolicy) -> String {
        var lines = [Self.firstLine]
        func say(_ name: Name, _ value: String) { lines.append("\(name.rawValue): \(value)") }
        func say(_ name: Name, _ scripts: Set<Script>) {
            for script in scripts.sorted(by: { $0.bytes.lexicographicallyPrecedes($1.bytes) }) {
                say(name, Address(scriptPubKey: script, network: policy.network)?.text ?? "script \(script.hex)")
            }
        }
        say(.network, policy.network.rawValue)
        say(.group, [policy.groupScript])
        say(.own, policy.otherOwnScripts)
        switch policy.proposers {
        case .any: say(.proposer, "any")
        case .these(let keys): for key in keys.sorted() { say(.proposer, Hex.encode(key.bytes)) }
        }
        switch policy.destinations {
        case .anywhere: say(.destination, "any")
        case .these(let scripts): say(.destination, scripts)
        }
        say(.amountPerRequest, "\(policy.limits.amountPerRequest) sat")
        say(.amountPerDay, "\(policy.limits.amountPerDay) sat")
        say(.approvalsPerDay, "\(policy.limits.approvalsPerDay)")
        say(.fee, "\(policy.limits.fee) sat")
        say(.feeRate, "\(policy.limits.feeRate)")
        if let windows = policy.times.windows { for window in windows { say(.window, window.description) } } else { say(.window, "always") }
        say(.delay, "\(policy.times.delay) s")
        say(.unseen, "\(policy.times.unseenMax) s")
        say(.coinsOfOthers, policy.allowsCoinsOfOthers ? "allow" : "ask")
        say(.otherwise, policy.otherwise.rawValue)
        return lines.joined(separator: "\n") + "\n"
    }
}

extension ApprovalWindow: CustomStringConvertible {
    private static let names = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"]

    /// `Mon-Fri,Sun 09:00-17:30`.
    public var description: String {
        var runs: [Range<Int>] = []
        for day in Weekday.allCases.map(\.rawValue) where self.days.contains(where: { $0.rawValue == day }) {
            if let last = runs.last, last.upperBound == day {
                runs[runs.count - 1] = last.lowerBound..<(day + 1)
            } else {
                runs.append(day..<(day + 1))
            }
        }
        let days = runs.map { run in
            run.count == 1 ? Self.names[run.lowerBound] : "\(Self.names[run.lowerBound])-\(Self.names[run.upperBound - 1])"
        }
        return "\(days.joined(separator: ",")) \(Self.clock(self.minutes.lowerBound))-\(Self.clock(self.minutes.upperBound))"
    }

    private static func clock(_ minute: Int) -> String {
        func twoDigits(_ number: Int) -> String { number < 10 ? "0\(number)" : "\(number)" }
        return "\(twoDigits(minute / 60)):\(twoDigits(minute % 60))"
    }

    /// Reads what `description` writes, with days in any order.
    init?(_ text: String) {
        let parts = text.split(separator: " ", omittingEmptySubsequences: false)
        guard parts.count == 2 else { return nil }
        var days: Set<Weekday> = []
        for item in parts[0].split(separator: ",", omittingEmptySubsequences: false) {
            let ends = item.split(separator: "-", omittingEmptySubsequences: false).map { Self.names.firstIndex(of: String($0)) }
            guard (1...2).contains(ends.count), let first = ends.first ?? nil, let last = ends.last ?? nil, first <= last else {
                return nil
            }
            days.formUnion((first...last).compactMap(Weekday.init(rawValue:)))
        }
        let hours = parts[1].split(separator: "-", omittingEmptySubsequences: false).map(Self.minute)
        guard hours.count == 2, let start = hours.first ?? nil, let end = hours.last ?? nil, start < end else { return nil }
        self.init(days: days, minutes: start..<end)
    }

    /// Exactly `hh:mm`.
    private static func minute(_ text: Substring) -> Int? {
        let bytes = Array(text.utf8)
        guard bytes.count == 5, bytes[2] == 0x3a, [0, 1, 3, 4].allSatisfy({ (0x30...0x39).contains(bytes[$0]) }) else { return nil }
        let digits = bytes.map { Int($0) - 0x30 }
        let (hour, minute) = (digits[0] * 10 + digits[1], digits[3] * 10 + digits[4])
        guard minute < 60, hour * 60 + minute <= Self.minutesADay else { return nil }
        return hour * 60 + minute
    }
}
