/// Breaks text into lines.
enum TextLayout {
    /// Joins the words with spaces, and breaks before a word that would pass `width` columns.
    static func lines(of words: [String], width: Int, continuation: String = "") -> [String] {
        var lines: [String] = []
        var line = ""
        for word in words {
            if line.isEmpty {
                line = word
            } else if line.count + 1 + word.count <= width {
                line += " " + word
            } else {
                lines.append(line)
                line = continuation + word
            }
        }
        if !line.isEmpty { lines.append(line) }
        return lines
    }

    /// Rows as columns, two spaces between them. Nothing follows the last text of a row.
    static func columns(_ rows: [[String]]) -> [String] {
        let widths = (0..<(rows.map(\.count).max() ?? 0)).map { place in rows.map { place < $0.count ? $0[place].count : 0 }.max() ?? 0 }
        return rows.map { row in
            var line = ""
            for (text, width) in zip(row, widths) where width > 0 { line += (line.isEmpty ? "" : "  ") + text.padded(to: width) }
            while line.last == " " { line.removeLast() }
            return line
        }
    }

    /// Wraps one sentence.
    static func wrapped(_ text: String, width: Int) -> [String] {
        self.lines(of: text.split(separator: " ").map(String.init), width: width)
    }

    /// Wraps each paragraph; lines that begin with a space are taken as they are.
    static func paragraphs(_ text: String, width: Int) -> String {
        text.split(separator: "\n", omittingEmptySubsequences: false).flatMap { line -> [String] in
            if line.isEmpty || line.hasPrefix(" ") { return [String(line)] }
            return self.wrapped(String(line), width: width)
        }.joined(separator: "\n")
    }
}

extension Console {
    /// Tells the person something in words, wrapped; a name that is longer than a line stays whole.
    func prose(_ text: String) {
        for line in TextLayout.wrapped(text, width: HelpText.columnCountMax) { self.note(line) }
    }
}

extension String {
    /// With spaces up to the column count; longer texts stay as they are.
    func padded(to columnCount: Int) -> String { self + String(repeating: " ", count: Swift.max(0, columnCount - self.count)) }

    /// With spaces before, up to the column count.
    func leftPadded(to columnCount: Int) -> String { String(repeating: " ", count: Swift.max(0, columnCount - self.count)) + self }

    /// The text with everything escaped that could move a terminal's cursor, change its colours or turn the reading direction.
    ///
    /// Labels, file names and fields of a stranger's file are shown through this and no other way.
    var printable: String {
        var result = String.UnicodeScalarView()
        for scalar in self.unicodeScalars {
            switch scalar.properties.generalCategory {
            case .control, .format, .lineSeparator, .paragraphSeparator, .privateUse, .surrogate, .unassigned:
                result.append(contentsOf: "\\u{\(String(scalar.value, radix: 16))}".unicodeScalars)
            default: result.append(scalar)
            }
        }
        return String(result)
    }
}
