/// A stream whose protocol is not agreed on yet.
struct StreamNegotiation: Sendable {
    enum Side: Sendable {
        /// We opened the stream. With `isLazy`, our bytes go out before the peer has agreed.
        case dialer(MultistreamDialer, isLazy: Bool)
        case listener(MultistreamListener)
    }

    var side: Side
    /// Tells streams apart that have the same number one after the other.
    let serial: UInt64

    var isLazyDialer: Bool { if case .dialer(_, isLazy: true) = self.side { true } else { false } }

    /// The agreed protocol; `nil` until then.
    var agreed: String? {
        switch self.side {
        case .dialer(let dialer, _): dialer.agreed
        case .listener(let listener): listener.agreed
        }
    }

    /// Takes in bytes and says how many of them were the negotiation's.
    mutating func receive(_ bytes: RawSpan, supports: (String) -> Bool) throws(MultistreamError) -> Int {
        switch self.side {
        case .dialer(var dialer, let isLazy):
            let count = try dialer.receive(bytes)
            self.side = .dialer(dialer, isLazy: isLazy)
            return count
        case .listener(var listener):
            let count = try listener.receive(bytes, supports: supports)
            self.side = .listener(listener)
            return count
        }
    }

    mutating func takeOutput() -> [UInt8] {
        switch self.side {
        case .dialer(var dialer, let isLazy):
            let output = dialer.takeOutput()
            self.side = .dialer(dialer, isLazy: isLazy)
            return output
        case .listener(var listener):
            let output = listener.takeOutput()
            self.side = .listener(listener)
            return output
        }
    }
}
