/// One walk towards a place: whom to ask next, and when it is over (kad-dht, "Peer routing").
///
/// It ends when the k nearest peers that it knows of have answered. A peer can name anybody, so what it names is weighed:
/// - a list is used to k entries, the candidates are bounded and so are the requests of a walk;
/// - the candidates that one peer alone has named get at most half of the places under way;
/// - once several of them did not answer, the others wait until nothing else is left to ask.
package struct KadLookup: Sendable {
    package struct Parameters: Sendable {
        /// Answers looked for, k of the specification.
        package var closestCount = 20
        /// Requests under way at a time, α of the specification.
        package var parallelCount = 10
        /// Answers below which slow peers are waited for and suspects asked: β of the specification.
        package var resilienceCount = 3
        /// From then on a request neither counts among those under way, nor do we wait for its answer when others suffice. Dial,
        /// handshakes and request take about six round trips: 1.8 s at 300 ms.
        package var slowAfter: Duration = .seconds(2)
        /// The same where the answers of this walk show that the network is faster: twice what the slowest took, and not less than this.
        package var slowAfterMin: Duration = .milliseconds(500)
        /// Round trips of a request with its dial and handshakes, where one of a peer that is connected takes one.
        package var dialRoundTripCount = 6
        /// Candidates kept: several times what a walk in a network of millions asks.
        package var candidateCountMax = 256
        /// Requests of one walk: about 30 suffice among 500 nodes, 60 among millions.
        package var requestCountMax = 120
        /// Candidates of one peer that may fail before its others wait.
        package var failureCountMax = 3

        package init() {}
    }

    package struct Candidate: Sendable {
        package let peer: PeerID
        package let distance: KadKey
        package fileprivate(set) var addresses: [KadAddress]
        /// Who named it; `nil` for our own contacts.
        fileprivate var source: PeerID?
        /// Requests on the way to it: 1 for our own contacts.
        package let hopCount: Int
        package fileprivate(set) var state: State
    }

    package enum State: Equatable, Sendable {
        case heard
        case asked(at: Duration)
        case answered
        case failed
    }

    package let target: KadKey
    package let parameters: Parameters
    private let ownKey: KadKey
    /// Nearest first.
    package private(set) var candidates: [Candidate] = []
    private var distances: [PeerID: KadKey] = [:]
    private var failures: [PeerID: Int] = [:]
    /// Requests under way.
    private var pending: [PeerID: (source: PeerID?, at: Duration)] = [:]
    package private(set) var requestCount = 0
    package private(set) var answerCount = 0
    package private(set) var failureCount = 0
    /// How long the slowest answer took, or would have taken with a dial.
    private var slowestAnswer = Duration.zero
    /// Candidates that found no place.
    package private(set) var droppedCount = 0

    package init(target: KadKey, ownKey: KadKey, contacts: [KadContact], parameters: Parameters = Parameters()) {
        self.target = target
        self.ownKey = ownKey
        self.parameters = parameters
        for contact in contacts { self.add(contact.peer, key: contact.key, addresses: contact.addresses, source: nil, hopCount: 1) }
    }

    /// Adds a peer that was known before, wherever it stands.
    package mutating func add(_ peer: PeerID, addresses: [KadAddress]) {
        self.add(peer, key: KadKey(of: peer), addresses: addresses, source: nil, hopCount: 1)
    }

    // MARK: Asking

    /// The next peer to ask, which counts as asked from now on.
    package mutating func next(now: Duration) -> Candidate? {
        guard self.requestCount < self.parameters.requestCountMax else { return nil }
        let (fast, all) = self.underWay(now: now)
        guard fast < self.parameters.parallelCount, all < 3 * self.parameters.parallelCount else { return nil }
        guard let index = self.firstToAsk(now: now, noneUnderWay: all == 0) else { return nil }
        self.candidates[index].state = .asked(at: now)
        self.pending[self.candidates[index].peer] = (self.candidates[index].source, now)
        self.requestCount += 1
        return self.candidates[index]
    }

    private func firstToAsk(now: Duration, noneUnderWay: Bool) -> Int? {
        let shareMax = max(1, self.parameters.parallelCount / 2)
        var shares: [PeerID: Int] = [:]
        for case let source? in self.pending.values.map(\.source) { shares[source, default: 0] += 1 }
        var waiting: Int?
        for index in self.window where self.candidates[index].state == .heard {
            guard let source = self.candidates[index].source, shares[source, default: 0] >= shareMax else { return index }
            waiting = waiting ?? index
        }
        guard noneUnderWay else { return nil }
        if let waiting { return waiting }
        // Only suspects are left: asked when there is nobody else to go on with.
        guard self.answerCount < self.parameters.resilienceCount else { return nil }
        return self.candidates.firstIndex { $0.state == .heard }
    }

    /// The k nearest candidates that have not failed and are not suspect.
    private var window: [Int] {
        var window: [Int] = []
        for (index, candidate) in self.candidates.enumerated() where candidate.state != .failed && !self.isSuspect(candidate) {
            window.append(index)
            if window.count == self.parameters.closestCount { break }
        }
        return window
    }

    private func isSuspect(_ candidate: Candidate) -> Bool {
        guard candidate.state == .heard, let source = candidate.source else { return false }
        return self.failures[source, default: 0] >= self.parameters.failureCountMax
    }

    private func underWay(now: Duration) -> (fast: Int, all: Int) {
        let slowAfter = self.slowAfter
        return (self.pending.values.count { now - $0.at < slowAfter }, self.pending.count)
    }

    /// Contacts that are gone would else cost each step of a walk as long as the slowest network takes. The slowest answer counts, so that
    /// nobody makes us hurry by answering fast.
    private var slowAfter: Duration {
        guard self.answerCount >= self.parameters.resilienceCount else { return self.parameters.slowAfter }
        return min(self.parameters.slowAfter, max(self.parameters.slowAfterMin, self.slowestAnswer * 2))
    }

    /// Whether there is nothing more to ask or to wait for.
    package func isOver(now: Duration) -> Bool {
        let canAsk = self.requestCount < self.parameters.requestCountMax
        let isEnough = self.answerCount >= self.parameters.resilienceCount
        for index in self.window {
            switch self.candidates[index].state {
            case .answered, .failed: continue
            case .heard: if canAsk { return false }
            case .asked(let time): if !isEnough || now - time < self.slowAfter { return false }
            }
        }
        return isEnough || (self.pending.isEmpty && !(canAsk && self.candidates.contains { $0.state == .heard }))
    }

    /// When a request under way becomes slow, which may let another one go or end the walk.
    package func nextSlow(now: Duration) -> Duration? {
        let slowAfter = self.slowAfter
        return self.pending.values.lazy.map { $0.at + slowAfter }.filter { $0 > now }.min()
    }

    // MARK: Answers

    /// Notes a peer's answer, and whom it named.
    package mutating func answered(
        _ peer: PeerID, naming peers: [(peer: PeerID, addresses: [KadAddress])], hasDialled: Bool, now: Duration
    ) {
        guard let index = self.index(of: peer), case .asked(let time) = self.candidates[index].state else { return }
        self.slowestAnswer = max(self.slowestAnswer, (now - time) * (hasDialled ? 1 : self.parameters.dialRoundTripCount))
        self.candidates[index].state = .answered
        self.pending[peer] = nil
        self.answerCount += 1
        let hopCount = self.candidates[index].hopCount + 1
        var known: [(peer: PeerID, key: KadKey, addresses: [KadAddress])] = []
        for (peer, addresses) in peers where !self.merge(addresses, of: peer, from: self.candidates[index].peer) {
            known.append((peer, KadKey(of: peer), addresses))
        }
        // Of a long list the nearest: honest peers name no more than k.
        if known.count > self.parameters.closestCount {
            known.sort { $0.key.distance(to: self.target) < $1.key.distance(to: self.target) }
            self.droppedCount += known.count - self.parameters.closestCount
        }
        for (named, key, addresses) in known.prefix(self.parameters.closestCount) {
            self.add(named, key: key, addresses: addresses, source: peer, hopCount: hopCount)
        }
    }

    /// Notes that a peer gave no answer, or a wrong one.
    package mutating func failed(_ peer: PeerID) {
        guard let index = self.index(of: peer), case .asked = self.candidates[index].state else { return }
        self.candidates[index].state = .failed
        self.pending[peer] = nil
        self.failureCount += 1
        if let source = self.candidates[index].source { self.failures[source, default: 0] += 1 }
    }

    /// Of a peer that is a candidate already, another word counts: it is not its first source's alone.
    private mutating func merge(_ addresses: [KadAddress], of peer: PeerID, from source: PeerID) -> Bool {
        guard let index = self.index(of: peer) else { return false }
        if let first = self.candidates[index].source, first != source, self.failures[first, default: 0] > self.failures[source, default: 0]
        {
            self.candidates[index].source = source
        }
        let room = max(0, KadRoutingTable.addressCountMax - self.candidates[index].addresses.count)
        let known = self.candidates[index].addresses
        self.candidates[index].addresses += addresses.filter { !known.contains($0) }.prefix(room)
        return true
    }

    private mutating func add(_ peer: PeerID, key: KadKey, addresses: [KadAddress], source: PeerID?, hopCount: Int) {
        guard key != self.ownKey, self.distances[peer] == nil else { return }
        let distance = key.distance(to: self.target)
        if self.candidates.count >= self.parameters.candidateCountMax {
            // The farthest that nobody was asked yet goes; if it is this one, this one.
            guard let last = self.candidates.lastIndex(where: { $0.state == .heard }), distance < self.candidates[last].distance else {
                self.droppedCount += 1
                return
            }
            self.distances[self.candidates[last].peer] = nil
            self.candidates.remove(at: last)
            self.droppedCount += 1
        }
        let candidate = Candidate(
            peer: peer, distance: distance, addresses: Array(addresses.prefix(KadRoutingTable.addressCountMax)), source: source,
            hopCount: hopCount, state: .heard)
        self.distances[peer] = distance
        self.candidates.insert(candidate, at: self.position(of: distance))
    }

    private func index(of peer: PeerID) -> Int? {
        guard let distance = self.distances[peer] else { return nil }
        let index = self.position(of: distance)
        return index < self.candidates.count && self.candidates[index].peer == peer ? index : nil
    }

    /// Where a candidate at this distance stands or would stand.
    private func position(of distance: KadKey) -> Int {
        var (low, high) = (0, self.candidates.count)
        while low < high {
            let middle = (low + high) / 2
            if self.candidates[middle].distance < distance { low = middle + 1 } else { high = middle }
        }
        return low
    }

    // MARK: The result

    /// The nearest peers that answered, nearest first, at most k.
    package var closest: [Candidate] {
        Array(self.candidates.lazy.filter { $0.state == .answered }.prefix(self.parameters.closestCount))
    }

    package func candidate(_ peer: PeerID) -> Candidate? { self.index(of: peer).map { self.candidates[$0] } }

    package var heldByteCount: Int {
        self.candidates.reduce(0) { $0 + 320 + $1.addresses.reduce(0) { $0 + 128 + $1.bytes.count } }
    }
}
