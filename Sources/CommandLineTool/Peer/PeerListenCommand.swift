import LibP2P
import LibP2PPosix

#if canImport(Glibc)
internal import Glibc
#elseif canImport(Musl)
internal import Musl
#elseif canImport(Darwin)
internal import Darwin
#endif

/// `chorale peer listen`: be there for others, and tell what they do.
enum PeerListenCommand {
    static let command = Command(
        "listen", summary: "be a peer that others can reach, and tell who comes and goes",
        discussion: """
            Prints its addresses, one a line, and then what happens, until Ctrl-C. It answers ping and identify, and sends back \
            what comes under /echo/1.0.0. With --json each line is an object with "event" in it; the first is "listening".

            With --mdns it also asks the networks of this machine for peers, and says which are found; nobody is dialled. On each network \
            the addresses are told that it has there, so give one to listen on that others can reach.
            """,
        items: [
            .argument(PeerArguments.listen), .argument(.mdns), .argument(.interface), .argument(PeerArguments.seed), .argument(.jsonLines),
        ],
        examples: [
            Command.Example("to be reached on this machine", "chorale peer listen"),
            Command.Example("to be reached from everywhere", "chorale peer listen --listen /ip4/0.0.0.0/tcp/4001"),
            Command.Example("to be found by whoever is near by", "chorale peer listen --listen /ip4/0.0.0.0/tcp/0 --mdns"),
        ]
    ) { (arguments, console) async throws(CommandError) in
        guard arguments[.mdns] || arguments[.interface].isEmpty else {
            throw arguments.refused(.inconsistent("--mdns-interface belongs to --mdns: add it"))
        }
        DescriptorLimit.raise()
        let node = try PeerByHand.node(.bare(agentVersion: PeerArguments.agentVersion), seed: arguments[PeerArguments.seed])
        let result: Result<Void, CommandError>
        do throws(CommandError) { result = .success(try await Self.serve(node, arguments, console)) } catch { result = .failure(error) }
        await node.close()
        try result.get()
    }

    private static func serve(_ node: PosixNode, _ arguments: Arguments, _ console: Console) async throws(CommandError) {
        let teller = Teller(console: console, isJSON: arguments[.jsonLines])
        let events = await node.events()
        await node.serve("/echo/1.0.0") { stream in
            do throws(NodeStreamError) {
                while let chunk = try await stream.read() { try await stream.write(chunk) }
                stream.closeWrite()
            } catch { stream.reset() }
        }
        for address in arguments[PeerArguments.listen].or(PeerArguments.loopback) {
            do throws(ListenError) { try await node.listen(on: address) } catch { throw PeerArguments.refusal(error, arguments) }
        }
        try teller.tellStart(node.id, await node.listenAddresses)
        let found = await Self.discover(node, arguments)
        try await Interruption.deferring { () async throws(CommandError) in
            try await Self.tell(events, found, teller)
        }
    }

    /// Asks the networks for peers if that is wanted.
    private static func discover(_ node: PosixNode, _ arguments: Arguments) async -> AsyncStream<LocalDiscovery.Event>? {
        guard arguments[.mdns] else { return nil }
        var configuration = LocalDiscovery.Configuration()
        let interfaces = arguments[.interface]
        if !interfaces.isEmpty { configuration.interfaces = Set(interfaces) }
        return await node.discoverLocalPeers(configuration)
    }

    /// Until somebody asks to stop.
    private static func tell(
        _ events: AsyncStream<Node.Event>, _ found: AsyncStream<LocalDiscovery.Event>?, _ teller: Teller
    ) async throws(CommandError) {
        let error = await withTaskGroup(of: CommandError?.self) { group in
            group.addTask {
                do throws(CommandError) {
                    for await event in events { try teller.tell(event) }
                    return nil
                } catch { return error }
            }
            if let found { group.addTask { await Self.tell(found, teller) } }
            group.addTask {
                await Interruption.wait()
                return nil
            }
            // Whichever is over first ends the others.
            let error = await group.next() ?? nil
            group.cancelAll()
            return error
        }
        if let error { throw error }
    }

