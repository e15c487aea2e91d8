/// One of Bitcoin's chains.
public enum Network: String, Hashable, Sendable, CaseIterable {
    case mainnet
    /// The public test network of BIP-94.
    case testnet4
    /// The public test network of BIP-325.
    case signet
    /// A chain of one's own.
    case regtest

    /// What a bech32 address begins with, before its `1`. Both public test networks share theirs.
    public var humanReadablePart: String {
        switch self {
        case .mainnet: "bc"
        case .testnet4, .signet: "tb"
        case .regtest: "bcrt"
        }
    }

    /// First byte of a base58 address of a public key hash. All test networks share theirs.
    var publicKeyHashPrefix: UInt8 { self == .mainnet ? 0x00 : 0x6f }

    /// First byte of a base58 address of a script hash.
    var scriptHashPrefix: UInt8 { self == .mainnet ? 0x05 : 0xc4 }
}

extension Network: CustomStringConvertible {
    public var description: String { self.rawValue }
}
