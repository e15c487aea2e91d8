import CryptoPrimitives
import LibP2P
import LibP2PPosix

/// What the commands of `chorale peer` take.
enum PeerArguments {
    static let listen = Argument.repeated(
        "listen", "ADDR", isRequired: false,
        help: "listen on this address, e.g. /ip4/0.0.0.0/tcp/4001 or /ip4/0.0.0.0/tcp/4002/ws; port 0 takes any free one; may be given "
            + "several times (default: /ip4/127.0.0.1/tcp/0)",
        parse: Self.multiaddr)

    static let seed = Argument.optional(
        "seed", "HEX", help: "64 hex digits that the identity is made from, for tests: whoever knows them is this peer (default: drawn)",
        parse: Self.seedBytes)

    static let timeLimit = Argument.option(
        "time-limit", "SECONDS", default: 15, help: "give up after so long", parse: Parsing.integer(1...3_600))

    /// What nodes of this tool call themselves.
    static let agentVersion = "chorale/\(CommandLineTool.version)"

    /// Where nothing is said: this machine only.
    static let loopback = (try? Multiaddr(text: "/ip4/127.0.0.1/tcp/0")).map { [$0] } ?? []

    /// An address of a kind that no node here can listen on is a slip of the command line; what the system refuses is not.
    static func refusal(_ error: ListenError, _ arguments: Arguments) -> CommandError {
        switch error {
        case .cannotListen(let address):
            arguments.refused(
                .invalidValue(
                    argument: self.listen.declaration.name, value: "\(address)",
                    reason: "it must be /ip4/…/tcp/… or /ip6/…/tcp/…, with /ws behind it for WebSockets"))
        case .system(let address, _, isAddressInUse: true):
            .failed(
                "another program, or another node, listens on \(address) already: end that one, or choose another port with "
                    + "\(self.listen.declaration.name) (0 takes any free one)".printable)
        case .system(let address, let reason, isAddressInUse: false):
            .failed(
                "nothing can listen on \(address): \(reason). Choose an address of this machine with \(self.listen.declaration.name), or all "
                    + "of them: /ip4/0.0.0.0/tcp/4001".printable)
        }
    }

    static let multiaddr: TextParser<Multiaddr> = { (text) throws(InvalidText) in
        do throws(MultiaddrError) { return try Multiaddr(text: text) } catch { throw InvalidText("\(error)") }
    }

    /// An address that names the peer who is expected there.
    static let peerAddress: TextParser<(peer: PeerID, address: Multiaddr)> = { (text) throws(InvalidText) in
        let address = try Self.multiaddr(text)
        guard let peer = address.peerID else {
            throw InvalidText("it must end in /p2p/ and the id of the peer, e.g. /ip4/192.0.2.1/tcp/4001/p2p/12D3KooW…")
        }
        return (peer, address)
    }

    /// What a protocol may be called, as far as multistream-select can carry it.
    static let protocolID: TextParser<String> = { (text) throws(InvalidText) in
        // A line holds a newline, too.
        let byteCounts = 1..<Multistream.lineByteCountMax
        guard byteCounts.contains(text.utf8.count), !text.utf8.contains(0x0a) else {
            throw InvalidText("a protocol's name has \(byteCounts.lowerBound) to \(byteCounts.upperBound - 1) bytes, e.g. /echo/1.0.0")
        }
        return text
    }

    private static let seedBytes: TextParser<[UInt8]> = { (text) throws(InvalidText) in
        do throws(HexError) {
            let bytes = try Hex.decode(text)
            if bytes.count == Ed25519.SecretKey.seedByteCount { return bytes }
        } catch {}
        throw InvalidText("it must be 64 hex digits")
    }

    /// A new identity, or that of a seed.
    static func identity(seed: [UInt8]? = nil) throws(CommandError) -> PeerIdentity {
        guard let seed else {
            do throws(SecretMemoryError) { return PeerIdentity(try Ed25519.SecretKey.generate()) } catch { throw .failed("\(error)") }
        }
        do {
            return PeerIdentity(try Ed25519.SecretKey(seed: SecretBytes(count: seed.count) { $0.copyBytes(from: seed) }))
        } catch { throw .failed("\(error)") }
    }
}
