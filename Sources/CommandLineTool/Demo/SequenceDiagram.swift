/// What happened between nodes, as a picture: a line for each signer, time downwards, an arrow for each message that led to something.
///
/// SVG 1.1, whole in itself; it follows the reader's choice of light or dark.
struct SequenceDiagram {
    let title: String
    let signerCount: Int
    private var rows: [Row] = []

    private struct Row {
        let time: Duration
        let step: NetworkStep
        let shape: Shape
    }

    private enum Shape {
        /// Between two signers.
        case arrow(from: Int, to: Int, String, Kind)
        /// At one signer.
        case mark(String, Kind)
        /// Its lifeline breaks.
        case gone(String)
        /// Its lifeline goes on.
        case back(String)
    }

    /// What the colours tell apart.
    private enum Kind: String {
        case request, approval, begin, signature, complete, trouble
    }

    // Sizes are in pixels.
    private static let rowHeight = 30
    private static let top = 92
    private static let left = 74
    private var columnWidth: Int { self.signerCount <= 5 ? 176 : self.signerCount <= 8 ? 140 : 104 }

    /// - Parameter steps: in order.
    init(title: String, signerCount: Int, steps: [NetworkStep]) {
        self.title = title
        self.signerCount = signerCount
        var proposer = 1
        var coordinators: [UInt32: Int] = [:]
        var finisher: Int?
        for step in steps {
            let here = step.signer
            var shape: Shape?
            switch step.what {
            case .proposed:
                proposer = here
                shape = .mark("asks, and agrees", .request)
            case .received: shape = here == proposer ? nil : .arrow(from: proposer, to: here, "request", .request)
            case .approved: shape = .mark("approves", .approval)
            case .heardApproval(let other): shape = other == here ? nil : .arrow(from: other, to: here, "approval, nonces", .approval)
            case .attemptBegan(let number, _):
                coordinators[number] = here
                shape = .mark("attempt \(number) begins", .begin)
            case .signed(let number):
                let coordinator = coordinators[number] ?? here
                shape = coordinator == here ? .mark("signs", .signature) : .arrow(from: coordinator, to: here, "begin \(number)", .begin)
            case .heardSignatures(let other, _):
                shape = other == here ? nil : .arrow(from: other, to: here, "partial signature", .signature)
            case .gaveUpTurn(let other): shape = .mark(other == here ? "turn is over" : "waits no longer for \(other)", .trouble)
            case .killed: shape = .gone("killed")
            case .startedAgain: shape = .back("started again")
            case .cutOff: shape = .gone("cut off")
            case .reconnected: shape = .back("back")
            case .cheats: shape = .mark("cheats from now on", .trouble)
            case .gaveWrongSignatures: shape = .mark("signs a wrong one", .trouble)
            case .beganTwice(let number): shape = .mark("begins \(number) twice", .trouble)
            case .heardRestart(let other): shape = .arrow(from: other, to: here, "started anew", .trouble)
            case .fault(let other, _): shape = .mark("proof against \(other)", .trouble)
            case .complete:
                shape = finisher.map { .arrow(from: $0, to: here, "complete", .complete) } ?? .mark("complete", .complete)
                finisher = finisher ?? here
            case .ended: shape = .mark("gave it up", .trouble)
            }
            if let shape { self.rows.append(Row(time: step.time, step: step, shape: shape)) }
        }
    }

    // MARK: - SVG

