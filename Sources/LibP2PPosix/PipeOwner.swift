internal import LibP2P

/// What sockets carry bytes for: a swarm. The requirements are those that SwarmShell.swift explains.
protocol PipeOwner: ~Copyable {
    mutating func dialled(_ id: ConnectionID, now: Duration)
    mutating func dialFailed(_ id: ConnectionID, _ failure: RawDialFailure, now: Duration)
    mutating func accepted(from address: Multiaddr, now: Duration) -> ConnectionID?
    mutating func receive(_ bytes: UnsafeMutableRawBufferPointer, from id: ConnectionID, now: Duration)
    mutating func refused(_ refusal: SwarmRefusal, from address: Multiaddr, now: Duration)
    mutating func endOfInput(_ id: ConnectionID, violation: WebSocketError?, now: Duration)
    mutating func fillOutput(of id: ConnectionID, into buffer: UnsafeMutableRawBufferPointer, now: Duration) -> Int
    mutating func tick(now: Duration)
    var deadline: Duration? { get }
    mutating func nextCommand() -> SwarmCommand?
}

extension Swarm: PipeOwner {}
