/// What a virtual byte costs, in satoshi: the only unit of fee rates here is sat/vB.
///
/// Held as an integer count of thousandths, so that no rounding hides in it.
public struct FeeRate: Hashable, Comparable, Sendable {
    /// A million sat/vB; a higher rate is a mistake of units.
    public static let satoshisPerKilobyteMax: UInt64 = 1_000_000_000

    /// Thousandths of a sat/vB: satoshi per 1,000 virtual bytes.
    public let satoshisPerKilobyte: UInt64

    /// - Throws: `FeeError.feeRateTooHigh`.
    public init(satoshisPerKilobyte: UInt64) throws(FeeError) {
        guard satoshisPerKilobyte <= Self.satoshisPerKilobyteMax else {
            throw .feeRateTooHigh(satoshisPerKilobyte: satoshisPerKilobyte, limit: Self.satoshisPerKilobyteMax)
        }
        self.satoshisPerKilobyte = satoshisPerKilobyte
    }

    /// A whole number of sat/vB.
    public init(_ satoshisPerByte: UInt64) throws(FeeError) {
        let (rate, overflows) = satoshisPerByte.multipliedReportingOverflow(by: 1_000)
        try self.init(satoshisPerKilobyte: overflows ? .max : rate)
    }

    /// Parses sat/vB as a decimal number with at most three places: `2`, `12.5`, `0.125`.
    public init(parsing text: some StringProtocol) throws(FeeError) {
        let parts = text.split(separator: ".", maxSplits: 1, omittingEmptySubsequences: false)
        let places = parts.count == 2 ? parts[1] : "0"
        guard let whole = parts.first, (1...7).contains(whole.utf8.count), (1...3).contains(places.utf8.count),
            (Array(whole.utf8) + Array(places.utf8)).allSatisfy({ (0x30...0x39).contains($0) }),
            let wholeValue = UInt64(whole), let thousandths = UInt64(places + String(repeating: "0", count: 3 - places.utf8.count))
        else { throw .feeRateSyntax }
        try self.init(satoshisPerKilobyte: wholeValue * 1_000 + thousandths)
    }

    /// The least fee in satoshi at which a transaction of this size pays the rate: rounded up.
    ///
    /// A fee beyond 64 bits comes out as `UInt64.max`, which no coins pay; a size below zero, which nothing has, costs nothing.
    public func fee(forVirtualSize virtualSize: Int) -> UInt64 {
        let product = self.satoshisPerKilobyte.multipliedFullWidth(by: UInt64(max(0, virtualSize)))
        return Self.dividedRoundingUp(product, by: 1_000)
    }

    public static func < (left: FeeRate, right: FeeRate) -> Bool { left.satoshisPerKilobyte < right.satoshisPerKilobyte }

    static func dividedRoundingUp(_ product: (high: UInt64, low: UInt64), by divisor: UInt64) -> UInt64 {
        guard product.high < divisor else { return .max }
        let (quotient, remainder) = divisor.dividingFullWidth(product)
        return remainder > 0 && quotient < .max ? quotient + 1 : quotient
    }
}

extension FeeRate: CustomStringConvertible {
    /// `2 sat/vB`, `12.5 sat/vB`.
    public var description: String {
        let (whole, thousandths) = self.satoshisPerKilobyte.quotientAndRemainder(dividingBy: 1_000)
        var places = String(String(thousandths + 1_000).dropFirst())
        while places.last == "0" { places.removeLast() }
        return places.isEmpty ? "\(whole) sat/vB" : "\(whole).\(places) sat/vB"
    }
}

/// How much more than asked for a second version pays, or how much a size is overestimated: 0 to 100 percent.
public struct FeeBuffer: Hashable, Sendable {
    /// Hundredths of a percent, 0 to 10,000.
    public let hundredthsOfPercent: Int

    /// - Throws: `FeeError.bufferOutOfRange` outside 0…10,000.
    public init(hundredthsOfPercent: Int) throws(FeeError) {
        guard (0...10_000).contains(hundredthsOfPercent) else { throw .bufferOutOfRange(hundredthsOfPercent: hundredthsOfPercent) }
        self.hundredthsOfPercent = hundredthsOfPercent
    }

    /// Whole percent, 0 to 100.
    public init(percent: Int) throws(FeeError) {
        try self.init(hundredthsOfPercent: percent.multipliedReportingOverflow(by: 100).overflow ? percent : percent * 100)
    }

    /// A fee in satoshi with the buffer on top, rounded up; `UInt64.max` beyond 64 bits.
    public func applied(to fee: UInt64) -> UInt64 {
        FeeRate.dividedRoundingUp(fee.multipliedFullWidth(by: 10_000 + UInt64(self.hundredthsOfPercent)), by: 10_000)
    }

    /// A size with the buffer on top, rounded up.
    ///
    /// - Precondition: the size is not negative.
    public func applied(toVirtualSize virtualSize: Int) -> Int { Int(clamping: self.applied(to: UInt64(virtualSize))) }
}
