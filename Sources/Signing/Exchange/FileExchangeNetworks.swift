internal import Bitcoin
internal import Secp256k1

// Signers who run on different networks. The networks' transactions look alike, so that only what the signers say of themselves shows it.

extension FileExchange {
    /// A member says of itself that it is on another network. Only its presence counts, for that goes and changes with its process;
    /// nonces from before it was put right lie there for good.
    mutating func noteOtherNetwork(_ statement: Statement) {
        guard statement.sender != self.signer else { return }
        self.traceNetworks[statement.sender] = statement.enrolment.network
        guard case .presence = statement.body else { return }
        self.otherNetworks[statement.sender] = statement.enrolment.network
    }

    /// Why nobody came whom this process awaited, if what lies there from one of them is for another network.
    func networkError(awaiting missing: [PublicKey]) -> ExchangeError? {
        guard let signer = missing.first(where: { self.traceNetworks[$0] != nil }), let theirs = self.traceNetworks[signer] else {
            return nil
        }
        return .otherNetwork(own: self.enrolment.network, signer: signer, theirs: theirs)
    }

    /// Why this process stops: a set cannot come about with it, because others are on another network.
    ///
    /// Who comes finds those who are there, and stops; who has been here for long waits on, and its person was told. In k-of-n no fewer
    /// signers can stop the others than could keep them from signing by staying away, or could sign by themselves.
    func networkError(now: Duration) -> ExchangeError? {
        guard let example = self.otherNetworks.min(by: { $0.key < $1.key }), now - (self.startedAt ?? now) <= self.configuration.awayAfter
        else { return nil }
        func error(_ signer: PublicKey, _ theirs: Network) -> ExchangeError {
            .otherNetwork(own: self.enrolment.network, signer: signer, theirs: theirs)
        }
        if let set = self.fixedSet {
            for signer in set { if let theirs = self.otherNetworks[signer] { return error(signer, theirs) } }
            return nil
        }
        let others = Set(self.otherNetworks.keys)
        let canGoOn = self.policy.chooseSet(among: self.members.subtracting(others).subtracting(self.excluded)) != nil
        let canSignElsewhere = Set(self.otherNetworks.values).contains { network in
            self.policy.chooseSet(among: others.filter { self.otherNetworks[$0] == network }) != nil
        }
        return canGoOn && !canSignElsewhere ? nil : error(example.key, example.value)
    }
}
