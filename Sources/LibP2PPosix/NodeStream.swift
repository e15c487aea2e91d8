public import LibP2P

/// A stream of a node, to be read by one task and written by one.
///
/// It runs on the node's loop. A slow reader slows its peer down and nobody else; a writer waits while the peer does not read.
public actor NodeStream {
    public nonisolated let node: PosixNode
    public nonisolated let id: StreamID
    public nonisolated let protocolID: String
    /// `nil` if the connection went away at the same moment.
    public nonisolated let connection: ConnectionInfo?

    private var hasEnded = false
    private var isGone = false
    private var isWriteClosed = false
    private var reader: CheckedContinuation<Void, Never>?
    private var writer: CheckedContinuation<Void, Never>?

    public nonisolated var unownedExecutor: UnownedSerialExecutor { self.node.unownedExecutor }

    init(_ node: PosixNode, _ id: StreamID, _ protocolID: String, _ connection: ConnectionInfo?) {
        self.node = node
        self.id = id
        self.protocolID = protocolID
        self.connection = connection
    }

    public nonisolated var peer: PeerID? { self.connection?.peer }

    // MARK: Reading

    /// The next bytes, as they came; `nil` after the last.
    public func read() async throws(NodeStreamError) -> [UInt8]? {
        while true {
            if let chunk = self.takeChunk() { return chunk }
            if self.hasEnded { return nil }
            if self.isGone { throw .reset }
            if Task.isCancelled { throw .cancelled }
            guard self.reader == nil else { throw .busy }
            await withTaskCancellationHandler {
                await withCheckedContinuation { self.reader = $0 }
            } onCancel: {
                self.wakeSoon()
            }
        }
    }

    private func takeChunk() -> [UInt8]? {
        let id = self.id
        return self.node.assumeIsolated { $0.read(id) }
    }

    /// Everything up to the end.
    ///
    /// - Parameter byteCountMax: how much is kept; more than that is an error.
    public func readToEnd(upTo byteCountMax: Int) async throws(NodeStreamError) -> [UInt8] {
        var bytes: [UInt8] = []
        while let chunk = try await self.read() {
            guard chunk.count <= byteCountMax - bytes.count else { throw .tooLong(maximum: byteCountMax) }
            bytes += chunk
        }
        return bytes
    }

    // MARK: Writing

    /// Sends bytes; returns when the stream has taken them, which waits for the peer to read what came before.
    public func write(_ bytes: [UInt8]) async throws(NodeStreamError) {
        while true {
            if self.isGone { throw .reset }
            if Task.isCancelled { throw .cancelled }
            switch self.give(bytes) {
            case .none: return
            case .bufferFull: break
            case .closed: throw .closed
            case .noSuchStream: throw .reset
            }
            guard self.writer == nil else { throw .busy }
            await withTaskCancellationHandler {
                await withCheckedContinuation { self.writer = $0 }
            } onCancel: {
                self.wakeSoon()
            }
        }
    }

    /// Why the bytes were not taken; `nil` if they were.
    private func give(_ bytes: [UInt8]) -> SwarmWriteError? {
        let id = self.id
        return self.node.assumeIsolated { node in
            do throws(SwarmWriteError) {
                try node.write(bytes, to: id)
                return nil
            } catch {
                return error
            }
        }
    }

    /// Nothing more comes from here, once everything written is sent; the peer may go on.
    public func closeWrite() {
        guard !self.isWriteClosed, !self.isGone else { return }
        self.isWriteClosed = true
        let (id, hasEnded) = (self.id, self.hasEnded)
        self.node.assumeIsolated { $0.closeWrite(id, hasEnded: hasEnded) }
    }

    /// Gives the stream up in both directions.
    public func reset() {
        guard !self.isGone else { return }
        let id = self.id
        self.wasReset()
        self.node.assumeIsolated { $0.reset(id) }
    }

    // MARK: What the node tells

    func becameReadable() { self.reader.take()?.resume() }

    func becameWritable() { self.writer.take()?.resume() }

    /// Whether both directions are over.
    func inputEnded() -> Bool {
        self.hasEnded = true
        self.reader.take()?.resume()
        return self.isWriteClosed
    }

    func wasReset() {
        self.isGone = true
        self.reader.take()?.resume()
        self.writer.take()?.resume()
    }

    private nonisolated func wakeSoon() {
        self.node.executor.queue.async {
            self.assumeIsolated { stream in
                stream.reader.take()?.resume()
                stream.writer.take()?.resume()
            }
        }
    }
}

/// Why a stream can be used no more.
public enum NodeStreamError: Error, Equatable, Sendable, CustomStringConvertible {
    /// One side gave it up, or its connection went.
    case reset
    /// This side has closed its direction.
    case closed
    /// The task that waits was cancelled.
    case cancelled
    /// Another task does the same with the stream. One that was cancelled does so until it has noticed.
    case busy
    /// The peer sent more than was to be kept.
    case tooLong(maximum: Int)

    public var description: String {
        switch self {
        case .reset: "the stream was given up, or its connection is gone"
        case .closed: "the stream is closed for writing"
        case .cancelled: "the task was cancelled"
        case .busy: "another task reads the stream, or writes to it"
        case .tooLong(let maximum): "the peer sent more than \(maximum) bytes"
        }
    }
}
