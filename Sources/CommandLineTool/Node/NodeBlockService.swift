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
        return try await self.json(block)
    }

    func unblock(_ request: NodeRequest) async throws(ControlError) -> JSONValue {
        let peer = try await self.peer(named: request.text("peer"))
        guard let block = try await self.peerBlocks().first(where: { $0.peer == peer }) else {
            throw .missing("\(peer) is not blocked: chorale node blocks lists those who are")
        }
        let shown = try await self.json(block)
        do throws(SigningNodeError) { try await self.node.unblock(peer) } catch { throw Self.failure(error) }
        return shown
    }

    func blocks() async throws(ControlError) -> [JSONValue] {
        var shown: [JSONValue] = []
        for block in try await self.peerBlocks() { shown.append(try await self.json(block)) }
        return shown
    }

    private func peerBlocks() async throws(ControlError) -> [PeerBlock] {
        do throws(SigningNodeError) { return try await self.node.blocks } catch { throw Self.failure(error) }
    }

    private func json(_ block: PeerBlock) async throws(ControlError) -> JSONValue {
        let label: String?
        if let signer = block.signer {
            label = try await self.names(of: [signer])[signer]
        } else {
            label = try await self.label(of: block.peer)
        }
        return BlockWords.json(block, label: label, now: await self.node.network.now)
    }

    /// What the address book calls whoever speaks through a peer.
    private func label(of peer: PeerID) async throws(ControlError) -> String? {
        guard let identity = peer.identity else { return nil }
        return try await self.contacts().first { $0.enrolment?.identity == identity }?.label
    }

    /// A peer by its id, or by the contact or member that it speaks for.
    private func peer(named name: String) async throws(ControlError) -> PeerID {
        let contacts = try await self.contacts()
        if let contact = contacts.first(where: { $0.label == name || "\($0.signer)" == name }) {
            guard let identity = contact.enrolment?.identity else {
                throw .missing("no machine of \(contact.label.printable) is known: name its peer id")
            }
            return PeerID(of: identity)
        }
        if let member = try await self.connectivity().first(where: { "\($0.signer)" == name }) { return member.peer }
        do throws(PeerIDError) { return try PeerID(text: name) } catch {
            let suggestion = Suggestion.nearest(to: name, among: contacts.map(\.label)).map { ": did you mean \($0.printable)?" } ?? ""
            throw .missing("\(name.printable) is neither a peer id nor a contact or member that is known here\(suggestion)")
        }
    }
}
