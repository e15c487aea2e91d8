internal import CryptoPrimitives
internal import LibP2P

/// One run of the network scenario, step by step.
struct NetworkRun {
    struct Message {
        let number: Int
        let id: PubSubMessageID
        let publisher: Int
        let at: Duration
        /// The subscribers that were connected to the publisher, over whatever many others; while pipes hang, over meshes.
        let expected: [Int]
        /// Those of them that read slowly then, and may have it later.
        let slow: [Int]
    }

    struct Value {
        let number: Int
        let writer: Int
        let key: [UInt8]
        let bytes: [UInt8]
    }

    let scenario: NetworkScenario
    let network: SimulatedNetwork<NetworkMember>
    var report: SimulationReport
    /// What the scenario itself chooses.
    private var random: SeededRandom
    private var messages: [Message] = []
    private var values: [Value] = []
    private var putCount = 0
    /// The network is cut, and the pipes across the cut are still there: nobody has noticed.
    private var pipesHang = false

    init(_ scenario: NetworkScenario) throws {
        self.scenario = scenario
        self.report = SimulationReport(
            seed: scenario.seed, hostCount: scenario.hostCount, floodsOwnMessages: scenario.floodsOwnMessages)
        self.random = SeededRandom(seed: scenario.seed ^ 0x7363_656e_6172_696f)
        let seed = scenario.seed
        let bootstrap = try (0..<min(NetworkScenario.bootstrapCount, scenario.hostCount)).map { number in
            (peer: try SimulatedKeys.identity(seed: seed, host: number).id, address: SimulatedNetwork<NetworkMember>.address(of: number))
        }
        self.network = try SimulatedNetwork(hostCount: scenario.hostCount, seed: seed, faults: scenario.faults) { number, configuration in
            configuration.limits.connectionCountHighWater = NetworkScenario.connectionCounts.highWater
            configuration.limits.trimmedConnectionCount = NetworkScenario.connectionCounts.trimmed
            configuration.gossipsub?.floodsOwnMessages = scenario.floodsOwnMessages
            configuration.kad?.refreshBucketCountMax = scenario.refreshedBucketCount
            configuration.kad?.replicationCount = scenario.replicationCount
            configuration.kad?.validators[NetworkMember.namespace] = KadValidator(
                isValid: { _, value, _ in value.count <= 1_024 }, isBetter: { _, current, candidate in current.count < candidate.count })
            scenario.configure(number, &configuration)
        } makeProgram: { number, previous in
            var plan = NetworkMember.Plan()
            plan.bootstrap = bootstrap
            plan.forwardsNothing = scenario.silentHosts.contains(number)
            plan.isDeaf = scenario.deafHosts.contains(number)
            // A part of a small network cannot have more.
            plan.connectionCountMin = min(plan.connectionCountMin, scenario.hostCount * 2 / 5)
            // Whoever comes back does so at once.
            plan.joinDelayMax = previous == nil ? NetworkScenario.startingTime : .zero
            plan.seed = seed &* 1_000_003 &+ UInt64(number)
            return NetworkMember(plan)
        }
    }

    mutating func perform(_ progress: (_ step: String, _ now: Duration) -> Void) throws {
        progress("joining", self.network.now)
        self.join()
        if !self.scenario.isOfValuesOnly {
            progress("publishing", self.network.now)
            self.publish(self.scenario.messageCount)
            progress("slow readers", self.network.now)
            self.slowDown()
        }
        progress("putting and finding values", self.network.now)
        self.put(self.scenario.valueCount, by: self.upHosts)
        self.findAll(by: self.upHosts)
        guard !self.scenario.isOfValuesOnly else { return self.finish() }
        progress("cut in two", self.network.now)
        self.cutAndHeal()
        progress("crashing", self.network.now)
        try self.crashAndRestart()
        self.finish()
    }

    private var upHosts: [Int] { self.network.hosts.filter(\.isUp).map(\.number) }

    // MARK: Steps

    private mutating func join() {
        self.network.run(until: { network in network.hosts.allSatisfy { $0.program.hasJoined } }, within: .seconds(30))
        for host in self.network.hosts where !host.program.hasJoined && self.scenario.hostCount > 1 {
            self.report.violations.append(.notJoined(host: host.number))
        }
        self.network.run(for: NetworkScenario.settlingTime)
        self.checkConnected()
        self.checkMeshes()
    }

