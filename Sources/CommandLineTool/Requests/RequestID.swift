/// How people name a request: by the first digits of its id.
enum RequestID {
    /// Fewest hex digits that name a request, and all that an id has.
    static let (digitCountMin, digitCountMax) = (4, 64)

    /// Lowercase hex digits, as many as name a request.
    static let text: TextParser<String> = { (text) throws(InvalidText) in
        guard let digits = RequestID.digits(text) else { throw InvalidText(RequestID.rule) }
        return digits
    }

    static let rule = "a request is named by the first digits of its id, \(digitCountMin) at least: see chorale request list"

    static func digits(_ text: String) -> String? {
        let isID = (Self.digitCountMin...Self.digitCountMax).contains(text.utf8.count) && text.allSatisfy { $0.isASCII && $0.isHexDigit }
        return isID ? text.lowercased() : nil
    }
}
