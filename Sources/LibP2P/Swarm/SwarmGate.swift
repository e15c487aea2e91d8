/// Who may connect, and who is kept.
public struct SwarmGate: Sendable {
    /// Entries of each list. Whoever feeds them from outside bounds what it feeds.
    public var deniedPeers: Set<PeerID> = []
    /// `nil`: everybody who is not denied.
    public var allowedPeers: Set<PeerID>?
    /// As ``Multiaddr/household`` gives them.
    public var deniedAddresses: Set<[UInt8]> = []

    public init() {}

    func refusal(of peer: PeerID) -> SwarmRefusal? {
        if self.deniedPeers.contains(peer) { return .peerDenied }
        if let allowed = self.allowedPeers, !allowed.contains(peer) { return .peerNotAllowed }
        return nil
    }

    func refusal(of address: Multiaddr) -> SwarmRefusal? {
        guard !self.deniedAddresses.isEmpty, let key = address.household else { return nil }
        return self.deniedAddresses.contains(key) ? .addressDenied : nil
    }
}
