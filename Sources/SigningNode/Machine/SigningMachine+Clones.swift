internal import Bitcoin
internal import CryptoPrimitives
internal import LibP2P
internal import Secp256k1
package import Signing

// What follows when one nonce of a signer has served two transcripts: nothing more is approved automatically where its key is needed, and
// that is durable in one step with the alarm, in which the proof is. A person decides what comes next.

/// An alarm that is on its way to the disk, or waits for the writes of its groups' policies to come to their ends: a write that was begun
/// before would else take the halt back.
struct PendingAlarm: Sendable {
    let line: TranscriptLine
    let groups: [Bytes32]
}

extension SigningMachine {
    /// Bytes before the alarm in a transcript: whether this process found it, or was told.
    private static let (foundHere, wasTold): (UInt8, UInt8) = (1, 0)
    /// After a write that failed, until the next one.
    private static let alarmRetryInterval = Duration.seconds(5)

    /// A use of a signer's nonces, in one of its requests, is compared with those of all others.
    mutating func note(_ use: NonceUse, in request: LiveRequest, now: Duration) {
        guard let other = self.sightings.note(use), let alarm = CloneAlarm(use, other) else { return }
        request.coordination.raise(alarm, now: self.moment(now))
        request.wantsStep = true
    }

    /// A copy of a signer's machine may be running.
    mutating func take(_ alarm: CloneAlarm, isFoundHere: Bool, of request: LiveRequest, now: Duration) {
        let isOwn = alarm.signer == self.keys.signer
        let groups = self.approvals.keys.sorted().filter { digest in
            guard let approval = self.approvals[digest], approval.policy != nil, approval.halt.isEmpty else { return false }
            return isOwn || self.groups[digest]?.policy.members.contains(alarm.signer) ?? false
        }
        // At once in here; the disk follows.
        for digest in groups { self.approvals[digest]?.stop(Self.reason(for: alarm, isOwn: isOwn)) }
        let line = TranscriptLine(kind: .cloneAlarm, bytes: [isFoundHere ? Self.foundHere : Self.wasTold] + alarm.serialized())
        request.alarms.append(PendingAlarm(line: line, groups: groups))
        if isOwn {
            self.endPools()
            self.dropNonces(now: now)
            request.wantsStep = true
        }
        self.writeAlarms(of: request, now: now)
    }

    private static func reason(for alarm: CloneAlarm, isOwn: Bool) -> String {
        isOwn
            ? "a copy of this machine may be running, and its secret key may be computable by others: move the funds that need it"
            : "a copy of the machine of signer \(alarm.signer) may be running, and its secret key may be computable by others: move the "
                + "funds that need it"
    }

    /// Our own memory may live twice: so may every secret nonce in it.
    mutating func dropNonces(now: Duration) {
        for request in self.live.values { request.coordination.discardNonces(incarnation: self.makeIncarnation()) }
        for id in self.live.keys.sorted() { self.deadlines.set(.request(id), at: now) }
        self.discardPools(now: now)
    }

    // MARK: The disk

    /// Has alarms made durable, each with the halts that follow from it, once no other write of their groups' policies is under way.
    mutating func writeAlarms(now: Duration) {
        for request in self.live.values.filter({ !$0.alarms.isEmpty }).sorted(by: { $0.id < $1.id }) {
            self.writeAlarms(of: request, now: now)
        }
    }

    private mutating func writeAlarms(of request: LiveRequest, now: Duration) {
        guard request.alarmWrite == nil, let alarm = request.alarms.first,
            alarm.groups.allSatisfy({ self.approvals[$0]?.writing == nil })
        else { return }
        let write = self.newWriteID()
        request.alarmWrite = write
        let halts = alarm.groups.compactMap { digest -> ApprovalHalt? in
            self.approvals[digest]?.begin(write)
            return self.approvals[digest].map { ApprovalHalt(group: digest, approval: $0.stored) }
        }
        // Before all that waits: nothing of that matters as much.
        request.writes.insert(.cloneAlarm(alarm.line, halts), at: 0)
        self.writeNext(of: request, now: now)
    }

    /// An alarm is durable with its halts, or none of it is.
    mutating func alarmWritten(_ halts: [ApprovalHalt], failure: String?, of request: LiveRequest, now: Duration) {
        guard let write = request.alarmWrite else { return }
        request.alarmWrite = nil
        if failure == nil {
            request.alarms.removeFirst()
        } else {
            self.deadlines.set(.alarms, at: now + Self.alarmRetryInterval)
        }
        for halt in halts { self.approvalWritten(write, of: halt.group, failure: failure, now: now) }
        if failure == nil { self.writeAlarms(of: request, now: now) }
    }

    // MARK: After a restart

    /// What a former life of this process wrote down about a request, so that what it saw of others' nonces is known now, and what it told
    /// of them is told to whoever has not heard.
    mutating func recall(_ entries: [TranscriptEntry], of request: LiveRequest, now: Duration) {
        let moment = self.moment(now)
        for entry in entries where entry.kind == TranscriptLine.Kind.cloneAlarm.rawValue {
            guard let (alarm, isFoundHere) = Self.alarm(in: entry) else { continue }
            request.coordination.restore(alarm, isFoundHere: isFoundHere, now: moment)
        }
        self.recallBroadcast(entries, of: request)
        guard !request.coordination.state.isOver else { return }
        for entry in entries { Self.message(in: entry).map { request.coordination.recall($0, now: moment) } }
    }

    static func alarm(in entry: TranscriptEntry) -> (alarm: CloneAlarm, isFoundHere: Bool)? {
        guard entry.kind == TranscriptLine.Kind.cloneAlarm.rawValue, let first = entry.bytes.first,
            let alarm = try? CloneAlarm(parsing: Array(entry.bytes.dropFirst()))
        else { return nil }
        return (alarm, first == Self.foundHere)
    }

    private static func message(in entry: TranscriptEntry) -> [UInt8]? {
        switch TranscriptLine.Kind(rawValue: entry.kind) {
        case .received?: Array(entry.bytes.dropFirst(Ed25519.PublicKey.byteCount))
        case .sent?: Array(entry.bytes.dropFirst(PublicKey.byteCount))
        case .completion?, .evidence?, .cloneAlarm?, .broadcast?, nil: nil
        }
    }

    /// Whether `restore` has a use for an entry of a transcript.
    package static func isWorthRecalling(_ entry: TranscriptEntry) -> Bool {
        entry.kind == TranscriptLine.Kind.cloneAlarm.rawValue || entry.kind == TranscriptLine.Kind.broadcast.rawValue
            || self.message(in: entry).map(Coordination.isWorthRecalling) ?? false
    }
}
