import Bitcoin
import CryptoPrimitives
import MuSig2
import Secp256k1
import Signing
import Testing

/// A message on its way.
private enum Message {
    case nonces(NonceSet)
    case shares(SignatureShares)
}

private struct Letter {
    let sender: Int
    let receiver: Int
    let attempt: UInt32
    let message: Message
}

/// What a run did that must hold for all runs.
private struct Ledger {
    /// The transcripts under which each public nonce's share was released.
    var transcripts: [PublicNonce: Set<Bytes32>] = [:]
    var blamed: Set<PublicKey> = []
    var completed: [Transaction] = []
    var restarts = 0
}

/// One honest signer: its process, which dies and starts again, and its disk, which does not.
private final class Node {
    let place: Int
    let signer: Signer
    private let plan: SigningPlan
    private var incarnation: UInt32 = 0
    /// The journal: one decision for each attempt.
    private var disk: [UInt32: BurnRecord] = [:]

    private(set) var attempt: UInt32 = 0
    private var party: Party
    private(set) var isComplete = false

    init(_ place: Int, _ signer: Signer, _ plan: SigningPlan) {
        self.place = place
        self.signer = signer
        self.plan = plan
        self.party = Party(signer, plan)
    }

    /// Goes on with an attempt, and says what to send to everybody.
    func begin(_ attempt: UInt32, _ ledger: inout Ledger) -> [Message] {
        guard !self.isComplete else { return [] }
        self.attempt = attempt
        self.party = Party(self.signer, self.plan, attempt: attempt)
        return self.guarded(&ledger) {
            var bytes = [UInt8](repeating: UInt8(self.place), count: 16)
            (bytes[0], bytes[1]) = (UInt8(self.incarnation & 0xff), UInt8(self.incarnation >> 8))
            return [
                .nonces(try self.party.session.generateNonces(for: self.signer.key, name: NonceName(known: bytes, counter: attempt)))
            ]
        }
    }

    /// The process dies and starts again. Where the attempt was decided, only the next one can be signed.
    func restart(_ ledger: inout Ledger) -> [Message] {
        ledger.restarts += 1
        self.incarnation += 1
        return self.begin(self.disk[self.attempt] == nil ? self.attempt : self.attempt + 1, &ledger)
    }

    func receive(_ letter: Letter, _ numbers: inout SeededNumbers, crashes: Bool, _ ledger: inout Ledger) async -> [Message] {
        guard !self.isComplete, letter.attempt >= self.attempt else { return [] }
        var answers: [Message] = []
        if letter.attempt > self.attempt { answers += self.begin(letter.attempt, &ledger) }
        let key = self.plan.signers[letter.sender]
        switch letter.message {
        case .nonces(let set):
            answers += self.guarded(&ledger) {
                try self.party.add(set, from: key)
                return []
            }
            if self.party.session.missingNonces.isEmpty { answers += await self.sign(&numbers, crashes: crashes, &ledger) }
        case .shares(let shares):
            answers += self.guarded(&ledger) {
                try self.party.add(shares, from: key)
                return []
            }
        }
        await self.finish(&ledger)
        return answers
    }

    /// Burn before release, with a crash before the record is durable, or after.
    private func sign(_ numbers: inout SeededNumbers, crashes: Bool, _ ledger: inout Ledger) async -> [Message] {
        guard self.party.session.transcriptDigest == nil else { return [] }
        guard let record = try? self.party.sign() else {
            ledger.blamed.insert(self.signer.publicKey)
            return []
        }
        if crashes, numbers.oneIn(12) { return self.restart(&ledger) }
        #expect(self.disk[self.attempt] == nil, "one decision an attempt")
        self.disk[self.attempt] = record
        if crashes, numbers.oneIn(12) { return self.restart(&ledger) }
        let answers = self.guarded(&ledger) { [.shares(try self.party.session.release(record))] }
        for nonce in record.nonces { ledger.transcripts[nonce, default: []].insert(record.transcript) }
        return answers
    }

    private func finish(_ ledger: inout Ledger) async {
        do {
            guard let transaction = try self.party.session.tryFinalize() else { return }
            self.isComplete = true
            ledger.completed.append(transaction)
        } catch {
            if let faults = await self.party.inquiry?.faults() { ledger.blamed.formUnion(faults.map(\.signer)) }
        }
    }

    /// Errors end nothing here; whom they blame is written down.
    private func guarded(_ ledger: inout Ledger, _ work: () throws -> [Message]) -> [Message] {
        do { return try work() } catch {
            if let error = error as? SigningError { ledger.blamed.formUnion(error.culprits) }
            return []
        }
    }
}

/// Many signers, a network that loses, doubles and reorders, processes that die, and perhaps one signer who lies.
private struct Simulation {
    private var numbers: SeededNumbers
    private let scene: Scene
    private var nodes: [Node] = []
    /// The signer who lies, if one does.
    private(set) var liar: Int?
    private var network: [Letter] = []
    private(set) var ledger = Ledger()
    private var isFair = false

    var plan: SigningPlan { self.scene.plan }
    var liarKey: PublicKey? { self.liar.map { self.scene.plan.signers[$0] } }
    /// One finished transaction is enough: whoever has it broadcasts it.
    var isComplete: Bool { !self.ledger.completed.isEmpty }

    init(seed: UInt64) throws {
        self.numbers = SeededNumbers(seed: seed)
        self.scene = try Scene(
            signers: Int.random(in: 3...7, using: &self.numbers), inputs: Int.random(in: 1...2, using: &self.numbers),
            id: SHA256.hash(Array("simulation \(seed)".utf8)))
        self.liar = self.numbers.oneIn(3) ? self.scene.signers.indices.randomElement(using: &self.numbers) : nil
        for (place, signer) in self.scene.signers.enumerated() where place != self.liar {
            self.nodes.append(Node(place, signer, self.scene.plan))
        }
    }

