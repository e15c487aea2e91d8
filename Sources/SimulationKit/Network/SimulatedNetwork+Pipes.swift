internal import LibP2P

// How bytes get from one host to another.

extension SimulatedNetwork {
    func happens(_ probability: Double) -> Bool { probability > 0 && Double.random(in: 0..<1, using: &self.random) < probability }

    /// One way between two hosts, without jitter: the same at all times and in both directions.
    func delay(_ one: Int, _ other: Int) -> Duration {
        let range = (self.faults.delay.lowerBound.nanoseconds, self.faults.delay.upperBound.nanoseconds)
        guard range.0 < range.1 else { return self.faults.delay.lowerBound }
        var random = SeededRandom(seed: self.seed ^ UInt64(min(one, other)) << 32 ^ UInt64(max(one, other)))
        return .nanoseconds(Int64.random(in: range.0...range.1, using: &random))
    }

    private func jitter() -> Duration {
        let most = self.faults.jitter.nanoseconds
        return most > 0 ? .nanoseconds(Int64.random(in: 0...most, using: &self.random)) : .zero
    }

    func isCut(_ pipe: SimulatedPipe) -> Bool { self.hosts[pipe.ends[0].host].part != self.hosts[pipe.ends[1].host].part }

    func carryOut(_ command: SwarmCommand, of host: SimulatedHost<Program>) {
        switch command {
        case .dial(let id, let raw): self.begin(Dial(host: host.number, start: host.startCount, id: id, raw: raw))
        case .send(let id):
            guard let (pipe, side) = host.pipes[id] else { return }
            self.fill(pipe, from: side, of: host)
        case .close(let id, let afterOutput):
            // A dial that is called off.
            if host.pendingDials.remove(id) != nil { return }
            guard let (pipe, side) = host.pipes[id] else { return }
            if afterOutput {
                pipe.directions[side.other.rawValue].endsAfterOutput = true
                self.fill(pipe, from: side, of: host)
            } else {
                self.close(pipe, at: side, of: host)
            }
        }
    }

    // MARK: Dials

    private func begin(_ dial: Dial) {
        self.counters.dials += 1
        self.hosts[dial.host].pendingDials.insert(dial.id)
        let other = self.host(at: dial.raw.address)
        let delay = other.map { self.delay(dial.host, $0) } ?? self.faults.delay.lowerBound
        if self.happens(self.faults.dialFailureProbability) {
            guard !self.happens(self.faults.silentFailureShare) else { return }
            return self.queue.add(.dialEnds(dial, nil, .unreachable), at: self.now + delay * 2 + self.jitter())
        }
        self.queue.add(.dialArrives(dial), at: self.now + delay + self.jitter())
    }

    func arrive(_ dial: Dial) {
        guard let other = self.host(at: dial.raw.address).map({ self.hosts[$0] }) else {
            return self.queue.add(.dialEnds(dial, nil, .refused), at: self.now + self.faults.delay.lowerBound)
        }
        let host = self.hosts[dial.host]
        // A machine that is down and a network that is cut give no answer.
        guard other.isUp, !other.isHidden, host.isUp, host.part == other.part, host.startCount == dial.start else { return }
        let delay = self.delay(dial.host, other.number)
        self.digest.note(5, UInt64(dial.host), UInt64(other.number), UInt64(bitPattern: self.now.nanoseconds))
        // A system gives ports out one after the other.
        let port = 32_768 + UInt16(truncatingIfNeeded: dial.id.rawValue % 28_000)
        guard let id = other.node.swarm.accepted(from: Self.address(of: dial.host, port: port), now: self.now) else {
            self.settle(other)
            return self.queue.add(.dialEnds(dial, nil, .refused), at: self.now + delay)
        }
        let pipe = SimulatedPipe(
            dialer: .init(host: dial.host, id: dial.id), listener: .init(host: other.number, id: id), delay: delay, now: self.now)
        other.pipes[id] = (pipe, .listener)
        self.counters.pipes += 1
        if let lifetime = self.faults.pipeLifetime {
            let draw = Double.random(in: 1e-9..<1, using: &self.random)
            self.queue.add(.pipeBreaks(pipe), at: self.now + lifetime * -Self.logarithm(draw))
        }
        self.queue.add(.dialEnds(dial, pipe, .unreachable), at: self.now + delay)
        self.settle(other)
    }

