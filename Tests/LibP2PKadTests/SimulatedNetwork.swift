import CryptoPrimitives
import LibP2P

/// Many hash tables in one process under virtual time: connections, delays, crashes and cuts, all from one seed.
struct SimulatedNetwork {
    /// What a node does instead of speaking the protocol: the bytes it answers to a request; `nil` for silence.
    typealias Script = (_ message: KadMessage, _ asker: Int) -> [UInt8]?

    enum Happening {
        case input(ProtocolInput)
        case tick
        /// A dial reaches its end.
        case connect(to: Int)
    }

    private struct Scheduled {
        let time: Duration
        let number: UInt64
        let node: Int
        let happening: Happening
    }

    private struct Link {
        let near: ConnectionInfo
        let far: ConnectionInfo
    }

    let ids: [PeerID]
    private let indices: [PeerID: Int]
    var machines: [KadDHT]
    private(set) var now: Duration = .zero
    private(set) var results: [[KadOperationID: (outcome: KadOutcome, report: KadReport)]]
    private(set) var refusals: [KadRefusal] = []
    private(set) var sentTypes: [KadMessageType: Int] = [:]
    private(set) var dialled: Set<Multiaddr> = []
    private(set) var isUp: [Bool]
    private(set) var heldByteCountMax = 0
    private(set) var disconnectedCount = 0
    var scripts: [Int: Script] = [:]
    /// Nodes with different numbers do not reach one another.
    private var sides: [Int]
    private var links: [[Int: Link]]
    private var streams: [StreamID: (opener: Int, listener: Int)] = [:]
    private var ticks: [Duration?]
    private var queue: [Scheduled] = []
    private var number: UInt64 = 0

    init(nodeCount: Int, seed: UInt64, configure: (Int, inout KadDHT.Configuration) -> Void = { _, _ in }) {
        self.ids = (0..<nodeCount).map { Self.peer(UInt64($0), seed: seed) }
        self.indices = Dictionary(uniqueKeysWithValues: self.ids.enumerated().map { ($1, $0) })
        self.machines = self.ids.enumerated().map { index, id in
            var configuration = KadDHT.Configuration()
            configuration.validators["v"] = .anything
            configuration.refreshBucketCountMax = 2
            configure(index, &configuration)
            return KadDHT(peer: id, configuration: configuration, seed: seed &+ UInt64(index), unixTimeOffset: .seconds(1_700_000_000))
        }
        self.results = Array(repeating: [:], count: nodeCount)
        self.isUp = Array(repeating: true, count: nodeCount)
        self.sides = Array(repeating: 0, count: nodeCount)
        self.links = Array(repeating: [:], count: nodeCount)
        self.ticks = Array(repeating: nil, count: nodeCount)
        for index in self.ids.indices { self.machines[index].setOwnAddresses([Self.address(of: index)]) }
    }

    static func peer(_ number: UInt64, seed: UInt64) -> PeerID {
        let digest = SHA256.hash(Array("peer \(seed) \(number)".utf8)).bytes
        guard let peer = try? PeerID(parsing: [0x12, 0x20] + digest) else { preconditionFailure("a SHA-256 multihash is a peer id") }
        return peer
    }

    static func address(of index: Int, port: UInt16 = 4_001) -> Multiaddr {
        let bytes = [10, UInt8(truncatingIfNeeded: index >> 16), UInt8(truncatingIfNeeded: index >> 8), UInt8(truncatingIfNeeded: index)]
        return Multiaddr([IPv4Address(bytes).map { .ip4($0) } ?? .tls, .tcp(port)])
    }

    // MARK: What tests do

    /// All nodes join one after another through a few of the first.
    mutating func join(every interval: Duration = .milliseconds(100)) {
        for index in self.ids.indices {
            for first in 0..<min(3, index) {
                self.machines[index].addPeer(self.ids[first], addresses: [Self.address(of: first)], now: self.now)
            }
            if index > 0 { _ = self.do(index) { $0.bootstrap(now: $1) } }
            self.run(for: interval)
        }
        self.run(for: .seconds(15))
    }

    /// Starts an operation of a node.
    mutating func `do`(_ index: Int, _ start: (inout KadDHT, Duration) -> KadOperationID) -> KadOperationID {
        let id = start(&self.machines[index], self.now)
        self.drain(index)
        return id
    }

    /// Starts an operation, and goes on until it is over.
    mutating func result(
        of index: Int, within time: Duration = .seconds(60), _ start: (inout KadDHT, Duration) -> KadOperationID
    ) -> (outcome: KadOutcome, report: KadReport)? {
        let id = self.do(index, start)
        let end = self.now + time
        while self.results[index][id] == nil, let next = self.queue.first, next.time <= end { self.step() }
        return self.results[index][id]
    }

