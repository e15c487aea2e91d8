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
    private func serving(_ work: (NodeService) async throws -> Void) async throws {
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

    private func answer(_ service: NodeService, _ text: String) async throws -> Result<[JSONValue], ControlError> {
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
}

/// What people are told of a request.
@Suite struct RequestExplanationTests {
    private let members = Samples.keys(3).sorted()
    private var names: SignerNames {
        SignerNames(own: self.members[0], label: "Ada", contacts: [self.members[1]: "Bob", self.members[2]: "Cleo"])
    }

    private func explanation(
        _ state: CoordinationState, decision: StoredRequest.Decision = .undecided, approved: [Int] = [], refused: [Int] = [],
        awaited: [Int] = [], connectivity: [MemberConnectivity] = [], now: UInt64 = 1_800_000_000
    ) throws -> RequestExplanation {
        let group = try SignerGroup(self.members)
        let (transaction, coin) = CosignGroup.transaction(spending: group.scriptPubKey)
        let request = try SigningRequest(
            transaction: transaction, prevouts: [coin], policyDigest: group.digest, proposer: self.members[1], expiry: 1_800_086_400)
        let terms = try #require(RequestTerms(createdAt: 1_800_000_000))
        let progress = CoordinationProgress(
            state: state, turn: 4, coordinator: self.members[2], approved: approved.map { self.members[$0] },
            refused: refused.map { self.members[$0] }, awaited: awaited.map { self.members[$0] }, signedAttempts: [])
        let summary = RequestSummary(
            id: request.digest, groupName: "family", group: group.digest, request: request, proposer: self.members[1], terms: terms,
            decision: decision, progress: progress, members: self.members, threshold: 3, transaction: nil, changeScript: group.scriptPubKey)
        return RequestExplanation(summary: summary, connectivity: connectivity, own: self.members[0], names: self.names, now: now)
    }

    private func connectivity(_ member: Int, isConnected: Bool, addresses: [String] = []) throws -> MemberConnectivity {
        MemberConnectivity(
            signer: self.members[member], peer: PeerID(of: try Ed25519.SecretKey.generate().publicKey),
            connectedSince: isConnected ? .seconds(1) : nil, failures: isConnected ? 0 : 3,
            addresses: try addresses.map { try Multiaddr(text: $0) })
    }

    @Test func `whoever has to decide is named, with how the machine is reached`() throws {
        let addresses = ["/ip4/192.0.2.1/tcp/1"]
        let explanation = try self.explanation(
            .proposed, connectivity: [self.connectivity(2, isConnected: false, addresses: addresses)])
        #expect(explanation.awaited == [self.members[0], self.members[2]])
        // Who asked agrees by that.
        #expect(explanation.mustStayRunning == [self.members[1]])
        let text = explanation.lines.joined(separator: "\n")
        #expect(text.contains("1 of 3 members have approved, as far as this node knows, and it takes 3: it waits for 2 more, of these:"))
        #expect(text.contains("Ada") && text.contains("that is you: chorale request approve"))
        #expect(text.contains("Cleo") && text.contains("not connected, after 3 dials that led to nothing; it is tried again"))
        #expect(text.contains("Coordinator in turn 4: Cleo") && text.contains("It expires at 2027-01-16 08:00:00 UTC, in 24 hours."))
        #expect(text.contains("Nobody is proved to be at fault"))
        #expect(
            try self.explanation(.proposed, connectivity: [self.connectivity(2, isConnected: false)]).lines.joined().contains("no address"))
        #expect(try self.explanation(.proposed).lines.joined().contains("no machine is known that speaks for it"))
    }

    @Test func `while it is signed, all who approved must stay, and those whose signatures are missing are named`() throws {
        let explanation = try self.explanation(
            .signing, decision: .approved, approved: [0, 1, 2], awaited: [2], connectivity: [self.connectivity(2, isConnected: true)])
        #expect(explanation.awaited == [self.members[2]] && explanation.mustStayRunning == self.members)
        let text = explanation.lines.joined(separator: "\n")
        #expect(text.contains("it waits for the partial signatures of:") && text.contains("Cleo"))
        #expect(text.contains("Must stay running until it is signed, connected or not: you, Bob"))
        let last = try self.explanation(.approved, decision: .approved, approved: [0])
        #expect(last.lines.contains { $0.hasPrefix("The next one to approve needs one visit only") })
    }

    @Test func `an end is told with its reason, and only what is proved names anybody`() throws {
        let fault = try self.explanation(.aborted(.fault([self.members[2]])))
        #expect(fault.culprits == [self.members[2]] && fault.awaited.isEmpty && fault.mustStayRunning.isEmpty)
        #expect(fault.lines.last?.hasPrefix("Proved to be at fault, by their own signed messages: Cleo") == true)
        let refused = try self.explanation(.aborted(.refused([self.members[1]])), refused: [1])
        #expect(refused.culprits.isEmpty && refused.lines.first?.contains("without Bob") == true)
        let open = try self.explanation(.endedMayStillComplete(.withdrawn))
        #expect(open.lines.joined().contains("others may still complete it") && open.lines.joined().contains("Its coins stay reserved"))
        #expect(try self.explanation(.complete).lines.contains { $0.hasPrefix("Nobody has to stay running") })
        // Its proposer took its own agreement back.
        #expect(try self.explanation(.proposed, refused: [1]).mustStayRunning.isEmpty)
    }
}
