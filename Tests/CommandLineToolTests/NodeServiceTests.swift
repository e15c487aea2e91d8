import Bitcoin
import CryptoPrimitives
import LibP2P
import Secp256k1
import SessionStore
import Synchronization
import Testing

@testable import CommandLineTool
@testable import Signing
@testable import SigningNode

/// What a node answers to requests that no command of this version makes.
@Suite struct NodeServiceTests {
    /// A node that listens nowhere, for as long as the work goes on.
    func serving(_ work: (NodeService) async throws -> Void) async throws {
        let folder = try TemporaryFolder()
        let home = NodeHome(folder.path("home"))
        try home.create()
        let database = try await SessionDatabase.open(home.database)
        var configuration = SigningNode.Configuration()
        configuration.node.kad = nil
        let keys = try SignerKeys(key: .generate(), identity: PeerIdentity(.generate()), network: .regtest)
        let node = try SigningNode(keys, database: database, configuration: configuration)
        try await node.start()
        let host = GroupHost(node, folder: home.groups)
        #expect(try await host.start().isEmpty)
        try await work(NodeService(node: node, host: host, database: database, label: "Ada"))
        await host.stop()
        await node.stop()
        await database.close()
    }

    func answer(_ service: NodeService, _ text: String) async throws -> Result<[JSONValue], ControlError> {
        let items = Mutex<[JSONValue]>([])
        let request = try JSONValue(parsing: Array(text.utf8))
        do throws(ControlError) {
            try await service.answer(request, ControlReply { item throws(ControlError) in items.withLock { $0.append(item) } })
            return .success(items.withLock { $0 })
        } catch { return .failure(error) }
    }

