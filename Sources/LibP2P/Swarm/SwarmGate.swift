/// Who may connect, and who is kept.
public struct SwarmGate: Sendable {
    /// Entries of each list. Whoever feeds them from outside bounds what it feeds.
    public var deniedPeers: Set<PeerID> = []
    /// `nil`: everybody who is not denied.
    public var allowedPeers: Set<PeerID>?
    /// IP addresses, as ``addressKey(of:)`` gives them.
    public var deniedAddresses: Set<[UInt8]> = []

    public init() {}

    func refusal(of peer: PeerID) -> SwarmRefusal? {
        if self.deniedPeers.contains(peer) { return .peerDenied }
        if let allowed = self.allowedPeers, !allowed.contains(peer) { return .peerNotAllowed }
        return nil
    }

    func refusal(of address: Multiaddr) -> SwarmRefusal? {
        guard !self.deniedAddresses.isEmpty, let key = Self.addressKey(of: address) else { return nil }
        return self.deniedAddresses.contains(key) ? .addressDenied : nil
    }

    /// What one household is counted by: an IPv4 address, or the first 64 bits of one of IPv6. `nil` for an address without either.
    public static func addressKey(of address: Multiaddr) -> [UInt8]? {
        switch address.host {
        case .ip4(let address): return address.bytes
        case .ip6(let address):
            // An IPv4 address in IPv6's clothes is the same household.
            return address.mappedIPv4?.bytes ?? Array(address.bytes[..<8])
        default: return nil
        }
    }
}
