/// What commands and a running node say to each other: one JSON object a line, one line of a command, and of the node as many as it takes.
///
///     command    {"do":"request.list"}
///     node       {"item":{…}}      none, one or many
///     node       {"end":true}  or  {"error":{"kind":"missing","message":"…"}}
///
/// Without a last line the node has gone in the middle of it.
enum ControlMessage {
    /// Bytes of a line without its end. The largest carry a PSBT of 16 MiB in Base64.
    static let lineByteCountMax = 24 << 20

    /// The value as a line.
    static func line(_ value: JSONValue) -> String { value.text + "\n" }

    static let lineEnd = UInt8(ascii: "\n")

    static func item(_ value: JSONValue) -> JSONValue { .object(["item": value]) }

    static let end = JSONValue.object(["end": .bool(true)])

    static func error(_ error: ControlError) -> JSONValue {
        .object(["error": .object(["kind": .string(error.kind.rawValue), "message": .string(error.message)])])
    }

    /// What a line of the node says.
    enum Answer {
        case item(JSONValue)
        case end
        case error(ControlError)

        /// `nil` for what no node of this version says.
        init?(_ value: JSONValue) {
            if let item = value["item"] {
                self = .item(item)
            } else if case .bool(true)? = value["end"] {
                self = .end
            } else if case .string(let kind)? = value["error"]?["kind"], case .string(let message)? = value["error"]?["message"] {
                self = .error(ControlError(ControlError.Kind(rawValue: kind) ?? .failed, message))
            } else {
                return nil
            }
        }
    }
}

/// Why a node does not do what a command asks. The message says what happened, to whom, and what to do.
struct ControlError: Error, Equatable, Sendable {
    enum Kind: String, Sendable {
        case failed, missing
        /// Nobody is there to be told.
        case clientGone
    }

    let kind: Kind
    let message: String

    init(_ kind: Kind, _ message: String) {
        self.kind = kind
        self.message = message
    }

    static func failed(_ message: String) -> ControlError { ControlError(.failed, message) }
    static func missing(_ message: String) -> ControlError { ControlError(.missing, message) }
    static let clientGone = ControlError(.clientGone, "the command has ended")

    /// The same as a command tells it.
    var asCommandError: CommandError {
        switch self.kind {
        case .failed, .clientGone: .failed(self.message)
        case .missing: .missing(self.message)
        }
    }
}

/// Takes the items of an answer, one after the other.
struct ControlReply: Sendable {
    private let write: @Sendable (JSONValue) async throws(ControlError) -> Void

    init(_ write: @escaping @Sendable (JSONValue) async throws(ControlError) -> Void) { self.write = write }

    /// Returns when the client's side has taken the item, so that a client that reads slowly slows the answer down and nothing piles up.
    ///
    /// - Throws: `clientGone`. The task that answers is cancelled then, too.
    func send(_ item: JSONValue) async throws(ControlError) { try await self.write(item) }
}

/// Answers one request.
typealias ControlHandler = @Sendable (_ request: JSONValue, _ reply: ControlReply) async throws(ControlError) -> Void
