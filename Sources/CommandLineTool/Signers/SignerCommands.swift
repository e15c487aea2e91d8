import Secp256k1
import SigningNode

/// `chorale signers`: who offers to sign with others, and offering it oneself.
enum SignerCommands {
    static let group = Command(
        "signers", summary: "find signers who advertise, and advertise your own",
        discussion: """
            A signer can tell everybody on the network that it may be asked to sign: for what, for which amounts, at which fee. That binds \
            nobody: what is signed is decided request by request, and what a signer says of itself may be false. Its key is proved.

            These commands speak to the running node, which must take part in that: chorale node run --discover.
            """,
        commands: [Self.list, Self.advertise, Self.withdraw, SignerWantCommand.command])

    private static let kindNames = TransactionKinds.named.map(\.name).joined(separator: ", ")
    static let satoshi = Parsing.integer(0...2_100_000_000_000_000)
    private static let seconds = Parsing.integer(1...Int(UInt32.max))

    static func kind(_ help: String, isRequired: Bool) -> Argument<[String]> {
        Argument.repeated(
            "kind", "KIND", isRequired: isRequired, help: "\(help): \(Self.kindNames); may be given several times", parse: Self.kindName)
    }

    private static let kindName: TextParser<String> = { (text) throws(InvalidText) in
        let names = TransactionKinds.named.map(\.name)
        guard names.contains(text) else {
            let suggestion = Suggestion.nearest(to: text, among: names).map { ": did you mean \($0)?" } ?? ""
            throw InvalidText("take one of \(names.joined(separator: ", "))\(suggestion)")
        }
        return text
    }

    private typealias Members = [(name: String, value: JSONValue)]

    // MARK: - list

    private static let wantedKind = Self.kind("only who signs such transactions", isRequired: false)
    private static let amount = Argument.optional(
        "amount", "SATOSHI", help: "only who signs for this amount; fees are worked out for it", parse: Self.satoshi)
    private static let feeMax = Argument.optional("fee-max", "SATOSHI", help: "only who asks no more", parse: Self.satoshi)
    private static let within = Argument.optional(
        "responds-within", "SECONDS", help: "only who means to answer so soon", parse: Self.seconds)
    private static let key = Argument.optional("key", "KEY", help: "only the signer with this public key", parse: Parsing.publicKey)
    private static let local = Argument.flag(
        "local", help: "only those that this node has heard of already: do not ask the hash table, which takes some seconds")

    private static let list = Command(
        "list", summary: "list signers who advertise",
        discussion: "Lists them, the cheapest first. With --json each is an object in the array \"signers\".",
        items: [
            .argument(wantedKind), .argument(amount), .argument(feeMax), .argument(within), .argument(key), .argument(local),
            NodeHome.item, .argument(.json),
        ],
        examples: [
            Command.Example(
                "who would sign a payment of 0.01 BTC, for 2,000 sat at most?",
                "chorale signers list --kind spend --amount 1000000 --fee-max 2000")
        ]
    ) { (arguments, console) async throws(CommandError) in
        var members: Members = [("do", .string("signers.list")), ("is_local", .bool(arguments[Self.local]))]
        members.append(("kinds", .array(arguments[Self.wantedKind].map(JSONValue.string))))
        if let amount = arguments[Self.amount] { members.append(("amount", .integer(amount))) }
        if let most = arguments[Self.feeMax] { members.append(("fee_max", .integer(most))) }
        if let within = arguments[Self.within] { members.append(("response_seconds", .integer(within))) }
        if let key = arguments[Self.key] { members.append(("signer", .string("\(key)"))) }
        let found = try await ControlClient(by: arguments).items(.object(members), patience: Self.patience)
        if arguments[.json] { return try console.print(.object(["signers": .array(found.map { $0.without("text") })])) }
        guard !found.isEmpty else {
            return console.note("None is known. Whoever advertises is heard of within some minutes, where nodes are connected.")
        }
        for signer in found {
            try console.print(signer.shown("text") + (signer["is_own"]?.asBool == true ? "  (you)" : ""))
            if !signer.shown("details").isEmpty { try console.print("    \(signer.shown("details"))") }
        }
    }

    /// Lookups in the hash table have their own ends: up to 20 advertisers, four at a time, 20 s each, and the search for them before.
    private static let patience = Duration.seconds(180)

    // MARK: - advertise

