internal import Dispatch
public import LibP2P

#if canImport(Glibc)
internal import Glibc
#elseif canImport(Musl)
internal import Musl
#elseif canImport(Darwin)
internal import Darwin
#endif

extension SocketTable {
    /// Listens on an address: an interface's, or all of one family's (`/ip4/0.0.0.0/…`, `/ip6/::/…`), port 0 for any free one.
    ///
    /// - Returns: the addresses on which others reach it.
    func listen(on address: Multiaddr) throws(ListenError) -> [Multiaddr] {
        guard !self.isStopped, let transport = TransportAddress(address), case .address(let host) = transport.host else {
            throw .cannotListen(address)
        }
        if self.reserve == nil { self.reserve = System.openReserve() }
        do throws(SystemError) {
            let descriptor = try Self.listeningSocket(SocketAddress(host, port: transport.port))
            let listener = Listener(
                self.takeNumber(), descriptor: descriptor, address: System.localAddress(descriptor), isWebSocket: transport.isWebSocket,
                on: self.queue, self.notify)
            self.listeners[listener.number] = listener
            return listener.addresses
        } catch {
            throw .system(address, error.description, isAddressInUse: error.isAddressInUse)
        }
    }

    /// Where others reach this node, as its interfaces are now.
    var listenAddresses: [Multiaddr] {
        self.listeners.values.sorted { $0.number.rawValue < $1.number.rawValue }.flatMap { $0.addresses }
    }

    private static func listeningSocket(_ address: SocketAddress) throws(SystemError) -> Int32 {
        // The shared port, which dials from it need, would also let a second node listen on it, and each get half of the connections.
        // So the port is first asked for without sharing.
        if address.port != 0 { System.close(try Self.boundSocket(address, isShared: false)) }
        let descriptor = try Self.boundSocket(address, isShared: true)
        do throws(SystemError) {
            try System.listen(descriptor, backlog: Self.backlog)
        } catch {
            System.close(descriptor)
            throw error
        }
        return descriptor
    }

    private static func boundSocket(_ address: SocketAddress, isShared: Bool) throws(SystemError) -> Int32 {
        let descriptor = try System.makeStreamSocket(address.family)
        if isShared { System.setSharesPort(descriptor) } else { System.set(SO_REUSEADDR, of: descriptor) }
        // Else `::` would take the port of IPv4 as well, and its peers would seem to come from IPv6.
        if address.family == AF_INET6 { System.setOnlyIPv6(descriptor) }
        do throws(SystemError) {
            try System.bind(descriptor, to: address)
        } catch {
            System.close(descriptor)
            throw error
        }
        return descriptor
    }

    // MARK: Accepting

    func accept<Owner: PipeOwner & ~Copyable>(on listener: Listener, _ owner: inout Owner) {
        for _ in 0..<Self.acceptCountMax {
            do throws(SystemError) {
                let (descriptor, from) = try System.accept(listener.descriptor)
                self.accepted(descriptor, from: from, on: listener, &owner)
            } catch {
                if error.isInterrupted || error.isAboutOneConnection { continue }
                if error.isWouldBlock { return }
                if error.isOutOfDescriptors, self.refuseOne(on: listener, &owner) { continue }
                return self.pauseAccepting()
            }
        }
    }

    private func accepted<Owner: PipeOwner & ~Copyable>(
        _ descriptor: Int32, from address: SocketAddress, on listener: Listener, _ owner: inout Owner
    ) {
        let remote = address.multiaddr(isWebSocket: listener.isWebSocket)
        guard address.host != nil, let id = owner.accepted(from: remote, now: self.now) else { return System.close(descriptor) }
        System.setNoDelay(descriptor)
        let pipe = Pipe(
            self.takeNumber(), id, descriptor: descriptor, isOutbound: false, state: listener.isWebSocket ? .upgrading : .open)
        if listener.isWebSocket { pipe.webSocket = WebSocketPipe() }
        self.add(pipe)
        pipe.watchInput(on: self.queue, self.notify)
    }

    func add(_ pipe: Pipe) {
        self.pipes[pipe.number] = pipe
        self.numbers[pipe.id] = pipe.number
    }

    /// Takes a connection with the descriptor kept for it and closes it, so that its peer knows, and the loop does not turn for ever
    /// around a connection that nobody can take.
    private func refuseOne<Owner: PipeOwner & ~Copyable>(on listener: Listener, _ owner: inout Owner) -> Bool {
        guard let reserve = self.reserve.take() else { return false }
        System.close(reserve)
        defer { self.reserve = System.openReserve() }
        guard let accepted = try? System.accept(listener.descriptor) else { return false }
        System.close(accepted.descriptor)
        owner.refused(.noDescriptors, from: accepted.from.multiaddr(isWebSocket: listener.isWebSocket), now: self.now)
        return true
    }

    private func pauseAccepting() {
        self.acceptRetryAt = self.now + Self.acceptPause
        for listener in self.listeners.values { listener.pause() }
    }
}

extension Listener {
    /// The addresses on which others reach it, as the interfaces are now.
    var addresses: [Multiaddr] { self.address.expanded.map { $0.multiaddr(isWebSocket: self.isWebSocket) } }
}

/// Why a node cannot listen on an address.
public enum ListenError: Error, Equatable, Sendable, CustomStringConvertible {
    /// Only IP addresses of this machine with TCP, and `/ws` behind it or not, can be listened on; and only while the node is open.
    case cannotListen(Multiaddr)
    case system(Multiaddr, String, isAddressInUse: Bool)

    public var description: String {
        switch self {
        case .cannotListen(let address): "\(address): listen on /ip4/…/tcp/… or /ip6/…/tcp/…, with /ws behind it for WebSockets"
        case .system(let address, let text, _): "\(address): \(text)"
        }
    }
}
