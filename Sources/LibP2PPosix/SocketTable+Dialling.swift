internal import CryptoPrimitives
internal import Dispatch
internal import LibP2P

#if canImport(Glibc)
internal import Glibc
#elseif canImport(Musl)
internal import Musl
#elseif canImport(Darwin)
internal import Darwin
#endif

/// A socket's address to try, and how.
struct DialTarget: Hashable, Sendable {
    let address: SocketAddress
    let isWebSocket: Bool
    /// For HTTP's `Host`.
    let hostText: String

    func reaches(_ leastScope: AddressScope?) -> Bool {
        guard let leastScope else { return true }
        guard let host = self.address.host, let scope = AddressScope(of: host.ip) else { return false }
        return scope >= leastScope
    }
}

/// A pipe that is being connected: its addresses are tried one after another.
struct Dial {
    let raw: RawDial
    var targets: ArraySlice<DialTarget> = []
    var lastFailure = RawDialFailure.noTransport
}

extension SocketTable {
    /// How long one address may take, with the WebSocket's handshake. A name with several needs time for more than the first.
    static let attemptTimeout = Duration.seconds(8)

    /// Addresses of one name that are tried.
    static let targetCountMax = 6

    func dial<Owner: PipeOwner & ~Copyable>(_ id: ConnectionID, _ raw: RawDial, _ owner: inout Owner) {
        guard !self.isStopped, let transport = TransportAddress(raw.address) else {
            return owner.dialFailed(id, .noTransport, now: self.now)
        }
        self.dials[id] = Dial(raw: raw)
        guard case .address(let host) = transport.host else {
            guard self.resolver.resolve(transport, for: raw.peer, id) else {
                self.dials[id] = nil
                return owner.dialFailed(id, .system("too many names wait to be resolved"), now: self.now)
            }
            return
        }
        let address = SocketAddress(host, port: transport.port)
        self.dials[id]?.targets = [DialTarget(address: address, isWebSocket: transport.isWebSocket, hostText: address.hostText)]
        self.tryNext(id, &owner)
    }

    func resolved<Owner: PipeOwner & ~Copyable>(_ id: ConnectionID, _ result: Result<[DialTarget], RawDialFailure>, _ owner: inout Owner) {
        self.resolver.finished()
        // Called off meanwhile.
        guard let dial = self.dials[id] else { return }
        switch result {
        case .failure(let failure):
            self.dials[id] = nil
            owner.dialFailed(id, failure, now: self.now)
        case .success(let found):
            let targets = found.filter { $0.reaches(dial.raw.leastScope) }
            if targets.isEmpty { self.dials[id]?.lastFailure = .leadsNearby(dial.raw.address.description) }
            self.dials[id]?.targets = targets.prefix(Self.targetCountMax)
            self.tryNext(id, &owner)
        }
    }

    private func tryNext<Owner: PipeOwner & ~Copyable>(_ id: ConnectionID, _ owner: inout Owner) {
        while var dial = self.dials[id] {
            guard let target = dial.targets.popFirst() else {
                self.dials[id] = nil
                return owner.dialFailed(id, dial.lastFailure, now: self.now)
            }
            self.dials[id] = dial
            do throws(SystemError) {
                return try self.begin(target, id, fromListenPort: dial.raw.fromListenPort, &owner)
            } catch {
                self.dials[id]?.lastFailure = error.asDialFailure
            }
        }
    }

    private func begin<Owner: PipeOwner & ~Copyable>(
        _ target: DialTarget, _ id: ConnectionID, fromListenPort: Bool, _ owner: inout Owner
    ) throws(SystemError) {
        let (descriptor, isConnected) = try self.connect(target, fromListenPort: fromListenPort)
        let pipe = Pipe(self.takeNumber(), id, descriptor: descriptor, isOutbound: true, state: .connecting)
        if target.isWebSocket {
            pipe.webSocket = WebSocketPipe(
                dialling: target.hostText, nonce: SystemRandom.bytes(count: 16),
                maskSeed: SystemRandom.bytes(count: 8).reduce(0) { $0 << 8 | UInt64($1) })
        }
        self.add(pipe)
        self.attemptDeadlines.append(pipe.number, at: self.now + Self.attemptTimeout)
        if isConnected {
            self.connectionDecided(pipe, &owner)
        } else {
            pipe.watchOutput(on: self.queue, self.notify)
        }
    }

    private func connect(_ target: DialTarget, fromListenPort: Bool) throws(SystemError) -> (descriptor: Int32, isConnected: Bool) {
        for local in fromListenPort ? self.listenPortAddresses(reaching: target) : [] {
            do throws(SystemError) {
                return try Self.connect(target, from: local)
            } catch {
                // The connection between just these two ports may be there already: where no NAT is in the way, the other side's dial may
                // come first. Both sides would then wait for the other one to begin, so the dial goes on from another port (as go-libp2p's
                // does). And an address that is gone, or has no way to the target, is no reason to give up.
                continue
            }
        }
        return try Self.connect(target, from: nil)
    }

    private static func connect(
        _ target: DialTarget, from local: SocketAddress?
    ) throws(SystemError) -> (descriptor: Int32, isConnected: Bool) {
        let descriptor = try System.makeStreamSocket(target.address.family)
        System.setNoDelay(descriptor)
        do throws(SystemError) {
            if let local {
                System.setSharesPort(descriptor)
                try System.bind(descriptor, to: local)
            }
            return (descriptor, try System.connect(descriptor, to: target.address))
        } catch {
            System.close(descriptor)
            throw error
        }
    }

    /// The addresses on which we listen with the same transport, for the two sides of a NAT to meet: those first that stand for all
    /// interfaces, since the system then takes the one that leads there; then those that reach as far as the target is away.
    func listenPortAddresses(reaching target: DialTarget) -> [SocketAddress] {
        func scope(_ address: SocketAddress) -> AddressScope? { address.host.flatMap { AddressScope(of: $0.ip) } }
        let wanted = scope(target.address)
        let fitting = self.listeners.values.sorted { $0.number.rawValue < $1.number.rawValue }
            .filter { $0.isWebSocket == target.isWebSocket && $0.address.family == target.address.family }.map { $0.address }
        // From loopback nothing leads out. A private address may well be behind a NAT that leads everywhere.
        return fitting.filter(\.isUnspecified)
            + fitting.filter { !$0.isUnspecified && (scope($0) == .loopback) == (wanted == .loopback) }
    }

    /// The system has connected the socket, or knows that it cannot.
    func connectionDecided<Owner: PipeOwner & ~Copyable>(_ pipe: Pipe, _ owner: inout Owner) {
        if let error = System.connectionError(pipe.descriptor) { return self.attemptFailed(pipe, error.asDialFailure, &owner) }
        // A port of loopback where nobody listens can be the one that the socket itself was given: it then connects to itself.
        let remote = System.remoteAddress(pipe.descriptor)
        if remote.host == nil || remote == System.localAddress(pipe.descriptor) { return self.attemptFailed(pipe, .refused, &owner) }
        pipe.watchInput(on: self.queue, self.notify)
        if pipe.webSocket == nil {
            pipe.state = .open
            self.dials[pipe.id] = nil
            owner.dialled(pipe.id, now: self.now)
        } else {
            pipe.state = .upgrading
            self.markDirty(pipe)
        }
    }

    func attemptFailed<Owner: PipeOwner & ~Copyable>(_ pipe: Pipe, _ failure: RawDialFailure, _ owner: inout Owner) {
        self.destroy(pipe)
        self.dials[pipe.id]?.lastFailure = failure
        self.tryNext(pipe.id, &owner)
    }
}
