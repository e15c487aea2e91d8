import CryptoPrimitives
import MuSig2
import Secp256k1
import TestVectors
import Testing

// What BIP-327's `vectors/*.json` hold, under the names they use. Everything in hexadecimal stays text until a test reads it.

enum BIP327Files {
    static let folder = "bip-0327/vectors"

    static func load<Contents: Decodable>(_ name: String) throws -> Contents {
        try VectorFolder.load("\(Self.folder)/\(name)")
    }

    static var areThere: Bool { VectorFolder.has("\(Self.folder)/key_agg_vectors.json") }
}

struct OfficialError: Decodable {
    let type: String
    let signer: Int?
    let contrib: String?
    let message: String?

    /// What this package must answer. The official files tell contributions, with or without a signer, and tweaks.
    func expected() throws -> MuSig2Error {
        switch (self.type, self.contrib) {
        case ("invalid_contribution", "pubkey"): .invalid(.publicKey, signer: self.signer)
        case ("invalid_contribution", "pubnonce"): .invalid(.publicNonce, signer: self.signer)
        case ("invalid_contribution", "aggnonce"): .invalid(.aggregateNonce, signer: self.signer)
        case ("invalid_contribution", "psig"): .invalid(.partialSignature, signer: self.signer)
        case ("value", nil) where self.message?.contains("tweak") == true: .invalidTweak(index: 0)
        default: throw UnknownError(error: self)
        }
    }

    private struct UnknownError: Error { let error: OfficialError }
}

extension Array where Element == String {
    /// The elements at these places, decoded.
    func decoded(at indices: [Int]) throws -> [[UInt8]] {
        try indices.map { index in
            try #require(self.indices.contains(index))
            return try Hex.decode(self[index])
        }
    }

    /// The tweaks at these places, each plain or x-only.
    func tweaks(at indices: [Int], isXonly: [Bool]) throws -> [Tweak] {
        try #require(indices.count == isXonly.count)
        return try zip(try self.decoded(at: indices), isXonly).map { bytes, isXonly in
            let scalar = try #require(Bytes32(bytes))
            return isXonly ? .xOnly(scalar) : .plain(scalar)
        }
    }
}

extension PublicNonce {
    /// Parses each signer's nonce and names the one whose bytes are none.
    static func parseAll(_ encoded: [[UInt8]]) throws -> [PublicNonce] {
        try encoded.enumerated().map { try PublicNonce(parsing: $1, signer: $0) }
    }
}