    private mutating func cutAndHeal() {
        let breaksPipes = Bool.random(using: &self.random)
        let order = Array(0..<self.scenario.hostCount).shuffled(using: &self.random)
        let share = Double.random(in: 0.3...0.5, using: &self.random)
        let minority = Set(order.prefix(max(1, Int(Double(order.count) * share))))
        self.network.split(breakingPipes: breaksPipes) { minority.contains($0) ? 1 : 0 }
        self.pipesHang = !breaksPipes
        let sides = [self.upHosts.filter { !minority.contains($0) }, self.upHosts.filter { minority.contains($0) }]
        self.network.run(for: .seconds(2))
        let (firstMessage, firstValue) = (self.messages.count, self.values.count)
        for side in sides where side.count > 1 {
            self.publish(2, by: side)
            self.put(1, by: side)
        }
        self.network.run(for: self.scenario.cutTime)
        self.checkCut(self.messages[firstMessage...])
        self.network.split { _ in 0 }
        self.pipesHang = false
        self.becomeOne()
        self.refreshTables()
        self.publish(self.scenario.messageCount)
        // A value lies with the nearest hosts that its writer could reach. Where others look for it elsewhere, for those nearest of all were
        // on the other side or did not answer in the cut, it is found once it was put again, which its writer does by itself after some
        // hours.
        let cutOff = Array(self.values[firstValue...])
        self.values.removeSubrange(firstValue...)
        let missed = Set(self.lookups(of: cutOff, by: self.upHosts).filter { !$0.isFound }.map(\.value.number))
        self.values += cutOff.filter { !missed.contains($0.number) }
        self.report.putAgainCount += missed.count
        self.put(cutOff.filter { missed.contains($0.number) })
        self.findAll(by: self.upHosts)
    }

    /// Has some hosts read slowly, or not at all for a while, as the others publish: those get everything in time all the same, and the
    /// slow ones do when they read again.
    private mutating func slowDown() {
        let slow = Set(self.upHosts.dropFirst().shuffled(using: &self.random).prefix(self.scenario.slowReaderCount))
        guard !slow.isEmpty else { return }
        self.report.slowReaderCount += slow.count
        for host in slow.sorted() {
            if Bool.random(using: &self.random) {
                let rate = NetworkScenario.slowReadingRates.randomElement(using: &self.random)
                self.network.setReading(of: host, bytesPerSecond: rate)
            } else {
                self.network.stopReading(host, for: .seconds(Int.random(in: NetworkScenario.stalledSeconds, using: &self.random)))
            }
        }
        let first = self.messages.count
        self.publish(self.scenario.messageCount, by: self.upHosts.filter { !slow.contains($0) }, slow: slow)
        // What a slow one has begun to read takes its time to the end.
        var readsAgainAt = self.network.now
        for host in slow {
            self.network.setReading(of: host, bytesPerSecond: nil)
            readsAgainAt = max(readsAgainAt, self.network.hosts[host].readsAgainAt)
        }
        self.network.run(until: readsAgainAt)
        let (published, start, limit) = (self.messages[first...], self.network.now, self.deliveryTime)
        self.network.run(
            until: { network in
                published.allSatisfy { message in message.slow.allSatisfy { network.hosts[$0].program.arrivals[message.id] != nil } }
            }, within: limit)
        for message in published {
            for subscriber in message.slow {
                let arrival = self.network.hosts[subscriber].program.arrivals[message.id]
                if let arrival, arrival - start <= limit {
                    self.report.slowDeliveries.add((arrival - message.at).seconds / Self.heartbeat.seconds)
                } else {
                    self.report.violations.append(
                        .missedDelivery(
                            message: message.number, publisher: message.publisher, at: message.at, subscriber: subscriber,
                            after: arrival.map { $0 - message.at }))
                }
            }
        }
    }

    /// Within so long a message reaches everybody.
    private var deliveryTime: Duration { Self.heartbeat * self.scenario.bounds.deliveryHeartbeatCountMax }

