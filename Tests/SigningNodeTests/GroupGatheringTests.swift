import Bitcoin
import CryptoPrimitives
import LibP2P
import Secp256k1
import Signing
import SigningTestSupport
import Testing

@testable import SigningNode

@Suite struct GroupGatheringTests {
    /// What the inviter answers to one who brings the bytes over a connection of its own.
    private func answer(
        _ gathering: inout GroupGathering, _ bytes: [UInt8], from peer: Ed25519.PublicKey, _ inviter: Person,
        now: UInt64 = Group.start
    ) throws -> GroupAnswer {
        let answer = gathering.receive(try GroupJoin(parsing: bytes), from: peer, now: now, identity: inviter.identity).answer
        // It comes as bytes.
        #expect(try GroupAnswer(parsing: answer.serialized()) == answer)
        return answer
    }

    @Test(arguments: [GroupTerms.Shape.everyone, .delegated(threshold: 2, .unspendable), .delegated(threshold: 2, .aggregate)])
    func `everybody who joins has the same group in the end`(shape: GroupTerms.Shape) async throws {
        let (ada, bob, cleo) = try (Person("Ada"), Person("Bob"), Person("Cleo"))
        var gathering = try Group.gathering(ada, shape: shape)
        var (bobs, cleos) = try (bob.joining(gathering.invitations[0]), cleo.joining(gathering.invitations[1]))
        #expect(gathering.record == nil)
        let first = try self.answer(&gathering, bobs.message, from: bob.identity.publicKey, ada)
        #expect(first == .waiting(joined: 2, of: 3))
        try bobs.receive(first.serialized())
        #expect(bobs.state == .asking(joined: 2))
        try cleos.receive(self.answer(&gathering, cleos.message, from: cleo.identity.publicKey, ada).serialized())
        try bobs.receive(self.answer(&gathering, bobs.message, from: bob.identity.publicKey, ada).serialized())

        let record = try #require(gathering.record)
        let members = try #require(gathering.members)
        #expect(bobs.state == .made(record, members) && cleos.state == bobs.state)
        #expect(record.signers == [ada.key.publicKey, bob.key.publicKey, cleo.key.publicKey].sorted())
        #expect(members.map(\.signer) == record.signers && members.allSatisfy { $0.addresses.count == 1 })
        let policy = try await record.policy()
        #expect(policy.threshold == (shape == .everyone ? 3 : 2))
    }

    @Test func `a token belongs to the first signer that uses it, and repeats change nothing`() throws {
        let (ada, bob, eve) = try (Person("Ada"), Person("Bob"), Person("Eve"))
        var gathering = try Group.gathering(ada)
        let invitation = gathering.invitations[0]
        let message = try bob.joining(invitation).message
        _ = try self.answer(&gathering, message, from: bob.identity.publicKey, ada)
        let joined = gathering
        // Bob again; with a newer enrolment; when its time is over.
        #expect(try self.answer(&gathering, message, from: bob.identity.publicKey, ada) == .waiting(joined: 2, of: 3))
        let newer = try GroupJoining(invitation, as: bob.member(port: 9, version: 2), identity: bob.identity, takenAt: Group.start)
        #expect(try self.answer(&gathering, newer.message, from: bob.identity.publicKey, ada) == .waiting(joined: 2, of: 3))
        let late = try self.answer(&gathering, message, from: bob.identity.publicKey, ada, now: Group.expiry + 1)
        #expect(late == .waiting(joined: 2, of: 3))
        // Eve with Bob's invitation, and with Bob's message.
        let eves = try eve.joining(invitation).message
        #expect(try self.answer(&gathering, eves, from: eve.identity.publicKey, ada) == .refused(.used))
        #expect(try self.answer(&gathering, message, from: eve.identity.publicKey, ada) == .refused(.notProved))
        #expect(gathering == joined)
    }

    @Test func `nobody joins without proof, twice, too late, or for another network`() throws {
        let (ada, bob, eve) = try (Person("Ada"), Person("Bob"), Person("Eve"))
        var gathering = try Group.gathering(ada, memberCount: 4)
        let before = gathering
        let invitation = gathering.invitations[0]
        let message = try bob.joining(invitation).message
        // Over Eve's connection.
        #expect(try self.answer(&gathering, message, from: eve.identity.publicKey, ada) == .refused(.notProved))
        // Signed for other terms: what Bob agreed to is not what Ada makes.
        let other = try Group.terms(ada, memberCount: 4, shape: .delegated(threshold: 1, .unspendable))
        let misled = try bob.joining(GroupInvitation(terms: other, token: invitation.token, addresses: []))
        #expect(try self.answer(&gathering, misled.message, from: bob.identity.publicKey, ada) == .refused(.notProved))
        // A token that is none.
        let guessed = try bob.joining(GroupInvitation(terms: gathering.terms, token: Group.token(99), addresses: []))
        #expect(try self.answer(&gathering, guessed.message, from: bob.identity.publicKey, ada) == .refused(.unknown))
        #expect(
            try self.answer(&gathering, message, from: bob.identity.publicKey, ada, now: Group.expiry + 1) == .refused(.expired))
        let expired = try GroupJoining(invitation, as: bob.member(expiry: 5), identity: bob.identity, takenAt: Group.start)
        #expect(try self.answer(&gathering, expired.message, from: bob.identity.publicKey, ada) == .refused(.enrolmentExpired))
        #expect(gathering == before)

