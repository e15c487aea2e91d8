public import CryptoPrimitives
internal import LibP2P
internal import SessionStore
public import Signing

// What an owner asks about groups.

extension SigningNode {
    /// A group of this node by the name that its owner gave it.
    public func group(named name: String) async throws(SigningNodeError) -> StoredGroup? {
        do throws(StoreError) { return try await self.database.groups.group(named: name) } catch { throw .store(error) }
    }

    /// The policy of a group, as this node computed it when it began to take part; `nil` where it does not.
    public func policy(of group: Bytes32) async throws(SigningNodeError) -> (any SpendingPolicy)? {
        guard let machine = self.machine else { throw .notRunning }
        return await self.network.update(machine) { machine, _ in machine.groups[group]?.policy }
    }
}
