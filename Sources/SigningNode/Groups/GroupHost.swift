internal import Bitcoin
public import CryptoPrimitives
internal import LibP2P
internal import LibP2PPosix
internal import Secp256k1
internal import SessionStore
internal import Signing

/// Invites others to groups, and joins those of others, over a node's network: the shell of `GroupGatherings` and `GroupJoining`.
///
/// What was promised to a member is on the disk before the member hears of it, and what was begun goes on in the next process. It has a
/// loop of its own, where it may wait for the disk.
public actor GroupHost {
    /// How it goes with a group that is being joined.
    public enum Progress: Hashable, Sendable {
        case asking(joined: Int, of: Int)
        /// The inviter is not reached, or what it says does not hold. It is asked again.
        case trouble(String)
        /// Everybody has joined, and the node takes part in the group's requests from now on.
        case made(policyDigest: Bytes32)
        case refused(GroupRefusal)
        /// It is a group that this node has already, under this name: nothing is left to ask for.
        case exists(name: String)
    }

    /// A group that is being joined.
    public struct Joining: Sendable {
        /// What this node's owner calls it.
        public let name: String
        public let invitation: GroupInvitation
        public let progress: Progress
    }

    private let node: SigningNode
    private let files: GroupFiles
    private nonisolated let executor = NodeExecutor(label: "chorale.groups")
    public nonisolated var unownedExecutor: UnownedSerialExecutor { self.executor.asUnownedSerialExecutor() }

    private var state = GroupGatherings()
    private var started: [String: Started] = [:]
    private var handle: ProtocolHandle<RequestResponse>?
    private var questions: Task<Void, Never>?
    private var answers: Task<Void, Never>?
    private var waiting: [RequestResponse.RequestID: CheckedContinuation<Result<[UInt8], GroupTrouble>, Never>] = [:]
    /// Answers that came before anybody waited for them: the loop is faster than the way back to here.
    private var early: [RequestResponse.RequestID: Result<[UInt8], GroupTrouble>] = [:]
    private var isStopped = false

    /// Questions that wait to be answered. Whose stream is over by then is answered in vain, and who asks and goes over and over would make
    /// as many of those as it likes.
    private static let questionCountMax = 256
    /// Groups that are being joined at a time. Source: Chorale's own bound.
    public static let joiningCountMax = 64
    /// Between two questions to an inviter: short while people sit before it, longer later.
    private static let pauses = (shortest: Duration.milliseconds(200), longest: Duration.seconds(15))

    private struct Started {
        var machine: GroupJoining
        var progress: Progress
        var readers: [AsyncStream<Progress>.Continuation] = []
        var task: Task<Void, Never>?
    }

    /// - Parameter folder: where groups are kept that are being made; it must be there, and nobody else may look into it.
    public init(_ node: SigningNode, folder: String) {
        self.node = node
        self.files = GroupFiles(folder: folder)
    }

    // MARK: - Start and end

    /// Goes on where the last process ended. The node runs already.
    ///
    /// - Returns: files that cannot be read, with the reason, for the owner to look at.
    public func start() async throws(GroupHostError) -> [(path: String, reason: String)] {
        var found: (contents: [GroupFiles.Content], damaged: [(path: String, reason: String)])
        do throws(FileError) { found = try self.files.all() } catch { throw .files(error) }
        let (answers, answered) = AsyncStream.makeStream(of: RequestResponse.Event.self)
        let (questions, asked) = AsyncStream.makeStream(
            of: RequestResponse.Event.self, bufferingPolicy: .bufferingOldest(Self.questionCountMax))
        self.handle = await self.node.network.add(
            RequestResponse(configuration: GroupProtocol.configuration), onLimited: true
        ) { event in
            // Strangers make as many questions as they like, and they must not take the places of answers that somebody waits for.
            switch event {
            case .answered, .failed: answered.yield(event)
            case .asked: asked.yield(event)
            case .refused: break
            }
        }
        self.answers = Task { [weak self] in
            for await event in answers { await self?.handle(event) }
        }
        self.questions = Task { [weak self] in
            for await event in questions { await self?.handle(event) }
        }
        for content in found.contents {
            switch content {
            case .gathering(let gathering): try await self.restore(gathering)
            case .joining(let invitation, let takenAt, let name):
                do throws(GroupError) { self.begin(try self.machine(invitation, await self.own, takenAt), name: name) } catch {
                    found.damaged.append(("the invitation to \(name)", "\(error)"))
                }
            case .members(let members): await self.learn(members)
            }
        }
        return found.damaged
    }

    private func restore(_ gathering: GroupGathering) async throws(GroupHostError) {
        do throws(GroupError) { try self.state.add(gathering) } catch { throw .group(error) }
        for name in self.state.outdated(at: WallClock.secondsSince1970) { try self.forget(name) }
        // The last one may have joined right before the end.
        if gathering.members != nil { _ = try? await self.add(gathering) }
    }

    /// Ends what goes on. Nothing is lost by it.
    public func stop() {
        self.isStopped = true
        self.questions?.cancel()
        self.answers?.cancel()
        for name in Array(self.started.keys) { self.end(name) }
        for waiter in self.waiting.values { waiter.resume(returning: .failure(GroupTrouble("the node ends"))) }
        self.waiting = [:]
    }

    private func end(_ name: String) {
        guard let started = self.started.removeValue(forKey: name) else { return }
        started.task?.cancel()
        for reader in started.readers { reader.finish() }
    }

    // MARK: - Inviting

    /// Groups that others are invited to, by their names; some of them are made.
    public var gatherings: [GroupGathering] { self.state.all.keys.sorted().compactMap { self.state.all[$0] } }

    /// Begins a group of this node's signer and others.
    ///
    /// - Parameters:
    ///   - seconds: how long its invitations can be used.
    ///   - random: gives so many random bytes.
    public func invite(
        to name: String, memberCount: Int, shape: GroupTerms.Shape, seconds: UInt64,
        random: @Sendable (Int) -> [UInt8] = { SystemRandom.bytes(count: $0) }
    ) async throws(GroupHostError) -> GroupGathering {
        try await self.checkFree(name)
        let own = await self.own
        guard self.isFree(name) else { throw .nameTaken(name) }
        let gathering: GroupGathering
        do throws(GroupError) {
            let terms = try GroupTerms(
                network: own.enrolment.network, name: name, memberCount: memberCount, shape: shape, inviter: own.enrolment.identity,
                expiry: WallClock.secondsSince1970 &+ min(seconds, Self.secondsMax))
            let tokens = (1..<memberCount).compactMap { _ in GroupToken(random(GroupToken.byteCount)) }
            gathering = try GroupGathering(terms, tokens: tokens, own: own)
            try self.state.add(gathering)
        } catch { throw .group(error) }
        do throws(FileError) { try self.files.save(gathering) } catch {
            self.state.remove(name)
            throw .files(error)
        }
        await self.node.note(.group(name, .invited(memberCount: memberCount)))
        return gathering
    }

    /// Longest life of an invitation, in seconds: 90 days. Source: Chorale's own bound.
    public static let secondsMax: UInt64 = 90 * 86_400

    /// Takes the invitations to a group back, or one's own joining of it. A group that is made stays.
    public func cancel(_ name: String) async throws(GroupHostError) {
        if let started = self.started[name] {
            do throws(FileError) { try self.files.removeJoining(started.machine.invitation.token) } catch { throw .files(error) }
            self.end(name)
        } else if let gathering = self.state.all[name] {
            // Its members come back for it, and have it.
            guard gathering.members == nil else { throw .made(name) }
            try self.forget(name)
        } else {
            throw .unknown(name)
        }
        await self.node.note(.group(name, .calledOff))
    }

    private func forget(_ name: String) throws(GroupHostError) {
        do throws(FileError) { try self.files.removeGathering(name) } catch { throw .files(error) }
        self.state.remove(name)
    }

    /// This node's signer as a member.
    private var own: GroupMember {
        get async { GroupMember(self.node.enrolment, addresses: await self.node.contactAddresses) }
    }

    private func checkFree(_ name: String) async throws(GroupHostError) {
        let group: StoredGroup?
        do throws(SigningNodeError) { group = try await self.node.group(named: name) } catch { throw .node(error) }
        guard group == nil, self.isFree(name) else { throw .nameTaken(name) }
    }

    /// To be looked at again after every wait: another command may have taken the name meanwhile.
    private func isFree(_ name: String) -> Bool { self.started[name] == nil && self.state.all[name] == nil }

    // MARK: - Joining

    public var joinings: [Joining] {
        self.started.keys.sorted().compactMap { name in
            self.started[name].map { Joining(name: name, invitation: $0.machine.invitation, progress: $0.progress) }
        }
    }

    /// Takes an invitation.
    ///
    /// - Parameter name: what this node's owner calls the group.
    /// - Returns: how it goes, up to the group or the refusal. It goes on when nobody listens any more.
    public func join(_ invitation: GroupInvitation, name: String) async throws(GroupHostError) -> AsyncStream<Progress> {
        if let started = self.started[name], started.machine.invitation == invitation { return self.listen(to: name) }
        let (member, now) = (await self.own, WallClock.secondsSince1970)
        // Refused here, it leaves nothing behind.
        let machine: GroupJoining
        do throws(GroupError) { machine = try self.machine(invitation, member, now) } catch { throw .group(error) }
        try await self.checkFree(name)
        guard GroupTerms.isName(name) else { throw .group(.invalidTerms("a group's name has 1 to 64 bytes, all of which can be seen")) }
        guard self.started.count < Self.joiningCountMax else { throw .group(.tooMany(limit: Self.joiningCountMax)) }
        guard !self.started.values.contains(where: { $0.machine.invitation.token == invitation.token }) else {
            throw .group(.invalidTerms("this invitation was taken already, under another name"))
        }
        do throws(FileError) { try self.files.save(invitation, takenAt: now, name: name) } catch { throw .files(error) }
        self.begin(machine, name: name)
        let progress = self.listen(to: name)
        await self.node.note(.group(name, .joining))
        return progress
    }

    private func machine(_ invitation: GroupInvitation, _ member: GroupMember, _ takenAt: UInt64) throws(GroupError) -> GroupJoining {
        try self.node.keys.identity.withSecretKey { identity throws(GroupError) in
            try GroupJoining(invitation, as: member, identity: identity, takenAt: takenAt)
        }
    }

    private func begin(_ machine: GroupJoining, name: String) {
        self.started[name] = Started(machine: machine, progress: .asking(joined: 0, of: machine.invitation.terms.memberCount))
        self.started[name]?.task = Task { await self.ask(name) }
    }

    private func listen(to name: String) -> AsyncStream<Progress> {
        // Only how it stands matters, not how it stood.
        let (stream, continuation) = AsyncStream.makeStream(of: Progress.self, bufferingPolicy: .bufferingNewest(1))
        guard let started = self.started[name] else {
            continuation.finish()
            return stream
        }
        continuation.yield(started.progress)
        self.started[name]?.readers.append(continuation)
        return stream
    }

    private func tell(_ progress: Progress, of name: String) {
        guard let started = self.started[name], started.progress != progress else { return }
        self.started[name]?.progress = progress
        self.started[name]?.readers.removeAll { reader in
            if case .terminated = reader.yield(progress) { true } else { false }
        }
    }

    /// Asks the inviter again and again, until it has said all.
    private func ask(_ name: String) async {
        var pause = Self.pauses.shortest
        while let started = self.started[name], case .asking = started.machine.state, !Task.isCancelled {
            switch await self.answer(to: started.machine) {
            case .failure(let trouble): self.tell(.trouble(trouble.description), of: name)
            case .success(let bytes): await self.take(bytes, name)
            }
            guard case .asking? = self.started[name]?.machine.state else { return }
            try? await Task.sleep(for: pause)
            pause = min(pause * 2, Self.pauses.longest)
        }
    }

    private func take(_ bytes: [UInt8], _ name: String) async {
        guard var machine = self.started[name]?.machine else { return }
        do throws(GroupError) { try machine.receive(bytes) } catch { return self.tell(.trouble("\(error)"), of: name) }
        switch machine.state {
        case .asking(let joined):
            self.started[name]?.machine = machine
            self.tell(.asking(joined: joined, of: machine.invitation.terms.memberCount), of: name)
        case .refused(let reason):
            self.started[name]?.machine = machine
            self.finish(.refused(reason), of: name, machine.invitation.token)
            await self.node.note(.group(name, .refused(reason)))
        case .made(let record, let members):
            do throws(GroupHostError) {
                let digest = try await self.add(record, name: name, members)
                self.started[name]?.machine = machine
                self.finish(.made(policyDigest: digest), of: name, machine.invitation.token)
                await self.node.note(.group(name, .made(policyDigest: digest)))
            } catch .node(.groupExists(let standing)) {
                self.started[name]?.machine = machine
                self.finish(.exists(name: standing), of: name, machine.invitation.token)
            } catch { self.tell(.trouble("\(error)"), of: name) }
        }
    }

    private func finish(_ progress: Progress, of name: String, _ token: GroupToken) {
        self.tell(progress, of: name)
        // A file that stays is looked at again at the next start, and ends the same.
        try? self.files.removeJoining(token)
        self.end(name)
    }

    // MARK: - Groups that are made

    /// Takes part in a group that this node invited to, once everybody has joined.
    @discardableResult
    private func add(_ gathering: GroupGathering) async throws(GroupHostError) -> Bytes32? {
        guard let record = gathering.record, let members = gathering.members else { return nil }
        return try await self.add(record, name: gathering.terms.name, members)
    }

    private func add(_ record: GroupRecord, name: String, _ members: [GroupMember]) async throws(GroupHostError) -> Bytes32 {
        let digest: Bytes32
        do throws(SigningNodeError) {
            digest = try await self.node.addGroup(record, name: name, members: members.map(\.enrolment))
        } catch { throw .node(error) }
        do throws(FileError) { try self.files.save(members, of: digest) } catch { throw .files(error) }
        await self.learn(members)
        return digest
    }

    private func learn(_ members: [GroupMember]) async {
        for member in members where member.peer != self.node.id { await self.node.learn(member.addresses, of: member.peer, from: .group) }
    }

    // MARK: - The network

    private func answer(to machine: GroupJoining) async -> Result<[UInt8], GroupTrouble> {
        guard let handle = self.handle, !self.isStopped else { return .failure(GroupTrouble("the node does not run")) }
        let (invitation, message) = (machine.invitation, machine.message)
        do throws(NodeError) { _ = try await self.node.network.dial(invitation.peer, at: invitation.addresses) } catch {
            return .failure(GroupTrouble("the inviter's node cannot be reached: \(error)"))
        }
        let sent = await self.node.network.update(handle) { machine, now in
            Result { () throws(RequestResponseError) in try machine.send(message, to: invitation.peer, now: now) }
        }
        switch sent {
        case .failure(let error): return .failure(GroupTrouble("the inviter cannot be asked: \(error)"))
        case .success(let id):
            if let early = self.early.removeValue(forKey: id) { return early }
            guard !self.isStopped else { return .failure(GroupTrouble("the node ends")) }
            return await withCheckedContinuation { self.waiting[id] = $0 }
        }
    }

    private func handle(_ event: RequestResponse.Event) async {
        switch event {
        case .answered(let id, _, let bytes): self.settle(id, .success(bytes))
        case .failed(let id, _, let error): self.settle(id, .failure(GroupTrouble("the inviter does not answer: \(error)")))
        case .asked(let question, let bytes): await self.answer(question, bytes)
        case .refused: break
        }
    }

    private func settle(_ id: RequestResponse.RequestID, _ result: Result<[UInt8], GroupTrouble>) {
        if let waiter = self.waiting.removeValue(forKey: id) { return waiter.resume(returning: result) }
        // One for each joining at most: each asks one thing at a time.
        self.early[id] = result
    }

    private func answer(_ question: RequestResponse.Question, _ bytes: [UInt8]) async {
        guard let handle = self.handle else { return }
        // Whose key is of another kind is enrolled by nobody.
        guard let peer = question.peer.identity else {
            return await self.node.network.update(handle) { machine, _ in machine.refuse(question) }
        }
        let before = self.state
        var (answer, changed) = self.node.keys.identity.withSecretKey { identity in
            self.state.receive(bytes, from: peer, now: WallClock.secondsSince1970, identity: identity)
        }
        let gathering = changed.flatMap { self.state.all[$0] }
        if let gathering {
            do throws(FileError) { try self.files.save(gathering) } catch {
                // Nobody was promised anything.
                self.state = before
                (answer, changed) = (.refused(.notKept), nil)
            }
        }
        let reply = answer.serialized()
        await self.node.network.update(handle) { machine, now in
            do throws(RequestResponseError) { try machine.answer(question, with: reply, now: now) } catch { machine.refuse(question) }
        }
        if let gathering, changed != nil { await self.tell(of: gathering) }
    }

    /// Somebody has joined: the last one makes the group.
    private func tell(of gathering: GroupGathering) async {
        let terms = gathering.terms
        await self.node.note(
            .group(terms.name, .joined(count: gathering.joined.count, memberCount: terms.memberCount)))
        guard let digest = try? await self.add(gathering) else { return }
        await self.node.note(.group(terms.name, .made(policyDigest: digest)))
    }
}
