public import CryptoPrimitives
internal import Signing

// That a signed transaction was seen on the Bitcoin network: this node does not look there, so its owner or a program says so.

extension SigningMachine {
    /// The transaction of a request was seen: nobody here is asked to send it any more. Said once more it changes nothing.
    public mutating func noteBroadcast(_ id: Bytes32, now: Duration) throws(SigningMachineError) {
        guard let request = self.live[id] else { throw .unknownRequest }
        guard request.coordination.state == .complete else { throw .notComplete(request.coordination.state) }
        guard request.broadcastSeenAt == nil else { return }
        let time = self.moment(now).time
        request.broadcastSeenAt = time
        request.coordination.noteBroadcast()
        self.write(.transcript([Self.broadcastLine(at: time)]), of: request, now: now)
        self.step(request, now: now)
    }

    static func broadcastLine(at time: UInt64) -> TranscriptLine {
        TranscriptLine(kind: .broadcast, bytes: withUnsafeBytes(of: time.bigEndian) { Array($0) })
    }

    /// When it was said, by such an entry.
    static func broadcastTime(in entry: TranscriptEntry) -> UInt64? {
        guard entry.kind == TranscriptLine.Kind.broadcast.rawValue, entry.bytes.count == 8 else { return nil }
        return entry.bytes.reduce(0) { $0 << 8 | UInt64($1) }
    }

    /// What a former life of this process was told.
    mutating func recallBroadcast(_ entries: [TranscriptEntry], of request: LiveRequest) {
        guard request.coordination.state == .complete, request.broadcastSeenAt == nil,
            let time = entries.lazy.compactMap(Self.broadcastTime).first
        else { return }
        request.broadcastSeenAt = time
        request.coordination.noteBroadcast()
    }
}
