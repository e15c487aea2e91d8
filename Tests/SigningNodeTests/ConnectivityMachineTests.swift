import CryptoPrimitives
import LibP2P
import Testing

@testable import Signing
@testable import SigningNode

/// Checks of connections in a machine whose network is played here, so that time passes at once.
@Suite struct ConnectivityMachineTests {
    private final class Played {
        var machine: SigningMachine
        let group: NodeGroup
        let digest: Bytes32
        let other: PeerID

        init() async throws {
            let group = try NodeGroup(2)
            let policy = try await group.record.policy()
            self.machine = SigningMachine(
                keys: group.keys[0], clocks: { SigningClocks(wall: .seconds(1_800_000_000) + $0, running: $0) },
                makeIncarnation: { .random() }, now: .zero)
            self.machine.add(policy, name: "group", members: group.keys.map(\.enrolment))
            (self.group, self.digest, self.other) = (group, policy.digest, group.keys[1].identity.id)
        }

        /// What it wants of its shell: dials and pings of checks, plain dials, and ends.
        func take() -> (wants: [String], dials: Int, reports: [ConnectivityReport], told: [String]) {
            var taken: (wants: [String], dials: Int, reports: [ConnectivityReport], told: [String]) = ([], 0, [], [])
            while let command = self.machine.nextCommand() { if case .dial = command { taken.dials += 1 } }
            while let event = self.machine.nextEvent() {
                switch event {
                case .connectivity(.dial): taken.wants.append("dial")
                case .connectivity(.ping): taken.wants.append("ping")
                case .connectivity(.over(_, let report)): taken.reports.append(report)
                case .addressesWanted: taken.wants.append("search")
                case .connected(_, let method): taken.told.append("connected \(method)")
                case .disconnected: taken.told.append("disconnected")
                default: break
                }
            }
            return taken
        }

        func connection(_ number: UInt64, relayed: Bool = false) throws -> ConnectionInfo {
            let address = try Multiaddr(text: "/ip4/192.0.2.1/tcp/1")
            return ConnectionInfo(
                id: ConnectionID(rawValue: number), peer: self.other, isOutbound: true,
                remoteAddress: relayed ? address.appending(.p2p(self.group.keys[0].identity.id), .p2pCircuit) : address, isLimited: relayed)
        }

        func check(_ seconds: Int, at now: Duration) throws {
            _ = try self.machine.checkConnectivity(
                of: self.digest, ConnectivityOptions(requirement: .all, timeLimit: .seconds(seconds)), now: now)
        }

        /// Lets time pass, as whoever drives the machine does.
        func pass(to end: Duration) { while let due = self.machine.deadline, due <= end { self.machine.tick(now: due) } }
    }

    @Test func `who is dialled for a check alone is left alone again`() async throws {
        let played = try await Played()
        try played.check(5, at: .seconds(1))
        #expect(played.take().wants == ["dial"])
        played.pass(to: .seconds(6))
        let over = played.take()
        #expect(over.reports.first?.participants.map(\.state) == [.failed(.timeout)] && over.reports.first?.duration == .seconds(5))
        #expect(played.machine.checks.isEmpty)
        // The dial's end comes later, and is nobody's any more.
        played.machine.dialled(played.other, .failed(.noAddresses), now: .seconds(7))
        #expect(try #require(played.machine.connectivity.first).lastError == .noAddress)
        // It is still looked for a while, later each time, and then no more.
        played.pass(to: .seconds(300))
        #expect(played.take().dials > 3)
        played.pass(to: .seconds(6) + SigningMachine.attention + MemberLinks.pauseMax)
        _ = played.take()
        played.pass(to: .seconds(7_200))
        #expect(played.take().dials == 0)
    }

