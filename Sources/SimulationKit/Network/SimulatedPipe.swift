internal import LibP2P

/// A connected pipe between two hosts, as TCP makes one: bytes come in order, some at a time, and an end comes after them.
final class SimulatedPipe {
    /// The two ends; the dialler's is the first.
    enum Side: Int {
        case dialer, listener

        var other: Side { self == .dialer ? .listener : .dialer }
    }

    /// One end: whose it is, under which id its swarm knows it.
    struct End {
        let host: Int
        let id: ConnectionID
    }

    /// What is under way to one end.
    struct Direction {
        enum Piece {
            case bytes([UInt8])
            case end
        }

        var pieces: [Piece] = []
        /// When the last of them arrives: nothing overtakes it.
        var lastArrival: Duration
        /// Bytes that were sent and not read.
        var byteCount = 0
        /// Arrivals that came while the network was cut.
        var heldCount = 0
        /// The sender has more and waits for room.
        var wantsRoom = false
        /// The sender's last bytes are followed by the end.
        var endsAfterOutput = false
    }

    let ends: [End]
    /// One way, without jitter.
    let delay: Duration
    /// By the side that it leads to.
    var directions: [Direction]
    /// Nothing arrives any more.
    var isBroken = false
    /// One end went with its machine, and the other was not told.
    var isOrphaned = false

    init(dialer: End, listener: End, delay: Duration, now: Duration) {
        self.ends = [dialer, listener]
        self.delay = delay
        self.directions = [Direction(lastArrival: now + delay), Direction(lastArrival: now)]
    }
}
