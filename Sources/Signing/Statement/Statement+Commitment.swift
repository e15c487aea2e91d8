internal import Bitcoin
internal import CryptoPrimitives
internal import Secp256k1

// Commitments to nonces: what a signer says in round 0, where a request has one.

/// What a signer commits to before it shows its nonces: tagged hash `chorale/nonce-commitment` of its key, T0, the name of the nonces and
/// their bytes.
///
/// The key in it makes a copy worthless: whoever signs another's commitment as its own has no nonces that open it, whatever it learns
/// later.
enum NonceCommitment {
    static func digest(of nonces: [[UInt8]], _ name: NonceName, by signer: PublicKey, request: Bytes32) -> Bytes32 {
        var writer = ByteWriter()
        writer.write(signer.bytes)
        writer.write(request)
        name.write(to: &writer)
        writer.writeCompactSize(nonces.count)
        // Each with its length, for what is signed need not be nonces.
        for nonce in nonces { writer.writeVariableBytes(nonce) }
        var hash = Self.tag
        hash.update(writer.bytes)
        return hash.finalize()
    }

    private static let tag = SHA256.tagged("chorale/nonce-commitment")
}

extension Statement {
    /// Round 0 as it was signed.
    var commitment: (name: NonceName, digest: Bytes32)? {
        if case .commitment(_, let name, let digest) = self.body { (name, digest) } else { nil }
    }

    /// What somebody who agrees offers, in a request with or without commitments: each has its own form, and the other is none.
    func offer(withCommitments usesCommitments: Bool) -> (serial: UInt32, name: NonceName)? {
        switch self.body {
        case .approval(let serial, let name, _): usesCommitments ? nil : (serial, name)
        case .commitment(let serial, let name, _): usesCommitments ? (serial, name) : nil
        case .presence, .set, .nonces, .partialSignatures, .proposal, .refusal, .cancellation, .begin, .pooledNonces: nil
        }
    }

    /// The name of the nonces that are offered or committed to.
    var offeredName: NonceName? { self.commitment?.name ?? self.namedNonces?.name }

    /// Whether these nonces are what a commitment of the same signer under the same name was made for.
    func opens(_ commitment: Statement) -> Bool {
        guard let (name, nonces) = self.namedNonces, let (committedName, digest) = commitment.commitment else { return false }
        return name == committedName && self.sender == commitment.sender && self.request == commitment.request
            && digest == NonceCommitment.digest(of: nonces, name, by: self.sender, request: self.request)
    }
}

extension Evidence {
    /// Two commitments under one name, or other nonces under it than were committed to. Both belong to no attempt, as approvals do.
    static func brokenCommitment(in statements: [Statement]) -> Verdict? {
        struct Key: Hashable {
            let signer: PublicKey
            let name: NonceName
        }
        var committed: [Key: Statement] = [:]
        for statement in statements where statement.attempt == 0 {
            guard let (name, digest) = statement.commitment else { continue }
            let key = Key(signer: statement.sender, name: name)
            if let other = committed[key]?.commitment?.digest, other != digest {
                return .proved(signer: statement.sender, .conflictingCommitments(name))
            }
            committed[key] = statement
        }
        for statement in statements where statement.attempt == 0 && statement.isApproval {
            guard let name = statement.namedNonces?.name, let other = committed[Key(signer: statement.sender, name: name)] else { continue }
            if !statement.opens(other) { return .proved(signer: statement.sender, .wrongOpening(name)) }
        }
        return nil
    }
}
