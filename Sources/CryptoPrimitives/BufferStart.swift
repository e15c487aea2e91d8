// C takes a pointer and a count. Buffers here are never empty: `SecretBytes` has at least one byte.

extension UnsafeRawBufferPointer {
    /// The first byte of a buffer that is not empty.
    var start: UnsafePointer<UInt8> {
        guard let base = self.baseAddress else { preconditionFailure("an empty buffer has no start") }
        return base.assumingMemoryBound(to: UInt8.self)
    }
}

extension UnsafeMutableRawBufferPointer {
    /// The first byte of a buffer that is not empty.
    var start: UnsafeMutablePointer<UInt8> {
        guard let base = self.baseAddress else { preconditionFailure("an empty buffer has no start") }
        return base.assumingMemoryBound(to: UInt8.self)
    }
}
