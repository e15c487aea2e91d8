/// `chorale peer`: a node of the network, to try connections with and to be tried.
enum PeerCommands {
    static let group = Command(
        "peer", summary: "speak with other nodes of the peer-to-peer network (libp2p)",
        discussion: """
            Chorale's own libp2p, by hand or driven by a program. Nodes of other implementations (go-libp2p, py-libp2p, …) are \
            reached the same way. Nothing here has to do with keys of signers or with coins: each start draws an identity of its own.
            """,
        examples: [
            Command.Example("be there for others", "chorale peer listen"),
            Command.Example(
                "is that peer there?",
                "chorale peer ping /ip4/127.0.0.1/tcp/4001/p2p/12D3KooW…"),
        ],
        commands: [
            PeerDialCommand.command, PeerPingCommand.command, PeerIdentifyCommand.command, PeerListenCommand.command,
            PeerRunCommand.command,
        ], default: PeerRunCommand.command.name)
}
