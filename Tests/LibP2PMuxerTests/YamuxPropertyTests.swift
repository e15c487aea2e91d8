import Foundation
import Testing

@testable import LibP2P

/// Two sessions, a network that cuts and delays, and users who do everything in any order, all from one seed.
private struct RandomConversation {
    /// One direction of one stream: what was written and what has arrived.
    struct Direction {
        var written: [UInt8] = []
        var arrived: [UInt8] = []
        var isClosed = false
        var hasEnded = false
    }

    struct Key: Hashable {
        var stream: YamuxStreamID
        var from: YamuxRole
    }

    var random: SeededNumbers
    var dialer: YamuxSession
    var listener: YamuxSession
    var wire: [YamuxRole: [UInt8]] = [.dialer: [], .listener: []]
    var directions: [Key: Direction] = [:]
    var live: [YamuxRole: [YamuxStreamID]] = [.dialer: [], .listener: []]
    var resetStreams: Set<YamuxStreamID> = []
    var now = Duration.zero
    var mostBuffered = 0

    init(seed: UInt64) {
        self.random = SeededNumbers(seed: seed)
        var limits = YamuxLimits()
        limits.sendBufferByteCountMax = 1 + self.random.below(100_000)
        limits.windowGrowthByteCountMax = self.random.below(1_000_000)
        self.dialer = YamuxSession(.dialer, limits: limits)
        self.listener = YamuxSession(.listener, limits: limits)
    }

    func other(_ role: YamuxRole) -> YamuxRole { role == .dialer ? .listener : .dialer }

    @discardableResult
    mutating func with<Result>(_ role: YamuxRole, _ body: (inout YamuxSession) -> Result) -> Result {
        role == .dialer ? body(&self.dialer) : body(&self.listener)
    }

    mutating func step() {
        let role: YamuxRole = self.random.below(2) == 0 ? .dialer : .listener
        self.now += .microseconds(self.random.below(5_000))
        let now = self.now
        switch self.random.below(20) {
        case 0: self.open(role)
        case 1...5: self.write(role)
        case 6...9: self.read(role)
        case 10...12: self.send(role)
        case 13...16: self.carry(to: role, at: now)
        case 17: if let id = self.pick(role) { self.closeWrite(id, role) }
        case 18 where self.random.below(10) == 0: if let id = self.pick(role) { self.reset(id, role) }
        default: self.with(role) { $0.sendPing() }
        }
        self.handleEvents(role)
    }

    mutating func pick(_ role: YamuxRole) -> YamuxStreamID? {
        guard let ids = self.live[role], !ids.isEmpty else { return nil }
        return ids[self.random.below(ids.count)]
    }

    mutating func open(_ role: YamuxRole) {
        guard (self.live[role]?.count ?? 0) < 12 else { return }
        let now = self.now
        let announcement: YamuxSession.Announcement = self.random.below(2) == 0 ? .atOnce : .withFirstBytes
        guard let id = self.with(role, { try? $0.open(announcing: announcement, now: now) }) else { return }
        self.live[role]?.append(id)
    }

    mutating func write(_ role: YamuxRole) {
        guard let id = self.pick(role) else { return }
        let key = Key(stream: id, from: role)
        guard self.directions[key]?.isClosed != true else { return }
        let bytes = self.random.bytes(self.random.below(self.random.below(4) == 0 ? 40_000 : 500))
        let wholly = self.random.below(2) == 0
        let taken = self.with(role) { session in
            if wholly { return (try? session.write(bytes, to: id)) == nil ? 0 : bytes.count }
            return (try? session.write(bytes.span.bytes, to: id)) ?? 0
        }
        self.directions[key, default: Direction()].written += bytes.prefix(taken)
    }

    mutating func read(_ role: YamuxRole) {
        guard let id = self.pick(role) else { return }
        let key = Key(stream: id, from: self.other(role)), now = self.now, most = 1 + self.random.below(50_000)
        let chunk = self.random.below(2) == 0
        let bytes = self.with(role) { session in
            if chunk { return session.read(from: id, now: now) ?? [] }
            var bytes: [UInt8] = []
            _ = session.read(from: id, now: now) { span in
                span.extracting(first: most).withUnsafeBytes { bytes += $0 }
                return min(most, span.byteCount)
            }
            return bytes
        }
        self.directions[key, default: Direction()].arrived += bytes
    }

