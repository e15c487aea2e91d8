import LibP2P

extension Fuzzer {
    static let identify = Fuzzer(
        name: "identify", byteCountMax: 2_048, seeds: { Plans.identify.seeds }, run: { MachinePlay.run(Plans.identify, $0, $1) })
    static let ping = Fuzzer(name: "ping", byteCountMax: 512, seeds: { Plans.ping.seeds }, run: { MachinePlay.run(Plans.ping, $0, $1) })
    static let requestResponse = Fuzzer(
        name: "request-response", byteCountMax: 1_024, seeds: { Plans.requestResponse.seeds },
        run: { MachinePlay.run(Plans.requestResponse, $0, $1) })
    /// The same where streams serve one request after the other.
    static let keptStreams = Fuzzer(
        name: "kept-streams", byteCountMax: 1_024, seeds: { Plans.keptStreams.seeds },
        run: { MachinePlay.run(Plans.keptStreams, $0, $1) })
    static let relayClient = Fuzzer(
        name: "relay-client", byteCountMax: 1_024, seeds: { Plans.relayClient.seeds }, run: { MachinePlay.run(Plans.relayClient, $0, $1) })
    static let relayServer = Fuzzer(
        name: "relay-server", byteCountMax: 1_024, seeds: { Plans.relayServer.seeds }, run: { MachinePlay.run(Plans.relayServer, $0, $1) })
    static let holePunch = Fuzzer(
        name: "hole-punch", byteCountMax: 1_024, seeds: { Plans.holePunch.seeds }, run: { MachinePlay.run(Plans.holePunch, $0, $1) })
}

/// What is tried with which machine. Limits that can be set are low, so that short scripts reach them.
enum Plans {
    /// Some peer, one that was never seen included.
    static func peer(_ script: inout PlayScript) -> PeerID { KnownPeers.identities[script.choice(KnownPeers.identities.count)].id }

    static let identify = MachinePlan<Identify>(
        machine: {
            let info = IdentifyInfo(agentVersion: "own/1", protocols: ["/a"], addresses: Array(KnownPeers.addresses.prefix(2)))
            return Identify(KnownPeers.own, info: info, sequence: 1)
        },
        messages: NetworkMessages.identify.map(FrameReader.frame) + [NetworkMessages.identify.flatMap(FrameReader.frame)],
        protocolIDs: [Identify.pushProtocolID],
        heldByteCountMax: { world in
            // What was collected of messages, and one frame that is not whole; observed addresses of each household and their voices.
            let stream = IdentifyMessage.receivedByteCountMax + IdentifyMessage.sentByteCountMax + 16
            return world.streams.count * stream + world.requests.count * 64 + KnownPeers.others.count * 128 + 32_768
        },
        restByteCountMax: 2_048,
        use: { machine, script, world, _ in
            switch script.choice(2) {
            case 0: machine.identify(Plans.peer(&script), now: world.now)
            default:
                let info = IdentifyInfo(
                    agentVersion: "own/\(script.byte())", protocols: script.flag() ? ["/a", "/b"] : [],
                    addresses: Array(KnownPeers.addresses.prefix(script.choice(8))))
                machine.update(info, sequence: UInt64(script.byte()), now: world.now)
            }
        }, useCount: 2)

    static let ping = MachinePlan<Ping>(
        machine: {
            var configuration = Ping.Configuration()
            configuration.waitingMax = 4
            return Ping(configuration: configuration)
        },
        messages: [[UInt8](repeating: 1, count: 32), [UInt8](repeating: 2, count: 33), [UInt8](repeating: 3, count: 7)],
        heldByteCountMax: { world in KnownPeers.identities.count * (160 + 4 * 64) + world.streams.count * 160 },
        restByteCountMax: 0,
        use: { machine, script, world, _ in
            machine.ping(Plans.peer(&script), bytes: [UInt8](repeating: script.byte(), count: Ping.byteCount), now: world.now)
        }, useCount: 1)

    static let requestResponse = Plans.requestResponse(keepsStreams: false)
    static let keptStreams = Plans.requestResponse(keepsStreams: true)

    private static func requestResponse(keepsStreams: Bool) -> MachinePlan<RequestResponse> {
        MachinePlan(
            machine: {
                var configuration = RequestResponse.Configuration(
                    protocolIDs: ["/r/2", "/r/1"], requestByteCountMax: 300, answerByteCountMax: 400)
                configuration.parallelRequestsPerPeerMax = 2
                configuration.waitingPerPeerMax = 4
                configuration.parallelQuestionsPerPeerMax = 3
                configuration.keepsStreams = keepsStreams
                return RequestResponse(configuration: configuration)
            },
            messages: [
                FrameReader.frame([1, 2, 3]), FrameReader.frame([UInt8](repeating: 1, count: 300)),
                FrameReader.frame([UInt8](repeating: 1, count: 400)), FrameReader.frame([]),
                FrameReader.frame([1]) + FrameReader.frame([2]),
            ],
            heldByteCountMax: { world in
                (world.streams.count + world.requests.count) * (128 + 300 + 402) + KnownPeers.identities.count * (64 + 4 * (128 + 300))
            },
            restByteCountMax: 0,
            use: { machine, script, world, events in
                switch script.choice(3) {
                case 0:
                    let body = [UInt8](repeating: 5, count: 2 * script.choice(160))
                    _ = try? machine.send(body, to: Plans.peer(&script), now: world.now)
                case 1:
                    guard case .asked(let question, _)? = script.choice(of: events.reversed()) else { return }
                    try? machine.answer(question, with: [UInt8](repeating: 6, count: 2 * Int(script.byte())), now: world.now)
                default:
                    guard case .asked(let question, _)? = script.choice(of: events.reversed()) else { return }
                    machine.refuse(question)
                }
            }, useCount: 3)
    }

