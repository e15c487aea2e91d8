/// Reads one frame with its length before it, and leaves what stands behind: there a stream's own bytes may begin.
struct ServiceFrameReader: Sendable {
    let byteCountMax: Int
    private var pending: [UInt8] = []

    init(byteCountMax: Int) { self.byteCountMax = byteCountMax }

    /// Never more than one frame and its length.
    var heldByteCount: Int { self.pending.count }

    mutating func receive(_ bytes: [UInt8]) throws(FrameReader.Failure) -> (frame: [UInt8], rest: [UInt8])? {
        self.pending += bytes
        var rest = self.pending[...]
        let length: UInt64
        do throws(VarintError) {
            length = try Varint.read(from: &rest)
        } catch .truncated {
            return nil
        } catch {
            throw .length(error)
        }
        guard length <= UInt64(self.byteCountMax) else { throw .tooLong(byteCount: length, limit: self.byteCountMax) }
        guard rest.count >= Int(length) else { return nil }
        self.pending = []
        return (Array(rest.prefix(Int(length))), Array(rest.dropFirst(Int(length))))
    }
}
