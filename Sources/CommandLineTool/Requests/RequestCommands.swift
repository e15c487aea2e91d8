import Bitcoin
import CryptoPrimitives
import Signing
import SigningNode

/// `chorale request`: asking a group to sign, and deciding on what others ask.
enum RequestCommands {
    static let group = Command(
        "request", summary: "ask a group to sign over the network, and decide on what others ask",
        discussion: """
            A request goes to all members' nodes. Who agrees approves; when enough have, it is signed without anybody doing anything more, \
            and every member gets the transaction. Nothing is signed that its owner did not approve, after having seen it.

            These commands speak to the running node (chorale node run). A request is named by the first digits of its id.
            """,
        commands: [
            Self.new, Self.list, Self.show, Self.approve, Self.reject, Self.withdraw, Self.cancel, RequestSentCommand.command,
            RequestWatchCommand.command,
        ])

    static let id = Argument.positional("ID", help: "the request: the first digits of its id, four at least", parse: RequestID.text)

    private static let yes = Argument.flag("yes", help: "do not ask: what is signed is shown all the same, but not beside --json")
    private static let highFee = Argument.flag("high-fee", help: "with --yes: agree even though the fee is unusually high")

    // MARK: - new

    private static let groupName = Argument.required(
        "group", "NAME", help: "which group is asked (chorale group list)", parse: Parsing.text)
    private static let psbt = Argument.required(
        "psbt", "FILE", help: "the transaction to sign, as a PSBT with its coins", parse: Parsing.path)
    private static let note = Argument.option(
        "note", "TEXT", default: "", defaultText: "none", help: "what it is for: up to 200 bytes, which all members see",
        parse: Self.noteText)
    private static let expiresIn = Argument.option(
        "expires-in", "SECONDS", default: 86_400, help: "how long it lives: up to 30 days", parse: Parsing.integer(1...30 * 86_400))
    private static let replaces = Argument.optional(
        "replaces", "ID", help: "a request whose coins this one spends in its place", parse: RequestID.text)

    private static let requireAll = Argument.flag(
        "require-all", help: "ask only if the nodes of all members are connected: else nobody is asked, and who is missing is said")
    private static let minimumConnected = Argument.optional(
        "minimum-connected", "N", help: "ask only if N members are connected, yourself among them: at least as many as the group needs",
        parse: Parsing.integer(1...StoredGroup.memberCountMax))
    private static let connectWithin = Argument.optional(
        "connect-within", "SECONDS",
        help: "with --require-all or --minimum-connected: how long the connections may take in all (default: \(connectWithinDefault))",
        parse: Parsing.integer(connectWithinBounds))
    private static let connectWithinDefault = Int(ConnectivityOptions.timeLimitDefault.components.seconds)

    private static let nonceCommitments = Argument.flag(
        "nonce-commitments",
        help: "have the signers commit to their nonces before any of them shows its own: one round more, which MuSig2 does not need")

    /// Seconds.
    static let connectWithinBounds = 1...Int(ConnectivityOptions.timeLimitMax.components.seconds)

    static let noteText: TextParser<String> = { (text) throws(InvalidText) in
        guard text.utf8.count <= RequestTerms.noteByteCountMax else {
            throw InvalidText("it has \(text.utf8.count) bytes, and at most \(RequestTerms.noteByteCountMax) are sent")
        }
        return text
    }

