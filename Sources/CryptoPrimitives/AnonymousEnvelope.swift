internal import CSodium

/// Why an envelope does not open, or cannot be sealed.
public enum AnonymousEnvelopeError: Error, Equatable, Sendable, CustomStringConvertible {
    /// Fewer bytes than an empty content takes.
    case wrongByteCount(Int)
    /// None of its slots is for this identity, or it was altered since. Which one cannot be known.
    case forOthersOrDamaged
    /// There was no guarded memory to work with.
    case secretMemory(SecretMemoryError)
    /// Too many readers, none, or one twice.
    case wrongReaders(count: Int)

    public var description: String {
        switch self {
        case .wrongByteCount(let count):
            "an envelope has at least \(AnonymousEnvelope.byteCount(ofContent: 0)) bytes, and here are \(count)"
        case .forOthersOrDamaged: "this envelope is for others, or was altered on its way"
        case .secretMemory(let error): "\(error)"
        case .wrongReaders(let count):
            "an envelope is for 1 to \(AnonymousEnvelope.readerCountMax) different readers, and here are \(count): seal several"
        }
    }
}

/// One content for up to 16 readers, in the open: nobody else learns what it says, who reads it, or how many they are.
///
///     ephemeral X25519 key 32 | 16 slots of 49: view tag 1, content key 32 and tag 16, sealed for one reader | content, sealed | tag 16
///
/// Each reader and the ephemeral key share a secret, from which come a key and a byte (HKDF-SHA256, salted with both public keys): the
/// byte is the view tag, by which a reader passes over 255 of 256 slots of others without trying them; under the key its slot holds the
/// content's own key. Slots without a reader are random, and nobody but a reader can tell them from others; readers stand in slots by
/// chance. Both are sealed with ChaCha20-Poly1305 under keys that serve once, and the content's seal covers everything before it. It
/// takes a reader one Diffie-Hellman, whoever it is for.
///
/// An envelope does not say who sealed it, and proves nothing of its sender: sign what is in it, together with the ephemeral key.
///
/// Source: Chorale's own; the identities' X25519 keys as in ``SealedBox``, the view tag as Monero's.
public enum AnonymousEnvelope {
    public static let readerCountMax = 16
    private static let slotByteCount = 1 + ChaCha20Poly1305.keyByteCount + ChaCha20Poly1305.tagByteCount
    /// Bytes before the sealed content.
    private static let headByteCount = X25519.byteCount + readerCountMax * slotByteCount

    /// Bytes of an envelope around a content of so many.
    public static func byteCount(ofContent count: Int) -> Int { Self.headByteCount + count + ChaCha20Poly1305.tagByteCount }

    // What a slot of the arena holds while one works: the shared secret and then the key of HKDF, the reader's key and view tag behind it,
    // the content's key.
    private static let sharedPlace = 0..<32
    private static let readerPlace = 32..<65
    private static let contentKeyPlace = 65..<97

    private static let info = Array("chorale/anonymous-envelope".utf8)

    /// Seals a content for its readers.
    ///
    /// - Parameters:
    ///   - readers: 1 to 16, each once.
    ///   - head: what goes beside the envelope in the open, and must come with it to open it.
    ///   - ephemeral: fresh, for this envelope alone.
    ///   - fill: overwrites a buffer with fresh random bytes; the content's key is among them.
    /// - Throws: `wrongReaders`, `secretMemory`.
    public static func seal(
        _ content: [UInt8], for readers: [Ed25519.PublicKey], beside head: [UInt8] = [], ephemeral: consuming X25519.SecretKey,
        fill: (UnsafeMutableRawBufferPointer) -> Void
    ) throws(AnonymousEnvelopeError) -> [UInt8] {
        guard (1...Self.readerCountMax).contains(readers.count), Set(readers).count == readers.count else {
            throw .wrongReaders(count: readers.count)
        }
        Sodium.ready
        let ephemeral = ephemeral
        let ownKey = ephemeral.publicKey.bytes.bytes
        var memory: SecretArena.Slot
        do throws(SecretMemoryError) { memory = try SecretArena.shared.take() } catch { throw .secretMemory(error) }
        var envelope = ownKey + [UInt8](repeating: 0, count: Self.byteCount(ofContent: content.count) - ownKey.count)
        envelope.withUnsafeMutableBytes { envelope in
            // Slots that nobody's key is put into stay random.
            fill(UnsafeMutableRawBufferPointer(rebasing: envelope[X25519.byteCount..<Self.headByteCount]))
            memory.withUnsafeMutableBytes { fill(UnsafeMutableRawBufferPointer(rebasing: $0[Self.contentKeyPlace])) }
            for (reader, place) in zip(readers, Self.places(fill)) {
                let start = X25519.byteCount + place * Self.slotByteCount
                let slot = UnsafeMutableRawBufferPointer(rebasing: envelope[start..<start + Self.slotByteCount])
                let readerKey = SealedBox.agreementKey(of: reader)
                memory.withUnsafeMutableBytes { memory in
                    do throws(X25519Error) {
                        try ephemeral.writeSharedSecret(
                            with: readerKey, to: UnsafeMutableRawBufferPointer(rebasing: memory[Self.sharedPlace]))
                    } catch {
                        preconditionFailure("an Ed25519 key is a point of prime order, and so is its other form")
                    }
                    let viewTag = Self.derive(memory, salt: ownKey + readerKey.bytes.bytes)
                    slot[0] = viewTag
                    ChaCha20Poly1305.seal(
                        UnsafeRawBufferPointer(rebasing: memory[Self.contentKeyPlace]), key: Self.readerKey(in: memory),
                        nonce: .init(counter: 0), to: UnsafeMutableRawBufferPointer(rebasing: slot[1...]))
                }
            }
            let sealed = UnsafeMutableRawBufferPointer(rebasing: envelope[Self.headByteCount...])
            let covered = head + Array(envelope[..<Self.headByteCount])
            memory.withUnsafeBytes { memory in
                content.withUnsafeBytes { content in
                    covered.withUnsafeBytes { covered in
                        ChaCha20Poly1305.seal(
                            content, key: UnsafeRawBufferPointer(rebasing: memory[Self.contentKeyPlace]), nonce: .init(counter: 0),
                            authenticating: covered, to: sealed)
                    }
                }
            }
        }
        return envelope
    }

