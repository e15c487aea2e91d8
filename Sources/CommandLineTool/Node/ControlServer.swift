internal import Dispatch
import LibP2PPosix

#if canImport(Glibc)
internal import Glibc
#elseif canImport(Musl)
internal import Musl
#elseif canImport(Darwin)
internal import Darwin
#endif

/// The node's end of the control socket: takes one request from each client, and answers it.
///
/// Clients are this user's own processes, which may hang, leave, or say anything all the same: each has a place, a time by which its
/// request is there and by which it takes what it is told, and no effect on the others. A client that leaves ends the work for it.
actor ControlServer {
    struct Limits: Sendable {
        /// Clients at a time. Source: Chorale's own bound; a person has a few terminals.
        var clientCountMax = 32
        /// From the connection to the end of its request.
        var requestTimeout = Duration.seconds(10)
        /// From an item to its being taken.
        var writeTimeout = Duration.seconds(30)
        var lineByteCountMax = ControlMessage.lineByteCountMax
    }

    private let path: String
    private let limits: Limits
    private let handler: ControlHandler
    private nonisolated let executor = NodeExecutor(label: "chorale.control")
    nonisolated var unownedExecutor: UnownedSerialExecutor { self.executor.asUnownedSerialExecutor() }

    private var listener: Listener?
    private var clients: [UInt64: Client] = [:]
    private var nextNumber: UInt64 = 0
    /// Sockets whose sources the system has not let go of yet.
    private var closingCount = 0
    private var stopWaiters: [CheckedContinuation<Void, Never>] = []

    /// How long nobody is let in when the process has no descriptor to give.
    private static let acceptPause = Duration.milliseconds(200)
    private static let chunkByteCount = 65_536

    private struct Listener {
        let descriptor: Int32
        let source: any DispatchSourceRead
        let fileID: ControlSocket.FileID?
        var isPaused = false
    }

    /// One connection; known on the server's loop only.
    private final class Client {
        let descriptor: Int32
        let readSource: any DispatchSourceRead
        let writeSource: any DispatchSourceWrite
        var isWriteSourceRunning = false
        /// Sources that the system has not let go of.
        var sourceCount = 2
        var state = State.reading
        /// What has come of the request.
        var input: [UInt8] = []
        var saysTooMuch = false
        /// What the socket did not take yet.
        var output: ArraySlice<UInt8> = []
        /// Waits until it has.
        var writer: CheckedContinuation<Bool, Never>?
        /// Goes up with each line that is written, so that a timer knows whether it is still about this one.
        var writeCount: UInt64 = 0

        enum State {
            case reading
            case answering(Task<Void, Never>)
            case gone
        }

        init(_ descriptor: Int32, on queue: DispatchQueue) {
            self.descriptor = descriptor
            self.readSource = DispatchSource.makeReadSource(fileDescriptor: descriptor, queue: queue)
            self.writeSource = DispatchSource.makeWriteSource(fileDescriptor: descriptor, queue: queue)
        }
    }

    // MARK: - Starting and stopping

    /// - Parameter path: the socket's name, in a folder that only its owner may look into.
    init(at path: String, limits: Limits = Limits(), _ handler: @escaping ControlHandler) {
        self.path = path
        self.limits = limits
        self.handler = handler
    }

    func start() throws(CommandError) {
        precondition(self.listener == nil, "a server is started once")
        let descriptor = try ControlSocket.listen(at: self.path)
        let source = DispatchSource.makeReadSource(fileDescriptor: descriptor, queue: self.executor.queue)
        source.setEventHandler { self.assumeIsolated { $0.accept() } }
        source.setCancelHandler {
            close(descriptor)
            self.assumeIsolated { $0.closed() }
        }
        self.listener = Listener(descriptor: descriptor, source: source, fileID: ControlSocket.fileID(of: self.path))
        source.resume()
    }

    /// Ends all answers, and returns when every socket is closed and the name is free.
    func stop() async {
        if let listener = self.listener.take() {
            // Not that of another node that took it over.
            if listener.fileID == ControlSocket.fileID(of: self.path) { unlink(self.path) }
            self.closingCount += 1
            if listener.isPaused { listener.source.resume() }
            listener.source.cancel()
        }
        for number in Array(self.clients.keys) { self.drop(number) }
        guard self.closingCount > 0 || !self.clients.isEmpty else { return }
        await withCheckedContinuation { self.stopWaiters.append($0) }
    }

    private func closed() {
        self.closingCount -= 1
        self.tellIfStopped()
    }

    private func tellIfStopped() {
        guard self.listener == nil, self.closingCount == 0, self.clients.isEmpty else { return }
        for waiter in self.stopWaiters { waiter.resume() }
        self.stopWaiters = []
    }

    // MARK: - Clients that come

    private func accept() {
        guard let listener = self.listener else { return }
        do throws(SystemError) {
            while let descriptor = try ControlSocket.accept(on: listener.descriptor) { self.admit(descriptor) }
        } catch {
            // Out of descriptors, most likely: to look again at once would turn the loop for nothing.
            self.pauseAccepting()
        }
    }

    private func pauseAccepting() {
        guard let listener = self.listener, !listener.isPaused else { return }
        self.listener?.isPaused = true
        listener.source.suspend()
        self.after(Self.acceptPause) { server in
            guard let listener = server.listener, listener.isPaused else { return }
            server.listener?.isPaused = false
            listener.source.resume()
        }
    }

    private func admit(_ descriptor: Int32) {
        // Root may do everything anyway.
        guard let user = ControlSocket.peerUser(of: descriptor), user == geteuid() || user == 0 else {
            close(descriptor)
            return
        }
        guard self.clients.count < self.limits.clientCountMax else {
            // What the socket's own buffer does not take is not worth waiting for.
            let line = ControlMessage.line(
                ControlMessage.error(.failed("the node answers \(self.limits.clientCountMax) commands already: end one of them first")))
            _ = try? ControlSocket.send(Array(line.utf8)[...], to: descriptor)
            close(descriptor)
            return
        }
        self.nextNumber += 1
        let number = self.nextNumber
        let client = Client(descriptor, on: self.executor.queue)
        client.readSource.setEventHandler { self.assumeIsolated { $0.readable(number) } }
        client.writeSource.setEventHandler { self.assumeIsolated { $0.writable(number) } }
        client.readSource.setCancelHandler { self.assumeIsolated { $0.sourceCancelled(number) } }
        client.writeSource.setCancelHandler { self.assumeIsolated { $0.sourceCancelled(number) } }
        self.clients[number] = client
        client.readSource.resume()
        self.after(self.limits.requestTimeout) { server in
            if case .reading? = server.clients[number]?.state { server.drop(number) }
        }
    }

    private func after(_ duration: Duration, _ work: @escaping @Sendable (isolated ControlServer) -> Void) {
        self.executor.queue.asyncAfter(deadline: .now() + .nanoseconds(Int(duration.milliseconds * 1e6))) { [weak self] in
            self?.assumeIsolated(work)
        }
    }

    // MARK: - What they say

    private func readable(_ number: UInt64) {
        guard let client = self.clients[number] else { return }
        let chunk: [UInt8]
        do throws(SystemError) {
            guard let read = try Self.read(client.descriptor) else { return }
            chunk = read
        } catch { return self.drop(number) }
        switch client.state {
        case .gone: return
        // What follows a request that is too long is passed over while the client is told.
        case .answering where client.saysTooMuch && !chunk.isEmpty: return
        // It has left, or does not know that there is one request to a connection.
        case .answering: return self.drop(number)
        case .reading: break
        }
        guard !chunk.isEmpty else { return self.drop(number) }
        let end = chunk.firstIndex(of: ControlMessage.lineEnd)
        client.input += chunk[..<(end ?? chunk.count)]
        guard client.input.count <= self.limits.lineByteCountMax else {
            client.input = []
            client.saysTooMuch = true
            return self.answer(number) { [limits] _ throws(ControlError) in
                throw .failed("a request has more than \(limits.lineByteCountMax) bytes: send a smaller one")
            }
        }
        guard let end else { return }
        guard end == chunk.count - 1 else { return self.drop(number) }
        let line = client.input
        client.input = []
        let handler = self.handler
        self.answer(number) { reply async throws(ControlError) in
            let request: JSONValue
            do throws(JSONError) { request = try JSONValue(parsing: line) } catch { throw .failed("\(error)") }
            try await handler(request, reply)
        }
    }

    /// Has `work` done for the client, says how it ended, and closes the connection.
    private func answer(_ number: UInt64, _ work: @escaping @Sendable (ControlReply) async throws(ControlError) -> Void) {
        guard let client = self.clients[number] else { return }
        let task = Task {
            let reply = ControlReply { item async throws(ControlError) in try await self.send(ControlMessage.item(item), to: number) }
            let last: JSONValue
            do throws(ControlError) {
                try await work(reply)
                last = ControlMessage.end
            } catch { last = ControlMessage.error(error) }
            try? await self.send(last, to: number)
            self.drop(number)
        }
        client.state = .answering(task)
    }

    // MARK: - What they are told

    private func send(_ value: JSONValue, to number: UInt64) async throws(ControlError) {
        guard let client = self.clients[number], case .answering = client.state else { throw .clientGone }
        precondition(client.writer == nil, "one answer is written at a time")
        client.writeCount += 1
        client.output = Array(ControlMessage.line(value).utf8)[...]
        guard !self.flush(number) else { return }
        let writeCount = client.writeCount
        self.after(self.limits.writeTimeout) { server in
            if let client = server.clients[number], client.writer != nil, client.writeCount == writeCount { server.drop(number) }
        }
        let isTaken = await withCheckedContinuation { continuation in
            guard case .answering = client.state else { return continuation.resume(returning: false) }
            client.writer = continuation
        }
        guard isTaken else { throw .clientGone }
    }

    private func writable(_ number: UInt64) {
        guard self.flush(number) else { return }
        self.clients[number]?.writer.take()?.resume(returning: true)
    }

    /// Writes what the socket takes, and says whether that was all. A client that is gone is dropped.
    private func flush(_ number: UInt64) -> Bool {
        guard let client = self.clients[number] else { return false }
        if case .gone = client.state { return false }
        guard let count = try? ControlSocket.send(client.output, to: client.descriptor) else {
            self.drop(number)
            return false
        }
        client.output = client.output.dropFirst(count)
        if client.output.isEmpty == client.isWriteSourceRunning {
            if client.isWriteSourceRunning { client.writeSource.suspend() } else { client.writeSource.resume() }
            client.isWriteSourceRunning.toggle()
        }
        return client.output.isEmpty
    }

    // MARK: - Clients that go

    /// Ends what is done for a client, and closes its socket when the system has let go of it.
    private func drop(_ number: UInt64) {
        guard let client = self.clients[number] else { return }
        switch client.state {
        case .gone: return
        case .answering(let task): task.cancel()
        case .reading: break
        }
        client.state = .gone
        client.output = []
        // A suspended source would never tell.
        if !client.isWriteSourceRunning { client.writeSource.resume() }
        client.writeSource.cancel()
        client.readSource.cancel()
        client.writer.take()?.resume(returning: false)
    }

    private func sourceCancelled(_ number: UInt64) {
        guard let client = self.clients[number] else { return }
        client.sourceCount -= 1
        guard client.sourceCount == 0 else { return }
        close(client.descriptor)
        self.clients[number] = nil
        self.tellIfStopped()
    }

    // MARK: - The system's calls

    /// What has come; nothing at the end, and `nil` when there is nothing yet.
    private static func read(_ descriptor: Int32) throws(SystemError) -> [UInt8]? {
        var (bytes, count) = ([UInt8](repeating: 0, count: Self.chunkByteCount), 0)
        while true {
            #if canImport(Glibc)
            count = Glibc.read(descriptor, &bytes, bytes.count)
            #elseif canImport(Musl)
            count = Musl.read(descriptor, &bytes, bytes.count)
            #else
            count = Darwin.read(descriptor, &bytes, bytes.count)
            #endif
            if count >= 0 { return Array(bytes[..<count]) }
            let error = SystemError.last
            switch error.number {
            case EINTR: continue
            case EAGAIN: return nil
            default: throw error
            }
        }
    }
}
