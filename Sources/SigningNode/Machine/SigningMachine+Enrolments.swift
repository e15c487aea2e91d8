internal import CryptoPrimitives
internal import LibP2P
internal import Secp256k1
internal import Signing

// Enrolments that members pass on while they sign: what a signer says of its machine counts in all of its groups and requests, whoever
// brings it, for its signature is in it.

extension SigningMachine {
    /// Least time between two machines of one signer that are taken by others' word: each is written down, and told.
    private static let enrolmentInterval = Duration.seconds(60)

    /// What is known of machines in a request, and not yet in its group, counts everywhere from now on.
    mutating func takeEnrolments(of request: LiveRequest, now: Duration) {
        guard let members = self.groups[request.group]?.policy.members else { return }
        for member in members {
            guard let enrolment = request.coordination.enrolment(of: member) else { continue }
            if member == self.keys.signer { self.noteOwn(enrolment) } else { self.take(enrolment, now: now) }
        }
    }

    private mutating func take(_ enrolment: Enrolment, now: Duration) {
        let signer = enrolment.signer
        let digests = self.groups.keys.sorted().filter { digest in
            guard let group = self.groups[digest], group.roster.place(of: signer) != nil else { return false }
            return group.roster.enrolment(of: signer).map { $0.version < enrolment.version } ?? true
        }
        guard !digests.isEmpty, self.enrolledAt[signer].map({ now >= $0 + Self.enrolmentInterval }) ?? true else { return }
        var isTaken = false
        for digest in digests { if case .taken? = self.groups[digest]?.roster.learn(enrolment) { isTaken = true } }
        guard isTaken else { return }
        self.enrolledAt[signer] = now
        for request in self.live.values.sorted(by: { $0.id < $1.id }) where digests.contains(request.group) {
            request.coordination.learn(enrolment)
            if request.overSince == nil { self.connect(request, now: now) }
        }
        self.membersChanged()
        self.outbox.report(.enrolled(enrolment))
    }

    /// Another machine of our own signer: what follows is its owner's to say, who may have lost this one or that.
    private mutating func noteOwn(_ enrolment: Enrolment) {
        guard enrolment.identity != self.keys.enrolment.identity, enrolment.version > max(self.versionTold, self.keys.enrolment.version)
        else { return }
        self.versionTold = enrolment.version
        self.outbox.report(.superseded(by: PeerID(of: enrolment.identity)))
    }
}
