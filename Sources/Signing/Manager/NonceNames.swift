internal import CryptoPrimitives
internal import Synchronization

/// The names of one manager's nonces: each is given once, to whichever session asks.
final class NonceNames: Sendable {
    private let latest: Mutex<NonceName>
    private let random: @Sendable (Int) -> [UInt8]

    init(random: @escaping @Sendable (Int) -> [UInt8]) {
        self.random = random
        self.latest = Mutex(Self.beforeFirst(random))
    }

    /// A name never given before; after 2^32 − 1 of them, of a new incarnation.
    func next() -> NonceName {
        self.latest.withLock { latest in
            if latest.counter == .max { latest = Self.beforeFirst(self.random) }
            latest = NonceName(known: latest.incarnation, counter: latest.counter + 1)
            return latest
        }
    }

    /// Draws a new incarnation and counts from 1 again.
    func beginIncarnation() { self.latest.withLock { $0 = Self.beforeFirst(self.random) } }

    /// What comes before a new incarnation's first name. No nonces have it.
    private static func beforeFirst(_ random: (Int) -> [UInt8]) -> NonceName {
        // A caller's source that gives another count of bytes is replaced: a name must be new, and nothing more.
        NonceName(known: (Incarnation(random(Incarnation.byteCount)) ?? .random()).bytes, counter: 0)
    }
}