    private mutating func crashAndRestart() throws {
        let candidates = Array(1..<self.scenario.hostCount).shuffled(using: &self.random)
        let crashed = candidates.prefix(self.scenario.hostCount / 10).sorted()
        for host in crashed { self.network.crash(host, silently: Bool.random(using: &self.random)) }
        self.network.run(for: .seconds(2))
        self.publish(2)
        for host in crashed { try self.network.restart(host) }
        self.network.run(until: { network in crashed.allSatisfy { network.hosts[$0].program.hasJoined } }, within: .seconds(30))
        for host in crashed where !self.network.hosts[host].program.hasJoined { self.report.violations.append(.notJoined(host: host)) }
        self.becomeOne()
        self.checkMeshes()
        self.publish(self.scenario.messageCount)
        self.findAll(by: crashed)
    }

    /// Waits until all hosts are connected again, and then for their meshes.
    private mutating func becomeOne() {
        let count = self.upHosts.count
        self.network.run(
            until: { network in self.reachable(from: 0, in: network).count == count }, within: self.scenario.healingTime, step: .seconds(1))
        self.checkConnected()
        self.network.run(for: NetworkScenario.settlingTime)
    }

    /// Has all hosts look for their neighbours again, as they do by themselves every ten minutes: what a cut has taken out of the tables
    /// of the other side comes back only so.
    private func refreshTables() {
        for host in self.upHosts { self.network.update(host) { node, program, now in program.join(&node, now: now) } }
        self.network.run(until: { network in network.hosts.allSatisfy { !$0.isUp || !$0.program.isJoining } }, within: .seconds(30))
    }

    private mutating func finish() {
        for host in self.network.hosts where host.program.repeatedCount > 0 {
            self.report.violations.append(.repeatedDelivery(host: host.number, count: host.program.repeatedCount))
        }
        for host in self.network.hosts {
            self.report.sentBytes.add(Double(host.sentByteCount))
            self.report.connections.add(Double(host.node.swarm.connectionCount))
        }
        self.report.digest = self.network.digest
        self.report.counters = self.network.counters
        self.report.virtualTime = self.network.now
    }

    // MARK: Messages

    private mutating func publish(_ count: Int) { self.publish(count, by: self.upHosts) }

    /// Publishes messages by some of these hosts, and waits as long as they may take.
    ///
    /// - Parameter slow: hosts that need not have them in time.
    private mutating func publish(_ count: Int, by hosts: [Int], slow: Set<Int> = []) {
        let first = self.messages.count
        for _ in 0..<count {
            guard let publisher = hosts.randomElement(using: &self.random) else { return }
            let byteCount = [64, 300, 2_000, 20_000].randomElement(using: &self.random) ?? 64
            let number = self.messages.count
            let reached = self.reachedSurely(from: publisher).filter { $0 != publisher }
            let data = [UInt8](repeating: UInt8(truncatingIfNeeded: number), count: byteCount)
            let publication = self.network.update(publisher) { node, _, now in
                try? node.publish(data, to: NetworkMember.topic, now: now)
            }
            guard let publication = publication ?? nil else { preconditionFailure("a fresh message of a host that is up is taken") }
            self.messages.append(
                Message(
                    number: number, id: publication.id, publisher: publisher, at: self.network.now,
                    expected: reached.filter { !slow.contains($0) }, slow: reached.filter { slow.contains($0) }))
            self.network.run(for: .milliseconds(Int.random(in: 50...400, using: &self.random)))
        }
        // What has arrived everywhere needs no more time; what came too late is found out by when it came.
        let published = self.messages[first...]
        self.network.run(
            until: { network in
                published.allSatisfy { message in
                    message.expected.allSatisfy { network.hosts[$0].program.arrivals[message.id] != nil }
                }
            }, within: self.deliveryTime)
        self.checkDelivery(of: published)
    }

    static let heartbeat = GossipsubParameters().heartbeatInterval

    private mutating func checkDelivery(of messages: ArraySlice<Message>) {
        let limit = self.deliveryTime
        for message in messages {
            self.report.messageCount += 1
            for subscriber in message.expected {
                let after = self.network.hosts[subscriber].program.arrivals[message.id].map { $0 - message.at }
                if let after, after <= limit {
                    self.report.deliveries.add(after.seconds / Self.heartbeat.seconds)
                } else {
                    self.report.violations.append(
                        .missedDelivery(
                            message: message.number, publisher: message.publisher, at: message.at, subscriber: subscriber, after: after))
                }
            }
        }
    }

