import LibP2P
import Secp256k1
import Signing
import SigningNode

// Whom the node does not listen to.

extension NodeService {
    func block(_ request: NodeRequest) async throws(ControlError) -> JSONValue {
        let peer = try await self.peer(named: request.text("peer"))
        let note = try request.optionalText("note") ?? ""
        do throws(SigningNodeError) { try await self.node.block(peer, note: note) } catch { throw Self.failure(error) }
        guard let block = try await self.peerBlocks().first(where: { $0.peer == peer }) else {
            throw .failed("\(peer) was unblocked at the same time")
        }
        return try await self.json(block, self.contacts())
    }

    func unblock(_ request: NodeRequest) async throws(ControlError) -> JSONValue {
        let peer = try await self.peer(named: request.text("peer"))
        let before = try await self.peerBlocks().first { $0.peer == peer }
        do throws(SigningNodeError) { try await self.node.unblock(peer) } catch {
            guard case .machine(.notBlocked) = error else { throw Self.failure(error) }
            throw .missing("\(peer) is not blocked: chorale node blocks lists those who are")
        }
        // That it was unblocked before, and that the disk did not take, is durable now.
        guard let before else { return .object(["peer_id": .string("\(peer)"), "label": .null]) }
        return try await self.json(before, self.contacts())
    }

    func blocks() async throws(ControlError) -> [JSONValue] {
        // Once for all of them: strangers can be many.
        let (blocks, contacts) = (try await self.peerBlocks(), try await self.contacts())
        var shown: [JSONValue] = []
        for block in blocks { shown.append(await self.json(block, contacts)) }
        return shown
    }

    private func peerBlocks() async throws(ControlError) -> [PeerBlock] {
        do throws(SigningNodeError) { return try await self.node.blocks } catch { throw Self.failure(error) }
    }

    /// With what the address book calls the member, or whoever speaks through the peer.
    private func json(_ block: PeerBlock, _ contacts: [Contact]) async -> JSONValue {
        let identity = block.peer.identity
        let contact = contacts.first { contact in
            if let signer = block.signer { contact.signer == signer } else { identity != nil && contact.enrolment?.identity == identity }
        }
        return BlockWords.json(block, label: contact?.label, now: await self.node.network.now)
    }

    /// A peer by its id, or by the contact or member that it speaks for.
    private func peer(named name: String) async throws(ControlError) -> PeerID {
        let contacts = try await self.contacts()
        if let contact = contacts.first(where: { $0.label == name || "\($0.signer)" == name }) {
            if let identity = contact.enrolment?.identity { return PeerID(of: identity) }
            if let member = try await self.connectivity().first(where: { $0.signer == contact.signer }) { return member.peer }
            throw .missing("no machine of \(contact.label.printable) is known: name its peer id")
        }
        if let member = try await self.connectivity().first(where: { "\($0.signer)" == name }) { return member.peer }
        do throws(PeerIDError) { return try PeerID(text: name) } catch {
            let suggestion = Suggestion.nearest(to: name, among: contacts.map(\.label)).map { ": did you mean \($0.printable)?" } ?? ""
            throw .missing("\(name.printable) is neither a peer id nor a contact or member that is known here\(suggestion)")
        }
    }
}
