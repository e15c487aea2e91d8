import Signing

/// `chorale node block`, `unblock` and `blocks`: whom a node does not listen to.
enum NodeBlockCommands {
    static let all = [Self.block, Self.unblock, Self.blocks]

    private static let peer = Argument.positional(
        "PEER", help: "a peer id (chorale node show, chorale node blocks), or a contact's label or public key for its machine as it is now")
    private static let note = Argument.option(
        "note", "TEXT", default: "", defaultText: "none", help: "why, for yourself: up to \(PeerStanding.noteByteCountMax) bytes",
        parse: Parsing.text)

    private static let block = Command(
        "block", summary: "listen to nothing of a peer any more, until you say otherwise",
        discussion: """
            Its connections end, and new ones are refused as soon as they show who is there; nothing that it left in a mailbox is read. It is \
            remembered over restarts. A group that cannot be spent from without that member signs nothing until you unblock it.

            A node blocks a peer by itself, for an hour, when ten of its messages were such as no honest node sends, and a member for good when \
            that happened five times within a week. What counts is only who is at the other end of a connection, as that connection proves: \
            nobody can have another one blocked by what it says. What you say goes before what the node finds.
            """,
        items: [.argument(peer), .argument(note), NodeHome.item, .argument(.json)],
        examples: [Command.Example("Mallory's machine was stolen", "chorale node block Mallory --note stolen")]
    ) { (arguments, console) async throws(CommandError) in
        let blocked = try await ControlClient(by: arguments).ask(
            .object(["do": .string("node.block"), "peer": .string(arguments[Self.peer]), "note": .string(arguments[Self.note])]))
        if arguments[.json] { return try console.print(blocked) }
        try console.print("Nothing of \(Self.name(blocked)) is heard any more.")
        if blocked["is_member"]?.asBool == true {
            console.note(
                "It is a member of your groups: what cannot be signed without it waits until you say: "
                    + BlockWords.remedy(blocked.shown("peer_id")))
        }
    }

    private static let unblock = Command(
        "unblock", summary: "listen to a peer again, whatever it was blocked for",
        discussion: "What counted against it is forgotten, and a member takes part again at once.",
        items: [.argument(peer), NodeHome.item, .argument(.json)],
        examples: [Command.Example("Mallory has a new disk", "chorale node unblock Mallory")]
    ) { (arguments, console) async throws(CommandError) in
        let unblocked = try await ControlClient(by: arguments).ask(
            .object(["do": .string("node.unblock"), "peer": .string(arguments[Self.peer])]))
        if arguments[.json] { return try console.print(unblocked) }
        try console.print("\(Self.name(unblocked)) is heard again.")
    }

    private static let blocks = Command(
        "blocks", summary: "list whom the node does not listen to, why, and for how long",
        discussion: """
            Lists those whom you blocked, members that were blocked for good for their conduct, and whoever is blocked for an hour. With --json \
            each is an object in the array "blocks".
            """,
        items: [NodeHome.item, .argument(.json)]
    ) { (arguments, console) async throws(CommandError) in
        let blocks = try await ControlClient(by: arguments).items(.object(["do": .string("node.blocks")]))
        if arguments[.json] { return try console.print(.object(["blocks": .array(blocks)])) }
        guard !blocks.isEmpty else { return console.note("Nobody is blocked.") }
        try console.print(blocks.map(BlockWords.line))
    }

    private static func name(_ peer: JSONValue) -> String {
        peer["label"]?.asText.map { "\($0.printable) (\(peer.shown("peer_id")))" } ?? peer.shown("peer_id")
    }
}