    static let relayClient = MachinePlan<RelayClient>(
        machine: {
            var configuration = RelayClient.Configuration()
            configuration.bytesBeforeTakenMax = 2_048
            configuration.pendingConnectsMax = 4
            configuration.pendingCircuitsPerRelayMax = 3
            return RelayClient(localPeer: KnownPeers.own.id, unixOffset: KnownPeers.unixOffset, configuration: configuration)
        },
        messages: [
            NetworkMessages.reservation, NetworkMessages.circuit, NetworkMessages.stopConnect(from: KnownPeers.others[1].id),
            NetworkMessages.hopStatus(201),
        ].map(FrameReader.frame) + [FrameReader.frame(NetworkMessages.circuit) + [1, 2, 3]],
        heldByteCountMax: { world in
            // A circuit's early bytes, or one message that is not whole.
            KnownPeers.identities.count * 1_024 + world.requests.count * 128 + world.streams.count * (128 + 16_384 + 4)
        },
        // Places that are lost are asked for again, until they are given up.
        restByteCountMax: KnownPeers.identities.count * 1_024,
        use: { machine, script, world, events in
            switch script.choice(5) {
            case 0: machine.reserve(at: KnownPeers.others[script.choice(4)].id, now: world.now)
            case 1:
                let relay = KnownPeers.others[script.choice(4)].id
                machine.connect(to: Plans.peer(&script), through: relay, tag: UInt64(script.byte()), now: world.now)
            case 2:
                guard case .circuit(let circuit)? = script.choice(of: events.reversed()), machine.take(circuit.stream) != nil else {
                    return
                }
                // The stream is somebody else's from now on.
                world.streams.removeAll { $0.id == circuit.stream }
            case 3:
                guard case .circuit(let circuit)? = script.choice(of: events.reversed()) else { return }
                machine.drop(circuit.stream)
            default: machine.cancel(at: KnownPeers.others[script.choice(4)].id)
            }
        }, useCount: 5)

    static let relayServer = MachinePlan<RelayServer>(
        machine: {
            var configuration = RelayServer.Configuration()
            configuration.reservationCountMax = 3
            configuration.circuitLimit = RelayLimit(duration: .seconds(120), byteCount: 2_000)
            configuration.circuitCountMax = 3
            configuration.circuitsPerPeerMax = 2
            configuration.requestStreamsPerPeerMax = 3
            configuration.earlyByteCountMax = 512
            configuration.underWayByteCountMax = 400
            configuration.deniedPeers = [KnownPeers.others[3].id]
            return RelayServer(
                KnownPeers.own, unixOffset: KnownPeers.unixOffset, addresses: Array(KnownPeers.addresses.prefix(2)),
                configuration: configuration)
        },
        messages: [
            NetworkMessages.reserve, NetworkMessages.connect(to: KnownPeers.others[0].id),
            NetworkMessages.connect(to: KnownPeers.others[1].id),
            NetworkMessages.stopStatus(100), NetworkMessages.stopStatus(203),
        ].map(FrameReader.frame) + [[UInt8](repeating: 7, count: 900)],
        heldByteCountMax: { world in
            // A request that is not whole, or a circuit with what came early; budgets of peers and of households.
            3 * 128 + world.streams.count * (256 + 16_384 + 4) + 3 * (256 + 512) + (KnownPeers.others.count + KnownPeers.addresses.count)
                * 96
        },
        // Budgets of strangers stay until others need their place.
        restByteCountMax: (KnownPeers.others.count + KnownPeers.addresses.count) * 96,
        use: { machine, script, _, _ in
            machine.addresses = Array(KnownPeers.addresses.prefix(script.choice(8)))
        }, useCount: 1)

    static let holePunch = MachinePlan<DCUtR>(
        machine: {
            var configuration = DCUtR.Configuration()
            configuration.upgradesMax = 3
            return DCUtR(addresses: Array(KnownPeers.addresses.prefix(3)), configuration: configuration)
        },
        messages: [NetworkMessages.holePunchConnect, NetworkMessages.holePunchSync].map(FrameReader.frame) + [
            FrameReader.frame(NetworkMessages.holePunchConnect) + FrameReader.frame(NetworkMessages.holePunchSync)
        ],
        heldByteCountMax: { world in
            KnownPeers.others.count * 96 + (world.streams.count + 3) * (512 + 4_096 + 4)
        },
        restByteCountMax: KnownPeers.others.count * 96,
        use: { machine, script, world, _ in
            let addresses = Array(KnownPeers.addresses.prefix(script.choice(8)))
            switch script.choice(3) {
            case 0: machine.upgrade(Plans.peer(&script), addresses: addresses, now: world.now)
            case 1: machine.learn(addresses, of: Plans.peer(&script), now: world.now)
            default: machine.addresses = addresses
            }
        }, useCount: 3)
}
