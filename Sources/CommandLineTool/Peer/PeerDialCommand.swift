import LibP2P
import LibP2PPosix

/// `chorale peer dial`: is the peer there, and is it the one it should be?
enum PeerDialCommand {
    static let command = Command(
        "dial", summary: "connect to a peer and tell whether that works",
        discussion: """
            Connects, proves that the peer holds the key of the id at the end of the address, and hangs up again.
            """,
        items: [.argument(PeerByHand.address), .argument(PeerArguments.timeLimit), .argument(.json)],
        examples: [
            Command.Example(
                "is it there?", "chorale peer dial /ip4/127.0.0.1/tcp/4001/p2p/12D3KooW…")
        ]
    ) { (arguments, console) async throws(CommandError) in
        let reached = try await PeerByHand.reaching(arguments) { reached async throws(NodeError) in reached }
        let connection = reached.connection
        guard !arguments[.json] else {
            return try console.print(
                .object([
                    "peer_id": .string(reached.peer.description), "address": .string(connection.remoteAddress.description),
                    "is_relayed": .bool(connection.remoteAddress.isRelayed), "ms": .number(reached.duration.milliseconds),
                ]))
        }
        var report = Report(style: console.style)
        report.heading("Connected in \(PeerByHand.milliseconds(reached.duration))")
        report.field("peer", reached.peer.description, indent: 2, width: 7)
        report.field("address", connection.remoteAddress.description, indent: 2, width: 7)
        report.field("way", PeerByHand.way(connection), indent: 2, width: 7)
        try console.print(report.lines)
    }
}
