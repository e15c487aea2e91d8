internal import LibP2P

/// What runs on a host of a simulated group.
enum NodeSigningProgram: SimulatedProgram {
    case member(SigningMember)
    case cheat(CheatingNode)
    case stranger(StrangerNode)
    case hub(HubNode)

    /// The machine of an honest member.
    var machine: ProtocolHandle<WatchedMachine>? { if case .member(let member) = self { member.machine } else { nil } }

    mutating func start(_ node: inout Node, now: Duration) {
        switch self {
        case .member(var member):
            member.start(&node, now: now)
            self = .member(member)
        case .cheat(var cheat):
            cheat.start(&node, now: now)
            self = .cheat(cheat)
        case .stranger(var stranger):
            stranger.start(&node, now: now)
            self = .stranger(stranger)
        case .hub(var hub):
            hub.start(&node, now: now)
            self = .hub(hub)
        }
    }

    mutating func handle(_ event: Node.Event, _ node: inout Node, now: Duration) {
        // What a machine is told is told with its own events; what is left is gossip.
        guard case .member(var member) = self, case .gossipsub = event else { return }
        member.handle(event, &node, now: now)
        self = .member(member)
    }

    mutating func takeEvents(_ node: inout Node, now: Duration) -> Bool {
        switch self {
        case .member(var member):
            defer { self = .member(member) }
            return member.takeEvents(&node, now: now)
        case .cheat(var cheat):
            defer { self = .cheat(cheat) }
            return cheat.takeEvents(&node, now: now)
        case .stranger, .hub: return false
        }
    }

    var deadline: Duration? {
        switch self {
        case .member(let member): member.deadline
        case .cheat(let cheat): cheat.deadline
        case .stranger(let stranger): stranger.deadline
        case .hub: nil
        }
    }

    mutating func tick(_ node: inout Node, now: Duration) {
        switch self {
        case .member(var member):
            member.tick(&node, now: now)
            self = .member(member)
        case .cheat(var cheat):
            cheat.tick(&node, now: now)
            self = .cheat(cheat)
        case .stranger(var stranger):
            stranger.tick(&node, now: now)
            self = .stranger(stranger)
        case .hub: break
        }
    }
}
