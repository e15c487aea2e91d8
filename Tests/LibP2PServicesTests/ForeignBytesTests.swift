import CryptoPrimitives
import LibP2P
import Testing

/// Bytes that py-libp2p 0.8.1 made, for the peers whose seeds are 32 times 1 (the relay) and 32 times 2, at Unix time 1,700,000,100.
private enum ForeignBytes {
    /// A relay's answer to a reservation, with a signed voucher.
    static let reserved =
        "08021a800208f4fecfaa061231047f000001060fa1a503260024080112208a88e3dd7409f195fd52db2d3cba5d72ca6709bf1d94121bf374"
        + "8801b40f6f5c1ac4010a24080112208a88e3dd7409f195fd52db2d3cba5d72ca6709bf1d94121bf3748801b40f6f5c120203021a560a2600"
        + "24080112208a88e3dd7409f195fd52db2d3cba5d72ca6709bf1d94121bf3748801b40f6f5c12260024080112208139770ea87d175f56a354"
        + "66c34c7ecccb8d8a91b4ee37a25df60f5b8fc9b39418f4fecfaa062a400033e4e303c6610795a97dfec7511f052443730fef567977ca1dc2"
        + "85231787742807d23cab2bb1acb9aca1799f2cdddaa7a32d07f66b118036c4768818c6a20622060878108080082864"
    /// `RESERVE` with the asker's own id, which the specification does not ask for.
    static let reserve = "080012280a260024080112208139770ea87d175f56a35466c34c7ecccb8d8a91b4ee37a25df60f5b8fc9b394"
    /// `CONNECT` to the peer, with the fields of a reservation that the specification does not ask for.
    static let connect = "080112280a260024080112208139770ea87d175f56a35466c34c7ecccb8d8a91b4ee37a25df60f5b8fc9b394" + "1a0608f4fecfaa06"
    /// `STOP CONNECT` from the peer, with limits.
    static let stop = "080012280a260024080112208139770ea87d175f56a35466c34c7ecccb8d8a91b4ee37a25df60f5b8fc9b3941a06087810808008"
    static let holePunchConnect = "086412080408080808060fa1"
    /// identify of the relay, with a signed peer record.
    static let identify =
        "0a24080112208a88e3dd7409f195fd52db2d3cba5d72ca6709bf1d94121bf3748801b40f6f5c1208047f000001060fa11a0e2f697066732f"
        + "69642f312e302e301a132f697066732f69642f707573682f312e302e301a102f697066732f70696e672f312e302e302208047f00000106c3"
        + "502a0a697066732f302e312e30320f70792d6c69627032702f302e382e3142d5010a24080112208a88e3dd7409f195fd52db2d3cba5d72ca"
        + "6709bf1d94121bf3748801b40f6f5c120203011a670a260024080112208a88e3dd7409f195fd52db2d3cba5d72ca6709bf1d94121bf37488"
        + "01b40f6f5c1081d083f5d7a2e7cb171a330a31047f000001060fa1a503260024080112208a88e3dd7409f195fd52db2d3cba5d72ca6709bf"
        + "1d94121bf3748801b40f6f5c2a40ec1d5f1613c210b9bb8a01d70c4dce60eee85e8397c320f75da93c9b04203eb798bec429a8882d551807"
        + "c0541ade660bfb2a5862c1c71d43c35e976a60615007"
}

struct `What py-libp2p sends` {
    @Test func `as a relay is what our relay sends, to the byte`() throws {
        var net = try RelayedNetwork(peers: 0, puppets: 1)
        let expected = FrameReader.frame(try Hex.decode(ForeignBytes.reserved))
        #expect(try net.ask(1, Hex.decode(ForeignBytes.reserve)) == expected)
    }

