internal import CSodium

/// Why a sealed box could not be opened.
public enum SealedBoxError: Error, Equatable, Sendable, CustomStringConvertible {
    /// Fewer bytes than an empty message takes.
    case wrongByteCount(Int)
    /// It was sealed for another identity, or altered since. Which one cannot be known.
    case forAnotherOrDamaged
    /// There was no guarded memory to work with.
    case secretMemory(SecretMemoryError)

    public var description: String {
        switch self {
        case .wrongByteCount(let count): "a sealed box has at least \(SealedBox.overheadByteCount) bytes, and here are \(count)"
        case .forAnotherOrDamaged: "this box was sealed for another identity, or altered on its way"
        case .secretMemory(let error): "\(error)"
        }
    }
}

/// Boxes that anybody can seal and only the owner of an identity can open: libsodium's sealed boxes (`crypto_box_seal`).
///
///     ephemeral X25519 key 32 | tag 16 | ciphertext, as long as the message
///
/// XSalsa20-Poly1305 under what the ephemeral key and the recipient share; the nonce is BLAKE2b-192 of the two public keys. The recipient's
/// X25519 key is its Ed25519 key on the other form of the same curve (RFC 7748, section 4.1). A box does not say who sealed it, nor for
/// whom, and proves nothing of its sender.
public enum SealedBox {
    /// How much longer a box is than what is in it, in bytes: an X25519 key and a Poly1305 tag.
    public static let overheadByteCount = X25519.byteCount + Int(crypto_secretbox_MACBYTES)

    /// Seals under a fresh ephemeral key.
    public static func seal(_ message: [UInt8], to recipient: Ed25519.PublicKey) throws(SecretMemoryError) -> [UInt8] {
        try self.seal(message, to: recipient, ephemeral: .generate())
    }

    /// Seals under an ephemeral key that the caller has drawn, so that a network under virtual time repeats itself byte for byte.
    ///
    /// - Parameter ephemeral: Fresh. Two boxes for one recipient under one key would have one nonce, so this consumes it.
    public static func seal(
        _ message: [UInt8], to recipient: Ed25519.PublicKey, ephemeral: consuming X25519.SecretKey
    ) throws(SecretMemoryError) -> [UInt8] {
        Sodium.ready
        let recipient = Self.agreementKey(of: recipient)
        let ephemeral = ephemeral
        var slot = try SecretArena.shared.take()
        let publicKeys = ephemeral.publicKey.bytes.bytes + recipient.bytes.bytes
        var nonce = [UInt8](repeating: 0, count: Int(crypto_secretbox_NONCEBYTES))
        _ = crypto_generichash(&nonce, nonce.count, publicKeys, UInt64(publicKeys.count), nil, 0)
        var ciphertext = [UInt8](repeating: 0, count: Int(crypto_secretbox_MACBYTES) + message.count)
        slot.withUnsafeMutableBytes { slot in
            // What both share, then the key that HSalsa20 makes of it (crypto_box_beforenm).
            let shared = UnsafeMutableRawBufferPointer(rebasing: slot[..<32])
            let key = UnsafeMutableRawBufferPointer(rebasing: slot[32..<64])
            do throws(X25519Error) {
                try ephemeral.writeSharedSecret(with: recipient, to: shared)
            } catch {
                preconditionFailure("an Ed25519 key is a point of prime order, and so is its other form")
            }
            _ = crypto_core_hsalsa20(key.start, [UInt8](repeating: 0, count: 16), shared.start, nil)
            _ = crypto_secretbox_easy(&ciphertext, message, UInt64(message.count), nonce, key.start)
        }
        return publicKeys.prefix(X25519.byteCount) + ciphertext
    }

    /// What is in a box for this identity.
    public static func open(_ box: [UInt8], with identity: borrowing Ed25519.SecretKey) throws(SealedBoxError) -> [UInt8] {
        Sodium.ready
        guard box.count >= Self.overheadByteCount else { throw .wrongByteCount(box.count) }
        let publicKey = identity.publicKey
        let recipient = Self.agreementKey(of: publicKey)
        var slot = try Self.takeSlot()
        var message = [UInt8](repeating: 0, count: box.count - Self.overheadByteCount)
        let status = slot.withUnsafeMutableBytes { slot in
            // libsodium's form of the identity, the seed and the public key, and before it the secret that is made of it.
            let secret = UnsafeMutableRawBufferPointer(rebasing: slot[..<32])
            let whole = UnsafeMutableRawBufferPointer(rebasing: slot[32..<96])
            identity.withUnsafeSeed { whole.copyMemory(from: $0) }
            UnsafeMutableRawBufferPointer(rebasing: whole[32...]).copyBytes(from: publicKey.bytes)
            guard crypto_sign_ed25519_sk_to_curve25519(secret.start, whole.start) == 0 else { return Int32(-1) }
            return recipient.bytes.withUnsafeBytes { recipient in
                crypto_box_seal_open(&message, box, UInt64(box.count), recipient.start, secret.start)
            }
        }
        guard status == 0 else { throw .forAnotherOrDamaged }
        return message
    }

    private static func takeSlot() throws(SealedBoxError) -> SecretArena.Slot {
        do throws(SecretMemoryError) { return try SecretArena.shared.take() } catch { throw .secretMemory(error) }
    }

    /// The other form of an identity's secret key.
    static func agreementKey(of identity: borrowing Ed25519.SecretKey) throws(SecretMemoryError) -> X25519.SecretKey {
        Sodium.ready
        let publicKey = identity.publicKey
        var slot = try SecretArena.shared.take()
        slot.withUnsafeMutableBytes { slot in
            identity.withUnsafeSeed { slot.copyMemory(from: $0) }
            UnsafeMutableRawBufferPointer(rebasing: slot[32...]).copyBytes(from: publicKey.bytes)
        }
        return try X25519.SecretKey { target in
            let status = slot.withUnsafeBytes { crypto_sign_ed25519_sk_to_curve25519(target.start, $0.start) }
            precondition(status == 0, "a seed always gives a key")
        }
    }

    static func agreementKey(of identity: Ed25519.PublicKey) -> X25519.PublicKey {
        X25519.PublicKey(
            Bytes32 { target in
                let status = crypto_sign_ed25519_pk_to_curve25519(target.start, identity.bytes)
                precondition(status == 0, "an Ed25519 key was checked when it was parsed")
            })
    }
}