    mutating func run(for time: Duration) {
        let end = self.now + time
        while let next = self.queue.first, next.time <= end { self.step() }
        self.now = end
    }

    /// A node goes; the others notice it at once, or, if it is cut off, only by its silence.
    mutating func stop(_ index: Int, silently: Bool = false) {
        self.isUp[index] = false
        for other in self.links[index].keys.sorted() where !silently { self.cut(index, other) }
    }

    /// Cuts the network in two; connections between the sides go.
    mutating func split(_ side: (Int) -> Int) {
        self.sides = self.ids.indices.map(side)
        for index in self.ids.indices {
            for other in self.links[index].keys.sorted() where self.sides[other] != self.sides[index] { self.cut(index, other) }
        }
    }

    mutating func connect(_ index: Int, _ other: Int) { self.finishDial(of: index, to: other) }

    // MARK: How it goes on

    private mutating func step() {
        guard let next = self.pop() else { return }
        self.now = max(self.now, next.time)
        guard self.isUp[next.node] else { return }
        switch next.happening {
        case .connect(let other): self.finishDial(of: next.node, to: other)
        case .tick:
            guard self.ticks[next.node] == next.time else { return }
            self.ticks[next.node] = nil
            self.machines[next.node].tick(now: self.now)
            self.drain(next.node)
        case .input(let input):
            if let script = self.scripts[next.node] { return self.follow(script, of: next.node, input) }
            self.machines[next.node].handle(input, now: self.now)
            if case .protocols(let peer, _) = input, let other = self.indices[peer] {
                self.machines[next.node].learn([Self.address(of: other)], of: peer)
            }
            self.drain(next.node)
        }
    }

    private mutating func follow(_ script: Script, of node: Int, _ input: ProtocolInput) {
        guard case .received(let stream, let bytes) = input, let ends = self.streams[stream] else { return }
        var reader = FrameReader(byteCountMax: KadMessage.byteCountMax)
        for frame in (try? reader.receive(bytes)) ?? [] {
            guard let message = try? KadMessage(parsing: frame), let answer = script(message, ends.opener) else { continue }
            self.schedule(ends.opener, after: self.delay(node, ends.opener), .input(.received(stream, answer)))
        }
    }

    private mutating func drain(_ index: Int) {
        while let command = self.machines[index].nextCommand() { self.carryOut(command, of: index) }
        while let event = self.machines[index].nextEvent() {
            switch event {
            case .finished(let id, let outcome, let report): self.results[index][id] = (outcome, report)
            case .refused(_, let refusal): self.refusals.append(refusal)
            case .contactAdded, .contactRemoved: break
            }
        }
        guard let deadline = self.machines[index].deadline, self.ticks[index].map({ deadline < $0 }) ?? true else { return }
        let time = max(deadline, self.now)
        self.ticks[index] = time
        self.schedule(index, after: time - self.now, .tick)
    }

    private mutating func carryOut(_ command: ProtocolCommand, of index: Int) {
        switch command {
        case .open(let request, let peer, let protocols, _):
            guard let other = self.indices[peer], self.links[index][other] != nil, self.isUp[other] else {
                let isSilent = self.indices[peer].map { self.links[index][$0] != nil } ?? false
                if !isSilent { self.schedule(index, after: .zero, .input(.failed(request: request, .notConnected))) }
                return
            }
            let delay = self.delay(index, other)
            guard let id = protocols.first, self.machines[other].servedProtocolIDs.contains(id), let link = self.links[index][other] else {
                return self.schedule(index, after: delay * 2, .input(.failed(request: request, .notSupported)))
            }
            let stream = StreamID(rawValue: self.makeNumber())
            self.streams[stream] = (index, other)
            self.schedule(other, after: delay, .input(.inbound(stream, link.far, protocolID: id)))
            self.schedule(index, after: delay * 2, .input(.opened(request: request, stream, protocolID: id)))
        case .openOn, .pauseReading, .resumeReading: break
        case .write(let stream, let bytes):
            self.count(bytes)
            self.forward(.received(stream, bytes), stream, from: index)
        case .closeWrite(let stream): self.forward(.ended(stream), stream, from: index)
        case .reset(let stream):
            self.forward(.reset(stream), stream, from: index)
            self.streams[stream] = nil
        case .dial(let peer, let addresses, _):
            self.dialled.formUnion(addresses)
            guard let other = self.indices[peer], addresses.contains(Self.address(of: other)) else { return }
            self.schedule(index, after: self.delay(index, other) * 4, .connect(to: other))
        case .disconnect(let peer):
            if let other = self.indices[peer] { self.cut(index, other) }
        }
    }

    private mutating func count(_ bytes: [UInt8]) {
        var reader = FrameReader(byteCountMax: KadMessage.byteCountMax)
        guard bytes.count < 200, let frame = try? reader.receive(bytes).first, let message = try? KadMessage(parsing: frame) else { return }
        self.sentTypes[message.type, default: 0] += 1
    }

