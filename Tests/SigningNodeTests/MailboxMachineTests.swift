import Bitcoin
import CryptoPrimitives
import LibP2P
import SessionStore
import Signing
import Testing

@testable import SigningNode

/// A machine by itself, whose only other member is away.
@Suite struct MailboxMachineTests {
    private struct Seen {
        var dialled: Set<PeerID> = []
        var asked: Set<PeerID> = []
        var notLeft: [MailboxClientError] = []
    }

    /// Lets a machine propose a payment to so many outputs, each followed by one with a note of so many bytes, and the time pass, with nobody
    /// in reach.
    private func proposal(outputs: Int, note: Int = 0, mailbox: PeerID, isConnected: Bool = false) async throws -> Seen {
        let group = try NodeGroup(2)
        let policy = try await group.record.policy()
        var machine = SigningMachine(
            keys: group.keys[0], clocks: { SigningClocks(wall: .seconds(1_800_000_000) + $0, running: $0) },
            makeIncarnation: { .random() }, now: .zero)
        machine.add(policy, name: "group", members: group.keys.map(\.enrolment))
        if isConnected {
            let info = ConnectionInfo(
                id: ConnectionID(rawValue: 1), peer: mailbox, isOutbound: false, remoteAddress: try Multiaddr(text: "/ip4/192.0.2.1/tcp/1"),
                isLimited: false)
            machine.handle(.connected(info), now: .zero)
        }
        machine.learn([try Multiaddr(text: "/ip4/192.0.2.1/tcp/1/p2p/\(mailbox)")], of: group.keys[1].identity.id, now: .zero)
        let output = TransactionOutput(amount: 1_000, scriptPubKey: policy.scriptPubKey)
        // OP_RETURN, and one push.
        let remark = TransactionOutput(
            amount: 0, scriptPubKey: Script([0x6a, 0x4c, UInt8(note)] + [UInt8](repeating: 0x2e, count: note)))
        let input = TransactionInput(previousOutput: OutPoint(txid: Txid(SHA256.hash([1])), index: 0))
        _ = try machine.propose(
            Transaction(
                inputs: [input], outputs: Array(repeating: note == 0 ? [output] : [output, remark], count: outputs).flatMap { $0 }),
            prevouts: [TransactionOutput(amount: 100_000_000, scriptPubKey: policy.scriptPubKey)], group: policy.digest, seconds: 86_400,
            id: SHA256.hash([2]), now: .zero)
        let folder = try TestFolder()
        let database = try await SessionDatabase.open("\(folder.path)/store.db")
        var seen = Seen()
        for second in Int64(0)..<300 {
            machine.tick(now: .seconds(second))
            while let event = machine.nextEvent() {
                switch event {
                case .write(let number, let id, let write, _):
                    var stored: StoredRequest?
                    if case .request(let new) = write {
                        try await database.requests().add(new)
                        stored = try await database.requests().request(id)
                    }
                    machine.written(number, of: id, .done(stored), now: .seconds(second))
                case .notLeft(_, let member, let error):
                    #expect(member == group.keys[1].signer)
                    seen.notLeft.append(error)
                default: break
                }
            }
            while let command = machine.nextCommand() {
                switch command {
                case .dial(let peer, _, _): seen.dialled.insert(peer)
                case .open(_, let peer, [MailboxProtocol.id], _): seen.asked.insert(peer)
                default: break
                }
            }
        }
        await database.close()
        return seen
    }

    @Test func `a mailbox is dialled once its member is away and something is to be left there`() async throws {
        let mailbox = PeerID(of: try Ed25519.SecretKey.generate().publicKey)
        let seen = try await self.proposal(outputs: 1, mailbox: mailbox)
        #expect(seen.dialled.contains(mailbox) && seen.notLeft.isEmpty)
    }

    @Test func `a mailbox that is connected when it becomes one is used at once`() async throws {
        let mailbox = PeerID(of: try Ed25519.SecretKey.generate().publicKey)
        let seen = try await self.proposal(outputs: 1, mailbox: mailbox, isConnected: true)
        #expect(seen.asked == [mailbox] && !seen.dialled.contains(mailbox))
    }

    @Test func `what is too long for a mailbox is told its owner, once`() async throws {
        let mailbox = PeerID(of: try Ed25519.SecretKey.generate().publicKey)
        // Longer than a box is not too long: it goes in parts.
        #expect(try await self.proposal(outputs: 3_000, mailbox: mailbox).notLeft.isEmpty)
        let seen = try await self.proposal(outputs: 6_000, note: 80, mailbox: mailbox)
        #expect(seen.notLeft.count == 1)
        guard case .tooLarge(let byteCount, SealedMessage.messageByteCountMax)? = seen.notLeft.first else {
            Issue.record("\(seen.notLeft)")
            return
        }
        #expect(byteCount > SealedMessage.messageByteCountMax)
    }

