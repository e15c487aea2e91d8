// A peer's requests, from their stream to the answer.

extension RequestResponse {
    /// Answers a question. One that is over is passed over.
    public mutating func answer(_ question: Question, with body: [UInt8], now: Duration) throws(RequestResponseError) {
        guard body.count <= self.configuration.answerByteCountMax else {
            throw .tooLong(byteCount: body.count, limit: self.configuration.answerByteCountMax)
        }
        guard let incoming = self.incoming[question.stream], incoming.question == question, incoming.isAsked else { return }
        self.outbox.send(.write(question.stream, FrameReader.frame(body)))
        if self.configuration.keepsStreams, !incoming.hasEnded { return self.keep(question, now: now) }
        self.outbox.send(.closeWrite(question.stream))
        // Of the peer nothing is wanted any more; what it still sends is passed over. Who neither reads nor ends it keeps no stream by that.
        self.forget(question.stream)
        self.answered[question.stream] = Answered(peer: question.peer, hasEnded: incoming.hasEnded)
        self.deadlines.set(question.stream, at: now + self.configuration.timeout)
    }

    /// The stream waits for the peer's next request.
    private mutating func keep(_ question: Question, now: Duration) {
        self.nextIdleOrder += 1
        self.incoming[question.stream]?.question.number += 1
        self.incoming[question.stream]?.state = .idle(order: self.nextIdleOrder)
        self.incoming[question.stream]?.unwrittenCount += 1
        self.idleCount += 1
        self.deadlines.set(question.stream, at: now + self.configuration.keepTime * 2)
        if self.idleCount > self.configuration.keptQuestionsMax, let idle = self.longestIdle(where: { _ in true }) { self.giveUp(idle) }
    }

    /// Resets the stream of a question.
    public mutating func refuse(_ question: Question) {
        guard let incoming = self.incoming[question.stream], incoming.question == question, incoming.isAsked else { return }
        self.forget(question.stream)
        self.outbox.send(.reset(question.stream))
    }

    mutating func admit(_ stream: StreamID, _ info: ConnectionInfo, _ protocolID: String, now: Duration) {
        let peer = info.peer
        guard self.makeRoom(of: peer), self.makeRoom(for: info.household) else {
            self.counters.refused += 1
            self.outbox.send(.reset(stream))
            let maximum = self.configuration.parallelQuestionsPerPeerMax
            return self.outbox.report(.refused(peer, nil, .tooManyRequests(maximum: maximum)))
        }
        self.peers[peer, default: Peer()].questions += 1
        let question = Question(peer: peer, protocolID: protocolID, household: info.household, stream: stream)
        self.incoming[stream] = Incoming(question: question)
        self.readers[stream] = ServiceFrameReader(byteCountMax: self.configuration.requestByteCountMax)
        self.deadlines.set(stream, at: now + self.configuration.timeout)
    }

    /// Whether the peer may have one more: a stream of its own that waits for its next request makes room.
    private mutating func makeRoom(of peer: PeerID) -> Bool {
        guard self.peers[peer]?.questions ?? 0 >= self.configuration.parallelQuestionsPerPeerMax else { return true }
        guard let idle = self.longestIdle(where: { $0.question.peer == peer }) else { return false }
        self.giveUp(idle)
        return true
    }

    /// When all places are taken, the household that has most of them gives up its oldest, unless the newcomer's has as many. Streams that
    /// wait for a next request take none.
    private mutating func makeRoom(for household: [UInt8]) -> Bool {
        guard self.incoming.count - self.idleCount >= self.configuration.parallelQuestionsMax else { return true }
        let counts: [[UInt8]: Int] = self.incoming.values.reduce(into: [:]) { counts, incoming in
            if incoming.idleOrder == nil { counts[incoming.household, default: 0] += 1 }
        }
        guard let most = counts.values.max(), most > counts[household, default: 0] + 1,
            let oldest = self.oldest(where: { $0.idleOrder == nil && counts[$0.household] == most })
        else { return false }
        self.breakOff(oldest, .tooManyRequests(maximum: self.configuration.parallelQuestionsMax), resets: true)
        return true
    }

    /// Requests may be half sent, and not without end: the household that has most of that gives up its oldest.
    private mutating func giveUpPartials() {
        while self.partialByteCount > self.configuration.partialByteCountMax {
            let shares: [[UInt8]: Int] = self.incoming.values.reduce(into: [:]) { $0[$1.household, default: 0] += $1.partialByteCount }
            guard let most = shares.values.max(),
                let oldest = self.oldest(where: { $0.partialByteCount > 0 && shares[$0.household] == most })
            else { return }
            self.breakOff(oldest, .tooManyPartialBytes(maximum: self.configuration.partialByteCountMax), resets: true)
        }
    }

    /// Streams are numbered as they come.
    private func oldest(where isMeant: (Incoming) -> Bool) -> Incoming? {
        self.incoming.values.filter(isMeant).min { $0.question.stream < $1.question.stream }
    }

    /// The stream that waits longest for a next request.
    private func longestIdle(where isMeant: (Incoming) -> Bool) -> Incoming? {
        var found: (order: UInt64, incoming: Incoming)?
        for incoming in self.incoming.values {
            if let order = incoming.idleOrder, order < found?.order ?? .max, isMeant(incoming) { found = (order, incoming) }
        }
        return found?.incoming
    }

