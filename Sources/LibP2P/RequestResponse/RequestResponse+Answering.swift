// A peer's requests, from their stream to the answer.

extension RequestResponse {
    /// Answers a question. One that is over is passed over.
    public mutating func answer(_ question: Question, with body: [UInt8], now: Duration) throws(RequestResponseError) {
        guard body.count <= self.configuration.answerByteCountMax else {
            throw .tooLong(byteCount: body.count, limit: self.configuration.answerByteCountMax)
        }
        guard let incoming = self.incoming[question.stream], incoming.question == question, case .asked = incoming.state else { return }
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
        self.incoming[question.stream]?.question.number += 1
        self.incoming[question.stream]?.state = .reading(ServiceFrameReader(byteCountMax: self.configuration.requestByteCountMax))
        self.incoming[question.stream]?.unwrittenCount += 1
        self.deadlines.set(question.stream, at: now + self.configuration.keepTime * 2)
    }

    /// Resets the stream of a question.
    public mutating func refuse(_ question: Question) {
        guard let incoming = self.incoming[question.stream], incoming.question == question, case .asked = incoming.state else { return }
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
        let reader = ServiceFrameReader(byteCountMax: self.configuration.requestByteCountMax)
        let question = Question(peer: peer, protocolID: protocolID, household: info.household, stream: stream)
        self.incoming[stream] = Incoming(question: question, state: .reading(reader))
        self.deadlines.set(stream, at: now + self.configuration.timeout)
    }

    /// Whether the peer may have one more: a stream of its own that waits for its next request makes room.
    private mutating func makeRoom(of peer: PeerID) -> Bool {
        guard self.peers[peer]?.questions ?? 0 >= self.configuration.parallelQuestionsPerPeerMax else { return true }
        guard let idle = self.oldest(where: { $0.isIdle && $0.question.peer == peer }) else { return false }
        self.giveUp(idle)
        return true
    }

    /// When all places are taken, a stream that waits for a next request makes room, of the household that has most of them. Where none
    /// waits, the household that has most gives up its oldest, unless the newcomer's has as many.
    private mutating func makeRoom(for household: [UInt8]) -> Bool {
        guard self.incoming.count >= self.configuration.parallelQuestionsMax else { return true }
        let idle: [[UInt8]: Int] = self.incoming.values.reduce(into: [:]) { if $1.isIdle { $0[$1.household, default: 0] += 1 } }
        if let most = idle.values.max(), let oldest = self.oldest(where: { $0.isIdle && idle[$0.household] == most }) {
            self.giveUp(oldest)
            return true
        }
        let counts: [[UInt8]: Int] = self.incoming.values.reduce(into: [:]) { $0[$1.household, default: 0] += 1 }
        guard let most = counts.values.max(), most > counts[household, default: 0] + 1,
            let oldest = self.oldest(where: { counts[$0.household] == most })
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

    private mutating func forget(_ stream: StreamID) {
        guard let incoming = self.incoming.removeValue(forKey: stream) else { return }
        self.partialByteCount -= incoming.partialByteCount
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
        let wasAsked = if case .asked = incoming.state { true } else { false }
        self.outbox.report(.refused(incoming.question.peer, wasAsked ? incoming.question : nil, error))
    }

    // MARK: What comes

    mutating func takeQuestion(_ stream: StreamID, _ bytes: [UInt8], now: Duration) {
        guard var incoming = self.incoming[stream] else { return }
        guard case .reading(var reader) = incoming.state else { return self.breakOff(incoming, .bytesBehind, resets: true) }
        // Who asks on and on and reads no answer would have us hold them all.
        guard incoming.unwrittenCount <= Self.unwrittenCountMax else { return self.breakOff(incoming, .notRead, resets: true) }
        if incoming.isIdle { self.deadlines.set(stream, at: now + self.configuration.timeout) }
        do throws(FrameReader.Failure) {
            guard let found = try reader.receive(bytes) else {
                self.partialByteCount += reader.heldByteCount - incoming.partialByteCount
                self.incoming[stream]?.state = .reading(reader)
                return self.giveUpPartials()
            }
            guard found.rest.isEmpty else { return self.breakOff(incoming, .bytesBehind, resets: true) }
            self.partialByteCount -= incoming.partialByteCount
            incoming.state = .asked
            self.incoming[stream] = incoming
            self.counters.asked += 1
            self.outbox.report(.asked(incoming.question, found.frame))
        } catch {
            self.breakOff(incoming, .frame(error), resets: true)
        }
    }

    /// Most answers on one stream that wait to be read.
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
            self.outbox.report(.refused(answered.peer, nil, answered.isWritten ? .notEnded : .notRead))
        } else if let incoming = self.incoming[stream] {
            let wasAsked = if case .asked = incoming.state { true } else { false }
            if incoming.isIdle, incoming.unwrittenCount == 0 { return self.giveUp(incoming) }
            self.breakOff(incoming, wasAsked ? .notAnswered : incoming.isIdle ? .notRead : .timedOut, resets: true)
        }
    }

    /// The peer has said all that it will say on a stream.
    mutating func questionEnded(_ stream: StreamID, isReset: Bool) {
        if var answered = self.answered[stream] {
            answered.hasEnded = true
            if isReset { answered.isWritten = true }
            self.answered[stream] = answered
            return self.forgetIfOver(stream)
        }
        guard let incoming = self.incoming[stream] else { return }
        // A peer that has asked has said all, so the end of its side is in order.
        if case .asked = incoming.state, !isReset {
            self.incoming[stream]?.hasEnded = true
        } else if incoming.isIdle {
            // It wants nothing more.
            self.forget(stream)
            if !isReset { self.outbox.send(incoming.unwrittenCount == 0 ? .closeWrite(stream) : .reset(stream)) }
        } else {
            self.breakOff(incoming, .ended, resets: !isReset)
        }
    }
}
