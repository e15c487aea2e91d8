import Secp256k1

/// One thing that the demo over a network saw: what a node told of itself, or what the demo did to it.
struct NetworkStep: Hashable, Sendable {
    enum What: Hashable, Sendable {
        case proposed
        /// The request is here, and waits for its signer's word.
        case received
        case approved
        /// A member's approval is here, with its public nonces.
        case heardApproval(of: Int)
        /// By the one at whose node it is told, who coordinates it.
        case attemptBegan(UInt32, set: [Int])
        case signed(UInt32)
        case heardSignatures(of: Int, UInt32)
        case gaveUpTurn(of: Int)
        case killed
        case startedAgain
        case heardRestart(of: Int)
        /// Nothing comes from it and nothing reaches it, until it is back.
        case cutOff
        case reconnected
        /// From here on its part is played by somebody who cheats.
        case cheats
        case gaveWrongSignatures(UInt32)
        case beganTwice(UInt32)
        case fault(of: Int, String)
        case complete
        /// Here, and without a signature.
        case ended(String)
    }

    /// Since the request was made, by the demo's clock, which hears of it a moment later.
    private(set) var time: Duration
    /// At whose node, from 1.
    let signer: Int
    private(set) var what: What
    /// Whether others had finished by then, of which this signer had not heard.
    private(set) var isLate = false

    init(time: Duration, signer: Int, what: What) {
        self.time = time
        self.signer = signer
        self.what = what
    }

    /// The same in a story that counts attempts in its own way.
    func told(attempt number: UInt32?, isLate: Bool) -> NetworkStep {
        var step = self
        step.isLate = isLate
        guard let number else { return step }
        switch self.what {
        case .attemptBegan(_, let set): step.what = .attemptBegan(number, set: set)
        case .signed: step.what = .signed(number)
        case .heardSignatures(let other, _): step.what = .heardSignatures(of: other, number)
        case .gaveWrongSignatures: step.what = .gaveWrongSignatures(number)
        case .beganTwice: step.what = .beganTwice(number)
        case .proposed, .received, .approved, .heardApproval, .gaveUpTurn, .killed, .startedAgain, .heardRestart, .cutOff, .reconnected,
            .cheats, .fault, .complete, .ended:
            break
        }
        return step
    }

    /// The same, no later than what came of it was heard of, and no earlier than what was told before it.
    func dated(from earliest: Duration, to latest: Duration) -> NetworkStep {
        var step = self
        step.time = max(earliest, min(self.time, latest))
        return step
    }

    /// Whether another node had to hear of this before it could tell the effect.
    ///
    /// - Parameter coordinators: who got partial signatures.
    func isCause(of effect: NetworkStep, coordinators: Set<Int>) -> Bool {
        // What one node tells is in order as it comes: what waits for its own disk is told late.
        guard self.signer != effect.signer else { return false }
        return switch (self.what, effect.what) {
        case (.proposed, .received): true
        case (.approved, .heardApproval(let signer)), (.proposed, .heardApproval(let signer)): self.signer == signer
        case (.attemptBegan(let begun, _), .signed(let attempt)): begun == attempt
        case (.signed(let signed), .heardSignatures(let signer, let attempt)),
            (.gaveWrongSignatures(let signed), .heardSignatures(let signer, let attempt)):
            self.signer == signer && signed == attempt
        case (.gaveWrongSignatures, .fault(let signer, _)), (.beganTwice, .fault(let signer, _)): self.signer == signer
        case (.startedAgain, .heardRestart(let signer)): self.signer == signer
        case (.complete, .complete): coordinators.contains(self.signer) && !coordinators.contains(effect.signer)
        default: false
        }
    }

    /// What a person is told; `nil` for what goes without saying.
    var words: String? {
        switch self.what {
        case .proposed: "asks the group to sign, and agrees"
        case .received: "has the request"
        case .approved: "approves it"
        case .heardApproval(let other):
            other == self.signer ? nil : "has the approval of signer \(other), with its public nonces"
        case .attemptBegan(let attempt, let set):
            "coordinates, and begins attempt \(attempt): \(Self.signers(set))"
                + (self.isLate ? "; it has not heard yet that others have finished" : "")
        case .signed(let attempt): "has seen all nonces, and signs in attempt \(attempt)"
        case .heardSignatures(let other, _): other == self.signer ? nil : "has the partial signature of signer \(other)"
        case .gaveUpTurn(let other):
            other == self.signer ? "sees that its turn to coordinate is over" : "waits no longer for signer \(other) to coordinate"
        case .killed: "is killed (SIGKILL): its secret nonces are gone"
        case .startedAgain: "is started again, and remembers what it approved"
        case .heardRestart(let other): "hears that signer \(other) was started anew"
        case .cutOff: "is cut off (SIGSTOP): nothing comes from it, and nothing reaches it"
        case .reconnected: "is back (SIGCONT), with its secret nonces and all that was sent to it meanwhile"
        case .cheats: "cheats from now on"
        case .gaveWrongSignatures(let attempt): "cheats: signs a partial signature in attempt \(attempt) that is wrong"
        case .beganTwice(let attempt): "cheats: signs two different beginnings of attempt \(attempt)"
        case .fault(let other, let fault): "has proof that signer \(other) is at fault: \(fault)"
        case .complete: "has the finished transaction, verified"
        case .ended(let reason): "has given the request up: \(reason)"
        }
    }

