import CryptoPrimitives
import LibP2P
import LibP2PPosix

extension DrivenPeer {
    func carryOutPubSub(_ command: DriverCommand) async throws -> Members {
        if command.name == "topics" { return [("topics", .array(await self.node.topics.map(JSONValue.string)))] }
        let topic = try command.requiredText("topic")
        switch command.name {
        case "subscribe": try await self.subscribe(to: topic)
        case "unsubscribe": await self.node.unsubscribe(from: topic)
        case "publish": try await self.node.publish(try command.requiredBytes("data"), to: topic)
        default:
            return [
                ("peers", .array(await self.node.peers(of: topic).map { .string($0.description) })),
                ("mesh", .array(await self.node.meshPeers(of: topic).map { .string($0.description) })),
            ]
        }
        return []
    }

    /// Subscribes, and tells what comes until nobody is subscribed any more.
    func subscribe(to topic: String) async throws(NodeError) {
        // A second subscription would tell everything twice.
        guard await !self.node.topics.contains(topic) else { return }
        let deliveries = try await self.node.subscribe(to: topic)
        Task {
            for await delivery in deliveries {
                self.tell(delivery.message, in: topic)
                await self.republish(delivery.message, in: topic)
            }
        }
    }

    private func tell(_ message: PubSubMessage, in topic: String) {
        let text = message.data.count < 256 ? String(decoding: message.data, as: UTF8.self) : nil
        self.channel.emit(
            "pubsub",
            [
                "topic": .string(topic), "from": .optional(message.author?.description),
                "seqno": .string(Hex.encode(message.sequence ?? [])), "data_hex": .string(Hex.encode(message.data)),
                "text": .optional(text), "signed": .bool(message.signature != nil), "key_present": .bool(message.key != nil),
            ])
    }

    /// Publishes a message of somebody else once more, with the prefix before it, unless it has one.
    private func republish(_ message: PubSubMessage, in topic: String) async {
        guard let prefix = self.republishedPrefix.map({ Array($0.utf8) }), message.author != self.node.id,
            !message.data.starts(with: prefix)
        else { return }
        do throws(NodeError) {
            try await self.node.publish(prefix + message.data, to: topic)
        } catch {
            self.channel.emit("error", ["error": .string("publishing once more: \(error)")])
        }
    }
}