    mutating func run() async throws {
        for _ in 0..<4 where !self.isComplete { try await self.round() }
        // From here on nothing is lost and nobody dies. A liar still lies.
        self.isFair = true
        for _ in 0..<2 where !self.isComplete { try await self.round() }
    }

    /// One attempt, begun by whoever's patience ends first, until the network is silent.
    private mutating func round() async throws {
        if self.isFair { self.network = [] }
        let attempt = (self.nodes.map(\.attempt).max() ?? 0) + 1
        let impatient = self.isFair ? self.nodes : [self.nodes[Int.random(in: self.nodes.indices, using: &self.numbers)]]
        for node in impatient { self.send(node.begin(attempt, &self.ledger), from: node) }
        try self.lie(attempt)
        var stepsLeft = 5_000
        while let letter = self.nextLetter(), stepsLeft > 0 {
            stepsLeft -= 1
            guard let node = self.nodes.first(where: { $0.place == letter.receiver }) else { continue }
            let answers = await node.receive(letter, &self.numbers, crashes: !self.isFair, &self.ledger)
            self.send(answers, from: node)
            if case .shares(let shares) = letter.message { try self.lieAbout(shares.transcript, letter) }
            if !self.isFair, self.numbers.oneIn(60) {
                let victim = self.nodes[Int.random(in: self.nodes.indices, using: &self.numbers)]
                if victim.attempt > 0 { self.send(victim.restart(&self.ledger), from: victim) }
            }
        }
        #expect(stepsLeft > 0, "the network never falls silent")
    }

    private mutating func nextLetter() -> Letter? {
        while !self.network.isEmpty {
            let index = Int.random(in: self.network.indices, using: &self.numbers)
            let letter = self.network[index]
            // A letter that stays is one that comes twice.
            if !self.numbers.oneIn(10) { self.network.remove(at: index) }
            if self.isFair || !self.numbers.oneIn(25) { return letter }
        }
        return nil
    }

    private mutating func send(_ messages: [Message], from node: Node) {
        for message in messages {
            for receiver in self.scene.signers.indices {
                self.network.append(Letter(sender: node.place, receiver: receiver, attempt: node.attempt, message: message))
            }
        }
    }

    /// The liar shows some members other nonces than others, under one name or under two.
    private mutating func lie(_ attempt: UInt32) throws {
        guard let liar = self.liar else { return }
        let sharesName = self.numbers.oneIn(2)
        let sets = try (0..<2).map { (face: Int) in
            try Party(self.scene.signers[liar], self.plan, attempt: attempt, incarnation: UInt8(200 + (sharesName ? 0 : face))).nonces()
        }
        let isHonestToday = self.numbers.oneIn(3)
        for node in self.nodes {
            let faces = isHonestToday ? [0] : self.numbers.oneIn(3) ? [0, 1] : [Int.random(in: 0...1, using: &self.numbers)]
            for face in faces {
                self.network.append(Letter(sender: liar, receiver: node.place, attempt: attempt, message: .nonces(sets[face])))
            }
        }
    }

    /// The liar answers with numbers that are no signature, resting on whatever its victim signed.
    private mutating func lieAbout(_ transcript: Bytes32, _ letter: Letter) throws {
        guard let liar = self.liar, letter.sender != liar, self.numbers.oneIn(3) else { return }
        let partial = try PartialSignature(parsing: [0] + SHA256.hash([UInt8(letter.sender)]).bytes.dropFirst())
        let shares = SignatureShares(
            transcript: transcript, partialSignatures: Array(repeating: partial, count: self.plan.inputs.count))
        self.network.append(Letter(sender: liar, receiver: letter.receiver, attempt: letter.attempt, message: .shares(shares)))
    }
}

@Suite struct SimulationTests {
    private static let seedsInBatch: UInt64 = 50

    @Test(arguments: UInt64(0)..<10)
    func `no nonce serves two transcripts, nobody honest is blamed, and what completes verifies`(batch: UInt64) async throws {
        for seed in batch * Self.seedsInBatch..<(batch + 1) * Self.seedsInBatch {
            var simulation = try Simulation(seed: seed)
            try await simulation.run()
            let ledger = simulation.ledger
            #expect(ledger.transcripts.values.allSatisfy { $0.count == 1 }, "a nonce served twice; replay seed \(seed)")
            #expect(ledger.blamed.isSubset(of: [simulation.liarKey].compactMap(\.self)), "an honest signer is blamed; replay seed \(seed)")
            if simulation.liar == nil { #expect(!ledger.completed.isEmpty, "honest signers did not finish; replay seed \(seed)") }
            for transaction in ledger.completed {
                for input in simulation.plan.inputs {
                    let item = try #require(transaction.inputs[input.index].witness.items.first)
                    #expect(
                        try SchnorrSignature(parsing: item).isValid(for: input.message, by: input.keys.xOnlyKey),
                        "a signature does not verify; replay seed \(seed)")
                }
            }
            if seed % 100 == 0, let transaction = ledger.completed.first { try expectValid(transaction, for: simulation.plan) }
        }
    }

    @Test func `the simulated faults do happen`() async throws {
        var (restarts, liars, blamed) = (0, 0, 0)
        for seed in UInt64(0)..<30 {
            var simulation = try Simulation(seed: seed)
            try await simulation.run()
            restarts += simulation.ledger.restarts
            liars += simulation.liar == nil ? 0 : 1
            blamed += simulation.ledger.blamed.count
        }
        #expect(restarts > 30)
        #expect(liars > 5)
        #expect(blamed > 2)
    }
}
