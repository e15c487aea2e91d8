import LibP2P
import Testing

@testable import LibP2PPosix

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#elseif canImport(Darwin)
import Darwin
#endif

/// The TCP sockets that one test's server, and those who come to it, open and ought to close.
///
/// The process has others that come and go meanwhile: look-ups of names that go on when nobody waits for them, the pairs through
/// which other suites hear of processes they start. They are of another kind, were there before, or have another port.
struct SocketCount {
    /// The numbers (inodes) of the sockets that were there before.
    private let earlier: Set<UInt64>

    init() throws { self.earlier = Set(try Self.all().keys) }

    /// How many sockets have come since, are open, and belong to a server: it listens on them, accepted them, or others reached
    /// it through them. A socket with no other end, or no longer one, does not tell whose it was: it counts.
    func of(_ server: Multiaddr) throws -> Int {
        let port = try #require(TransportAddress(server)).port
        return try Self.all().count { number, descriptor in
            if self.earlier.contains(number) { return false }
            let (local, remote) = (System.localAddress(descriptor), System.remoteAddress(descriptor))
            guard local.host != nil else { return false }
            return local.port == port || (remote.host == nil ? !Self.isListening(descriptor) : remote.port == port)
        }
    }

    /// The process's sockets, by their numbers; descriptors are used again, these are not.
    private static func all() throws -> [UInt64: Int32] {
        let folder = try #require(opendir("/dev/fd"))
        defer { closedir(folder) }
        var sockets: [UInt64: Int32] = [:]
        while let entry = readdir(folder) {
            let name = withUnsafeBytes(of: entry.pointee.d_name) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
            var status = stat()
            guard let descriptor = Int32(name), fstat(descriptor, &status) == 0, status.st_mode & S_IFMT == S_IFSOCK else { continue }
            if Self.option(SO_TYPE, of: descriptor) == System.stream { sockets[UInt64(status.st_ino)] = descriptor }
        }
        return sockets
    }

    private static func isListening(_ descriptor: Int32) -> Bool { Self.option(SO_ACCEPTCONN, of: descriptor) != 0 }

    private static func option(_ option: Int32, of descriptor: Int32) -> Int32? {
        var (value, size) = (Int32(0), socklen_t(MemoryLayout<Int32>.size))
        return getsockopt(descriptor, SOL_SOCKET, option, &value, &size) == 0 ? value : nil
    }
}
