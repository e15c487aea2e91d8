/// What waits to be sent to one peer.
///
/// Subscriptions, GRAFTs and PRUNEs are state: the last word for each topic is kept, and never dropped. Messages wait in order.
/// Gossip goes last and is the first to be dropped.
struct GossipsubOutbox: Sendable {
    private struct MeshChange: Sendable {
        /// The PRUNE, or `nil` for a GRAFT.
        var prune: PubSubRPC.Prune?
    }

    private var subscriptions: [String: Bool] = [:]
    private var meshChanges: [String: MeshChange] = [:]
    private var doNotWants: [PubSubMessageID] = []
    private var messages = YamuxQueue<(id: PubSubMessageID, frame: [UInt8])>()
    private var haves: [PubSubRPC.Have] = []
    private var wants: [PubSubMessageID] = []

    private var messageByteCount = 0
    private var gossipByteCount = 0
    private var stateByteCount = 0

    /// Most bytes of entries in one frame that is not a message: far below what a frame may have.
    private static let entryByteCountMax = 262_144
    /// What an entry takes beside its own bytes, at most.
    private static let entryOverhead = 24
    /// Most bytes of the ids in one IHAVE.
    static let haveByteCountMax = 262_144
    /// IDONTWANTs that wait; one that is dropped costs the peer's sending a message in vain.
    private static let doNotWantCountMax = 256

    var isEmpty: Bool {
        self.messages.isEmpty && self.subscriptions.isEmpty && self.meshChanges.isEmpty && self.doNotWants.isEmpty && self.haves.isEmpty
            && self.wants.isEmpty
    }

    /// Whether questions wait.
    var hasWants: Bool { !self.wants.isEmpty }

    var heldByteCount: Int { self.messageByteCount + self.gossipByteCount + self.stateByteCount }

    // MARK: In

    mutating func announce(_ topic: String, isOn: Bool) {
        if self.subscriptions.updateValue(isOn, forKey: topic) == nil { self.stateByteCount += topic.utf8.count + Self.entryOverhead }
    }

    mutating func graft(_ topic: String) { self.changeMesh(topic, MeshChange(prune: nil)) }

    mutating func prune(_ prune: PubSubRPC.Prune) { self.changeMesh(prune.topic, MeshChange(prune: prune)) }

    private mutating func changeMesh(_ topic: String, _ change: MeshChange) {
        if let old = self.meshChanges.updateValue(change, forKey: topic) { self.stateByteCount -= Self.byteCount(topic, old) }
        self.stateByteCount += Self.byteCount(topic, change)
    }

    private static func byteCount(_ topic: String, _ change: MeshChange) -> Int {
        let peers = change.prune?.peers.reduce(0) { $0 + $1.id.count + $1.record.count + Self.entryOverhead } ?? 0
        return topic.utf8.count + Self.entryOverhead + peers
    }

    mutating func doNotWant(_ id: PubSubMessageID) {
        guard self.doNotWants.count < Self.doNotWantCountMax else { return }
        self.doNotWants.append(id)
        self.stateByteCount += id.bytes.count + Self.entryOverhead
    }

    /// Takes a message; `false` if there is no room even without any gossip.
    mutating func send(_ id: PubSubMessageID, _ frame: [UInt8], _ limits: GossipsubLimits) -> Bool {
        guard self.messages.count < limits.outboxFrameCountMax, self.messageByteCount + frame.count <= limits.outboxByteCountMax else {
            return false
        }
        if self.messageByteCount + self.gossipByteCount + frame.count > limits.outboxByteCountMax { self.dropGossip() }
        self.messages.append((id, frame))
        self.messageByteCount += frame.count
        return true
    }

    /// Takes gossip; `false` if there is no room beside the messages.
    mutating func tell(_ have: PubSubRPC.Have, _ limits: GossipsubLimits) -> Bool {
        let byteCount = have.topic.utf8.count + Self.byteCount(of: have.ids)
        guard self.heldByteCount + byteCount <= limits.outboxByteCountMax else { return false }
        self.haves.append(have)
        self.gossipByteCount += byteCount
        return true
    }