    private mutating func forget(_ stream: StreamID) {
        guard let incoming = self.incoming.removeValue(forKey: stream) else { return }
        self.readers[stream] = nil
        self.partialByteCount -= incoming.partialByteCount
        if incoming.idleOrder != nil { self.idleCount -= 1 }
        self.deadlines.remove(stream)
        self.peers[incoming.question.peer]?.questions -= 1
        self.forgetIfIdle(incoming.question.peer)
    }

    /// Ends a stream that waits for a next request, which is nobody's fault.
    private mutating func giveUp(_ idle: Incoming) {
        self.forget(idle.question.stream)
        self.outbox.send(.reset(idle.question.stream))
    }

    private mutating func breakOff(_ incoming: Incoming, _ error: RequestResponseError, resets: Bool) {
        self.forget(incoming.question.stream)
        self.counters.refused += 1
        if resets { self.outbox.send(.reset(incoming.question.stream)) }
        self.outbox.report(.refused(incoming.question.peer, incoming.isAsked ? incoming.question : nil, error))
    }

    // MARK: What comes

    mutating func takeQuestion(_ stream: StreamID, _ bytes: [UInt8], now: Duration) {
        guard let incoming = self.incoming[stream], !incoming.isAsked else {
            if let incoming = self.incoming[stream] { self.breakOff(incoming, .bytesBehind, resets: true) }
            return
        }
        if incoming.idleOrder != nil { guard self.wakeUp(incoming, now: now) else { return } }
        do throws(FrameReader.Failure) {
            let found = try self.readers[stream]?.receive(bytes)
            self.countPartial(of: stream)
            guard let (frame, rest) = found else { return self.giveUpPartials() }
            guard rest.isEmpty else { return self.breakOff(incoming, .bytesBehind, resets: true) }
            self.readers[stream] = nil
            self.incoming[stream]?.state = .asked
            self.counters.asked += 1
            self.outbox.report(.asked(incoming.question, frame))
        } catch {
            self.breakOff(incoming, .frame(error), resets: true)
        }
    }

    /// A stream that waited brings the next request, which has a place and a time like any other.
    ///
    /// - Returns: whether there is a place for it.
    private mutating func wakeUp(_ incoming: Incoming, now: Duration) -> Bool {
        let stream = incoming.question.stream
        // Who asks on and on and takes no answer would have us hold them all.
        guard incoming.unwrittenCount <= Self.unwrittenCountMax else {
            self.breakOff(incoming, .answerNotTaken, resets: true)
            return false
        }
        guard self.makeRoom(for: incoming.household) else {
            self.breakOff(incoming, .tooManyRequests(maximum: self.configuration.parallelQuestionsMax), resets: true)
            return false
        }
        self.idleCount -= 1
        self.incoming[stream]?.state = .reading
        self.readers[stream] = ServiceFrameReader(byteCountMax: self.configuration.requestByteCountMax)
        self.deadlines.set(stream, at: now + self.configuration.timeout)
        return true
    }

    private mutating func countPartial(of stream: StreamID) {
        let (before, count) = (self.incoming[stream]?.partialByteCount ?? 0, self.readers[stream]?.heldByteCount ?? 0)
        self.incoming[stream]?.partialByteCount = count
        self.partialByteCount += count - before
    }

    /// Most answers on one stream that our own buffers have not taken.
    private static let unwrittenCountMax = 4

    /// All that was written to a stream has left the machine.
    mutating func wroteAll(to stream: StreamID) {
        self.incoming[stream]?.unwrittenCount = 0
        self.answered[stream]?.isWritten = true
        self.forgetIfOver(stream)
    }

    private mutating func forgetIfOver(_ stream: StreamID) {
        guard let answered = self.answered[stream], answered.hasEnded, answered.isWritten else { return }
        self.answered[stream] = nil
        self.deadlines.remove(stream)
    }

    /// The time of a stream of a peer's is over.
    mutating func questionIsDue(_ stream: StreamID) {
        if let answered = self.answered.removeValue(forKey: stream) {
            self.counters.refused += 1
            self.outbox.send(.reset(stream))
            self.outbox.report(.refused(answered.peer, nil, .answerNotTaken))
        } else if let incoming = self.incoming[stream] {
            if incoming.idleOrder != nil, incoming.unwrittenCount == 0 { return self.giveUp(incoming) }
            self.breakOff(
                incoming, incoming.isAsked ? .notAnswered : incoming.idleOrder == nil ? .timedOut : .answerNotTaken, resets: true)
        }
    }

    /// The peer has said all that it will say on a stream.
    mutating func questionEnded(_ stream: StreamID, isReset: Bool, now: Duration) {
        if var answered = self.answered[stream] {
            answered.hasEnded = true
            if isReset { answered.isWritten = true }
            self.answered[stream] = answered
            return self.forgetIfOver(stream)
        }
        guard let incoming = self.incoming[stream] else { return }
        // A peer that has asked has said all, so the end of its side is in order.
        if incoming.isAsked, !isReset {
            self.incoming[stream]?.hasEnded = true
        } else if incoming.idleOrder != nil {
            // It wants nothing more, but for the last answer, which may be under way still.
            self.forget(stream)
            guard !isReset else { return }
            self.outbox.send(.closeWrite(stream))
            guard incoming.unwrittenCount > 0 else { return }
            self.answered[stream] = Answered(peer: incoming.question.peer, hasEnded: true)
            self.deadlines.set(stream, at: now + self.configuration.timeout)
        } else {
            self.breakOff(incoming, .ended, resets: !isReset)
        }
    }
}
