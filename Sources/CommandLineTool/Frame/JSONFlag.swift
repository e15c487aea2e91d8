extension Argument where Value == Bool {
    /// `--json`, the same for every command.
    static let json = Argument.flag("json", help: "print one JSON object on standard output; amounts are in satoshi, bytes in hex")
}

extension Duration {
    /// Milliseconds to the microsecond.
    var milliseconds: Double {
        let (seconds, attoseconds) = self.components
        return Double(seconds * 1_000_000 + attoseconds / 1_000_000_000_000) / 1_000
    }
}
