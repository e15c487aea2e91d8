import Bitcoin
import CryptoPrimitives
import LibP2P
import LibP2PPosix
import Secp256k1
import SessionStore
import Signing
import SigningNode

#if canImport(Glibc)
internal import Glibc
#elseif canImport(Musl)
internal import Musl
#elseif canImport(Darwin)
internal import Darwin
#endif

/// `chorale node run`: a signer's node, until somebody asks it to stop.
enum NodeRunCommand {
    private static let key = Argument.optional(
        "key", "FILE", help: "the key file (default: \"node.key\" in the node's folder)", parse: Parsing.path)
    private static let network = Argument.optional(
        "network", "NET", help: "the network that it signs for, where it is not the one the key file was made for", parse: Parsing.network)
    private static let listen = Argument.repeated(
        "listen", "ADDR", isRequired: false,
        help: "listen on this address, e.g. /ip4/0.0.0.0/tcp/4001; a fixed port lets others find the node again after a restart; may be "
            + "given several times (default: /ip4/0.0.0.0/tcp/0, which takes any free port)",
        parse: PeerArguments.multiaddr)
    private static let announce = Argument.repeated(
        "announce", "ADDR", isRequired: false,
        help: "tell others this address, too: a router's that passes a port on; may be given several times", parse: PeerArguments.multiaddr)
    private static let bootstrap = Argument.repeated(
        "bootstrap", "ADDR", isRequired: false,
        help: "dial this peer at the start, and find others through it: /ip4/192.0.2.1/tcp/4001/p2p/12D3KooW…; may be given several times",
        parse: Self.bootstrapAddress)

    private static let mailbox = Argument.repeated(
        "mailbox", "ADDR", isRequired: false,
        help: "have others leave messages for this node at that one, which serves a mailbox and knows this node as a contact or a group's "
            + "member; contacts and invitations tell of it; may be given several times",
        parse: Self.bootstrapAddress)
    private static let serveMailbox = Argument.flag(
        "serve-mailbox",
        help: "keep messages for the members of this node's groups and for its contacts while they are away; it cannot read them")
    private static let relay = Argument.repeated(
        "relay", "ADDR", isRequired: false,
        help: "be reached through this node, which is a relay, where nobody can dial this one; may be given several times",
        parse: Self.bootstrapAddress)
    private static let serveRelay = Argument.flag(
        "serve-relay", help: "be a relay, through which others reach nodes that nobody can dial; for anybody, within limits")
    private static let noncePool = Argument.option(
        "nonce-pool", "N", default: 0,
        help: "give every connected member of a group N nonces ahead, so that a request of theirs takes one round trip less",
        parse: Parsing.integer(0...NoncePool.countMax))
    private static let noListen = Argument.flag(
        "no-listen", help: "listen nowhere: others reach this node through relays and mailboxes, or when it has dialled them")
    private static let discover = Argument.flag(
        "discover",
        help: "take part in the gossip about requests and signers: members that do not know each other's address find each other, and "
            + "chorale signers can be used; strangers learn that this node is there")

    static let command = Command(
        "run", summary: "run the node, until Ctrl-C",
        discussion: """
            Unlocks the key file, goes on with what the last run left, and tells its peer id, its addresses and then what happens. \
            Commands in other terminals speak to it (chorale contact, group, request, explain).

            Leave it running while something is being signed: secret nonces live only in this process. If it ends all the same, nothing \
            is lost but an attempt. Who is never connected when others are may sign all the same, by way of a mailbox (--mailbox): a third \
            node that somebody runs with --serve-mailbox. With --json each line is an object with "event" in it; the first is "ready".
            """,
        items: [
            NodeHome.item, .argument(key), .argument(network), .argument(listen), .argument(announce), .argument(bootstrap),
            .argument(mailbox), .argument(serveMailbox), .argument(relay), .argument(serveRelay), .argument(noListen), .argument(noncePool),
            .argument(discover),
        ] + Passphrase.items + [.argument(.jsonLines)],
        examples: [
            Command.Example("to be reached by others", "chorale node run --listen /ip4/0.0.0.0/tcp/4001"),
            Command.Example(
                "to keep messages for contacts that are away", "chorale node run --listen /ip4/0.0.0.0/tcp/4001 --serve-mailbox"),
            Command.Example(
                "in a script, with a node that is known already",
                "chorale node run --home /srv/chorale --passphrase-fd 3 3<passphrase.txt \\\n    --bootstrap "
                    + "/ip4/192.0.2.1/tcp/4001/p2p/12D3KooWRawPbxPtP1eZaJpumGnyWX2DcUyd3RQnydr3eAto4Az7"),
        ]
    ) { (arguments, console) async throws(CommandError) in
        ProcessHardening.forbidCoreDumps()
        DescriptorLimit.raise()
        guard !arguments[Self.noListen] || arguments[Self.listen].isEmpty else {
            throw arguments.refused(.inconsistent("--listen says where, and --no-listen nowhere: leave one of them out"))
        }
        let home = try NodeHome(by: arguments)
        // Where there is no key there is no node, and nothing is left behind that looks like one.
        if Files.exists(home.path) { try home.check() }
        let file = try Self.keyFile(home, arguments, console)
        try home.create()
        // Before the passphrase is asked for: where another node runs there is nothing to unlock.
        let database: SessionDatabase
        do throws(StoreError) { database = try await SessionDatabase.open(home.database) } catch .heldByAnotherProcess {
            throw .failed(
                "a node runs in \(home.path.printable) already, and has its chorale.db: commands reach it (chorale node show"
                    + "\(home.option(of: arguments))), or end it first")
        } catch { throw .failed("\(error)".printable) }
        let result: Result<Void, CommandError>
        do throws(CommandError) {
            result = .success(try await Self.run(home, file, database, arguments, console))
        } catch { result = .failure(error) }
        await database.close()
        try result.get()
    }

