import Signing

/// `chorale node`: a signer's own node.
enum NodeCommands {
    static let group = Command(
        "node", summary: "run a signer's node, which signs with others over the network",
        discussion: """
            A node holds one signer's key, and takes part in what its groups sign: over the network, through restarts, until each request is \
            signed or can never be. Its folder (--home) has all that it keeps. While it runs, the commands chorale contact, group, \
            request and explain speak to it.
            """,
        examples: [
            Command.Example("the first time", "mkdir -m 700 ~/.chorale"),
            Command.Example("then a key", "chorale key new --network signet --out ~/.chorale/node.key"),
            Command.Example("then, and from then on", "chorale node run --listen /ip4/0.0.0.0/tcp/4001"),
        ],
        commands: [NodeRunCommand.command, Self.show, NodeBackupCommand.command] + NodeBlockCommands.all)

    private static let show = Command(
        "show", summary: "show the running node: its key, addresses, contact word, members, how it is",
        discussion: """
            The word beside "contact" is what others give to chorale contact add: it holds this node's public keys, signed by both, and its \
            addresses, those of its mailboxes among them, and no secret. With --json "health" has what a monitor watches: "is_writable" is \
            false while the disk takes no writes, and nothing is signed then.
            """,
        items: [NodeHome.item, .argument(.json)]
    ) { (arguments, console) async throws(CommandError) in
        let shown = try await ControlClient(by: arguments).ask(.object(["do": .string("node.show")]))
        if arguments[.json] { return try console.print(shown) }
        var report = Report(style: console.style)
        report.heading("Node\(shown["label"]?.asText.map { " of \($0.printable)" } ?? "") on \(shown.shown("network"))")
        report.field("peer id", shown.shown("peer_id"), indent: 2, width: 10)
        report.field("public key", shown.shown("public_key"), indent: 2, width: 10)
        if let expiry = shown["enrolment_expiry"]?.asUnsigned, expiry != 0 {
            let words = "\(UnixTime.text(expiry)): others hear this machine until then (chorale key enrol)"
            report.field("expires", words, indent: 2, width: 10)
        }
        report.field("addresses", shown["addresses"]?.asTexts ?? [], indent: 2, width: 10)
        for mailbox in shown["mailboxes"]?.asArray ?? [] {
            let state = mailbox["is_connected"]?.asBool == true ? "connected" : "not connected"
            report.field("mailbox", "\(mailbox.shown("peer_id")), \(state)", indent: 2, width: 10)
        }
        var served: [String] = []
        if shown["serves_mailbox"]?.asBool == true { served.append("a mailbox, for contacts and members of its groups") }
        if shown["serves_relay"]?.asBool == true { served.append("a relay, for anybody, within limits") }
        if !served.isEmpty { report.field("serves", served, indent: 2, width: 10) }
        report.field("contact", shown.shown("contact"), indent: 2, width: 10)
        let members = shown["members"]?.asArray ?? []
        if !members.isEmpty { report.heading("Members of its groups") }
        for member in members {
            let name = member["label"]?.asText?.printable ?? "\(member.shown("public_key").prefix(10))…"
            report.line("\(name)  \(BlockWords.mark(member, at: WallClock.secondsSince1970))\(LinkText.words(member))", indent: 2)
        }
        if let health = shown["health"] {
            report.heading("Health")
            for (name, words) in HealthText.lines(health) { report.field(name, words, indent: 2, width: 10) }
        }
        try console.print(report.lines)
    }
}