    private mutating func checkCut(_ messages: ArraySlice<Message>) {
        for message in messages {
            let part = self.network.hosts[message.publisher].part
            for host in self.network.hosts where host.part != part && host.program.arrivals[message.id] != nil {
                self.report.violations.append(.crossedCut(message: message.number, subscriber: host.number))
            }
        }
    }

    // MARK: Connections and meshes

    /// The hosts that are connected to one, over whatever many others, sorted.
    private func reachable(from start: Int, in network: SimulatedNetwork<NetworkMember>) -> [Int] {
        self.reachable(from: start, in: network) { network.hosts[$0].node.swarm.connectedPeers }
    }

    /// The hosts that a message of one has to reach: all that are connected to it, over whatever many others.
    ///
    /// While a cut leaves its pipes hanging those are excused that no mesh joins to it, as long as they are few: that all mesh peers of a host
    /// lie across the cut happens to one in ten or so. Where more say that of themselves, something else is wrong with their meshes.
    private mutating func reachedSurely(from publisher: Int) -> [Int] {
        let connected = self.reachable(from: publisher, in: self.network)
        guard self.pipesHang else { return connected }
        let joined = self.reachableByMeshes(from: publisher)
        let excusedCount = connected.count - joined.count
        guard excusedCount * 3 <= connected.count else { return connected }
        self.report.excusedDeliveryCount += excusedCount
        return joined
    }

    /// The hosts to which a message gets from mesh to mesh, and with the first step to all peers where own messages go there.
    ///
    /// While a cut leaves its pipes hanging, all mesh peers of a host may be on the other side, and it cannot know. Gossip then brings it
    /// most messages all the same, but whether and when is chance, so nothing is asked of it.
    private func reachableByMeshes(from start: Int) -> [Int] {
        self.reachable(from: start, in: self.network) { number in
            let host = self.network.hosts[number]
            guard let gossipsub = host.node.gossipsub, number != start || !self.scenario.floodsOwnMessages else {
                return host.node.swarm.connectedPeers
            }
            return host.node.swarm.read(gossipsub) { $0.meshPeers(NetworkMember.topic) }
        }
    }

    private func reachable(
        from start: Int, in network: SimulatedNetwork<NetworkMember>, over neighbours: (_ host: Int) -> [PeerID]
    ) -> [Int] {
        var (found, waiting) = (Set([start]), [start])
        while let number = waiting.popLast() {
            for peer in neighbours(number) {
                guard let other = network.host(of: peer), network.hosts[other].isUp, !found.contains(other),
                    network.hosts[other].part == network.hosts[number].part,
                    // Of a connection that broke without a sign one side may not know yet.
                    network.hosts[other].node.swarm.isConnected(to: network.hosts[number].id)
                else { continue }
                found.insert(other)
                waiting.append(other)
            }
        }
        return found.sorted()
    }

    private mutating func checkConnected() {
        let reached = self.reachable(from: 0, in: self.network).count
        guard reached < self.upHosts.count else { return }
        self.report.violations.append(.notConnected(at: self.network.now, reachedCount: reached, of: self.upHosts.count))
    }

    /// A mesh that has just lost a peer is filled by the next heartbeat, so only what is wrong before and after two of them is told.
    private mutating func checkMeshes() {
        let suspects = Set(self.poorMeshes().map(\.host))
        self.network.run(for: GossipsubParameters().heartbeatInterval * 2)
        for host in self.network.hosts where host.isUp {
            guard let gossipsub = host.node.gossipsub else { continue }
            self.report.meshDegrees.add(Double(host.node.swarm.read(gossipsub) { $0.meshPeers(NetworkMember.topic).count }))
        }
        for mesh in self.poorMeshes() where suspects.contains(mesh.host) {
            self.report.violations.append(
                .meshDegree(host: mesh.host, at: self.network.now, degree: mesh.degree, availableCount: mesh.available))
        }
    }

