internal import Bitcoin
public import CryptoPrimitives
internal import MuSig2
public import Secp256k1

/// One signer's signed partial signatures, and the nonces of everybody that they rest on: so it shows which nonces of that signer went
/// into which transcript.
///
/// A statement names its transcript by the digest alone. With the nonces beside it, anybody can work the digest out again.
public struct NonceUse: Sendable {
    let plan: SigningPlan
    let attempt: UInt32
    /// Round 1 of each signer, in the set's order.
    let nonces: [Statement]
    /// Round 2 of the signer.
    let statement: Statement
    /// T1.
    public let transcript: Bytes32
    /// The signer's own nonces, one for each signed input.
    let items: [[UInt8]]

    public var signer: PublicKey { self.statement.sender }

    /// - Precondition: the nonces are those of the plan's signers, in their order, and the statement's transcript is the one over them.
    init?(plan: SigningPlan, attempt: UInt32, nonces: [Statement], statement: Statement) {
        guard let transcript = statement.signedTranscript, statement.attempt == attempt,
            let own = nonces.first(where: { $0.sender == statement.sender })?.namedNonces?.items
        else { return nil }
        self.plan = plan
        self.attempt = attempt
        self.nonces = nonces
        self.statement = statement
        self.transcript = transcript
        // What an entry of a pool has beyond that, no transcript covers.
        self.items = Array(own.prefix(plan.inputs.count))
    }

    /// Reads a use out of what somebody else put together: the nonces of the whole set in its order, then the partial signatures.
    ///
    /// - Returns: `nil` unless the transcript comes out of these nonces.
    init?(_ evidence: Evidence) {
        guard let statement = evidence.statements.last, evidence.statements.count == evidence.signers.count + 1,
            case .partialSignatures(let transcript, let partials) = statement.body,
            statement.attempt == evidence.attempt, let plan = try? evidence.plan()
        else { return nil }
        let nonces = Array(evidence.statements.dropLast())
        guard nonces.map(\.sender) == plan.signers, evidence.statements.allSatisfy({ $0.isAbout(plan.requestDigest) }),
            partials.count == plan.inputs.count,
            plan.transcript(attempt: evidence.attempt, of: nonces) == transcript
        else { return nil }
        self.init(plan: plan, attempt: evidence.attempt, nonces: nonces, statement: statement)
    }

    /// As it goes to others, and onto the disk.
    var evidence: Evidence { Evidence(plan: self.plan, attempt: self.attempt, statements: self.nonces + [self.statement]) }

    /// Whether the partial signature at a place among the signed inputs verifies: then who holds the signer's identity alone, without its key
    /// and without another signer's nonces to choose, cannot have made it.
    func isValid(at place: Int) -> Bool {
        guard self.plan.inputs.indices.contains(place), let seat = self.plan.signers.firstIndex(of: self.signer),
            case .partialSignatures(_, let items) = self.statement.body, items.indices.contains(place),
            let partial = try? PartialSignature(parsing: items[place])
        else { return false }
        let nonces = self.nonces.compactMap { statement -> PublicNonce? in
            guard let items = statement.namedNonces?.items, items.indices.contains(place) else { return nil }
            return try? PublicNonce(parsing: items[place])
        }
        let input = self.plan.inputs[place]
        guard nonces.count == self.plan.signers.count,
            let context = try? SigningContext(keys: input.keys, nonces: nonces, message: input.message)
        else { return false }
        return (try? context.isValid(partial, of: seat)) ?? false
    }
}

extension SigningPlan {
    /// T1 over these statements of round 1, in the signers' order; `nil` where one of them holds no nonces for the plan.
    func transcript(attempt: UInt32, of nonces: [Statement]) -> Bytes32? {
        guard nonces.count == self.signers.count else { return nil }
        var sets: [NonceSet] = []
        for statement in nonces {
            guard let set = try? statement.nonceSet(for: self.requestDigest, inputs: self.inputs.count),
                set.nonces.count == self.inputs.count, set.attempt == 0 || set.attempt == attempt
            else { return nil }
            sets.append(set)
        }
        return self.transcript(attempt: attempt, nonceSets: sets)
    }
}

extension Statement {
    /// T1 that its partial signatures rest on, as their signer says.
    var signedTranscript: Bytes32? {
        if case .partialSignatures(let transcript, _) = self.body { transcript } else { nil }
    }
}
