import CBaseline
import CryptoPrimitives
import MuSig2
import Secp256k1

/// Every operation of MuSig2 and what it stands on, one by one.
struct OperationBenchmarks {
    let group: Group
    let stopwatch: Stopwatch
    let report: (Row) -> Void

    /// What costs the same whatever the number of signers.
    func runSingle() throws {
        let (group, c) = (self.group, self.group.c)
        let keyBytes = group.keys.publicKeys.map(\.bytes)
        let nonceBytes = group.nonces.map(\.bytes)
        let partialBytes = group.partials.map(\.bytes.bytes)
        let aggregateBytes = group.context.aggregateNonce.bytes
        let (aggregateKey, key) = (group.keys.xOnlyKey, group.own)
        let n = group.count

        try self.compare("public key: parse", c: { baseline_public_key_parse(c, $0) }) { count in
            for i in 0..<count { consume(try PublicKey(parsing: keyBytes[i % n])) }
        }
        try self.compare("public key: serialise", c: { baseline_public_key_serialize(c, $0) }) { count in
            for i in 0..<count { consume(group.keys.publicKeys[i % n].bytes) }
        }
        try self.compare("tweak, plain", c: { baseline_plain_tweak(c, $0) }) { count in
            for _ in 0..<count { consume(try group.keys.tweaked(by: .plain(group.message))) }
        }
        try self.compare("tweak, x-only", c: { baseline_x_only_tweak(c, $0) }) { count in
            for _ in 0..<count { consume(try group.keys.tweaked(by: .xOnly(group.message))) }
        }
        try self.compare("tweak for Taproot", c: { baseline_taproot_tweak(c, $0) }) { count in
            for _ in 0..<count { consume(try group.keys.tweakedForTaproot(merkleRoot: nil)) }
        }
        try self.compare("public nonce: parse", c: { baseline_public_nonce_parse(c, $0) }) { count in
            for i in 0..<count { consume(try PublicNonce(parsing: nonceBytes[i % n])) }
        }
        try self.compare("public nonce: serialise", c: { baseline_public_nonce_serialize(c, $0) }) { count in
            for i in 0..<count { consume(group.nonces[i % n].bytes) }
        }
        try self.compare("aggregate nonce: parse", c: { baseline_aggregate_nonce_parse(c, $0) }) { count in
            for _ in 0..<count { consume(try AggregateNonce(parsing: aggregateBytes)) }
        }
        try self.compare("aggregate nonce: serialise", c: { baseline_aggregate_nonce_serialize(c, $0) }) { count in
            for _ in 0..<count { consume(group.context.aggregateNonce.bytes) }
        }
        try self.compare("partial signature: parse", c: { baseline_partial_parse(c, $0) }) { count in
            for i in 0..<count { consume(try PartialSignature(parsing: partialBytes[i % n])) }
        }
        try self.compare("partial signature: serialise", c: { baseline_partial_serialize(c, $0) }) { count in
            for i in 0..<count { consume(group.partials[i % n].bytes) }
        }
        try self.compare("Schnorr: verify", c: { baseline_schnorr_verify(c, $0) }) { count in
            for _ in 0..<count { require(group.signature.isValid(for: group.message, by: aggregateKey)) }
        }
        try self.compare("Schnorr: sign and verify", c: { baseline_schnorr_sign(c, $0) }) { count in
            for _ in 0..<count { consume(try key.key.sign(group.message)) }
        }
    }

    /// What grows with the number of signers, or could.
    func runForGroup() throws {
        let (group, c) = (self.group, self.group.c)
        let (signer, n) = (group.own, group.count)

        try self.compare("key aggregation", signers: n, c: { baseline_key_aggregation(c, $0) }) { count in
            for _ in 0..<count { consume(try KeyAggregation(group.keys.publicKeys)) }
        }
        try self.compare("nonce generation", signers: n, c: { baseline_nonce_generation(c, $0) }) { count in
            for _ in 0..<count {
                consume(
                    try SecretNonce(for: signer.key, keys: group.keys, message: group.message, extraInput: group.message).publicNonce)
            }
        }
        try self.compare("nonce aggregation", signers: n, c: { baseline_nonce_aggregation(c, $0) }) { count in
            for _ in 0..<count { consume(try AggregateNonce(group.nonces)) }
        }
        try self.compare("context, of the aggregate nonce", signers: n, c: { baseline_context_of_aggregate(c, $0) }) { count in
            for _ in 0..<count {
                consume(try SigningContext(keys: group.keys, aggregateNonce: group.context.aggregateNonce, message: group.message))
            }
        }
        try self.compare("context, of all nonces", signers: n, c: { baseline_context(c, $0) }) { count in
            for _ in 0..<count { consume(try SigningContext(keys: group.keys, nonces: group.nonces, message: group.message)) }
        }
        try self.compareSigning()
        try self.compare("partial signature: verify", signers: n, c: { baseline_partial_verify(c, $0) }) { count in
            for i in 0..<count { require(try group.context.isValid(group.partials[i % n], of: i % n)) }
        }
        try self.compare("aggregate the partial signatures", signers: n, c: { baseline_aggregate(c, $0) }) { count in
            for _ in 0..<count { consume(try group.context.aggregate(group.partials)) }
        }
    }

    /// A nonce signs once, so each signature has its own, and the context that holds it; both are made off the clock. On both
    /// sides: with one context for all, the processor would learn its scalars by heart, which is worth three percent.
    private func compareSigning() throws {
        let (group, c) = (self.group, self.group.c)
        let signer = group.own
        let pile = NoncePile()
        var contexts: [SigningContext] = []
        let swift = Side(
            prepare: { count in
                contexts = []
                for _ in 0..<count {
                    let nonce = try SecretNonce(for: signer.key, keys: group.keys, message: group.message, extraInput: group.message)
                    var nonces = group.nonces
                    nonces[nonces.count - 1] = nonce.publicNonce
                    contexts.append(try SigningContext(keys: group.keys, nonces: nonces, message: group.message))
                    pile.add(nonce)
                }
            },
            { count in
                for i in 0..<count { consume(try pile.takeFirst().sign(with: signer.key, in: contexts[i])) }
            })
        let (ours, theirs) = try self.stopwatch.compare(
            swift: swift,
            c: Side.c(preparing: { baseline_sign_prepare(c, $0) }, { baseline_sign(c, $0) }), iterationsMax: 32)
        self.report(
            Row(section: "Operations", name: "sign, and verify one's own", signers: group.count, swift: ours, c: theirs))
    }

    private func compare(
        _ name: String, signers: Int? = nil, c: @escaping (Int) -> Int32, swift: @escaping (Int) throws -> Void
    ) throws {
        let (ours, theirs) = try self.stopwatch.compare(swift: Side(swift), c: Side.c(c))
        self.report(Row(section: "Operations", name: name, signers: signers, swift: ours, c: theirs))
    }
}
