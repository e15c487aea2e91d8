/// Colours for a terminal, and nothing for everything else.
struct Style: Sendable {
    let isOn: Bool

    static let plain = Style(isOn: false)

    func bold(_ text: String) -> String { self.wrap(text, in: "1") }
    func dim(_ text: String) -> String { self.wrap(text, in: "2") }
    func red(_ text: String) -> String { self.wrap(text, in: "31") }
    func green(_ text: String) -> String { self.wrap(text, in: "32") }
    func yellow(_ text: String) -> String { self.wrap(text, in: "33") }

    private func wrap(_ text: String, in code: String) -> String { self.isOn ? "\u{1b}[\(code)m\(text)\u{1b}[0m" : text }
}
