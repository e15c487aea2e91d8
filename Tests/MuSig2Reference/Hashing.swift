import CryptoPrimitives

extension SHA256 {
    /// hash_tag(x), where x is all parts together (BIP-340, "Tagged Hashes").
    static func hash(tag: StaticString, _ parts: [UInt8]...) -> Bytes32 {
        var hash = Self.tagged(tag)
        for part in parts { hash.update(part) }
        return hash.finalize()
    }
}

/// bytes(n, x) for the lengths that NonceGen writes: the integer, most significant byte first.
func bigEndianBytes(_ value: some FixedWidthInteger) -> [UInt8] {
    withUnsafeBytes(of: value.bigEndian) { Array($0) }
}

/// Byte-wise xor of two arrays of 32 bytes.
func xor(_ a: [UInt8], _ b: Bytes32) -> [UInt8] {
    precondition(a.count == 32, "both sides have 32 bytes")
    return (0..<32).map { a[$0] ^ b[$0] }
}
