import Foundation

/// Nodes of several implementations at the same work, turn about, in one run.
///
/// Each implementation has two nodes that talk to each other, and ten for messages. All nodes are processes of their own, and time what
/// they do themselves; a message's way is from just before its command is written to the time that each node says it came.
final class NetworkBenchmarks {
    private let kinds: [PeerKind]
    private let rounds: Int
    private let report: (NetworkRow) -> Void

    private static let messageNodeCount = 10
    private static let streamCount = 8
    /// A quarter of a second to one and a half.
    private static let throughputByteCount = 256 << 20

    init(kinds: [PeerKind], isQuick: Bool, report: @escaping (NetworkRow) -> Void) {
        self.kinds = kinds
        self.rounds = isQuick ? 3 : 9
        self.report = report
    }

    /// Two nodes of one implementation, the second dialled by the first.
    private struct Pair {
        let kind: PeerKind
        let dialer: PeerProcess
        let listener: PeerProcess
    }

    /// - Returns: what each implementation calls itself.
    func run() throws -> [String: String] {
        let agents = try self.runPairs()
        try self.runMessages()
        return agents
    }

    // MARK: Two nodes

    private func runPairs() throws -> [String: String] {
        let pairs = try self.kinds.map { Pair(kind: $0, dialer: try $0.start(), listener: try $0.start()) }
        defer {
            for pair in pairs {
                pair.dialer.end()
                pair.listener.end()
            }
        }
        self.report(self.memory(of: pairs))
        self.report(try self.connect(pairs))
        var agents: [String: String] = [:]
        for pair in pairs {
            let found = try pair.dialer.carryOut("identify", ["peer": pair.listener.id])
            agents[pair.kind.key] = found["agent"] as? String
        }
        self.report(try self.ping(pairs))
        self.report(try self.throughput(pairs, streams: 1))
        self.report(try self.throughput(pairs, streams: Self.streamCount))
        return agents
    }

    private func memory(of pairs: [Pair]) -> NetworkRow {
        // What a start leaves to be done is done then.
        usleep(2_000_000)
        var row = NetworkRow(name: "resident memory, idle", unit: "MiB", budget: .atMost(30))
        for pair in pairs {
            row.set(pair.kind.key, [pair.dialer, pair.listener].compactMap(\.residentByteCount).map { Double($0) / 1_048_576 })
        }
        return row
    }

    private func connect(_ pairs: [Pair]) throws -> NetworkRow {
        var times: [String: [Double]] = [:]
        // The first one is nobody's figure; after the last they stay connected.
        for round in 0...(2 * self.rounds + 2) {
            for pair in pairs {
                if round > 0 {
                    try pair.dialer.carryOut("disconnect", ["peer": pair.listener.id])
                    usleep(20_000)
                }
                let reply = try pair.dialer.carryOut("connect", ["addr": pair.listener.address])
                if round > 0, let time = reply["ms"] as? Double { times[pair.kind.key, default: []].append(time) }
            }
        }
        var row = NetworkRow(name: "connect", unit: "ms", budget: .atMost(3.7))
        for (key, values) in times { row.set(key, values) }
        return row
    }

    private func ping(_ pairs: [Pair]) throws -> NetworkRow {
        var times: [String: [Double]] = [:]
        for _ in 0..<self.rounds {
            for pair in pairs {
                let reply = try pair.dialer.carryOut("ping", ["peer": pair.listener.id, "count": 50])
                times[pair.kind.key, default: []] += reply["ms"] as? [Double] ?? []
            }
        }
        var row = NetworkRow(name: "ping", unit: "ms", budget: .atMost(0.2))
        for (key, values) in times { row.set(key, values) }
        return row
    }

