internal import Dispatch

/// Runs an actor on a Dispatch queue of its own, where it may block on a disk without holding up the tasks of others.
///
/// The queue is serial and strictly first in, first out: what was enqueued before a blocking call runs before what comes after it.
final class QueueExecutor: SerialExecutor {
    private let queue: DispatchQueue

    init(label: String) { self.queue = DispatchQueue(label: label) }

    func enqueue(_ job: consuming ExecutorJob) {
        let job = UnownedJob(job)
        self.queue.async { job.runSynchronously(on: self.asUnownedSerialExecutor()) }
    }

    /// Runs `work` after everything that is in the queue now.
    func enqueueLast(_ work: @escaping @Sendable () -> Void) { self.queue.async(execute: work) }

    /// Runs `work` in a while.
    func enqueue(afterMilliseconds delay: Int, _ work: @escaping @Sendable () -> Void) {
        self.queue.asyncAfter(deadline: .now() + .milliseconds(delay), execute: work)
    }

    // Without this the runtime's `assumeIsolated` ends the process, even on the right queue.
    func checkIsolated() { dispatchPrecondition(condition: .onQueue(self.queue)) }
}
