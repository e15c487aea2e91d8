import CTestSupport
import Foundation

/// What this machine and build can be asked about secret memory.
enum Platform {
    #if os(Linux)
    static let isLinux = true
    #else
    static let isLinux = false
    #endif

    /// Whether memory is locked here, in a way that Linux tells.
    static var locksMemory: Bool { Self.isLinux && chorale_test_is_sanitized() == 0 }
}

/// What Linux itself says of a piece of memory: the two-letter `VmFlags` of `/proc/self/smaps`.
enum MemoryMap {
    static func flags(at address: UnsafeRawPointer) throws -> Set<Substring> {
        // Files under /proc say that they have no bytes, so they are read until they end.
        let file = try FileHandle(forReadingFrom: URL(fileURLWithPath: "/proc/self/smaps"))
        let text = String(decoding: try file.readToEnd() ?? Data(), as: UTF8.self)
        let target = UInt(bitPattern: address)
        var isInside = false
        for line in text.split(separator: "\n") {
            // A mapping opens with its range, "7f31a0000000-7f31a0021000 rw-p …".
            let range = line.prefix { $0 != " " }.split(separator: "-").compactMap { UInt($0, radix: 16) }
            if range.count == 2 { isInside = (range[0]..<range[1]).contains(target) }
            if isInside, line.hasPrefix("VmFlags:") { return Set(line.split(separator: " ").dropFirst()) }
        }
        return []
    }
}
