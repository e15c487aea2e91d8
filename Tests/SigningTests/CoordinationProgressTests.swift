import CryptoPrimitives
import Testing

@testable import Signing

/// What a member knows of the others' decisions, and may show its person.
@Suite struct CoordinationProgressTests {
    private typealias Content = CoordinationMessage.Content

    @Test func `who agreed is known to everybody who asks the coordinator, for no message more`() throws {
        let group = try CoordinationGroup(4)
        var kinds: [Bool] = []
        func watch() -> ((CoordinationGroup.Member, CoordinationGroup.Member, [UInt8]) -> [UInt8]?) {
            { from, _, bytes in
                guard from === group.members[0], let content = group.content(bytes) else { return bytes }
                switch content {
                case .acknowledgement: kinds.append(false)
                case .standing: kinds.append(true)
                default: break
                }
                return bytes
            }
        }
        for place in [0, 1] { group.members[place].machine?.approve(serial: 1) }
        group.exchange()
        // The first one coordinates: approvals come to it alone.
        #expect(group.members[0].machine?.progress.approved == [0, 1].map { group.members[$0].key })
        #expect(group.members[1].machine?.progress.approved == [group.members[1].key])
        group.members[2].machine?.approve(serial: 1)
        group.pass(.seconds(10), watch())
        let agreed = (0..<3).map { group.members[$0].key }
        #expect(group.members[1].machine?.progress.approved == agreed && group.members[2].machine?.progress.approved == agreed)
        // With its answers, and once each: what is no news is not said again.
        #expect(kinds.count(where: { $0 }) == 2 && kinds.count(where: { !$0 }) > 2)
        // Who has not decided does not ask, and knows what it heard.
        #expect(group.members[3].machine?.progress.approved == [])
    }

    @Test func `who took its agreement back, ourselves too, agrees no more`() throws {
        let group = try CoordinationGroup(3, threshold: 2)
        // The third one signs with nobody: the first two are not there.
        for place in [0, 2] { group.members[place].machine?.approve(serial: 1) }
        for member in group.members { group.step(member) }
        let (coordinator, other) = (group.members[0], group.members[2])
        #expect(coordinator.machine?.progress.approved == [coordinator.key])
        coordinator.machine?.refuse(.withdrawn, serial: 2)
        #expect(coordinator.machine?.progress.approved == [] && coordinator.machine?.progress.refused == [coordinator.key])
        group.exchange { from, to, bytes in from === coordinator && to === other ? bytes : nil }
        #expect(other.machine?.progress.refused == [coordinator.key] && other.machine?.progress.approved == [other.key])
        let refuser = group.members[1]
        refuser.machine?.refuse(.rejected, serial: 1)
        #expect(refuser.machine?.progress.refused == [refuser.key])
    }

    @Test func `of what is signed everybody knows who signed, also after a restart`() throws {
        let group = try CoordinationGroup(3)
        group.approveAll()
        group.exchange()
        for member in group.members {
            #expect(member.machine?.progress.approved == group.policy.members && member.machine?.progress.refused == [])
        }
        let completion = group.members[2].machine?.completion
        let ended = try #require(completion)
        try group.restart(group.members[1])
        group.members[1].machine?.restore(ended, now: group.moment)
        #expect(group.members[1].machine?.progress.approved == group.policy.members)
    }

    @Test func `secret nonces are counted while they are held`() throws {
        let group = try CoordinationGroup(2, inputs: 3)
        let member = group.members[1]
        #expect(member.machine?.secretNonceCount == 0)
        member.machine?.approve(serial: 1)
        group.step(member)
        #expect(member.machine?.secretNonceCount == 3)
        member.machine?.refuse(.withdrawn, serial: 2)
        #expect(member.machine?.secretNonceCount == 0)
    }
}