    static func signers(_ numbers: [Int]) -> String {
        "signer\(numbers.count == 1 ? "" : "s") \(numbers.sorted().map { "\($0)" }.joined(separator: ", "))"
    }
}

extension NetworkStep.What {
    /// The number of the attempt that it is about, as the nodes count.
    var attempt: UInt32? {
        switch self {
        case .attemptBegan(let number, _), .signed(let number), .heardSignatures(_, let number), .gaveWrongSignatures(let number),
            .beganTwice(let number):
            number
        case .proposed, .received, .approved, .heardApproval, .gaveUpTurn, .killed, .startedAgain, .heardRestart, .cutOff, .reconnected,
            .cheats, .fault, .complete, .ended:
            nil
        }
    }

    /// Whether its signer must have agreed before.
    fileprivate var followsApproval: Bool {
        switch self {
        case .attemptBegan, .signed, .heardSignatures, .complete: true
        case .proposed, .received, .approved, .heardApproval, .gaveUpTurn, .killed, .startedAgain, .heardRestart, .cutOff, .reconnected,
            .cheats, .gaveWrongSignatures, .beganTwice, .fault, .ended:
            false
        }
    }

    /// A text in which signers are named by their keys, with their numbers in place of them.
    private static func naming(_ text: String, _ number: (String) -> Int?) -> String {
        var result = ""
        for piece in KeysInText(text).pieces { result += piece.key.flatMap { number("\($0)") }.map { "signer \($0)" } ?? piece.text }
        return result
    }

    /// Reads an event of a node; `nil` for what has no part in the story.
    ///
    /// - Parameter number: which signer a public key in hex belongs to.
    init?(_ event: JSONValue, number: (String) -> Int?) {
        let signer = event["public_key"]?.asText.flatMap(number)
        let attempt = event["attempt"]?.asInteger.flatMap { UInt32(exactly: $0) }
        switch (event.shown("event"), signer, attempt) {
        case ("requested", _, _): self = .received
        case ("decided", _, _) where event.shown("decision") == "approved": self = .approved
        case ("joined", let signer?, _): self = .heardApproval(of: signer)
        case ("attempt_began", _, let attempt?): self = .attemptBegan(attempt, set: (event["signers"]?.asTexts ?? []).compactMap(number))
        case ("signed", _, let attempt?): self = .signed(attempt)
        case ("partial_signatures_received", let signer?, let attempt?): self = .heardSignatures(of: signer, attempt)
        case ("coordinator_failed", let signer?, _): self = .gaveUpTurn(of: signer)
        case ("restarted", let signer?, _): self = .heardRestart(of: signer)
        case ("fault", let signer?, _): self = .fault(of: signer, event.shown("fault"))
        case ("complete", _, _): self = .complete
        case ("ended", _, _): self = .ended(Self.naming(event.shown("reason"), number))
        case ("not_stored", _, _): self = .ended(event.shown("reason"))
        default: return nil
        }
    }
}

/// All steps, in an order in which they can have happened.
///
/// Each node tells its own in order. Between nodes only arrival at the demo says what was first, and that is a matter of milliseconds:
/// so steps are held for a moment, and what follows from another is put behind it.
struct NetworkTimeline {
    private(set) var steps: [NetworkStep] = []
    private var held: [NetworkStep] = []
    /// Whose attempts partial signatures came for: they finish before the others.
    private(set) var coordinators: Set<Int> = []

    /// How long nothing came before what came is put in order, and how long it waits at most.
    private static let (calm, patience) = (Duration.milliseconds(20), Duration.milliseconds(120))

    mutating func take(_ step: NetworkStep) {
        if case .heardSignatures = step.what { self.coordinators.insert(step.signer) }
        // A node tells of its decision when that is on the disk and what follows at once has begun already.
        if step.what == .approved, let place = self.held.firstIndex(where: { $0.signer == step.signer && $0.what.followsApproval }) {
            return self.held.insert(step.dated(from: .zero, to: self.held[place].time), at: place)
        }
        self.held.append(step)
    }

