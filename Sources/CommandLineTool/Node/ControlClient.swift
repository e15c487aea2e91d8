internal import Dispatch
internal import Synchronization

#if canImport(Glibc)
internal import Glibc
#elseif canImport(Musl)
internal import Musl
#elseif canImport(Darwin)
internal import Darwin
#endif

/// A command's end of the control socket: asks the node that runs in a home, and hears its answer.
struct ControlClient: Sendable {
    let home: NodeHome
    /// ` --home FOLDER` where it is needed, for the line that a person is told to type.
    let homeOption: String

    /// How long a node may be silent before it is taken to hang, where an answer is due at once.
    static let patience = Duration.seconds(60)

    init(by arguments: Arguments) throws(CommandError) {
        self.home = try NodeHome(by: arguments)
        self.homeOption = self.home.option(of: arguments)
    }

    init(_ home: NodeHome) {
        self.home = home
        self.homeOption = " --home \(home.path.shellWord)"
    }

    /// Whether a node answers in the home now.
    var isNodeThere: Bool {
        guard let descriptor = try? ControlSocket.connect(to: self.home.socket) else { return false }
        close(descriptor)
        return true
    }

    /// Asks, and gives each item of the answer to `each` as it comes.
    ///
    /// - Parameters:
    ///   - patience: longest silence of the node; `nil` where it tells things as they happen.
    ///   - limit: how long all of it may take.
    ///   - each: says whether more is wanted.
    /// - Throws: `missing` where no node runs; what the node says; what `each` throws.
    func ask(
        _ request: JSONValue, patience: Duration? = Self.patience, within limit: Duration? = nil,
        _ each: @escaping @Sendable (JSONValue) throws(CommandError) -> Bool
    ) async throws(CommandError) {
        // Reading waits, and so it has a thread of its own.
        let result: Result<Void, CommandError> = await withCheckedContinuation { continuation in
            DispatchQueue(label: "chorale.control.client").async {
                continuation.resume(
                    returning: Result { () throws(CommandError) in try self.converse(request, patience: patience, within: limit, each) })
            }
        }
        try result.get()
    }

    /// Asks for one thing.
    func ask(_ request: JSONValue, patience: Duration? = Self.patience) async throws(CommandError) -> JSONValue {
        let items = try await self.items(request, patience: patience)
        guard let first = items.first, items.count == 1 else { throw self.strange("\(items.count) items in place of one") }
        return first
    }

    /// Asks for a list. What a node keeps is bounded, and so is this.
    func items(_ request: JSONValue, patience: Duration? = Self.patience) async throws(CommandError) -> [JSONValue] {
        let items = Items()
        try await self.ask(request, patience: patience) { item in
            items.add(item)
            return true
        }
        return items.all
    }

    /// Is filled on the client's thread, and read when that is done.
    private final class Items: Sendable {
        private let list = Mutex<[JSONValue]>([])
        var all: [JSONValue] { self.list.withLock { $0 } }
        func add(_ item: JSONValue) { self.list.withLock { $0.append(item) } }
    }

    // MARK: - The conversation

    private func converse(
        _ request: JSONValue, patience: Duration?, within limit: Duration?, _ each: (JSONValue) throws(CommandError) -> Bool
    ) throws(CommandError) {
        let descriptor = try self.connect()
        defer { close(descriptor) }
        let socket = FileDescriptor(number: descriptor)
        var rest = Array(ControlMessage.line(request).utf8)[...]
        do throws(SystemError) {
            while !rest.isEmpty { rest = rest.dropFirst(try ControlSocket.send(rest, to: descriptor)) }
        } catch {
            // It may have said why it reads no further.
            guard error.isBrokenPipe || error.number == ECONNRESET else { throw self.broken("\(error)") }
        }
        var lines = Lines(socket: socket, patience: patience, end: limit.map { ContinuousClock.now + $0 })
        while let line = try self.next(&lines) {
            let value: JSONValue
            do throws(JSONError) { value = try JSONValue(parsing: line) } catch { throw self.strange("\(error)") }
            switch ControlMessage.Answer(value) {
            case .item(let item): guard try each(item) else { return }
            case .end: return
            case .error(let error): throw error.asCommandError
            case nil: throw self.strange("it says what this version does not know")
            }
        }
        throw self.broken("it ended in the middle of its answer")
    }

