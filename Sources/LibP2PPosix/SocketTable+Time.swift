internal import LibP2P

// When the node's one timer fires, and what is due then.

extension SocketTable {
    func passTime<Owner: PipeOwner & ~Copyable>(_ owner: inout Owner) {
        let now = self.now
        if let deadline = owner.deadline, deadline <= now { owner.tick(now: now) }
        if let retry = self.acceptRetryAt, retry <= now {
            self.acceptRetryAt = nil
            for listener in self.listeners.values { listener.resume() }
        }
        while let number = self.attemptDeadlines.popDue(now) {
            guard let pipe = self.pipes[number], pipe.isOutbound, pipe.state == .connecting || pipe.state == .upgrading else { continue }
            self.attemptFailed(pipe, .timedOut, &owner)
        }
        while let number = self.drainDeadlines.popDue(now) {
            if let pipe = self.pipes[number], pipe.state == .draining { self.destroy(pipe) }
        }
    }

    func arm(_ ownerDeadline: Duration?) {
        guard !self.isStopped else { return }
        let deadlines = [ownerDeadline, self.acceptRetryAt, self.attemptDeadlines.first, self.drainDeadlines.first]
        guard let deadline = deadlines.compactMap({ $0 }).min() else { return }
        let notify = self.notify
        self.timer.arm(deadline, now: self.now) { notify(.timer) }
    }
}

/// Deadlines that come in the order of time.
struct DueList<Element> {
    private var entries: [(at: Duration, element: Element)] = []
    private var start = 0

    var first: Duration? { self.start < self.entries.count ? self.entries[self.start].at : nil }

    mutating func append(_ element: Element, at: Duration) { self.entries.append((at, element)) }

    mutating func popDue(_ now: Duration) -> Element? {
        guard let first = self.first, first <= now else { return nil }
        let element = self.entries[self.start].element
        self.start += 1
        if self.start > 64, self.start * 2 > self.entries.count {
            self.entries.removeFirst(self.start)
            self.start = 0
        }
        return element
    }
}
