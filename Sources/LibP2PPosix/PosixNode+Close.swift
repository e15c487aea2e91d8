internal import Dispatch
internal import LibP2P

extension PosixNode {
    /// How long `close` waits for peers to take the last words.
    public static let closeTimeout = Duration.seconds(1)

    /// Ends everything: no socket is left when it returns, and nobody waits any more. It goes on though the task be cancelled.
    public func close() async { await self.close(within: Self.closeTimeout) }

    func close(within timeout: Duration) async {
        if self.state == .closed { return }
        await withCheckedContinuation { waiter in
            self.closeWaiters.append(waiter)
            guard self.state == .open else { return }
            self.state = .closing
            self.waiters.answerEverybody(.closed)
            self.stopLocalDiscovery()
            self.sockets.stopListening()
            self.node.swarm.shutDown(now: self.now)
            self.executor.queue.asyncAfter(deadline: .now() + DispatchTimeInterval(timeout)) { [weak self] in
                self?.assumeIsolated { $0.stop() }
            }
            self.carryOut()
        }
    }

    func stop() {
        guard self.state == .closing else { return }
        self.state = .stopping
        self.sockets.stop { self.assumeIsolated { $0.socketsStopped() } }
    }

    private func socketsStopped() {
        guard !self.discoveries.isEmpty else { return self.stopped() }
        self.whenDiscoveriesStopped = { self.stopped() }
    }

    private func stopped() {
        self.state = .closed
        for stream in self.streams.values { stream.assumeIsolated { $0.wasReset() } }
        self.streams = [:]
        self.endEvents()
        self.machinePumps = []
        self.handlers = [:]
        for waiter in self.closeWaiters { waiter.resume() }
        self.closeWaiters = []
    }
}
