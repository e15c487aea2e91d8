internal import CryptoPrimitives
internal import LibP2P
internal import Synchronization

/// Keys that follow from a seed, so that a simulation replays to the byte. They are secret to nobody and serve nothing else.
enum SimulatedKeys {
    /// What a key is for: no two uses have one key.
    enum Use: UInt64 {
        case identity, noiseStatic, noiseEphemeral
    }

    /// A generator of its own for each use, host and number.
    static func random(_ use: Use, seed: UInt64, host: Int, number: UInt64) -> SeededRandom {
        var random = SeededRandom(seed: seed)
        for word in [use.rawValue, UInt64(truncatingIfNeeded: host), number] { random = SeededRandom(seed: random.next() ^ word) }
        return random
    }

    static func identity(seed: UInt64, host: Int) throws(SecretMemoryError) -> PeerIdentity {
        var random = Self.random(.identity, seed: seed, host: host, number: 0)
        let bytes = try SecretBytes(count: 32) { Self.fill($0, from: &random) }
        do throws(Ed25519Error) {
            return PeerIdentity(try Ed25519.SecretKey(seed: bytes))
        } catch {
            guard case .secretMemory(let error) = error else { preconditionFailure("any 32 bytes are a seed") }
            throw error
        }
    }

    /// - Parameter start: which start of the host's process it is: each has a key of its own.
    static func staticKey(of identity: PeerIdentity, seed: UInt64, host: Int, start: Int) throws(SecretMemoryError) -> NoiseStaticKey {
        var random = Self.random(.noiseStatic, seed: seed, host: host, number: UInt64(truncatingIfNeeded: start))
        return NoiseStaticKey(try X25519.SecretKey { Self.fill($0, from: &random) }, of: identity)
    }

    fileprivate static func fill(_ bytes: UnsafeMutableRawBufferPointer, from random: inout SeededRandom) {
        for index in bytes.indices { bytes[index] = UInt8(truncatingIfNeeded: random.next() >> 56) }
    }
}

/// One ephemeral key after another, of one start of one host's process.
final class SimulatedEphemeralKeys: Sendable {
    private let random: Mutex<SeededRandom>

    init(seed: UInt64, host: Int, start: Int) {
        self.random = Mutex(SimulatedKeys.random(.noiseEphemeral, seed: seed, host: host, number: UInt64(truncatingIfNeeded: start)))
    }

    func next() throws(SecretMemoryError) -> X25519.SecretKey {
        var random = self.random.withLock { SeededRandom(seed: $0.next()) }
        return try X25519.SecretKey { SimulatedKeys.fill($0, from: &random) }
    }
}
