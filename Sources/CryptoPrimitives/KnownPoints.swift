internal import Synchronization

/// Encodings that were found to be points of a curve's group, the latest in each of so many places.
///
/// To find that out costs as much as to verify a signature, and a node meets the same few keys with every message and every connection.
/// What is kept is public and stays true. A stranger with many keys pushes others out, and costs what all cost without this.
final class KnownPoints: Sendable {
    /// 64 KiB of keys: more peers than most nodes have.
    static let placeCount = 2_048

    static let shared = KnownPoints()

    private let places = Mutex<[Bytes32?]>([])

    /// Whether these 32 bytes are such a point: known, or found now.
    func contains(_ bytes: [UInt8], orElse isPoint: ([UInt8]) -> Bool) -> Bool {
        guard let point = Bytes32(bytes) else { return false }
        // The last bytes of an encoding hold its sign and the highest digits; the first are as good as drawn at random.
        let place = (Int(bytes[0]) | Int(bytes[1]) << 8) % Self.placeCount
        if self.places.withLock({ $0.isEmpty ? nil : $0[place] }) == point { return true }
        guard isPoint(bytes) else { return false }
        self.places.withLock { places in
            if places.isEmpty { places = Array(repeating: nil, count: Self.placeCount) }
            places[place] = point
        }
        return true
    }
}
