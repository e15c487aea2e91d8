/// Rows as they come, in columns on the terminal.
struct Table {
    private static let widths = (name: 38, signers: 8, time: 12, ratio: 7, budget: 20)
    private var section = ""

    mutating func show(_ row: Row) {
        if row.section != self.section {
            self.section = row.section
            print("\n\(row.section)")
            print(Self.line("", "signers", "C µs", "Swift µs", "ratio", "budget"))
        }
        let verdict =
            switch row.isWithinBudget {
            case .some(true): "ok"
            case .some(false): "OVER"
            case nil: ""
            }
        let line = Self.line(
            row.name, row.signers.map(String.init) ?? "", row.c.map(Self.time) ?? "", row.swift.map(Self.time) ?? "",
            row.ratio.map { decimal($0, 3) } ?? "", row.c.map { row.budget.text(c: $0) } ?? "")
        print(line, verdict, row.note.isEmpty ? "" : "(\(row.note))")
    }

    /// Four digits that mean something, whatever the size.
    private static func time(_ microseconds: Double) -> String {
        decimal(microseconds, microseconds < 10 ? 3 : microseconds < 1_000 ? 2 : 0)
    }

    private static func line(
        _ name: String, _ signers: String, _ c: String, _ swift: String, _ ratio: String, _ budget: String
    ) -> String {
        "  " + Self.left(name, Self.widths.name) + Self.right(signers, Self.widths.signers) + Self.right(c, Self.widths.time)
            + Self.right(swift, Self.widths.time) + Self.right(ratio, Self.widths.ratio + 2) + "  " + Self.left(budget, Self.widths.budget)
    }

    private static func left(_ text: String, _ width: Int) -> String { text + String(repeating: " ", count: max(1, width - text.count)) }

    private static func right(_ text: String, _ width: Int) -> String { String(repeating: " ", count: max(1, width - text.count)) + text }
}
