import Bitcoin
import LibP2P
import Secp256k1
import Signing
import SigningNode

/// `chorale group`: making groups of signers, over the network.
enum GroupCommands {
    static let group = Command(
        "group", summary: "make a group of signers over the network, and show what it is",
        discussion: """
            One invites, each of the others joins with an invitation of its own, and when all have joined, the group is made: each node \
            works it out from the members' keys for itself. Before coins go to its address, members read each other the group's \
            number (chorale group show): it is the same at all of them, or they do not have the same group.

            These commands speak to the running node (chorale node run).
            """,
        commands: [Self.invite, Self.join, Self.list, Self.show, GroupPolicyCommand.command, Self.cancel])

    static let name = Argument.positional("NAME", help: "the group's name")

    // MARK: - invite

    private static let groupName = Argument.required(
        "name", "NAME", help: "what the group is called: up to 64 bytes", parse: Parsing.text)
    private static let memberCount = Argument.required(
        "members", "N", help: "how many members it has, you among them", parse: Parsing.integer(GroupTerms.memberCounts))
    private static let threshold = Argument.optional(
        "threshold", "K", help: "any K members can spend, with one of the --owner options; left away, all sign together",
        parse: Parsing.integer(1...GroupTerms.memberCounts.upperBound))
    private static let days = Argument.option(
        "days", "DAYS", default: 7, help: "how long the invitations can be used",
        parse: Parsing.integer(1...Int(GroupHost.secondsMax / 86_400)))

    private static let invite = Command(
        "invite", summary: "begin a group, and get an invitation for each of the others",
        discussion: """
            Prints one invitation for each member but you. Give each to one person, over a channel that others do not read: it is good \
            for whoever uses it first, and for nobody after that. It says what the group is to be, and where your node is, which must \
            run until everybody has joined.
            """,
        items: [
            .argument(groupName), .argument(memberCount), .argument(threshold), .argument(MultisigArguments.owner),
            .argument(MultisigArguments.ownerAggregate), .argument(MultisigArguments.ownerUnspendable), .argument(days), NodeHome.item,
            .argument(.json),
        ],
        examples: [
            Command.Example("three who all sign", "chorale group invite --name family --members 3"),
            Command.Example(
                "any two of three, and nobody else", "chorale group invite --name family --members 3 --threshold 2 --owner-unspendable"),
        ]
    ) { (arguments, console) async throws(CommandError) in
        var members: [(name: String, value: JSONValue)] = [
            ("do", .string("group.invite")), ("name", .string(arguments[Self.groupName])),
            ("members", .integer(arguments[Self.memberCount])), ("seconds", .integer(arguments[Self.days] * 86_400)),
        ]
        if let internalKey = try MultisigArguments.internalKeyOfAnyGroup(arguments, threshold: arguments[Self.threshold]) {
            members.append(("threshold", .integer(arguments[Self.threshold] ?? 0)))
            switch internalKey {
            case .aggregate: members.append(("internal_key", .string("aggregate")))
            case .unspendable: members.append(("internal_key", .string("unspendable")))
            case .owner(let key): members += [("internal_key", .string("owner")), ("owner", .string("\(key)"))]
            }
        }
        let gathering = try await ControlClient(by: arguments).ask(.object(members))
        if arguments[.json] { return try console.print(gathering) }
        let invitations = gathering["invitations"]?.asTexts ?? []
        try console.print(invitations)
        console.note("")
        console.prose(
            "\(invitations.count == 1 ? "This is the invitation" : "These are \(invitations.count) invitations, one for each of the others"): "
                + "good until \(Self.time(gathering["expiry"])). They type: chorale group join INVITATION")
        console.note("Keep the node running. Who has joined: chorale group show \(arguments[Self.groupName].shellWord)")
        if invitations.allSatisfy(Self.leadsNowhere) {
            console.prose(
                "\(console.errorStyle.yellow("Careful:")) nobody on another machine can reach this node by them: call them off, and start "
                    + "it with --listen (and --announce, where a router stands before it).")
        }
    }

    /// Whether an invitation names no address but this machine's own.
    private static func leadsNowhere(_ text: String) -> Bool {
        guard let addresses = try? GroupInvitation(text: text).addresses else { return false }
        return addresses.allSatisfy { address in
            switch address.host {
            case .ip4(let host): AddressScope(of: .ip4(host)) == .loopback
            case .ip6(let host): AddressScope(of: .ip6(host)) == .loopback
            default: false
            }
        }
    }

