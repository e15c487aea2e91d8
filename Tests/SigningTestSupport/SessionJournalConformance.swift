public import Signing

/// One promise of `SessionJournal`. The names are sentences that hold for every implementation.
public enum JournalPromise: String, CaseIterable, Sendable {
    case aNewJournalIsEmpty
    case aBurnedRecordIsFound
    case aRepeatChangesNothing
    case anotherRecordForOneDecisionIsRefused
    case anAttemptOrSignerOrRequestOfItsOwnIsADecisionOfItsOwn
    case aNonceServesOneTranscript
    case aNonceServesOneInput
    case recordsComeByAttemptThenSigner
    case aForgottenRequestIsGoneAndOthersStay
    case forgettingTheUnknownChangesNothing
    case aThousandConcurrentBurnsAllLast
    case ofConcurrentRivalsExactlyOneStands
    case everythingOutlivesAKillAfterEachStep
    case theHolderKeepsOthersOut
}

/// What any implementation of `SessionJournal` must do. Knows how to get at one only through the two closures.
///
///     @Test(arguments: JournalPromise.allCases)
///     func `keeps every promise`(_ promise: JournalPromise) async throws {
///         try await SessionJournalConformance(open: …, kill: …).check(promise)
///     }
public struct SessionJournalConformance<Journal: SessionJournal>: Sendable {
    /// Opens the one journal that this value is about: empty at first, then with what it was left with.
    private let open: @Sendable () async throws -> Journal
    /// Ends it without a farewell, as a crash would; then it can be opened again.
    private let kill: @Sendable (Journal) async throws -> Void

    public init(open: @escaping @Sendable () async throws -> Journal, kill: @escaping @Sendable (Journal) async throws -> Void) {
        self.open = open
        self.kill = kill
    }

    /// A promise that was broken, and how.
    public struct Broken: Error, CustomStringConvertible {
        public let description: String
    }

    /// Throws `Broken` when the journal does not keep the promise. Needs a journal that nobody wrote to before.
    public func check(_ promise: JournalPromise) async throws {
        switch promise {
        case .aNewJournalIsEmpty: try await self.emptiness()
        case .aBurnedRecordIsFound: try await self.finding()
        case .aRepeatChangesNothing: try await self.repeats()
        case .anotherRecordForOneDecisionIsRefused: try await self.conflicts()
        case .anAttemptOrSignerOrRequestOfItsOwnIsADecisionOfItsOwn: try await self.separateDecisions()
        case .aNonceServesOneTranscript: try await self.nonceReuse()
        case .aNonceServesOneInput: try await self.nonceTwiceInOneRecord()
        case .recordsComeByAttemptThenSigner: try await self.order()
        case .aForgottenRequestIsGoneAndOthersStay: try await self.forgetting()
        case .forgettingTheUnknownChangesNothing: try await self.forgettingTheUnknown()
        case .aThousandConcurrentBurnsAllLast: try await self.concurrency()
        case .ofConcurrentRivalsExactlyOneStands: try await self.rivals()
        case .everythingOutlivesAKillAfterEachStep: try await self.kills()
        case .theHolderKeepsOthersOut: try await self.exclusion()
        }
    }

    // MARK: - One process

    private func emptiness() async throws {
        let journal = try await self.open()
        let record = try Sample.record(request: "a")
        try self.expect(try await self.found(record, in: journal) == nil, "a record was there from the start")
        try self.expect(try await journal.records(request: record.request).isEmpty, "records were there from the start")
    }

    private func finding() async throws {
        let journal = try await self.open()
        for inputs in [0, 1, 2, 40] {
            let record = try Sample.record(request: "\(inputs) inputs", inputs: inputs)
            try await journal.burn(record)
            try self.expect(try await self.found(record, in: journal) == record, "a record with \(inputs) inputs was not found as burned")
        }
    }

