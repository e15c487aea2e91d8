import LibP2P
import LibP2PPosix

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#elseif canImport(Darwin)
import Darwin
#endif

/// One end of the load tests. scripts/test-load runs two of them, tells them when to go on, and looks at both from
/// outside.
///
///     LoadPeer serve [whole]               listens on loopback, and serves until its standard input ends
///     LoadPeer hold ADDRESS COUNT [whole]  as many connections, held
///     LoadPeer churn ADDRESS COUNT         as many connections, each made, used and closed
///     LoadPeer stream ADDRESS COUNT BYTES PAUSED-COUNT PAUSED-AT PAUSE-MILLISECONDS
///                                          one connection and as many streams at once, of so many bytes each; the readers of some stand
///                                          still for a while at one of their bytes
///
/// With `whole` its nodes speak everything that a node does, gossip and the hash table among it; else ping, identify and what is used here.
///
/// What it says and hears is words, a line each. It waits for a line before each step, and the end of its input ends it.
@main
struct LoadPeer {
    static func main() async throws {
        DescriptorLimit.raise()
        let arguments = Array(CommandLine.arguments.dropFirst())
        let isWhole = arguments.last == "whole"
        let numbers = arguments.dropFirst(2).filter { $0 != "whole" }.map { Int($0) ?? -1 }
        guard let command = arguments.first, numbers.allSatisfy({ $0 >= 0 }) else { Self.stop() }
        switch (command, arguments.count - (isWhole ? 1 : 0)) {
        case ("serve", 1): try await Server.run(isWhole: isWhole)
        case ("hold", 3): try await Client(arguments[1]).hold(numbers[0], isWhole: isWhole)
        case ("churn", 3): try await Client(arguments[1]).churn(numbers[0])
        case ("stream", 7):
            let pause = Pause(at: numbers[3], milliseconds: numbers[4])
            try await Client(arguments[1]).stream(numbers[0], byteCount: numbers[1], pausing: numbers[2], pause)
        default: Self.stop()
        }
    }

    private static func stop() -> Never {
        Self.say("usage: LoadPeer serve [whole] | hold ADDRESS COUNT [whole] | churn ADDRESS COUNT")
        Self.say("       | stream ADDRESS COUNT BYTES PAUSED-COUNT PAUSED-AT PAUSE-MILLISECONDS")
        exit(64)
    }

    /// A node's configuration, with connections that stay.
    static func configuration(isWhole: Bool) -> Node.Configuration {
        let name = "chorale-load/1.0"
        var configuration = isWhole ? Node.Configuration(agentVersion: name) : Node.Configuration.bare(agentVersion: name)
        configuration.limits.connection.idleTimeout = nil
        return configuration
    }

    /// A line for whoever watches, at once.
    static func say(_ line: String) {
        let bytes = Array("\(line)\n".utf8)
        guard write(STDOUT_FILENO, bytes, bytes.count) == bytes.count else { exit(74) }
    }

    /// The next word of whoever watches; the end of the input ends the process.
    static func waitForWord() {
        if readLine() == nil { exit(0) }
    }
}

/// Where a reader stands still, and for how long.
struct Pause: Sendable {
    var at: Int
    var milliseconds: Int

    static let none = Pause(at: .max, milliseconds: 0)
}

/// How a load stream begins, and what its bytes are, so that each one's place can be checked.
enum LoadStream {
    static let protocolID = "/chorale-load/1.0.0"
    /// Three numbers: how many bytes follow, at which of them the reader stands still, and for how many milliseconds.
    static let headByteCount = 24
    static let chunkByteCount = 65_536

    static func head(_ byteCount: Int, _ pause: Pause) -> [UInt8] {
        [byteCount, pause.at, pause.milliseconds].flatMap { number in (0..<8).map { UInt8(truncatingIfNeeded: number >> (56 - 8 * $0)) } }
    }

    static func number(_ bytes: ArraySlice<UInt8>) -> Int { bytes.reduce(0) { $0 << 8 | Int($1) } }

    /// The first eight bytes of a chunk: which stream's it is, and which of its chunks.
    static func mark(stream: Int, chunk: Int) -> [UInt8] {
        let mark = stream << 40 | chunk
        return (0..<8).map { UInt8(truncatingIfNeeded: mark >> (56 - 8 * $0)) }
    }
}
