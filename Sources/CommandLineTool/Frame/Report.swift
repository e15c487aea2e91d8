/// Lines of labelled values for people, indented under headings.
struct Report {
    private(set) var lines: [String] = []
    let style: Style

    init(style: Style) { self.style = style }

    mutating func heading(_ text: String) {
        if !self.lines.isEmpty { self.lines.append("") }
        self.lines.append(self.style.bold(text))
    }

    mutating func line(_ text: String, indent: Int = 0) { self.lines.append(String(repeating: " ", count: indent) + text) }

    /// A label, and its value in a column of its own. A value of several lines stays in its column.
    mutating func field(_ label: String, _ values: String..., indent: Int = 0, width: Int) {
        self.field(label, values, indent: indent, width: width)
    }

    mutating func field(_ label: String, _ values: [String], indent: Int = 0, width: Int) {
        for (index, value) in values.enumerated() {
            let label = index == 0 ? label : ""
            self.line(self.style.dim(label.padded(to: width)) + "  " + value, indent: indent)
        }
    }
}
