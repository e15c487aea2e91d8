internal import Bitcoin
public import LibP2P

/// What transactions are for, as signers look for each other by it. What a transaction is shows when it is signed; this only says what
/// somebody is ready to look at.
public struct TransactionKinds: OptionSet, Hashable, Sendable {
    /// The bits travel. Those that have no name here belong to a newer program, and are kept as they came.
    public let rawValue: UInt16

    public init(rawValue: UInt16) { self.rawValue = rawValue }

    public static let spend = TransactionKinds(rawValue: 1 << 0)
    public static let swap = TransactionKinds(rawValue: 1 << 1)
    public static let coinjoin = TransactionKinds(rawValue: 1 << 2)
    public static let custody = TransactionKinds(rawValue: 1 << 3)
    public static let escrow = TransactionKinds(rawValue: 1 << 4)
    public static let channel = TransactionKinds(rawValue: 1 << 5)

    /// Each kind that has a name, by its name, in the order of the bits.
    public static let named: [(name: String, kind: TransactionKinds)] = [
        ("spend", .spend), ("swap", .swap), ("coinjoin", .coinjoin), ("custody", .custody), ("escrow", .escrow), ("channel", .channel),
    ]

    /// The names of those that have one.
    public var names: [String] { Self.named.filter { self.contains($0.kind) }.map(\.name) }
}

/// Why an offer or an advertisement cannot be made.
public enum SignerOfferError: Error, Equatable, Sendable, CustomStringConvertible {
    case invalid(String)

    public var description: String {
        switch self {
        case .invalid(let reason): reason
        }
    }
}

/// What a signer says of what it would sign with others, and under which conditions. Nothing here binds anybody: what is signed is
/// decided request by request.
public struct SignerOffer: Hashable, Sendable {
    /// At least one.
    public let kinds: TransactionKinds
    /// Least and most of one transaction, in satoshi, both included.
    public let amounts: ClosedRange<UInt64>
    /// What the signer calls itself: up to 64 bytes, all of which can be seen; or nothing. Anybody may take any name.
    public let nickname: String
    /// For people: up to 1,000 bytes that can be seen.
    public let details: String
    public let fee: Fee
    /// How soon the signer means to answer, in seconds; 0 where it does not say.
    public let responseSeconds: UInt32
    /// Where its node says that it is. Only hints: whoever is there must prove to be the identity.
    public let addresses: [Multiaddr]

    /// What signing costs: so much, and so much of the amount.
    public struct Fee: Hashable, Sendable {
        /// In satoshi.
        public let flat: UInt64
        /// Millionths of the amount.
        public let partsPerMillion: UInt32

        public init(flat: UInt64 = 0, partsPerMillion: UInt32 = 0) {
            self.flat = flat
            self.partsPerMillion = partsPerMillion
        }

        /// For an amount, in satoshi, rounded up; as much as there is where it would be more than that.
        public func total(for amount: UInt64) -> UInt64 {
            let (high, low) = amount.multipliedFullWidth(by: UInt64(self.partsPerMillion))
            guard high < 1_000_000 else { return .max }
            let (share, rest) = UInt64(1_000_000).dividingFullWidth((high, low))
            let (sum, isTooMuch) = share.addingReportingOverflow(self.flat)
            guard !isTooMuch else { return .max }
            return rest == 0 || sum == .max ? sum : sum + 1
        }
    }

    /// Bytes of a nickname and of details, in UTF-8. Source: Chorale's own bounds; that of a contact's label, and a paragraph.
    public static let nicknameByteCountMax = 64
    public static let detailsByteCountMax = 1_000

    /// - Parameter addresses: the first ones are kept, as many as travel.
    public init(
        kinds: TransactionKinds, amounts: ClosedRange<UInt64> = 0...UInt64.max, nickname: String = "", details: String = "",
        fee: Fee = Fee(), responseSeconds: UInt32 = 0, addresses: [Multiaddr] = []
    ) throws(SignerOfferError) {
        guard !kinds.isEmpty else { throw .invalid("an offer names a kind of transaction at least") }
        guard nickname.isEmpty || Self.canBeSeen(nickname, byteCountMax: Self.nicknameByteCountMax) else {
            throw .invalid("a nickname has up to \(Self.nicknameByteCountMax) bytes, all of which can be seen")
        }
        guard details.isEmpty || Self.canBeSeen(details, byteCountMax: Self.detailsByteCountMax) else {
            throw .invalid("details have up to \(Self.detailsByteCountMax) bytes, all of which can be seen")
        }
        self.kinds = kinds
        self.amounts = amounts
        self.nickname = nickname
        self.details = details
        self.fee = fee
        self.responseSeconds = responseSeconds
        self.addresses = GroupAddresses.kept(addresses)
    }

    static func canBeSeen(_ text: String, byteCountMax: Int) -> Bool {
        guard text.utf8.count <= byteCountMax else { return false }
        return text.unicodeScalars.allSatisfy { scalar in
            switch scalar.properties.generalCategory {
            case .control, .format, .lineSeparator, .paragraphSeparator, .surrogate, .unassigned, .privateUse: false
            default: true
            }
        }
    }

    /// The same at other addresses.
    public func at(_ addresses: [Multiaddr]) -> SignerOffer { SignerOffer(copying: self, addresses: GroupAddresses.kept(addresses)) }

    private init(copying other: SignerOffer, addresses: [Multiaddr]) {
        self.kinds = other.kinds
        self.amounts = other.amounts
        self.nickname = other.nickname
        self.details = other.details
        self.fee = other.fee
        self.responseSeconds = other.responseSeconds
        self.addresses = addresses
    }

    // MARK: - Bytes

    /// Kinds 2, least 8, most 8, var nickname, var details, flat fee 8, millionths 4, response 4, addresses.
    func write(to writer: inout ByteWriter) {
        writer.writeUInt16(self.kinds.rawValue)
        writer.writeUInt64(self.amounts.lowerBound)
        writer.writeUInt64(self.amounts.upperBound)
        writer.writeVariableBytes(Array(self.nickname.utf8))
        writer.writeVariableBytes(Array(self.details.utf8))
        writer.writeUInt64(self.fee.flat)
        writer.writeUInt32(self.fee.partsPerMillion)
        writer.writeUInt32(self.responseSeconds)
        GroupAddresses.write(self.addresses, to: &writer)
    }

    init(_ reader: inout ByteReader) throws {
        let kinds = TransactionKinds(rawValue: try reader.readUInt16("kinds"))
        let (least, most) = (try reader.readUInt64("least amount"), try reader.readUInt64("most amount"))
        guard least <= most else { throw SignerOfferError.invalid("its least amount is above its most") }
        let nickname = try Self.text(try reader.readVariableSlice("nickname"), byteCountMax: Self.nicknameByteCountMax)
        let details = try Self.text(try reader.readVariableSlice("details"), byteCountMax: Self.detailsByteCountMax)
        let fee = Fee(flat: try reader.readUInt64("flat fee"), partsPerMillion: try reader.readUInt32("fee in millionths"))
        let responseSeconds = try reader.readUInt32("response time")
        try self.init(
            kinds: kinds, amounts: least...most, nickname: nickname, details: details, fee: fee, responseSeconds: responseSeconds,
            addresses: try GroupAddresses.read(&reader))
    }

    static func text(_ bytes: ArraySlice<UInt8>, byteCountMax: Int) throws -> String {
        guard bytes.count <= byteCountMax, let text = String(validating: bytes, as: UTF8.self) else {
            throw SignerOfferError.invalid("a text that is too long, or none")
        }
        return text
    }
}
