import CryptoPrimitives
import MuSig2
import Secp256k1

@testable import Bitcoin

/// Keys for tests whose secrets everybody knows: SHA-256 of a name. The published figures use them too.
enum FigureKey {
    static func secretBytes(named name: String) -> Bytes32 { SHA256.hash(Array(name.utf8)) }

    static func secret(named name: String) throws -> SecretKey {
        let bytes = Self.secretBytes(named: name)
        let secret = try SecretBytes(count: 32) { target in bytes.withUnsafeBytes { target.copyMemory(from: $0) } }
        return try SecretKey(parsing: secret)
    }

    static func signerName(_ index: Int) -> String { "chorale figure signer \(index)" }

    static func secret(of signer: Int) throws -> SecretKey { try Self.secret(named: Self.signerName(signer)) }

    /// The public keys of the first `count` signers, unsorted.
    static func signers(_ count: Int) throws -> [PublicKey] {
        try (0..<count).map { index in
            let secret = try Self.secret(of: index)
            return secret.publicKey
        }
    }

    static let ownerName = "chorale figure owner"

    static func owner() throws -> PublicKey {
        let secret = try Self.secret(named: Self.ownerName)
        return secret.publicKey
    }

    /// The same point with its sign turned.
    static func negated(_ key: PublicKey) throws -> PublicKey {
        try PublicKey(parsing: [key.hasEvenY ? 3 : 2] + key.bytes.dropFirst())
    }

    /// Many different valid keys without the price of a secret each.
    static func cheap(_ count: Int) -> [PublicKey] {
        var keys: [PublicKey] = []
        var counter = 0
        while keys.count < count {
            if let key = try? PublicKey(parsing: [2] + SHA256.hash(Array("x\(counter)".utf8)).bytes) { keys.append(key) }
            counter += 1
        }
        return keys
    }
}

extension DelegatedMultisig {
    static func figure(_ threshold: Int, of count: Int, _ internalKey: InternalKey? = nil) throws -> DelegatedMultisig {
        try DelegatedMultisig(
            internalKey: try internalKey ?? .owner(FigureKey.owner()), signers: FigureKey.signers(count), threshold: threshold)
    }
}
