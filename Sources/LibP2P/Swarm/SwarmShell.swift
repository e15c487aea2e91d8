// What stands between a swarm and whoever carries its bytes over sockets, or through a simulated network: the shell.
//
// The shell calls, and after each call takes commands until there are none:
//
//     dialled(id, …) / dialFailed(id, …)      the answer to `SwarmCommand.dial`
//     accepted(from:now:) -> ConnectionID?    a pipe that somebody else opened; `nil`: close it, nothing is kept of it
//     receive(buffer, from: id, now:)         bytes as they came; the buffer is decrypted where it lies and belongs to the shell again
//     endOfInput(id, now:)                    the other end sends no more, or the pipe broke
//     fillOutput(of: id, into: buffer, now:)  bytes to send, as many as the buffer takes; 0: nothing more now
//     tick(now:)                              when `deadline` has come
//
// `deadline` may change with every call. The shell asks for output only while its socket takes bytes: there is no other buffer to
// bound. Buffers of `Connection.outputByteCount` hold whole Noise messages and are the fastest.

/// What a swarm wants of its shell.
public enum SwarmCommand: Equatable, Sendable {
    /// Connect a pipe. `Swarm.dialled` or `Swarm.dialFailed` is the answer; a `close` with the same id before it calls the dial off.
    case dial(ConnectionID, RawDial)
    /// There are bytes for this pipe: call `Swarm.fillOutput` as its socket takes them, until it gives 0. Comes again only after that.
    case send(ConnectionID)
    /// The swarm is done with this pipe and forgets it; whatever is said about it later is ignored.
    ///
    /// With `afterOutput`, what `fillOutput` still gives is sent first, within `SwarmLimits.lingerTimeout`; the pipe is forgotten
    /// once that gives 0. A second `close` without it means that the time is over.
    case close(ConnectionID, afterOutput: Bool)
}

/// A pipe to be connected.
public struct RawDial: Hashable, Sendable {
    /// `/ip4/…/tcp/…`, with `/ws` behind it for a WebSocket; without a peer id. A name (`/dns4`, `/dns6`, `/dns`, `/dnsaddr`) is for the
    /// shell to resolve.
    public let address: Multiaddr
    /// Who is expected there, which chooses among the entries of a `/dnsaddr`.
    public let peer: PeerID?
    /// The pipe leaves from the port on which we listen, so that the two sides of a NAT meet (DCUtR).
    public let fromListenPort: Bool
    /// How far whatever the address leads to must reach at least; `nil` where the owner of the node gave it. A name that a stranger told may
    /// lead into this machine or its own network, which shows only when it is looked up: the shell connects to nothing that is nearer.
    public let leastScope: AddressScope?

    public init(address: Multiaddr, peer: PeerID? = nil, fromListenPort: Bool = false, leastScope: AddressScope? = nil) {
        self.address = address
        self.peer = peer
        self.fromListenPort = fromListenPort
        self.leastScope = leastScope
    }
}

/// Why the shell could not connect a pipe.
public enum RawDialFailure: Error, Hashable, Sendable, CustomStringConvertible {
    case refused
    case unreachable
    case timedOut
    /// The name has no address.
    case nameNotFound(String)
    /// Others than the owner of the node told the address, and its name leads only to what is nearer than it says (``RawDial/leastScope``).
    case leadsNearby(String)
    /// The shell has no transport for the address.
    case noTransport
    /// The other end answered, and not in the transport's language: no WebSocket, for example.
    case transport(String)
    /// No socket was free: the process has as many descriptors as it may.
    case tooManyDescriptors
    /// Whatever else the system said.
    case system(String)

    public var description: String {
        switch self {
        case .refused: "nobody listens there"
        case .unreachable: "the network leads nowhere"
        case .timedOut: "no answer in time"
        case .nameNotFound(let name): "the name \(name) has no address"
        case .leadsNearby(let address): "\(address) was told by others, and leads into this machine or its own network"
        case .noTransport: "this kind of address cannot be dialled here"
        case .transport(let text), .system(let text): text
        case .tooManyDescriptors: "this process has as many open files as it may; raise its limit"
        }
    }
}
