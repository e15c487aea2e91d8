import Foundation

/// What a run found about the network, for files.
struct NetworkResults {
    let machine: Machine
    let kinds: [PeerKind]
    /// What each implementation calls itself.
    let agents: [String: String]
    let rows: [NetworkRow]
    let isQuick: Bool
    /// Processes that waited for a processor when the run began: of a machine at rest, 0 or 1.
    let loadAtStart: Double

    func write(to folder: URL) throws {
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        let encoder = JSONEncoder()
        encoder.keyEncodingStrategy = .convertToSnakeCase
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
        try (encoder.encode(self.document) + Data("\n".utf8)).write(to: folder.appending(path: "network.json"), options: .atomic)
        try Data(self.picture.svg.utf8).write(to: folder.appending(path: "network.svg"), options: .atomic)
    }

    private struct Document: Encodable {
        struct Row: Encodable {
            let name, unit, budget: String
            let medians, nearWorst: [String: Double]
            let bareLoop: Double?
            let isWithinBudget: Bool?
        }

        let machine, agents, remarks: [String: String]
        let quick: Bool
        let loadAtStart: Double
        let rows: [Row]
    }

    private var document: Document {
        Document(
            machine: self.machine.fields, agents: self.agents,
            remarks: Dictionary(self.kinds.filter { !$0.remark.isEmpty }.map { ($0.key, $0.remark) }, uniquingKeysWith: { $1 }),
            quick: self.isQuick, loadAtStart: self.loadAtStart,
            rows: self.rows.map { row in
                Document.Row(
                    name: row.name, unit: row.unit, budget: row.budgetText, medians: row.medians, nearWorst: row.nearWorst,
                    bareLoop: row.bareLoop, isWithinBudget: row.isWithinBudget)
            })
    }

    /// Chorale in the second colour, as in the other pictures.
    private var picture: BarChart {
        let order = self.kinds.filter { $0.key != "chorale" } + self.kinds.filter { $0.key == "chorale" }
        return BarChart(
            title: "libp2p nodes over loopback", subtitle: "medians, on a logarithmic scale; bytes a second: more is better",
            scale: .logarithmic,
            groups: self.rows.map { row in
                var bars = order.compactMap { kind -> BarChart.Bar? in
                    guard let value = row.medians[kind.key] else { return nil }
                    let text = "\(NetworkTable.number(value)) \(row.unit)  \(kind.name)"
                    return BarChart.Bar(series: kind.key == "chorale" ? 1 : 0, value: value, text: text)
                }
                if let bare = row.bareLoop {
                    bars.append(BarChart.Bar(series: 0, value: bare, text: "\(NetworkTable.number(bare)) \(row.unit)  bare loop"))
                }
                return BarChart.Group(label: row.name, bars: bars)
            }, series: ["others", "Chorale"])
    }
}
