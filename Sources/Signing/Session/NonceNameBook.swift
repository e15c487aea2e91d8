internal import CryptoPrimitives
internal import Secp256k1

/// Every nonce set that came in an attempt, by signer and name: a name keeps its content for good.
struct NonceNameBook {
    /// Most names of one signer, so that nobody makes it grow without end.
    static let nameCountMax = 64

    private var digests: [PublicKey: [NonceName: Bytes32]] = [:]

    /// Whether the name came before, with this content.
    ///
    /// - Throws: `conflictingNonces` when it came with another; `tooManyNonceNames` for a new one too many.
    func knows(_ name: NonceName, _ digest: Bytes32, of signer: PublicKey) throws(SigningError) -> Bool {
        guard let names = self.digests[signer] else { return false }
        if let known = names[name] {
            guard known == digest else { throw .conflictingNonces(signer: signer, name: name) }
            return true
        }
        guard names.count < Self.nameCountMax else { throw .tooManyNonceNames(signer: signer, limit: Self.nameCountMax) }
        return false
    }

    mutating func note(_ name: NonceName, _ digest: Bytes32, of signer: PublicKey) {
        self.digests[signer, default: [:]][name] = digest
    }
}
