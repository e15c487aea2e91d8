extension RelayServer {
    public mutating func handle(_ input: ProtocolInput, now: Duration) {
        switch input {
        case .connected(let info):
            if !info.remoteAddress.isRelayed { self.connectionCounts[info.peer, default: 0] += 1 }
        case .disconnected(let info):
            guard !info.remoteAddress.isRelayed else { return }
            let count = (self.connectionCounts[info.peer] ?? 1) - 1
            self.connectionCounts[info.peer] = count <= 0 ? nil : count
            if count <= 0 { self.endPlace(info.peer, .disconnected) }
        case .opened(let request, let stream, _): self.targetOpened(request, stream)
        case .failed(let request, let failure):
            if case .opening? = self.circuits[request]?.phase { self.fail(request, .stream(failure), now: now) }
        case .inbound(let stream, let info, _): self.admit(stream, info, now: now)
        case .received(let stream, let bytes):
            if let hop = self.hops[stream] { self.request(stream, hop, bytes, now: now) } else { self.carry(stream, bytes, now: now) }
        case .ended(let stream): self.ended(stream, now: now)
        case .reset(let stream):
            self.forget(hop: stream)
            self.circuitOfStream[stream].map { self.legReset($0, stream, now: now) }
        case .writable(let stream): self.tookAll(stream)
        case .protocols: break
        }
    }

    public mutating func tick(now: Duration) {
        while let timer = self.deadlines.popDue(now: now) {
            switch timer {
            case .hop(let stream):
                self.giveUp(hop: stream, .timedOut)
                self.outbox.send(.reset(stream))
            case .place(let peer): self.endPlace(peer, .expired)
            case .circuit(let number):
                guard let circuit = self.circuits[number] else { continue }
                if case .standing = circuit.phase { self.end(number, .durationLimit) } else { self.fail(number, .timedOut, now: now) }
            }
        }
    }

    // MARK: Beginning

    mutating func connect(_ stream: StreamID, _ info: ConnectionInfo, to target: PeerID?, _ early: [UInt8], now: Duration) {
        guard let target, target != info.peer, target != self.identity.id else {
            return self.refuse(stream, info.peer, .malformedMessage, now: now)
        }
        guard self.places[target] != nil else { return self.refuse(stream, info.peer, .noReservation, now: now) }
        let mostOfOne = max(self.circuitCounts[info.peer] ?? 0, self.circuitCounts[target] ?? 0)
        guard early.count <= self.configuration.earlyByteCountMax else {
            return self.refuse(stream, info.peer, .unexpectedMessage, now: now)
        }
        guard mostOfOne < self.configuration.circuitsPerPeerMax, self.takeShares(for: info.household, target) else {
            return self.refuse(stream, info.peer, .resourceLimitExceeded, now: now)
        }
        self.forget(hop: stream)
        self.nextNumber += 1
        let number = self.nextNumber
        self.circuits[number] = Circuit(
            sourceInfo: info, target: target, sourceStream: stream, phase: .opening, early: early)
        self.circuitOfStream[stream] = number
        for peer in [info.peer, target] { self.circuitCounts[peer, default: 0] += 1 }
        self.deadlines.set(.circuit(number), at: now + self.configuration.timeout)
        self.outbox.send(.open(request: number, target, protocolIDs: [RelayClient.stopProtocolID]))
    }

    private mutating func takeShares(for household: [UInt8], _ target: PeerID) -> Bool {
        var ofTarget = self.circuitSharesOfTarget[target] ?? HouseholdShares()
        guard ofTarget.take(1, for: household, of: self.configuration.circuitsPerPeerMax),
            self.circuitShares.take(1, for: household, of: self.configuration.circuitCountMax)
        else { return false }
        self.circuitSharesOfTarget[target] = ofTarget
        return true
    }

    private mutating func giveSharesBack(of household: [UInt8], _ target: PeerID) {
        self.circuitShares.giveBack(1, of: household)
        self.circuitSharesOfTarget[target]?.giveBack(1, of: household)
        if self.circuitSharesOfTarget[target]?.total == 0 { self.circuitSharesOfTarget[target] = nil }
    }

    private mutating func targetOpened(_ request: UInt64, _ stream: StreamID) {
        guard let circuit = self.circuits[request], case .opening = circuit.phase else { return self.outbox.send(.reset(stream)) }
        self.circuits[request]?.targetStream = stream
        self.circuits[request]?.phase = .asking(ServiceFrameReader(byteCountMax: RelayMessage.receivedByteCountMax))
        self.circuitOfStream[stream] = request
        let message = StopMessage(.connect, peer: circuit.source, limit: self.configuration.circuitLimit)
        self.outbox.send(.write(stream, FrameReader.frame(message.bytes)))
    }

    private mutating func targetAnswered(_ number: UInt64, _ circuit: Circuit, _ bytes: [UInt8], now: Duration) {
        guard case .asking(var reader) = circuit.phase, let target = circuit.targetStream else { return }
        let rest: [UInt8]
        do throws(RelayError) {
            let found = try Self.answer(bytes, &reader)
            guard let found else {
                self.circuits[number]?.phase = .asking(reader)
                return
            }
            guard found.message.kind == .status, let status = found.message.status else { throw .unexpectedMessage }
            guard status == .ok else { throw .refused(status) }
            rest = found.rest
        } catch {
            return self.fail(number, error, now: now)
        }
        self.circuits[number]?.phase = .standing
        self.circuits[number]?.early = []
        if let duration = self.configuration.circuitLimit.duration {
            self.deadlines.set(.circuit(number), at: now + duration)
        } else {
            self.deadlines.remove(.circuit(number))
        }
        self.counters.circuits += 1
        let confirmation = HopMessage(.status, limit: self.configuration.circuitLimit, status: .ok)
        self.outbox.send(.write(circuit.sourceStream, FrameReader.frame(confirmation.bytes)))
        self.outbox.report(.circuitStands(from: circuit.source, to: circuit.target))
        if !rest.isEmpty { self.carry(target, rest, now: now) }
        if !circuit.early.isEmpty { self.carry(circuit.sourceStream, circuit.early, now: now) }
    }

    private static func answer(
        _ bytes: [UInt8], _ reader: inout ServiceFrameReader
    ) throws(RelayError) -> (message: StopMessage, rest: [UInt8])? {
        let found: (frame: [UInt8], rest: [UInt8])?
        do throws(FrameReader.Failure) { found = try reader.receive(bytes) } catch { throw .frame(error) }
        guard let found else { return nil }
        do throws(RelayMessageError) {
            return (try StopMessage(parsing: found.frame), found.rest)
        } catch {
            throw .message(error)
        }
    }

    // MARK: Carrying

    private mutating func carry(_ stream: StreamID, _ bytes: [UInt8], now: Duration) {
        guard let number = self.circuitOfStream[stream], var circuit = self.circuits[number] else { return }
        let isFromSource = stream == circuit.sourceStream
        guard case .standing = circuit.phase, let target = circuit.targetStream else {
            guard isFromSource else { return self.targetAnswered(number, circuit, bytes, now: now) }
            guard circuit.early.count + bytes.count <= self.configuration.earlyByteCountMax else {
                return self.end(number, .failed(.tooManyBytes(maximum: self.configuration.earlyByteCountMax)))
            }
            self.circuits[number]?.early += bytes
            return
        }
        let carried = (isFromSource ? circuit.bytesFromSource : circuit.bytesFromTarget) + UInt64(bytes.count)
        if let limit = self.configuration.circuitLimit.byteCount, carried > limit { return self.end(number, .byteLimit) }
        self.counters.bytes += UInt64(bytes.count)
        self.outbox.send(.write(isFromSource ? target : circuit.sourceStream, bytes))
        let isPaused: Bool
        if isFromSource {
            circuit.bytesFromSource = carried
            circuit.underWayToTarget += bytes.count
            isPaused = circuit.underWayToTarget > self.configuration.underWayByteCountMax
            circuit.isSourcePaused = isPaused
        } else {
            circuit.bytesFromTarget = carried
            circuit.underWayToSource += bytes.count
            isPaused = circuit.underWayToSource > self.configuration.underWayByteCountMax
            circuit.isTargetPaused = isPaused
        }
        self.circuits[number] = circuit
        // One end that reads nothing must not have the other one fill this node's memory.
        if isPaused { self.outbox.send(.pauseReading(stream)) }
    }

    /// One end has room again for what the other one says.
    private mutating func tookAll(_ stream: StreamID) {
        guard let number = self.circuitOfStream[stream], let circuit = self.circuits[number], let target = circuit.targetStream else {
            return
        }
        if stream == target {
            self.circuits[number]?.underWayToTarget = 0
            self.circuits[number]?.isSourcePaused = false
            if circuit.isSourcePaused { self.outbox.send(.resumeReading(circuit.sourceStream)) }
        } else {
            self.circuits[number]?.underWayToSource = 0
            self.circuits[number]?.isTargetPaused = false
            if circuit.isTargetPaused { self.outbox.send(.resumeReading(target)) }
        }
    }

    private mutating func ended(_ stream: StreamID, now: Duration) {
        if let hop = self.hops[stream] {
            // Without a request there is nothing to answer.
            if hop.reader != nil { self.outbox.send(.reset(stream)) }
            return self.giveUp(hop: stream, .ended)
        }
        guard let number = self.circuitOfStream[stream], let circuit = self.circuits[number] else { return }
        guard case .standing = circuit.phase, let target = circuit.targetStream else {
            return self.legReset(number, stream, now: now)
        }
        if stream == circuit.sourceStream {
            self.circuits[number]?.sourceHasEnded = true
            self.outbox.send(.closeWrite(target))
        } else {
            self.circuits[number]?.targetHasEnded = true
            self.outbox.send(.closeWrite(circuit.sourceStream))
        }
        if stream == circuit.sourceStream ? circuit.targetHasEnded : circuit.sourceHasEnded { self.end(number, .finished) }
    }

    // MARK: Ending

    private mutating func legReset(_ number: UInt64, _ stream: StreamID, now: Duration) {
        guard let circuit = self.circuits[number] else { return }
        if case .standing = circuit.phase { return self.end(number, .reset) }
        if stream == circuit.sourceStream { self.end(number, .failed(.ended)) } else { self.fail(number, .ended, now: now) }
    }

    /// The circuit does not come about: the source learns it, the target's stream goes.
    private mutating func fail(_ number: UInt64, _ error: RelayError, now: Duration) {
        guard let circuit = self.forget(circuit: number) else { return }
        if let target = circuit.targetStream { self.outbox.send(.reset(target)) }
        self.counters.refused += 1
        self.hops[circuit.sourceStream] = Hop(info: circuit.sourceInfo, reader: nil)
        self.hopCounts[circuit.source, default: 0] += 1
        self.answer(circuit.sourceStream, HopMessage(.status, status: .connectionFailed), now: now)
        self.outbox.report(.circuitEnded(from: circuit.source, to: circuit.target, .failed(error), byteCount: 0))
    }

    private mutating func end(_ number: UInt64, _ end: CircuitEnd) {
        guard let circuit = self.forget(circuit: number) else { return }
        if end != .finished {
            self.outbox.send(.reset(circuit.sourceStream))
            if let target = circuit.targetStream { self.outbox.send(.reset(target)) }
        }
        let byteCount = circuit.bytesFromSource + circuit.bytesFromTarget
        self.outbox.report(.circuitEnded(from: circuit.source, to: circuit.target, end, byteCount: byteCount))
    }

    private mutating func forget(circuit number: UInt64) -> Circuit? {
        guard let circuit = self.circuits.removeValue(forKey: number) else { return nil }
        self.deadlines.remove(.circuit(number))
        self.circuitOfStream[circuit.sourceStream] = nil
        if let target = circuit.targetStream { self.circuitOfStream[target] = nil }
        self.giveSharesBack(of: circuit.sourceInfo.household, circuit.target)
        for peer in [circuit.source, circuit.target] {
            let count = (self.circuitCounts[peer] ?? 1) - 1
            self.circuitCounts[peer] = count == 0 ? nil : count
        }
        return circuit
    }
}
