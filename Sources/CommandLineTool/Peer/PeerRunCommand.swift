import CryptoPrimitives
import LibP2P
import LibP2PPosix

#if canImport(Glibc)
internal import Glibc
#elseif canImport(Musl)
internal import Musl
#elseif canImport(Darwin)
internal import Darwin
#endif

/// `chorale peer run`: a node that a program drives, line by line.
enum PeerRunCommand {
    static let command = Command(
        "run", summary: "run a node that a program drives with lines of JSON",
        discussion: """
            Reads one command as a JSON object a line from standard input, and prints replies and events the same way, \
            "ready" with the node's id and addresses first. It ends with "quit", or with standard input. \
            Interop/README.md in Chorale's repository lists commands and events; peers of other libp2p implementations there \
            obey the same.

              {"id": 1, "cmd": "connect", "addr": "/ip4/127.0.0.1/tcp/4001/p2p/12D3KooW…"}
              {"id": 2, "cmd": "ping", "peer": "12D3KooW…", "count": 3}
            """,
        items: [
            .argument(PeerArguments.listen), .argument(PeerArguments.seed), .argument(Self.echo), .argument(Self.sink),
        ] + PeerRunOptions.items,
        examples: [
            Command.Example("a node on this machine, driven by hand", "chorale peer run"),
            Command.Example("one that keeps a hash table and sends messages on", "chorale peer run --dht server --topic news"),
        ]
    ) { (arguments, console) async throws(CommandError) in
        DescriptorLimit.raise()
        let node = try PeerByHand.node(PeerRunOptions.configuration(arguments), seed: arguments[PeerArguments.seed])
        let peer = DrivenPeer(node, DriverChannel(), republishing: arguments[PeerRunOptions.republish])
        do throws(CommandError) {
            try await Self.start(peer, arguments)
        } catch {
            await node.close()
            throw error
        }
        if FileDescriptor.standardInput.isTerminal { console.note("Type commands as JSON, one a line; Ctrl-D ends.") }
        await Self.obey(peer)
        await node.close()
        peer.channel.emit("bye")
        await peer.channel.flush()
    }

    // MARK: What it is told at its start

    private static let echo = Argument.repeated(
        "echo", "PROTOCOL", isRequired: false,
        help: "send everything back that comes under this protocol's name; may be given several times (default: /echo/1.0.0)",
        parse: PeerArguments.protocolID)
    private static let sink = Argument.repeated(
        "sink", "PROTOCOL", isRequired: false,
        help: "read a 64-bit length and that many bytes, and answer their count; may be given several times (default: /sink/1.0.0)",
        parse: PeerArguments.protocolID)

    private static func start(_ peer: DrivenPeer, _ arguments: Arguments) async throws(CommandError) {
        for name in arguments[Self.echo].or(["/echo/1.0.0"]) { await peer.services.serve(name, .echo, on: peer.node) }
        for name in arguments[Self.sink].or(["/sink/1.0.0"]) { await peer.services.serve(name, .sink, on: peer.node) }
        for address in arguments[PeerArguments.listen].or(PeerArguments.loopback) {
            do throws(ListenError) { try await peer.node.listen(on: address) } catch { throw PeerArguments.refusal(error, arguments) }
        }
        for topic in arguments[PeerRunOptions.topics] {
            do throws(NodeError) { try await peer.subscribe(to: topic) } catch {
                throw arguments.refused(.invalidValue(argument: "--topic", value: topic, reason: "\(error)"))
            }
        }
        peer.channel.emit(
            "ready",
            [
                "impl": .string("chorale"), "peer_id": .string(peer.node.id.description), "addrs": await peer.addresses(),
                "pid": .integer(Int(getpid())),
            ])
    }

    // MARK: What it is told later

    /// Until "quit", or until the input has ended and all commands are answered.
    private static func obey(_ peer: DrivenPeer) async {
        await withDiscardingTaskGroup { group in
            for await line in peer.channel.lines() {
                guard case .bytes(let bytes) = line else {
                    peer.channel.emit("error", ["error": .string("a line has more than \(DriverChannel.lineByteCountMax) bytes")])
                    break
                }
                do {
                    let command = try DriverCommand(parsing: bytes)
                    if command.name == "quit" {
                        group.cancelAll()
                        break
                    }
                    // Commands may wait for one another.
                    group.addTask { await peer.answer(command) }
                } catch {
                    peer.channel.emit("error", ["error": .string("\(error)")])
                }
            }
            // Ends what others wait for.
            if group.isCancelled { await peer.node.close() }
        }
    }
}

extension Array {
    /// The array, or what stands in for an empty one.
    func or(_ other: [Element]) -> [Element] { self.isEmpty ? other : self }
}