    private mutating func forward(_ input: ProtocolInput, _ stream: StreamID, from index: Int) {
        guard let ends = self.streams[stream] else { return }
        let other = ends.opener == index ? ends.listener : ends.opener
        guard self.links[index][other] != nil else { return }
        self.schedule(other, after: self.delay(index, other), .input(input))
    }

    private mutating func finishDial(of index: Int, to other: Int) {
        guard index != other, self.isUp[index], self.isUp[other], self.sides[index] == self.sides[other], self.links[index][other] == nil
        else {
            return
        }
        let near = ConnectionInfo(
            id: ConnectionID(rawValue: self.makeNumber()), peer: self.ids[other], isOutbound: true, remoteAddress: Self.address(of: other),
            isLimited: false)
        let far = ConnectionInfo(
            id: ConnectionID(rawValue: self.makeNumber()), peer: self.ids[index], isOutbound: false,
            remoteAddress: Self.address(of: index, port: 50_000), isLimited: false)
        self.links[index][other] = Link(near: near, far: far)
        self.links[other][index] = Link(near: far, far: near)
        for (node, info, peer) in [(index, near, other), (other, far, index)] {
            self.schedule(node, after: .zero, .input(.connected(info)))
            let protocols = self.scripts[peer] == nil ? self.machines[peer].servedProtocolIDs : ["/ipfs/kad/1.0.0"]
            self.schedule(node, after: self.delay(index, other) * 2, .input(.protocols(of: self.ids[peer], protocols)))
        }
    }

    private mutating func cut(_ index: Int, _ other: Int) {
        guard let link = self.links[index].removeValue(forKey: other) else { return }
        self.links[other][index] = nil
        self.disconnectedCount += 1
        let lost = self.streams.filter { Set([$0.value.opener, $0.value.listener]) == [index, other] }.keys.sorted()
        for stream in lost {
            self.streams[stream] = nil
            for node in [index, other] { self.schedule(node, after: .zero, .input(.reset(stream))) }
        }
        self.schedule(index, after: .zero, .input(.disconnected(link.near)))
        self.schedule(other, after: .zero, .input(.disconnected(link.far)))
    }

    /// 10 to 59 ms one way, the same for a pair at all times, so that what is sent first arrives first.
    private func delay(_ index: Int, _ other: Int) -> Duration { .milliseconds(10 + (min(index, other) * 7 + max(index, other) * 13) % 50) }

    private mutating func makeNumber() -> UInt64 {
        self.number += 1
        return self.number
    }

    // MARK: The queue, a heap

    private mutating func schedule(_ node: Int, after delay: Duration, _ happening: Happening) {
        let entry = Scheduled(time: self.now + delay, number: self.makeNumber(), node: node, happening: happening)
        self.queue.append(entry)
        var child = self.queue.count - 1
        while child > 0, Self.precedes(self.queue[child], self.queue[(child - 1) / 2]) {
            self.queue.swapAt(child, (child - 1) / 2)
            child = (child - 1) / 2
        }
    }

    private mutating func pop() -> Scheduled? {
        guard let first = self.queue.first else { return nil }
        self.queue.swapAt(0, self.queue.count - 1)
        self.queue.removeLast()
        var parent = 0
        while true {
            let children = [2 * parent + 1, 2 * parent + 2].filter { $0 < self.queue.count }
            guard let least = children.min(by: { Self.precedes(self.queue[$0], self.queue[$1]) }),
                Self.precedes(self.queue[least], self.queue[parent])
            else { return first }
            self.queue.swapAt(parent, least)
            parent = least
        }
    }

    private static func precedes(_ left: Scheduled, _ right: Scheduled) -> Bool {
        left.time == right.time ? left.number < right.number : left.time < right.time
    }
}

extension KadValidator {
    /// Takes everything; the value that is greater byte by byte is better.
    static let anything = KadValidator(
        isValid: { _, _, _ in true }, isBetter: { _, current, candidate in current.lexicographicallyPrecedes(candidate) })

    /// Takes what begins with `good`; the greater one is better.
    static let good = KadValidator(
        isValid: { _, value, _ in value.starts(with: Array("good".utf8)) },
        isBetter: { _, current, candidate in current.lexicographicallyPrecedes(candidate) })
}

extension KadOutcome {
    var value: [UInt8]? {
        if case .value(let value, _) = self { value } else { nil }
    }

    var providers: [KadFoundPeer] {
        if case .providers(let providers) = self { providers } else { [] }
    }

    var peer: KadFoundPeer? {
        if case .peer(let peer) = self { peer } else { nil }
    }

    var storedCount: Int {
        switch self {
        case .stored(let count, _), .provided(let count): count
        default: 0
        }
    }
}