    private static func tell(_ found: AsyncStream<LocalDiscovery.Event>, _ teller: Teller) async -> CommandError? {
        // What is only confirmed is not told again.
        var known: [PeerID: [Multiaddr]] = [:]
        do throws(CommandError) {
            for await event in found {
                switch event {
                case .discovered(let peer, let addresses): if known.updateValue(addresses, forKey: peer) == addresses { continue }
                case .expired(let peer): known[peer] = nil
                case .failed: break
                }
                try teller.tell(event)
            }
            return nil
        } catch { return error }
    }
}

// MARK: - What is told

extension PeerListenCommand {
    private struct Teller: Sendable {
        let console: Console
        let isJSON: Bool

        func tellStart(_ id: PeerID, _ addresses: [Multiaddr]) throws(CommandError) {
            let texts = addresses.map { $0.appending(.p2p(id)).description }
            if self.isJSON {
                try self.console.print(
                    .object([
                        "event": .string("listening"), "peer_id": .string(id.description), "addrs": .array(texts.map(JSONValue.string)),
                    ]))
            } else {
                try self.console.print(texts)
                self.console.note("Ctrl-C ends.")
            }
        }

        func tell(_ event: Node.Event) throws(CommandError) {
            switch event {
            case .swarm(.connected(let info)):
                try self.say("connected", info.peer, "from \(info.remoteAddress)", [("address", .string(info.remoteAddress.description))])
            case .swarm(.disconnected(let info, let error)):
                try self.say("disconnected", info.peer, "\(error)", [("reason", .string("\(error)"))])
            case .identify(.identified(let found, _)) where !found.isPush:
                let agent = found.agentVersion ?? ""
                try self.say("identified", found.peer, "as \(agent)", [("agent", .string(agent))])
            case .swarm(.handshakeFailed(let address, let error)):
                try self.say("refused", nil, "\(address): \(error)", [("address", .string("\(address)")), ("reason", .string("\(error)"))])
            default: return
            }
        }

        func tell(_ event: LocalDiscovery.Event) throws(CommandError) {
            switch event {
            case .discovered(let peer, let addresses):
                let texts = addresses.map(\.description)
                try self.say("discovered", peer, "at \(texts.joined(separator: " "))", [("addrs", .array(texts.map(JSONValue.string)))])
            case .expired(let peer): try self.say("expired", peer, "nobody says any more that it is there", [])
            case .failed(let interface, _, let reason):
                try self.say(
                    "failed", nil, "\(interface): \(reason)", [("interface", .string(interface)), ("reason", .string(reason))])
            }
        }

        private func say(
            _ event: String, _ peer: PeerID?, _ words: String, _ members: [(name: String, value: JSONValue)]
        ) throws(CommandError) {
            if self.isJSON {
                var all: [(name: String, value: JSONValue)] = [("event", .string(event))]
                if let peer { all.append(("peer_id", .string(peer.description))) }
                try self.console.print(.object(all + members))
            } else {
                try self.console.print("\(event.padded(to: 12)) \(peer.map { "\($0) " } ?? "")\(words.printable)")
            }
        }
    }
}

extension Argument where Value == Bool {
    /// `--json` of a command that goes on and on.
    static let jsonLines = Argument.flag("json", help: "print one JSON object a line for each thing that happens")

    fileprivate static let mdns = Argument.flag(
        "mdns", help: "find peers on this machine's networks by multicast DNS, and be found: everybody there hears of this peer")
}

extension Argument where Value == [String] {
    fileprivate static let interface = Argument.repeated(
        "mdns-interface", "NAME", isRequired: false,
        help: "with --mdns: use only this network interface, e.g. eth0; may be given several times (default: all but loopback)",
        parse: { (text) throws(InvalidText) in
            // One that is there and down may come up.
            guard if_nametoindex(text) != 0 else { throw InvalidText("there is no network interface of this name; ip link lists them") }
            return text
        })
}
