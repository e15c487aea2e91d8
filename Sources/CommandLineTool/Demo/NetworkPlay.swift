import Bitcoin
import CryptoPrimitives
import MuSig2
import Secp256k1
import SessionStore
import Signing

/// The demo over a network: starts a node for each signer, makes the group, asks, agrees, and waits until all have the transaction.
///
/// It does what people do: whatever it wants of a node it says to that node's control socket, as `chorale group` and `chorale request` do.
struct NetworkPlay {
    struct Result {
        /// `nil` where nobody can sign without who is proved to be at fault.
        let play: DemoPlay.Result?
        /// From the first node's start until all were in the group.
        let setup: Duration
        let timeline: NetworkTimeline
        /// Its id.
        let request: String
        /// What proves a fault, if there was one.
        let evidence: [UInt8]?
    }

    let scene: DemoScene
    let folder: String
    let threshold: Int
    let trouble: DemoTrouble?
    let narrator: DemoNarrator
    var nodes: [NetworkNode]
    /// Who plays one of the members in place of its node.
    var cheat: CheatingMember?
    private let mail = NetworkMail()
    var timeline = NetworkTimeline()
    /// When the request was made; events are dated from here.
    private var askedAt = ContinuousClock.now
    private(set) var request = ""
    private var evidence: [UInt8]?
    private let end: ContinuousClock.Instant

    private static let groupName = "demo"
    /// How long all of it may take; a demo that takes longer has failed.
    private static let timeLimit = Duration.seconds(300)
    /// Between two looks at what came.
    private static let pause = Duration.milliseconds(2)

    init(scene: DemoScene, folder: String, threshold: Int, trouble: DemoTrouble?, narrator: DemoNarrator) {
        self.scene = scene
        self.threshold = threshold
        self.trouble = trouble
        self.narrator = narrator
        self.nodes = [NetworkNode(1, in: scene, folder: folder, bootstrap: nil)]
        self.end = .now + Self.timeLimit
        self.folder = folder
    }

    mutating func run() async throws(CommandError) -> Result {
        ChildProcess.keepEnds()
        do throws(CommandError) {
            let result = try await self.play()
            await self.stop()
            return result
        } catch {
            await self.stop()
            throw error
        }
    }

    /// Whatever happened, no process stays.
    private mutating func stop() async {
        for place in self.nodes.indices { self.nodes[place].askToStop() }
        await self.cheat?.stop()
        for place in self.nodes.indices { self.nodes[place].waitUntilStopped() }
    }

    private mutating func play() async throws(CommandError) -> Result {
        let start = ContinuousClock.now
        try await self.startNodes()
        try await self.makeGroup()
        let setup = ContinuousClock.now - start
        try self.narrator.tellGroup(self.nodes.count)
        if self.trouble == .cheat { try await self.letOneCheat() }
        try await self.ask()
        switch self.trouble {
        case nil: for number in self.approvers { try await self.approve(number) }
        case .kill: try await self.agreeWhileOneIsKilled()
        case .cheat: try await self.agreeWithCheat()
        case .partition: try await self.agreeWhileOneIsCutOff()
        }
        if self.mayEndUnsigned {
            try await self.wait("all honest members to end it") { play in play.honest.allSatisfy { play.timeline.hasEnded(at: $0.number) } }
        } else {
            try await self.wait("all members to have the transaction") { play in
                play.honest.allSatisfy { play.timeline.has(.complete, at: $0.number) }
            }
        }
        self.tellSettled(isOver: true)
        let play = self.mayEndUnsigned ? nil : try await self.result()
        return Result(play: play, setup: setup, timeline: self.timeline, request: self.request, evidence: try self.checkedEvidence())
    }

    /// The nodes that are nodes.
    var honest: [NetworkNode] { self.nodes.filter { $0.number != self.cheat?.number } }

    /// Where all have to sign, nobody can without who cheats.
    private var mayEndUnsigned: Bool { self.trouble == .cheat && self.threshold == self.nodes.count }

    // MARK: - The group

    private mutating func startNodes() async throws(CommandError) {
        try await self.start(0...0)
        try self.narrator.tellBootstrap(self.nodes[0].address)
        for number in 1..<self.scene.signers.count {
            self.nodes.append(NetworkNode(number + 1, in: self.scene, folder: self.folder, bootstrap: self.nodes[0].address))
        }
        try await self.start(1...self.nodes.count - 1)
    }