    @Test func `as a relay gives us a reservation with a voucher that verifies`() throws {
        var net = try RelayedNetwork(peers: 1, relayIsPuppet: true)
        net.reserve(1)
        try net.relayAnswers(Hex.decode(ForeignBytes.reserved))
        let reservation = try #require(net.reservations(1).first)
        #expect(reservation.voucher == RelayVoucher(relay: net.id(0), peer: net.id(1), expiration: 1_700_003_700))
        #expect(reservation.relayAddresses.map(\.description) == ["/ip4/127.0.0.1/tcp/4001/p2p/\(net.id(0))"])
        #expect(reservation.limit == RelayLimit(duration: .seconds(120), byteCount: 131_072))
    }

    @Test func `to connect through our relay is understood`() throws {
        var net = try RelayedNetwork(peers: 1, puppets: 1)
        net.reserve(1)
        let answer = try #require(try net.ask(2, Hex.decode(ForeignBytes.connect)))
        #expect(Hex.encode(answer) == "0c0802" + "2206087810808008" + "2864")
        #expect(net.circuits(1).map(\.peer) == [net.id(2)])
    }

    @Test func `to open a circuit to us is understood`() throws {
        var net = try RelayedNetwork(peers: 2, relayIsPuppet: true)
        net.reserve(2)
        try net.relayAnswers(RelayBytes.reservation(expiration: 1_700_003_700))
        let stream = net.network.open(0, to: 2, RelayClient.stopProtocolID)
        net.network.command(0, .write(stream, FrameReader.frame(try Hex.decode(ForeignBytes.stop))))
        net.network.run(for: .seconds(1))
        #expect(net.network.machine(0, Puppet.self).received[stream].map { Hex.encode($0) } == "0408012064")
        #expect(net.circuits(2).map(\.peer) == [net.id(1)])
    }

    @Test func `about itself is believed`() throws {
        let (py, own) = (try KnownIdentity.make(1), try KnownIdentity.make(2))
        var network = TestNetwork()
        let info = IdentifyInfo(agentVersion: "chorale/0.1.0", protocols: [], addresses: [])
        _ = network.add(own, [Identify(own, info: info, sequence: 1)])
        _ = network.add(py, [Puppet(serving: [Identify.protocolID])])
        try network.connect(0, 1, dialerAddress: "/ip4/127.0.0.1/tcp/50000")
        network.run(for: .seconds(1))
        let stream = try #require(network.machine(1, Puppet.self).inbound.first)
        network.command(1, .write(stream, FrameReader.frame(try Hex.decode(ForeignBytes.identify))))
        network.command(1, .closeWrite(stream))
        network.run(for: .seconds(1))
        guard case .identified(let found, _)? = network.events(0, Identify.self).first else { throw IdentifyError.timedOut }
        #expect(found.agentVersion == "py-libp2p/0.8.1" && found.protocolVersion == "ipfs/0.1.0")
        #expect(found.protocols == ["/ipfs/id/1.0.0", "/ipfs/id/push/1.0.0", "/ipfs/ping/1.0.0"])
        #expect(found.listenAddresses?.map(\.description) == ["/ip4/127.0.0.1/tcp/4001"])
        #expect(found.observedAddress?.description == "/ip4/127.0.0.1/tcp/50000")
        #expect(found.record?.peerID == py.id)
        #expect(found.record?.addresses.map(\.description) == ["/ip4/127.0.0.1/tcp/4001/p2p/\(py.id)"])
    }

    @Test func `to punch a hole is what we send, to the byte`() throws {
        let identities = [try KnownIdentity.make(1), try KnownIdentity.make(2)]
        var network = TestNetwork()
        _ = network.add(identities[0], [Puppet(serving: [DCUtR.protocolID])])
        _ = network.add(identities[1], [DCUtR(addresses: [try Multiaddr(text: "/ip4/8.8.8.8/tcp/4001")])])
        let relay = "/p2p/\(try KnownIdentity.make(9).id)/p2p-circuit"
        try network.connect(0, 1, dialerAddress: relay, listenerAddress: relay, isLimited: true)
        network.run(for: .seconds(3))
        let puppet = network.machine(0, Puppet.self)
        let stream = try #require(puppet.inbound.first)
        #expect(puppet.received[stream] == FrameReader.frame(try Hex.decode(ForeignBytes.holePunchConnect)))
    }
}