    @Test func `what is no request is refused in words, and changes nothing`() async throws {
        try await self.serving { service in
            let before = try await self.answer(service, #"{"do":"group.list"}"#).get().count
            let nothings = [
                "null", "[]", "7", "{}", #"{"do":7}"#, #"{"do":"fly"}"#, #"{"do":"\u001b[2J"}"#, #"{"do":"request.show"}"#,
                #"{"do":"request.show","id":5}"#, #"{"do":"request.show","id":""}"#, #"{"do":"request.approve","id":"zzzz"}"#,
                #"{"do":"request.new","group":"x","psbt":"cHNidP8="}"#, #"{"do":"request.new","group":[],"psbt":{}}"#,
                #"{"do":"request.watch","id":"abcd"}"#, #"{"do":"request.watch","after":-1}"#, #"{"do":"request.watch","after":1e300}"#,
                #"{"do":"group.invite","name":"x","members":0,"seconds":1}"#,
                #"{"do":"group.invite","name":"x","members":100000000000,"seconds":1}"#,
                #"{"do":"group.invite","name":"x","members":3,"threshold":2,"seconds":1}"#,
                #"{"do":"group.invite","name":"x","members":3,"threshold":2,"internal_key":"owner","owner":"00","seconds":1}"#,
                #"{"do":"group.invite","name":"x\ny","members":3,"seconds":1}"#,
                #"{"do":"group.invite","name":"x","members":100,"threshold":50,"internal_key":"aggregate","seconds":1}"#,
                #"{"do":"group.join","invitation":"chorale-group1"}"#, #"{"do":"group.cancel","name":"nobody"}"#,
                #"{"do":"contact.add","label":"Bob"}"#, #"{"do":"contact.add","label":"Bob","public_key":"02"}"#,
                #"{"do":"contact.add","label":"","card":"x"}"#, #"{"do":"contact.verify","contact":"Bob","number":"1"}"#,
            ]
            for nothing in nothings {
                guard case .failure(let error) = try await self.answer(service, nothing) else {
                    Issue.record("\(nothing) is done")
                    continue
                }
                #expect(!error.message.isEmpty && !error.message.unicodeScalars.contains("\u{1b}"), "\(nothing)")
            }
            #expect(try await self.answer(service, #"{"do":"group.list"}"#).get().count == before)
            #expect(try await self.answer(service, #"{"do":"contact.list"}"#).get().isEmpty)
        }
    }

    @Test func `a contact is added once, by one label, on the same network, and another machine is not the one that was compared`()
        async throws
    {
        try await self.serving { service in
            let key = try Samples.secretKey(1)
            func card(_ version: UInt32, network: Network = .regtest, key: borrowing SecretKey) throws -> String {
                let enrolment = try Enrolment(network: network, signer: key, identity: .generate(), version: version)
                return ContactCard(enrolment, addresses: [try Multiaddr(text: "/ip4/192.0.2.1/tcp/4001")]).text
            }
            let first = try card(1, key: key)
            #expect(try ContactCard(text: first).addresses.count == 1)
            let added = try await self.answer(service, #"{"do":"contact.add","label":"Bob","card":"\#(first)"}"#).get()
            #expect(added.first?["is_outdated"]?.asBool == false)
            #expect(added.first?["label"]?.asText == "Bob" && added.first?["addresses"]?.asTexts == ["/ip4/192.0.2.1/tcp/4001"])
            let number = try await self.answer(service, #"{"do":"contact.number","contact":"Bob"}"#).get()[0]["number"]?.asText ?? ""
            // Of another number nothing is noted.
            guard case .failure = try await self.answer(service, #"{"do":"contact.verify","contact":"Bob","number":"00000"}"#) else {
                Issue.record("a wrong number is verified")
                return
            }
            let verified = try await self.answer(service, #"{"do":"contact.verify","contact":"Bob","number":"\#(number)"}"#).get()
            #expect(verified.first?["is_verified"]?.asBool == true)
            // A new name for it; its number was compared all the same.
            _ = try await self.answer(service, #"{"do":"contact.add","label":"Robert","card":"\#(first)"}"#).get()
            let all = try await self.answer(service, #"{"do":"contact.list"}"#).get()
            #expect(all.count == 1 && all[0]["label"]?.asText == "Robert" && all[0]["is_verified"]?.asBool == true)
            // Another machine for the same key.
            _ = try await self.answer(service, #"{"do":"contact.add","label":"Robert","card":"\#(try card(2, key: key))"}"#).get()
            #expect(try await self.answer(service, #"{"do":"contact.list"}"#).get()[0]["is_verified"]?.asBool == false)
            // A word of the former machine changes nothing that counts, and says so; a second machine under one version is none.
            let now = try await self.answer(service, #"{"do":"contact.list"}"#).get()[0]
            let former = try ContactCard(text: first).enrolment
            let elsewhere = ContactCard(former, addresses: [try Multiaddr(text: "/ip4/192.0.2.9/tcp/9")]).text
            let old = try await self.answer(service, #"{"do":"contact.add","label":"Rob","card":"\#(elsewhere)"}"#).get()[0]
            #expect(old["is_outdated"]?.asBool == true && old["label"]?.asText == "Rob" && old["peer_id"]?.asText == now["peer_id"]?.asText)
            #expect(old["addresses"]?.asTexts == ["/ip4/192.0.2.1/tcp/4001"])
            let other = try card(2, key: key)
            guard case .failure(let twice) = try await self.answer(service, #"{"do":"contact.add","label":"Rob","card":"\#(other)"}"#)
            else {
                Issue.record("two machines under one version")
                return
            }
            #expect(twice.message.contains("chorale key enrol"))
            _ = try await self.answer(service, #"{"do":"contact.add","label":"Robert","card":"\#(first)"}"#).get()
            // Somebody else under the same label, and a key for another network.
            for other in [try card(1, key: Samples.secretKey(2)), try card(1, network: .mainnet, key: Samples.secretKey(3))] {
                guard case .failure = try await self.answer(service, #"{"do":"contact.add","label":"Robert","card":"\#(other)"}"#) else {
                    Issue.record("a second Robert")
                    return
                }
            }
            _ = try await self.answer(service, #"{"do":"contact.remove","contact":"Robert"}"#).get()
            #expect(try await self.answer(service, #"{"do":"contact.list"}"#).get().isEmpty)
        }
    }

    @Test(.timeLimit(.minutes(1)))
    func `whoever waits for a decision that came too late, or for events that are gone, is told so`() async throws {
        try await self.serving { service in
            let id = SHA256.hash([1])
            func stream(_ events: [(cursor: UInt64, event: SigningNodeEvent)]) -> AsyncStream<(cursor: UInt64, event: SigningNodeEvent)> {
                // It never ends by itself.
                let (stream, continuation) = AsyncStream.makeStream(of: (cursor: UInt64, event: SigningNodeEvent).self)
                for event in events { continuation.yield(event) }
                return stream
            }
            do throws(ControlError) {
                try await service.wait(for: .rejected, about: id, in: stream([(1, .clocksJumped), (2, .request(id, .ended(.expired)))]))
                Issue.record("nothing was decided")
            } catch { #expect(error.message.contains("over before the decision was durable, and nothing is decided")) }
            // What is between the two is not kept, and of a request that no machine answers for no end will come.
            try await service.tell(stream([(1, .clocksJumped), (7, .clocksJumped)]), of: id, ControlReply { _ in })
        }
    }
}