    /// Starts those at the places, all at once, and waits until each runs.
    mutating func start(_ places: ClosedRange<Int>) async throws(CommandError) {
        for place in places { try self.nodes[place].start() }
        for place in places {
            while try await !self.nodes[place].isReady() { try await self.rest() }
            self.mail.watch(self.nodes[place])
        }
    }

    private mutating func makeGroup() async throws(CommandError) {
        var terms: [(name: String, value: JSONValue)] = [
            ("do", .string("group.invite")), ("name", .string(Self.groupName)), ("members", .integer(self.nodes.count)),
            ("seconds", .integer(3_600)),
        ]
        if self.threshold < self.nodes.count {
            terms += [("threshold", .integer(self.threshold)), ("internal_key", .string("unspendable"))]
        }
        let gathering = try await self.nodes[0].client.ask(.object(terms))
        let invitations = gathering["invitations"]?.asTexts ?? []
        guard invitations.count == self.nodes.count - 1 else { throw .failed("the first node gave \(invitations.count) invitations") }
        for (node, invitation) in zip(self.nodes.dropFirst(), invitations) {
            self.mail.ask(node, .object(["do": .string("group.join"), "invitation": .string(invitation)]))
        }
        // Each computes a large k-of-n policy for itself.
        let line = ProgressLine(pause: .seconds(5))
        defer { line.finish() }
        for node in self.nodes.dropFirst() {
            while true {
                if let group = try self.mail.takeAnswer(of: node.number) {
                    try self.check(group, at: node.number)
                    break
                }
                line.update { "The nodes make the group" }
                try await self.rest()
            }
        }
        // The inviter has it as soon as it has answered the last one.
        while true {
            let group = try await self.nodes[0].client.ask(
                .object(["do": .string("group.show"), "name": .string(Self.groupName)]), patience: nil)
            if group.shown("state") == "made" {
                try self.check(group, at: 1)
                break
            }
            try await self.rest()
        }
    }

    /// Every node must have worked out the policy that the demo did.
    private func check(_ group: JSONValue, at number: Int) throws(CommandError) {
        guard group.shown("state") == "made", group.shown("policy_digest") == "\(self.scene.policy.digest)" else {
            throw .failed("signer \(number) has another group: \(group.text)")
        }
    }

    // MARK: - The request

    private mutating func ask() async throws(CommandError) {
        let psbt = try TransactionFiles.psbt(at: self.scene.psbtPath)
        self.askedAt = .now
        let made = try await self.nodes[0].client.ask(
            .object([
                "do": .string("request.new"), "group": .string(Self.groupName), "psbt": .string(psbt.base64()),
                "note": .string("chorale demo"), "seconds": .integer(3_600),
            ]))
        self.request = made.shown("request")
        if let cheat { self.note(.cheats, at: cheat.number, time: .zero) }
        self.note(.proposed, at: 1, time: .zero)
        try await self.wait("the others to have the request") { play in
            play.nodes.dropFirst().allSatisfy { play.timeline.has(.received, at: $0.number) }
        }
    }

    /// Who agrees where nothing goes wrong: the proposer does by asking, so as many others as are lacking.
    var approvers: [Int] { Array((1...self.threshold).dropFirst()) }

    mutating func approve(_ number: Int) async throws(CommandError) {
        _ = try await self.nodes[number - 1].client.ask(.object(["do": .string("request.approve"), "id": .string(self.request)]))
        try await self.wait("signer \(number) to approve") { $0.timeline.has(.approved, at: number) }
    }

    /// Whose turn it is to coordinate, as the proposer knows.
    func coordinator() async throws(CommandError) -> Int? {
        let shown = try await self.nodes[0].client.ask(.object(["do": .string("request.show"), "id": .string(self.request)]))
        return self.number(of: shown.shown("coordinator"))
    }

