internal import Dispatch
internal import Synchronization

#if canImport(Glibc)
internal import Glibc
#elseif canImport(Musl)
internal import Musl
#elseif canImport(Darwin)
internal import Darwin
#endif

/// How a driver and a peer talk: lines of standard input come in, one JSON object a line goes out on standard output.
final class DriverChannel: Sendable {
    /// Bytes of one command. The largest carry a message of 1 MiB in hex.
    static let lineByteCountMax = 16 << 20
    /// Events that wait for a driver who does not read. Later ones are dropped, for strangers cause them; replies are not.
    static let waitingEventCountMax = 16_384

    private let queue = DispatchQueue(label: "chorale.driver")
    private let waitingEventCount = Atomic<Int>(0)

    // MARK: Out

    /// Tells the driver that something happened. Never waits, so that it may be called on a node's loop.
    func emit(_ event: String, _ members: KeyValuePairs<String, JSONValue> = [:]) {
        guard self.waitingEventCount.load(ordering: .relaxed) < Self.waitingEventCountMax else { return }
        self.waitingEventCount.add(1, ordering: .relaxed)
        let line = Self.line(event, members.map { (name: $0.key, value: $0.value) })
        self.queue.async {
            try? FileDescriptor.standardOutput.write(line)
            self.waitingEventCount.subtract(1, ordering: .relaxed)
        }
    }

    /// Answers a command.
    func reply(_ members: [(name: String, value: JSONValue)]) {
        let line = Self.line("reply", members)
        self.queue.async { try? FileDescriptor.standardOutput.write(line) }
    }

    /// Returns when all is written.
    func flush() async { await withCheckedContinuation { done in self.queue.async { done.resume() } } }

    private static func line(_ event: String, _ members: [(name: String, value: JSONValue)]) -> String {
        JSONValue.object([(name: "event", value: .string(event)), (name: "t", value: .number(Self.unixTime))] + members).text + "\n"
    }

    /// Seconds since 1970.
    private static var unixTime: Double {
        var time = timespec()
        guard clock_gettime(CLOCK_REALTIME, &time) == 0 else { return 0 }
        return Double(time.tv_sec) + Double(time.tv_nsec / 1_000) / 1e6
    }

    // MARK: In

    enum Line: Sendable {
        case bytes([UInt8])
        case tooLong
    }

    /// The lines of standard input, up to its end. They are read ahead of whoever takes them: how many there are is the driver's affair.
    func lines() -> AsyncStream<Line> {
        let (stream, continuation) = AsyncStream.makeStream(of: Line.self)
        // Reading waits, so it has a queue of its own.
        DispatchQueue(label: "chorale.driver.input").async {
            var line: [UInt8] = []
            while let chunk = try? FileDescriptor.standardInput.read(atMost: 65_536), !chunk.isEmpty {
                var rest = chunk[...]
                while let end = rest.firstIndex(of: 0x0a) {
                    line += rest[..<end]
                    if !line.isEmpty { continuation.yield(.bytes(line)) }
                    line = []
                    rest = rest[(end + 1)...]
                }
                line += rest
                if line.count > Self.lineByteCountMax {
                    continuation.yield(.tooLong)
                    break
                }
            }
            continuation.finish()
        }
        return stream
    }
}