    /// Asks for messages; `false` if there is no room beside the messages.
    mutating func ask(_ ids: [PubSubMessageID], _ limits: GossipsubLimits) -> Bool {
        let byteCount = Self.byteCount(of: ids)
        guard self.heldByteCount + byteCount <= limits.outboxByteCountMax else { return false }
        self.wants += ids
        self.gossipByteCount += byteCount
        return true
    }

    private mutating func dropGossip() {
        (self.haves, self.wants, self.gossipByteCount) = ([], [], 0)
    }

    private static func byteCount(of ids: [PubSubMessageID]) -> Int {
        ids.reduce(Self.entryOverhead) { $0 + $1.bytes.count + Self.entryOverhead }
    }

    // MARK: Out

    /// The next frame with its length before it; `nil` when there is none. A message that the peer does not want any more is left out.
    mutating func next(unwanted: [PubSubMessageID: Int]) -> [UInt8]? {
        if let rpc = self.nextState() { return FrameReader.frame(rpc.encoded) }
        while let (id, frame) = self.messages.popFirst() {
            self.messageByteCount -= frame.count
            if unwanted[id] == nil { return frame }
        }
        return self.nextGossip().map { FrameReader.frame($0.encoded) }
    }

    private mutating func nextState() -> PubSubRPC? {
        guard !self.subscriptions.isEmpty || !self.meshChanges.isEmpty || !self.doNotWants.isEmpty else { return nil }
        var (rpc, room) = (PubSubRPC(), Self.entryByteCountMax)
        // Sorted, so that a seed replays to the byte. A subscription always goes before a GRAFT for its topic.
        for topic in self.subscriptions.keys.sorted() {
            guard room > 0, let isOn = self.subscriptions.removeValue(forKey: topic) else { break }
            rpc.subscriptions.append(PubSubRPC.Subscription(topic: topic, isOn: isOn))
            room -= topic.utf8.count + Self.entryOverhead
            self.stateByteCount -= topic.utf8.count + Self.entryOverhead
        }
        for topic in self.meshChanges.keys.sorted() {
            guard room > 0, let change = self.meshChanges.removeValue(forKey: topic) else { break }
            if let prune = change.prune { rpc.prunes.append(prune) } else { rpc.grafts.append(topic) }
            room -= Self.byteCount(topic, change)
            self.stateByteCount -= Self.byteCount(topic, change)
        }
        rpc.doNotWants = self.doNotWants
        self.stateByteCount -= self.doNotWants.reduce(0) { $0 + $1.bytes.count + Self.entryOverhead }
        self.doNotWants = []
        return rpc
    }

    private mutating func nextGossip() -> PubSubRPC? {
        guard !self.haves.isEmpty || !self.wants.isEmpty else { return nil }
        var (rpc, room) = (PubSubRPC(), Self.entryByteCountMax)
        let wantCount = self.wants.prefix(PubSubRPC.CountMax.messageIDs).prefix { id in
            room -= id.bytes.count + Self.entryOverhead
            return room > 0
        }.count
        rpc.wants = Array(self.wants.prefix(wantCount))
        self.wants.removeFirst(wantCount)
        // An IHAVE is shorter than the room of a whole frame: see `haveByteCountMax`.
        // Others count the ids of a whole frame, and leave out or charge what exceeds their limit.
        var idRoom = PubSubRPC.CountMax.messageIDs
        while room > 0, idRoom > 0, var have = self.haves.first {
            let (now, later) = (have.ids.prefix(idRoom), have.ids.dropFirst(idRoom))
            if later.isEmpty { self.haves.removeFirst() } else { self.haves[0].ids = Array(later) }
            have.ids = Array(now)
            room -= Self.byteCount(of: have.ids)
            idRoom -= have.ids.count
            rpc.haves.append(have)
        }
        self.gossipByteCount = self.haves.reduce(self.wants.isEmpty ? 0 : Self.byteCount(of: self.wants)) { count, have in
            count + have.topic.utf8.count + Self.byteCount(of: have.ids)
        }
        return rpc
    }
}
