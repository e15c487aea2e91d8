/// Which end of the connection a session is: it decides whose streams have which numbers.
public enum YamuxRole: Equatable, Sendable {
    /// Opened the connection; its streams have odd numbers.
    case dialer
    /// Took the connection; its streams have even numbers.
    case listener
}

/// The number of a stream in its session. Never 0, which means the session itself.
public struct YamuxStreamID: Hashable, Comparable, Sendable {
    public let rawValue: UInt32

    init?(_ rawValue: UInt32) {
        guard rawValue != 0 else { return nil }
        self.rawValue = rawValue
    }

    /// The end that opened the stream.
    public var opener: YamuxRole { self.rawValue.isMultiple(of: 2) ? .listener : .dialer }

    public static func < (left: Self, right: Self) -> Bool { left.rawValue < right.rawValue }
}

extension YamuxStreamID: CustomStringConvertible {
    public var description: String { "stream \(self.rawValue)" }
}
