import Foundation

/// What a run found about signing over a network, for files.
struct CoordinationResults {
    let machine: Machine
    let rows: [CoordinationRow]
    let isQuick: Bool
    /// Processes that waited for a processor when the run began: of a machine at rest, 0 or 1.
    let loadAtStart: Double

    var overBudget: [CoordinationRow] { self.rows.filter { $0.isWithinBudget == false } }

    func write(to folder: URL) throws {
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        let encoder = JSONEncoder()
        encoder.keyEncodingStrategy = .convertToSnakeCase
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
        let document = Document(machine: self.machine.fields, quick: self.isQuick, loadAtStart: self.loadAtStart, rows: self.rows)
        try (encoder.encode(document) + Data("\n".utf8)).write(to: folder.appending(path: "coordination.json"), options: .atomic)
    }

    private struct Document: Encodable {
        let machine: [String: String]
        let quick: Bool
        let loadAtStart: Double
        let rows: [CoordinationRow]
    }
}
