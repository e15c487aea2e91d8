import LibP2P

extension Fuzzer {
    static let gossipsub = Fuzzer(
        name: "gossipsub", byteCountMax: 2_048, seeds: { Plans.gossipsub.seeds }, run: { MachinePlay.run(Plans.gossipsub, $0, $1) })
    static let kad = Fuzzer(name: "kad", byteCountMax: 2_048, seeds: { Plans.kad.seeds }, run: { MachinePlay.run(Plans.kad, $0, $1) })
}

// MARK: - gossipsub

extension NetworkMessages {
    static let topics = ["a", "b", "c"]

    private static func frame(_ write: (inout ProtobufWriter) -> Void) -> [UInt8] { FrameReader.frame(ProtobufWriter.message(write)) }

    static func signed(_ sequence: UInt8, by identity: PeerIdentity, topic: String = "a", data: [UInt8] = [1, 2, 3]) -> PubSubMessage {
        PubSubMessage(topic: topic, data: data, sequence: [0, 0, 0, 0, 0, 0, 0, sequence], signedBy: identity)
    }

    static func publish(_ message: PubSubMessage) -> [UInt8] {
        Self.frame { frame in
            frame.message(field: 2) { inner in
                if let from = message.from { inner.bytes(from, field: 1) }
                inner.bytes(message.data, field: 2)
                if let sequence = message.sequence { inner.bytes(sequence, field: 3) }
                if let topic = message.topic { inner.string(topic, field: 4) }
                if let signature = message.signature { inner.bytes(signature, field: 5) }
                if let key = message.key { inner.bytes(key, field: 6) }
            }
        }
    }

    static let subscribe = frame { frame in
        for topic in Self.topics {
            frame.message(field: 1) { inner in
                inner.bool(true, field: 1)
                inner.string(topic, field: 2)
            }
        }
    }

    static let unsubscribe = frame { frame in
        frame.message(field: 1) { inner in
            inner.bool(false, field: 1)
            inner.string("a", field: 2)
        }
    }

    private static func control(_ field: UInt32, _ write: (inout ProtobufWriter) -> Void) -> [UInt8] {
        Self.frame { frame in frame.message(field: 3) { $0.message(field: field, write) } }
    }

    /// Ids of messages that `signed` makes.
    private static let ids = (UInt8(1)...3).map { KnownPeers.others[1].id.bytes + [0, 0, 0, 0, 0, 0, 0, $0] }

    static let gossip: [[UInt8]] = [
        subscribe, unsubscribe, publish(signed(1, by: KnownPeers.others[1])),
        publish(signed(2, by: KnownPeers.others[1], topic: "b", data: [UInt8](repeating: 9, count: 1_500))),
        publish(signed(3, by: KnownPeers.others[0], topic: "c")), publish(PubSubMessage(topic: "a", data: [1])),
        control(1) { have in
            have.string("a", field: 1)
            for id in Self.ids { have.bytes(id, field: 2) }
        },
        control(2) { want in for id in Self.ids { want.bytes(id, field: 1) } },
        control(3) { $0.string("a", field: 1) },
        control(4) { prune in
            prune.string("a", field: 1)
            prune.message(field: 2) { peer in
                peer.bytes(NetworkMessages.peer.id.bytes, field: 1)
                peer.bytes(NetworkMessages.envelope.bytes, field: 2)
            }
            prune.unsigned(30, field: 3)
        },
        control(5) { unwanted in for id in Self.ids { unwanted.bytes(id, field: 1) } },
        // What a mesh peer says on one day.
        subscribe + control(3) { $0.string("a", field: 1) } + publish(signed(1, by: KnownPeers.others[1])),
    ]
}

