import CryptoPrimitives
import Secp256k1
import Testing

@testable import Signing

/// The cases of the described systems' election and failover, by name, and what they leave out.
///
/// `CoordinationTests` and `CoordinationHostilityTests` hold the others; `docs/described-systems.md` lists all.
@Suite struct DescribedElectionTests {
    private let keys: [PublicKey]

    init() throws { self.keys = try Signer.make(7).map(\.publicKey) }

    // MARK: Election

    @Test func `each method orders all members, each once, and says the same every time`() {
        for election in CoordinatorElection.allCases {
            let order = election.priority(of: self.keys, request: SHA256.hash([1]))
            #expect(order.count == self.keys.count && Set(order) == Set(self.keys))
            #expect(election.priority(of: self.keys, request: SHA256.hash([1])) == order)
        }
    }

    @Test func `by keys, the first and the last mean what they say`() {
        let request = SHA256.hash([1])
        let shuffled = [3, 0, 6, 2, 5, 1, 4].map { self.keys[$0] }
        #expect(CoordinatorElection.lexicographic.priority(of: shuffled, request: request) == self.keys.sorted())
        #expect(CoordinatorElection.firstSigner.priority(of: shuffled, request: request) == shuffled)
        #expect(CoordinatorElection.lastSigner.priority(of: shuffled, request: request) == shuffled.reversed())
    }

    @Test func `in whatever order members are listed, the same one is elected by keys and by hash`() {
        for election in [CoordinatorElection.lexicographic, .hash] {
            let orders = permutations(Array(self.keys.prefix(4))).map { election.priority(of: $0, request: SHA256.hash([2])) }
            #expect(Set(orders).count == 1)
        }
    }

    @Test func `by hash everybody comes first now and then, and it is what is used unless something else is said`() throws {
        #expect(try #require(RequestTerms(createdAt: 0)).election == .hash)
        var firsts: [PublicKey: Int] = [:]
        for number in UInt8(0)..<210 {
            let first = try #require(CoordinatorElection.hash.priority(of: self.keys, request: SHA256.hash([number])).first)
            firsts[first, default: 0] += 1
        }
        #expect(firsts.count == self.keys.count)
        #expect(firsts.values.allSatisfy { (10...60).contains($0) })
    }

    @Test(arguments: CoordinatorElection.allCases)
    func `all members agree on who coordinates, and the request completes`(election: CoordinatorElection) throws {
        let group = try CoordinationGroup(5, threshold: 3, election: election)
        let coordinators = group.members.compactMap { $0.machine?.currentCoordinator }
        #expect(Set(coordinators).count == 1)
        var began: Set<PublicKey> = []
        group.approveAll()
        group.exchange { sender, _, bytes in
            if case .begin = group.content(bytes) { began.insert(sender.key) }
            return bytes
        }
        #expect(group.members.allSatisfy { $0.state == .complete })
        #expect(began == Set(coordinators))
    }

    // MARK: Failover

    @Test(arguments: CoordinatorElection.allCases)
    func `when the first three are gone the fourth coordinates, whatever the method`(election: CoordinatorElection) throws {
        let group = try CoordinationGroup(6, threshold: 3, election: election)
        let priority = election.priority(
            of: group.members.map(\.key), request: group.request.digest, proposer: group.request.proposer)
        let gone = priority.prefix(3)
        for key in gone { group.member(key)?.machine = nil }
        let living = group.members.filter { $0.machine != nil }
        for member in living { member.machine?.approve(serial: 1) }
        group.pass(.seconds(120))
        for member in living {
            #expect(member.state == .complete)
            #expect(Set(member.records.map(\.attempt)).isSubset(of: [4, 5, 6]))
        }
        // Each noticed by itself; nobody told it to.
        let noticed = living.filter { member in
            member.events.contains { if case .coordinatorFailed(priority[0], turn: 1) = $0 { true } else { false } }
        }
        #expect(noticed.count >= 2)
    }

    @Test func `if nobody sees the transaction, the next one broadcasts it, and then the one behind`() throws {
        let group = try CoordinationGroup(3)
        group.approveAll()
        group.exchange()
        #expect(group.members.allSatisfy { $0.state == .complete })
        func broadcasters() -> [Bool] {
            group.members.map { member in member.events.contains { if case .shouldBroadcast = $0 { true } else { false } } }
        }
        #expect(broadcasters() == [true, false, false])
        group.now += .seconds(301)
        group.exchange()
        #expect(broadcasters() == [true, true, false])
        group.now += .seconds(301)
        group.exchange()
        #expect(broadcasters() == [true, true, true])
    }

    @Test func `once the transaction is seen nobody broadcasts it again`() throws {
        let group = try CoordinationGroup(3)
        group.approveAll()
        group.exchange()
        for member in group.members { member.machine?.noteBroadcast() }
        group.now += .seconds(1_000)
        group.exchange()
        let broadcasters = group.members.filter { $0.events.contains { if case .shouldBroadcast = $0 { true } else { false } } }
        #expect(broadcasters.count == 1)
    }
}
