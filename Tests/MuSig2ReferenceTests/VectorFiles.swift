import CryptoPrimitives
import Foundation
import MuSig2Reference
import TestVectors
import Testing

/// Bytes that a vector file writes in hex.
struct HexBytes: Decodable {
    let bytes: [UInt8]

    init(from decoder: any Decoder) throws {
        self.bytes = try Hex.decode(decoder.singleValueContainer().decode(String.self))
    }
}

extension [HexBytes] {
    var bytes: [[UInt8]] { self.map(\.bytes) }

    func bytes(at indices: [Int]) throws -> [[UInt8]] {
        try indices.map { index in try #require(self.indices.contains(index) ? self[index] : nil).bytes }
    }
}

/// The error that a vector asks for, in all its parts.
struct ExpectedError: Decodable {
    let type: String
    let signer: Int?
    let contrib: String?
    let message: String?

    /// The same as the reference says it; fails for a kind of error that no vector has had so far.
    func error() throws -> ReferenceError {
        switch self.type {
        case "invalid_contribution":
            return .invalidContribution(signer: self.signer, try #require(ReferenceError.Contribution(rawValue: self.contrib ?? "")))
        case "value":
            return .invalidValue(try #require(Self.values[self.message ?? ""], "an unknown message: \(self.message ?? "none")"))
        default:
            throw UnknownType(type: self.type)
        }
    }

    struct UnknownType: Error { let type: String }

    private static let values: [String: ReferenceError.InvalidValue] = [
        "The tweak must be less than n.": .tweakOutOfRange,
        "The result of tweaking cannot be infinity.": .tweakedKeyIsInfinity,
        "The signer's pubkey must be included in the list of pubkeys.": .signerNotAmongPubkeys,
        "first secnonce value is out of range.": .secretNonceOutOfRange(which: 1),
    ]
}

/// Tweaks as the files give them: indices or bytes in one list, modes in another of the same length.
func tweaks(_ bytes: [[UInt8]], _ isXonly: [Bool]) throws -> [BIP327.Tweak] {
    try #require(bytes.count == isXonly.count)
    return zip(bytes, isXonly).map { BIP327.Tweak($0, isXonly: $1) }
}

/// The official files of BIP-327, with the least number of cases that each list has.
enum BIP327Files {
    static let folder = "bip-0327/vectors"
    static let leastCounts: [String: [String: Int]] = [
        "key_sort_vectors.json": [:],
        "key_agg_vectors.json": ["valid_test_cases": 4, "error_test_cases": 5],
        "nonce_gen_vectors.json": ["test_cases": 4],
        "nonce_agg_vectors.json": ["valid_test_cases": 2, "error_test_cases": 3],
        "sign_verify_vectors.json": [
            "valid_test_cases": 6, "sign_error_test_cases": 6, "verify_fail_test_cases": 3, "verify_error_test_cases": 2,
        ],
        "tweak_vectors.json": ["valid_test_cases": 5, "error_test_cases": 1],
        "sig_agg_vectors.json": ["valid_test_cases": 4, "error_test_cases": 1],
        "det_sign_vectors.json": ["valid_test_cases": 4, "error_test_cases": 5],
    ]

    static var areHere: Bool { self.leastCounts.keys.allSatisfy { VectorFolder.has("\(self.folder)/\($0)") } }

    static func load<Contents: Decodable>(_ name: String, as type: Contents.Type = Contents.self) throws -> Contents {
        try VectorFolder.load("\(self.folder)/\(name)")
    }

    /// How many cases a list of a file has, read without the types of the tests; never fewer than there are known to be.
    static func count(_ list: String, in name: String) throws -> Int {
        let count = try #require(self.lists(in: name)[list], "\(name) has no list \(list)")
        let least = try #require(self.leastCounts[name]?[list])
        #expect(count >= least, "\(name) has lost cases of \(list)")
        return count
    }

    /// Every list of cases in a file, with its length.
    static func lists(in name: String) throws -> [String: Int] {
        let contents = try JSONSerialization.jsonObject(with: VectorFolder.data("\(self.folder)/\(name)"))
        let object = try #require(contents as? [String: Any])
        return object.filter { $0.key.hasSuffix("test_cases") }.compactMapValues { ($0 as? [Any])?.count }
    }
}