extension Plans {
    static let gossipsub = MachinePlan<Gossipsub>(
        machine: {
            var machine = Gossipsub(
                identity: KnownPeers.own, parameters: Plans.gossipParameters,
                directPeers: [KnownPeers.others[3].id: [KnownPeers.addresses[0]]], seed: 1)
            machine.subscribe("a", now: KnownPeers.start)
            return machine
        },
        messages: NetworkMessages.gossip,
        protocolIDs: ["/meshsub/1.2.0", "/meshsub/1.1.0", "/meshsub/1.0.0", "/floodsub/1.0.0"],
        heldByteCountMax: { world in
            let limits = Plans.gossipParameters.limits
            let topic = PubSubTopic.byteCountMax + 64
            let id = PubSubMessageID.byteCountMax + 192
            let known = limits.seenCountMax * id + limits.historyByteCountMax + limits.verdictByteCountMax + limits.verdictCountMax * 256
            let standing = 64 + 16 * topic
            let peer = 512 + limits.outboxByteCountMax + limits.recordByteCountMax + 16 * topic + limits.doNotWantIDCountMax * id
            // Messages are promised for some heartbeats.
            let promises = limits.haveIDCountMax * 5 * id
            return known + world.peerCount * (peer + standing + promises) + limits.rememberedPeerCountMax * (standing + 64)
                + world.streams.count * (1_048_576 + 4)
        },
        restByteCountMax: 4_096,
        use: { machine, script, world, events in
            let topic = NetworkMessages.topics[script.choice(NetworkMessages.topics.count)]
            switch script.choice(6) {
            case 0: machine.subscribe(topic, needsVerdict: script.flag(), now: world.now)
            case 1: machine.unsubscribe(topic, now: world.now)
            case 2:
                let data = [UInt8](repeating: 1, count: 8 * Int(script.byte()))
                _ = try? machine.publish(data, to: topic, sequence: UInt64(script.byte()), now: world.now)
            case 3:
                let verdicts: [PubSubVerdict] = [.accept, .reject, .ignore]
                guard case .message(let id, _, _, _)? = script.choice(of: events.reversed()) else { return }
                _ = machine.verdict(verdicts[script.choice(3)], on: id, now: world.now)
            case 4: machine.setApplicationScore(Double(Int8(bitPattern: script.byte())), of: Plans.peer(&script))
            default: _ = machine.setRecord(NetworkMessages.envelope, of: Plans.peer(&script))
            }
        }, useCount: 6)

    static let gossipParameters: GossipsubParameters = {
        var parameters = GossipsubParameters()
        parameters.meshDegree = 2
        parameters.meshDegreeLow = 1
        parameters.meshDegreeHigh = 3
        parameters.meshDegreeByScore = 1
        parameters.meshDegreeOutbound = 0
        parameters.scoring.peerExchangeThreshold = 0
        parameters.limits.peerTopicCountMax = 4
        parameters.limits.peerSubscriptionChangeCountMax = 16
        parameters.limits.haveIDCountMax = 32
        parameters.limits.haveFrameCountMax = 4
        parameters.limits.wantIDCountMax = 32
        parameters.limits.doNotWantIDCountMax = 8
        parameters.limits.outboxByteCountMax = 8_192
        parameters.limits.outboxFrameCountMax = 16
        parameters.limits.underWayByteCountMax = 4_096
        parameters.limits.seenCountMax = 32
        parameters.limits.historyByteCountMax = 16_384
        parameters.limits.verdictByteCountMax = 8_192
        parameters.limits.verdictCountMax = 4
        parameters.limits.rememberedPeerCountMax = 3
        parameters.limits.recordByteCountMax = 1_024
        return parameters
    }()
}

// MARK: - kad

extension NetworkMessages {
    static let keys: [[UInt8]] = [
        Array("/v/a".utf8), Array("/v/b".utf8), Array("/pk/".utf8) + KnownPeers.others[0].id.bytes, KnownPeers.others[2].id.bytes,
        Multihash.sha256(of: [1]).bytes, Array("/none/a".utf8),
    ]

    private static func peers(_ count: Int) -> [KadPeer] {
        KnownPeers.identities.suffix(count).map { identity in
            KadPeer(id: identity.id, addresses: KnownPeers.addresses.prefix(3).map(\.bytes), connection: .canConnect)
        }
    }

    static let kad: [[UInt8]] = [
        KadMessage(.ping, key: []), KadMessage(.findNode, key: keys[3]), KadMessage(.getValue, key: keys[0]),
        KadMessage(.getProviders, key: keys[4]), KadMessage(.putValue, key: keys[0], record: KadRecord(key: keys[0], value: [7, 1])),
        KadMessage(.putValue, key: keys[2], record: KadRecord(key: keys[2], value: KnownPeers.others[0].publicKey.encoded)),
        KadMessage(.addProvider, key: keys[4], providerPeers: peers(4)), KadMessage(.findNode, key: keys[3], closerPeers: peers(5)),
        KadMessage(.getValue, key: keys[0], record: KadRecord(key: keys[0], value: [7, 9, 9]), closerPeers: peers(2)),
        KadMessage(.getProviders, key: keys[4], closerPeers: peers(3), providerPeers: peers(2)),
        KadMessage(.putValue, key: keys[1], record: KadRecord(key: keys[1], value: [UInt8](repeating: 7, count: 500))),
    ].map { FrameReader.frame($0.bytes) }
}

