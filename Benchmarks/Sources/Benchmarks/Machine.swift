import CBaseline
import Foundation

/// What the figures were measured on and with.
struct Machine {
    let processor: String
    let cores: Int
    let system: String
    let kernel: String
    let swift: String
    let secp256k1: String
    let sodium: String
    let date: String

    init() {
        let processorInfo = Self.text(of: "/proc/cpuinfo")
        let release = Self.text(of: "/etc/os-release")
        self.processor = Self.value(of: "model name", separator: ":", in: processorInfo) ?? "unknown processor"
        self.cores = ProcessInfo.processInfo.activeProcessorCount
        self.system = Self.value(of: "PRETTY_NAME", separator: "=", in: release) ?? ProcessInfo.processInfo.operatingSystemVersionString
        self.kernel = Self.text(of: "/proc/sys/kernel/osrelease").trimmingCharacters(in: .whitespacesAndNewlines)
        self.swift = Self.output(of: ["swift", "--version"]).first { $0.contains("Swift version") } ?? "unknown"
        self.secp256k1 = Self.output(of: ["pkg-config", "--modversion", "libsecp256k1"]).first ?? "unknown"
        self.sodium = String(cString: baseline_sodium_version())
        self.date = Date.now.formatted(.iso8601.year().month().day())
    }

    /// For people: two lines.
    var description: String {
        "\(self.processor), \(self.cores) cores, \(self.system), kernel \(self.kernel), \(self.date)\n"
            + "\(self.swift); libsecp256k1 \(self.secp256k1), libsodium \(self.sodium)"
    }

    /// For files.
    var fields: [String: String] {
        [
            "processor": self.processor, "cores": "\(self.cores)", "system": self.system, "kernel": self.kernel, "swift": self.swift,
            "libsecp256k1": self.secp256k1, "libsodium": self.sodium, "date": self.date,
        ]
    }

    /// How many processes ran or waited over the last minute; 0 where the system does not tell.
    static var load: Double { Self.text(of: "/proc/loadavg").split(separator: " ").first.flatMap { Double($0) } ?? 0 }

    private static func text(of path: String) -> String { (try? String(contentsOfFile: path, encoding: .utf8)) ?? "" }

    private static func value(of name: String, separator: Character, in text: String) -> String? {
        for line in text.split(separator: "\n") where line.hasPrefix(name) {
            guard let place = line.firstIndex(of: separator) else { continue }
            return line[line.index(after: place)...].trimmingCharacters(in: .whitespaces.union(CharacterSet(charactersIn: "\"")))
        }
        return nil
    }

    private static func output(of command: [String]) -> [String] {
        let (process, pipe) = (Process(), Pipe())
        process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
        process.arguments = command
        process.standardOutput = pipe
        process.standardError = FileHandle.nullDevice
        guard (try? process.run()) != nil else { return [] }
        let bytes = pipe.fileHandleForReading.readDataToEndOfFile()
        process.waitUntilExit()
        return String(decoding: bytes, as: UTF8.self).split(separator: "\n").map(String.init)
    }
}