        _ = try self.answer(&gathering, message, from: bob.identity.publicKey, ada)
        let joined = gathering
        // The same signer by another invitation, its identity for another signer, and Ada herself.
        let second = gathering.invitations[1]
        #expect(try self.answer(&gathering, bob.joining(second).message, from: bob.identity.publicKey, ada) == .refused(.keyTaken))
        let double = try Person("Bobs second key", identity: "Bob")
        #expect(try self.answer(&gathering, double.joining(second).message, from: bob.identity.publicKey, ada) == .refused(.keyTaken))
        let adas = try Person("Ada", identity: "Adas second machine")
        #expect(try self.answer(&gathering, adas.joining(second).message, from: adas.identity.publicKey, ada) == .refused(.keyTaken))
        #expect(gathering == joined)
    }

    @Test func `the owner of a group is no member of it`() throws {
        let (ada, bob) = try (Person("Ada"), Person("Bob"))
        let shape = GroupTerms.Shape.delegated(threshold: 2, .owner(bob.key.publicKey.xOnly))
        var gathering = try Group.gathering(ada, shape: shape)
        let message = try bob.joining(gathering.invitations[0]).message
        #expect(try self.answer(&gathering, message, from: bob.identity.publicKey, ada) == .refused(.keyTaken))
        let own = GroupTerms.Shape.delegated(threshold: 2, .owner(ada.key.publicKey.xOnly))
        #expect(throws: GroupError.self) { try Group.gathering(ada, shape: own) }
    }

    @Test func `whoever was invited looks at the invitation before it is taken`() throws {
        let (ada, bob) = try (Person("Ada"), Person("Bob"))
        let invitation = try Group.gathering(ada).invitations[0]
        #expect(throws: GroupError.ownInvitation) { try ada.joining(invitation) }
        #expect(throws: GroupError.expired) { try bob.joining(invitation, now: Group.expiry + 1) }
        let elsewhere = try Person("Bob", network: .mainnet)
        #expect(throws: GroupError.anotherNetwork(invitation: .regtest, own: .mainnet)) { try elsewhere.joining(invitation) }
    }

    @Test func `an inviter that lies makes no group`() throws {
        let (ada, bob, cleo, eve) = try (Person("Ada"), Person("Bob"), Person("Cleo"), Person("Eve"))
        let terms = try Group.terms(ada)
        let invitation = try Group.gathering(ada).invitations[0]
        var joining = try bob.joining(invitation)
        func tell(_ members: [GroupMember], signedBy signer: Person) throws {
            try joining.receive(GroupAnswer.made(members, signer.identity.sign(GroupAnswer.digest(members, terms).bytes)).serialized())
        }
        let (a, b, c, e) = try (ada.member(), bob.member(), cleo.member(), eve.member())
        func sorted(_ members: GroupMember...) -> [GroupMember] { members.sorted { $0.signer < $1.signer } }
        let right = sorted(a, b, c)
        // Not Ada's words; Bob left out, Ada left out; one too few, one too many; in another order; one twice.
        #expect(throws: GroupError.self) { try tell(right, signedBy: eve) }
        #expect(throws: GroupError.self) { try tell(sorted(a, c, e), signedBy: ada) }
        #expect(throws: GroupError.self) { try tell(sorted(b, c, e), signedBy: ada) }
        #expect(throws: GroupError.self) { try tell(sorted(a, b), signedBy: ada) }
        #expect(throws: GroupError.self) { try tell(sorted(a, b, c, e), signedBy: ada) }
        #expect(throws: GroupError.self) { try tell(right.reversed(), signedBy: ada) }
        #expect(throws: GroupError.self) { try tell(sorted(a, b, b), signedBy: ada) }
        // Bob's key with a machine that is not his; another member with Ada's identity; a key for another network.
        let stolen = try Person("Bob", identity: "Eve").member()
        #expect(throws: GroupError.self) { try tell(sorted(a, stolen, c), signedBy: ada) }
        let double = try Person("Cleo", identity: "Ada").member()
        #expect(throws: GroupError.self) { try tell(sorted(a, b, double), signedBy: ada) }
        let foreign = try Person("Cleo", network: .mainnet).member()
        #expect(throws: GroupError.self) { try tell(sorted(a, b, foreign), signedBy: ada) }
        for counts in [(4, 3), (0, 0), (3, 3), (1, 4)] {
            #expect(throws: GroupError.self) { try joining.receive(GroupAnswer.waiting(joined: counts.0, of: counts.1).serialized()) }
        }
        #expect(joining.state == .asking(joined: 0))
        // After all of that the truth still counts, and then nothing else.
        try tell(right, signedBy: ada)
        guard case .made = joining.state else { return #expect(Bool(false), "\(joining.state)") }
        try joining.receive(GroupAnswer.refused(.unknown).serialized())
        guard case .made = joining.state else { return #expect(Bool(false), "\(joining.state)") }
    }

    @Test func `messages that are cut, longer or altered are refused, and never trap`() throws {
        let (ada, bob) = try (Person("Ada"), Person("Bob"))
        var gathering = try Group.gathering(ada, memberCount: 2)
        var joining = try bob.joining(gathering.invitations[0])
        let join = joining.message
        for count in 0..<join.count { #expect(throws: GroupError.self) { try GroupJoin(parsing: Array(join.prefix(count))) } }
        #expect(throws: GroupError.self) { try GroupJoin(parsing: join + [0]) }
        #expect(throws: GroupError.self) { try GroupJoin(parsing: [UInt8](repeating: 1, count: 10_000)) }
        var gatherings = GroupGatherings()
        try gatherings.add(gathering)
        // Each bit of a join counts: altered it is refused, and nobody joins.
        for place in join.indices {
            var other = join
            other[place] ^= 1 << UInt8(place % 8)
            let (answer, changed) = gatherings.receive(other, from: bob.identity.publicKey, now: Group.start, identity: ada.identity)
            guard case .refused = answer else { return #expect(Bool(false), "byte \(place): \(answer)") }
            #expect(changed == nil)
        }
        let made = gathering.receive(
            try GroupJoin(parsing: join), from: bob.identity.publicKey, now: Group.start, identity: ada.identity
        ).answer.serialized()
        for count in 0..<made.count { #expect(throws: GroupError.self) { try joining.receive(Array(made.prefix(count))) } }
        for place in made.indices {
            var other = made
            other[place] ^= 1 << UInt8(place % 8)
            #expect(throws: GroupError.self) { try joining.receive(other) }
        }
        #expect(joining.state == .asking(joined: 0))
        try joining.receive(made)
    }

    @Test func `a gathering comes back from its bytes, and other bytes are none`() throws {
        let (ada, bob) = try (Person("Ada"), Person("Bob"))
        var gathering = try Group.gathering(ada, shape: .delegated(threshold: 2, .aggregate))
        #expect(try GroupGathering(parsing: gathering.serialized()) == gathering)
        _ = try self.answer(&gathering, bob.joining(gathering.invitations[1]).message, from: bob.identity.publicKey, ada)
        let bytes = gathering.serialized()
        #expect(try GroupGathering(parsing: bytes) == gathering)
        for count in 0..<bytes.count { #expect(throws: GroupError.self) { try GroupGathering(parsing: Array(bytes.prefix(count))) } }
        #expect(throws: GroupError.self) { try GroupGathering(parsing: bytes + [0]) }
    }

    @Test func `a node keeps so many gatherings, each under a name of its own, and not for ever`() throws {
        let (ada, bob) = try (Person("Ada"), Person("Bob"))
        var gatherings = GroupGatherings()
        try gatherings.add(Group.gathering(ada, name: "0"))
        #expect(throws: GroupError.self) { try gatherings.add(Group.gathering(ada, name: "0")) }
        for number in 1..<GroupGatherings.countMax {
            let terms = try Group.terms(ada, name: "\(number)", memberCount: 2)
            let token = try Group.token(UInt8(100 + number))
            try gatherings.add(GroupGathering(terms, tokens: [token], own: ada.member()))
        }
        #expect(throws: GroupError.tooMany(limit: 64)) { try gatherings.add(Group.gathering(ada, name: "one more")) }

        let gathering = try #require(gatherings.all["7"])
        let message = try bob.joining(gathering.invitations[0]).message
        let (answer, changed) = gatherings.receive(message, from: bob.identity.publicKey, now: Group.start, identity: ada.identity)
        #expect(changed == "7")
        guard case .made = answer else { return #expect(Bool(false), "\(answer)") }
        // It could not be made durable.
        gatherings.replace(gathering)
        #expect(gatherings.all["7"]?.members == nil)

        #expect(gatherings.outdated(at: Group.expiry + GroupGatherings.keptSeconds).isEmpty)
        #expect(gatherings.outdated(at: Group.expiry + GroupGatherings.keptSeconds + 1).count == 64)
        gatherings.remove("7")
        let late = gatherings.receive(message, from: bob.identity.publicKey, now: Group.start, identity: ada.identity)
        #expect(late.answer == .refused(.unknown) && late.changed == nil)
    }
}