    func end(_ dial: Dial, _ pipe: SimulatedPipe?, _ failure: RawDialFailure) {
        let host = self.hosts[dial.host]
        let isWanted = host.isUp && host.startCount == dial.start && host.pendingDials.remove(dial.id) != nil
        if pipe == nil { self.counters.failedDials += 1 }
        self.digest.note(6, UInt64(dial.host), pipe == nil ? 0 : 1, isWanted ? 1 : 0)
        guard let pipe, !pipe.isBroken else {
            if isWanted {
                host.node.swarm.dialFailed(dial.id, failure, now: self.now)
                self.settle(host)
            }
            return
        }
        guard isWanted else { return self.send(.end, through: pipe, from: .dialer, of: host) }
        host.pipes[dial.id] = (pipe, .dialer)
        host.node.swarm.dialled(dial.id, now: self.now)
        self.settle(host)
    }

    // MARK: Bytes

    private func windowByteCount(of host: Int) -> Int { self.hosts[host].windowByteCount ?? self.faults.windowByteCount }

    /// Sends what a node has for a pipe, as far as there is room.
    private func fill(_ pipe: SimulatedPipe, from side: SimulatedPipe.Side, of host: SimulatedHost<Program>) {
        let (id, target) = (pipe.ends[side.rawValue].id, side.other.rawValue)
        while pipe.directions[target].byteCount < self.windowByteCount(of: pipe.ends[target].host) {
            let count = host.node.swarm.fillOutput(of: id, into: self.buffer, now: self.now)
            guard count > 0 else {
                pipe.directions[target].wantsRoom = false
                if pipe.directions[target].endsAfterOutput { self.close(pipe, at: side, of: host) }
                return
            }
            host.sentByteCount += count
            self.send(Array(self.buffer[..<count]), through: pipe, from: side, of: host)
        }
        pipe.directions[target].wantsRoom = true
    }

    private func send(_ bytes: [UInt8], through pipe: SimulatedPipe, from side: SimulatedPipe.Side, of host: SimulatedHost<Program>) {
        if bytes.count > 1, self.happens(self.faults.cutProbability) {
            let place = Int.random(in: 1..<bytes.count, using: &self.random)
            self.send(.bytes(Array(bytes[..<place])), through: pipe, from: side, of: host)
            self.send(.bytes(Array(bytes[place...])), through: pipe, from: side, of: host)
        } else {
            self.send(.bytes(bytes), through: pipe, from: side, of: host)
        }
    }

    func send(
        _ piece: SimulatedPipe.Direction.Piece, through pipe: SimulatedPipe, from side: SimulatedPipe.Side, of host: SimulatedHost<Program>
    ) {
        guard !pipe.isBroken else { return }
        let target = side.other
        var departure = self.now
        if case .bytes(let bytes) = piece {
            pipe.directions[target.rawValue].byteCount += bytes.count
            if let rate = self.faults.uplinkBytesPerSecond {
                host.uplinkFreeAt = max(host.uplinkFreeAt, self.now) + .nanoseconds(Int64(bytes.count) * 1_000_000_000 / Int64(rate))
                departure = host.uplinkFreeAt
            }
        }
        let arrival = max(departure + pipe.delay + self.jitter(), pipe.directions[target.rawValue].lastArrival)
        pipe.directions[target.rawValue].lastArrival = arrival
        pipe.directions[target.rawValue].pieces.append(piece)
        self.queue.add(.arrival(pipe, to: target), at: arrival)
    }

    func arrive(_ pipe: SimulatedPipe, to side: SimulatedPipe.Side) {
        guard !pipe.isBroken else { return }
        let index = side.rawValue
        if self.isCut(pipe) {
            if pipe.directions.allSatisfy({ $0.heldCount == 0 }) { self.heldPipes.append(pipe) }
            pipe.directions[index].heldCount += 1
            return
        }
        let (host, id) = (self.hosts[pipe.ends[index].host], pipe.ends[index].id)
        if host.isUp, host.readsAgainAt > self.now { return self.queue.add(.arrival(pipe, to: side), at: host.readsAgainAt) }
        guard !pipe.directions[index].pieces.isEmpty else { return }
        let piece = pipe.directions[index].pieces.removeFirst()
        // The end may be closed already, or its machine gone.
        guard host.isUp, let own = host.pipes[id], own.pipe === pipe else {
            if host.isUp, pipe.isOrphaned { self.queue.add(.pipeResets(pipe), at: self.now + pipe.delay) }
            return
        }
        switch piece {
        case .bytes(var bytes):
            self.read(&bytes, pipe, side, host)
        case .end:
            self.digest.note(7, UInt64(host.number), id.rawValue, UInt64(bitPattern: self.now.nanoseconds))
            host.node.swarm.endOfInput(id, now: self.now)
        }
        self.settle(host)
    }

