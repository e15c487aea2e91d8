import Bitcoin
import Foundation
import Secp256k1
import Signing
import Testing

@testable import CommandLineTool

@Suite struct DemoTests {
    private let keys = Samples.keys(3)

    private func set(_ keys: [PublicKey], attempt: UInt32) throws -> ExchangeFile {
        var psbt = try Samples.payment(from: self.keys[0].xOnly)
        psbt.inputs[0].musig2Participants[self.keys[0]] = keys
        return ExchangeFile(path: "\(ExchangePath.set(attempt: attempt))", bytes: psbt.serialized())
    }

    @Test func `who signed is the set of the newest attempt in which all gave partial signatures`() throws {
        var seen = DemoSeen()
        let now = ContinuousClock.now
        #expect(seen.signedAttempt == nil && seen.newestSet == [])
        // The first attempt's second signer went away, and another one took its place.
        let first = [self.keys[0], self.keys[1]]
        seen.take(try self.set(first, attempt: 1))
        seen.take(ExchangeFile(path: "\(ExchangePath.nonces(attempt: 1, self.keys[0]))", bytes: []))
        seen.date(now)
        #expect(seen.newestSet == first && seen.attempts[1]?.noncesAt == nil)
        let second = [self.keys[0], self.keys[2]]
        seen.take(try self.set(second, attempt: 2))
        for key in second { seen.take(ExchangeFile(path: "\(ExchangePath.nonces(attempt: 2, key))", bytes: [])) }
        seen.date(now)
        seen.date(now + .seconds(1))
        #expect(seen.newestSet == second && seen.signedAttempt == nil)
        seen.take(ExchangeFile(path: "\(ExchangePath.partialSignatures(attempt: 2, self.keys[0]))", bytes: []))
        #expect(seen.signedAttempt == nil)
        seen.take(ExchangeFile(path: "\(ExchangePath.partialSignatures(attempt: 2, self.keys[2]))", bytes: []))
        #expect(seen.signedAttempt?.set == second && seen.signedAttempt?.noncesAt == now)
        // An attempt that was begun too late has made nothing.
        seen.take(try self.set(first, attempt: 3))
        #expect(seen.newestSet == first && seen.signedAttempt?.set == second)
    }

    @Test func `a process whose end was kept for nobody has ended`() throws {
        var actions = FileActions()
        defer { actions.destroy() }
        let process = try Tool.spawn(["/bin/sh", "-c", "exit 3"], [:], &actions)
        #expect(Tool.exitCode(of: process) == 3)
        #expect(ChildProcess(number: process).exitCode() == 0)
        let running = try Tool.spawn(["/bin/sleep", "600"], [:], &actions)
        #expect(ChildProcess(number: running).exitCode() == nil)
        Tool.end(running)
    }

    @Test(.timeLimit(.minutes(10))) func `the demo ends where whoever started it ignores the ends of processes`() throws {
        var tool = Tool("demo", "--signers", "1", "--json")
        tool.shellPrelude = "trap '' CHLD"
        let run = try tool.run()
        #expect(run.exitCode == 0, "\(run.errors)")
        #expect(try run.json()["verified"] as? Bool == true)
    }
}
