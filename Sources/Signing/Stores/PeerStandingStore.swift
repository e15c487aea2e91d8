/// What a node remembers of a peer's conduct, and whether anything of it is listened to.
public struct PeerStanding: Hashable, Sendable {
    /// Why nothing of a peer is listened to until the owner says otherwise. The numbers are stored.
    public enum Block: UInt8, Sendable {
        /// The owner said so.
        case owner = 1
        /// It was blocked for a while, again and again.
        case conduct = 2
    }

    /// The bytes of its peer id: what a channel proves, and nothing that anybody says.
    public let peer: [UInt8]
    /// `nil` for who is listened to, or not listened to for a while only.
    public var block: Block?
    /// When the block began, in seconds since 1970; 0 without one.
    public var since: UInt64
    /// What the owner says about it.
    public var note: String
    /// When it was blocked for a while, in seconds since 1970, in order.
    public var temporaryBlocks: [UInt64]

    public init(peer: [UInt8], block: Block? = nil, since: UInt64 = 0, note: String = "", temporaryBlocks: [UInt64] = []) {
        self.peer = peer
        self.block = block
        self.since = since
        self.note = note
        self.temporaryBlocks = temporaryBlocks
    }

    /// Bytes of a peer id.
    public static let peerByteCountMax = 64
    /// Bytes of a note, in UTF-8.
    public static let noteByteCountMax = 200
    /// Times of one peer that are kept.
    public static let temporaryBlockCountMax = 64
}

/// How peers stand with a node, through its restarts.
public protocol PeerStandingStore: Sendable {
    /// Keeps this in place of what stands; durable when it returns.
    ///
    /// - Throws: `tooLarge`; `full`.
    func put(_ standing: PeerStanding) async throws(StoreError)

    /// Forgets a peer, if it is there; durable when it returns.
    func remove(_ peer: [UInt8]) async throws(StoreError)

    /// Standings in the order of their peers, at most so many, from behind `peer` on.
    func standings(after peer: [UInt8]?, countMax: Int) async throws(StoreError) -> [PeerStanding]
}
