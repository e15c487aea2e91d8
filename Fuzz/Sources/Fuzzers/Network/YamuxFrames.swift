import LibP2P

/// Frames of yamux as a stranger may write them (hashicorp/yamux, spec.md, "Framing").
enum YamuxFrames {
    static let (data, windowUpdate, ping, goAway): (UInt8, UInt8, UInt8, UInt8) = (0, 1, 2, 3)
    static let (syn, ack, fin, rst): (UInt16, UInt16, UInt16, UInt16) = (1, 2, 4, 8)

    static func frame(_ type: UInt8, _ flags: UInt16, stream: UInt32, length: UInt32, version: UInt8 = 0) -> [UInt8] {
        var bytes: [UInt8] = [version, type]
        withUnsafeBytes(of: flags.bigEndian) { bytes += $0 }
        withUnsafeBytes(of: stream.bigEndian) { bytes += $0 }
        withUnsafeBytes(of: length.bigEndian) { bytes += $0 }
        return bytes
    }

    static func data(_ bytes: [UInt8], of stream: UInt32, flags: UInt16 = 0) -> [UInt8] {
        Self.frame(Self.data, flags, stream: stream, length: UInt32(bytes.count)) + bytes
    }

    /// A line of multistream-select.
    static func line(_ text: String) -> [UInt8] { FrameReader.frame(Array((text + "\n").utf8)) }

    static func proposal(_ protocolID: String) -> [UInt8] { Self.line(Multistream.header) + Self.line(protocolID) }

    /// What the peer does in a script.
    enum Step: UInt8, CaseIterable {
        case data, open, window, finish, reset, ping, goAway, flood, manyOpens, frame, raw
    }

    /// The next bytes of a peer.
    static func next(_ script: inout PlayScript) -> [UInt8] {
        let step = Step.allCases[script.choice(Step.allCases.count)]
        // Seven of eight times a stream of the first few.
        let place = script.byte()
        let stream = place < 224 ? UInt32(place & 15) : UInt32(script.number()) << 16 | UInt32(script.number())
        switch step {
        case .data: return Self.data(script.bytes(), of: stream)
        case .open:
            let flags = script.flag() ? Self.syn : Self.syn | Self.fin
            return Self.data(
                Self.proposal(Self.protocolIDs[script.choice(Self.protocolIDs.count)]) + script.bytes(), of: stream, flags: flags)
        case .window: return Self.frame(Self.windowUpdate, Self.ack, stream: stream, length: UInt32(script.number()) << script.choice(17))
        case .finish: return Self.frame(Self.windowUpdate, Self.fin, stream: stream, length: 0)
        case .reset: return Self.frame(Self.windowUpdate, Self.rst, stream: stream, length: UInt32(script.byte()))
        case .ping: return Self.frame(Self.ping, script.flag() ? Self.syn : Self.ack, stream: 0, length: UInt32(script.byte()))
        case .goAway: return Self.frame(Self.goAway, 0, stream: 0, length: UInt32(script.choice(4)))
        case .flood: return Self.data([UInt8](repeating: 7, count: 256 * Int(script.byte())), of: stream)
        case .manyOpens:
            return (0..<UInt32(script.byte())).flatMap { Self.frame(Self.windowUpdate, Self.syn, stream: stream &+ 2 * $0, length: 0) }
        case .frame:
            return Self.frame(
                script.byte(), UInt16(script.number()), stream: stream, length: UInt32(script.number()) << 16 | UInt32(script.number()),
                version: script.choice(16) == 15 ? 1 : 0)
        case .raw: return script.bytes()
        }
    }

    static let protocolIDs = ["/echo/1", "/none/1", "/push/1"]
}
