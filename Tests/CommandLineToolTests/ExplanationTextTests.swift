import CryptoPrimitives
import LibP2P
import Secp256k1
import Testing

@testable import CommandLineTool
@testable import Signing
@testable import SigningNode

/// What people are told of a request.
@Suite struct ExplanationTextTests {
    private let members = Samples.keys(3).sorted()
    private var names: SignerNames {
        SignerNames(own: self.members[0], label: "Ada", contacts: [self.members[1]: "Bob", self.members[2]: "Cleo"])
    }

    private func lines(
        _ state: CoordinationState, decision: StoredRequest.Decision = .undecided, coordinator: Int = 2, approved: [Int] = [],
        refused: [Int] = [], awaited: [Int] = [], signed: [UInt32] = [], _ connectivity: [MemberConnectivity] = [],
        now: UInt64 = 1_800_000_000, byPolicy: Bool = false, mail: [MemberMail] = [], ownExpiry: UInt64 = 0, holdsNonces: Bool = false
    ) throws -> [String] {
        let group = try SignerGroup(self.members)
        let (transaction, coin) = CosignGroup.transaction(spending: group.scriptPubKey)
        let request = try SigningRequest(
            transaction: transaction, prevouts: [coin], policyDigest: group.digest, proposer: self.members[1], expiry: 1_800_086_400)
        let terms = try #require(RequestTerms(createdAt: 1_800_000_000))
        let progress = CoordinationProgress(
            state: state, turn: 4, coordinator: self.members[coordinator], approved: approved.map { self.members[$0] },
            refused: refused.map { self.members[$0] }, awaited: awaited.map { self.members[$0] }, holdsNoncesOfASet: holdsNonces,
            signedAttempts: signed)
        let summary = RequestSummary(
            id: request.digest, groupName: "family", group: group.digest, request: request, proposer: self.members[1], terms: terms,
            decision: decision, progress: progress, members: self.members, threshold: 3, transaction: nil, changeScript: group.scriptPubKey)
        let explanation = RequestExplanation(summary, connectivity, signer: self.members[0], ownExpiry: ownExpiry, time: now)
        return ExplanationText(explanation: explanation, names: self.names, now: now, isByPolicy: byPolicy, mail: mail).lines
    }

    private func link(
        _ member: Int, _ method: ConnectionMethod?, error: ConnectivityError? = nil, addresses: [String] = []
    ) throws -> MemberConnectivity {
        MemberConnectivity(
            signer: self.members[member], peer: PeerID(of: try Ed25519.SecretKey.generate().publicKey), method: method,
            connectedSince: method.map { _ in .seconds(1) }, roundTrip: method.map { _ in .microseconds(7_300) },
            failures: method == nil ? 3 : 0, lastError: error, addresses: try addresses.map { try Multiaddr(text: $0) })
    }

    @Test func `whoever has to decide is named, with how the machine is reached, and who knows more`() throws {
        let addresses = ["/ip4/192.0.2.1/tcp/1"]
        let text = try self.lines(.proposed, [self.link(2, nil, error: .timeout, addresses: addresses)]).joined(separator: "\n")
        #expect(text.contains("1 of 3 members have approved, as far as this node knows, and it takes 3: it waits for 2 more, of these:"))
        #expect(text.contains("Ada") && text.contains("that is you: chorale request approve"))
        #expect(text.contains("Cleo") && text.contains("not connected, after 3 dials that led to nothing (no answer in time); it is tried"))
        #expect(text.contains("More may have approved: Cleo") && text.contains("who coordinates, knows of all."))
        #expect(text.contains("Coordinator in turn 4: Cleo") && text.contains("It expires at 2027-01-16 08:00:00 UTC, in 24 hours."))
        #expect(text.contains("Can end it: Bob") && text.contains("any member that says no, for all are needed."))
        #expect(text.contains("Nobody is proved to be at fault"))
        #expect(try self.lines(.proposed, [self.link(2, nil)]).joined().contains("no address is known"))
        #expect(try self.lines(.proposed).joined().contains("no machine is known that speaks for it"))
        #expect(try self.lines(.proposed, [self.link(2, .relay)]).joined().contains("connected through a relay (7.3 ms); the person"))
        #expect(try self.lines(.proposed, now: 1_900_000_000).contains("Its time is over."))
    }

