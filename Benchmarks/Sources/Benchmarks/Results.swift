import Foundation

/// Everything that a run found, for files.
struct Results {
    let machine: Machine
    let rows: [Row]
    let memory: MemoryBenchmarks.Result?
    let store: [StoreBenchmarks.Row]
    let isQuick: Bool

    var overBudget: [Row] { self.rows.filter { $0.isWithinBudget == false } }

    /// Writes `results.json` and the pictures.
    func write(to folder: URL) throws {
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        let encoder = JSONEncoder()
        encoder.keyEncodingStrategy = .convertToSnakeCase
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
        try (encoder.encode(self.document) + Data("\n".utf8)).write(to: folder.appending(path: "results.json"), options: .atomic)
        for (name, picture) in self.pictures {
            try Data(picture.svg.utf8).write(to: folder.appending(path: "\(name).svg"), options: .atomic)
        }
    }

    // MARK: JSON

    private var document: Document {
        Document(
            machine: self.machine.fields,
            quick: self.isQuick,
            rows: self.rows.map { row in
                Document.Row(
                    section: row.section, name: row.name, signers: row.signers, cMicroseconds: row.c, swiftMicroseconds: row.swift,
                    ratio: row.ratio, budget: row.c.map { row.budget.text(c: $0) } ?? "", isWithinBudget: row.isWithinBudget, note: row.note
                )
            },
            memory: self.memory.map {
                [
                    "sessions": Double($0.sessions), "resident_bytes_per_session": Double($0.residentBytesPerSession),
                    "arena_slots_per_session": $0.arenaSlotsPerSession,
                ]
            },
            store: self.store)
    }

    private struct Document: Encodable {
        struct Row: Encodable {
            let section, name: String
            let signers: Int?
            let cMicroseconds, swiftMicroseconds, ratio: Double?
            let budget: String
            let isWithinBudget: Bool?
            let note: String
        }

        let machine: [String: String]
        let quick: Bool
        let rows: [Row]
        let memory: [String: Double]?
        let store: [StoreBenchmarks.Row]
    }

    // MARK: Pictures

    private var pictures: [(name: String, picture: BarChart)] {
        // Below a microsecond a ratio says little: what counts there is the 0.15 µs of a call, which the table judges.
        let judged = self.rows.filter {
            ($0.section == "Operations" || $0.section == "Sessions" && $0.budget == .call) && ($0.c ?? 0) >= 1
        }
        return [
            (
                "operations",
                BarChart(
                    title: "Swift over C, each operation",
                    subtitle: "time through the Swift API ÷ the same calls from C, where these take 1 µs or more; 1 is equal",
                    scale: .linear(max: 1.5, mark: 1),
                    groups: judged.compactMap { row in
                        row.ratio.map { ratio in
                            BarChart.Group(
                                label: row.name + (row.signers.map { ", n = \($0)" } ?? ""),
                                bars: [BarChart.Bar(series: 0, value: ratio, text: "\(decimal(ratio, 2))  (\(time(row.c ?? 0)))")])
                        }
                    }, series: [])
            ),
            ("finishing", self.chart("Finishing a session", of: "Finishing") { "\($0.name), n = \($0.signers ?? 0)" }),
            ("policies", self.chart("Computing a k-of-n policy", of: "k-of-n") { $0.name }),
        ]
    }

    /// Times of both sides on a logarithmic scale.
    private func chart(_ title: String, of section: String, label: (Row) -> String) -> BarChart {
        BarChart(
            title: title, subtitle: "time, on a logarithmic scale", scale: .logarithmic,
            groups: self.rows.filter { $0.section == section }.map { row in
                BarChart.Group(
                    label: label(row),
                    bars: [row.c, row.swift].enumerated().compactMap { series, value in
                        value.map { BarChart.Bar(series: series, value: $0, text: time($0)) }
                    })
            }, series: ["C", "Swift"])
    }
}

/// A time with a unit that fits.
private func time(_ microseconds: Double) -> String {
    switch microseconds {
    case ..<10: "\(decimal(microseconds, 2)) µs"
    case ..<1_000: "\(decimal(microseconds, 0)) µs"
    case ..<1_000_000: "\(decimal(microseconds / 1_000, 1)) ms"
    default: "\(decimal(microseconds / 1_000_000, 1)) s"
    }
}