    private static func time(_ value: JSONValue?) -> String { value?.asUnsigned.map(UnixTime.text) ?? "?" }

    // MARK: - join

    private static let invitation = Argument.positional("INVITATION", help: "what you were given: chorale-group1…")
    private static let ownName = Argument.optional(
        "name", "NAME", help: "what you call the group (default: what its inviter calls it)", parse: Parsing.text)
    private static let yes = Argument.flag(
        "yes", help: "do not ask whether to join: what the group is to be is shown all the same, but not beside --json")
    private static let noWait = Argument.flag("no-wait", help: "leave as soon as the inviter has been asked; the node goes on")

    private static let join = Command(
        "join", summary: "join a group with an invitation",
        discussion: """
            Shows what the group is to be, and asks. Then the node proves your key to the inviter's, and waits until everybody has \
            joined; it goes on with that when this command ends, and when it is started anew.
            """,
        items: [.argument(invitation), .argument(ownName), .argument(yes), .argument(noWait), NodeHome.item, .argument(.json)],
        examples: [Command.Example("by the invitation that Ada sent", "chorale group join chorale-group1q…")]
    ) { (arguments, console) async throws(CommandError) in
        let text = arguments[Self.invitation]
        let invitation: GroupInvitation
        do throws(GroupError) { invitation = try GroupInvitation(text: text) } catch {
            throw arguments.refused(.invalidValue(argument: "INVITATION", value: "\(text.prefix(40))…", reason: "\(error)"))
        }
        // Nobody reads what is written beside the one object.
        if !(arguments[.json] && arguments[Self.yes]) {
            for line in Self.report(invitation, console.errorStyle).lines { console.note(line) }
        }
        if !arguments[Self.yes] {
            switch Question.ask("\nJoin it with this node's key? [y/N] ") {
            case .yes: break
            case .no: throw .failed("not joined")
            case .noTerminal: throw arguments.refused(.inconsistent("there is no terminal to ask at: look at what it is, then say --yes"))
            }
        }
        try await Self.join(text, arguments, console)
    }

    private static func report(_ invitation: GroupInvitation, _ style: Style) -> Report {
        let terms = invitation.terms
        var report = Report(style: style)
        report.heading("Invitation to \"\(terms.name.printable)\", on \(terms.network)")
        report.field("members", "\(terms.memberCount)", indent: 2, width: 10)
        report.field("can spend", Self.spenders(terms), indent: 2, width: 10)
        report.field("inviter", "\(invitation.peer)", indent: 2, width: 10)
        report.field("good until", UnixTime.text(terms.expiry), indent: 2, width: 10)
        return report
    }

    private static func spenders(_ terms: GroupTerms) -> [String] {
        switch terms.shape {
        case .everyone: return ["all members together"]
        case .delegated(let threshold, let internalKey):
            let members = "any \(threshold) of \(terms.memberCount) members"
            switch internalKey {
            case .owner(let key): return [members, "or alone, without any member, who has the key \(key)"]
            case .aggregate, .unspendable: return [members]
            }
        }
    }

    private static func join(_ text: String, _ arguments: Arguments, _ console: Console) async throws(CommandError) {
        var members: [(name: String, value: JSONValue)] = [("do", .string("group.join")), ("invitation", .string(text))]
        if let name = arguments[Self.ownName] { members.append(("name", .string(name))) }
        let (isJSON, leaves) = (arguments[.json], arguments[Self.noWait])
        let made = Latest<Bool>()
        try await ControlClient(by: arguments).ask(.object(members), patience: nil) { (step) throws(CommandError) in
            switch step.shown("state") {
            case "joining":
                let (joined, count) = (step["joined_count"]?.asInteger ?? 0, step["member_count"]?.asInteger ?? 0)
                // Before the first answer nobody is known to have joined.
                guard joined > 0 else { return true }
                console.note("\(joined) of \(count) have joined; waiting for the others (Ctrl-C leaves, the node goes on).")
                if leaves, isJSON { try console.print(step) }
                return !leaves
            case "trouble":
                console.note("\(console.errorStyle.yellow("Careful:")) \(step.shown("reason")); trying again")
                return !leaves
            default:
                made.value = true
                if isJSON { try console.print(step) } else { try Self.present(step, console) }
                return false
            }
        }
        if made.value == nil, !leaves { throw .missing("joining was called off: see chorale group list") }
    }

    // MARK: - list, show, cancel

