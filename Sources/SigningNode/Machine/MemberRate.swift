/// How much one member's node may tell us at a time: messages, and their bytes.
///
/// It is far above what any honest member says, a hundred of whose requests begin at once among them. So what is over it costs no more than
/// its reading, and takes nothing from the others. It is no misbehaviour: the sender hears that it should tell it again.
struct MemberRate: Sendable {
    private var messages: TokenBucket
    private var bytes: TokenBucket

    init(_ limits: SigningMachine.RateLimits, now: Duration) {
        self.messages = TokenBucket(burst: limits.messageBurst, perSecond: limits.messagesPerSecond, now: now)
        self.bytes = TokenBucket(burst: limits.byteBurst, perSecond: limits.bytesPerSecond, now: now)
    }

    /// Counts a message, if it may be heard: whoever has not used up its bytes may say one more, however long it is.
    mutating func take(byteCount: Int, now: Duration) -> Bool {
        guard self.messages.holds(1, now: now), self.bytes.holds(1, now: now) else { return false }
        self.messages.draw(1)
        self.bytes.draw(byteCount)
        return true
    }

    /// Whether it is as if nothing had ever come.
    func isFull(now: Duration) -> Bool { self.messages.isFull(now: now) && self.bytes.isFull(now: now) }
}

extension SigningMachine {
    /// What is heard of one member's node over its connections. What is over it the member is asked to tell again.
    public struct RateLimits: Hashable, Sendable {
        /// A node that was away is told of all that is open, at once.
        public var messageBurst = 32_768
        /// Several times what the fastest nodes that were measured say to each other.
        public var messagesPerSecond = 4_096
        /// All requests that are open here may begin at once, with everybody's nonces.
        public var byteBurst = 256 << 20
        public var bytesPerSecond = 32 << 20

        public init() {}
    }
}
