extension Argument where Value == Bool {
    /// `--json`, the same for every command.
    static let json = Argument.flag(
        "json",
        help: "print one JSON object on standard output; amounts are in satoshi, bytes in hex. With or without it, errors are text on "
            + "standard error, with an exit code that is not 0; then standard output has no object, but for a verdict, a simulation or a demo, "
            + "whose object says what is wrong")
}

extension Duration {
    /// Milliseconds to the microsecond.
    var milliseconds: Double {
        let (seconds, attoseconds) = self.components
        return Double(seconds * 1_000_000 + attoseconds / 1_000_000_000_000) / 1_000
    }
}
