import CryptoPrimitives
import LibP2P

/// What a driven node speaks, as its command line says.
enum PeerRunOptions {
    static let topics = Argument.repeated(
        "topic", "NAME", isRequired: false, help: "subscribe to this topic at once; may be given several times", parse: Parsing.text)
    static let republish = Argument.optional(
        "republish", "PREFIX", help: "publish each message of others once more, with this before it", parse: Parsing.text)
    private static let noPubSub = Argument.flag("no-pubsub", help: "do not speak gossipsub")
    private static let noSign = Argument.flag("no-sign", help: "publish messages without author and signature, and take no others")
    private static let px = Argument.flag("px", help: "tell peers that leave the mesh of a topic about others in it")
    private static let versions = Argument.repeated(
        "meshsub", "ID", isRequired: false,
        help: "speak this version of gossipsub, e.g. /meshsub/1.1.0; may be given several times, the preferred one first (default: all, "
            + "the newest first)",
        parse: Self.version)
    private static let heartbeat = Argument.option(
        "heartbeat", "SECONDS", default: Duration.seconds(1), defaultText: "1", help: "time between two looks at the meshes",
        parse: Self.seconds)
    private static let degree = Argument.option(
        "d", "N", default: 6, help: "peers that a mesh should have", parse: Parsing.integer(1...128))
    private static let degreeLow = Argument.option(
        "dlo", "N", default: 5, help: "fewer are too few", parse: Parsing.integer(1...128))
    private static let degreeHigh = Argument.option(
        "dhi", "N", default: 12, help: "more are too many", parse: Parsing.integer(1...256))

    private static let dht = Argument.option(
        "dht", "MODE", default: TableMode.off, defaultText: TableMode.off.rawValue,
        help: "the hash table: off, client (asks others) or server (answers them, too)", parse: Parsing.oneOf)
    private static let kadProtocol = Argument.option(
        "kad-protocol", "ID", default: KadDHT.Configuration().protocolID, help: "the hash table's protocol",
        parse: PeerArguments.protocolID)
    private static let namespaces = Argument.repeated(
        "namespace", "NAME", isRequired: false,
        help: "take any value under keys /NAME/…, for tests; may be given several times; /pk/ is known without it", parse: Self.namespace)

    private static let relay = Argument.option(
        "relay", "MODE", default: RelayMode.off, defaultText: RelayMode.off.rawValue,
        help: "relays: off, client (uses others) or hop (is one for others, too)", parse: Parsing.oneOf)
    private static let relayDuration = Argument.option(
        "relay-duration", "SECONDS", default: 120, help: "as a relay, end a relayed connection after so long",
        parse: Parsing.integer(1...86_400))
    private static let relayData = Argument.option(
        "relay-data", "BYTES", default: 131_072, help: "as a relay, end a relayed connection after so many bytes in one direction",
        parse: Parsing.integer(1...(1 << 40)))
    private static let dcutr = Argument.flag(
        "dcutr", help: "make relayed connections direct (DCUtR), at private addresses too; the driver says when")

    enum RelayMode: String, CaseIterable, Sendable {
        case off, client, hop
    }

    enum TableMode: String, CaseIterable, Sendable {
        case off, client, server
    }

    static let items: [Command.Item] = [
        .argument(Self.topics), .argument(Self.republish), .argument(Self.noPubSub), .argument(Self.noSign), .argument(Self.px),
        .argument(Self.versions),
        .argument(Self.heartbeat), .argument(Self.degree), .argument(Self.degreeLow), .argument(Self.degreeHigh), .argument(Self.dht),
        .argument(Self.kadProtocol), .argument(Self.namespaces), .argument(Self.relay), .argument(Self.relayDuration),
        .argument(Self.relayData), .argument(Self.dcutr),
    ]

