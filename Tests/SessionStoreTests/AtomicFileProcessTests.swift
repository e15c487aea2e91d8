import Foundation
import Testing

@testable import SessionStore

@Suite(.enabled(if: Helper.url != nil, "needs JournalCrashHelper beside the tests"))
struct `A folder in which a process` {
    @Test func `is killed while it makes files holds whole files, and nothing half-written`() throws {
        let folder = try TemporaryFolder()
        // A slow machine makes fewer before each kill.
        var (created, round) = (0, 0)
        while round < 20 || created <= 40, round < 400 {
            defer { round += 1 }
            let place = folder.file("\(round)")
            try FileManager.default.createDirectory(atPath: place, withIntermediateDirectories: false)
            let (process, output) = try Helper.start(["create", place])
            var said = output.availableData
            #expect(Helper.kill(process, afterMicroseconds: round % 20 * 1_700))
            said += output.readDataToEndOfFile()
            process.waitUntilExit()
            #expect(process.terminationReason == .uncaughtSignal, "it ended by itself")

            let names = try FileManager.default.contentsOfDirectory(atPath: place)
            for name in names where Int(name) != nil {
                let contents = try bytes(of: "\(place)/\(name)")
                #expect(contents == [UInt8](repeating: contents.first ?? 0, count: 1 << 20))
            }
            for (_, index) in Helper.lines(said) { #expect(names.contains(index), "round \(round): \(index) was said to be created") }
            created += names.count
            // The usual file systems of Linux have files without names; elsewhere one may be left, until an hour has passed.
            guard case .some = OpenFile(unnamedFor: folder.file("any"), permissions: .ownerOnly) else { continue }
            #expect(names.allSatisfy { Int($0) != nil }, "round \(round): \(names.filter { Int($0) == nil })")
        }
        #expect(created > 40, "too little was going on for this to prove anything")
    }
}