    private func repeats() async throws {
        var journal = try await self.open()
        let record = try Sample.record(request: "a", inputs: 2)
        for _ in 0..<3 { try await journal.burn(record) }
        try self.expect(try await journal.records(request: record.request) == [record], "a repeat was recorded again")
        journal = try await self.reopen(journal)
        try self.expect(try await journal.records(request: record.request) == [record], "what was burned thrice did not last")
        try await journal.burn(record)
        try self.expect(try await journal.records(request: record.request) == [record], "a repeat after a crash was recorded again")
    }

    private func conflicts() async throws {
        var journal = try await self.open()
        let record = try Sample.record(request: "a", attempt: 7)
        let rival = try Sample.record(request: "a", attempt: 7, transcript: "another")
        // The same transcript and nonces, another signature: what a faulty machine makes.
        let faulty = BurnRecord(
            request: record.request, attempt: record.attempt, signer: record.signer, transcript: record.transcript,
            contributions: Array(zip(record.nonces, rival.partialSignatures)))
        try await journal.burn(record)
        for _ in 0..<2 {
            for other in [rival, faulty] {
                try await self.expectRefusal(.differentRecordStands(attempt: 7, signer: record.signer)) { try await journal.burn(other) }
                try self.expect(try await journal.records(request: record.request) == [record], "a refused record changed what stands")
            }
            journal = try await self.reopen(journal)
        }
        // What was refused used up nothing.
        try await journal.burn(try Sample.record(request: "b", transcript: "another", nonces: "a 7 Ada another"))
    }

    private func separateDecisions() async throws {
        let journal = try await self.open()
        let records = try [
            Sample.record(request: "a"), Sample.record(request: "a", attempt: 2), Sample.record(request: "a", signer: "Bo"),
            Sample.record(request: "b"), Sample.record(request: "a", attempt: .max),
        ]
        for record in records { try await journal.burn(record) }
        for record in records { try self.expect(try await self.found(record, in: journal) == record, "decisions were mixed up") }
        let absent = try Sample.record(request: "b", attempt: 2)
        try self.expect(try await self.found(absent, in: journal) == nil, "a decision was found that nobody took")
    }

    private func nonceReuse() async throws {
        var journal = try await self.open()
        let first = try Sample.record(request: "a", inputs: 3, nonces: "shared")
        try await journal.burn(first)
        for _ in 0..<2 {
            for reuse in [
                try Sample.record(request: "a", attempt: 2, inputs: 3, nonces: "shared"),
                try Sample.record(request: "b", inputs: 1, nonces: "shared"),
            ] {
                try await self.expectRefusal(.nonceServedAlready(first.nonces[0])) { try await journal.burn(reuse) }
                try self.expect(try await self.found(reuse, in: journal) == nil, "a refused record was kept")
            }
            journal = try await self.reopen(journal)
        }
    }

    private func nonceTwiceInOneRecord() async throws {
        let journal = try await self.open()
        let sound = try Sample.record(request: "a", inputs: 2)
        let doubled = BurnRecord(
            request: sound.request, attempt: 1, signer: sound.signer, transcript: sound.transcript,
            contributions: sound.partialSignatures.map { (sound.nonces[0], $0) })
        try await self.expectRefusal(.nonceServedAlready(sound.nonces[0])) { try await journal.burn(doubled) }
        try await journal.burn(sound)
    }

    private func order() async throws {
        var journal = try await self.open()
        var records = try [3, 1, 2].flatMap { attempt in
            try ["Ada", "Bo", "Cy"].map { try Sample.record(request: "a", attempt: attempt, signer: $0) }
        }
        for record in records { try await journal.burn(record) }
        records.sort { ($0.attempt, $0.signer) < ($1.attempt, $1.signer) }
        for _ in 0..<2 {
            try self.expect(try await journal.records(request: records[0].request) == records, "records came in another order")
            journal = try await self.reopen(journal)
        }
    }

    private func forgetting() async throws {
        var journal = try await self.open()
        let gone = try (1...5).map { try Sample.record(request: "gone", attempt: $0) }
        let kept = try Sample.record(request: "kept")
        for record in gone { try await journal.burn(record) }
        try await journal.burn(kept)
        try await journal.forget(request: gone[0].request)
        for _ in 0..<2 {
            try self.expect(try await journal.records(request: gone[0].request).isEmpty, "a forgotten record is still there")
            try self.expect(try await journal.records(request: kept.request) == [kept], "another request was forgotten too")
            journal = try await self.reopen(journal)
        }
        let again = try Sample.record(request: "gone", transcript: "anew")
        try await journal.burn(again)
        journal = try await self.reopen(journal)
        try self.expect(try await journal.records(request: again.request) == [again], "what came after forgetting did not last")
    }