    private static let new = Command(
        "new", summary: "ask a group to sign a transaction, and agree to it yourself",
        discussion: """
            Shows what is asked, and asks you first: who asks for a signature gives its own. Prints the id by which all members know \
            the request. Leave the node running: your secret nonce lives only in its process.

            The members need not be there at one time. Where you want to sign with them now, --require-all or --minimum-connected first \
            dials all of them at once.
            """,
        items: [
            .argument(groupName), .argument(psbt), .argument(note), .argument(expiresIn), .argument(replaces),
            .argument(requireAll), .argument(minimumConnected), .argument(connectWithin), .argument(nonceCommitments), .argument(yes),
            .argument(highFee), NodeHome.item, .argument(.json),
        ],
        examples: [
            Command.Example("ask the family", "chorale request new --group family --psbt payment.psbt --note rent"),
            Command.Example(
                "only if all are there now", "chorale request new --group family --psbt payment.psbt --require-all --connect-within 60"),
        ]
    ) { (arguments, console) async throws(CommandError) in
        guard !arguments[Self.requireAll] || arguments[Self.minimumConnected] == nil else {
            throw arguments.refused(.inconsistent("--require-all asks for more than --minimum-connected: say one of them"))
        }
        guard arguments[Self.connectWithin] == nil || arguments[Self.requireAll] || arguments[Self.minimumConnected] != nil else {
            throw arguments.refused(
                .inconsistent("--connect-within says how long to wait for members: add --require-all or --minimum-connected"))
        }
        let client = try ControlClient(by: arguments)
        let psbt = try TransactionFiles.psbt(at: arguments[Self.psbt])
        var members: [(name: String, value: JSONValue)] = [
            ("do", .string("request.new")), ("group", .string(arguments[Self.groupName])), ("psbt", .string(psbt.base64())),
            ("note", .string(arguments[Self.note])), ("seconds", .integer(arguments[Self.expiresIn])),
        ]
        if let replaced = arguments[Self.replaces] { members.append(("replaces", .string(replaced))) }
        let connectWithin = arguments[Self.connectWithin] ?? Self.connectWithinDefault
        members += [("requires_all", .bool(arguments[Self.requireAll])), ("connect_within", .integer(connectWithin))]
        if let count = arguments[Self.minimumConnected] { members.append(("connected_min", .integer(count))) }
        if arguments[Self.nonceCommitments] { members.append(("nonce_commitments", .bool(true))) }
        let preview = try await client.ask(
            .object(members + [("is_preview", .bool(true)), ("in_colour", .bool(console.errorStyle.isOn))]))
        try Self.ask("Ask for this, and agree to it?", preview, arguments, console)
        let patience = ControlClient.patience + .seconds(connectWithin)
        let made = try await client.ask(.object(members), patience: patience)
        if arguments[.json] { return try console.print(made) }
        try console.print(made.shown("request"))
        console.note(
            "The others decide now. How it goes: chorale request watch --request \(made.shown("request").prefix(EventReport.idDigitCount))")
    }

    /// Shows what is signed, and asks.
    private static func ask(
        _ question: String, _ shown: JSONValue, _ arguments: Arguments, _ console: Console
    ) throws(CommandError) {
        if !Self.isForProgram(arguments) { for line in shown["report"]?.asTexts ?? [] { console.note(line) } }
        guard !arguments[Self.yes] else {
            guard shown["has_unusual_fee"]?.asBool == false || arguments[Self.highFee] else {
                throw .failed("the fee is unusually high: not agreed to without a question (see --high-fee)")
            }
            return
        }
        switch Question.ask("\n\(question) [y/N] ") {
        case .yes: return
        case .no: throw .failed("not agreed to")
        case .noTerminal: throw arguments.refused(.inconsistent("there is no terminal to ask at: look at what is signed, then say --yes"))
        }
    }

    /// Whether nobody reads what is written beside the one object.
    private static func isForProgram(_ arguments: Arguments) -> Bool { arguments[.json] && arguments[Self.yes] }

    // MARK: - list and show

    private static let list = Command(
        "list", summary: "list the requests that this node knows",
        discussion: "Lists requests, the newest last. With --json each is an object in the array \"requests\".",
        items: [NodeHome.item, .argument(.json)]
    ) { (arguments, console) async throws(CommandError) in
        let requests = try await ControlClient(by: arguments).items(.object(["do": .string("request.list")]))
        if arguments[.json] { return try console.print(.object(["requests": .array(requests)])) }
        guard !requests.isEmpty else { return console.note("There is none: chorale request new asks for a signature.") }
        try console.print(TextLayout.columns(requests.map(Self.row)))
    }

