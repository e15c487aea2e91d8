import CBaseline
import CryptoPrimitives
import MuSig2
import Secp256k1

/// A group of n signers after both rounds, in Swift's types and in the C side's, with the same public data.
final class Group {
    final class Signer {
        let key: SecretKey
        init() throws { self.key = try SecretKey.generate() }
    }

    let signers: [Signer]
    let keys: KeyAggregation
    let message: Bytes32
    let nonces: [PublicNonce]
    let context: SigningContext
    let partials: [PartialSignature]
    let signature: SchnorrSignature
    /// The C side's group.
    let c: OpaquePointer

    var count: Int { self.signers.count }
    /// The signer whose work is measured: the last, whom a search through the group finds last.
    var own: Signer { self.signers[self.count - 1] }

    init(count: Int) throws {
        self.signers = try (0..<count).map { _ in try Signer() }
        self.keys = try KeyAggregation(self.signers.map { $0.key.publicKey })
        self.message = SHA256.hash(Array("benchmarks".utf8))
        let secrets = NoncePile()
        var nonces: [PublicNonce] = []
        for signer in self.signers {
            let nonce = try SecretNonce(for: signer.key, keys: self.keys, message: self.message, extraInput: self.message)
            nonces.append(nonce.publicNonce)
            secrets.add(nonce)
        }
        let context = try SigningContext(keys: self.keys, nonces: nonces, message: self.message)
        var partials: [PartialSignature] = []
        for signer in self.signers { partials.append(try secrets.takeFirst().sign(with: signer.key, in: context)) }
        self.nonces = nonces
        self.context = context
        self.partials = partials
        self.signature = try context.finish(partials)
        let secret = try self.signers[count - 1].key.encoded()
        let group = secret.withUnsafeBytes { [keys, message] secret in
            baseline_group_create(
                count, keys.publicKeys.flatMap(\.bytes), nonces.flatMap(\.bytes), partials.flatMap(\.bytes.bytes), message.bytes,
                secret.baseAddress?.assumingMemoryBound(to: UInt8.self))
        }
        guard let group else { preconditionFailure("the C side does not accept what Swift made") }
        self.c = group
    }

    deinit { baseline_group_destroy(self.c) }
}

/// Secret nonces, first in, first out: the standard library's collections do not hold what cannot be copied.
final class NoncePile {
    private var storage = UnsafeMutablePointer<SecretNonce>.allocate(capacity: NoncePile.capacity)
    private var (first, end) = (0, 0)

    static let capacity = 4_096

    func add(_ nonce: consuming SecretNonce) {
        precondition(self.end < Self.capacity, "the pile is full")
        (self.storage + self.end).initialize(to: nonce)
        self.end += 1
    }

    func takeFirst() -> SecretNonce {
        precondition(self.first < self.end, "the pile is empty")
        defer {
            self.first += 1
            if self.first == self.end { (self.first, self.end) = (0, 0) }
        }
        return (self.storage + self.first).move()
    }

    deinit {
        (self.storage + self.first).deinitialize(count: self.end - self.first)
        self.storage.deallocate()
    }
}
