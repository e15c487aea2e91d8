import Foundation
import Testing

/// What `docs/described-systems.md` says of our tests.
@Suite struct DescribedTableTests {
    private static let package = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent()

    /// The pairs of a test's name and its file that the document holds: `` `name` in `File.swift` ``.
    private static func named() throws -> [(name: String, file: String)] {
        let text = try String(contentsOf: Self.package.appendingPathComponent("docs/described-systems.md"), encoding: .utf8)
        let pieces = text.split(separator: "`", omittingEmptySubsequences: false)
        return pieces.indices.dropLast(2).compactMap { place in
            guard place % 2 == 1, pieces[place + 1] == " in ", pieces[place + 2].hasSuffix(".swift") else { return nil }
            return (String(pieces[place]), String(pieces[place + 2]))
        }
    }

    @Test func `every test that the document names stands in the file that it names`() throws {
        let tests = Self.package.appendingPathComponent("Tests")
        let walk = try #require(FileManager.default.enumerator(at: tests, includingPropertiesForKeys: nil))
        var sources: [String: String] = [:]
        for case let file as URL in walk where file.pathExtension == "swift" {
            sources[file.lastPathComponent, default: ""] += try String(contentsOf: file, encoding: .utf8)
        }
        let named = try Self.named()
        #expect(named.count > 100)
        for (name, file) in named {
            #expect(sources[file]?.contains("func `\(name)`(") == true, "\(name) in \(file)")
        }
    }
}