    private static func row(_ request: JSONValue) -> [String] {
        // Who does not coordinate may not have heard of all.
        let atLeast = request["knows_all_approvals"]?.asBool == true ? "" : "at least "
        let note = request.shown("note")
        return [
            String(request.shown("request").prefix(EventReport.idDigitCount)), request.shown("group"),
            Amounts.bitcoin(request["paid"]?.asUnsigned ?? 0),
            "\(atLeast)\(request["approved_count"]?.asInteger ?? 0) of \(request["threshold"]?.asInteger ?? 0)", request.shown("reason"),
            note.isEmpty ? "" : "“\(note)”",
        ]
    }

    private static let out = Argument.optional(
        "out", "FILE", help: "write the signed transaction to this file, in hex, once it is complete", parse: Parsing.path)

    private static let show = Command(
        "show", summary: "show a request: what is signed, who said what, the signed transaction",
        discussion: """
            Shows coins, recipients and fee as your node worked them out, and who has approved. Of a request that is complete the signed \
            transaction is printed, too, or written to the file of --out; any node of the network takes it.
            """,
        items: [.argument(id), .argument(out), .argument(Files.force), NodeHome.item, .argument(.json)],
        examples: [Command.Example("what does Bob want?", "chorale request show 9ae5f462")]
    ) { (arguments, console) async throws(CommandError) in
        try Files.checkForce(arguments, out: arguments[Self.out])
        if let out = arguments[Self.out] { try Files.checkFree(out, replacing: arguments[Files.force]) }
        let shown = try await Self.show(ControlClient(by: arguments), arguments, console.style)
        let transaction = shown["transaction"]?.asText
        if let out = arguments[Self.out] {
            guard let transaction else {
                throw .missing(
                    "the request is not complete, so there is no signed transaction to write: \(shown.shown("reason")). What it waits "
                        + "for, tells: chorale explain \(arguments[Self.id])")
            }
            try Files.write(Array("\(transaction)\n".utf8), to: out, replacing: arguments[Files.force])
        }
        if arguments[.json] { return try console.print(shown.without("report")) }
        try console.print(Self.report(shown, console.style).lines + (shown["report"]?.asTexts ?? []))
        if arguments[Self.out] == nil, let transaction { try console.print(["", console.style.bold("Transaction"), transaction]) }
        let next = shown["next"]?.asTexts ?? []
        if !next.isEmpty { console.note("") }
        for line in next { console.prose(line.printable) }
    }

    private static func show(
        _ client: ControlClient, _ arguments: Arguments, _ style: Style
    ) async throws(CommandError) -> JSONValue {
        try await client.ask(
            .object(["do": .string("request.show"), "id": .string(arguments[Self.id]), "in_colour": .bool(style.isOn)]))
    }

    private static func report(_ shown: JSONValue, _ style: Style) -> Report {
        var report = Report(style: style)
        report.heading("Request \(shown.shown("request"))")
        report.field("group", shown.shown("group"), indent: 2, width: 8)
        let proposer = shown["proposer_label"]?.asText.map { "\($0.printable) (\(shown.shown("proposer")))" } ?? shown.shown("proposer")
        report.field("asked by", proposer + (shown["is_own"]?.asBool == true ? ", you" : ""), indent: 2, width: 8)
        if !shown.shown("note").isEmpty { report.field("note", "“\(shown.shown("note"))”", indent: 2, width: 8) }
        report.field("state", shown.shown("reason"), indent: 2, width: 8)
        if let seen = shown["seen"]?.asUnsigned { report.field("sent", RequestSentCommand.words(seen), indent: 2, width: 8) }
        if let expiry = shown["expiry"]?.asUnsigned, expiry != 0 { report.field("expires", UnixTime.text(expiry), indent: 2, width: 8) }
        let knowsAll = shown["knows_all_approvals"]?.asBool == true
        let members = (shown["members"]?.asArray ?? []).map { Self.member($0, knowsAll: knowsAll) }
        report.field("members", members, indent: 2, width: 8)
        report.line("")
        return report
    }