    @Test func `of what comes before its proposal, nobody pushes out what others said`() throws {
        let group = try NodeGroup(3)
        var machine = SigningMachine(
            keys: group.keys[0], clocks: { SigningClocks(wall: .seconds(1_800_000_000) + $0, running: $0) },
            makeIncarnation: { .random() }, now: .zero)
        func message(_ name: UInt8, byteCount: Int, from place: Int) -> SigningMachine.EarlyMessage {
            SigningMachine.EarlyMessage(
                request: SHA256.hash([name]), bytes: [UInt8](repeating: name, count: byteCount), from: group.keys[place].enrolment.identity,
                receipt: MailboxReceipt(rawValue: UInt64(name)))
        }
        machine.keepEarly(message(200, byteCount: 10, from: 1))
        for name in UInt8(0)..<100 { machine.keepEarly(message(name, byteCount: 10, from: 2)) }
        #expect(machine.early.map { $0.bytes[0] } == [200] + (37..<100).map { UInt8($0) })
        // By bytes, where these are what there is too much of.
        let half = SigningMachine.EarlyMessage.byteCountMax / 2
        for name in UInt8(100)..<102 { machine.keepEarly(message(name, byteCount: half, from: 2)) }
        #expect(machine.early.map { $0.bytes[0] } == [200, 101])
    }

    @Test func `what lay in a mailbox for a group that comes later is taken when it comes`() async throws {
        let group = try NodeGroup(3)
        let policy = try await group.record.policy()
        let enrolments = group.keys.map(\.enrolment)
        func machine(_ place: Int) -> SigningMachine {
            SigningMachine(
                keys: group.keys[place], clocks: { SigningClocks(wall: .seconds(1_800_000_000) + $0, running: $0) },
                makeIncarnation: { .random() }, now: .zero)
        }
        var proposer = machine(1)
        var own = machine(0)
        proposer.add(policy, name: "group", members: enrolments)
        let pair = try SignerGroup([group.keys[0].signer, group.keys[1].signer].sorted())
        own.add(pair, name: "pair", members: Array(enrolments.prefix(2)))
        let (transaction, coins) = try await group.spend()
        let id = try proposer.propose(transaction, prevouts: coins, group: policy.digest, seconds: 600, id: SHA256.hash([1]), now: .zero)
        guard case .write(_, _, .request(let new), _)? = proposer.nextEvent() else { throw TestFolderError() }
        own.tick(now: .zero)
        own.deliver(new.proposal, from: enrolments[1].identity, MailboxReceipt(rawValue: 1), now: .zero)
        #expect(own.early.count == 1 && own.nextEvent() == nil)
        own.add(policy, name: "group", members: enrolments)
        own.tick(now: .zero)
        #expect(own.early.isEmpty && own.arriving[id]?.receipts == [MailboxReceipt(rawValue: 1)])
    }

    @Test func `a member that names mailboxes says nothing of where other members are`() async throws {
        let group = try NodeGroup(3)
        var machine = SigningMachine(
            keys: group.keys[0], clocks: { SigningClocks(wall: .seconds(1_800_000_000) + $0, running: $0) },
            makeIncarnation: { .random() }, now: .zero)
        machine.add(try await group.record.policy(), name: "group", members: group.keys.map(\.enrolment))
        let (liar, member) = (group.keys[1].identity.id, group.keys[2].identity.id)
        let contact = try Ed25519.SecretKey.generate().publicKey
        machine.setContacts([contact])
        let boxes = try (0..<6).map { _ in PeerID(of: try Ed25519.SecretKey.generate().publicKey) }
        let place = try Multiaddr(text: "/ip4/192.0.2.1/tcp/1")
        for source in [.group, .gossip] as [PeerDirectory.Source] {
            for known in [member, PeerID(of: contact)] {
                machine.learn([place.appending(.p2p(known))], of: liar, from: source, now: .zero)
                #expect(machine.members.addresses(of: known).isEmpty)
                #expect(machine.mailboxesOf[liar]?.contains(known) ?? false, "it may be one all the same")
            }
        }
        // Of many the last four count, and only of these it is known where they are.
        machine.learn(boxes.map { place.appending(.p2p($0)) }, of: liar, from: .group, now: .zero)
        #expect(machine.mailboxesOf[liar] == Array(boxes.suffix(4)))
        #expect(boxes.map { machine.members.addresses(of: $0).count } == [0, 0, 1, 1, 1, 1])
        #expect(boxes.allSatisfy { machine.members.dialAddresses(of: $0).owners.isEmpty })
        // What its owner says is dialled as such, and of who is known otherwise last.
        let own = try Multiaddr(text: "/ip4/192.0.2.1/tcp/2")
        machine.learn([boxes[5], member].map { own.appending(.p2p($0)) }, of: liar, now: .zero)
        #expect(machine.members.dialAddresses(of: boxes[5]).owners == [own])
        #expect(machine.members.dialAddresses(of: member).owners.isEmpty && machine.members.addresses(of: member) == [own])
    }

    @Test func `among a peer's addresses those of others are its mailboxes, but for relays`() throws {
        let (peer, other) = (PeerID(of: try Ed25519.SecretKey.generate().publicKey), PeerID(of: try Ed25519.SecretKey.generate().publicKey))
        let plain = try Multiaddr(text: "/ip4/192.0.2.1/tcp/1")
        #expect(plain.mailbox(of: peer) == nil)
        #expect(plain.appending(.p2p(peer)).mailbox(of: peer) == nil)
        #expect(plain.appending(.p2p(other)).mailbox(of: peer) == other)
        #expect(plain.appending(.p2p(other), .p2pCircuit).mailbox(of: peer) == nil)
        #expect(plain.appending(.p2p(other), .p2pCircuit, .p2p(peer)).mailbox(of: peer) == nil)
        #expect(plain.appending(.p2p(peer), .p2pCircuit, .p2p(other)).mailbox(of: peer) == nil)
    }
}
