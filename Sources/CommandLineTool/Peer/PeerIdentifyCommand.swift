import CryptoPrimitives
import LibP2P
import LibP2PPosix

/// `chorale peer identify`: what does a peer say of itself?
enum PeerIdentifyCommand {
    static let command = Command(
        "identify", summary: "ask a peer what it is, what it speaks and where it can be reached",
        discussion: """
            Its key is proved by the connection, and its addresses by the record that it signs where it has one. Name and version \
            are its own words.
            """,
        items: [.argument(PeerByHand.address), .argument(PeerArguments.timeLimit), .argument(.json)],
        examples: [
            Command.Example(
                "what does it speak?",
                "chorale peer identify /ip4/127.0.0.1/tcp/4001/p2p/12D3KooW…")
        ]
    ) { (arguments, console) async throws(CommandError) in
        let found = try await PeerByHand.reaching(arguments) { reached async throws(NodeError) in
            try await reached.node.identify(reached.peer)
        }
        guard !arguments[.json] else { return try console.print(.object(Self.members(of: found))) }
        let width = 9
        var report = Report(style: console.style)
        report.heading("\(found.peer)")
        report.field("agent", (found.agentVersion ?? "").printable, indent: 2, width: width)
        if let version = found.protocolVersion, !version.isEmpty {
            report.field("version", version.printable, indent: 2, width: width)
        }
        report.field("sees us", found.observedAddress?.description ?? "it does not tell", indent: 2, width: width)
        let addresses = found.record?.addresses ?? found.listenAddresses ?? []
        let heading = found.record == nil ? "addresses" : "addresses, signed"
        report.heading("\(addresses.isEmpty ? "No " : "")\(heading)")
        for address in addresses { report.line(address.description, indent: 2) }
        report.heading("Protocols")
        for name in (found.protocols ?? []).sorted() { report.line(name.printable, indent: 2) }
        try console.print(report.lines)
    }

    /// What is known of the peer, as the members of a JSON object; the names are those of the contract with drivers.
    static func members(of found: IdentifiedPeer) -> [(name: String, value: JSONValue)] {
        [
            ("peer_id", .string(found.peer.description)),
            ("protocol_version", .string(found.protocolVersion ?? "")),
            ("agent", .string(found.agentVersion ?? "")),
            ("protocols", .array((found.protocols ?? []).map(JSONValue.string))),
            ("listen", .array((found.listenAddresses ?? []).map { .string($0.description) })),
            ("observed", .string(found.observedAddress?.description ?? "")),
            ("public_key_hex", .string(found.publicKey.map { Hex.encode($0.encoded) } ?? "")),
            ("signed_peer_record_hex", .string(Hex.encode(found.signedPeerRecord ?? []))),
        ]
    }
}
