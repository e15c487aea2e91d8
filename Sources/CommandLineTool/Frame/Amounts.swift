/// Amounts and counts as people read them.
enum Amounts {
    /// Digits in groups of three: `1,234,567`.
    static func grouped(_ value: some BinaryInteger) -> String {
        var digits = Array("\(value.magnitude)")
        var position = digits.count - 3
        while position > 0 {
            digits.insert(",", at: position)
            position -= 3
        }
        return (value < 0 ? "-" : "") + String(digits)
    }

    /// Satoshi as bitcoin, always with eight decimals: `0.00012345 BTC`.
    static func bitcoin(_ satoshi: UInt64) -> String {
        let (whole, rest) = satoshi.quotientAndRemainder(dividingBy: 100_000_000)
        return "\(Self.grouped(whole)).\(String(rest).zeroPadded(to: 8)) BTC"
    }

    static func satoshi(_ amount: UInt64) -> String { "\(Self.grouped(amount)) sat" }

    /// A fee rate with two decimals, rounded down: `2.31 sat/vB`.
    static func feeRate(fee: UInt64, virtualSize: Int) -> String {
        guard virtualSize > 0 else { return "0.00 sat/vB" }
        let (whole, rest) = fee.quotientAndRemainder(dividingBy: UInt64(virtualSize))
        // The rest is below the size of a transaction, so a hundred times it fits.
        let hundredths = rest * 100 / UInt64(virtualSize)
        return "\(Self.grouped(whole)).\(String(hundredths).zeroPadded(to: 2)) sat/vB"
    }

    /// A measurement with so many decimals, rounded: `0.41`.
    static func decimals(_ value: Double, _ count: Int) -> String {
        var unit = 1.0
        for _ in 0..<count { unit *= 10 }
        let scaled = (value.magnitude * unit).rounded()
        guard scaled < 9e15 else { return "\(value)" }
        let (whole, rest) = UInt64(scaled).quotientAndRemainder(dividingBy: UInt64(unit))
        return "\(value < 0 ? "-" : "")\(whole)\(count > 0 ? "." : "")\(count > 0 ? String(rest).zeroPadded(to: count) : "")"
    }

    /// `1 input`, `2 inputs`.
    static func count(_ count: Int, _ noun: String) -> String { "\(Self.grouped(count)) \(noun)\(count == 1 ? "" : "s")" }
}

extension String {
    fileprivate func zeroPadded(to digitCount: Int) -> String {
        String(repeating: "0", count: Swift.max(0, digitCount - self.count)) + self
    }
}
