import CryptoPrimitives
import LibP2P
import Testing

@testable import Signing
@testable import SigningNode

/// Who is blocked by what, and who is not, at a machine whose network is played here.
@Suite struct BlockMachineTests {
    private func machine(
        _ group: NodeGroup, as place: Int = 0, _ configuration: SigningMachine.Configuration = SigningMachine.Configuration(),
        now: Duration = .zero
    ) async throws -> SigningMachine {
        var machine = SigningMachine(
            keys: group.keys[place], configuration: configuration,
            clocks: { SigningClocks(wall: .seconds(1_800_000_000) + $0, running: $0) }, makeIncarnation: { .random() }, now: now)
        machine.add(try await group.record.policy(), name: "group", members: group.keys.map(\.enrolment))
        return machine
    }

    /// What a machine wants and tells, as it comes.
    private struct Seen {
        var answer: CoordinationProtocol.Answer?
        var disconnected: Set<PeerID> = []
        var lasting: [PeerID] = []
        var denied: Set<PeerID>?
        var kept: [(peer: PeerID, standing: PeerStanding?)] = []
    }

    private func look(at machine: inout SigningMachine) -> Seen {
        var seen = Seen()
        while true {
            if let command = machine.nextCommand() {
                if case .disconnect(let peer) = command { seen.disconnected.insert(peer) }
                if case .write(_, let bytes) = command, bytes.count == 2 { seen.answer = CoordinationProtocol.Answer(rawValue: bytes[1]) }
            } else if let event = machine.nextEvent() {
                if case .blockedLastingly(let peer, _) = event { seen.lasting.append(peer) }
                if case .deny(let peers) = event { seen.denied = peers }
                if case .keep(let peer, let standing) = event { seen.kept.append((peer, standing)) }
            } else {
                return seen
            }
        }
    }

    private func connection(_ number: UInt64, _ peer: PeerID) throws -> ConnectionInfo {
        ConnectionInfo(
            id: ConnectionID(rawValue: number), peer: peer, isOutbound: false,
            remoteAddress: try Multiaddr(text: "/ip4/198.51.100.1/tcp/1"), isLimited: false)
    }

    /// Says something over a stream of the peer's, as many streams as there were before.
    private func say(
        _ bytes: [UInt8], from peer: PeerID, to machine: inout SigningMachine, _ stream: inout UInt64, now: Duration
    ) throws -> Seen {
        stream += 1
        let id = StreamID(rawValue: stream)
        machine.handle(.inbound(id, try self.connection(1, peer), protocolID: CoordinationProtocol.id), now: now)
        machine.handle(.received(id, FrameReader.frame(bytes)), now: now)
        machine.handle(.ended(id), now: now)
        let seen = self.look(at: &machine)
        machine.handle(.reset(id), now: now)
        return seen
    }

    /// No honest node says it.
    private static let garbage: [UInt8] = [1, 2, 3]

    /// Has a member blocked for a while, by its own doing.
    private func misbehave(as peer: PeerID, at machine: inout SigningMachine, _ stream: inout UInt64, now: Duration) throws -> Seen {
        var all = Seen()
        for number in 1...machine.configuration.refusalCountMax {
            let seen = try self.say(Self.garbage, from: peer, to: &machine, &stream, now: now)
            #expect(seen.answer == (number < machine.configuration.refusalCountMax ? .refused : .blocked))
            all.disconnected.formUnion(seen.disconnected)
            all.lasting += seen.lasting
            all.denied = seen.denied ?? all.denied
            all.kept += seen.kept
        }
        return all
    }

