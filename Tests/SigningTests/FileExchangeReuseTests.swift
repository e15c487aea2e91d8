import Bitcoin
import CryptoPrimitives
import Secp256k1
import Testing

@testable import Signing

/// The clone alarm: one nonce under two transcripts.
@Suite struct FileExchangeReuseTests {
    /// Three signers, of whom the first two have signed the first attempt and the third never does.
    private struct Scene {
        let simulation: ExchangeSimulation
        let plan: SigningPlan
        /// The statements of the first attempt, as the folder has them.
        let nonces: [PublicKey: Statement]
        let partials: [PublicKey: Statement]

        var signers: [SimulatedSigner] { self.simulation.signers }

        init(seed: UInt64) throws {
            let simulation = try ExchangeSimulation(.allOfThree, seed: seed)
            let last = simulation.signers[2]
            last.mangle = { action, _ in if case .write(.partialSignatures, _) = action { nil } else { action } }
            func statement(_ path: ExchangePath) -> Statement? {
                last.replica.files[path.description].flatMap { ExchangeAction.write(path, $0).statement }
            }
            let keys = simulation.signers.map(\.publicKey)
            func partials() -> [PublicKey: Statement] {
                Dictionary(
                    uniqueKeysWithValues: keys.compactMap { key in statement(.partialSignatures(attempt: 1, key)).map { (key, $0) } })
            }
            try simulation.run(until: { partials().count == 2 })
            self.simulation = simulation
            self.plan = try SigningPlan(request: simulation.request, under: simulation.policy, set: keys)
            self.nonces = try Dictionary(uniqueKeysWithValues: keys.map { ($0, try #require(statement(.nonces(attempt: 1, $0)))) })
            self.partials = partials()
        }

        /// The third signer's nonces under another name: what it shows to a copy.
        func otherNonces() throws -> Statement {
            guard case .nonces(let name, let items)? = self.nonces[self.signers[2].publicKey]?.body else { throw SigningError.closed }
            let other = NonceName(known: name.incarnation, counter: name.counter + 1_000)
            return self.signers[2].says(.nonces(other, items.reversed()), self.simulation.request.digest, attempt: 1)
        }

        /// What a copy of the signer's memory signs that saw the other nonces.
        func partials(ofCopyOf signer: SimulatedSigner, seeing other: Statement) throws -> Statement {
            let sets = try self.plan.signers.map { key in
                let statement = key == other.sender ? other : try #require(self.nonces[key])
                return try #require(try statement.nonceSet())
            }
            guard case .partialSignatures(let own, let items)? = self.partials[signer.publicKey]?.body else { throw SigningError.closed }
            let transcript = self.plan.transcript(attempt: 1, nonceSets: sets)
            #expect(transcript != own)
            return signer.says(.partialSignatures(transcript: transcript, items), self.simulation.request.digest, attempt: 1)
        }

        /// What the process does once it has seen the files.
        func actions(of signer: SimulatedSigner, seeing statements: [Statement]) throws -> [ExchangeAction] {
            let process = try #require(signer.process)
            for statement in statements {
                let path: ExchangePath =
                    if case .nonces = statement.body { .nonces(attempt: 1, statement.sender) } else {
                        .partialSignatures(attempt: 1, statement.sender)
                    }
                process.machine.observe(
                    ExchangeFile(path: path.description, bytes: try self.simulation.psbt(statement)), now: self.simulation.now)
            }
            return (0..<4).flatMap { _ in
                process.machine.step(now: self.simulation.now, key: signer.key, identity: signer.identity)
            }
        }
    }

    @Test(arguments: [false, true], UInt64(0)..<4)
    func `one nonce under two transcripts ends its own signer's process, and warns the others`(comesLate: Bool, seed: UInt64) throws {
        let scene = try Scene(seed: seed)
        let (cloned, witness) = (scene.signers[0], scene.signers[1])
        let other = try scene.otherNonces()
        let copy = try scene.partials(ofCopyOf: cloned, seeing: other)
        let files = comesLate ? [copy, other] : [other, copy]
        let own = try scene.actions(of: cloned, seeing: files)
        #expect(own.contains(.fail(.nonceReused(cloned.publicKey))), "\(own)")
        let first = try #require(scene.partials[cloned.publicKey])
        let others = try scene.actions(of: witness, seeing: [first] + files)
        #expect(others.contains(.say(.nonceReused(cloned.publicKey))), "\(others)")
        // It is no fault that a third party could be shown: a clone may be nobody's doing.
        for case .say(.excluded(let signer, let reason)) in others { Issue.record("\(signer): \(reason)") }
        let words = ExchangeError.nonceReused(cloned.publicKey).description
        #expect(words.contains("\(cloned.publicKey)") && words.contains("move the funds"))
    }

    /// With a thousand inputs, reading the nonces of all signers again takes a second; one signer could make every file cost that.
    @Test func `what follows the first sign of reuse is judged without reading all nonces again`() throws {
        let scene = try Scene(seed: 8)
        let (cloned, witness) = (scene.signers[0], scene.signers[1])
        let process = try #require(witness.process)
        let request = scene.simulation.request.digest
        func countTranscripts() -> Int { process.machine.attempts[1]?.transcripts.madeCount ?? 0 }
        let strange = (1...3).map { number in
            cloned.says(.partialSignatures(transcript: SHA256.hash([UInt8(number)]), [[], []]), request, attempt: 1)
        }
        _ = try scene.actions(of: witness, seeing: [try #require(scene.partials[cloned.publicKey])] + strange)
        #expect(countTranscripts() == 1)
        // Nonces that were there are no news, and new ones make one transcript more.
        _ = try scene.actions(of: witness, seeing: Array(scene.nonces.values) + strange)
        #expect(countTranscripts() == 1)
        _ = try scene.actions(of: witness, seeing: [try scene.otherNonces()])
        #expect(countTranscripts() == 2)
    }

    @Test func `signatures for nonces that nobody knows are a notice to their own signer and nothing to others`() throws {
        let scene = try Scene(seed: 5)
        let (cloned, witness) = (scene.signers[0], scene.signers[1])
        let copy = try scene.partials(ofCopyOf: cloned, seeing: try scene.otherNonces())
        let own = try scene.actions(of: cloned, seeing: [copy, copy])
        #expect(own.filter { $0 == .say(.signedElsewhere(attempt: 1)) }.count == 1, "\(own)")
        for case .fail(let error) in own { Issue.record("an old file that is put back stops nobody: \(error)") }
        for action in try scene.actions(of: witness, seeing: [copy]) {
            if case .say(.nonceReused) = action { Issue.record("nothing shows it") }
        }
    }

    @Test func `an attempt that the own key has signed elsewhere is not signed again`() throws {
        for isSignedElsewhere in [true, false] {
            let simulation = try ExchangeSimulation(.allOfThree, seed: 6)
            let signer = simulation.signers[0]
            // Everybody's nonces are there; the first signer has yet to look.
            try simulation.run(until: {
                simulation.signers.allSatisfy { signer in
                    signer.replica.files[ExchangePath.nonces(attempt: 1, signer.publicKey).description] != nil
                } && signer.process?.pending.isEmpty == true
            })
            #expect(signer.journal.isEmpty)
            let process = try #require(signer.process)
            let elsewhere = signer.says(
                .partialSignatures(transcript: SHA256.hash([1]), [[], []]), simulation.request.digest, attempt: 1)
            let path = ExchangePath.partialSignatures(attempt: 1, signer.publicKey).description
            if isSignedElsewhere {
                process.machine.observe(ExchangeFile(path: path, bytes: try simulation.psbt(elsewhere)), now: simulation.now)
            }
            for (path, bytes) in signer.replica.files {
                process.machine.observe(ExchangeFile(path: path, bytes: bytes), now: simulation.now)
            }
            let actions = process.machine.step(now: simulation.now, key: signer.key, identity: signer.identity)
            #expect(actions.contains { if case .record = $0 { true } else { false } } != isSignedElsewhere, "\(actions)")
            // It costs an attempt: the next one completes.
            guard isSignedElsewhere else { continue }
            try simulation.run()
            for signer in simulation.signers { #expect(signer.completed != nil, "\(String(describing: signer.failed))") }
            #expect(simulation.violations == [])
        }
    }
}
