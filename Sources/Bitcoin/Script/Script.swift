import CryptoPrimitives

/// A Bitcoin script, as its bytes. Any bytes are a script; what they mean is asked of it.
public struct Script: Hashable, Sendable {
    public var bytes: [UInt8]

    public init(_ bytes: [UInt8] = []) { self.bytes = bytes }

    /// Parses hex digits; `nil` for anything else.
    public init?(hex: some StringProtocol) {
        guard let bytes = try? Hex.decode(hex) else { return nil }
        self.bytes = bytes
    }

    public var isEmpty: Bool { self.bytes.isEmpty }

    /// Lowercase hex digits.
    public var hex: String { Hex.encode(self.bytes) }
}