    private static func keyFile(_ home: NodeHome, _ arguments: Arguments, _ console: Console) throws(CommandError) -> KeyFile {
        let path = arguments[Self.key] ?? home.keyFile
        let file: KeyFile
        do throws(KeyFileError) { file = try KeyFile(readingFrom: path) } catch {
            guard case .file(.notFound) = error else { throw KeyCommands.failure(error) }
            let folder = arguments[Self.key] == nil && !Files.exists(home.path) ? "mkdir -m 700 \(home.path.shellWord), and " : ""
            throw .missing(
                "there is no key file \(path.printable): make one with: \(folder)chorale key new --network NET --out \(path.shellWord); "
                    + "or name yours with --key FILE")
        }
        if file.letsOthersIn {
            console.note("\(console.errorStyle.yellow("Careful:")) others may read or change \(file.path.printable): chmod 600 it.")
        }
        if let network = arguments[Self.network], network != file.header.network {
            console.note(
                "\(console.errorStyle.yellow("Careful:")) \(file.path.printable) was made for \(file.header.network), and --network says "
                    + "\(network).")
        }
        return file
    }

    /// In a function of its own, so that the passphrase and the unlocked file are wiped when the node begins.
    private static func keys(_ file: KeyFile, _ arguments: Arguments) throws(CommandError) -> SignerKeys {
        let unlocked = try KeyCommands.unlock(file, by: arguments)
        let (version, expiry) = (unlocked.version, unlocked.expiry)
        try KeyEnrolCommand.checkExpiry(of: file, expiry)
        do throws(SecretKeyError) {
            return try SignerKeys(
                key: unlocked.key, identity: PeerIdentity(unlocked.identity), network: arguments[Self.network] ?? file.header.network,
                version: version, expiry: expiry)
        } catch { throw .failed("\(error)") }
    }

    private static let bootstrapAddress: TextParser<Multiaddr> = { (text) throws(InvalidText) in try PeerArguments.peerAddress(text).address
    }

    // MARK: - Running

    private static func run(
        _ home: NodeHome, _ file: KeyFile, _ database: SessionDatabase, _ arguments: Arguments, _ console: Console
    ) async throws(CommandError) {
        let keys = try Self.keys(file, arguments)
        var configuration = SigningNode.Configuration()
        configuration.listenAddresses = arguments[Self.noListen] ? [] : arguments[Self.listen].or(Self.anywhere)
        configuration.bootstrap = arguments[Self.bootstrap]
        configuration.discovery.isOn = arguments[Self.discover]
        configuration.node = Node.Configuration(agentVersion: PeerArguments.agentVersion, addresses: arguments[Self.announce])
        if arguments[Self.serveRelay] {
            var relay = RelayServer.Configuration()
            relay.circuitsPerPeerMax = Self.circuitsPerPeerMax
            configuration.node.relayServer = relay
        }
        configuration.relays = arguments[Self.relay]
        configuration.machine.mailboxes.own = arguments[Self.mailbox]
        configuration.machine.mailboxes.serves = arguments[Self.serveMailbox]
        configuration.machine.noncePoolCount = arguments[Self.noncePool]
        let node: SigningNode
        do throws(SecretMemoryError) { node = try SigningNode(keys, database: database, configuration: configuration) } catch {
            throw .failed("\(error)")
        }
        let host = GroupHost(node, folder: home.groups)
        let service = NodeService(node: node, host: host, database: database, label: file.header.label)
        let server = ControlServer(at: home.socket) { request, reply async throws(ControlError) in
            try await service.answer(request, reply)
        }
        let result: Result<Void, CommandError>
        do throws(CommandError) {
            result = .success(try await Self.serve(service, server, home, arguments, console))
        } catch { result = .failure(error) }
        await server.stop()
        await host.stop()
        await node.stop()
        try result.get()
    }