    private func throughput(_ pairs: [Pair], streams: Int) throws -> NetworkRow {
        var (rates, bare): ([String: [Double]], [Double]) = ([:], [])
        for round in 0...self.rounds {
            if round > 0, streams == 1 { bare.append(try BareLoop.measure(Self.throughputByteCount)) }
            for pair in pairs {
                // As much for each: what a transfer begins with, small windows and first growth, weighs the same. The first is nobody's
                // figure.
                let byteCount = Self.throughputByteCount / streams
                let start = DispatchTime.now()
                let numbers = try (0..<streams).map { _ in
                    try pair.dialer.send("throughput", ["peer": pair.listener.id, "bytes": byteCount, "chunk": 65_536])
                }
                let replies = try numbers.map { try pair.dialer.reply(to: $0) }
                let seconds = Double(DispatchTime.now().uptimeNanoseconds - start.uptimeNanoseconds) / 1e9
                require(replies.allSatisfy { $0["bytes"] as? Int == byteCount })
                guard round > 0 else { continue }
                let rate = streams == 1 ? replies[0]["MBps"] as? Double ?? 0 : Double(byteCount * streams) / seconds / 1e6
                rates[pair.kind.key, default: []].append(rate)
            }
        }
        var row = NetworkRow(name: streams == 1 ? "one stream" : "\(streams) streams in one connection", unit: "MB/s")
        if streams == 1 {
            row.budget = .atLeast(500, partOfBareLoop: 0.6)
            row.bareLoop = Stopwatch.median(bare)
        }
        for (key, values) in rates { row.set(key, values, worstIsHigh: false) }
        return row
    }

    // MARK: Ten nodes

    private func runMessages() throws {
        let unit = "ms"
        var any = NetworkRow(name: "message to any of \(Self.messageNodeCount) nodes", unit: unit, budget: .atMost(4.5))
        var last = NetworkRow(name: "message to the last of \(Self.messageNodeCount) nodes", unit: unit)
        for kind in self.kinds {
            let nodes = try self.messageNodes(kind)
            defer { for node in nodes { node.end() } }
            let times = try self.sendMessages(nodes)
            any.set(kind.key, times.flatMap { $0 })
            // Only a message that came everywhere has a last node.
            last.set(kind.key, times.filter { $0.count == nodes.count - 1 }.compactMap { $0.max() })
        }
        self.report(any)
        self.report(last)
    }

    /// Each node dials the three that follow it, which gives each six neighbours.
    private func messageNodes(_ kind: PeerKind) throws -> [PeerProcess] {
        let nodes = try (0..<Self.messageNodeCount).map { _ in try kind.start(["--topic", "bench"]) }
        for (place, node) in nodes.enumerated() {
            for distance in 1...3 { try node.carryOut("connect", ["addr": nodes[(place + distance) % nodes.count].address]) }
        }
        for _ in 0..<50 {
            let counts = try nodes.map { (try $0.carryOut("topic_peers", ["topic": "bench"])["peers"] as? [Any])?.count ?? 0 }
            if counts.allSatisfy({ $0 >= 6 }) { break }
            usleep(200_000)
        }
        // Two heartbeats, for the mesh.
        usleep(2_500_000)
        return nodes
    }

    /// The milliseconds that each message took to each node that it reached.
    private func sendMessages(_ nodes: [PeerProcess]) throws -> [[Double]] {
        var sent: [String: (time: Double, node: Int)] = [:]
        for number in 0..<4 * self.rounds {
            let text = "message \(number) " + String(repeating: ".", count: 240)
            sent[text] = (Date().timeIntervalSince1970, number % nodes.count)
            try nodes[number % nodes.count].carryOut("publish", ["topic": "bench", "data": text])
            usleep(50_000)
        }
        usleep(500_000)
        var times: [String: [Double]] = [:]
        for (place, node) in nodes.enumerated() {
            for event in node.events("pubsub") {
                guard let hex = event["data_hex"] as? String, let time = event["t"] as? Double, let text = Self.text(hex),
                    let message = sent[text], message.node != place
                else { continue }
                times[text, default: []].append((time - message.time) * 1_000)
            }
        }
        return Array(times.values)
    }

    private static func text(_ hex: String) -> String? {
        var (bytes, rest) = ([UInt8](), hex[...])
        while rest.count >= 2, let byte = UInt8(rest.prefix(2), radix: 16) {
            bytes.append(byte)
            rest = rest.dropFirst(2)
        }
        return rest.isEmpty ? String(validating: bytes, as: UTF8.self) : nil
    }
}
