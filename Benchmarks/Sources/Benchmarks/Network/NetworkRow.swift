/// One line about the network: the same question to every implementation, in the same run.
struct NetworkRow {
    enum Budget {
        case atMost(Double)
        /// At least so much, and at least so great a part of the bare loop.
        case atLeast(Double, partOfBareLoop: Double)
        case none
    }

    let name: String
    let unit: String
    var budget = Budget.none
    /// Medians by the implementation's key.
    var medians: [String: Double] = [:]
    /// What nineteen of twenty measurements kept within, by the implementation's key.
    var nearWorst: [String: Double] = [:]
    var bareLoop: Double?

    private var own: Double? { self.medians["chorale"] }

    var isWithinBudget: Bool? {
        guard let own = self.own else { return nil }
        switch self.budget {
        case .atMost(let most): return own <= most
        case .atLeast(let least, let part): return own >= least && own >= part * (self.bareLoop ?? 0)
        case .none: return nil
        }
    }

    var budgetText: String {
        switch self.budget {
        case .atMost(let most): "at most \(decimal(most, 1 < most ? 1 : 2))"
        case .atLeast(let least, let part): "at least \(decimal(least, 0)), \(decimal(part, 1)) × bare"
        case .none: ""
        }
    }

    mutating func set(_ key: String, _ values: [Double], worstIsHigh: Bool = true) {
        guard !values.isEmpty else { return }
        let sorted = values.sorted()
        self.medians[key] = Stopwatch.median(values)
        self.nearWorst[key] = sorted[worstIsHigh ? (sorted.count - 1) * 19 / 20 : sorted.count / 20]
    }
}

/// The rows on a terminal.
struct NetworkTable {
    let kinds: [PeerKind]

    func showHead() {
        print("\nNetwork, over loopback, each node a process; medians")
        print(self.line("", "", self.kinds.map(\.name), "bare loop", "budget"))
    }

    func show(_ row: NetworkRow) {
        let verdict = row.isWithinBudget.map { $0 ? "ok" : "OVER" } ?? ""
        let values = self.kinds.map { kind in row.medians[kind.key].map(Self.number) ?? "" }
        print(self.line(row.name, row.unit, values, row.bareLoop.map(Self.number) ?? "", row.budgetText), verdict)
    }

    /// Three digits that mean something.
    static func number(_ value: Double) -> String { decimal(value, value < 1 ? 3 : value < 10 ? 2 : value < 100 ? 1 : 0) }

    private func line(_ name: String, _ unit: String, _ values: [String], _ bare: String, _ budget: String) -> String {
        let left =
            name + String(repeating: " ", count: max(1, 34 - name.count)) + unit + String(repeating: " ", count: max(1, 6 - unit.count))
        let columns = (values + [bare]).map { String(repeating: " ", count: max(1, 11 - $0.count)) + $0 }.joined()
        return "  " + left + columns + "  " + budget
    }
}
