import CryptoPrimitives

/// A transaction's name: the double SHA-256 of its encoding without witness.
///
/// Shown, and parsed from text, with its bytes reversed, as all of Bitcoin does.
public struct Txid: Hashable, Sendable {
    /// The 32 bytes in the order of the hash and of every encoding.
    public let hash: Bytes32

    public init(_ hash: Bytes32) { self.hash = hash }

    /// Parses the shown form: 64 hex digits, bytes reversed; `nil` for anything else.
    public init?(_ text: some StringProtocol) {
        guard let shown = Bytes32(hex: text) else { return nil }
        self.hash = shown.reversed
    }
}

extension Txid: CustomStringConvertible {
    public var description: String { self.hash.reversed.description }
}

/// A transaction's name together with its witness: the double SHA-256 of its BIP-144 encoding (BIP-141, "Transaction ID").
public struct Wtxid: Hashable, Sendable {
    /// The 32 bytes in the order of the hash.
    public let hash: Bytes32

    public init(_ hash: Bytes32) { self.hash = hash }
}

extension Wtxid: CustomStringConvertible {
    /// Sixty-four hex digits, bytes reversed.
    public var description: String { self.hash.reversed.description }
}

/// One output of one transaction: what an input spends.
public struct OutPoint: Hashable, Sendable {
    /// Encoded length in bytes: the txid and a 4-byte index.
    public static let byteCount = 36

    public var txid: Txid
    /// The output's position in its transaction, from 0.
    public var index: UInt32

    public init(txid: Txid, index: UInt32) {
        self.txid = txid
        self.index = index
    }
}

extension OutPoint: CustomStringConvertible {
    /// `txid:index`, the txid reversed.
    public var description: String { "\(self.txid):\(self.index)" }
}

extension OutPoint {
    init(from reader: inout ByteReader) throws(ByteDecodingError) {
        self.txid = Txid(try reader.readBytes32("previous txid"))
        self.index = try reader.readUInt32("previous output index")
    }

    func write(to writer: inout ByteWriter) {
        writer.write(self.txid.hash)
        writer.writeUInt32(self.index)
    }
}
