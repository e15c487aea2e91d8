internal import CryptoPrimitives

/// The request and answer that turn an HTTP connection into a WebSocket (RFC 6455, section 4).
enum WebSocketHandshake {
    /// Most bytes of a request or an answer. Browsers with cookies stay below; common servers take as much.
    static let headByteCountMax = 8_192

    /// Bytes of the number that a client draws (section 4.1).
    static let nonceByteCount = 16

    /// What the server appends to the client's number (section 1.3).
    private static let suffix = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

    private static let headEnd: [UInt8] = [0x0d, 0x0a, 0x0d, 0x0a]

    // MARK: Client

    static func request(host: String, nonce: [UInt8]) -> [UInt8] {
        Self.head([
            "GET / HTTP/1.1", "Host: \(host)", "Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Key: \(Base64.encode(nonce))",
            "Sec-WebSocket-Version: 13",
        ])
    }

    static func check(answer: [UInt8], nonce: [UInt8]) throws(WebSocketError) {
        let head = Head(answer)
        guard head.first.hasPrefix("HTTP/1.1 ") else { throw .notAnUpgrade }
        let status = head.first.dropFirst(9)
        guard status.hasPrefix("101"), status.utf8.count == 3 || status.utf8.dropFirst(3).first == 0x20 else {
            throw .refused(status: Self.printable(status))
        }
        try head.expectUpgrade()
        guard head.only("sec-websocket-accept") == Self.accept(key: Base64.encode(nonce)) else {
            throw .wrongHeader("Sec-WebSocket-Accept")
        }
        guard head.values("sec-websocket-extensions").isEmpty, head.values("sec-websocket-protocol").isEmpty else {
            throw .unaskedExtension
        }
    }

    // MARK: Server

    /// The answer to a request that is in order.
    static func answer(to request: [UInt8]) throws(WebSocketError) -> [UInt8] {
        let head = Head(request)
        let words = head.first.split(separator: " ", omittingEmptySubsequences: false)
        guard words.count == 3, words[0] == "GET", words[1].hasPrefix("/"), words[2] == "HTTP/1.1" else { throw .notAnUpgrade }
        guard head.only("host") != nil else { throw .wrongHeader("Host") }
        try head.expectUpgrade()
        guard head.only("sec-websocket-version") == "13" else { throw .wrongHeader("Sec-WebSocket-Version") }
        guard let key = head.only("sec-websocket-key"), let nonce = try? Base64.decode(key), nonce.count == Self.nonceByteCount else {
            throw .wrongHeader("Sec-WebSocket-Key")
        }
        return Self.head([
            "HTTP/1.1 101 Switching Protocols", "Upgrade: websocket", "Connection: Upgrade",
            "Sec-WebSocket-Accept: \(Self.accept(key: key))",
        ])
    }

    /// The answer to anything else; the version is named for clients of another one (section 4.4).
    static let refusal = Self.head([
        "HTTP/1.1 400 Bad Request", "Sec-WebSocket-Version: 13", "Connection: close", "Content-Length: 0",
    ])

    // MARK: Parts

    static func accept(key: String) -> String { Base64.encode(SHA1.hash(Array((key + Self.suffix).utf8))) }

    private static func head(_ lines: [String]) -> [UInt8] { Array((lines.joined(separator: "\r\n") + "\r\n\r\n").utf8) }

    /// A stranger's words, fit for a message.
    private static func printable(_ text: Substring) -> String {
        String(String.UnicodeScalarView(text.unicodeScalars.prefix(64).map { (0x20...0x7e).contains($0.value) ? $0 : "?" }))
    }

    /// Where a head ends among bytes of which the first `searched` hold no end; `nil` if it does not end in them.
    static func endOfHead(in bytes: [UInt8], searched: Int) -> Int? {
        var start = max(0, searched - (Self.headEnd.count - 1))
        while start + Self.headEnd.count <= bytes.count {
            if bytes[start] == 0x0d, bytes[start..<start + Self.headEnd.count].elementsEqual(Self.headEnd) {
                return start + Self.headEnd.count
            }
            start += 1
        }
        return nil
    }

    /// A first line and headers. Lines that are no header are left out: they have no name to ask for.
    private struct Head {
        let first: String
        private let headers: [(name: String, value: String)]

        init(_ bytes: [UInt8]) {
            let lines = String(decoding: bytes, as: UTF8.self).unicodeScalars.split(separator: "\r\n".unicodeScalars)
            self.first = lines.first.map { String($0) } ?? ""
            self.headers = lines.dropFirst().compactMap { line in
                guard let colon = line.firstIndex(of: ":"), colon != line.startIndex else { return nil }
                let value = line[line.index(after: colon)...]
                return (String(line[..<colon]).lowercased(), Head.trimmed(value))
            }
        }

        private static func trimmed(_ text: Substring.UnicodeScalarView) -> String {
            var text = text
            while let last = text.last, last == " " || last == "\t" { text.removeLast() }
            return String(text.drop { $0 == " " || $0 == "\t" })
        }

        func values(_ name: String) -> [String] { self.headers.filter { $0.name == name }.map(\.value) }

        /// The value of a header that is there exactly once.
        func only(_ name: String) -> String? {
            let values = self.values(name)
            return values.count == 1 ? values[0] : nil
        }

        func expectUpgrade() throws(WebSocketError) {
            guard self.names("upgrade").contains("websocket") else { throw .wrongHeader("Upgrade") }
            guard self.names("connection").contains("upgrade") else { throw .wrongHeader("Connection") }
        }

        /// The words of a list with commas.
        private func names(_ name: String) -> [String] {
            self.values(name).flatMap { $0.split(separator: ",") }.map { Head.trimmed($0.unicodeScalars).lowercased() }
        }
    }
}
