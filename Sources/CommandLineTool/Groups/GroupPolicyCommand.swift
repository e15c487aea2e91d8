import Signing

/// `chorale group policy`: what a node approves without asking its owner.
enum GroupPolicyCommand {
    private static let set = Argument.optional(
        "set", "FILE", help: "approve by itself what this policy lets out; - for standard input", parse: Parsing.path)
    private static let ask = Argument.flag("ask", help: "have every request wait for you")
    private static let tryOut = Argument.optional(
        "try", "ID", help: "say what the policy makes of this request, or what that of --set would, and change nothing",
        parse: RequestID.text)
    private static let confirmClock = Argument.flag(
        "confirm-clock", help: "this machine's clock is right: what passed while the node did not run counts")
    private static let forgetRefusals = Argument.flag(
        "forget-refusals", help: "judge coins that you refused to spend in the last 30 days by the policy again")
    private static let yes = Argument.flag("yes", help: "do not ask: what the policy lets out is shown all the same, but not beside --json")

    private static let tillPolicy = """
        chorale-approval 1
        network: signet
        group: tb1p…
        proposer: any
        destination: tb1q…
        amount-per-request: 100000 sat
        amount-per-day: 500000 sat
        approvals-per-day: 20
        fee: 20000 sat
        fee-rate: 50 sat/vB
        window: Mon-Fri 09:00-17:00
        delay: 600 s
        otherwise: ask
        """

    static let command = Command(
        "policy", summary: "say what your node approves in a group without asking you",
        discussion: """
            Without a policy your node asks you about every request. With one it approves by itself what stays within all limits, \
            asks you about the rest, and tells of each request what the policy said and why (chorale request watch). While a delay \
            runs you can reject; what you reject is not approved automatically for 30 days, in any request for the same coins.

            A policy is a text. Each line but "own", "unseen", "coins-of-others" and "otherwise" has to be there: nothing is unlimited \
            by leaving it out. Lines "proposer", "destination", "own" and "window" may come again, or say "any" or "always". Amounts \
            count what does not come back to the group, or to an address under "own". Windows are hours of UTC. \
            "coins-of-others: allow" lets coins of others be spent beside the group's, and "otherwise: refuse" refuses what \
            is outside the limits: both say "ask" where they are left out.

            \(Self.tillPolicy.split(separator: "\n").map { "  \($0)" }.joined(separator: "\n"))

            What was approved in 24 hours counts on when the policy changes, and after a restart. When the node did not run for more than \
            an hour in all (or what "unseen: 600 s" says), it asks you whether the clock is right before it approves anything: \
            --confirm-clock.
            """,
        items: [
            .argument(GroupCommands.name), .argument(set), .argument(ask), .argument(tryOut), .argument(confirmClock),
            .argument(forgetRefusals), .argument(yes), NodeHome.item, .argument(.json),
        ],
        examples: [
            Command.Example("what does it approve now?", "chorale group policy till"),
            Command.Example("what would it make of this request?", "chorale group policy till --set till.policy --try 9ae5f462"),
            Command.Example("let it", "chorale group policy till --set till.policy"),
        ]
    ) { (arguments, console) async throws(CommandError) in
        let changes = [
            arguments[Self.set] != nil, arguments[Self.ask], arguments[Self.confirmClock], arguments[Self.forgetRefusals],
        ].count { $0 }
        guard changes <= 1 else {
            throw arguments.refused(.inconsistent("say one thing at a time: --set, --ask, --confirm-clock or --forget-refusals"))
        }
        let group: (name: String, value: JSONValue) = ("name", .string(arguments[GroupCommands.name]))
        let policy = try arguments[Self.set].map { (path) throws(CommandError) in try Self.text(at: path) }
        let client = try ControlClient(by: arguments)
        if let id = arguments[Self.tryOut] {
            guard changes == 0 || policy != nil else {
                throw arguments.refused(.inconsistent("--try changes nothing: leave the other option away"))
            }
            let said = try await client.ask(
                .object([("do", .string("group.policy.try")), group, ("id", .string(id)), ("policy", .optional(policy))]))
            if arguments[.json] { return try console.print(said.without("text")) }
            return try console.print("Request \(said.shown("request").prefix(EventReport.idDigitCount)): \(said.shown("text")).")
        }
        let wish: [(name: String, value: JSONValue)]
        if let policy {
            wish = [("do", .string("group.policy.set")), group, ("policy", .string(policy))]
            try await Self.confirm(wish, client, arguments, console)
        } else if arguments[Self.ask] {
            wish = [("do", .string("group.policy.set")), group]
        } else if arguments[Self.confirmClock] {
            wish = [("do", .string("group.policy.confirm_clock")), group]
        } else if arguments[Self.forgetRefusals] {
            wish = [("do", .string("group.policy.forget_refusals")), group]
        } else {
            wish = [("do", .string("group.policy")), group]
        }
        let shown = try await client.ask(.object(wish))
        if arguments[.json] { return try console.print(shown.without("report")) }
        // What it lets out was shown before the question.
        if policy != nil, shown.shown("state") == "in_force" {
            return try console.print("The policy of \(shown.shown("name")) is in force.")
        }
        try Self.present(shown, console)
    }

    private static func text(at path: String) throws(CommandError) -> String {
        let bytes = try Files.read(path, byteCountMax: ApprovalPolicyText.byteCountMax)
        // Before any node is asked: a file that is none is told with its line.
        do throws(ApprovalPolicyError) { _ = try ApprovalPolicy(parsing: bytes) } catch {
            throw .failed("\(Files.shownName(path)): \(error)".printable)
        }
        guard let text = String(validating: bytes, as: UTF8.self) else { throw .failed("\(Files.shownName(path)) is no text") }
        return text
    }

    /// Shows what the policy lets out, and asks.
    private static func confirm(
        _ wish: [(name: String, value: JSONValue)], _ client: ControlClient, _ arguments: Arguments, _ console: Console
    ) async throws(CommandError) {
        let preview = try await client.ask(.object(wish + [("is_preview", .bool(true))]))
        // Nobody reads what is written beside the one object.
        if !(arguments[.json] && arguments[Self.yes]) {
            for line in preview["report"]?.asTexts ?? [] { console.note(line.printable) }
        }
        guard !arguments[Self.yes] else { return }
        switch Question.ask("\nMay your node sign this without asking you? [y/N] ") {
        case .yes: return
        case .no: throw .failed("nothing is changed")
        case .noTerminal: throw arguments.refused(.inconsistent("there is no terminal to ask at: look at what it lets out, then say --yes"))
        }
    }

    private static func present(_ shown: JSONValue, _ console: Console) throws(CommandError) {
        switch shown.shown("state") {
        case "ask": return try console.print("Your node asks you about every request of \(shown.shown("name")).")
        case "halted":
            try console.print(
                "Your node approves nothing by itself in \(shown.shown("name")): \(shown.shown("reason")). "
                    + "Set the policy again when that is settled.")
        default: break
        }
        try console.print((shown["report"]?.asTexts ?? []).map(\.printable))
    }
}