    @Test func `a member that is blocked again and again is blocked for good, through restarts`() async throws {
        let group = try NodeGroup(2)
        let peer = group.keys[1].identity.id
        var machine = try await self.machine(group)
        var (stream, standing): (UInt64, PeerStanding?) = (0, nil)
        let most = machine.configuration.lastingBlockCount
        for round in 1..<most {
            let now = Duration.seconds(round * 7_200)
            let seen = try self.misbehave(as: peer, at: &machine, &stream, now: now)
            #expect(seen.lasting.isEmpty && seen.denied == nil && seen.disconnected == [peer])
            #expect(seen.kept.map(\.peer) == [peer] && seen.kept[0].standing?.block == nil)
            standing = seen.kept[0].standing
            #expect(machine.blocks(now: now).map(\.term) == [.until(now + machine.configuration.blockTime)])
            #expect(machine.blocks(now: now).map(\.signer) == [group.keys[1].signer])
            #expect(machine.blocks(now: now + .seconds(3_601)).isEmpty)
        }
        // Its next life: the rest of the hour is still to pass.
        let start = Duration.seconds((most - 1) * 7_200 + 600)
        var second = try await self.machine(group, now: start)
        second.restore(try #require(standing), now: start)
        #expect(second.blocks(now: start).map(\.term) == [.until(start + .seconds(3_000))])
        #expect(try self.say(Self.garbage, from: peer, to: &second, &stream, now: start).answer == .blocked)
        let now = start + .seconds(3_001)
        let seen = try self.misbehave(as: peer, at: &second, &stream, now: now)
        #expect(seen.lasting == [peer] && seen.denied == [peer] && seen.disconnected == [peer])
        let last = try #require(seen.kept.last?.standing)
        #expect(last.block == .conduct && last.since == 1_800_000_000 + UInt64(now.components.seconds))
        // And the one after that, however much later.
        let later = now + .seconds(86_400 * 400)
        var third = try await self.machine(group, now: later)
        third.restore(last, now: later)
        #expect(third.deniedPeers == [peer] && third.connectivity.map(\.block) == [.conduct])
        #expect(third.blocks(now: later).map(\.term) == [.lasting(.conduct, since: last.since)])
        // A connection that came about all the same ends, and its streams are not heard.
        third.handle(.connected(try self.connection(7, peer)), now: later)
        #expect(self.look(at: &third).disconnected == [peer])
        #expect(try self.say(Self.garbage, from: peer, to: &third, &stream, now: later).answer == nil)
    }

    @Test func `nobody can have a third peer blocked, by what it says, passes on or calls itself`() async throws {
        let group = try NodeGroup(3)
        let (mallory, victim, stranger) = (group.keys[1].identity.id, group.keys[2].identity.id, try PeerIdentity(.generate()).id)
        let victims = group.keys[2].enrolment.identity
        let policy = try await group.record.policy()
        let (transaction, coins) = try await group.spend()
        var proposer = try await self.machine(group, as: 2)
        _ = try proposer.propose(transaction, prevouts: coins, group: policy.digest, seconds: 600, id: SHA256.hash([1]), now: .zero)
        guard case .write(_, _, .request(let new), _)? = proposer.nextEvent() else { throw TestFolderError() }
        // The victim's own words, with a bit turned: in its signature, its request, its enrolment.
        let spoiled = [new.proposal.count - 1, new.proposal.count / 2, new.proposal.count - 100].map { place in
            var bytes = new.proposal
            bytes[place] ^= 1
            return bytes
        }
        // And what names the victim in other ways.
        let named =
            [
                victims.bytes, group.keys[2].enrolment.serialized(), Array("\(victim)".utf8), victim.bytes + [0],
                Array(new.proposal.dropLast(7)),
            ] + Array(repeating: Self.garbage, count: 10)
        var machine = try await self.machine(group)
        var stream: UInt64 = 0
        var lasting: [PeerID] = []
        for round in 0..<(2 * machine.configuration.lastingBlockCount) {
            let now = Duration.seconds(round * 7_200)
            for bytes in spoiled + named + spoiled + named {
                for peer in [mallory, stranger] { lasting += try self.say(bytes, from: peer, to: &machine, &stream, now: now).lasting }
                // In mailboxes whoever keeps them may spoil what the victim left there.
                _ = machine.takeNew(bytes, from: victims, victim, isLive: false, now: now)
            }
            #expect(!machine.blocks(now: now).contains { $0.peer == victim })
        }
        #expect(lasting == [mallory], "who brought it has to answer for it; a stranger is only not heard for a while")
        let now = Duration.seconds(2 * machine.configuration.lastingBlockCount * 7_200)
        #expect(machine.deniedPeers == [mallory])
        #expect(try self.say(Self.garbage, from: victim, to: &machine, &stream, now: now).answer == .refused, "it is listened to")
        // What the blocked one has signed counts where another brings it.
        var other = try await self.machine(group, as: 1, now: now)
        _ = try other.propose(transaction, prevouts: coins, group: policy.digest, seconds: 600, id: SHA256.hash([2]), now: now)
        guard case .write(_, _, .request(let passedOn), _)? = other.nextEvent() else { throw TestFolderError() }
        #expect(try self.say(passedOn.proposal, from: victim, to: &machine, &stream, now: now).answer == .taken)
    }

    @Test func `strangers are blocked for a while only, and take no place from whom the owner has blocked`() async throws {
        let group = try NodeGroup(2)
        var machine = try await self.machine(group)
        var stream: UInt64 = 0
        let blocked = try PeerIdentity(.generate()).id
        _ = try machine.block(blocked, note: "spam", now: .zero)
        let strangers = try (0..<64).map { _ in try PeerIdentity(.generate()).id }
        for round in 0..<(2 * machine.configuration.lastingBlockCount) {
            for stranger in strangers {
                for _ in 0..<machine.configuration.refusalCountMax {
                    let seen = try self.say([], from: stranger, to: &machine, &stream, now: .seconds(round * 7_200))
                    #expect(seen.kept.isEmpty && seen.lasting.isEmpty, "nothing of it goes to the disk")
                }
            }
        }
        let now = Duration.seconds(2 * machine.configuration.lastingBlockCount * 7_200 + 3_601)
        #expect(machine.blocks(now: now).map(\.peer) == [blocked] && machine.blocks(now: now).map(\.note) == ["spam"])
    }

    @Test func `an owner blocks whom it likes but itself, within bounds`() async throws {
        let group = try NodeGroup(2)
        var machine = try await self.machine(group)
        let peer = group.keys[1].identity.id
        #expect(throws: SigningMachineError.ownPeer) { try machine.block(group.keys[0].identity.id, now: .zero) }
        #expect(throws: SigningMachineError.notBlocked) { try machine.unblock(peer, now: .zero) }
        for note in [String(repeating: "ä", count: 101), "a\0b"] {
            #expect(throws: SigningMachineError.blockNoteTooLong) { try machine.block(peer, note: note, now: .zero) }
        }
        #expect(machine.deniedPeers.isEmpty)
        let standing = try machine.block(peer, note: "stolen", now: .seconds(5))
        #expect(standing == PeerStanding(peer: peer.bytes, block: .owner, since: 1_800_000_005, note: "stolen"))
        let seen = self.look(at: &machine)
        #expect(seen.denied == [peer] && seen.disconnected == [peer])
        #expect(machine.blocks(now: .zero).map(\.term) == [.lasting(.owner, since: 1_800_000_005)])
        try machine.unblock(peer, now: .zero)
        #expect(self.look(at: &machine).denied == [] && machine.blocks(now: .zero).isEmpty)
    }

    @Test func `a member that is unblocked is dialled and heard at once, and begins anew`() async throws {
        let group = try NodeGroup(2)
        let (policy, peer) = (try await group.record.policy(), group.keys[1].identity.id)
        let (transaction, coins) = try await group.spend()
        var machine = try await self.machine(group)
        var stream: UInt64 = 0
        machine.learn([try Multiaddr(text: "/ip4/192.0.2.1/tcp/1")], of: peer, now: .zero)
        for round in 0..<machine.configuration.lastingBlockCount {
            _ = try self.misbehave(as: peer, at: &machine, &stream, now: .seconds(round * 7_200))
        }
        let now = Duration.seconds(machine.configuration.lastingBlockCount * 7_200)
        _ = try machine.propose(transaction, prevouts: coins, group: policy.digest, seconds: 600, id: SHA256.hash([1]), now: now)
        guard case .write(let write, let id, .request(let new), _)? = machine.nextEvent() else { throw TestFolderError() }
        machine.written(
            write, of: id,
            .done(
                StoredRequest(
                    id: id, source: new.source, created: new.created, expiry: new.expiry, updated: new.created, decision: .undecided,
                    decisionSerial: 0, state: .proposed, reason: "", transcript: TranscriptHead(request: id))), now: now)
        func dials(at now: Duration) -> [PeerID] {
            machine.tick(now: now)
            var dialled: [PeerID] = []
            while let command = machine.nextCommand() { if case .dial(let peer, _, _) = command { dialled.append(peer) } }
            return dialled
        }
        #expect(dials(at: now + .seconds(1)).isEmpty && dials(at: now + .seconds(100)).isEmpty, "nobody is called who is not heard")
        let later = now + .seconds(101)
        try machine.unblock(peer, now: later)
        #expect(dials(at: later) == [peer])
        #expect(machine.blocks(now: later).isEmpty && machine.deniedPeers.isEmpty)
        // Nothing is left of what was.
        for _ in 1..<machine.configuration.refusalCountMax {
            #expect(try self.say(Self.garbage, from: peer, to: &machine, &stream, now: later).answer == .refused)
        }
        #expect(try self.say(Self.garbage, from: peer, to: &machine, &stream, now: later).lasting.isEmpty)
    }

    // MARK: Rates

    /// About a request that is not known: whoever says it is asked to propose it.
    private func question(_ number: UInt8, in group: NodeGroup, padded byteCount: Int = 0) async throws -> [UInt8] {
        let policy = try await group.record.policy()
        let roster = Roster(members: policy.members, network: .regtest, enrolments: group.keys.map(\.enrolment))
        return CoordinationMessage(
            request: SHA256.hash([number]), series: .init(incarnation: [UInt8](repeating: 0, count: 16)), sequence: 0, acknowledged: nil,
            content: .enrolmentsWanted((0..<byteCount / 2).map { _ in 0 })
        ).serialized(roster)
    }

    @Test func `what one member says on top of its rate waits, counts against nobody, and takes nothing from the others`() async throws {
        let group = try NodeGroup(3)
        let (loud, quiet) = (group.keys[1].identity.id, group.keys[2].identity.id)
        var configuration = SigningMachine.Configuration()
        (configuration.rates.messageBurst, configuration.rates.messagesPerSecond) = (20, 2)
        var machine = try await self.machine(group, configuration)
        var stream: UInt64 = 0
        let message = try await self.question(1, in: group)
        func answer(_ peer: PeerID, at now: Duration) throws -> CoordinationProtocol.Answer? {
            try self.say(message, from: peer, to: &machine, &stream, now: now).answer
        }
        for _ in 0..<20 { #expect(try answer(loud, at: .seconds(1)) == .unknown) }
        for number in 0..<500 {
            #expect(try answer(loud, at: .seconds(1)) == .busy)
            if number % 100 == 0 { #expect(try answer(quiet, at: .seconds(1)) == .unknown, "the other one is heard") }
        }
        #expect(machine.heldBackCount == 500 && machine.blocks(now: .seconds(1)).isEmpty)
        // Even what would count is not looked at.
        for _ in 0..<50 { #expect(try self.say(Self.garbage, from: loud, to: &machine, &stream, now: .seconds(1)).answer == .busy) }
        #expect(machine.blocks(now: .seconds(1)).isEmpty)
        // With time it is heard again, at its rate.
        #expect(try (0..<4).map { _ in try answer(loud, at: .seconds(2)) } == [.unknown, .unknown, .busy, .busy])
        #expect(try answer(loud, at: .seconds(60)) == .unknown)
        // Whoever says nothing for long takes no place here.
        machine.tick(now: .seconds(3_600))
        #expect(machine.rates.isEmpty)
    }

    @Test func `bytes have a rate of their own, and one message may be as long as any`() async throws {
        let group = try NodeGroup(2)
        let peer = group.keys[1].identity.id
        let long = try await self.question(1, in: group, padded: 2_000)
        var configuration = SigningMachine.Configuration()
        (configuration.rates.byteBurst, configuration.rates.bytesPerSecond) = (1_000, 100)
        var machine = try await self.machine(group, configuration)
        var stream: UInt64 = 0
        let first = try self.say(long, from: peer, to: &machine, &stream, now: .zero).answer
        #expect(first != .busy && first != nil)
        #expect(try self.say([1], from: peer, to: &machine, &stream, now: .zero).answer == .busy)
        #expect(try self.say(long, from: peer, to: &machine, &stream, now: .seconds(5)).answer == .busy)
        #expect(try self.say(long, from: peer, to: &machine, &stream, now: .seconds(60)).answer == first)
        #expect(machine.heldBackCount == 2)
    }

    @Test(arguments: [CoordinationProtocol.Answer.busy, .blocked])
    func `what a member had no time for is given ahead again`(answer: CoordinationProtocol.Answer) async throws {
        let group = try NodeGroup(2)
        var configuration = SigningMachine.Configuration()
        configuration.noncePoolCount = 4
        var machine = try await self.machine(group, configuration)
        machine.handle(.connected(try self.connection(1, group.keys[1].identity.id)), now: .seconds(1))
        machine.tick(now: .seconds(1))
        var request: UInt64?
        while let command = machine.nextCommand() {
            if case .open(let number, _, [CoordinationProtocol.id], _) = command { request = number }
        }
        let stream = StreamID(rawValue: 9)
        machine.handle(.opened(request: try #require(request), stream, protocolID: CoordinationProtocol.id), now: .seconds(1))
        machine.handle(.received(stream, FrameReader.frame([answer.rawValue])), now: .seconds(2))
        machine.handle(.ended(stream), now: .seconds(2))
        #expect(machine.underWay.isEmpty)
        machine.tick(now: .seconds(63))
        #expect(machine.underWay.values.map(\.member) == [group.keys[1].signer], "it is told again")
    }
}