    private func read(_ bytes: inout [UInt8], _ pipe: SimulatedPipe, _ side: SimulatedPipe.Side, _ host: SimulatedHost<Program>) {
        let (index, id) = (side.rawValue, pipe.ends[side.rawValue].id)
        self.counters.byteCount += bytes.count
        host.receivedByteCount += bytes.count
        self.counters.pieceCount += 1
        self.digest.note(8, UInt64(host.number), id.rawValue, UInt64(bitPattern: self.now.nanoseconds))
        self.digest.mix(bytes)
        if let rate = host.readBytesPerSecond {
            host.readsAgainAt = self.now + .nanoseconds(Int64(bytes.count) * 1_000_000_000 / Int64(max(1, rate)))
        }
        pipe.directions[index].byteCount -= bytes.count
        if pipe.directions[index].wantsRoom, pipe.directions[index].byteCount * 2 < self.windowByteCount(of: host.number) {
            pipe.directions[index].wantsRoom = false
            self.queue.add(.room(pipe, to: side), at: self.now + pipe.delay)
        }
        bytes.withUnsafeMutableBytes { host.node.swarm.receive($0, from: id, now: self.now) }
    }

    /// - Parameter side: where the bytes go.
    func makeRoom(in pipe: SimulatedPipe, to side: SimulatedPipe.Side) {
        let end = pipe.ends[side.other.rawValue]
        let host = self.hosts[end.host]
        guard !pipe.isBroken, host.isUp, let own = host.pipes[end.id], own.pipe === pipe else { return }
        self.fill(pipe, from: side.other, of: host)
        self.settle(host)
    }

    // MARK: Ends

    /// One end closes; the other hears of it after what is under way.
    private func close(_ pipe: SimulatedPipe, at side: SimulatedPipe.Side, of host: SimulatedHost<Program>) {
        host.pipes[pipe.ends[side.rawValue].id] = nil
        self.send(.end, through: pipe, from: side, of: host)
    }

    func breakPipe(_ pipe: SimulatedPipe, silently: Bool) {
        guard !pipe.isBroken else { return }
        self.digest.note(9, UInt64(pipe.ends[0].host), pipe.ends[0].id.rawValue, UInt64(bitPattern: self.now.nanoseconds))
        pipe.isBroken = true
        for index in pipe.directions.indices { pipe.directions[index].pieces = [] }
        self.counters.brokenPipes += 1
        guard !silently else { return }
        for end in pipe.ends {
            let host = self.hosts[end.host]
            guard host.isUp, let own = host.pipes[end.id], own.pipe === pipe else { continue }
            host.node.swarm.endOfInput(end.id, now: self.now)
            self.settle(host)
        }
    }

    /// What waited while the network was cut goes on.
    func release(_ pipe: SimulatedPipe) {
        for side in [SimulatedPipe.Side.dialer, .listener] {
            let count = pipe.directions[side.rawValue].heldCount
            guard count > 0 else { continue }
            pipe.directions[side.rawValue].heldCount = 0
            let arrival = max(self.now + pipe.delay, pipe.directions[side.rawValue].lastArrival)
            pipe.directions[side.rawValue].lastArrival = arrival
            for _ in 0..<count { self.queue.add(.arrival(pipe, to: side), at: arrival) }
        }
    }

    /// The natural logarithm, by its series around powers of two: no C library below.
    static func logarithm(_ value: Double) -> Double {
        precondition(value > 0 && value.isFinite, "a logarithm of a positive number")
        // value = 2^exponent · significand; ln significand = 2·artanh((s − 1)/(s + 1)).
        let ratio = (value.significand - 1) / (value.significand + 1)
        var (power, sum, divisor) = (ratio, 0.0, 1.0)
        while divisor < 60 {
            sum += power / divisor
            power *= ratio * ratio
            divisor += 2
        }
        return 2 * sum + Double(value.exponent) * 0.693_147_180_559_945_3
    }
}
