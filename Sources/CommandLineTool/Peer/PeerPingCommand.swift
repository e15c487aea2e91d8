import LibP2P
import LibP2PPosix

/// `chorale peer ping`: how long is the way to a peer and back?
enum PeerPingCommand {
    static let command = Command(
        "ping", summary: "measure the way to a peer and back",
        discussion: """
            Sends 32 random bytes, waits until they come back, and does so again. The times hold both ends' encryption and turns, \
            so they are longer than those of the system's ping.
            """,
        items: [.argument(PeerByHand.address), .argument(Self.count), .argument(PeerArguments.timeLimit), .argument(.json)],
        examples: [
            Command.Example(
                "ten times", "chorale peer ping --count 10 /ip4/127.0.0.1/tcp/4001/p2p/12D3KooW…"
            )
        ]
    ) { (arguments, console) async throws(CommandError) in
        let count = arguments[Self.count]
        let (peer, times) = try await PeerByHand.reaching(arguments) { reached async throws(NodeError) in
            (reached.peer, try await reached.node.ping(reached.peer, count: count))
        }
        guard !arguments[.json] else {
            return try console.print(
                .object(["peer_id": .string(peer.description), "ms": .array(times.map { .number($0.milliseconds) })]))
        }
        try console.print(console.style.bold("\(peer)"))
        for (index, time) in times.enumerated() {
            try console.print("  \(String(index + 1).leftPadded(to: 5))  \(PeerByHand.milliseconds(time))")
        }
        let sorted = times.sorted()
        guard let least = sorted.first, let most = sorted.last else { return }
        try console.print(
            "\(Amounts.count(times.count, "answer")): the fastest took \(PeerByHand.milliseconds(least)), the median "
                + "\(PeerByHand.milliseconds(sorted[sorted.count / 2])), the slowest \(PeerByHand.milliseconds(most))")
    }

    private static let count = Argument.option("count", "N", default: 5, help: "how often", parse: Parsing.integer(1...10_000))
}
