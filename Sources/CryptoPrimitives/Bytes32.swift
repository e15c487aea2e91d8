/// Thirty-two bytes: a digest, an x-only key, a scalar that is no secret.
///
/// A fixed-size value without heap storage, so that hashing and comparing millions of them costs no allocation.
public struct Bytes32: Hashable, Sendable {
    // Four words in memory order: the bytes are exactly those of the value, whatever the machine's endianness.
    private var words: (UInt64, UInt64, UInt64, UInt64)

    /// Thirty-two zero bytes.
    public init() { self.words = (0, 0, 0, 0) }

    /// Takes the bytes as they are; `nil` unless there are exactly 32.
    public init?(_ bytes: some Collection<UInt8>) {
        guard bytes.count == 32 else { return nil }
        self.init()
        self.withUnsafeMutableBytes { $0.copyBytes(from: bytes) }
    }

    /// Lets `fill` write all 32 bytes in place.
    public init<Failure: Error>(filledBy fill: (UnsafeMutableRawBufferPointer) throws(Failure) -> Void) throws(Failure) {
        self.init()
        try self.withUnsafeMutableBytes(fill)
    }

    /// The bytes, in order.
    public var bytes: [UInt8] { self.withUnsafeBytes { Array($0) } }

    /// The bytes in the opposite order: how Bitcoin shows transaction ids.
    public var reversed: Bytes32 {
        Bytes32 { target in
            self.withUnsafeBytes { source in
                for index in 0..<32 { target[index] = source[31 - index] }
            }
        }
    }

    public subscript(index: Int) -> UInt8 {
        precondition((0..<32).contains(index), "a Bytes32 has indices 0 to 31")
        return self.withUnsafeBytes { $0[index] }
    }

    /// Calls `body` with the 32 bytes in place.
    public func withUnsafeBytes<Result, Failure: Error>(
        _ body: (UnsafeRawBufferPointer) throws(Failure) -> Result
    ) throws(Failure) -> Result {
        var copy = self.words
        return try Swift.withUnsafeBytes(of: &copy) { (bytes) throws(Failure) in try body(bytes) }
    }

    private mutating func withUnsafeMutableBytes<Failure: Error>(
        _ body: (UnsafeMutableRawBufferPointer) throws(Failure) -> Void
    ) throws(Failure) {
        try Swift.withUnsafeMutableBytes(of: &self.words) { (bytes) throws(Failure) in try body(bytes) }
    }

    public static func == (left: Bytes32, right: Bytes32) -> Bool { left.words == right.words }

    public func hash(into hasher: inout Hasher) { self.withUnsafeBytes { hasher.combine(bytes: $0) } }
}

extension Bytes32: Comparable {
    /// Lexicographic, byte by byte: the order in which BIP-341 sorts the two children of a branch.
    public static func < (left: Bytes32, right: Bytes32) -> Bool {
        let (a, b) = (left.words, right.words)
        if a.0 != b.0 { return a.0.bigEndian < b.0.bigEndian }
        if a.1 != b.1 { return a.1.bigEndian < b.1.bigEndian }
        if a.2 != b.2 { return a.2.bigEndian < b.2.bigEndian }
        return a.3.bigEndian < b.3.bigEndian
    }
}

extension Bytes32: CustomStringConvertible {
    /// Sixty-four lowercase hex digits.
    public var description: String { Hex.encode(self.bytes) }

    /// Parses 64 hex digits of either case; `nil` for anything else.
    public init?(hex: some StringProtocol) {
        guard let bytes = try? Hex.decode(hex) else { return nil }
        self.init(bytes)
    }
}