extension Plans {
    static let kad = MachinePlan<KadDHT>(
        machine: {
            var machine = KadDHT(
                peer: KnownPeers.own.id, configuration: Plans.kadConfiguration, seed: 1, unixTimeOffset: KnownPeers.unixOffset)
            machine.setOwnAddresses(Array(KnownPeers.addresses.prefix(2)))
            machine.addPeer(KnownPeers.others[0].id, addresses: Array(KnownPeers.addresses.prefix(1)), now: KnownPeers.start)
            return machine
        },
        messages: NetworkMessages.kad, protocolIDs: [Plans.kadConfiguration.protocolID, "/a"],
        heldByteCountMax: { world in
            let configuration = Plans.kadConfiguration
            let addresses = 8 * (128 + 64)
            let stores = configuration.valueStoreByteCountMax + configuration.providerRecordCountMax * (512 + addresses)
            // The user's, refreshes, and what is put again.
            let operations =
                (configuration.operationCountMax + 8 + configuration.publishedCountMax)
                * (512 + 1_024 + 256 * (320 + addresses) / 4 + 128 * 64)
            let published = configuration.publishedCountMax * (128 + configuration.valueByteCountMax)
            let contacts = 16 * (192 + addresses)
            let outbound = world.streams.count { !$0.isInbound } * (KadMessage.byteCountMax + 8)
            return stores + operations + published + contacts + configuration.partialByteCountMax + outbound
                + 256 * (world.streams.count + world.requests.count + 300 + KnownPeers.identities.count + world.connections.count)
        },
        restByteCountMax: 65_536,
        use: { machine, script, world, events in
            let key = NetworkMessages.keys[script.choice(NetworkMessages.keys.count)]
            switch script.choice(10) {
            case 0: _ = machine.put(key: key, value: [7] + [UInt8](repeating: 1, count: 2 * Int(script.byte())), now: world.now)
            case 1: _ = machine.get(key: key, quorum: script.choice(4), now: world.now)
            case 2: _ = machine.provide(key, now: world.now)
            case 3: _ = machine.findProviders(of: key, count: script.choice(4), now: world.now)
            case 4: _ = machine.findPeer(Plans.peer(&script), now: world.now)
            case 5: _ = machine.findClosest(to: key, now: world.now)
            case 6: _ = machine.bootstrap(now: world.now)
            case 7:
                if script.flag() { machine.withdraw(key: key) } else { machine.stopProviding(key) }
            case 8:
                machine.addPeer(Plans.peer(&script), addresses: Array(KnownPeers.addresses.prefix(script.choice(8))), now: world.now)
                machine.learn(KnownPeers.addresses, of: Plans.peer(&script))
            default:
                machine.setMode(script.flag() ? .client : .server)
                machine.setOwnAddresses(Array(KnownPeers.addresses.prefix(script.choice(8))))
            }
        }, useCount: 10)

    static let kadConfiguration: KadDHT.Configuration = {
        var configuration = KadDHT.Configuration()
        configuration.validators["v"] = KadValidator(
            isValid: { _, value, _ in value.first == 7 }, isBetter: { _, current, candidate in current.count < candidate.count })
        configuration.replicationCount = 4
        configuration.parallelCount = 3
        configuration.resilienceCount = 2
        configuration.valueLifetime = .seconds(7_200)
        configuration.providerLifetime = .seconds(7_200)
        configuration.republishInterval = .seconds(3_600)
        configuration.valueByteCountMax = 512
        configuration.valueStoreByteCountMax = 8_192
        configuration.providerRecordCountMax = 32
        configuration.partialByteCountMax = 4_096
        configuration.inboundStreamCountMaxPerPeer = 4
        configuration.inboundStreamCountMax = 8
        configuration.requestBurst = 16
        configuration.recordBurst = 16
        configuration.operationCountMax = 4
        configuration.publishedCountMax = 6
        configuration.idleStreamCountMax = 3
        configuration.bootstrapPeerCountMax = 3
        return configuration
    }()
}
