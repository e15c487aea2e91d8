internal import CryptoPrimitives
internal import MuSig2
internal import Secp256k1
internal import Signing

// How one cheats where nonces are committed to: what is said there and nowhere else.

extension CheatingSpeaker {
    /// What it sends in place of a message; `nil` where it cheats as in any request.
    ///
    /// - Parameters:
    ///   - receiver: the receiver's place.
    ///   - with: the message with another content, and another number.
    mutating func saidWithCommitments(
        _ content: CoordinationMessage.Content, _ message: [UInt8], to receiver: Int, key: borrowing SecretKey,
        identity: borrowing Ed25519.SecretKey, with: (CoordinationMessage.Content, UInt64?) -> [UInt8]
    ) -> [[UInt8]]? {
        switch (self.cheat, content) {
        case (.opensOther, .opening(let attempt, let statement)):
            guard case .approval(let serial, let name, let items) = statement.body, let other = try? Self.nonces(items.count, of: key)
            else { return [message] }
            return [with(.opening(attempt: attempt, self.say(.approval(serial: serial, name, other), like: statement, identity)), nil)]
        // As a coordinator that has seen the others' nonces.
        case (.opensOther, .begin(let begin, let approvals)):
            return [with(.begin(begin, approvals: approvals.map { self.other($0, key: key, identity: identity) }), nil)]
        case (.malformedNonces, .opening(let attempt, let statement)):
            guard case .approval(let serial, let name, let items) = statement.body else { return [message] }
            let none = items.map { _ in [UInt8](repeating: 0xff, count: 66) }
            return [with(.opening(attempt: attempt, self.say(.approval(serial: serial, name, none), like: statement, identity)), nil)]
        case (.conflictingNonces, .approval(let turn, let highest, let statement)):
            guard case .commitment(let serial, let name, let digest) = statement.body else { return [message] }
            let second = self.say(.commitment(serial: serial, name, SHA256.hash(digest.bytes)), like: statement, identity)
            return [message, with(.approval(turn: turn, highest: highest, second), 0)]
        // To some it shows a commitment less, or another one of its own.
        case (.conflictingBegins, .commitments(let attempt, let statements)):
            guard receiver % 2 == 1 else { return [with(.commitments(attempt: attempt, Array(statements.dropLast())), nil), message] }
            let changed = statements.map { statement in
                guard statement.sender == self.enrolment.signer, case .commitment(let serial, let name, let digest) = statement.body else {
                    return statement
                }
                return self.say(.commitment(serial: serial, name, SHA256.hash(digest.bytes)), like: statement, identity)
            }
            return [with(.commitments(attempt: attempt, changed), nil)]
        case (.begins, .commitments(let attempt, let statements)):
            let ahead = attempt + UInt32(self.policy.members.count) * 40
            return [message, with(.commitments(attempt: ahead, statements), 0)]
        case (.withholds, .opening): return receiver % 2 == 1 ? [] : [message]
        case (.leaves, .partialSignatures(let statement)):
            guard let serial else { return [message] }
            self.inventedCount += 1
            let name = NonceName(known: self.incarnation, counter: 1_000_000 + self.inventedCount)
            let commitment = Statement(
                .commitment(serial: serial, name, SHA256.hash(name.incarnation)), request: statement.request, attempt: 0,
                enrolment: self.enrolment, identity: identity)
            return [with(.approval(turn: statement.attempt, highest: 0, commitment), nil)]
        case (.frames, .commitments(_, let statements)):
            guard let first = statements.first else { return [message] }
            return [message, with(.evidence(self.slander(first, statements).serialized()), 0)]
        case (.frames, .opening(_, let statement)):
            return [message, with(.evidence(self.slander(statement, [statement]).serialized()), 0)]
        default: return nil
        }
    }

    /// Its own nonces in a begin, changed; the others' as they are.
    private func other(_ approval: Statement, key: borrowing SecretKey, identity: borrowing Ed25519.SecretKey) -> Statement {
        guard approval.sender == self.enrolment.signer, case .approval(let serial, let name, let items) = approval.body,
            let nonces = try? Self.nonces(items.count, of: key)
        else { return approval }
        return self.say(.approval(serial: serial, name, nonces), like: approval, identity)
    }
}