    private static let list = Command(
        "list", summary: "list this node's groups, and those that are being made",
        discussion: "Lists groups by their names. With --json each is an object in the array \"groups\".",
        items: [NodeHome.item, .argument(.json)]
    ) { (arguments, console) async throws(CommandError) in
        let groups = try await ControlClient(by: arguments).items(.object(["do": .string("group.list")]))
        if arguments[.json] { return try console.print(.object(["groups": .array(groups)])) }
        guard !groups.isEmpty else { return console.note("There is none: chorale group invite begins one, chorale group join joins one.") }
        try console.print(
            TextLayout.columns(
                groups.map { group in
                    let shape = "\(group["threshold"]?.asInteger ?? 0)-of-\(group["member_count"]?.asInteger ?? 0)"
                    return [group.shown("name"), shape, Self.standing(group)]
                }))
    }

    private static func standing(_ group: JSONValue) -> String {
        switch group.shown("state") {
        case "inviting": "\(group["joined"]?.asArray.count ?? 0) of \(group["member_count"]?.asInteger ?? 0) have joined"
        case "joining": group["trouble"]?.asText?.printable ?? "joining"
        default: group.shown("address")
        }
    }

    private static let show = Command(
        "show", summary: "show a group: its address, its number, its members",
        discussion: """
            Shows where coins of the group lie, who its members are, and the number that members read to each other: it follows from the \
            policy digest, which is the same at all members that have the same group. Of a group that is still being made it shows who has \
            joined, and the invitations that nobody has used.
            """,
        items: [.argument(name), NodeHome.item, .argument(.json)],
        examples: [Command.Example("before coins go to its address", "chorale group show family")]
    ) { (arguments, console) async throws(CommandError) in
        let shown = try await ControlClient(by: arguments).ask(
            .object(["do": .string("group.show"), "name": .string(arguments[Self.name])]))
        if arguments[.json] { return try console.print(shown) }
        try Self.present(shown, console)
    }

    private static func present(_ group: JSONValue, _ console: Console) throws(CommandError) {
        let width = 13
        var report = Report(style: console.style)
        let shape = "\(group["threshold"]?.asInteger ?? 0)-of-\(group["member_count"]?.asInteger ?? 0)"
        report.heading("Group \"\(group.shown("name"))\", \(shape) on \(group.shown("network"))")
        switch group.shown("state") {
        case "inviting":
            report.field("joined", (group["joined"]?.asArray ?? []).map(Self.member), indent: 2, width: width)
            report.field("invitations", group["invitations"]?.asTexts ?? [], indent: 2, width: width)
            report.field("good until", Self.time(group["expiry"]), indent: 2, width: width)
        case "joining":
            report.field("inviter", group.shown("inviter"), indent: 2, width: width)
            report.field("joined", group["joined_count"]?.asInteger.map { "\($0)" } ?? "not known", indent: 2, width: width)
            if let trouble = group["trouble"]?.asText { report.field("trouble", trouble.printable, indent: 2, width: width) }
        default:
            report.field("address", console.style.bold(group.shown("address")), indent: 2, width: width)
            report.field("number", group.shown("number"), indent: 2, width: width)
            report.field("policy digest", group.shown("policy_digest"), indent: 2, width: width)
            if group["key_path"] != nil { report.field("key path", group.shown("key_path"), indent: 2, width: width) }
            report.field("members", (group["members"]?.asArray ?? []).map(Self.member), indent: 2, width: width)
        }
        try console.print(report.lines)
    }

    private static func member(_ member: JSONValue) -> String {
        var remarks: [String] = []
        if let label = member["label"]?.asText { remarks.append(label.printable) }
        if member["is_self"]?.asBool == true { remarks.append("you") }
        if member["is_verified"]?.asBool == true { remarks.append("verified") }
        if member["is_self"]?.asBool == false { remarks.append(member["is_connected"]?.asBool == true ? "connected" : "not connected") }
        return member.shown("public_key") + (remarks.isEmpty ? "" : "  \(remarks.joined(separator: ", "))")
    }

    private static let cancel = Command(
        "cancel", summary: "take back the invitations to a group, or your joining of one",
        discussion: "A group that is made stays: each of its members has it. Who has joined one that is cancelled is told so.",
        items: [.argument(name), NodeHome.item, .argument(.json)]
    ) { (arguments, console) async throws(CommandError) in
        let cancelled = try await ControlClient(by: arguments).ask(
            .object(["do": .string("group.cancel"), "name": .string(arguments[Self.name])]))
        if arguments[.json] { return try console.print(cancelled) }
        try console.print("\(cancelled.shown("name")) is called off.")
    }
}
