public import Dispatch

/// The one event loop of a node: its sockets, its timer and its actors all run on one queue, one after another.
///
/// An actor joins it by `nonisolated var unownedExecutor: UnownedSerialExecutor { executor.asUnownedSerialExecutor() }`. What runs here
/// never blocks: it would stop the whole node.
public final class NodeExecutor: SerialExecutor {
    public let queue: DispatchQueue

    public init(label: String = "chorale.node") { self.queue = DispatchQueue(label: label) }

    public func enqueue(_ job: consuming ExecutorJob) {
        let job = UnownedJob(job)
        self.queue.async { job.runSynchronously(on: self.asUnownedSerialExecutor()) }
    }

    public func asUnownedSerialExecutor() -> UnownedSerialExecutor { UnownedSerialExecutor(ordinary: self) }

    /// Handlers of the queue's sources are not jobs of an actor, and are on this executor all the same.
    public func checkIsolated() { dispatchPrecondition(condition: .onQueue(self.queue)) }
}
