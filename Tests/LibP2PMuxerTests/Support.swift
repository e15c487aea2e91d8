@testable import LibP2P

/// Sebastiano Vigna's SplitMix64: one number gives the same case on every machine, for ever.
struct SeededNumbers: RandomNumberGenerator {
    private var state: UInt64

    init(seed: UInt64) { self.state = seed }

    mutating func next() -> UInt64 {
        self.state &+= 0x9e37_79b9_7f4a_7c15
        var mixed = self.state
        mixed = (mixed ^ (mixed >> 30)) &* 0xbf58_476d_1ce4_e5b9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94d0_49bb_1331_11eb
        return mixed ^ (mixed >> 31)
    }

    mutating func below(_ bound: Int) -> Int { Int.random(in: 0..<bound, using: &self) }

    mutating func bytes(_ count: Int) -> [UInt8] {
        Array(unsafeUninitializedCapacity: count + 8) { target, initializedCount in
            let target = UnsafeMutableRawBufferPointer(target)
            for offset in stride(from: 0, to: count, by: 8) { target.storeBytes(of: self.next(), toByteOffset: offset, as: UInt64.self) }
            initializedCount = count
        }
    }
}

/// A frame as bytes, also such as no honest peer would send.
struct Frame: Equatable, CustomStringConvertible {
    var version: UInt8 = 0
    var type: UInt8
    var flags: UInt16 = 0
    var stream: UInt32 = 0
    var length: UInt32 = 0
    var body: [UInt8] = []

    static let syn: UInt16 = 1, ack: UInt16 = 2, fin: UInt16 = 4, rst: UInt16 = 8

    static func data(_ stream: UInt32, _ body: [UInt8], flags: UInt16 = 0) -> Frame {
        Frame(type: 0, flags: flags, stream: stream, length: UInt32(body.count), body: body)
    }
    static func window(_ stream: UInt32, _ length: UInt32 = 0, flags: UInt16 = 0) -> Frame {
        Frame(type: 1, flags: flags, stream: stream, length: length)
    }
    static func ping(_ value: UInt32, flags: UInt16) -> Frame { Frame(type: 2, flags: flags, length: value) }
    static func goAway(_ code: UInt32) -> Frame { Frame(type: 3, length: code) }

    var bytes: [UInt8] {
        var bytes: [UInt8] = [self.version, self.type]
        withUnsafeBytes(of: self.flags.bigEndian) { bytes.append(contentsOf: $0) }
        withUnsafeBytes(of: self.stream.bigEndian) { bytes.append(contentsOf: $0) }
        withUnsafeBytes(of: self.length.bigEndian) { bytes.append(contentsOf: $0) }
        return bytes + self.body
    }

    var description: String { "(\(self.type) flags \(self.flags) stream \(self.stream) length \(self.length))" }

    /// Takes bytes apart by a reading of its own, not the product's.
    static func all(in bytes: [UInt8]) -> [Frame] {
        var frames: [Frame] = []
        var rest = bytes[...]
        func number(_ range: Range<Int>) -> UInt32 {
            rest.dropFirst(range.lowerBound).prefix(range.count).reduce(0) { $0 << 8 | UInt32($1) }
        }
        while rest.count >= 12 {
            var frame = Frame(type: UInt8(number(1..<2)), flags: UInt16(number(2..<4)), stream: number(4..<8), length: number(8..<12))
            frame.version = UInt8(number(0..<1))
            rest = rest.dropFirst(12)
            if frame.type == 0 {
                frame.body = Array(rest.prefix(Int(frame.length)))
                rest = rest.dropFirst(Int(frame.length))
            }
            frames.append(frame)
        }
        return frames
    }
}

extension YamuxSession {
    mutating func receive(_ bytes: [UInt8], now: Duration = .zero) { self.receive(bytes.span.bytes, now: now) }

    mutating func receive(_ frames: Frame..., now: Duration = .zero) {
        for frame in frames { self.receive(frame.bytes, now: now) }
    }

    mutating func takeEvents() -> [YamuxEvent] {
        var events: [YamuxEvent] = []
        while let event = self.nextEvent() { events.append(event) }
        return events
    }

    mutating func allOutput(now: Duration) -> [UInt8] {
        var bytes: [UInt8] = []
        while self.hasOutput { bytes += self.output(upTo: 65_519, now: now) }
        return bytes
    }

    mutating func takeFrames(now: Duration = .zero) -> [Frame] { Frame.all(in: self.allOutput(now: now)) }

    mutating func readAll(_ id: YamuxStreamID, now: Duration = .zero) -> [UInt8] {
        var bytes: [UInt8] = []
        while let chunk = self.read(from: id, now: now) { bytes += chunk }
        return bytes
    }

    /// What a session says of itself must be what its streams add up to.
    var isConsistent: Bool {
        let inbound = self.streams.filter { $0.id.opener != self.role }
        return self.receivedByteCount == self.streams.reduce(0) { $0 + $1.inbound.byteCount }
            && self.unsentByteCount == self.streams.reduce(0) { $0 + $1.outbound.byteCount }
            && self.inboundStreamCount == inbound.count
            && self.unacceptedStreamCount == inbound.count { $0.isUnaccepted }
            && self.unacknowledgedStreamCount == self.streams.count { $0.isUnacknowledged }
            && self.windowGrowthByteCount == self.streams.reduce(0) { $0 + $1.receiveWindow.growth }
            && self.indices.count == self.streams.count
            && self.indices.allSatisfy { self.streams[$0.value].id == $0.key }
            && self.controls.count == self.streams.count { $0.isInControlQueue }
            && self.senders.count == self.streams.count { $0.isInSendQueue }
    }
}

/// A stream's number, of which tests know that it is one.
func stream(_ number: UInt32) -> YamuxStreamID {
    guard let id = YamuxStreamID(number) else { preconditionFailure("0 is no stream") }
    return id
}

/// Two sessions back to back.
struct SessionPair {
    var dialer: YamuxSession
    var listener: YamuxSession
    var now = Duration.zero

    init(limits: YamuxLimits = YamuxLimits()) {
        self.dialer = YamuxSession(.dialer, limits: limits)
        self.listener = YamuxSession(.listener, limits: limits)
    }

    /// Carries everything across that is to be sent, until both are silent. Each crossing takes `delay`.
    mutating func exchange(delay: Duration = .zero) {
        while self.dialer.hasOutput || self.listener.hasOutput {
            let there = self.dialer.allOutput(now: self.now)
            let back = self.listener.allOutput(now: self.now)
            self.now += delay
            self.listener.receive(there, now: self.now)
            self.dialer.receive(back, now: self.now)
        }
    }

    /// A stream that both sides have taken; no event is left of that.
    mutating func openStream() throws -> YamuxStreamID {
        let id = try self.dialer.open(now: self.now)
        self.exchange()
        self.listener.accept(id)
        self.exchange()
        _ = self.dialer.takeEvents()
        _ = self.listener.takeEvents()
        return id
    }
}
