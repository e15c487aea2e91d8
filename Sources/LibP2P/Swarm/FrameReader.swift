/// Cuts a stream's bytes into frames that a varint length precedes, as most of libp2p's protocols send them.
///
/// The length is checked before anything is kept for it, so a stranger's number allocates nothing.
public struct FrameReader: Sendable {
    public enum Failure: Error, Equatable, Sendable {
        case length(VarintError)
        /// The frame would be longer than this reader takes.
        case tooLong(byteCount: UInt64, limit: Int)
    }

    /// Longest frame in bytes, without its length.
    public let byteCountMax: Int
    private var pending: [UInt8] = []

    public init(byteCountMax: Int) { self.byteCountMax = byteCountMax }

    /// Bytes kept of a frame that is not whole yet.
    public var heldByteCount: Int { self.pending.count }

    /// Takes bytes and gives the frames that they complete. After an error the reader is not used any more.
    public mutating func receive(_ bytes: [UInt8]) throws(Failure) -> [[UInt8]] {
        self.pending += bytes
        var frames: [[UInt8]] = []
        var rest = self.pending[...]
        while !rest.isEmpty {
            var body = rest
            let length: UInt64
            do { length = try Varint.read(from: &body) } catch {
                if case .truncated = error { break }
                throw .length(error)
            }
            guard length <= UInt64(self.byteCountMax) else { throw .tooLong(byteCount: length, limit: self.byteCountMax) }
            guard body.count >= Int(length) else { break }
            frames.append(Array(body.prefix(Int(length))))
            rest = body.dropFirst(Int(length))
        }
        // Copied only after a frame: a long one that comes in small pieces would otherwise cost its length for each of them.
        if rest.startIndex > 0 { self.pending = Array(rest) }
        return frames
    }

    /// The frame's bytes with their length before them.
    public static func frame(_ body: [UInt8]) -> [UInt8] {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(body.count + Varint.byteCount(of: UInt64(body.count)))
        Varint.append(UInt64(body.count), to: &bytes)
        return bytes + body
    }
}
