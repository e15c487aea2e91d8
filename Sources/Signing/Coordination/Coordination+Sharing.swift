internal import Secp256k1

// Attempts that whoever comes last may finish.
//
//     begin, the coordinator's signatures ──▶ a member that is away ──▶ its own to all of the set ──▶ whoever has all finishes
//
// Where members visit mailboxes, the last signer of a set, who has all others' nonces, may begin, sign and never come again. So signatures do
// not go to the coordinator alone, but to all of the set that it reaches in no other way, or that reach it in no other way; and where an attempt
// takes what was left for its coordinator, always to all of the set, for that one may be gone again. That takes more
// messages, and nothing rests on it: a signature is good for one transcript, whoever adds it up.

extension Coordination {
    /// Most attempts of others that are kept to be finished here, and of which signatures are held that came before their begin.
    private static let sharedCountMax = 4
    private static let heldCountMax = 8

    /// Who hears our signatures under an attempt beside its coordinator.
    func sharers(of number: UInt32) -> [PublicKey] {
        guard let attempt = self.attempts[number] else { return [] }
        let coordinator = self.coordinator(of: number)
        let others = attempt.plan.signers.filter { $0 != self.signer && $0 != coordinator }
        if !attempt.left.isEmpty { return others }
        if coordinator == self.signer { return others.filter { self.links[$0]?.distance != nil } }
        return self.links[coordinator]?.distance == nil ? [] : others
    }

    /// A member is away from now on: what is out already it hears, too.
    mutating func shareReleased(with member: PublicKey, now: Moment) {
        for (number, statement) in self.released.sorted(by: { $0.key < $1.key }) where self.sharers(of: number).contains(member) {
            self.put(.partialSignatures(number), .partialSignatures(statement), to: member, now: now)
        }
    }

    /// Keeps an attempt that was signed here for a coordinator that is away, to finish it.
    ///
    /// - Returns: whether it is kept.
    mutating func share(_ number: UInt32) -> Bool {
        guard let attempt = self.attempts[number], !attempt.hasFailed,
            self.isAway(self.coordinator(of: number)) || !attempt.left.isEmpty
        else {
            self.heldPartials[number] = nil
            return false
        }
        attempt.isShared = true
        let shared = self.attempts.filter { $0.value.isShared }.keys.sorted()
        for oldest in shared.dropLast(Self.sharedCountMax) { self.attempts[oldest] = nil }
        for (_, statement) in (self.heldPartials.removeValue(forKey: number) ?? [:]).sorted(by: { $0.key < $1.key }) {
            self.take(partialSignatures: statement)
        }
        return true
    }

    /// Keeps a member's signatures under an attempt that may be signed here yet: the one that has them before the begin would else lose them.
    mutating func hold(_ statement: Statement) -> CoordinationReception {
        let number = statement.attempt
        guard !self.state.isOver, number > 0, number <= Self.attemptMax, statement.sender != self.signer else { return .ignored }
        // Others' attempts are finished by their coordinators, where these are there.
        // What we left for one that is here now it may take, and be gone again.
        let coordinator = self.coordinator(of: number)
        guard self.isAway(coordinator) || self.visits[coordinator]?.isLeft ?? false || self.attempts[number]?.left.isEmpty == false else {
            return .ignored
        }
        guard self.attempts[number].map({ !$0.hasFailed }) ?? (self.records[number] == nil) else { return .ignored }
        self.heldPartials[number, default: [:]][statement.sender] = statement
        if self.heldPartials.count > Self.heldCountMax, let lowest = self.heldPartials.keys.min() { self.heldPartials[lowest] = nil }
        return .accepted
    }
}
