import CryptoPrimitives

/// Why a text is not an address of the network that is meant.
public enum AddressError: Error, Equatable, Sendable {
    case bech32(Bech32Error)
    case base58(Base58Error)
    /// A sound bech32 text whose prefix belongs to another network or to something else.
    case wrongPrefix(String, expected: Network)
    /// A sound base58 text whose first byte belongs to another network or to something else.
    case wrongVersionByte(UInt8, expected: Network)
    /// A hash in a base58 address has 20 bytes.
    case wrongHashByteCount(Int)
    /// No witness version between prefix and checksum.
    case noWitnessVersion
    /// Witness versions go from 0 to 16.
    case unknownWitnessVersion(Int)
    /// Version 0 is written in bech32 and every later one in bech32m (BIP-350); this one is not.
    case wrongChecksumVariant(witnessVersion: Int)
    /// 2 to 40 bytes, and for version 0 only 20 or 32.
    case wrongProgramByteCount(witnessVersion: Int, byteCount: Int)
}

extension AddressError: CustomStringConvertible {
    public var description: String {
        switch self {
        case .bech32(let error):
            "not an address: \(error)"
        case .base58(let error):
            "not an address: \(error)"
        case .wrongPrefix(let prefix, let network):
            "the address begins with \(prefix)1, and those of \(network) with \(network.humanReadablePart)1: take one of that network"
        case .wrongVersionByte(let version, let network):
            "the address has the version byte \(version), which is not one of \(network): take an address of that network"
        case .wrongHashByteCount(let count):
            "the address holds a hash of \(count) bytes, and 20 are needed"
        case .noWitnessVersion:
            "the address ends after its prefix"
        case .unknownWitnessVersion(let version):
            "the address has the witness version \(version), and 16 is the highest"
        case .wrongChecksumVariant(let version):
            "the address has the wrong kind of checksum: witness version \(version) asks for \(version == 0 ? "bech32" : "bech32m")"
        case .wrongProgramByteCount(let version, let count):
            "the address of witness version \(version) holds a program of \(count) bytes: "
                + (version == 0 ? "20 or 32 are allowed" : "2 to 40 are allowed")
        }
    }
}
