import CryptoPrimitives
import Signing
import SigningNode

/// `chorale signers want`: telling strangers that signers are looked for.
enum SignerWantCommand {
    private static let kind = SignerCommands.kind("what is to be signed", isRequired: true)
    private static let amount = Argument.required(
        "amount", "SATOSHI", help: "what it is about, so that whoever signs for less or for more does not ask",
        parse: SignerCommands.satoshi)
    private static let count = Argument.option(
        "count", "N", default: 1, help: "how many signers are looked for", parse: Parsing.integer(1...GroupTerms.memberCounts.upperBound))
    private static let note = Argument.option(
        "note", "TEXT", default: "", defaultText: "none",
        help: "for people: what it is for, and how to reach you; up to \(PublicAnnouncement.noteByteCountMax) bytes",
        parse: RequestCommands.noteText)
    private static let expiresIn = Argument.option(
        "expires-in", "SECONDS", default: 86_400, help: "for how long you look for them: up to 30 days", parse: Parsing.integer(seconds))

    static let seconds = 1...30 * 86_400

    static let command = Command(
        "want", summary: "tell everybody that you look for signers",
        discussion: """
            Announces your public key, proved by your node's enrolment, where your node is, and what you say here. Nodes that run with --discover \
            pass it on for five minutes, and tell their owners (event signers_wanted of chorale request watch); nobody keeps it, so say it again \
            if need be. Whoever is interested reaches you as the note says: a stranger signs with you once you have invited it to a group \
            (chorale group invite). Those who offer themselves are found with chorale signers list.

            Everybody can read it, and keep it.
            """,
        items: [
            .argument(kind), .argument(amount), .argument(count), .argument(note), .argument(expiresIn), NodeHome.item, .argument(.json),
        ],
        examples: [
            Command.Example(
                "two co-signers for 0.1 BTC",
                "chorale signers want --kind spend --amount 10000000 --count 2 --note ada@example.org")
        ]
    ) { (arguments, console) async throws(CommandError) in
        let told = try await ControlClient(by: arguments).ask(
            .object([
                "do": .string("signers.want"), "kinds": .array(arguments[Self.kind].map(JSONValue.string)),
                "amount": .integer(arguments[Self.amount]), "count": .integer(arguments[Self.count]),
                "note": .string(arguments[Self.note]), "seconds": .integer(arguments[Self.expiresIn]),
            ]))
        if arguments[.json] { return try console.print(told) }
        let count = told["told_peers"]?.asInteger ?? 0
        guard count > 0 else {
            throw .missing("nobody has heard it: the node is connected to nobody who listens. Say it again once it is (chorale node show)")
        }
        try console.print("It went to \(Amounts.count(count, "connected peer")), and they pass it on.")
    }
}

extension NodeService {
    func wantSigners(_ request: NodeRequest) async throws(ControlError) -> JSONValue {
        let kinds: TransactionKinds
        do throws(SignerOfferError) { kinds = try Self.kindsToOffer(in: request) } catch { throw .failed("\(error)") }
        guard !kinds.isEmpty else {
            throw .failed("say what is to be signed: \(TransactionKinds.named.map(\.name).joined(separator: ", "))")
        }
        let seconds = try request.integer("seconds", SignerWantCommand.seconds)
        let content = PublicAnnouncement.Content(
            // A name for what it is about, which nobody has to understand.
            request: SigningRequest.randomID(), requestExpiry: WallClock.secondsSince1970 + UInt64(seconds), kinds: kinds,
            amount: UInt64(try request.integer("amount", Self.amounts)),
            wantedCount: UInt16(try request.integer("count", 1...GroupTerms.memberCounts.upperBound)),
            note: try request.optionalText("note") ?? "")
        let count: Int
        do throws(SigningNodeError) { count = try await self.node.announce(content) } catch { throw Self.failure(error) }
        return .object([
            "request": .string("\(content.request)"), "request_expiry": .unsigned(content.requestExpiry), "told_peers": .integer(count),
        ])
    }
}
