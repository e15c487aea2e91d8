import CryptoPrimitives

extension SecretBytes {
    /// A secret that everybody knows.
    static func known(_ bytes: [UInt8]) throws -> SecretBytes {
        try SecretBytes(count: bytes.count) { $0.copyBytes(from: bytes) }
    }

    static func known(_ text: String) throws -> SecretBytes { try .known(Array(text.utf8)) }

    borrowing func copied() -> [UInt8] { self.withUnsafeBytes { Array($0) } }
}
