import SimulationKit

/// What the networks of a run came to, for people and as JSON.
struct NetworkSummary {
    let reports: [SimulationReport]
    let nodeCount: Int
    /// Options that a replay needs beside the count of nodes and the seed.
    let replayOptions: [String]
    let jobs: Int
    let wallTime: Duration

    var failed: [SimulationReport] { self.reports.filter { !$0.hasPassed } }
    var hasPassed: Bool { self.failed.isEmpty }

    /// Violations of one network that are told; the rest is counted.
    private static let toldViolationCountMax = 10

    /// What did not hold, and how to see it again.
    var violationLines: [String] {
        self.failed.flatMap { report in
            let told = report.violations.prefix(Self.toldViolationCountMax).map { "seed \(report.seed): \($0)" }
            let rest = report.violations.count - told.count
            return told + (rest > 0 ? ["seed \(report.seed): and \(Amounts.grouped(rest)) more"] : [])
                + ["replay: \(self.replayCommand(seed: report.seed))"]
        }
    }

    private func replayCommand(seed: UInt64) -> String {
        (["chorale simulate network --nodes \(self.nodeCount) --seed \(seed)"] + self.replayOptions).joined(separator: " ")
    }

    private func all(_ figures: KeyPath<SimulationReport, Figures>) -> Figures {
        self.reports.reduce(into: Figures()) { $0.add($1[keyPath: figures]) }
    }

    private func sum(_ count: KeyPath<SimulationReport, Int>) -> Int { self.reports.reduce(0) { $0 + $1[keyPath: count] } }

    private var virtualTime: Duration { self.reports.reduce(.zero) { $0 + $1.virtualTime } }

    /// Seconds of all nodes' lives that one second of this machine brought.
    private var nodeSecondsPerSecond: Double {
        self.virtualTime.milliseconds / max(1, self.wallTime.milliseconds) * Double(self.nodeCount)
    }

    // MARK: For people

    func report(style: Style) -> Report {
        var report = Report(style: style)
        let width = 24
        let seeds = self.reports.map(\.seed)
        if let only = self.reports.first, self.reports.count == 1 {
            report.heading("\(Amounts.grouped(self.nodeCount)) nodes, seed \(only.seed)")
        } else {
            report.heading(
                "\(Amounts.grouped(self.reports.count)) networks of \(Amounts.grouped(self.nodeCount)) nodes, seeds "
                    + "\(seeds.min() ?? 0) to \(seeds.max() ?? 0)")
        }
        let (deliveries, degrees) = (self.all(\.deliveries), self.all(\.meshDegrees))
        report.field("messages", "\(Amounts.grouped(self.sum(\.messageCount)))", indent: 2, width: width)
        report.field(
            "delivered after", Self.quantiles(deliveries, digits: 3) + " heartbeats, \(Amounts.grouped(deliveries.count)) deliveries",
            indent: 2, width: width)
        let floodCount = self.reports.count { $0.floodsOwnMessages }
        report.field(
            "own messages go",
            self.reports.count == 1
                ? (floodCount == 1 ? "to all peers" : "to the mesh")
                : "to all peers in \(Amounts.count(floodCount, "network")), to the mesh in \(Amounts.grouped(self.reports.count - floodCount))",
            indent: 2, width: width)
        report.field("mesh peers", Self.range(degrees, digits: 1), indent: 2, width: width)
        let slow = self.all(\.slowDeliveries)
        report.field(
            "slow readers",
            Amounts.grouped(self.sum(\.slowReaderCount))
                + (slow.count > 0 ? ", which had everything after \(Self.text(slow.maximum, digits: 3)) heartbeats at most" : ""),
            indent: 2, width: width)
        report.field(
            "values",
            "\(Amounts.grouped(self.sum(\.valueCount))), \(Amounts.grouped(self.sum(\.putAgainCount))) of them found everywhere only when put again",
            indent: 2, width: width)
        let hops = self.all(\.hops)
        report.field("hops to a value", Self.range(hops, digits: 2) + ", \(Amounts.grouped(hops.count)) lookups", indent: 2, width: width)
        report.field("lookup time", Self.quantiles(self.all(\.lookupSeconds), digits: 2) + " s", indent: 2, width: width)
        report.field("connections of a node", Self.range(self.all(\.connections), digits: 1), indent: 2, width: width)
        report.field("sent by a node", Self.range(self.all(\.sentBytes), digits: 0) + " bytes", indent: 2, width: width)
        report.field(
            "dials",
            "\(Amounts.grouped(self.sum(\.counters.dials))), \(Amounts.grouped(self.sum(\.counters.failedDials))) failed; "
                + "\(Amounts.grouped(self.sum(\.counters.brokenPipes))) connections broke", indent: 2, width: width)
        report.field(
            "time",
            "\(Self.text(self.virtualTime.milliseconds / 1_000, digits: 1)) s virtual, \(Self.text(self.wallTime.milliseconds / 1_000, digits: 1)) s real; "
                + "\(Self.text(self.nodeSecondsPerSecond, digits: 0)) node-seconds a second", indent: 2, width: width)
        report.field("events", "\(Amounts.grouped(self.sum(\.digest.eventCount)))", indent: 2, width: width)
        if let only = self.reports.first, self.reports.count == 1 {
            report.field("digest", "\(only.digest)", indent: 2, width: width)
        }
        let verdict = self.hasPassed ? "everything held" : "\(Amounts.count(self.failed.count, "network")) failed"
        report.field("checks", verdict, indent: 2, width: width)
        return report
    }