    private mutating func result() async throws(CommandError) -> DemoPlay.Result {
        var texts: Set<String> = []
        for node in self.honest {
            let shown = try await node.client.ask(.object(["do": .string("request.show"), "id": .string(self.request)]))
            if let text = shown["transaction"]?.asText { texts.insert(text) }
        }
        guard texts.count == 1, let transaction = texts.first.flatMap({ try? Hex.decode($0) }).flatMap({ try? Transaction(parsing: $0) })
        else { throw .failed("the members have \(texts.count) different transactions for one request") }
        guard let attempt = self.timeline.signedAttempt, let completeAt = self.timeline.time(of: .complete) else {
            throw .failed("there is a transaction, and no node tells who signed it")
        }
        let set = attempt.set.map { self.scene.signers[$0 - 1].key }
        let aggregate: PublicKey
        do throws(MuSig2Error) { aggregate = try KeyAggregation(set).untweakedKey } catch { throw .failed("\(error)") }
        return DemoPlay.Result(
            transaction: transaction, set: set, aggregateKey: aggregate,
            isKeyPath: transaction.inputs.allSatisfy { $0.witness.items.count == 1 }, nonces: attempt.time,
            signatures: max(.zero, completeAt - attempt.time))
    }

    /// What proves the fault of each who is said to be at fault, judged here as anybody can.
    private func checkedEvidence() throws(CommandError) -> [UInt8]? {
        guard let number = self.timeline.blamed.first else { return nil }
        guard let evidence, case .proved(let signer, _)? = (try? Evidence(parsing: evidence))?.verdict(),
            self.number(of: "\(signer)") == number
        else { throw .failed("signer \(number) is said to be at fault, and the evidence does not prove it") }
        return evidence
    }

    // MARK: - Time

    mutating func wait(_ what: String, until isTrue: (NetworkPlay) -> Bool) async throws(CommandError) {
        do throws(CommandError) { while !isTrue(self) { try await self.rest() } } catch {
            guard case .missing = error else { throw error }
            throw .missing("waited \(Self.timeLimit.components.seconds) s in vain for \(what)")
        }
    }

    mutating func wait(atMost limit: Duration, until isTrue: (NetworkPlay) -> Bool) async throws(CommandError) {
        let end = ContinuousClock.now + limit
        while !isTrue(self), ContinuousClock.now < end { try await self.rest() }
    }

    mutating func wait(for duration: Duration) async throws(CommandError) { try await self.wait(atMost: duration) { _ in false } }

    /// Takes what came, tells it, and waits a moment.
    mutating func rest() async throws(CommandError) {
        for (signer, event, time) in self.mail.takeEvents() {
            guard let what = self.what(event), !self.isKnown(what, at: signer) else { continue }
            if case .fault = what, self.evidence == nil { self.evidence = event["evidence"]?.asText.flatMap { try? Hex.decode($0) } }
            self.note(what, at: signer, time: time - self.askedAt)
        }
        if let cheat {
            let (told, did) = await cheat.step()
            for what in told.compactMap({ self.what(EventReport(event: $0).json(cursor: 0)) }) {
                // Of its own machine's opinion of itself nobody has to hear.
                if case .attemptBegan = what { self.note(what, at: cheat.number) }
            }
            for what in did { self.note(what, at: cheat.number) }
        }
        self.tellSettled(isOver: false)
        if !self.mayEndUnsigned, let (signer, state) = self.timeline.end {
            throw .failed("the request ended at signer \(signer) without a signature: \(state)")
        }
        for node in self.nodes { try node.checkRunning() }
        guard !Interruption.isRequested else { throw .interrupted }
        guard ContinuousClock.now < self.end else { throw .missing("the demo took more than \(Self.timeLimit.components.seconds) s") }
        try? await Task.sleep(for: Self.pause)
    }

    private func what(_ event: JSONValue) -> NetworkStep.What? {
        NetworkStep.What(event) { hex in self.number(of: hex) }
    }

    private func number(of hex: String) -> Int? { self.scene.signers.firstIndex { "\($0.key)" == hex }.map { $0 + 1 } }

    private func isKnown(_ what: NetworkStep.What, at signer: Int) -> Bool {
        switch what {
        // A node that was started again tells once more what it has.
        case .received, .complete: self.timeline.has(what, at: signer)
        // Who asks agrees by that.
        case .approved: self.timeline.has(.proposed, at: signer)
        default: false
        }
    }

    mutating func note(_ what: NetworkStep.What, at signer: Int, time: Duration? = nil) {
        self.timeline.take(NetworkStep(time: time ?? ContinuousClock.now - self.askedAt, signer: signer, what: what))
    }

    private mutating func tellSettled(isOver: Bool) {
        let settled = self.timeline.settle(now: isOver ? nil : ContinuousClock.now - self.askedAt)
        for step in self.timeline.told(self.timeline.steps.suffix(settled.count)) { self.narrator.tell(step) }
    }
}