    /// - Parameter knowsAll: whether this node hears of every approval.
    private static func member(_ member: JSONValue, knowsAll: Bool) -> String {
        let isSelf = member["is_self"]?.asBool == true
        let knowsAll = knowsAll || isSelf
        let name = member["label"]?.asText?.printable ?? String(member.shown("public_key").prefix(10)) + "…"
        let says: String
        switch member.shown("says") {
        case "approved": says = "approved"
        case "refused": says = "refused"
        default: says = "has not decided\(knowsAll ? "" : ", as far as this node knows")"
        }
        return "\(name)\(isSelf ? " (you)" : "")  \(says)" + (isSelf || member["is_connected"]?.asBool == true ? "" : ", not connected")
    }

    // MARK: - Deciding

    private static let approve = Command(
        "approve", summary: "agree to a request, after having seen what is signed",
        discussion: """
            Shows coins, recipients and fee as your node worked them out, and asks. Then the node signs with the others, as soon as there \
            are enough of them. Leave it running until then: your secret nonce lives only in its process. If it must end, nothing is \
            lost: it makes a new one when it is back.
            """,
        items: [.argument(id), .argument(yes), .argument(highFee), NodeHome.item, .argument(.json)],
        examples: [Command.Example("look at it, then say yes", "chorale request approve 9ae5f462")]
    ) { (arguments, console) async throws(CommandError) in
        let client = try ControlClient(by: arguments)
        let shown = try await Self.show(client, arguments, console.errorStyle)
        // Before anything is asked: what is over cannot be agreed to, and what was agreed to needs no second answer.
        guard shown["is_over"]?.asBool != true, shown.shown("decision") != "approved" else {
            return try await Self.decide("request.approve", shown.shown("request"), client, arguments, console)
        }
        if !Self.isForProgram(arguments) { for line in Self.report(shown, console.errorStyle).lines { console.note(line) } }
        try Self.ask("Sign this?", shown, arguments, console)
        // By the whole id: it is the digest of all that was shown.
        try await Self.decide("request.approve", shown.shown("request"), client, arguments, console)
    }

    private static let reject = Self.decision(
        "reject", summary: "say no to a request",
        discussion: "Tells the other members that you do not agree. For you it is over then; where all must sign, it is over for everybody."
    )

    private static let withdraw = Self.decision(
        "withdraw", summary: "take your agreement to a request back",
        discussion: """
            Nothing more is signed here for it. Partial signatures that have left stay out: whoever holds enough of them may still finish, \
            and then the request ends as one that may still complete.
            """)

    private static let cancel = Self.decision(
        "cancel", summary: "take your own request back, for all members",
        discussion: "Ends a request that you made, at all members. What was signed before stays out, as with withdraw.")

    private static func decision(_ name: String, summary: String, discussion: String) -> Command {
        Command(
            name, summary: summary, discussion: discussion, items: [.argument(Self.id), NodeHome.item, .argument(.json)]
        ) { (arguments, console) async throws(CommandError) in
            try await Self.decide("request.\(name)", arguments[Self.id], ControlClient(by: arguments), arguments, console)
        }
    }

    private static func decide(
        _ name: String, _ id: String, _ client: ControlClient, _ arguments: Arguments, _ console: Console
    ) async throws(CommandError) {
        let after = try await client.ask(.object(["do": .string(name), "id": .string(id)]))
        if arguments[.json] { return try console.print(after) }
        try console.print("Request \(after.shown("request").prefix(EventReport.idDigitCount)): \(after.shown("reason")).")
    }
}

