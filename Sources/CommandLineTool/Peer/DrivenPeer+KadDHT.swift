import CryptoPrimitives
import LibP2P
import LibP2PPosix

extension DrivenPeer {
    func carryOutKad(_ command: DriverCommand) async throws -> Members {
        switch command.name {
        case "dht_add":
            let isThere = try await self.node.addContact(command.peer())
            return [("added", .bool(isThere)), ("size", .integer(await self.node.contactCount))]
        case "dht_put":
            let count = try await self.node.putValue(command.requiredBytes("value"), under: command.requiredBytes("key"))
            return [("kept_by", .integer(count))]
        case "dht_get":
            let value = try await Self.unlessNotFound { try await self.node.getValue(of: command.requiredBytes("key")) }
            return [("value_hex", .optional(value.map { Hex.encode($0) }))]
        case "dht_find_peer":
            let peer = try command.peer()
            let found = try await Self.unlessNotFound { try await self.node.findPeer(peer) }
            return [("peer", found.map(Self.object) ?? .null)]
        default:
            let cid = try Self.contentID(command)
            if command.name == "dht_provide" {
                let count = try await self.node.provide(cid.multihash)
                return [("cid_hex", .string(Hex.encode(cid.bytes))), ("kept_by", .integer(count))]
            }
            let found = try await Self.unlessNotFound { try await self.node.findProviders(of: cid.multihash) } ?? []
            return [("cid_hex", .string(Hex.encode(cid.bytes))), ("providers", .array(found.map(Self.object)))]
        }
    }

    /// `nil` where the question was answered and there is nothing.
    private static func unlessNotFound<Value>(_ body: () async throws -> Value) async throws -> Value? {
        do { return try await body() } catch NodeError.kad(.notFound) { return nil }
    }

    private static func object(_ peer: KadFoundPeer) -> JSONValue {
        .object(["peer_id": .string(peer.id.description), "addrs": .array(peer.addresses.map { .string($0.description) })])
    }

    /// A version 1 content id and the multihash in it: the given one, or that of the given data as raw bytes under SHA-256.
    private static func contentID(_ command: DriverCommand) throws -> (bytes: [UInt8], multihash: [UInt8]) {
        // Version 1, and the codec of raw bytes.
        let prefix: [UInt8] = [0x01, 0x55]
        guard let given = try command.bytes("cid") else {
            let multihash = [0x12, 0x20] + SHA256.hash(try command.requiredBytes("data")).bytes
            return (prefix + multihash, multihash)
        }
        guard given.count > prefix.count, given.starts(with: prefix) else {
            throw DriverCommand.Unusable("\"cid_hex\" begins with 0155, which a multihash follows")
        }
        return (given, Array(given.dropFirst(prefix.count)))
    }
}
