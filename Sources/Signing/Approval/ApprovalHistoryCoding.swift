internal import Bitcoin
internal import CryptoPrimitives

extension ApprovalHistory {
    /// Longest encoding that is read, in bytes.
    public static let byteCountMax = 2 << 20

    private static let formatVersion: UInt8 = 1
    /// Milliseconds: more than any machine sees, and far from what an addition could overflow.
    private static let seenMax: UInt64 = 1 << 52

    /// Version 1; seen milliseconds 8, time 8, unseen seconds 8, seconds set back 8; CompactSize count of approvals, each T0 32, at 8,
    /// CompactSize count of charges, each txid 32, index 4, amount 8; CompactSize count of waiting requests, each T0 32, at 8;
    /// CompactSize count of refusals, each T0 32, at 8, CompactSize count of coins, each txid 32, index 4. Numbers are little endian;
    /// requests that wait or were refused stand in the order of T0.
    public func serialized() -> [UInt8] {
        var writer = ByteWriter()
        writer.writeUInt8(Self.formatVersion)
        for number in [self.seen, self.time, self.unseen, self.setBack] { writer.writeUInt64(number) }
        writer.writeCompactSize(self.approvals.count)
        for approval in self.approvals {
            writer.write(approval.request)
            writer.writeUInt64(approval.at)
            writer.writeCompactSize(approval.charges.count)
            for charge in approval.charges {
                Self.write(charge.coin, to: &writer)
                writer.writeUInt64(charge.amount)
            }
        }
        Self.write(self.waiting, to: &writer) { _, _ in }
        Self.write(self.refused, to: &writer) { mark, writer in
            writer.writeCompactSize(mark.coins.count)
            for coin in mark.coins { Self.write(coin, to: &writer) }
        }
        return writer.bytes
    }

    /// Reads what `serialized()` gives, and nothing else.
    ///
    /// What passes before the first `look` or decision counts as unseen.
    ///
    /// - Throws: `malformed` with what is wrong, `tooLarge`, `unknownFormat`.
    public init(parsing bytes: [UInt8]) throws(StatementError) {
        guard bytes.count <= Self.byteCountMax else { throw .tooLarge(byteCount: bytes.count, limit: Self.byteCountMax) }
        do {
            var reader = ByteReader(bytes)
            guard try reader.readUInt8("format version") == Self.formatVersion else { throw StatementError.unknownFormat }
            self = try Self.read(&reader)
            try reader.finish()
        } catch let error as StatementError { throw error } catch { throw .malformed("approval history: \(error)") }
    }

    private static func read(_ reader: inout ByteReader) throws -> ApprovalHistory {
        let seen = try reader.readUInt64("seen time")
        guard seen <= Self.seenMax else { throw StatementError.malformed("a history of \(seen) ms") }
        let time = try reader.readUInt64("time")
        let unseen = try reader.readUInt64("unseen time")
        let setBack = try reader.readUInt64("time set back")
        var coinCount = 0
        let approvals = try (0..<Self.count(&reader, max: Self.approvalCountMax)).map { _ in
            let (request, at) = try Self.head(&reader, seen)
            let charges = try (0..<Self.coinCount(&reader, sum: &coinCount)).map { _ in
                let coin = try Self.coin(&reader)
                let amount = try reader.readUInt64("amount")
                guard amount <= TransactionOutput.amountMax else { throw StatementError.malformed("a charge of \(amount) sat") }
                return Charge(coin: coin, amount: amount)
            }
            return Approval(request: request, at: at, charges: charges)
        }
        guard Set(approvals.map(\.request)).count == approvals.count else { throw StatementError.malformed("one approval twice") }
        let waiting = try Self.marks(&reader, seen) { _ in [] }
        let refused = try Self.marks(&reader, seen) { reader in
            try (0..<Self.coinCount(&reader, sum: &coinCount)).map { _ in try Self.coin(&reader) }
        }
        return ApprovalHistory(
            seen: seen, time: time, unseen: unseen, setBack: setBack, approvals: approvals, waiting: waiting, refused: refused)
    }

    private static func write(_ coin: OutPoint, to writer: inout ByteWriter) {
        writer.write(coin.txid.hash)
        writer.writeUInt32(coin.index)
    }

    private static func write(_ marks: [Bytes32: Mark], to writer: inout ByteWriter, _ rest: (Mark, inout ByteWriter) -> Void) {
        writer.writeCompactSize(marks.count)
        for (request, mark) in marks.sorted(by: { $0.key.bytes.lexicographicallyPrecedes($1.key.bytes) }) {
            writer.write(request)
            writer.writeUInt64(mark.at)
            rest(mark, &writer)
        }
    }

    private static func marks(
        _ reader: inout ByteReader, _ seen: UInt64, _ coins: (inout ByteReader) throws -> [OutPoint]
    ) throws -> [Bytes32: Mark] {
        var marks: [Bytes32: Mark] = [:]
        var last: [UInt8] = []
        for _ in 0..<(try Self.count(&reader, max: Self.markCountMax)) {
            let (request, at) = try Self.head(&reader, seen)
            guard last.lexicographicallyPrecedes(request.bytes) else { throw StatementError.malformed("requests out of order") }
            last = request.bytes
            marks[request] = Mark(at: at, coins: try coins(&reader))
        }
        return marks
    }

    private static func head(_ reader: inout ByteReader, _ seen: UInt64) throws -> (Bytes32, UInt64) {
        let request = try reader.readBytes32("request")
        let at = try reader.readUInt64("moment")
        guard at <= seen else { throw StatementError.malformed("a moment that was not seen yet") }
        return (request, at)
    }

    private static func coin(_ reader: inout ByteReader) throws -> OutPoint {
        OutPoint(txid: Txid(try reader.readBytes32("txid")), index: try reader.readUInt32("index"))
    }

    private static func count(_ reader: inout ByteReader, max: Int) throws -> Int {
        let count = try reader.readCount("count", minimumByteCount: 40)
        guard count <= max else { throw StatementError.malformed("\(count) requests") }
        return count
    }

    private static func coinCount(_ reader: inout ByteReader, sum: inout Int) throws -> Int {
        let count = try reader.readCount("count of coins", minimumByteCount: 36)
        sum += count
        guard sum <= Self.coinCountMax else { throw StatementError.malformed("too many coins") }
        return count
    }
}
