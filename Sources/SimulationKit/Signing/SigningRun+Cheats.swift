internal import Bitcoin
internal import CryptoPrimitives
internal import LibP2P
internal import MuSig2
internal import Secp256k1
internal import Signing

// What members send that cheat: their machine's messages, changed, and signed anew with their own identity.

extension SigningRun {
    /// What a member sends in place of a message.
    mutating func said(_ message: [UInt8], by host: SigningHost, to receiver: SigningHost) -> [[UInt8]] {
        guard let cheat = host.cheat else { return [message] }
        guard let head = try? CoordinationMessage.Head(parsing: message), let content = try? head.content(self.roster) else {
            return [message]
        }
        func with(_ content: CoordinationMessage.Content, sequence: UInt64? = nil) -> [UInt8] {
            CoordinationMessage(
                request: head.request, series: head.series, sequence: sequence ?? head.sequence, acknowledged: head.acknowledged,
                content: content
            ).serialized(self.roster)
        }
        func say(_ body: Statement.Body, like statement: Statement) -> Statement {
            Statement(body, request: statement.request, attempt: statement.attempt, enrolment: host.enrolment, identity: host.identity)
        }
        let isOdd = receiver.place % 2 == 1
        switch (cheat, content) {
        case (.silent, _): return self.now > .seconds(1) ? [] : [message]
        case (.withholds, .partialSignatures), (.withholds, .complete): return []
        case (.wrongPartialSignatures, .partialSignatures(let statement)):
            guard case .partialSignatures(let transcript, let items) = statement.body else { return [message] }
            // The number one: less than the order, and nobody's partial signature.
            let one = [UInt8](repeating: 0, count: 31) + [1]
            return [with(.partialSignatures(say(.partialSignatures(transcript: transcript, items.map { _ in one }), like: statement)))]
        case (.malformedPartialSignatures, .partialSignatures(let statement)):
            guard case .partialSignatures(let transcript, let items) = statement.body else { return [message] }
            let none = [UInt8](repeating: 0xff, count: 32)
            return [with(.partialSignatures(say(.partialSignatures(transcript: transcript, items.map { _ in none }), like: statement)))]
        case (.malformedNonces, .approval(let turn, let highest, let statement)):
            guard case .approval(let serial, let name, let items) = statement.body else { return [message] }
            let none = [UInt8](repeating: 0xff, count: 66)
            return [
                with(
                    .approval(turn: turn, highest: highest, say(.approval(serial: serial, name, items.map { _ in none }), like: statement)))
            ]
        case (.conflictingNonces, .approval(let turn, let highest, let statement)):
            guard case .approval(let serial, let name, let items) = statement.body, let other = try? self.nonces(items.count, of: host)
            else {
                return [message]
            }
            let second = say(.approval(serial: serial, name, other), like: statement)
            return [message, with(.approval(turn: turn, highest: highest, second), sequence: 0)]
        case (.conflictingBegins, .begin(let statement, let approvals)):
            guard case .begin(let incarnation, _) = statement.body else { return [message] }
            let other = say(.begin(incarnation: incarnation, transcript: SHA256.hash(Array("\(receiver.place)".utf8))), like: statement)
            return [message, with(.begin(other, approvals: approvals), sequence: 0)]
        case (.begins, .begin(let statement, let approvals)):
            let ahead = Statement(
                statement.body, request: statement.request, attempt: statement.attempt + UInt32(self.hosts.count) * 40,
                enrolment: host.enrolment,
                identity: host.identity)
            return [message, with(.begin(ahead, approvals: approvals), sequence: 0)]
        case (.turns, .standing(var standing)):
            // The farthest that is believed of one, or beyond.
            standing.turn = isOdd ? 256 * UInt32(self.hosts.count) : 900_000
            standing.highest = 900_000
            return [with(.standing(standing))]
        case (.turns, .approval(let turn, _, let statement)):
            return [with(.approval(turn: isOdd ? turn : turn + UInt32(self.hosts.count) * 200, highest: 900_000, statement))]
        case (.climbs, .approval(let turn, let highest, let statement)):
            let size = UInt32(self.hosts.count)
            let claim = max(turn, highest) + size * [2, 7, 8, 63][Int.random(in: 0..<4, using: &self.random)]
            return [with(.approval(turn: turn, highest: claim, statement))]
        case (.climbs, .partialSignatures): return []
        case (.leaves, .partialSignatures(let statement)):
            guard case .partialSignatures(_, let items) = statement.body, let decision = host.decision,
                let set = try? self.nonces(items.count, of: host)
            else { return [message] }
            self.inventedCount += 1
            let name = NonceName(known: host.incarnation(seed: self.scenario.seed), counter: 1_000_000 + self.inventedCount)
            let approval = Statement(
                .approval(serial: decision.serial, name, set), request: statement.request, attempt: 0, enrolment: host.enrolment,
                identity: host.identity)
            return [with(.approval(turn: statement.attempt, highest: 0, approval))]
        case (.replays, _): return [message, message] + host.heard.suffix(2)
        case (.garbles, _):
            guard Int.random(in: 0..<3, using: &self.random) == 0 else { return [message] }
            var garbled = message
            let place = Int.random(in: 0..<garbled.count, using: &self.random)
            garbled[place] ^= 1 << UInt8.random(in: 0..<8, using: &self.random)
            return [garbled, Array(message.prefix(place)), message]
        // So much is enough to see what it does to the others.
        case (.floods, _): return Array(repeating: message, count: host.sentCount < 2_000 ? 20 : 1)
        case (.frames, .begin(let statement, let approvals)):
            return [message, with(.evidence(self.slander(statement, approvals).serialized()), sequence: 0)]
        case (.frames, .approval(_, _, let statement)):
            return [message, with(.evidence(self.slander(statement, [statement]).serialized()), sequence: 0)]
        case (.lies, .standing), (.lies, .approval), (.lies, .partialSignatures):
            return [
                message, with(.cancellation(self.statement(.cancellation, by: host)), sequence: 0),
                with(.complete(.init(signers: self.policy.onlySet ?? self.policy.members, signatures: [])), sequence: 0),
                with(.renewal(turn: 1), sequence: 0), with(.enrolmentsWanted([0]), sequence: 0),
            ]
        default: return [message]
        }
    }

    private func statement(_ body: Statement.Body, by host: SigningHost) -> Statement {
        Statement(body, request: self.request.digest, attempt: 0, enrolment: host.enrolment, identity: host.identity)
    }

    /// Nonces that are some, of which nobody keeps the secret halves.
    private func nonces(_ count: Int, of host: SigningHost) throws(MuSig2Error) -> [[UInt8]] {
        var nonces: [[UInt8]] = []
        for _ in 0..<count { nonces.append(try SecretNonce(for: host.key, extraInput: Bytes32()).publicNonce.bytes) }
        return nonces
    }

    /// What is said in good faith, put together as if it proved something.
    private func slander(_ statement: Statement, _ others: [Statement]) -> Evidence {
        let set = self.policy.onlySet ?? self.policy.chooseSet(among: Set(self.policy.members)) ?? self.policy.members
        guard let plan = try? SigningPlan(request: self.request, under: self.policy, set: set) else {
            preconditionFailure("all members can sign")
        }
        return Evidence(plan: plan, attempt: statement.attempt, statements: others + [statement])
    }
}
