import Foundation

/// Horizontal bars as an SVG picture that reads well on light and on dark pages.
struct BarChart {
    struct Bar {
        /// Which of the series it belongs to, for its colour.
        let series: Int
        let value: Double
        /// What stands at its end.
        let text: String
    }

    struct Group {
        let label: String
        let bars: [Bar]
    }

    enum Scale {
        /// From 0; values above `max` are cut off there. A line stands at `mark`.
        case linear(max: Double, mark: Double)
        /// From the power of ten below the smallest value.
        case logarithmic
    }

    let title: String
    let subtitle: String
    let scale: Scale
    let groups: [Group]
    /// Names of the series; none for a single one.
    let series: [String]

    private static let (width, labelWidth, textWidth, barHeight, margin) = (860.0, 330.0, 130.0, 14.0, 16.0)
    private static let headHeight = 64.0

    var svg: String {
        var (y, body) = (Self.headHeight, "")
        for group in self.groups {
            let height = Self.barHeight * Double(group.bars.count)
            body += self.text(Self.labelWidth - 8, y + height / 2 + 4, group.label, style: "label", anchor: "end")
            for bar in group.bars {
                let length = max(1, self.length(bar.value))
                body += "<rect class=\"s\(bar.series)\" x=\"\(decimal(Self.labelWidth, 1))\" y=\"\(decimal(y + 1, 1))\" "
                body += "width=\"\(decimal(length, 1))\" height=\"\(decimal(Self.barHeight - 2, 1))\" rx=\"2\"/>\n"
                body += self.text(Self.labelWidth + length + 6, y + Self.barHeight - 3, bar.text, style: "value", anchor: "start")
                y += Self.barHeight
            }
            y += 6
        }
        if case .linear(let max, let mark) = self.scale {
            let x = decimal(Self.labelWidth + mark / max * Self.plotWidth, 1)
            body += "<line class=\"mark\" x1=\"\(x)\" x2=\"\(x)\" y1=\"\(decimal(Self.headHeight - 6, 1))\" y2=\"\(decimal(y, 1))\"/>\n"
        }
        let size = "\(decimal(Self.width, 0)) \(decimal(y + Self.margin, 0))"
        return """
            <svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 \(size)" role="img" aria-label="\(Self.escaped(self.title))">
            <style>
            text { font-family: system-ui, sans-serif; fill: #1f2328; }
            .title { font-size: 16px; font-weight: 600; }
            .label, .legend { font-size: 12px; }
            .subtitle { font-size: 12px; fill: #656d76; }
            .value { font-size: 11px; fill: #656d76; }
            .s0 { fill: \(self.series.isEmpty ? "#2f81f7" : "#8c959f"); }
            .s1 { fill: #2f81f7; }
            .mark { stroke: #cf222e; stroke-width: 1; stroke-dasharray: 4 3; }
            @media (prefers-color-scheme: dark) {
            text { fill: #e6edf3; }
            .subtitle, .value { fill: #9198a1; }
            .mark { stroke: #ff7b72; }
            }
            </style>
            \(self.text(Self.margin, 24, self.title, style: "title", anchor: "start"))\
            \(self.text(Self.margin, 44, self.subtitle, style: "subtitle", anchor: "start"))\
            \(self.legend)\(body)</svg>

            """
    }

    private static var plotWidth: Double { Self.width - Self.labelWidth - Self.textWidth }

    private func length(_ value: Double) -> Double {
        switch self.scale {
        case .linear(let max, _): Swift.min(value, max) / max * Self.plotWidth
        case .logarithmic:
            (log10(value) - self.exponents.lowerBound) / (self.exponents.upperBound - self.exponents.lowerBound) * Self.plotWidth
        }
    }

    private var exponents: (lowerBound: Double, upperBound: Double) {
        let values = self.groups.flatMap { $0.bars.map(\.value) }
        let (least, most) = (log10(values.min() ?? 1), log10(values.max() ?? 10))
        return (least.rounded(.down), max(most, least.rounded(.down) + 1))
    }

    private var legend: String {
        self.series.enumerated().map { place, name in
            let x = Self.labelWidth + Double(place) * 80
            return "<rect class=\"s\(place)\" x=\"\(decimal(x, 1))\" y=\"35\" width=\"10\" height=\"10\" rx=\"2\"/>\n"
                + self.text(x + 15, 44, name, style: "legend", anchor: "start")
        }.joined()
    }

    private func text(_ x: Double, _ y: Double, _ text: String, style: String, anchor: String) -> String {
        "<text class=\"\(style)\" x=\"\(decimal(x, 1))\" y=\"\(decimal(y, 1))\" text-anchor=\"\(anchor)\">\(Self.escaped(text))</text>\n"
    }

    private static func escaped(_ text: String) -> String {
        text.map { character in
            switch character {
            case "&": "&amp;"
            case "<": "&lt;"
            case ">": "&gt;"
            case "\"": "&quot;"
            default: String(character)
            }
        }.joined()
    }
}
