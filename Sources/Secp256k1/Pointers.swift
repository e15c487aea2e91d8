// The library's byte pointers are never null. These give them from Swift's buffers, whose start is null only when they are
// empty, and nothing here is: a key, a slot, a digest, a value on the stack.

extension UnsafeRawBufferPointer {
    package var bytePointer: UnsafePointer<UInt8> {
        guard let base = self.baseAddress else { preconditionFailure("the library was about to be given an empty buffer") }
        return base.assumingMemoryBound(to: UInt8.self)
    }
}

extension UnsafeMutableRawBufferPointer {
    package var bytePointer: UnsafeMutablePointer<UInt8> {
        guard let base = self.baseAddress else { preconditionFailure("the library was about to be given an empty buffer") }
        return base.assumingMemoryBound(to: UInt8.self)
    }
}
