import LibP2P
import Secp256k1
import Signing
import SigningNode

// A contact that is a member: its groups hear of its machine.

extension NodeService {
    /// A member whose owner gave a newer enrolment speaks through the new machine from now on, in all groups and requests, and not through
    /// the former one. An older one changes nothing.
    func tellGroups(of enrolment: Enrolment) async throws(ControlError) {
        for group in try await self.storedGroups() {
            guard let record = try? GroupRecord(parsing: group.policy), record.signers.contains(enrolment.signer) else { continue }
            do throws(SigningNodeError) { _ = try await self.node.addGroup(record, name: group.name, members: [enrolment]) } catch {
                throw Self.failure(error)
            }
        }
    }
}