    private static let offeredKind = Self.kind("what you would sign", isRequired: true)
    private static let least = Argument.optional("least", "SATOSHI", help: "least amount of a transaction", parse: Self.satoshi)
    private static let most = Argument.optional("most", "SATOSHI", help: "most of it", parse: Self.satoshi)
    private static let nickname = Argument.option(
        "nickname", "TEXT", default: "", defaultText: "none", help: "what you call yourself: up to 64 bytes", parse: Parsing.text)
    private static let details = Argument.option(
        "details", "TEXT", default: "", defaultText: "none", help: "for people who look for signers: up to 1,000 bytes",
        parse: Parsing.text)
    private static let fee = Argument.option(
        "fee", "SATOSHI", default: 0, help: "what you ask for a signature", parse: Self.satoshi)
    private static let feeShare = Argument.option(
        "fee-ppm", "PPM", default: 0, help: "and of each million satoshi", parse: Parsing.integer(0...1_000_000))
    private static let responds = Argument.optional(
        "responds-within", "SECONDS", help: "how soon you mean to answer", parse: Self.seconds)
    private static let expiresIn = Argument.option(
        "expires-in", "SECONDS", default: Int(SignerAdvertisement.lifeMax),
        help: "when it is over for who hears nothing newer: up to a day", parse: Parsing.integer(1...Int(SignerAdvertisement.lifeMax)))

    private static let advertise = Command(
        "advertise", summary: "tell everybody that you may be asked to sign",
        discussion: """
            Tells the network your public key, proved by your node's enrolment, your node's addresses, and what you say here; what you told \
            before is replaced. While the node runs, it is told anew every 20 minutes. It ends with chorale signers withdraw, or by itself \
            a day after the node has stopped; after a restart, say it again.

            Everybody can read it, and keep it.
            """,
        items: [
            .argument(offeredKind), .argument(least), .argument(most), .argument(nickname), .argument(details), .argument(fee),
            .argument(feeShare), .argument(responds), .argument(expiresIn), NodeHome.item, .argument(.json),
        ],
        examples: [
            Command.Example(
                "co-sign payments of up to 0.1 BTC, for 1,000 sat",
                "chorale signers advertise --kind spend --most 10000000 --fee 1000 --nickname Ada")
        ]
    ) { (arguments, console) async throws(CommandError) in
        var members: Members = [
            ("do", .string("signers.advertise")), ("kinds", .array(arguments[Self.offeredKind].map(JSONValue.string))),
            ("nickname", .string(arguments[Self.nickname])), ("details", .string(arguments[Self.details])),
            ("fee", .integer(arguments[Self.fee])), ("fee_ppm", .integer(arguments[Self.feeShare])),
            ("seconds", .integer(arguments[Self.expiresIn])),
        ]
        if let least = arguments[Self.least] { members.append(("least", .integer(least))) }
        if let most = arguments[Self.most] { members.append(("most", .integer(most))) }
        if let responds = arguments[Self.responds] { members.append(("response_seconds", .integer(responds))) }
        let told = try await ControlClient(by: arguments).ask(.object(members), patience: Self.patience)
        if arguments[.json] { return try console.print(told) }
        try console.print("You are advertised until \(UnixTime.text(told["expiry"]?.asUnsigned ?? 0)).")
        Self.note(told, console)
    }

    // MARK: - withdraw

    private static let withdraw = Command(
        "withdraw", summary: "take back what you told",
        discussion: "Nodes that hear of it show you no more. Whoever does not hear of it does so until the advertisement's own end.",
        items: [NodeHome.item, .argument(.json)]
    ) { (arguments, console) async throws(CommandError) in
        let told = try await ControlClient(by: arguments).ask(.object(["do": .string("signers.withdraw")]), patience: Self.patience)
        if arguments[.json] { return try console.print(told) }
        try console.print("You are advertised no more.")
        Self.note(told, console)
    }

    private static func note(_ told: JSONValue, _ console: Console) {
        let (peers, holders) = (told["told_peers"]?.asInteger ?? 0, told["kept_by"]?.asInteger ?? 0)
        guard peers + holders > 0 else {
            return console.note("Nobody has heard of it yet: the node is connected to nobody who listens. It tries again by itself.")
        }
        console.note(
            "It went to \(Amounts.count(peers, "connected peer")), and \(Amounts.count(holders, "node")) of the hash table keep it.")
    }
}