    /// The steps as people are told them: attempts are counted as they began, from 1, in place of the nodes' own numbers, which leave
    /// places for attempts that others may begin. Numbers that stand stay.
    var told: [NetworkStep] { self.told(self.steps[...]) }

    /// - Parameter steps: the last ones of those in order.
    func told(_ steps: ArraySlice<NetworkStep>) -> [NetworkStep] {
        var numbers: [UInt32: UInt32] = [:]
        for case let number? in self.steps.map(\.what.attempt) where numbers[number] == nil { numbers[number] = UInt32(numbers.count + 1) }
        let finishedAt = self.steps.firstIndex { $0.what == .complete }
        return steps.indices.map { place in
            let step = steps[place]
            var isLate = false
            if case .attemptBegan = step.what, let finishedAt { isLate = finishedAt < place }
            return step.told(attempt: step.what.attempt.flatMap { numbers[$0] }, isLate: isLate)
        }
    }

    /// What is in order now and was not before.
    ///
    /// - Parameter now: since the request was made; `nil`: nothing more comes.
    mutating func settle(now: Duration?) -> [NetworkStep] {
        guard let first = self.held.first, let last = self.held.last else { return [] }
        if let now, now - last.time < Self.calm, now - first.time < Self.patience { return [] }
        var settled: [NetworkStep] = []
        while let place = self.nextPlace() { settled.append(self.held.remove(at: place)) }
        settled = Self.dated(settled, since: self.steps.last?.time ?? .zero)
        self.steps += settled
        return settled
    }

    /// With times that rise.
    private static func dated(_ steps: [NetworkStep], since earliest: Duration) -> [NetworkStep] {
        var latest = steps.last?.time ?? .zero
        var dated: [NetworkStep] = []
        for step in steps.reversed() {
            latest = max(earliest, min(latest, step.time))
            dated.append(step.dated(from: earliest, to: latest))
        }
        return dated.reversed()
    }

    private func nextPlace() -> Int? {
        guard !self.held.isEmpty else { return nil }
        var passed: Set<Int> = []
        for (place, step) in self.held.enumerated() where passed.insert(step.signer).inserted {
            if !self.held.contains(where: { $0.isCause(of: step, coordinators: self.coordinators) }) { return place }
        }
        // Causes in a circle cannot be; whatever was told is told all the same.
        return 0
    }

    // MARK: - What it comes to

    /// Attempts that began, with their sets in the order of aggregation and who began them.
    var attempts: [(number: UInt32, set: [Int], coordinator: Int, time: Duration)] {
        self.steps.compactMap { step in
            if case .attemptBegan(let number, let set) = step.what { (number, set, step.signer, step.time) } else { nil }
        }
    }

    /// The attempt that made the signature: the newest whose coordinator has everybody's partial signatures.
    var signedAttempt: (number: UInt32, set: [Int], coordinator: Int, time: Duration)? {
        self.attempts.last { attempt in
            attempt.set.allSatisfy { member in
                self.steps.contains { $0.signer == attempt.coordinator && $0.what == .heardSignatures(of: member, attempt.number) }
            }
        }
    }

    /// Who is proved to be at fault.
    var blamed: [Int] {
        Set((self.steps + self.held).compactMap { if case .fault(let signer, _) = $0.what { signer } else { nil } }).sorted()
    }

    /// Half of the messages in the longest chain from the request to the first finished transaction, in which each was sent by who had the
    /// one before; `nil` where there is no transaction.
    var roundTrips: Double? {
        var depths: [Int] = []
        var deepest: [Int: Int] = [:]
        for step in self.steps {
            var depth = deepest[step.signer] ?? 0
            for (cause, before) in zip(self.steps, depths) where cause.isCause(of: step, coordinators: self.coordinators) {
                depth = max(depth, before + 1)
            }
            depths.append(depth)
            deepest[step.signer] = depth
            if step.what == .complete { return Double(depth) / 2 }
        }
        return nil
    }

    func has(_ what: NetworkStep.What, at signer: Int) -> Bool {
        self.steps.contains { $0.signer == signer && $0.what == what } || self.held.contains { $0.signer == signer && $0.what == what }
    }

    /// Anywhere.
    func has(_ what: NetworkStep.What) -> Bool { (self.steps + self.held).contains { $0.what == what } }

    func time(of what: NetworkStep.What) -> Duration? { self.steps.first { $0.what == what }?.time }

    /// Where it ended without a signature.
    var end: (signer: Int, state: String)? {
        for step in self.steps + self.held { if case .ended(let state) = step.what { return (step.signer, state) } }
        return nil
    }

    func hasEnded(at signer: Int) -> Bool {
        (self.steps + self.held).contains { if case .ended = $0.what { $0.signer == signer } else { false } }
    }
}
