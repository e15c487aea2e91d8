internal import LibP2P

// How sockets are given up: one by one, and all of them.

extension SocketTable {
    /// Everything is sent: says so, and waits for the other end.
    func finish(_ pipe: Pipe) {
        if var webSocket = pipe.webSocket.take() {
            webSocket.close()
            let goodbye = webSocket.takeOutput()
            // A full socket means that nobody reads any more.
            _ = try? System.send(pipe.descriptor, goodbye)
        }
        System.endOutput(pipe.descriptor)
        if pipe.isReadPaused { return self.destroy(pipe) }
        pipe.state = .draining
        self.numbers[pipe.id] = nil
        self.drainDeadlines.append(pipe.number, at: self.now + Self.drainTimeout)
    }

    /// The system says that the connection is no more.
    func broke<Owner: PipeOwner & ~Copyable>(_ pipe: Pipe, _ owner: inout Owner) {
        if pipe.isOutbound, pipe.state == .upgrading {
            return self.attemptFailed(pipe, .transport("the server broke the connection"), &owner)
        }
        let isKnown = pipe.state != .draining
        self.destroy(pipe)
        if isKnown { owner.endOfInput(pipe.id, violation: nil, now: self.now) }
    }

    /// Gives a socket up at once.
    func destroy(_ pipe: Pipe) {
        guard pipe.state != .gone else { return }
        pipe.state = .gone
        self.pipes[pipe.number] = nil
        if self.numbers[pipe.id] == pipe.number { self.numbers[pipe.id] = nil }
        self.unsentByteCount -= pipe.unsentByteCount
        pipe.unsent = []
        self.close(pipe.descriptor, of: pipe.number, after: pipe.cancelSources())
    }

    func close(_ descriptor: Int32, of number: SocketNumber, after sourceCount: Int) {
        if sourceCount == 0 { return System.close(descriptor) }
        self.closing[number] = (descriptor, sourceCount)
    }

    func sourceEnded(_ number: SocketNumber) {
        guard let (descriptor, count) = self.closing[number] else { return }
        if count > 1 {
            self.closing[number] = (descriptor, count - 1)
        } else {
            self.closing[number] = nil
            System.close(descriptor)
            self.tellIfStopped()
        }
    }

    /// Takes no further connections.
    func stopListening() {
        for listener in self.listeners.values {
            listener.cancel()
            self.close(listener.descriptor, of: listener.number, after: 1)
        }
        self.listeners = [:]
    }

    /// Gives up everything; `done` is called once no descriptor is left. Nothing happens here afterwards.
    func stop(_ done: @escaping @Sendable () -> Void) {
        self.isStopped = true
        self.whenStopped.append(done)
        self.dials = [:]
        self.stopListening()
        for pipe in Array(self.pipes.values) { self.destroy(pipe) }
        self.timer.cancel()
        if let reserve = self.reserve.take() { System.close(reserve) }
        self.tellIfStopped()
    }

    private func tellIfStopped() {
        guard self.isStopped, self.closing.isEmpty else { return }
        let waiting = self.whenStopped
        self.whenStopped = []
        self.notify = { _ in }
        self.resolver.stop()
        for done in waiting { done() }
    }
}
