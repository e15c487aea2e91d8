/// Points in time as people read them, in UTC: `2027-01-15 08:00:00 UTC`.
enum UnixTime {
    /// The last second that has a date of ten characters: the end of the year 9999.
    private static let secondsMax: UInt64 = 253_402_300_799

    /// - Parameter seconds: since 1970, leap seconds not counted.
    static func text(_ seconds: UInt64) -> String {
        guard seconds <= Self.secondsMax else { return "Unix time \(seconds)" }
        let (days, rest) = Int(seconds).quotientAndRemainder(dividingBy: 86_400)
        let (year, month, day) = Self.date(ofDay: days)
        return "\(Self.digits(year, 4))-\(Self.digits(month, 2))-\(Self.digits(day, 2)) "
            + "\(Self.digits(rest / 3_600, 2)):\(Self.digits(rest / 60 % 60, 2)):\(Self.digits(rest % 60, 2)) UTC"
    }

    /// A date of the Gregorian calendar, by the days since 1970-01-01.
    private static func date(ofDay day: Int) -> (year: Int, month: Int, day: Int) {
        var (year, rest) = (1970, day)
        while true {
            let count = Self.isLeap(year) ? 366 : 365
            guard rest >= count else { break }
            rest -= count
            year += 1
        }
        var month = 1
        for count in [31, Self.isLeap(year) ? 29 : 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31] {
            guard rest >= count else { break }
            rest -= count
            month += 1
        }
        return (year, month, rest + 1)
    }

    private static func isLeap(_ year: Int) -> Bool { year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) }

    private static func digits(_ value: Int, _ count: Int) -> String {
        let text = "\(value)"
        return String(repeating: "0", count: max(0, count - text.count)) + text
    }

    /// A span as people say it: `2 days`, `3 hours`, `40 minutes`, `5 seconds`.
    static func span(_ seconds: UInt64) -> String {
        switch seconds {
        case ..<120: Amounts.count(Int(seconds), "second")
        case ..<7_200: Amounts.count(Int(seconds / 60), "minute")
        case ..<172_800: Amounts.count(Int(seconds / 3_600), "hour")
        default: Amounts.count(Int(clamping: seconds / 86_400), "day")
        }
    }
}