    var svg: String {
        // As wide as the title needs, and as a mark's words at the last signer do.
        let right = max(16, 140 - self.columnWidth / 2)
        let width = max(620, Self.left + self.columnWidth * self.signerCount + right)
        let height = Self.top + Self.rowHeight * self.rows.count + 28
        var lines = [
            #"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 \#(width) \#(height)" width="\#(width)" height="\#(height)" "#
                + #"role="img" aria-labelledby="title">"#,
            #"<title id="title">\#(Self.escaped(self.title))</title>"#, Self.style, Self.tips,
            #"<text class="title" x="16" y="28">\#(Self.escaped(self.title))</text>"#,
            #"<text class="time" x="16" y="48">\#(Self.subtitle)</text>"#,
        ]
        for signer in 1...max(1, self.signerCount) {
            lines.append(
                #"<text class="signer" x="\#(self.x(signer))" y="\#(Self.top - 18)" text-anchor="middle">signer \#(signer)</text>"#)
            lines += self.lifeline(of: signer, end: height - 20)
        }
        for (place, row) in self.rows.enumerated() { lines += self.drawn(row, y: Self.y(place)) }
        return (lines + ["</svg>"]).joined(separator: "\n") + "\n"
    }

    /// What stands below the title of every such picture, and of no other.
    private static let subtitle = "milliseconds since the request, downwards; not to scale"

    /// Bytes from the beginning in which it stands.
    static let headByteCount = 16_384

    /// Whether a file begins as such a picture does.
    static func isHead(_ bytes: [UInt8]) -> Bool {
        let text = String(decoding: bytes, as: UTF8.self)
        return text.hasPrefix("<svg ") && text.contains(self.subtitle)
    }

    private static func y(_ place: Int) -> Int { Self.top + Self.rowHeight * place + Self.rowHeight / 2 }

    private func x(_ signer: Int) -> Int { Self.left + self.columnWidth * (signer - 1) + self.columnWidth / 2 }

    /// Broken while its process is not there.
    private func lifeline(of signer: Int, end: Int) -> [String] {
        var lines: [String] = []
        var (begin, isRunning) = (Self.top - 8, true)
        func draw(to end: Int) {
            lines.append(
                #"<line class="life\#(isRunning ? "" : " gone")" x1="\#(self.x(signer))" y1="\#(begin)" x2="\#(self.x(signer))" y2="\#(end)"/>"#
            )
        }
        for (place, row) in self.rows.enumerated() where row.step.signer == signer {
            switch row.shape {
            case .gone, .back:
                draw(to: Self.y(place))
                begin = Self.y(place)
                if case .gone = row.shape { isRunning = false } else { isRunning = true }
            case .arrow, .mark: continue
            }
        }
        draw(to: end)
        return lines
    }

    private func drawn(_ row: Row, y: Int) -> [String] {
        let here = self.x(row.step.signer)
        let time = #"<text class="time" x="16" y="\#(y + 4)">\#(Int(row.time.milliseconds.rounded()))</text>"#
        switch row.shape {
        case .arrow(let from, let to, let text, let kind):
            let (start, end) = (self.x(from), self.x(to))
            // In the gap beside the receiver, where no lifeline crosses it.
            let middle = end + (start < end ? -1 : 1) * self.columnWidth / 2
            return [
                time,
                #"<line class="arrow \#(kind.rawValue)" x1="\#(start)" y1="\#(y)" x2="\#(end)" y2="\#(y)" marker-end="url(#\#(kind.rawValue))"/>"#,
                #"<text class="what" x="\#(middle)" y="\#(y - 5)" text-anchor="middle">\#(Self.escaped(text))</text>"#,
            ]
        case .mark(let text, let kind):
            return [
                time, #"<circle class="mark \#(kind.rawValue)" cx="\#(here)" cy="\#(y)" r="4.5"/>"#,
                #"<text class="what" x="\#(here + 10)" y="\#(y + 4)">\#(Self.escaped(text))</text>"#,
            ]
        case .gone(let text):
            return [
                time, #"<path class="cross" d="M\#(here - 6) \#(y - 6) l12 12 m0 -12 l-12 12"/>"#,
                #"<text class="what loud" x="\#(here + 12)" y="\#(y + 4)">\#(Self.escaped(text))</text>"#,
            ]
        case .back(let text):
            return [
                time, #"<circle class="mark trouble" cx="\#(here)" cy="\#(y)" r="6"/>"#,
                #"<text class="what loud" x="\#(here + 12)" y="\#(y + 4)">\#(Self.escaped(text))</text>"#,
            ]
        }
    }

    private static func escaped(_ text: String) -> String {
        var result = ""
        for character in text.printable {
            switch character {
            case "&": result += "&amp;"
            case "<": result += "&lt;"
            case ">": result += "&gt;"
            default: result.append(character)
            }
        }
        return result
    }

    /// An arrow's tip for each kind, for a marker does not take the colour of its line everywhere.
    private static let tips =
        "<defs>\n"
        + [Kind.request, .approval, .begin, .signature, .complete, .trouble].map { kind in
            #"<marker id="\#(kind.rawValue)" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="7" markerHeight="7" orient="auto">"#
                + #"<path class="tip \#(kind.rawValue)" d="M0 0 L8 4 L0 8 Z"/></marker>"#
        }.joined(separator: "\n") + "\n</defs>"

    private static let style = """
        <style>
        svg { background: #ffffff; color-scheme: light dark; }
        text { font-family: system-ui, -apple-system, "Segoe UI", sans-serif; fill: #1f2328; }
        .title { font-size: 16px; font-weight: 600; }
        .signer { font-size: 14px; font-weight: 600; }
        .what { font-size: 12px; }
        .loud { font-weight: 600; }
        .time { font-size: 11px; fill: #656d76; }
        .life { stroke: #8c959f; stroke-width: 1.2; }
        .gone { stroke-dasharray: 2 5; opacity: 0.6; }
        .arrow { stroke-width: 1.6; }
        .cross { stroke: #cf222e; stroke-width: 2.4; fill: none; }
        .request { stroke: #57606a; fill: #57606a; }
        .approval { stroke: #0969da; fill: #0969da; }
        .begin { stroke: #8250df; fill: #8250df; }
        .signature { stroke: #bc4c00; fill: #bc4c00; }
        .complete { stroke: #1a7f37; fill: #1a7f37; }
        .trouble { stroke: #cf222e; fill: #cf222e; }
        .tip { stroke: none; }
        @media (prefers-color-scheme: dark) {
        svg { background: #0d1117; }
        text { fill: #e6edf3; }
        .time { fill: #9198a1; }
        .life { stroke: #6e7681; }
        .cross { stroke: #ff7b72; }
        .request { stroke: #9198a1; fill: #9198a1; }
        .approval { stroke: #58a6ff; fill: #58a6ff; }
        .begin { stroke: #bc8cff; fill: #bc8cff; }
        .signature { stroke: #f0883e; fill: #f0883e; }
        .complete { stroke: #3fb950; fill: #3fb950; }
        .trouble { stroke: #ff7b72; fill: #ff7b72; }
        .tip { stroke: none; }
        }
        </style>
        """
}