/// `chorale request watch`: what happens, as it happens.
enum RequestWatchCommand {
    private static let request = Argument.optional(
        "request", "ID", help: "only this request, from its beginning on, and up to its end", parse: RequestID.text)
    private static let after = Argument.optional(
        "after", "CURSOR", help: "begin behind this event: each has a number that rises, from 1, while the node runs",
        parse: Parsing.integer(0...(.max - 1)))
    private static let timeLimit = Argument.optional(
        "time-limit", "SECONDS", help: "with --request: give up waiting for its end after so long", parse: Parsing.integer(1...2_592_000))

    static let command = Command(
        "watch", summary: "tell what happens at the node, as it happens",
        discussion: """
            Prints a line for each thing that happens, until Ctrl-C. With --request only what is about one request, and it ends with the \
            request: exit code 0 when it was signed, 1 when it ended otherwise, 3 when the time limit came first.

            With --json each line is an object with "cursor" and "event" in it; whoever reads it goes on with --after where it was.
            """,
        items: [.argument(request), .argument(after), .argument(timeLimit), NodeHome.item, .argument(.jsonLines)],
        examples: [
            Command.Example("until it is signed", "chorale request watch --request 9ae5f462"),
            Command.Example("for a program", "chorale request watch --json --after 120"),
        ]
    ) { (arguments, console) async throws(CommandError) in
        guard arguments[Self.request] != nil || arguments[Self.timeLimit] == nil else {
            throw arguments.refused(.inconsistent("--time-limit belongs to one request: add --request ID"))
        }
        var members: [(name: String, value: JSONValue)] = [("do", .string("request.watch"))]
        if let id = arguments[Self.request] { members.append(("id", .string(id))) }
        if let cursor = arguments[Self.after] { members.append(("after", .integer(cursor))) }
        let isJSON = arguments[.jsonLines]
        let end = Latest<JSONValue>()
        try await ControlClient(by: arguments).ask(
            .object(members), patience: nil, within: arguments[Self.timeLimit].map { .seconds($0) }
        ) { (event) throws(CommandError) in
            if event.shown("event") == "over" { end.value = event }
            if isJSON {
                try console.print(event.without("text"))
            } else {
                let cursor = event["cursor"]?.asInteger.map { "\($0)" } ?? ""
                try console.print("\(cursor.leftPadded(to: 5))  \(event.shown("text"))")
            }
            return true
        }
        guard let over = end.value, over.shown("state") != "complete" else { return }
        throw .failed("the request is over, and not signed: \(over.shown("reason"))")
    }
}

/// `chorale explain`: what a request waits for.
enum ExplainCommand {
    static let command = Command(
        "explain", summary: "say what a request waits for, who must stay running, who is at fault",
        discussion: """
            Says in plain words where a request is, as far as this node knows: who has to decide, who is not reached, whose process must \
            not end, what happens next, who can end it, and until when. With --json "advice" has what you can do about it, the most \
            urgent first.
            """,
        items: [.argument(RequestCommands.id), NodeHome.item, .argument(.json)],
        examples: [Command.Example("why does nothing happen?", "chorale explain 9ae5f462")]
    ) { (arguments, console) async throws(CommandError) in
        let explained = try await ControlClient(by: arguments).ask(
            .object(["do": .string("request.explain"), "id": .string(arguments[RequestCommands.id])]))
        if arguments[.json] { return try console.print(explained) }
        var report = Report(style: console.style)
        report.heading("Request \(explained.shown("request")) of \(explained.shown("group"))")
        for text in explained["explanation"]?.asTexts ?? [] {
            let indent = text.prefix { $0 == " " }.count
            for line in TextLayout.wrapped(text.printable, width: HelpText.columnCountMax - indent) { report.line(line, indent: indent) }
        }
        try console.print(report.lines)
    }
}
