/// What decides over the values of one namespace: the `name` in keys `/name/…` (kad-dht, "Entry validation").
///
/// Both functions are pure: what they say depends on nothing but their arguments, and every node of a network must have the same.
public struct KadValidator: Sendable {
    /// Whether the value may stand under the key at this Unix time. It is asked before a value is kept, and of each that is found.
    public let isValid: @Sendable (_ key: [UInt8], _ value: [UInt8], _ unixTime: Duration) -> Bool
    /// Whether the second of two valid values is to take the first one's place. Of equal values the first stays.
    public let isBetter: @Sendable (_ key: [UInt8], _ current: [UInt8], _ candidate: [UInt8]) -> Bool

    public init(
        isValid: @escaping @Sendable (_ key: [UInt8], _ value: [UInt8], _ unixTime: Duration) -> Bool,
        isBetter: @escaping @Sendable (_ key: [UInt8], _ current: [UInt8], _ candidate: [UInt8]) -> Bool
    ) {
        self.isValid = isValid
        self.isBetter = isBetter
    }

    /// `/pk/` and a peer id's bytes: the public key that makes this id. There is only one, so none is ever better.
    public static let publicKey = KadValidator(
        isValid: { key, value, _ in
            guard let peer = try? PeerID(parsing: key.dropFirst(4)), let publicKey = try? PeerPublicKey(parsing: value) else {
                return false
            }
            return PeerID(of: publicKey) == peer
        },
        isBetter: { _, _, _ in false })
}

/// The validators of a node, by namespace. A key of a namespace that has none is refused.
struct KadValidators: Sendable {
    private let byNamespace: [[UInt8]: KadValidator]

    init(_ validators: [String: KadValidator]) {
        var all: [[UInt8]: KadValidator] = [Array("pk".utf8): .publicKey]
        for (namespace, validator) in validators { all[Array(namespace.utf8)] = validator }
        self.byNamespace = all
    }

    /// `nil` for a key without a namespace and for a namespace that is not known here.
    func validator(of key: [UInt8]) -> KadValidator? {
        guard key.first == 0x2f, let end = key.dropFirst().firstIndex(of: 0x2f), end > 1 else { return nil }
        return self.byNamespace[Array(key[1..<end])]
    }
}
