import Foundation

/// Where the official test figures of the BIPs are.
///
/// `CHORALE_BIPS` names the folder; without it, `../bips` beside the package: a clone of the bips repository.
public enum VectorFolder {
    public static let path: String = {
        if let named = ProcessInfo.processInfo.environment["CHORALE_BIPS"], !named.isEmpty { return named }
        let package = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
        return package.deletingLastPathComponent().appendingPathComponent("bips").path
    }()

    /// Whether the folder holds the file, to say by name which tests are skipped without it.
    public static func has(_ relativePath: String) -> Bool {
        FileManager.default.fileExists(atPath: "\(self.path)/\(relativePath)")
    }

    public static func data(_ relativePath: String) throws -> Data {
        try Data(contentsOf: URL(fileURLWithPath: "\(self.path)/\(relativePath)"))
    }

    /// Decodes one JSON file, its keys turned from snake_case into camelCase.
    public static func load<Contents: Decodable>(_ relativePath: String, as type: Contents.Type = Contents.self) throws -> Contents {
        let decoder = JSONDecoder()
        decoder.keyDecodingStrategy = .convertFromSnakeCase
        return try decoder.decode(Contents.self, from: Self.data(relativePath))
    }
}
