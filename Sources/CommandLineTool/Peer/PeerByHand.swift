import CryptoPrimitives
import LibP2P
import LibP2PPosix

/// What the commands share that a person types: a node for as long as the command runs, and one peer that is asked.
enum PeerByHand {
    static let address = Argument.positional("ADDR", help: "the peer's address, e.g. /ip4/192.0.2.1/tcp/4001/p2p/12D3KooW…")

    /// A peer that was reached.
    struct Reached: Sendable {
        let node: PosixNode
        let connection: ConnectionInfo
        /// From the first attempt until the handshakes were over.
        let duration: Duration

        var peer: PeerID { self.connection.peer }
    }

    /// Makes a node that calls itself `chorale`.
    static func node(_ configuration: Node.Configuration, seed: [UInt8]? = nil) throws(CommandError) -> PosixNode {
        let identity = try PeerArguments.identity(seed: seed)
        do throws(SecretMemoryError) { return try PosixNode(identity, configuration: configuration) } catch { throw .failed("\(error)") }
    }

    /// Connects to the peer that the arguments name, has `work` done, and closes the node, whatever happened.
    static func reaching<Value: Sendable>(
        _ arguments: Arguments, _ work: @Sendable (Reached) async throws(NodeError) -> Value
    ) async throws(CommandError) -> Value {
        let target: (peer: PeerID, address: Multiaddr)
        do throws(InvalidText) { target = try PeerArguments.peerAddress(arguments[Self.address]) } catch {
            throw arguments.refused(.invalidValue(argument: "ADDR", value: arguments[Self.address], reason: error.reason))
        }
        var configuration = Node.Configuration.bare(agentVersion: PeerArguments.agentVersion)
        // The address may lead through a relay.
        configuration.relayClient = RelayClient.Configuration()
        configuration.limits.dialTimeout = .seconds(arguments[PeerArguments.timeLimit])
        let node = try Self.node(configuration)
        let result = await Self.result(node, target, work)
        await node.close()
        switch result {
        case .success(let value): return value
        case .failure(.dial(let error)):
            throw .missing("\(target.peer) cannot be reached: \("\(error)".printable): check the address, and that the peer runs")
        case .failure(let error): throw .failed("\(target.peer): \("\(error)".printable)")
        }
    }

    private static func result<Value: Sendable>(
        _ node: PosixNode, _ target: (peer: PeerID, address: Multiaddr), _ work: @Sendable (Reached) async throws(NodeError) -> Value
    ) async -> Result<Value, NodeError> {
        let start = ContinuousClock.now
        do throws(NodeError) {
            let connection = try await node.dial(target.peer, at: [target.address])
            return .success(try await work(Reached(node: node, connection: connection, duration: ContinuousClock.now - start)))
        } catch {
            return .failure(error)
        }
    }

    /// How two ends of a connection reach each other.
    static func way(_ connection: ConnectionInfo) -> String {
        connection.remoteAddress.isRelayed ? "through a relay" : "directly"
    }

    /// Milliseconds as people read them: `0.41 ms`.
    static func milliseconds(_ duration: Duration) -> String { "\(Amounts.decimals(duration.milliseconds, 2)) ms" }
}
