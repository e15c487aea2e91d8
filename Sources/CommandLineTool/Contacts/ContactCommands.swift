import Secp256k1
import SigningNode

/// `chorale contact`: the signers that a node's owner knows.
enum ContactCommands {
    static let group = Command(
        "contact", summary: "the signers that you know: their names, their nodes, their numbers",
        discussion: """
            A contact is a signer with its machine. It is added by the word that chorale node show prints at its node, which proves key \
            and machine; that they are the person's that you mean, only the number shows that you read to each other (chorale contact verify).

            These commands speak to the running node (chorale node run).
            """,
        commands: [Self.add, Self.list, Self.verify, Self.remove])

    private static let label = Argument.positional("LABEL", help: "what you call the signer: up to 64 bytes")
    private static let contact = Argument.positional("CONTACT", help: "its label, or its public key in hex")

    // MARK: - add

    private static let card = Argument.positional(
        "WORD", help: "what chorale node show prints at the other node (chorale-contact1…), or the public key of a member of your groups")

    private static let add = Command(
        "add", summary: "add a signer, or give it another name",
        discussion: """
            The word holds the signer's key and its machine's, signed by both, and where its node is. One that is newer than what is \
            known takes its place; when the machine is another one, its number is to be compared again.
            """,
        items: [.argument(label), .argument(card), NodeHome.item, .argument(.json)],
        examples: [Command.Example("by the word that Bob sent", "chorale contact add Bob chorale-contact1q…")]
    ) { (arguments, console) async throws(CommandError) in
        let (label, word) = (arguments[Self.label], arguments[Self.card])
        var members: [(name: String, value: JSONValue)] = [("do", .string("contact.add")), ("label", .string(label))]
        do throws(InvalidText) { members.append(("public_key", .string("\(try Parsing.publicKey(word))"))) } catch {
            do throws(GroupError) { _ = try ContactCard(text: word) } catch {
                throw arguments.refused(.invalidValue(argument: "WORD", value: "\(word.prefix(40))…", reason: "\(error)"))
            }
            members.append(("card", .string(word)))
        }
        let contact = try await ControlClient(by: arguments).ask(.object(members))
        if arguments[.json] { return try console.print(contact) }
        try console.print(Self.report(contact, "Contact \(label.printable)", console).lines)
        if contact["is_outdated"]?.asBool == true {
            console.prose(
                "\(console.errorStyle.yellow("Careful:")) that word is of a former machine. What is known of the one that took its place "
                    + "stays; should it be lost, too, ask for what chorale node show prints at the newest.")
        }
        if contact["is_verified"]?.asBool == false {
            console.note("Compare numbers, by voice: chorale contact verify \(label.shellWord)")
        }
    }

    private static func report(_ contact: JSONValue, _ heading: String, _ console: Console) -> Report {
        var report = Report(style: console.style)
        report.heading(heading)
        report.field("public key", contact.shown("public_key"), indent: 2, width: 10)
        if contact["peer_id"]?.asText != nil { report.field("peer id", contact.shown("peer_id"), indent: 2, width: 10) }
        let addresses = contact["addresses"]?.asTexts.map(\.printable) ?? []
        if !addresses.isEmpty { report.field("addresses", addresses, indent: 2, width: 10) }
        report.field(
            "verified", contact["is_verified"]?.asBool == true ? "yes, by its number" : "no", indent: 2, width: 10)
        return report
    }

    // MARK: - list

    private static let list = Command(
        "list", summary: "list the signers that you know",
        discussion: "Lists contacts by their labels. With --json each is an object in the array \"contacts\".",
        items: [NodeHome.item, .argument(.json)]
    ) { (arguments, console) async throws(CommandError) in
        let contacts = try await ControlClient(by: arguments).items(.object(["do": .string("contact.list")]))
        if arguments[.json] { return try console.print(.object(["contacts": .array(contacts)])) }
        guard !contacts.isEmpty else {
            return console.note("There is none. Add one: chorale contact add LABEL WORD, with the word of chorale node show at its node.")
        }
        try console.print(
            TextLayout.columns(
                contacts.map { contact in
                    [
                        contact.shown("label"), contact["is_verified"]?.asBool == true ? "verified" : "",
                        contact.shown("public_key"),
                    ]
                }))
    }

    // MARK: - verify

    private static let yes = Argument.flag("yes", help: "do not ask: the number was compared, and is the same there")
    private static let show = Argument.flag("show", help: "only show the number")

    private static let verify = Command(
        "verify", summary: "compare a number by voice, to know that a contact is who you mean",
        discussion: """
            Shows six groups of five digits. The other person runs the same command for you and sees the same digits, if each of you has \
            the other's true key and machine: read them to each other, where you know the voice. Somebody between you who showed each \
            of you another key could not make them equal.

            It counts for that machine; should the contact's be another one some day, the number is another one, too.
            """,
        items: [.argument(contact), .argument(yes), .argument(show), NodeHome.item, .argument(.json)],
        examples: [Command.Example("on the phone with Bob", "chorale contact verify Bob")]
    ) { (arguments, console) async throws(CommandError) in
        let client = try ControlClient(by: arguments)
        let name = JSONValue.string(arguments[Self.contact])
        let shown = try await client.ask(.object(["do": .string("contact.number"), "contact": name]))
        if arguments[Self.show] { return try Self.present(shown, arguments, console) }
        if !arguments[Self.yes] {
            console.note(
                "\(shown.shown("label")) and you read this to each other:\n\n  \(console.errorStyle.bold(shown.shown("number")))\n")
            switch Question.ask("Is it the same there, all of it? [y/N] ") {
            case .yes: break
            case .no: throw .failed("not verified: until it is the same, somebody may stand between you")
            case .noTerminal:
                throw arguments.refused(.inconsistent("there is no terminal to ask at: compare what --show shows, then say --yes"))
            }
        }
        let verified = try await client.ask(
            .object(["do": .string("contact.verify"), "contact": name, "number": shown["number"] ?? .null]))
        if arguments[.json] { return try console.print(verified) }
        try console.print("\(verified.shown("label")) is verified.")
    }

    private static func present(_ shown: JSONValue, _ arguments: Arguments, _ console: Console) throws(CommandError) {
        if arguments[.json] { return try console.print(shown) }
        try console.print(shown.shown("number"))
    }

    // MARK: - remove

    private static let remove = Command(
        "remove", summary: "forget a contact",
        discussion: "Groups stay what they are; their member has no name any more.",
        items: [.argument(contact), NodeHome.item, .argument(.json)]
    ) { (arguments, console) async throws(CommandError) in
        let removed = try await ControlClient(by: arguments).ask(
            .object(["do": .string("contact.remove"), "contact": .string(arguments[Self.contact])]))
        if arguments[.json] { return try console.print(removed) }
        try console.print("\(removed.shown("label")) is no contact any more.")
    }
}
