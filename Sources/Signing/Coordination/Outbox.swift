/// What one member has to be told, and is told again until it says that it came.
///
/// Each matter has one place: a newer word takes the place of an older one, so that a member that was away for a month hears how things
/// stand and not how they came to.
struct Outbox: Sendable {
    /// What a message is about.
    enum Matter: Hashable, Sendable {
        case proposal, approval, decision, cancellation, turn, completion
        /// Says that our process has started, and asks where things stand.
        case greeting
        /// Asks the coordinator whether it is there.
        case probe
        /// Nonces for a member's own attempts, before it calls for any.
        case leftNonces
        case begin(UInt32)
        case partialSignatures(UInt32)
        case renewal
        case evidence(Int)
        /// A use of nonces, and an alarm, each by its number among those that the receiver is told of.
        case nonceUse(Int)
        case cloneAlarm(Int)
        /// The commitments of an attempt's set, and our nonces for it.
        case commitments(UInt32)
        case opening(UInt32)
    }

    private struct Entry {
        let matter: Matter
        let content: CoordinationMessage.Content
        /// Once sent, number and time.
        var sequence: UInt64?
        var firstSentAt: Duration?
        var dueAt: Duration
        var interval: Duration
    }

    private var entries: [Entry] = []
    /// When the first one is due. Kept, because each step asks this of every member.
    private(set) var nextDueAt: Duration?
    /// Rises whenever the receiver's process has started anew.
    private(set) var epoch: UInt32 = 0
    private var nextSequence: UInt64 = 1
    private var highestAcknowledged: UInt64 = 0
    /// The last one that was numbered, even if it no longer matters: it is what moves the receiver's window on.
    private var newest: (sequence: UInt64, content: CoordinationMessage.Content)?

    /// How many numbers may be under way: below what the receiver takes.
    private static let underWayMax = ReplayWindow.gapMax - 10
    /// Longest time between two tries.
    static let intervalMax = Duration.seconds(60)

    var isEmpty: Bool { self.entries.isEmpty }

    /// Tells this from `now` on, unless the same is being told.
    mutating func put(_ matter: Matter, _ content: CoordinationMessage.Content, now: Duration, interval: Duration) {
        if let place = self.entries.firstIndex(where: { $0.matter == matter }) {
            guard self.entries[place].content != content else { return }
            self.entries.remove(at: place)
        }
        self.entries.append(Entry(matter: matter, content: content, dueAt: now, interval: interval))
        self.noteDue()
    }

    mutating func remove(where isOver: (Matter) -> Bool) {
        self.entries.removeAll { isOver($0.matter) }
        self.noteDue()
    }

    func holds(_ matter: Matter) -> Bool { self.entries.contains { $0.matter == matter } }

    /// Since when the longest unacknowledged word is under way.
    func waitingSince(_ isMeant: (Matter) -> Bool) -> Duration? {
        var first: Duration?
        for place in self.entries.indices where isMeant(self.entries[place].matter) {
            if let sent = self.entries[place].firstSentAt { first = min(first ?? sent, sent) }
        }
        return first
    }

    /// What is under way counts as sent now.
    mutating func restartWaiting(now: Duration) {
        for place in self.entries.indices where self.entries[place].sequence != nil { self.entries[place].firstSentAt = now }
    }

    /// These came.
    mutating func acknowledge(_ sequences: [UInt64]) {
        for sequence in sequences where sequence < self.nextSequence { self.highestAcknowledged = max(self.highestAcknowledged, sequence) }
        self.entries.removeAll { $0.sequence.map(sequences.contains) ?? false }
        self.noteDue()
    }

    /// Whether one of these was said after the receiver's process was last taken for a new one.
    func hasSaidSinceRestart(_ sequences: [UInt64]) -> Bool {
        self.epoch > 0 && sequences.contains { $0 > 0 && $0 < self.nextSequence }
    }

    /// Tells everything now: the receiver can be reached again.
    mutating func sendAgain(now: Duration, interval: Duration) {
        for place in self.entries.indices {
            self.entries[place].dueAt = now
            self.entries[place].interval = interval
        }
        self.noteDue()
    }

    /// A process of the receiver that has started anew has seen none of it: everything is told again, in a series of its own, so that
    /// no number of before can be taken for one of now.
    mutating func receiverStartedAnew(now: Duration) {
        self.epoch &+= 1
        (self.nextSequence, self.highestAcknowledged, self.newest) = (1, 0, nil)
        for place in self.entries.indices {
            self.entries[place].sequence = nil
            self.entries[place].firstSentAt = nil
            self.entries[place].dueAt = now
        }
        self.noteDue()
    }

    /// What is to be sent now, with its number.
    mutating func takeDue(now: Duration) -> [(sequence: UInt64, content: CoordinationMessage.Content)] {
        var due: [(UInt64, CoordinationMessage.Content)] = []
        for place in self.entries.indices where self.entries[place].dueAt <= now {
            let isFirst = self.entries[place].sequence == nil
            if isFirst, self.nextSequence > self.highestAcknowledged + Self.underWayMax {
                // Not before one of those under way has come: then the window moves on. The newest one moves it farthest.
                if let newest, !due.contains(where: { $0.0 == newest.sequence }) { due.append(newest) }
                self.entries[place].dueAt = now + self.entries[place].interval
                continue
            }
            let sequence = self.entries[place].sequence ?? self.nextSequence
            if isFirst {
                self.entries[place].sequence = sequence
                self.entries[place].firstSentAt = now
                self.nextSequence += 1
                self.newest = (sequence, self.entries[place].content)
            }
            due.append((sequence, self.entries[place].content))
            self.entries[place].dueAt = now + self.entries[place].interval
            // Who is farther away than that is told no sooner for it.
            self.entries[place].interval = min(self.entries[place].interval * 2, max(self.entries[place].interval, Self.intervalMax))
        }
        self.noteDue()
        return due
    }

    private mutating func noteDue() {
        var next: Duration?
        for place in self.entries.indices { next = min(next ?? self.entries[place].dueAt, self.entries[place].dueAt) }
        self.nextDueAt = next
    }
}