    @Test func `a connection that comes, moves or goes is told with how, and one ping measures it for all who ask`() async throws {
        let played = try await Played()
        try played.check(60, at: .seconds(1))
        try played.check(60, at: .seconds(1))
        // Two checks, one dial.
        #expect(played.take().wants == ["dial"])
        played.machine.handle(.connected(try played.connection(1, relayed: true)), now: .seconds(2))
        let relayed = played.take()
        #expect(relayed.told == ["connected relay"] && relayed.wants == ["ping"])
        played.machine.dialled(played.other, .connected, now: .seconds(2))
        // A hole was punched before the answer came.
        played.machine.handle(.connected(try played.connection(2)), now: .seconds(3))
        played.machine.handle(.connected(try played.connection(3)), now: .seconds(3))
        #expect(played.take().told == ["connected direct"])
        played.machine.pinged(played.other, .success(.milliseconds(40)), now: .seconds(4))
        let reports = played.take().reports
        #expect(
            reports.map { $0.participants.map(\.state) }
                == Array(repeating: [.connected(.init(method: .direct, since: .seconds(2), roundTrip: .milliseconds(40)))], count: 2))
        #expect(try #require(played.machine.connectivity.first).roundTrip == .milliseconds(40))
        for number in [2, 3] as [UInt64] { played.machine.handle(.disconnected(try played.connection(number)), now: .seconds(5)) }
        #expect(played.take().told == ["connected relay"])
        played.machine.handle(.disconnected(try played.connection(1, relayed: true)), now: .seconds(6))
        #expect(played.take().told == ["disconnected"])
        let link = try #require(played.machine.connectivity.first)
        #expect(link.method == nil && link.roundTrip == nil && link.connectedSince == nil)
        // And it is dialled again, but not at once: it did not last.
        played.pass(to: .milliseconds(7_999))
        #expect(played.take().dials == 0)
        played.pass(to: .seconds(8))
        #expect(played.take().dials == 1)
    }

    @Test func `connections that keep ending are dialled less and less often, one that lasted at once`() async throws {
        let played = try await Played()
        try played.check(60, at: .zero)
        played.pass(to: .zero)
        _ = played.take()
        var (now, times, number) = (Duration.zero, [Duration](), UInt64(0))
        // Each dial leads to a connection that ends after a second.
        while times.count < 8 {
            number += 1
            played.machine.handle(.connected(try played.connection(number)), now: now)
            played.machine.handle(.disconnected(try played.connection(number)), now: now + .seconds(1))
            let lost = now + .seconds(1)
            while played.take().dials == 0 {
                guard let due = played.machine.deadline else { throw TestFolderError() }
                now = due
                played.machine.tick(now: now)
            }
            times.append(now - lost)
        }
        #expect(times == [2, 4, 8, 16, 32, 60, 60, 60].map { .seconds($0) })
        played.machine.handle(.connected(try played.connection(100)), now: now)
        played.machine.handle(.disconnected(try played.connection(100)), now: now + .seconds(60))
        played.pass(to: now + .seconds(60))
        #expect(played.take().dials == 1)
    }

    @Test func `what others say has a peer dialled once, and others are not asked without end`() async throws {
        let played = try await Played()
        try played.check(3_600, at: .zero)
        var (dials, searches) = (0, 0)
        // Whoever is asked says something new each time, and says it again.
        for step in 0..<Int64(6_000) {
            let now = Duration.milliseconds(step * 100)
            played.pass(to: now)
            let taken = played.take()
            dials += taken.dials
            searches += taken.wants.count { $0 == "search" }
            let address = try Multiaddr(text: "/ip4/192.0.2.1/tcp/\(1_000 + searches)")
            for _ in 0..<3 { played.machine.learn([address], of: played.other, from: .table, now: now) }
        }
        // In ten minutes: a few at first, then one a minute; and each answer has one dial of its own.
        #expect((10...18).contains(searches), "\(searches)")
        #expect(dials <= 2 * searches + 2, "\(dials)")
    }

    @Test func `what is told without pause has a peer dialled every two seconds at most`() async throws {
        let played = try await Played()
        try played.check(3_600, at: .zero)
        var dials = 0
        for step in 0..<Int64(600) {
            let now = Duration.milliseconds(step * 100)
            played.pass(to: now)
            dials += played.take().dials
            played.machine.learn([try Multiaddr(text: "/ip4/192.0.2.1/tcp/\(1_000 + step)")], of: played.other, from: .table, now: now)
        }
        #expect((25...31).contains(dials), "\(dials)")
    }

    @Test func `what others say of a member's addresses is dialled as hearsay, after the owner's word`() async throws {
        let played = try await Played()
        let addresses = try (1...4).map { try Multiaddr(text: "/dns4/example.org/tcp/\($0)") }
        for (address, source) in zip(addresses, [.group, .owner, .gossip, .table] as [PeerDirectory.Source]) {
            played.machine.learn([address], of: played.other, from: source, now: .zero)
        }
        try played.check(5, at: .zero)
        guard case .connectivity(.dial(played.other, let asked))? = played.machine.nextEvent() else { throw TestFolderError() }
        #expect(asked.owners == [addresses[1]] && asked.others == [addresses[0], addresses[2], addresses[3]])
        played.pass(to: .zero)
        var dials: [ProtocolCommand] = []
        while let command = played.machine.nextCommand() { if case .dial = command { dials.append(command) } }
        let expected: [ProtocolCommand] = [.dial(played.other, asked.owners), .dial(played.other, asked.others, isHearsay: true)]
        #expect(dials == expected)
        #expect(PeerDialAddresses(owners: [], others: []).dials.map(\.isHearsay) == [false])
        #expect(PeerDialAddresses(owners: [], others: addresses).dials.map(\.isHearsay) == [true])
    }

    @Test func `so many checks at a time, and no more`() async throws {
        let played = try await Played()
        for _ in 0..<SigningMachine.checkCountMax { try played.check(5, at: .seconds(1)) }
        #expect(throws: SigningMachineError.tooManyChecks(limit: SigningMachine.checkCountMax)) { try played.check(5, at: .seconds(1)) }
        #expect(played.take().wants == ["dial"] && played.machine.heldByteCount >= SigningMachine.checkCountMax * 512)
        played.pass(to: .seconds(6))
        #expect(played.take().reports.count == SigningMachine.checkCountMax)
        try played.check(5, at: .seconds(7))
    }
}
