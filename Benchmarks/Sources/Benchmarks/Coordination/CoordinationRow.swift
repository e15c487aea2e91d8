/// One line about signing together over a network.
struct CoordinationRow: Encodable {
    enum Part: String, Encodable {
        case time = "Time on the way: whole nodes, virtual time, nothing but the network takes any"
        case traffic = "Messages and bytes of one member, what carries them included"
        case work = "Work of one member, its whole node, without disk and system calls"
        case nodes = "Three nodes over loopback, with their disks, in one process"
    }

    let part: Part
    let name: String
    /// In the group.
    let signers: Int
    let unit: String
    let value: Double
    /// Most that is allowed; `nil`: told, not judged.
    var limit: Double?
    /// What cannot be avoided, where the limit follows from it.
    var least: Double?
    var note = ""

    var isWithinBudget: Bool? { self.limit.map { self.value <= $0 } }

    var budgetText: String {
        guard let limit else { return "" }
        return "at most \(CoordinationTable.number(limit))"
    }
}

/// The rows on a terminal.
struct CoordinationTable {
    private var part: CoordinationRow.Part?

    mutating func show(_ row: CoordinationRow) {
        if row.part != self.part {
            self.part = row.part
            print("\n\(row.part.rawValue)")
        }
        let verdict = row.isWithinBudget.map { $0 ? "ok" : "OVER" } ?? ""
        let columns = [(row.name, 46), ("n = \(row.signers)", 9)].map { text, width in
            text + String(repeating: " ", count: max(1, width - text.count))
        }
        let value = Self.number(row.value)
        let least = row.least.map { "\(Self.number($0)) cannot be avoided, ratio \(decimal(row.value / $0, 2))" }
        let remarks = [least, row.note.isEmpty ? nil : row.note].compactMap { $0 }.joined(separator: "; ")
        print(
            "  " + columns.joined() + String(repeating: " ", count: max(1, 10 - value.count)) + value, row.unit, " \(row.budgetText)",
            verdict, remarks.isEmpty ? "" : "(\(remarks))")
    }

    /// As many digits as mean something.
    static func number(_ value: Double) -> String { decimal(value, value < 10 ? 2 : value < 100 ? 1 : 0) }
}