    private static func quantiles(_ figures: Figures, digits: Int) -> String {
        "p50 \(Self.text(figures.quantile(0.5), digits: digits)), p95 \(Self.text(figures.quantile(0.95), digits: digits)), "
            + "max \(Self.text(figures.maximum, digits: digits))"
    }

    private static func range(_ figures: Figures, digits: Int) -> String {
        "min \(Self.text(figures.minimum, digits: 0)), mean \(Self.text(figures.mean, digits: digits)), "
            + "max \(Self.text(figures.maximum, digits: 0))"
    }

    /// With so many decimals, and digits in groups.
    static func text(_ value: Double, digits: Int) -> String {
        var scale = 1
        for _ in 0..<digits { scale *= 10 }
        // Counts and times of a simulation are far from where this could not be.
        let scaled = Int((value * Double(scale)).rounded())
        guard digits > 0 else { return Amounts.grouped(scaled) }
        let rest = "\(scaled % scale)"
        return "\(Amounts.grouped(scaled / scale))." + String(repeating: "0", count: digits - rest.count) + rest
    }

    // MARK: JSON

    var json: JSONValue {
        .object([
            "nodes": .integer(self.nodeCount), "passed": .bool(self.hasPassed), "jobs": .integer(self.jobs),
            "wall_seconds": .number(self.wallTime.milliseconds / 1_000),
            "node_seconds_per_second": .number(self.nodeSecondsPerSecond), "runs": .array(self.reports.map(Self.json)),
        ])
    }

    private static func json(_ report: SimulationReport) -> JSONValue {
        .object([
            "seed": .unsigned(report.seed), "digest": .string("\(report.digest)"), "events": .integer(report.digest.eventCount),
            "virtual_seconds": .number(report.virtualTime.milliseconds / 1_000), "messages": .integer(report.messageCount),
            "flood_publishing": .bool(report.floodsOwnMessages),
            "delivery_heartbeats": Self.json(report.deliveries), "mesh_peers": Self.json(report.meshDegrees),
            "excused_deliveries": .integer(report.excusedDeliveryCount),
            "slow_readers": .integer(report.slowReaderCount), "slow_delivery_heartbeats": Self.json(report.slowDeliveries),
            "values": .integer(report.valueCount), "values_put_again": .integer(report.putAgainCount),
            "hops": Self.json(report.hops), "lookup_seconds": Self.json(report.lookupSeconds),
            "sent_bytes_per_node": Self.json(report.sentBytes), "connections_per_node": Self.json(report.connections),
            "dials": .integer(report.counters.dials), "failed_dials": .integer(report.counters.failedDials),
            "connections": .integer(report.counters.pipes), "broken_connections": .integer(report.counters.brokenPipes),
            "violations": .array(report.violations.map { .string("\($0)") }),
        ])
    }

    private static func json(_ figures: Figures) -> JSONValue {
        .object([
            "count": .integer(figures.count), "min": .number(figures.minimum), "mean": .number(figures.mean),
            "p50": .number(figures.quantile(0.5)), "p95": .number(figures.quantile(0.95)), "max": .number(figures.maximum),
        ])
    }
}
