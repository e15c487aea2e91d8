public import CryptoPrimitives
public import LibP2P
public import Secp256k1
public import Signing

/// What an owner of a node can observe.
public enum SigningNodeEvent: Sendable {
    /// A request came that its signer has to decide on.
    case requested(Bytes32)
    case request(Bytes32, CoordinationEvent)
    case decided(Bytes32, StoredRequest.Decision)
    /// What the group's policy says of a request, when that is new.
    case approval(Bytes32, ApprovalNotice)
    /// What became of a group's policy.
    case policy(group: Bytes32, ApprovalPolicyNotice)
    /// Something of a request could not be made durable.
    case notStored(Bytes32, reason: String)
    case refused(PeerID, SigningRefusal)
    case blocked(PeerID)
    /// It was blocked again and again, and is so until its owner unblocks it: the peer, and the member that it speaks for. A group that
    /// cannot be spent from without that member signs nothing until then.
    case blockedLastingly(PeerID, PublicKey?)
    /// A member speaks through this machine from now on, and through its former one no more: another member passed its signer's word on.
    case enrolled(PublicKey, PeerID)
    /// This one speaks for our own signer, and our machine is heard no more.
    case superseded(by: PeerID)
    /// Of a member that is not connected: what it should hear of a request cannot be left in its mailboxes, and is told once it is connected.
    case notLeft(Bytes32, for: PublicKey, MailboxClientError)
    /// A member's node is connected, or in another way than before.
    case connected(PublicKey, ConnectionMethod)
    /// The last connection with it ended. It is dialled again as long as something is wanted of it, and no request ends by this.
    case disconnected(PublicKey)
    /// The machine's clocks went apart: secret nonces were wiped, and requests go on with others.
    case clocksJumped
    /// A member announced, to those who can read it, that a request waits at its node, which is dialled.
    case announced(Bytes32, by: PublicKey)
    /// What this node's signer says of itself went out.
    case advertised(SignerAdvertisement)
    /// A signer advertises that did not before. Of floods of them some are told; all that are kept can be found.
    case signerDiscovered(SignerAdvertisement)
    case signerWithdrawn(SignerAdvertisement)
    /// Somebody announced to everybody that it looks for signers.
    case signersWanted(PublicAnnouncement)
    /// What became of a group that is being made, or of which this node's owner knows by that name.
    case group(String, GroupNews)
    /// So many events after the cursor that was asked for are not kept any more.
    case missed(count: UInt64)
}

/// What became of a group that is being made.
public enum GroupNews: Hashable, Sendable {
    /// This node invites others to it.
    case invited(memberCount: Int)
    /// This node asks to join it.
    case joining
    /// Another member has joined a group that this node invited to.
    case joined(count: Int, memberCount: Int)
    /// All have joined, and this node takes part in its requests.
    case made(policyDigest: Bytes32)
    /// The inviter lets this node not join.
    case refused(GroupRefusal)
    /// This node's owner took invitations or joining back.
    case calledOff
}

extension SigningNodeEvent {
    /// Whether anybody on the network can bring it about, as often as they like.
    fileprivate var isOfPeers: Bool {
        switch self {
        case .refused, .blocked, .connected, .disconnected, .announced, .advertised, .signerDiscovered, .signerWithdrawn, .signersWanted,
            .enrolled:
            true
        case .requested, .request, .decided, .approval, .policy, .notStored, .notLeft, .clocksJumped, .group, .missed, .blockedLastingly,
            .superseded:
            false
        }
    }
}

/// The newest events of a node, numbered: who reads them may leave and go on where it was.
///
/// What peers can bring about is kept in a row of its own, so that no stranger pushes out what happened to requests.
struct EventLog {
    typealias Entry = (cursor: UInt64, event: SigningNodeEvent)

    /// Events that are kept for who comes later: of requests, and of peers.
    static let countMax = 4_096
    static let countOfPeersMax = 1_024

    /// A row of events of which the oldest make way.
    private struct Row {
        let countMax: Int
        private var entries: [Entry] = []
        private var start = 0

        init(countMax: Int) { self.countMax = countMax }

        var kept: ArraySlice<Entry> { self.entries[self.start...] }

        mutating func append(_ entry: Entry) {
            self.entries.append(entry)
            if self.entries.count - self.start > self.countMax { self.start += 1 }
            if self.start >= self.countMax {
                self.entries.removeFirst(self.start)
                self.start = 0
            }
        }
    }

    private var ofRequests = Row(countMax: Self.countMax)
    private var ofPeers = Row(countMax: Self.countOfPeersMax)
    /// The last one's number; 0 before the first.
    private(set) var cursor: UInt64 = 0
    private var readers: [UInt64: AsyncStream<Entry>.Continuation] = [:]
    private var nextReader: UInt64 = 0

    mutating func append(_ event: SigningNodeEvent) {
        self.cursor += 1
        let entry = (cursor: self.cursor, event: event)
        if event.isOfPeers { self.ofPeers.append(entry) } else { self.ofRequests.append(entry) }
        for reader in self.readers.values { reader.yield(entry) }
    }

    /// What came after the cursor and is kept, in order; and before it how much of it is not.
    func entries(after cursor: UInt64) -> [Entry] {
        let kept = (self.ofRequests.kept + self.ofPeers.kept).filter { $0.cursor > cursor }.sorted { $0.cursor < $1.cursor }
        let missed = self.cursor - min(cursor, self.cursor) - UInt64(kept.count)
        return missed == 0 ? kept : [((kept.first?.cursor ?? self.cursor + 1) - 1, .missed(count: missed))] + kept
    }

    /// What came after the cursor, and what is to come. Whoever reads too slowly misses the oldest.
    mutating func read(after cursor: UInt64, onEnd: @escaping @Sendable (UInt64) -> Void) -> AsyncStream<Entry> {
        let countMax = Self.countMax + Self.countOfPeersMax + 1
        let (stream, continuation) = AsyncStream.makeStream(of: Entry.self, bufferingPolicy: .bufferingNewest(countMax))
        for entry in self.entries(after: cursor) { continuation.yield(entry) }
        let number = self.nextReader
        self.nextReader += 1
        self.readers[number] = continuation
        continuation.onTermination = { _ in onEnd(number) }
        return stream
    }

    mutating func forget(_ reader: UInt64) { self.readers[reader] = nil }

    mutating func finish() {
        for reader in self.readers.values { reader.finish() }
        self.readers = [:]
    }
}
