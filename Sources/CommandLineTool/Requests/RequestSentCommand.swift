import CryptoPrimitives
import Signing
import SigningNode

/// `chorale request sent`: the owner's word that a transaction is on the Bitcoin network.
enum RequestSentCommand {
    static let command = Command(
        "sent", summary: "say that the signed transaction was seen on the Bitcoin network",
        discussion: """
            A node does not look at the Bitcoin network. Until somebody says that the transaction is there, it tells its owner to send it: \
            first the coordinator's node, and the others' one after the other. Say so when it was sent and seen, or have a program say it. \
            It is remembered, chorale request show and chorale explain tell it, and saying it twice does no harm. Each member says it at its \
            own node.
            """,
        items: [.argument(RequestCommands.id), NodeHome.item, .argument(.json)],
        examples: [Command.Example("the wallet shows it", "chorale request sent 9ae5f462")]
    ) { (arguments, console) async throws(CommandError) in
        let after = try await ControlClient(by: arguments).ask(
            .object(["do": .string("request.sent"), "id": .string(arguments[RequestCommands.id])]))
        if arguments[.json] { return try console.print(after) }
        let words = Self.words(after["seen"]?.asUnsigned ?? 0)
        let id = after.shown("request").prefix(EventReport.idDigitCount)
        try console.print("Request \(id): \(words). Nobody is told to send it any more.")
    }

    /// - Parameter seen: seconds since 1970.
    static func words(_ seen: UInt64) -> String { "seen on the Bitcoin network, as you said at \(UnixTime.text(seen))" }
}

extension NodeService {
    func noteSent(_ request: NodeRequest) async throws(ControlError) -> JSONValue {
        let summary = try await self.summary(request)
        do throws(SigningNodeError) { try await self.node.noteBroadcast(summary.id) } catch {
            guard case .machine(.notComplete) = error else { throw Self.failure(error) }
            throw .failed(
                "the request is not complete here, so there is no signed transaction that could have been sent: see what it waits for with: "
                    + "chorale explain \("\(summary.id)".prefix(EventReport.idDigitCount))")
        }
        return try await self.json(self.summary(of: "\(summary.id)"), full: false)
    }
}