    private func forgettingTheUnknown() async throws {
        let journal = try await self.open()
        let kept = try Sample.record(request: "kept")
        try await journal.forget(request: Sample.digest("never seen"))
        try await journal.burn(kept)
        try await journal.forget(request: Sample.digest("never seen"))
        try self.expect(try await self.found(kept, in: journal) == kept, "forgetting nothing forgot something")
    }

    // MARK: - Many tasks

    private func concurrency() async throws {
        var journal = try await self.open()
        let records = try (0..<1_000).map { try Sample.record(request: "\($0 % 37)", attempt: UInt32($0)) }
        try await withThrowingTaskGroup { [journal] group in
            for record in records {
                group.addTask {
                    try await journal.burn(record)
                    try self.expect(try await self.found(record, in: journal) == record, "a burned record was not there")
                }
            }
            try await group.waitForAll()
        }
        journal = try await self.reopen(journal)
        for record in records { try self.expect(try await self.found(record, in: journal) == record, "a burned record did not last") }
    }

    private func rivals() async throws {
        var journal = try await self.open()
        for round in 0..<20 {
            let rivals = try (0..<8).map { try Sample.record(request: "\(round)", transcript: "\($0)") }
            let winners = await withTaskGroup { [journal] group in
                // Each twice: a rival and its repeat must fare alike.
                for rival in rivals + rivals { group.addTask { (try? await journal.burn(rival)) == nil ? nil : rival } }
                return await group.reduce(into: Set<BurnRecord>()) { if let winner = $1 { $0.insert(winner) } }
            }
            try self.expect(winners.count == 1, "\(winners.count) rivals of 8 were told that they stand")
            journal = try await self.reopen(journal)
            try self.expect(
                try await journal.records(request: rivals[0].request) == Array(winners), "another rival stands than the one told so")
        }
    }

    // MARK: - Many processes

    private func kills() async throws {
        var journal = try await self.open()
        var expected: [BurnRecord] = []
        for step in 1...30 {
            if step % 10 == 0, let first = expected.first {
                try await journal.forget(request: first.request)
                expected.removeAll { $0.request == first.request }
            } else {
                let record = try Sample.record(request: "\(step % 4)", attempt: UInt32(step), inputs: step % 5)
                try await journal.burn(record)
                expected.append(record)
            }
            journal = try await self.reopen(journal)
            for request in 0..<4 {
                let digest = Sample.digest("\(request)")
                try self.expect(
                    try await journal.records(request: digest) == expected.filter { $0.request == digest },
                    "step \(step) did not outlive a kill")
            }
        }
    }

    private func exclusion() async throws {
        let journal = try await self.open()
        do {
            _ = try await self.open()
        } catch JournalError.heldByAnotherProcess {
            try await journal.burn(try Sample.record(request: "a"))
            return
        }
        throw Broken(description: "the journal was opened twice")
    }

    // MARK: - Helpers

    private func reopen(_ journal: Journal) async throws -> Journal {
        try await self.kill(journal)
        return try await self.open()
    }

    private func found(_ record: BurnRecord, in journal: Journal) async throws -> BurnRecord? {
        try await journal.record(request: record.request, attempt: record.attempt, signer: record.signer)
    }

    private func expect(_ holds: Bool, _ otherwise: String) throws {
        if !holds { throw Broken(description: otherwise) }
    }

    private func expectRefusal(_ expected: JournalError, _ action: () async throws -> Void) async throws {
        do {
            try await action()
        } catch let error as JournalError where error == expected {
            return
        } catch {
            throw Broken(description: "\(expected) was expected, and came: \(error)")
        }
        throw Broken(description: "\(expected) was expected, and nothing was refused")
    }
}
