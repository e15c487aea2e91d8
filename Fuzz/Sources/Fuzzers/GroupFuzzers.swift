import Bitcoin
import CryptoPrimitives
import LibP2P
import Secp256k1
import Signing
import SigningNode

extension Fuzzer {
    /// Words that people copy: invitations and contacts, as somebody sent them, and with a checksum that is right.
    static let invitation = Fuzzer(
        name: "invitation", byteCountMax: 2_048, seeds: { try GroupSeeds.words() },
        run: { start, count in
            let bytes = input(start, count)
            GroupSeeds.read(String(decoding: bytes, as: UTF8.self))
            for prefix in [GroupInvitation.textPrefix, ContactCard.textPrefix] {
                guard let groups = try? Bech32.convertBits(bytes, from: 8, to: 5, padding: true),
                    let word = try? Bech32.encode(
                        humanReadablePart: prefix, data5: groups, variant: .bech32m, maximumLength: GroupInvitation.characterCountMax)
                else { continue }
                GroupSeeds.read(word)
            }
            return 0
        })

    /// What members and inviters say while a group is made, as the other side takes it. Nobody here makes a group, for nobody has its keys.
    static let groupMessages = Fuzzer(
        name: "group-messages", byteCountMax: 4_096, seeds: { try GroupSeeds.messages() },
        run: { start, count in
            let bytes = input(start, count)
            if let answer = try? GroupAnswer(parsing: bytes) { require(answer.serialized() == bytes, "an answer comes back") }
            if let gathering = try? GroupGathering(parsing: bytes) {
                require(gathering.serialized() == bytes, "a gathering comes back")
                require(gathering.joined.count <= gathering.terms.memberCount, "no more join than there are places")
            }
            guard let play = GroupSeeds.play, let inviter = try? Known.identity(1), let guest = try? Known.identity(2) else {
                fatalError("no group to join")
            }
            var joining = play.joining
            do { try joining.receive(bytes) } catch { require(joining.state == .asking(joined: 0), "what is refused changes nothing") }
            if case .made(_, let members) = joining.state {
                require(members.contains { $0.signer == play.joining.own.signer }, "a group has who joined it")
            }
            for peer in [guest.publicKey, inviter.publicKey] {
                var gatherings = play.gatherings
                let (answer, changed) = gatherings.receive(bytes, from: peer, now: GroupSeeds.start, identity: inviter)
                require((try? GroupAnswer(parsing: answer.serialized())) == answer, "each answer can be read")
                if changed == nil { require(gatherings.all == play.gatherings.all, "who did not join changes nothing") }
                require(gatherings.all.count == 1, "one group stays one group")
            }
            return 0
        })

    /// An owner's policy, as people write it, and what a node remembers of its approvals.
    static let approvalPolicy = Fuzzer(
        name: "approval-policy", byteCountMax: 4_096, seeds: { try GroupSeeds.policies() },
        run: { start, count in
            let bytes = input(start, count)
            if let policy = try? ApprovalPolicy(parsing: bytes) {
                require((try? ApprovalPolicy(parsing: Array(policy.text.utf8))) == policy, "a policy reads as it is written")
            }
            if let history = try? ApprovalHistory(parsing: bytes) { require(history.serialized() == bytes, "a history comes back") }
            return 0
        })
}

/// A group that is being made by signer 1, and to which signer 2 was invited.
private enum GroupSeeds {
    static let start: UInt64 = 1_800_000_000

    struct Play {
        let gatherings: GroupGatherings
        let gathering: GroupGathering
        let joining: GroupJoining
    }

    static let play = try? Self.makePlay()

    private static func member(_ number: UInt8) throws -> GroupMember {
        GroupMember(
            try Enrolment(network: .regtest, signer: Known.secretKey(number), identity: Known.identity(number)),
            addresses: [try Multiaddr(text: "/ip4/192.0.2.\(number)/tcp/4001")])
    }

    private static func terms(_ shape: GroupTerms.Shape, members: Int) throws -> GroupTerms {
        try GroupTerms(
            network: .regtest, name: "treasury", memberCount: members, shape: shape, inviter: Known.identity(1).publicKey,
            expiry: Self.start + 600)
    }