    /// Most circuits of one peer at a time, where this node is a relay: a member that nobody can dial has one to each other member of its
    /// group, and groups have fifteen by default (go-libp2p: 16).
    private static let circuitsPerPeerMax = 16

    /// Where nothing is said: all of this machine's addresses.
    private static let anywhere = (try? Multiaddr(text: "/ip4/0.0.0.0/tcp/0")).map { [$0] } ?? []

    private static func serve(
        _ service: NodeService, _ server: ControlServer, _ home: NodeHome, _ arguments: Arguments, _ console: Console
    ) async throws(CommandError) {
        let complete: Set<Bytes32>
        do throws(SigningNodeError) {
            try await service.node.start()
            complete = Set(try await service.node.requests.filter { $0.state == .complete }.map(\.id))
        } catch .listen(let error) {
            throw PeerArguments.refusal(error, arguments)
        } catch { throw .failed("\(error)".printable) }
        let teller = Teller(service: service, console: console, isJSON: arguments[.jsonLines], completeBefore: complete)
        let damaged: [(path: String, reason: String)]
        do throws(GroupHostError) { damaged = try await service.host.start() } catch { throw .failed("\(error)".printable) }
        for (path, reason) in damaged {
            console.note("\(console.errorStyle.yellow("Careful:")) \(path.printable) is passed over: \(reason.printable)")
        }
        let events = await service.node.events()
        try await server.start()
        try await teller.tellStart(home)
        try await Interruption.deferring { () async throws(CommandError) in try await Self.tell(events, teller) }
    }

    /// Until somebody asks to stop.
    private static func tell(
        _ events: AsyncStream<(cursor: UInt64, event: SigningNodeEvent)>, _ teller: Teller
    ) async throws(CommandError) {
        let error = await withTaskGroup(of: CommandError?.self) { group in
            group.addTask {
                do throws(CommandError) {
                    for await (cursor, event) in events { try await teller.tell(event, cursor) }
                    return nil
                } catch { return error }
            }
            group.addTask {
                await Interruption.wait()
                return nil
            }
            let error = await group.next() ?? nil
            group.cancelAll()
            return error
        }
        if let error { throw error }
    }

    // MARK: - What is told

    private struct Teller: Sendable {
        let service: NodeService
        let console: Console
        let isJSON: Bool
        /// The requests that a former process completed.
        let completeBefore: Set<Bytes32>

        func tellStart(_ home: NodeHome) async throws(CommandError) {
            let node = self.service.node
            let addresses = await node.addresses.map(\.description)
            let groups = try await self.groups()
            guard !self.isJSON else {
                return try self.console.print(
                    .object([
                        "event": .string("ready"), "peer_id": .string("\(node.id)"), "public_key": .string("\(node.signer)"),
                        "network": .string(self.service.network.rawValue), "addresses": .array(addresses.map(JSONValue.string)),
                        "home": .string(home.path), "pid": .integer(Int(getpid())),
                        "groups": .array(groups.map { .string($0.shown("name")) }),
                    ]))
            }
            var report = Report(style: self.console.style)
            report.heading("Node\(self.service.label.map { " of \($0.printable)" } ?? "") on \(self.service.network)")
            report.field("peer id", "\(node.id)", indent: 2, width: 10)
            report.field("public key", "\(node.signer)", indent: 2, width: 10)
            report.field("addresses", addresses, indent: 2, width: 10)
            report.field("home", home.path.printable, indent: 2, width: 10)
            report.field(
                "groups", groups.isEmpty ? ["none yet: chorale group invite, chorale group join"] : groups.map(Self.line), indent: 2,
                width: 10)
            try self.console.print(report.lines)
            self.console.note("Ctrl-C ends it.")
        }

        /// What it takes part in, and what is being made.
        private func groups() async throws(CommandError) -> [JSONValue] {
            do throws(ControlError) { return try await self.service.groups() } catch { throw error.asCommandError }
        }

        private static func line(_ group: JSONValue) -> String {
            let shape = "\(group["threshold"]?.asInteger ?? 0)-of-\(group["member_count"]?.asInteger ?? 0)"
            let standing = group.shown("state") == "made" ? "" : ", being made"
            return "\(group.shown("name")), \(shape)\(standing)"
        }

        func tell(_ event: SigningNodeEvent, _ cursor: UInt64) async throws(CommandError) {
            let report = await self.service.report(event)
            guard !self.isJSON else { return try self.console.print(report.json(cursor: cursor)) }
            guard report.isNews(completeBefore: self.completeBefore) else { return }
            let names: SignerNames
            do throws(ControlError) { names = try await self.service.names(of: report.signers) } catch { names = SignerNames() }
            try self.console.print(report.text(names))
        }
    }
}
