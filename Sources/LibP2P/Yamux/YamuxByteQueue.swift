/// Bytes of a stream that wait, in the chunks in which they came.
struct YamuxByteQueue: Sendable {
    /// Chunks are put together up to this many bytes.
    ///
    /// So two neighbours always hold more than this, and a peer that sends single bytes cannot make us keep a buffer for each.
    static let joinedByteCountMax = 16_384

    /// From here on, a chunk of our own user costs less where it is than a copy of it would.
    static let keptByteCountMin = 2_048

    private var chunks = YamuxQueue<[UInt8]>()
    /// How many bytes of the oldest chunk are gone.
    private var headOffset = 0
    private(set) var byteCount = 0

    var isEmpty: Bool { self.byteCount == 0 }

    /// The one copy that received bytes make.
    mutating func append(copying bytes: RawSpan) {
        guard bytes.byteCount > 0 else { return }
        self.byteCount += bytes.byteCount
        bytes.withUnsafeBytes { source in
            guard !self.joinToLast(source) else { return }
            self.chunks.append(
                Array(unsafeUninitializedCapacity: source.count) { target, count in
                    UnsafeMutableRawBufferPointer(target).copyMemory(from: source)
                    count = source.count
                })
        }
    }

    /// Takes a chunk as it is, without a copy unless it is small.
    mutating func append(_ chunk: [UInt8]) {
        guard !chunk.isEmpty else { return }
        self.byteCount += chunk.count
        if chunk.count < Self.keptByteCountMin, chunk.withUnsafeBytes({ self.joinToLast($0) }) { return }
        self.chunks.append(chunk)
    }

    private mutating func joinToLast(_ bytes: UnsafeRawBufferPointer) -> Bool {
        self.chunks.withLast { last in
            guard let count = last?.count, count + bytes.count <= Self.joinedByteCountMax else { return false }
            last?.append(contentsOf: bytes)
            return true
        } ?? false
    }

    /// The oldest chunk; `nil` when nothing waits. Copies only what was begun by ``consume(_:)``.
    mutating func popFirst() -> [UInt8]? {
        guard let chunk = self.chunks.popFirst() else { return nil }
        let offset = self.headOffset
        self.headOffset = 0
        self.byteCount -= chunk.count - offset
        return offset == 0 ? chunk : Array(chunk[offset...])
    }

    /// Lets `body` look at the oldest bytes and say how many it has used.
    ///
    /// - Returns: that number; 0 when nothing waits.
    mutating func consume(_ body: (RawSpan) -> Int) -> Int {
        let offset = self.headOffset
        let used = self.chunks.withFirst { chunk in
            guard let length = chunk?.count else { return (count: 0, isAll: false) }
            let count = chunk.map { body($0.span.bytes.extracting(offset..<length)) } ?? 0
            precondition(0...(length - offset) ~= count, "no more bytes can be used than were shown")
            return (count: count, isAll: offset + count == length)
        }
        guard let used else { return 0 }
        self.byteCount -= used.count
        if used.isAll {
            _ = self.chunks.popFirst()
            self.headOffset = 0
        } else {
            self.headOffset += used.count
        }
        return used.count
    }

    /// Moves the oldest `count` bytes behind what `output` holds; that many must wait, and have room.
    mutating func move(_ count: Int, to output: inout OutputRawSpan) {
        var missing = count
        while missing > 0 {
            missing -= self.consume { bytes in
                let part = bytes.extracting(first: missing)
                output.withUnsafeMutableBytes { target, initializedCount in
                    part.withUnsafeBytes {
                        UnsafeMutableRawBufferPointer(rebasing: target[initializedCount...]).copyMemory(from: $0)
                    }
                    initializedCount += part.byteCount
                }
                return part.byteCount
            }
        }
    }

    mutating func removeAll() {
        self.chunks.removeAll()
        self.headOffset = 0
        self.byteCount = 0
    }
}
