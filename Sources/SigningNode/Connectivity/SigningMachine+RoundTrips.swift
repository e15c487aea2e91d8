internal import CryptoPrimitives
internal import LibP2P
internal import Signing

// Patience by measured round trips: whoever is far away is not given up as soon as who is near.

extension SigningMachine {
    /// How long a request waits, by what was measured of its members' connections so far.
    func timing(for request: LiveRequest) -> CoordinationTiming {
        self.configuration.timing.measured(request.others.compactMap { self.members.roundTrip(to: PeerID(of: $0.enrolment.identity)) })
    }

    /// A member's connection was measured: the requests with it wait as long as that takes.
    ///
    /// A connection that ends leaves the times as they are, for its next one is likely as long.
    mutating func noteRoundTrip(of peer: PeerID, now: Duration) {
        guard let identity = peer.identity else { return }
        for request in self.live.values.sorted(by: { $0.id < $1.id }) where request.overSince == nil {
            guard request.coordination.signer(speakingThrough: identity) != nil else { continue }
            let roundTrip = self.timing(for: request).roundTrip
            guard roundTrip != request.coordination.timing.roundTrip else { continue }
            request.coordination.timing.roundTrip = roundTrip
            // What it waits for may be due at another time.
            self.step(request, now: now)
        }
    }
}
