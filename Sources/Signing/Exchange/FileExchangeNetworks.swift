internal import Bitcoin
internal import CryptoPrimitives
internal import Secp256k1

// Signers who run on different networks. The networks' transactions look alike, so that only what the signers say of themselves shows it.

extension FileExchange {
    /// A member says of itself that it is on another network. Only its presence counts, for that goes and changes with its process;
    /// nonces from before it was put right lie there for good.
    ///
    /// Its person is told at once, and once of each signer and network.
    mutating func noteOtherNetwork(_ statement: Statement) {
        let (sender, theirs) = (statement.sender, statement.enrolment.network)
        var (isHere, beat): (Bool, UInt64) = (false, 0)
        if case .presence(_, let count, _) = statement.body { (isHere, beat) = (true, count) }
        if self.toldNetworks.insert(ForeignSigner(signer: sender, network: theirs, isHere: isHere)).inserted {
            let own = self.enrolment.network
            self.notices.append(
                sender == self.signer
                    ? .ranOnOtherNetwork(own: own, before: theirs)
                    : .otherNetwork(own: own, signer: sender, theirs: theirs, isHere: isHere))
        }
        guard sender != self.signer else { return }
        self.traceNetworks[sender] = theirs
        if isHere { self.otherNetworks[sender] = (theirs, beat) }
    }

    /// A signer on another network of whom the person was told.
    struct ForeignSigner: Hashable {
        let signer: PublicKey
        let network: Network
        /// Whether it is its process that shows it, and not only what one left behind.
        let isHere: Bool
    }

    /// Whether a member signed this set, as it is, on another network: then nothing of it is still to arrive.
    func isForOtherNetwork(_ file: ExchangeFile, attempt: UInt32) -> Bool {
        guard let statement = try? StatementPSBT.decode(file.bytes) else { return false }
        return statement.request == self.requestDigest && statement.attempt == attempt && self.members.contains(statement.sender)
            && statement.enrolment.network != self.enrolment.network
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
    /// Who comes finds those who are there, and stops; who has been here for longer, or for long, waits on, and its person was told. In
    /// k-of-n no fewer signers can stop the others than could keep them from signing by staying away, or could sign by themselves.
    private var standingNetworkError: ExchangeError? {
        let now = self.networkErrorSince ?? self.lastStepAt
        guard now - (self.startedAt ?? now) <= self.configuration.awayAfter else { return nil }
        let others = self.otherNetworks.filter { $0.value.beat >= self.beatCount }
        guard let example = others.min(by: { $0.key < $1.key }) else { return nil }
        func error(_ signer: PublicKey, _ theirs: Network) -> ExchangeError {
            .otherNetwork(own: self.enrolment.network, signer: signer, theirs: theirs)
        }
        if let set = self.fixedSet {
            for signer in set { if let theirs = others[signer]?.network { return error(signer, theirs) } }
            return nil
        }
        let elsewhere = Set(others.keys)
        let canGoOn = self.policy.chooseSet(among: self.members.subtracting(elsewhere).subtracting(self.excluded)) != nil
        let canSignElsewhere = Set(others.values.map(\.network)).contains { network in
            self.policy.chooseSet(among: elsewhere.filter { others[$0]?.network == network }) != nil
        }
        return canGoOn && !canSignElsewhere ? nil : error(example.key, example.value.network)
    }

    /// What is done where others on another network stand in the way; `nil` where nobody does.
    ///
    /// Whoever stops is there for one beat before it does, so that the others see who came, and for what.
    mutating func stopForNetwork(
        now: Duration, identity: borrowing Ed25519.SecretKey
    ) -> (actions: [ExchangeAction], error: ExchangeError?)? {
        guard let error = self.standingNetworkError else {
            self.networkErrorSince = nil
            return nil
        }
        guard let since = self.networkErrorSince else {
            self.networkErrorSince = now
            // Not counted as a beat: who was there first sees that this one came later.
            return ([self.presence(identity: identity)], nil)
        }
        return now - since >= self.configuration.beat ? ([], error) : ([], nil)
    }
}
