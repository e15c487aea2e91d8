public import CryptoPrimitives
public import LibP2P
public import Secp256k1
public import Signing

/// What an owner of a node can observe.
public enum SigningNodeEvent: Sendable {
    /// A request came that its signer has to decide on.
    case requested(Bytes32)
    case request(Bytes32, CoordinationEvent)
    case decided(Bytes32, StoredRequest.Decision)
    /// Something of a request could not be made durable.
    case notStored(Bytes32, reason: String)
    case refused(PeerID, SigningRefusal)
    case blocked(PeerID)
    case connected(PublicKey)
    case disconnected(PublicKey)
    /// The machine's clocks went apart: secret nonces were wiped, and requests go on with others.
    case clocksJumped
    /// So many events came between the cursor that was asked for and the oldest one that is kept.
    case missed(count: UInt64)
}

/// The newest events of a node, numbered: who reads them may leave and go on where it was.
struct EventLog {
    typealias Entry = (cursor: UInt64, event: SigningNodeEvent)

    /// Events that are kept for who comes later.
    static let countMax = 4_096

    private var entries: [Entry] = []
    private var start = 0
    /// The last one's number; 0 before the first.
    private(set) var cursor: UInt64 = 0
    private var readers: [UInt64: AsyncStream<Entry>.Continuation] = [:]
    private var nextReader: UInt64 = 0

    mutating func append(_ event: SigningNodeEvent) {
        self.cursor += 1
        let entry = (cursor: self.cursor, event: event)
        self.entries.append(entry)
        if self.entries.count - self.start > Self.countMax { self.start += 1 }
        if self.start >= Self.countMax {
            self.entries.removeFirst(self.start)
            self.start = 0
        }
        for reader in self.readers.values { reader.yield(entry) }
    }

    /// What came after the cursor, and what is to come. Whoever reads too slowly misses the oldest.
    mutating func read(after cursor: UInt64, onEnd: @escaping @Sendable (UInt64) -> Void) -> AsyncStream<Entry> {
        let (stream, continuation) = AsyncStream.makeStream(of: Entry.self, bufferingPolicy: .bufferingNewest(Self.countMax))
        let kept = self.entries[self.start...]
        if let oldest = kept.first?.cursor, oldest > 1, oldest - 1 > cursor {
            continuation.yield((oldest - 1, .missed(count: oldest - 1 - cursor)))
        }
        for entry in kept where entry.cursor > cursor { continuation.yield(entry) }
        let number = self.nextReader
        self.nextReader += 1
        self.readers[number] = continuation
        continuation.onTermination = { _ in onEnd(number) }
        return stream
    }

    mutating func forget(_ reader: UInt64) { self.readers[reader] = nil }

    mutating func finish() {
        for reader in self.readers.values { reader.finish() }
        self.readers = [:]
    }
}