    private func next(_ lines: inout Lines) throws(CommandError) -> [UInt8]? {
        do throws(Lines.Failure) { return try lines.next() } catch {
            switch error {
            case .silent: throw .missing("the node in \(self.home.path.printable) does not answer: look at its output, or start it anew")
            case .timeOver: throw .missing("the time limit came first")
            case .tooLong: throw self.strange("a line has more than \(Amounts.grouped(ControlMessage.lineByteCountMax)) bytes")
            case .system(let error): throw self.broken("\(error)")
            }
        }
    }

    private func connect() throws(CommandError) -> Int32 {
        try self.home.check()
        do throws(SystemError) { return try ControlSocket.connect(to: self.home.socket) } catch {
            switch error.number {
            case ENOENT, ECONNREFUSED, EINVAL:
                throw .missing(
                    "no node runs in \(self.home.path.printable): start it in another terminal with: chorale node run\(self.homeOption)")
            default: throw .failed("the node in \(self.home.path.printable) cannot be reached: \(error)")
            }
        }
    }

    private func broken(_ reason: String) -> CommandError {
        .failed("the node in \(self.home.path.printable) has gone: \(reason); start it again with: chorale node run\(self.homeOption)")
    }

    private func strange(_ reason: String) -> CommandError {
        .failed("the node's answer cannot be read: \(reason); run node and command from the same version of Chorale")
    }
}

extension ControlClient {
    /// The lines that come out of a socket.
    private struct Lines {
        enum Failure: Error {
            case silent
            case timeOver
            case tooLong
            case system(SystemError)
        }

        let socket: FileDescriptor
        let patience: Duration?
        let end: ContinuousClock.Instant?
        private var held: [UInt8] = []
        /// Bytes of `held` that have no line's end in them.
        private var searchedCount = 0

        init(socket: FileDescriptor, patience: Duration?, end: ContinuousClock.Instant?) {
            self.socket = socket
            self.patience = patience
            self.end = end
        }

        /// The next line without its end; `nil` at the end of all. A line that does not end is none.
        mutating func next() throws(Failure) -> [UInt8]? {
            while true {
                if let end = self.held[self.searchedCount...].firstIndex(of: ControlMessage.lineEnd) {
                    let line = Array(self.held[..<end])
                    self.held.removeFirst(end + 1)
                    self.searchedCount = 0
                    return line
                }
                self.searchedCount = self.held.count
                guard self.held.count <= ControlMessage.lineByteCountMax else { throw .tooLong }
                try self.wait()
                do throws(SystemError) {
                    let chunk = try self.socket.read(atMost: 65_536)
                    guard !chunk.isEmpty else { return nil }
                    self.held += chunk
                } catch {
                    // What was left unread when the node closed.
                    if error.number == ECONNRESET { return nil }
                    throw .system(error)
                }
            }
        }

        private func wait() throws(Failure) {
            let silentAt = self.patience.map { ContinuousClock.now + $0 }
            while true {
                var request = pollfd(fd: self.socket.number, events: Int16(POLLIN), revents: 0)
                let now = ContinuousClock.now
                if let end = self.end, end <= now { throw .timeOver }
                if let silentAt, silentAt <= now { throw .silent }
                let rest = [silentAt, self.end].compactMap { $0.map { ($0 - now).milliseconds } }.min()
                let count = poll(&request, 1, rest.map { Int32(min($0, 1e9).rounded(.up)) } ?? -1)
                if count > 0 { return }
                guard count == 0 || errno == EINTR else { throw .system(.last) }
            }
        }
    }
}
