#if canImport(Glibc)
internal import Glibc
#elseif canImport(Musl)
internal import Musl
#elseif canImport(Darwin)
internal import Darwin
#endif

/// The system's calendar time, which a request's expiry is held against.
public enum WallClock {
    /// Whole seconds since 1970; 0 for a clock set before.
    public static var secondsSince1970: UInt64 { UInt64(clamping: time(nil)) }

    /// The same in whole milliseconds, for names that rise.
    public static var millisecondsSince1970: UInt64 {
        var now = timespec()
        guard clock_gettime(CLOCK_REALTIME, &now) == 0, now.tv_sec > 0 else { return 0 }
        return UInt64(clamping: now.tv_sec).multipliedReportingOverflow(by: 1_000).partialValue &+ UInt64(clamping: now.tv_nsec / 1_000_000)
    }
}
