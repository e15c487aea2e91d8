/// What a session knows of one stream.
struct YamuxStream: Sendable {
    /// Our direction: we write, then `closing` once the user has closed it, `closed` once the peer was told.
    enum Writing: Sendable { case open, closing, closed }
    /// The peer's direction: open, `closing` once it was closed but not all is read, then `closed`.
    enum Reading: Sendable { case open, closing, closed }

    let id: YamuxStreamID
    /// Given to no other stream of the session, while a peer may use a number again.
    let serial: UInt64
    var writing = Writing.open
    var reading = Reading.open
    /// SYN or ACK, until a frame takes it along.
    var unsentFlags: YamuxHeader.Flags
    /// Ours, and the peer has not shown yet that it took it.
    var isUnacknowledged: Bool
    /// The peer's, and the user has not taken it yet.
    var isUnaccepted: Bool

    var inbound = YamuxByteQueue()
    var outbound = YamuxByteQueue()
    /// Bytes that we may still send.
    var sendCredit = YamuxLimits.initialWindowByteCount
    var receiveWindow: YamuxReceiveWindow

    /// A writer was turned away and is to hear when there is room.
    var hasWaitingWriter = false
    var isInControlQueue = false
    var isInSendQueue = false

    init(_ id: YamuxStreamID, serial: UInt64, openedHere: Bool, now: Duration) {
        self.id = id
        self.serial = serial
        self.unsentFlags = openedHere ? .syn : []
        self.isUnacknowledged = openedHere
        self.isUnaccepted = !openedHere
        self.receiveWindow = YamuxReceiveWindow(now: now)
    }

    var place: YamuxStreamQueue.Place { YamuxStreamQueue.Place(id: self.id, serial: self.serial) }

    var hasBeenAnnounced: Bool { !self.unsentFlags.contains(.syn) }

    /// Whether a data frame or the end of our direction can go out now.
    var canSend: Bool {
        switch self.writing {
        case .open: !self.outbound.isEmpty && self.sendCredit > 0
        case .closing: self.outbound.isEmpty || self.sendCredit > 0
        case .closed: false
        }
    }

    var isFinished: Bool { self.writing == .closed && self.reading == .closed }

    /// The flags that the next frame of this stream carries.
    mutating func takeFlags() -> YamuxHeader.Flags {
        let flags = self.unsentFlags
        self.unsentFlags = []
        return flags
    }

    /// The peer can take more. `false` when its window then exceeds what 32 bits can say.
    mutating func addSendCredit(_ byteCount: UInt32) -> Bool {
        self.sendCredit += Int(byteCount)
        return self.sendCredit <= Int(UInt32.max)
    }
}

/// How much the peer may send on one stream. It is given back only what was read.
///
/// Always: credit + bytes announced, waiting or read and not given back yet = size.
struct YamuxReceiveWindow: Sendable {
    /// Bytes that the peer may still announce.
    private(set) var credit = YamuxLimits.initialWindowByteCount
    private(set) var size = YamuxLimits.initialWindowByteCount
    /// Bytes read, and bytes grown, that the peer does not know of yet.
    private var owed = 0
    /// When the peer was last given something.
    private var lastUpdate: Duration

    init(now: Duration) { self.lastUpdate = now }

    var growth: Int { self.size - YamuxLimits.initialWindowByteCount }

    /// A data frame of the peer was announced.
    ///
    /// - Returns: `false`, and nothing changes, when it is more than the peer may send.
    mutating func announce(_ byteCount: Int) -> Bool {
        guard byteCount <= self.credit else { return false }
        self.credit -= byteCount
        return true
    }

    /// The user has read bytes.
    ///
    /// - Returns: whether it is time to tell the peer: half of the window is used up. More often would cost frames,
    ///   more seldom would let a sender stand still.
    mutating func release(_ byteCount: Int) -> Bool {
        self.owed += byteCount
        return self.owed >= self.size / 2
    }

    /// Doubles the window, within `room` and `most`, if half of it was used up in less than four round trips: the window
    /// is then what holds the sender back. (As go-yamux does.)
    ///
    /// - Returns: by how much it has grown.
    mutating func grow(roundTrip: Duration?, room: Int, most: Int, now: Duration) -> Int {
        defer { self.lastUpdate = now }
        guard let roundTrip, now - self.lastUpdate < roundTrip * 4 else { return 0 }
        let growth = max(0, min(self.size, most - self.size, room))
        self.size += growth
        self.owed += growth
        return growth
    }

    /// What the next window update gives.
    mutating func takeUpdate() -> Int {
        let update = self.owed
        self.credit += update
        self.owed = 0
        return update
    }
}
