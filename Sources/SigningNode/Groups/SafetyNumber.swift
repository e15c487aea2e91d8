internal import Bitcoin
public import CryptoPrimitives
internal import Secp256k1
public import Signing

/// Thirty digits that two people read to each other, to know that they mean the same keys: `42180 07315 …`.
///
/// Whoever stands between two that exchange keys can show each a key of his own, and looks for two of them that give the same number.
/// Of 100 bits that takes some 2^50 tries, and each try is made to cost 2^17 hashes.
public struct SafetyNumber: Hashable, Sendable, CustomStringConvertible {
    /// Groups of digits, and digits in each: 10^30 is 2^99.7.
    public static let groupCount = 6
    public static let digitCount = 5

    private let groups: [UInt32]

    /// How many hashes one number takes; some 50 ms. Source: Chorale's own choice, as much as nobody minds who reads digits aloud.
    private static let roundCount = 131_072

    /// Of two signers with their machines: the same on both sides.
    public init(between first: Enrolment, and second: Enrolment) {
        let sides = [first, second].map { $0.signer.bytes + $0.identity.bytes }.sorted { $0.lexicographicallyPrecedes($1) }
        var hash = Self.contactTag
        hash.update(sides.flatMap(\.self))
        self.init(stretching: hash.finalize())
    }

    /// Of a group: the same at all members that have the same policy, with the same members, under whatever name.
    public init(ofGroup policyDigest: Bytes32) {
        var hash = Self.groupTag
        hash.update(policyDigest)
        self.init(stretching: hash.finalize())
    }

    private init(stretching digest: Bytes32) {
        var last = digest
        for _ in 0..<Self.roundCount {
            var hash = SHA256()
            hash.update(last)
            // Without it, all that was computed for one number would help with the next where they meet.
            hash.update(digest)
            last = hash.finalize()
        }
        // Forty bits for each group of digits: none is likelier than another by more than a ten-millionth.
        let bytes = last.bytes
        self.groups = (0..<Self.groupCount).map { group in
            UInt32(bytes[group * 5..<group * 5 + 5].reduce(0 as UInt64) { $0 << 8 | UInt64($1) } % 100_000)
        }
    }

    private static let contactTag = SHA256.tagged("chorale/number/contact")
    private static let groupTag = SHA256.tagged("chorale/number/group")

    public var description: String {
        self.groups.map { group in
            let digits = String(group)
            return String(repeating: "0", count: Self.digitCount - digits.count) + digits
        }.joined(separator: " ")
    }
}