    static func configuration(_ arguments: Arguments) throws(CommandError) -> Node.Configuration {
        var configuration = Node.Configuration(agentVersion: PeerArguments.agentVersion)
        configuration.gossipsub = arguments[Self.noPubSub] ? nil : try Self.gossipsub(arguments)
        configuration.kad = Self.kad(arguments)
        if arguments[Self.relay] == .off { configuration.relayClient = nil }
        if arguments[Self.relay] == .hop { configuration.relayServer = Self.relayServer(arguments) }
        configuration.holePunch = arguments[Self.dcutr] ? Self.holePunch : nil
        return configuration
    }

    private static func relayServer(_ arguments: Arguments) -> RelayServer.Configuration {
        var configuration = RelayServer.Configuration()
        configuration.circuitLimit = RelayLimit(
            duration: .seconds(arguments[Self.relayDuration]), byteCount: UInt64(arguments[Self.relayData]))
        return configuration
    }

    /// A driver tries it on one machine, and wants to see the relayed connection first.
    private static var holePunch: DCUtR.Configuration {
        var configuration = DCUtR.Configuration()
        configuration.isAutomatic = false
        configuration.dialsPrivateAddresses = true
        return configuration
    }

    private static func gossipsub(_ arguments: Arguments) throws(CommandError) -> GossipsubParameters {
        let (degree, low, high) = (arguments[Self.degree], arguments[Self.degreeLow], arguments[Self.degreeHigh])
        guard low <= degree, degree <= high else {
            throw arguments.refused(.inconsistent("--dlo, --d and --dhi must not get smaller in this order"))
        }
        var parameters = GossipsubParameters()
        (parameters.meshDegree, parameters.meshDegreeLow, parameters.meshDegreeHigh) = (degree, low, high)
        // Below the low mark, and at most half of the mesh.
        parameters.meshDegreeOutbound = max(0, min(parameters.meshDegreeOutbound, low - 1, degree / 2))
        parameters.meshDegreeByScore = min(parameters.meshDegreeByScore, degree)
        parameters.heartbeatInterval = arguments[Self.heartbeat]
        parameters.exchangesPeers = arguments[Self.px]
        parameters.protocolIDs = arguments[Self.versions].or(parameters.protocolIDs)
        if arguments[Self.noSign] {
            parameters.signaturePolicy = .strictNoSign
            // Without authors and numbers, messages are told apart by what they say.
            parameters.identification = .custom { SHA256.hash($0.data).bytes }
        }
        return parameters
    }

    private static func kad(_ arguments: Arguments) -> KadDHT.Configuration? {
        var configuration = KadDHT.Configuration()
        switch arguments[Self.dht] {
        case .off: return nil
        case .client: configuration.mode = .client
        case .server: configuration.mode = .server
        }
        configuration.protocolID = arguments[Self.kadProtocol]
        for namespace in arguments[Self.namespaces] where namespace != "pk" {
            configuration.validators[namespace] = KadValidator(isValid: { _, _, _ in true }, isBetter: { _, _, _ in true })
        }
        return configuration
    }

    // MARK: Values

    private static let seconds: TextParser<Duration> = { (text) throws(InvalidText) in
        guard text.utf8.allSatisfy({ (0x30...0x39).contains($0) || $0 == 0x2e }), let value = Double(text), (0.01...3_600).contains(value)
        else { throw InvalidText("it must be a number of seconds from 0.01 to 3,600") }
        return .seconds(value)
    }

    private static let version: TextParser<String> = { (text) throws(InvalidText) in
        let known = GossipsubParameters().protocolIDs
        guard known.contains(text) else { throw InvalidText("take one of \(known.joined(separator: ", "))") }
        return text
    }

    private static let namespace: TextParser<String> = { (text) throws(InvalidText) in
        guard !text.isEmpty, !text.contains("/") else { throw InvalidText("a namespace has at least one letter and no slash") }
        return text
    }
}

extension Parsing {
    /// One of the words that a type has.
    static func oneOf<Value: RawRepresentable<String> & CaseIterable & Sendable>(_ text: String) throws(InvalidText) -> Value {
        if let value = Value(rawValue: text) { return value }
        throw InvalidText("take one of \(Value.allCases.map(\.rawValue).joined(separator: ", "))")
    }
}
