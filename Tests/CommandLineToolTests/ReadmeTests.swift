import Foundation
import Testing

/// What the README tells people to type.
@Suite struct ReadmeTests {
    private static func text(_ name: String) throws -> String {
        let tests = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
        let package = tests.deletingLastPathComponent().deletingLastPathComponent()
        return try String(contentsOf: package.appendingPathComponent(name), encoding: .utf8)
    }

    @Test func `its Package.swift is that of the example, which is built and run, but for names and the path`() throws {
        let example = try Self.text("Examples/ThreeSigners/Package.swift")
            .replacingOccurrences(of: "ThreeSigners", with: "Wallet").replacingOccurrences(of: "../..", with: "../chorale")
        #expect(try Self.text("README.md").contains("```swift\n\(example)```\n"))
    }

    @Test func `its command takes the public keys out of key files as key show tells them`() throws {
        let lines = try Self.text("README.md").split(separator: "\n")
        let command = try #require(lines.first { $0.hasPrefix("sed ") && $0.contains("bob.key") })
        let folder = try TemporaryFolder()
        var keys: [String] = []
        for name in ["alice.key", "bob.key"] {
            var tool = Tool("key", "new", "--network", "signet", "--out", folder.path(name), "--json")
            tool.environment["CHORALE_PASSPHRASE"] = "correct horse"
            keys.append(try #require(try tool.run().json()["public_key"] as? String))
        }
        // The shell that starts the tool runs the command before it.
        var tool = Tool("multisig", "address", "--signers", folder.path("signers.txt"), "--network", "signet", "--json")
        tool.shellPrelude = "cd '\(folder.path)'; \(command)\ntrue"
        #expect(try tool.run().exitCode == 0)
        #expect(try folder.text("signers.txt") == keys.map { "\($0)\n" }.joined())
    }
}