    @Test func `of a member that is blocked here it is said by whom, and what that means for the group`() throws {
        for (block, words) in [(PeerStanding.Block.owner, "blocked by you"), (.conduct, "blocked, for it sent again and again")] {
            var link = try self.link(2, .direct)
            link.block = block
            let text = try self.lines(.proposed, [link]).joined(separator: "\n")
            #expect(text.contains("Cleo") && text.contains(words) && text.contains("may not be able to sign without it"), "\(text)")
            #expect(text.contains("chorale node unblock \(self.members[2])"), "what to type names it")
        }
    }

    @Test func `of a machine whose enrolment has ended it is said when, and how it is heard again`() throws {
        var link = try self.link(2, .direct)
        link.enrolmentExpiry = 1_799_999_999
        let text = try self.lines(.proposed, [link], ownExpiry: 1_799_999_998).joined(separator: "\n")
        #expect(
            text.contains("its machine is not heard: its enrolment ended at 2027-01-15 07:59:59 UTC") && !text.contains("has not answered"))
        #expect(text.contains("The enrolment of Cleo") && text.contains("you have added its new contact (chorale contact add)"))
        #expect(text.contains("Your own machine's enrolment ended at 2027-01-15 07:59:58 UTC") && text.contains("(chorale key enrol)"))
        #expect(try !self.lines(.proposed, [self.link(2, .direct)]).joined().contains("enrolment"))
        let member = JSONValue.object(["enrolment_expiry": .unsigned(1_799_999_999), "blocked_by": .string("owner")])
        #expect(BlockWords.mark(member, at: 1_799_999_999) == "blocked by you; ")
        #expect(BlockWords.mark(member, at: 1_800_000_000) == "blocked by you; enrolment ended at 2027-01-15 07:59:59 UTC; ")
    }

    @Test func `programs find a signer, a request and who is at fault under one name each`() throws {
        let (signer, peer) = (self.members[1], PeerID(of: try Ed25519.SecretKey.generate().publicKey))
        let events: [SigningNodeEvent] = [
            .connected(signer, .direct), .disconnected(signer), .blockedLastingly(peer, signer), .enrolled(signer, peer),
            .announced(SHA256.hash([1]), by: signer), .request(SHA256.hash([1]), .joined(signer)),
            .request(SHA256.hash([1]), .restarted(signer)),
        ]
        for event in events {
            let json = EventReport(event: event).json(cursor: 1)
            #expect(json["public_key"]?.asText == "\(signer)" && json["signer"] == nil && json["id"] == nil, "\(json.text)")
        }
        #expect(EventReport(event: .superseded(by: peer)).json(cursor: 1)["peer_id"]?.asText == "\(peer)")
        #expect(EventReport(event: .superseded(by: peer)).text(self.names).contains("move the coins"))
        #expect(EventReport(event: .enrolled(signer, peer)).text(self.names).contains("Bob"))
        #expect(RequestExplanation.Advice.remind(signer).json["public_key"]?.asText == "\(signer)")
        #expect(RequestExplanation.Advice.askToEnrol(signer).json["do"]?.asText == "ask_to_enrol")
    }

    @Test func `while it is signed, all who approved must stay, and those whose signatures are missing are named`() throws {
        let text = try self.lines(
            .signing, decision: .approved, coordinator: 0, approved: [0, 1, 2], awaited: [2], signed: [1], [self.link(2, .direct)]
        ).joined(separator: "\n")
        #expect(text.contains("3 of 3 members have approved, and it takes 3: it waits for the partial signatures of:\n  Cleo"))
        #expect(text.contains("connected (7.3 ms); its machine is on it") && text.contains("others may complete it all the same."))
        #expect(text.contains("Must stay running until it is signed, connected or not: you, Bob"))
        #expect(!text.contains("one visit"))
        let elsewhere = try self.lines(.signing, decision: .approved, approved: [0, 1, 2]).joined(separator: "\n")
        #expect(elsewhere.contains("it waits for its coordinator, who brings the signatures together:\n  Cleo"))
        #expect(!elsewhere.contains("as far as this node knows") && !elsewhere.contains("one visit"))
        #expect(
            try self.lines(.approved, decision: .approved, coordinator: 0, approved: [0, 1, 2]).joined().contains("begins by itself"))
        let last = try self.lines(.approved, decision: .approved, coordinator: 0, approved: [0])
        #expect(last.contains { $0.hasPrefix("The next one to approve needs one visit only") && $0.contains("in its mailbox") })
        let own = try self.lines(.proposed, approved: [1, 2], holdsNonces: true)
        #expect(own.contains { $0.hasPrefix("One visit is enough for you: all other nonces are here already.") })
        #expect(!own.contains { $0.hasPrefix("The next one to approve") })
    }

    @Test func `an end is told with its reason, and only what is proved names anybody`() throws {
        let fault = try self.lines(.aborted(.fault([self.members[2]])))
        #expect(fault.last?.hasPrefix("Proved to be at fault, by their own signed messages: Cleo") == true)
        let refused = try self.lines(.aborted(.refused([self.members[1]])), refused: [1])
        #expect(refused.first?.contains("refused by Bob (") == true && refused.last?.hasPrefix("Nobody is proved") == true)
        let open = try self.lines(.endedMayStillComplete(.withdrawn)).joined()
        #expect(open.contains("others may still complete it") && open.contains("Its coins stay reserved"))
        let complete = try self.lines(.complete)
        #expect(complete.contains { $0.hasPrefix("Nobody has to stay running") })
        // That nobody here sends it, and what does.
        #expect(
            complete.contains { $0.hasPrefix("Somebody still has to send it to the Bitcoin network") && $0.contains("--out signed.hex") })
        // Whoever is named in what a former process wrote down is called what it is called here.
        let before = "refused by \(self.members[2]), without whom no set can sign"
        #expect(try self.lines(.aborted(.before(before))).first?.contains("refused by Cleo (") == true)
        #expect(try self.lines(.expired).joined().contains("chorale request new"))
        // Its proposer took its own agreement back.
        #expect(try !self.lines(.proposed, refused: [1]).joined().contains("Must stay running"))
    }

    @Test func `what the policy decided is not said to be the person's word`() throws {
        #expect(try self.lines(.approved, decision: .approved, approved: [0]).first?.contains("approved by you") == true)
        #expect(
            try self.lines(.approved, decision: .approved, approved: [0], byPolicy: true).first?.contains("approved by your policy") == true
        )
        let decided = SigningNodeEvent.decided(SHA256.hash([1]), .approved)
        #expect(EventReport(event: decided, isByPolicy: true).text(self.names).hasSuffix("your policy's decision is kept: approved"))
        #expect(EventReport(event: decided).text(self.names).hasSuffix("your decision is kept: approved"))
        #expect(try self.lines(.rejected, decision: .rejected, byPolicy: true).first?.contains("rejected by your policy") == true)
    }

    @Test func `what waits in mailboxes for members that are away is told, and what could not be left yet`() throws {
        let mail = [
            MemberMail(signer: self.members[1], waitingCount: 0, leftCount: 2),
            MemberMail(signer: self.members[2], waitingCount: 1, leftCount: 0),
        ]
        let lines = try self.lines(.proposed, mail: mail)
        #expect(
            lines.contains {
                $0.hasPrefix("For Bob (") && $0.hasSuffix("who is not connected: 2 messages about it were left in its mailboxes.")
            })
        #expect(
            lines.contains { $0.hasPrefix("For Cleo (") && $0.hasSuffix("1 message waits here until one of its mailboxes is reached.") })
        #expect(try !self.lines(.proposed).contains { $0.contains("mailboxes") })
    }

    @Test func `a person is not told at each start again that what a former process completed is ready to be sent`() throws {
        let group = try SignerGroup(self.members)
        let (transaction, _) = CosignGroup.transaction(spending: group.scriptPubKey)
        let (old, new) = (SHA256.hash([1]), SHA256.hash([2]))
        func isNews(_ event: SigningNodeEvent) -> Bool { EventReport(event: event).isNews(completeBefore: [old]) }
        #expect(!isNews(.request(old, .shouldBroadcast(transaction))) && isNews(.request(new, .shouldBroadcast(transaction))))
        #expect(isNews(.request(old, .joined(self.members[0]))))
    }

    @Test func `connections and health have words for people`() throws {
        func words(_ member: MemberConnectivity) -> String { LinkText.words(.object(LinkText.json(member, now: .seconds(181)))) }
        #expect(try words(self.link(1, .direct)) == "connected for 3 minutes, round trip 7.3 ms")
        #expect(try words(self.link(1, .relay)) == "connected through a relay for 3 minutes, round trip 7.3 ms")
        #expect(try words(self.link(1, nil)) == "not connected, 3 dials led to nothing")
        #expect(
            try words(self.link(1, nil, error: .rejected("\u{1b}[2J")))
                == "not connected, 3 dials led to nothing: it turned the connection away: \\u{1b}[2J")
        #expect(LinkText.milliseconds(.microseconds(12_345)) == "12 ms" && LinkText.milliseconds(.microseconds(90)) == "0.0 ms")
        let peer = PeerID(of: try Ed25519.SecretKey.generate().publicKey)
        var store = SigningNodeHealth.Store()
        func health() -> SigningNodeHealth {
            SigningNodeHealth(
                startedAt: 1_800_000_000, uptime: .seconds(7_200), time: .seconds(7_300), connectionCount: 3, memberCount: 2,
                connectedMemberCount: 1, requestCounts: [.approved: 2, .complete: 1, .endedMayStillComplete: 1], secretNonceCount: 4,
                arena: .init(usedSlotCount: 6, slotCount: 30_840), store: store,
                blocked: [.init(peer: peer, until: .seconds(7_360))], heldByteCount: 12_345,
                clockJumpCount: 1, lastClockJumpAt: 1_800_000_100)
        }
        let json = HealthText.json(health())
        #expect(json["requests"]?["ended_may_still_complete"]?.asInteger == 1, "the word that states have everywhere")
        #expect(json["open_requests"]?.asInteger == 3 && json["requests"]?["approved"]?.asInteger == 2)
        var lines = Dictionary(uniqueKeysWithValues: HealthText.lines(json).map { ($0.name, $0.words) })
        #expect(lines["running"] == "since 2027-01-15 08:00:00 UTC, for 2 hours")
        #expect(lines["network"] == "3 connections, 1 of 2 members connected, 12,345 bytes held")
        #expect(
            lines["requests"] == "2 approved, 1 complete, 1 ended here that others may still complete"
                && lines["disk"] == "all writes succeeded")
        #expect(lines["nonces"] == "4 secret nonces; 6 of 30,840 places for secrets are taken")
        #expect(lines["blocked"]?.hasSuffix("for 60 seconds") == true && lines["clocks"]?.contains("went apart 1 time, last at") == true)
        store.failureCount = 2
        store.lastFailure = .init(time: 1_800_000_200, reason: "the disk is full")
        #expect(HealthText.lines(HealthText.json(health())).contains { $0.words.hasPrefix("writes again; 2 writes failed, the last at") })
        store.isWritable = false
        lines = Dictionary(uniqueKeysWithValues: HealthText.lines(HealthText.json(health())).map { ($0.name, $0.words) })
        #expect(lines["disk"] == "takes no writes, and nothing is signed. Last failure at 2027-01-15 08:03:20 UTC: the disk is full")
    }
}
