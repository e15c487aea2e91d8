internal import Dispatch
internal import LibP2P

/// Names a socket for as long as this process lives; descriptors are used again, these numbers are not.
struct SocketNumber: Hashable, Sendable {
    let rawValue: UInt64
}

/// What the sources of a loop report.
enum SocketEvent: Sendable {
    case acceptable(SocketNumber)
    case readable(SocketNumber)
    case writable(SocketNumber)
    /// A source lets go of its descriptor.
    case cancelled(SocketNumber)
    case timer
    /// What streams did since the last turn is to be carried out.
    case turn
    case resolved(ConnectionID, Result<[DialTarget], RawDialFailure>)
}

/// One socket of a connection.
///
///     connecting ──▶ upgrading (WebSocket) ──▶ open ──▶ draining ──▶ gone
///          └──────────── an error, or `close` ──────────────────────▶
final class Pipe {
    enum State {
        case connecting
        /// The WebSocket's handshake. Who accepted has told the owner already.
        case upgrading
        case open
        /// All is said. What still comes is thrown away until the other end is done as well: closing before would take back what it has
        /// not read yet.
        case draining
        case gone
    }

    let number: SocketNumber
    let id: ConnectionID
    let descriptor: Int32
    let isOutbound: Bool
    var state: State
    var webSocket: WebSocketPipe?

    var readSource: (any DispatchSourceRead)?
    /// Made when the socket first takes no more; most never need one.
    var writeSource: (any DispatchSourceWrite)?
    var isReadPaused = false
    var isWritePaused = true

    /// Bytes that the socket did not take yet. They go before everything else.
    var unsent: [UInt8] = []
    var unsentOffset = 0
    /// The socket takes no more until its source says so.
    var isStalled = false
    /// The owner has something to send.
    var hasOutput = false
    var isDirty = false
    var closesAfterOutput = false
    var drainedByteCount = 0

    init(_ number: SocketNumber, _ id: ConnectionID, descriptor: Int32, isOutbound: Bool, state: State) {
        self.number = number
        self.id = id
        self.descriptor = descriptor
        self.isOutbound = isOutbound
        self.state = state
    }

    var unsentByteCount: Int { self.unsent.count - self.unsentOffset }

    // MARK: Sources

    func watchInput(on queue: DispatchQueue, _ notify: @escaping @Sendable (SocketEvent) -> Void) {
        let source = DispatchSource.makeReadSource(fileDescriptor: self.descriptor, queue: queue)
        let number = self.number
        source.setEventHandler { notify(.readable(number)) }
        source.setCancelHandler { notify(.cancelled(number)) }
        source.resume()
        self.readSource = source
    }

    func pauseInput() {
        guard !self.isReadPaused, let source = self.readSource else { return }
        self.isReadPaused = true
        source.suspend()
    }

    func watchOutput(on queue: DispatchQueue, _ notify: @escaping @Sendable (SocketEvent) -> Void) {
        if self.writeSource == nil {
            let source = DispatchSource.makeWriteSource(fileDescriptor: self.descriptor, queue: queue)
            let number = self.number
            source.setEventHandler { notify(.writable(number)) }
            source.setCancelHandler { notify(.cancelled(number)) }
            self.writeSource = source
        }
        guard self.isWritePaused else { return }
        self.isWritePaused = false
        self.writeSource?.resume()
    }

    func pauseOutput() {
        guard !self.isWritePaused else { return }
        self.isWritePaused = true
        self.writeSource?.suspend()
    }

    /// Ends the sources.
    ///
    /// - Returns: how many `cancelled` events will follow. Only after them may the descriptor be closed: until then the system's
    ///   watcher knows it, and the number could come to mean another socket.
    func cancelSources() -> Int {
        var count = 0
        if let source = self.readSource.take() {
            // A paused source would never tell.
            if self.isReadPaused { source.resume() }
            source.cancel()
            count += 1
        }
        if let source = self.writeSource.take() {
            if self.isWritePaused { source.resume() }
            source.cancel()
            count += 1
        }
        return count
    }
}

/// A socket that listens.
final class Listener {
    let number: SocketNumber
    let descriptor: Int32
    let address: SocketAddress
    let isWebSocket: Bool
    private let source: any DispatchSourceRead
    private(set) var isPaused = false

    init(
        _ number: SocketNumber, descriptor: Int32, address: SocketAddress, isWebSocket: Bool, on queue: DispatchQueue,
        _ notify: @escaping @Sendable (SocketEvent) -> Void
    ) {
        self.number = number
        self.descriptor = descriptor
        self.address = address
        self.isWebSocket = isWebSocket
        self.source = DispatchSource.makeReadSource(fileDescriptor: descriptor, queue: queue)
        self.source.setEventHandler { notify(.acceptable(number)) }
        self.source.setCancelHandler { notify(.cancelled(number)) }
        self.source.resume()
    }

    func pause() {
        guard !self.isPaused else { return }
        self.isPaused = true
        self.source.suspend()
    }

    func resume() {
        guard self.isPaused else { return }
        self.isPaused = false
        self.source.resume()
    }

    func cancel() {
        self.resume()
        self.source.cancel()
    }
}