    private static func gathering(_ shape: GroupTerms.Shape, members: Int) throws -> GroupGathering {
        let tokens = (1..<members).compactMap { GroupToken([UInt8](repeating: UInt8($0), count: GroupToken.byteCount)) }
        return try GroupGathering(Self.terms(shape, members: members), tokens: tokens, own: Self.member(1))
    }

    private static func makePlay() throws -> Play {
        let gathering = try Self.gathering(.everyone, members: 3)
        var gatherings = GroupGatherings()
        try gatherings.add(gathering)
        let joining = try GroupJoining(
            gathering.invitations[0], as: Self.member(2), identity: Known.identity(2), takenAt: Self.start)
        return Play(gatherings: gatherings, gathering: gathering, joining: joining)
    }

    static func read(_ text: String) {
        if let invitation = try? GroupInvitation(text: text) {
            require((try? GroupInvitation(text: invitation.text)) == invitation, "an invitation comes back")
        }
        if let card = try? ContactCard(text: text) { require((try? ContactCard(text: card.text)) == card, "a contact comes back") }
    }

    static func words() throws -> [[UInt8]] {
        let owner = try Known.key(9).xOnly
        let shapes: [GroupTerms.Shape] = [
            .everyone, .delegated(threshold: 2, .aggregate), .delegated(threshold: 2, .unspendable),
            .delegated(threshold: 2, .owner(owner)),
        ]
        let invitations = try shapes.flatMap { try Self.gathering($0, members: 3).invitations.map(\.text) }
        let member = try Self.member(2)
        let words = invitations + [ContactCard(member.enrolment, addresses: member.addresses).text]
        // As they are written, and what is in them.
        let contents = try words.map { try Bech32.convertBits(Bech32.decode($0, maximumLength: 2_048).1, from: 5, to: 8, padding: false) }
        return words.map { Array($0.utf8) } + contents
    }

    static func messages() throws -> [[UInt8]] {
        guard let play else { return [] }
        var gatherings = play.gatherings
        var messages = [play.joining.message, play.gathering.serialized()]
        // The second and the third join: then the group is made.
        for number in [2, 3] as [UInt8] {
            let joining = try GroupJoining(
                play.gathering.invitations[Int(number) - 2], as: Self.member(number), identity: Known.identity(number), takenAt: Self.start)
            let (answer, _) = gatherings.receive(
                joining.message, from: try Known.identity(number).publicKey, now: Self.start, identity: try Known.identity(1))
            messages += [joining.message, answer.serialized()]
        }
        messages += gatherings.all.values.map { $0.serialized() }
        return messages + [GroupAnswer.refused(.used).serialized()]
    }

    static func policies() throws -> [[UInt8]] {
        let script = "5120" + String(repeating: "79", count: 32)
        // The address of the generator, as a Taproot output key.
        let address = "bcrt1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vqc8gma6"
        let texts = [
            """
            chorale-approval 1
            network: regtest
            group: \(address)
            proposer: any
            destination: any
            amount-per-request: 1 sat
            amount-per-day: 2 sat
            approvals-per-day: 3
            fee: 4 sat
            fee-rate: 5 sat/vB
            window: always
            delay: 600 s
            """,
            """
            chorale-approval 1
            # what is small, in working hours
            network: regtest
            group: \(address)
            own: \(address)
            proposer: 0279be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798
            destination: script \(script)
            amount-per-request: 1 sat
            amount-per-day: 2 sat
            approvals-per-day: 3
            fee: 4 sat
            fee-rate: 5 sat/vB
            window: Mon-Fri,Sun 09:00-17:30
            delay: 0 s
            unseen: 60 s
            coins-of-others: allow
            otherwise: refuse
            """,
        ]
        // Well-formed, or this throws.
        for text in texts { _ = try ApprovalPolicy(parsing: Array(text.utf8)) }
        return texts.map { Array($0.utf8) } + [ApprovalHistory(now: Moment(uptime: .zero, time: Self.start)).serialized()]
    }
}