    /// The meshes that are too large, or too small although there are peers to graft: those in their backoff are none.
    private func poorMeshes() -> [(host: Int, degree: Int, available: Int)] {
        let (bounds, now) = (self.scenario.bounds.meshDegree, self.network.now)
        return self.network.hosts.compactMap { host in
            guard host.isUp, let gossipsub = host.node.gossipsub else { return nil }
            let (degree, available) = host.node.swarm.read(gossipsub) { machine in
                let degree = machine.meshPeers(NetworkMember.topic).count
                return (degree, degree + machine.graftablePeers(NetworkMember.topic, now: now).count)
            }
            let isPoor = degree > bounds.upperBound || degree < min(bounds.lowerBound, available)
            return isPoor ? (host.number, degree, available) : nil
        }
    }

    // MARK: Values

    /// Puts values by some of these hosts, at the same time, and waits for all.
    private mutating func put(_ count: Int, by hosts: [Int]) {
        var values: [Value] = []
        for _ in 0..<count {
            guard let writer = hosts.randomElement(using: &self.random) else { return }
            let number = self.putCount
            self.putCount += 1
            let (key, bytes) = (Array("/\(NetworkMember.namespace)/\(number)".utf8), Array("value \(number) of host \(writer)".utf8))
            values.append(Value(number: number, writer: writer, key: key, bytes: bytes))
        }
        self.put(values)
    }

    private mutating func put(_ values: [Value]) {
        var operations: [(value: Value, id: KadOperationID)] = []
        for value in values {
            let id = self.network.update(value.writer) { node, _, now in
                node.withKad(now: now) { $0.put(key: value.key, value: value.bytes, now: now) }
            }
            if let id = id ?? nil { operations.append((value, id)) }
        }
        self.wait(for: operations.map { ($0.value.writer, $0.id) })
        for (value, id) in operations {
            let outcome = self.network.hosts[value.writer].program.results[id]?.outcome
            if case .stored = outcome {
                self.values.append(value)
            } else {
                self.report.violations.append(.notStored(value: value.number, writer: value.writer, reason: Self.reason(outcome)))
            }
        }
        self.report.valueCount = self.values.count
    }

    /// Looks for every value that was put so far, by some of these hosts.
    private mutating func findAll(by hosts: [Int]) {
        for lookup in self.lookups(of: self.values, by: hosts) {
            guard lookup.isFound, let report = lookup.result?.report else {
                self.report.violations.append(
                    .notFound(value: lookup.value.number, reader: lookup.reader, reason: Self.reason(lookup.result?.outcome)))
                continue
            }
            self.report.hops.add(Double(report.hopCount))
            self.report.lookupSeconds.add(report.elapsed.seconds)
            if report.hopCount > self.scenario.bounds.hopCountMax {
                self.report.violations.append(
                    .tooManyHops(value: lookup.value.number, reader: lookup.reader, hopCount: report.hopCount))
            }
        }
    }

    /// One host's search for a value, and what came of it.
    private struct Lookup {
        let value: Value
        let reader: Int
        let result: (outcome: KadOutcome, report: KadReport)?

        var isFound: Bool {
            if case .value(self.value.bytes, _)? = self.result?.outcome { true } else { false }
        }
    }

    private mutating func lookups(of values: [Value], by hosts: [Int]) -> [Lookup] {
        var operations: [(reader: Int, value: Value, id: KadOperationID)] = []
        for value in values {
            for reader in hosts.shuffled(using: &self.random).prefix(self.scenario.readerCount) {
                let id = self.network.update(reader) { node, _, now in
                    node.withKad(now: now) { $0.get(key: value.key, now: now) }
                }
                if let id = id ?? nil { operations.append((reader, value, id)) }
            }
        }
        self.wait(for: operations.map { ($0.reader, $0.id) })
        return operations.map { reader, value, id in
            Lookup(value: value, reader: reader, result: self.network.hosts[reader].program.results[id])
        }
    }

    /// A lookup takes at most its timeout, and putting as long again.
    private func wait(for operations: [(host: Int, id: KadOperationID)]) {
        self.network.run(
            until: { network in operations.allSatisfy { network.hosts[$0.host].program.results[$0.id] != nil } }, within: .seconds(30))
    }

    private static func reason(_ outcome: KadOutcome?) -> String {
        switch outcome {
        case .failed(let failure): failure.description
        case .value: "another value stood there"
        case .stored, .provided, .providers, .peer, .closest, .bootstrapped: "another outcome"
        case nil: "no answer in time"
        }
    }
}
