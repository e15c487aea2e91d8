// The library's byte pointers are never null. These give them from Swift's buffers, whose start is null only when they are
// empty, and nothing here is: a key, a slot, a digest, a value on the stack.

extension UnsafeRawBufferPointer {
    package var bytePointer: UnsafePointer<UInt8> {
        guard let base = self.baseAddress else { preconditionFailure("the library was about to be given an empty buffer") }
        return base.assumingMemoryBound(to: UInt8.self)
    }

    /// Whether both hold the same bytes. For public data only: it stops at the first difference.
    ///
    /// Eight at a time: every look-up by key and every signature ends here, and byte by byte a nonce takes half a microsecond.
    package func hasSameBytes(as other: UnsafeRawBufferPointer) -> Bool {
        guard self.count == other.count else { return false }
        let wordByteCount = MemoryLayout<UInt64>.size
        let wordsEnd = self.count / wordByteCount * wordByteCount
        for offset in stride(from: 0, to: wordsEnd, by: wordByteCount)
        where self.loadUnaligned(fromByteOffset: offset, as: UInt64.self) != other.loadUnaligned(fromByteOffset: offset, as: UInt64.self) {
            return false
        }
        return (wordsEnd..<self.count).allSatisfy { self[$0] == other[$0] }
    }
}

extension UnsafeMutableRawBufferPointer {
    package var bytePointer: UnsafeMutablePointer<UInt8> {
        guard let base = self.baseAddress else { preconditionFailure("the library was about to be given an empty buffer") }
        return base.assumingMemoryBound(to: UInt8.self)
    }
}