    /// What is in an envelope that has a slot for this identity.
    ///
    /// - Parameter head: as it stood beside the envelope.
    public static func open(
        _ envelope: [UInt8], beside head: [UInt8] = [], with identity: borrowing Ed25519.SecretKey
    ) throws(AnonymousEnvelopeError) -> [UInt8] {
        guard envelope.count >= Self.byteCount(ofContent: 0) else { throw .wrongByteCount(envelope.count) }
        Sodium.ready
        var memory = try Self.takeMemory()
        let own = try Self.agreementKey(of: identity)
        guard let ephemeral = try? X25519.PublicKey(parsing: envelope[..<X25519.byteCount]) else { throw .forOthersOrDamaged }
        var content = [UInt8](repeating: 0, count: envelope.count - Self.byteCount(ofContent: 0))
        let covered = head + envelope[..<Self.headByteCount]
        let isOpen = memory.withUnsafeMutableBytes { memory in
            // A key that gives the same with every secret is nobody's who means it well.
            guard let _ = try? own.writeSharedSecret(with: ephemeral, to: UnsafeMutableRawBufferPointer(rebasing: memory[Self.sharedPlace]))
            else { return false }
            let viewTag = Self.derive(memory, salt: ephemeral.bytes.bytes + own.publicKey.bytes.bytes)
            return envelope.withUnsafeBytes { envelope in
                for place in 0..<Self.readerCountMax {
                    let start = X25519.byteCount + place * Self.slotByteCount
                    guard envelope[start] == viewTag else { continue }
                    let slot = UnsafeRawBufferPointer(rebasing: envelope[(start + 1)..<(start + Self.slotByteCount)])
                    let sealed = UnsafeRawBufferPointer(rebasing: envelope[Self.headByteCount...])
                    if Self.open(slot, sealed, covered, in: memory, to: &content) { return true }
                }
                return false
            }
        }
        guard isOpen else { throw .forOthersOrDamaged }
        return content
    }

    /// Tries one slot, and the content with the key that it gives.
    private static func open(
        _ slot: UnsafeRawBufferPointer, _ sealed: UnsafeRawBufferPointer, _ covered: [UInt8], in memory: UnsafeMutableRawBufferPointer,
        to content: inout [UInt8]
    ) -> Bool {
        let contentKey = UnsafeMutableRawBufferPointer(rebasing: memory[Self.contentKeyPlace])
        guard let _ = try? ChaCha20Poly1305.open(slot, key: Self.readerKey(in: memory), nonce: .init(counter: 0), to: contentKey)
        else { return false }
        let opened: Void? = content.withUnsafeMutableBytes { content in
            covered.withUnsafeBytes { covered in
                try? ChaCha20Poly1305.open(
                    sealed, key: UnsafeRawBufferPointer(contentKey), nonce: .init(counter: 0), authenticating: covered, to: content)
            }
        }
        return opened != nil
    }

    /// Makes the reader's key of the shared secret, where it stands, and gives the view tag.
    private static func derive(_ memory: UnsafeMutableRawBufferPointer, salt: [UInt8]) -> UInt8 {
        let shared = UnsafeMutableRawBufferPointer(rebasing: memory[Self.sharedPlace])
        let target = UnsafeMutableRawBufferPointer(rebasing: memory[Self.readerPlace])
        salt.withUnsafeBytes { HKDFSHA256.extract(salt: $0, inputKeyMaterial: UnsafeRawBufferPointer(shared), to: shared) }
        Self.info.withUnsafeBytes { HKDFSHA256.expand(UnsafeRawBufferPointer(shared), info: $0, to: target) }
        return target[ChaCha20Poly1305.keyByteCount]
    }

    private static func readerKey(in memory: UnsafeMutableRawBufferPointer) -> UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(rebasing: memory[Self.readerPlace.prefix(ChaCha20Poly1305.keyByteCount)])
    }

    /// The slots' numbers in an order that random bytes decide. Modulo a number of at most 16 a byte is even enough: what leaks of
    /// the order says nothing of who is in it.
    private static func places(_ fill: (UnsafeMutableRawBufferPointer) -> Void) -> [Int] {
        var (places, random) = (Array(0..<Self.readerCountMax), [UInt8](repeating: 0, count: Self.readerCountMax))
        random.withUnsafeMutableBytes { fill($0) }
        for place in places.indices.dropFirst() { places.swapAt(place, Int(random[place]) % (place + 1)) }
        return places
    }

    private static func takeMemory() throws(AnonymousEnvelopeError) -> SecretArena.Slot {
        do throws(SecretMemoryError) { return try SecretArena.shared.take() } catch { throw .secretMemory(error) }
    }

    private static func agreementKey(of identity: borrowing Ed25519.SecretKey) throws(AnonymousEnvelopeError) -> X25519.SecretKey {
        do throws(SecretMemoryError) { return try SealedBox.agreementKey(of: identity) } catch { throw .secretMemory(error) }
    }
}