    mutating func send(_ role: YamuxRole) {
        let now = self.now, most = 24 + self.random.below(70_000)
        let output = self.with(role) { $0.output(upTo: most, now: now) }
        self.wire[self.other(role)]? += output
    }

    mutating func carry(to role: YamuxRole, at now: Duration) {
        let count = self.random.below((self.wire[role]?.count ?? 0) + 1)
        let bytes = Array(self.wire[role]?.prefix(count) ?? [])
        self.wire[role]?.removeFirst(count)
        self.with(role) { $0.receive(bytes, now: now) }
    }

    mutating func closeWrite(_ id: YamuxStreamID, _ role: YamuxRole) {
        self.with(role) { $0.closeWrite(id) }
        self.directions[Key(stream: id, from: role), default: Direction()].isClosed = true
    }

    mutating func reset(_ id: YamuxStreamID, _ role: YamuxRole) {
        self.with(role) { $0.reset(id) }
        self.resetStreams.insert(id)
        self.live[role]?.removeAll { $0 == id }
    }

    mutating func handleEvents(_ role: YamuxRole) {
        let events = self.with(role) { $0.takeEvents() }
        for event in events {
            switch event {
            case .opened(let id):
                self.with(role) { $0.accept(id) }
                self.live[role]?.append(id)
            case .ended(let id):
                #expect(self.directions[Key(stream: id, from: self.other(role))]?.hasEnded != true)
                self.directions[Key(stream: id, from: self.other(role)), default: Direction()].hasEnded = true
            case .finished(let id): self.live[role]?.removeAll { $0 == id }
            case .reset(let id, _, let origin):
                #expect(origin == .peer && self.resetStreams.contains(id))
                self.live[role]?.removeAll { $0 == id }
            case .closed(let reason): Issue.record("closed: \(reason)")
            case .peerStoppedReading(let id): #expect(self.resetStreams.contains(id))
            case .acknowledged, .readable, .writable, .canOpen, .pingAnswered, .wentAway: break
            }
        }
        let (buffered, isConsistent) = self.with(role) { ($0.bufferedByteCount, $0.isConsistent) }
        #expect(isConsistent)
        self.mostBuffered = max(self.mostBuffered, buffered)
    }

    /// Everybody closes, sends and reads until nothing is left.
    mutating func finish() {
        for _ in 0..<2_000 {
            for role in [YamuxRole.dialer, .listener] {
                for id in self.live[role] ?? [] {
                    self.closeWrite(id, role)
                    let now = self.now
                    let bytes = self.with(role) { $0.readAll(id, now: now) }
                    self.directions[Key(stream: id, from: self.other(role)), default: Direction()].arrived += bytes
                }
                self.send(role)
                let rest = self.wire[self.other(role)] ?? []
                self.wire[self.other(role)] = []
                let now = self.now
                self.with(self.other(role)) { $0.receive(rest, now: now) }
                self.handleEvents(.dialer)
                self.handleEvents(.listener)
            }
            let isDone = [self.dialer, self.listener].allSatisfy { $0.streamCount == 0 && !$0.hasOutput }
            if isDone { return }
        }
        Issue.record("the sessions do not come to rest")
    }
}

@Suite struct YamuxPropertyTests {
    @Test(arguments: UInt64(0)..<50)
    func `whatever is written arrives in order, and both sides come to rest`(seed: UInt64) {
        var conversation = RandomConversation(seed: seed)
        for _ in 0..<1_000 { conversation.step() }
        conversation.finish()
        for (key, direction) in conversation.directions {
            // As Data, because arrays compare slowly in a debug build.
            #expect(Data(direction.written).prefix(direction.arrived.count) == Data(direction.arrived))
            if !conversation.resetStreams.contains(key.stream) {
                #expect(direction.arrived.count == direction.written.count, "\(key) of seed \(seed)")
                #expect(direction.hasEnded)
            }
        }
        #expect(conversation.directions.values.contains { $0.arrived.count > 1_000 })
        for session in [conversation.dialer, conversation.listener] {
            #expect(session.bufferedByteCount == 0 && session.counters.violations == 0)
            #expect(session.windowGrowthByteCount == 0 && session.closeReason == nil)
        }
        // Both sides open 12 streams at most: a window and its growth to be read, a buffer and a chunk to be sent.
        #expect(conversation.mostBuffered <= 24 * (262_144 + 100_000 + 40_000) + 1_000_000)
    }
}
