import Bitcoin
import CryptoPrimitives
import LibP2P
import Secp256k1
import Testing

@testable import Signing
@testable import SigningNode

/// Patience by what was measured of the members' connections.
@Suite struct RoundTripTests {
    @Test func `the farthest member counts, up to a bound, and what is set at least`() {
        let timing = CoordinationTiming()
        #expect(timing.measured([]).roundTrip == .milliseconds(200))
        #expect(timing.measured([.milliseconds(3), .milliseconds(40)]).roundTrip == .milliseconds(200))
        #expect(timing.measured([.milliseconds(900), .milliseconds(40)]).roundTrip == .milliseconds(900))
        #expect(timing.measured([.milliseconds(900), .seconds(60)]).roundTrip == .seconds(2))
        #expect(timing.measured([.seconds(-1)]).roundTrip == .milliseconds(200))
        // Who sets more than the bound is believed, and keeps it.
        let far = CoordinationTiming(roundTrip: .seconds(10))
        #expect(far.measured([]).roundTrip == .seconds(10) && far.measured([.seconds(60)]).roundTrip == .seconds(10))
        #expect(far.measured([.seconds(1)]).patienceMin == far.patienceMin)
    }

    @Test func `a request waits four round trips of its farthest member, from when that is measured`() async throws {
        let group = try NodeGroup(3)
        let policy = try await group.record.policy()
        let (transaction, coins) = try await group.spend()
        var machine = SigningMachine(
            keys: group.keys[0], clocks: { SigningClocks(wall: .seconds(1_800_000_000) + $0, running: $0) },
            makeIncarnation: { .random() }, now: .zero)
        machine.add(policy, name: "group", members: group.keys.map(\.enrolment))
        func propose(_ number: UInt8, _ coins: [TransactionOutput], _ transaction: Transaction) throws -> Bytes32 {
            let id = try machine.propose(
                transaction, prevouts: coins, group: policy.digest, seconds: 600, id: SHA256.hash([number]), now: .seconds(1))
            while let event = machine.nextEvent() {
                guard case .write(let write, let request, let what, _) = event else { continue }
                var stored: StoredRequest?
                if case .request(let new) = what {
                    stored = StoredRequest(
                        id: request, source: nil, created: new.created, expiry: new.expiry, updated: new.created, decision: .undecided,
                        decisionSerial: 0, state: .proposed, reason: "", transcript: TranscriptHead(request: request))
                }
                machine.written(write, of: request, .done(stored), now: .seconds(1))
            }
            return id
        }
        func patience(_ id: Bytes32) -> Duration? { machine.live[id]?.coordination.patience(in: 1) }
        func connect(_ place: Int, _ roundTrip: Duration) throws {
            let peer = group.keys[place].identity.id
            let info = ConnectionInfo(
                id: ConnectionID(rawValue: UInt64(place)), peer: peer, isOutbound: true,
                remoteAddress: try Multiaddr(text: "/ip4/192.0.2.1/tcp/1"), isLimited: false)
            machine.handle(.connected(info), now: .seconds(2))
            machine.pinged(peer, .success(roundTrip), now: .seconds(2))
        }
        let first = try propose(1, coins, transaction)
        #expect(patience(first) == .seconds(2))
        try connect(1, .milliseconds(30))
        #expect(patience(first) == .seconds(2))
        try connect(2, .milliseconds(800))
        #expect(patience(first) == .milliseconds(3_200))
        // One that begins later knows it from the start.
        let (other, otherCoins) = try await group.spend()
        let second = try propose(2, otherCoins, other)
        #expect(patience(second) == .milliseconds(3_200))
        // Whoever answers its pings late gains so much and no more.
        machine.pinged(group.keys[1].identity.id, .success(.seconds(19)), now: .seconds(3))
        #expect(patience(first) == .seconds(8) && patience(second) == .seconds(8))
        machine.pinged(group.keys[1].identity.id, .success(.milliseconds(30)), now: .seconds(4))
        #expect(patience(first) == .milliseconds(3_200))
        // Nobody's connection is nobody's measure.
        machine.pinged(try PeerIdentity(.generate()).id, .success(.seconds(1)), now: .seconds(5))
        #expect(patience(first) == .milliseconds(3_200))
    }
}
