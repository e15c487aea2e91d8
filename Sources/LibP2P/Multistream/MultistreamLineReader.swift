/// Cuts lines out of bytes that come in pieces of any size, and never takes a byte beyond a line's newline.
struct MultistreamLineReader: Equatable, Sendable {
    /// What has come of a line that is not whole yet: at most two length bytes and one line.
    private var pending: [UInt8] = []

    /// Takes bytes from `offset` on until a line is whole; `nil` when all are taken and it is not.
    mutating func nextLine(of bytes: RawSpan, from offset: inout Int) throws(MultistreamError) -> String? {
        while offset < bytes.byteCount {
            guard let length = try self.lineLength() else {
                self.pending.append(bytes.unsafeLoad(fromByteOffset: offset, as: UInt8.self))
                offset += 1
                continue
            }
            let missing = length.prefixByteCount + length.byteCount - self.pending.count
            let taken = min(missing, bytes.byteCount - offset)
            bytes.extracting(offset..<offset + taken).withUnsafeBytes { self.pending.append(contentsOf: $0) }
            offset += taken
            if taken == missing { return try self.finishLine(of: length) }
        }
        // A length of zero needs no further byte to be wrong.
        _ = try self.lineLength()
        return nil
    }

    private struct Length {
        var prefixByteCount: Int
        var byteCount: Int
    }

    /// The length that stands at the start; `nil` while its bytes are not all there.
    private func lineLength() throws(MultistreamError) -> Length? {
        var rest = self.pending[...]
        let value: UInt64
        do throws(VarintError) {
            value = try Varint.read(from: &rest)
        } catch {
            switch error {
            case .notMinimal: throw .lengthNotMinimal
            case .tooLong: throw .lineTooLong
            case .truncated:
                // Two bytes hold 14 bits, more than the longest line: what goes on after them is too long, unread.
                guard self.pending.count < 2 else { throw .lineTooLong }
                return nil
            }
        }
        guard value <= UInt64(Multistream.lineByteCountMax) else { throw .lineTooLong }
        guard value > 0 else { throw .newlineMissing }
        return Length(prefixByteCount: self.pending.count - rest.count, byteCount: Int(value))
    }

    private mutating func finishLine(of length: Length) throws(MultistreamError) -> String {
        let text = self.pending.dropFirst(length.prefixByteCount).dropLast()
        guard self.pending.last == UInt8(ascii: "\n") else { throw .newlineMissing }
        guard let line = String(validating: text, as: UTF8.self) else { throw .notText }
        self.pending = []
        return line
    }
}
