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
}
