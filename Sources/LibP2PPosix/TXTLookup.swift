internal import CryptoPrimitives
internal import LibP2P

#if canImport(Glibc)
internal import Glibc
#elseif canImport(Musl)
internal import Musl
#elseif canImport(Darwin)
internal import Darwin
#endif

/// Asks the machine's name servers for TXT records. Waits for them.
enum TXTLookup {
    /// How long one server has, and how many are asked: the system's own numbers are 5 s and 3.
    static let timeout = Duration.seconds(3)
    static let serverCountMax = 3
    private static let port: UInt16 = 53
    /// More of `/etc/resolv.conf` is not read.
    private static let fileByteCountMax = 16_384

    /// The first server that answers is believed, also if it knows nothing of the name.
    static func texts(of name: String, from servers: [SocketAddress], within timeout: Duration = Self.timeout) -> [String] {
        for server in servers.prefix(Self.serverCountMax) {
            if let texts = Self.texts(of: name, from: server, within: timeout) { return texts }
        }
        return []
    }

    /// `nil` when the server gives no answer.
    static func texts(of name: String, from server: SocketAddress, within timeout: Duration = Self.timeout) -> [String]? {
        // With the random port of the socket, what a forger off the path must guess.
        let id = SystemRandom.bytes(count: 2).reduce(UInt16(0)) { $0 << 8 | UInt16($1) }
        guard let question = DNSTextLookup.question(name, id: id) else { return nil }
        guard let descriptor = try? System.makeSocket(server.family, System.datagram) else { return nil }
        defer { System.close(descriptor) }
        // Connected: only the server's datagrams come in.
        guard (try? System.connect(descriptor, to: server)) == true else { return nil }
        guard (try? System.send(descriptor, question)) == question.count else {
            return nil
        }
        let clock = ContinuousClock()
        let end = clock.now + timeout
        while true {
            let left = (end - clock.now) / .milliseconds(1)
            var waiting = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
            // Rounded up: who waits until its time is over must not find a moment of it left.
            guard left > 0, poll(&waiting, 1, Int32(left.rounded(.up))) > 0 else { return nil }
            var buffer = [UInt8](repeating: 0, count: DNSTextLookup.answerByteCountMax)
            let count = buffer.withUnsafeMutableBytes { bytes in try? System.receive(descriptor, into: bytes) }
            guard let count else { return nil }
            if let texts = DNSTextLookup.texts(in: Array(buffer.prefix(count)), to: name, id: id) { return texts }
        }
    }

    /// The machine's own, as `/etc/resolv.conf` has them now.
    static var systemServers: [SocketAddress] { Self.systemHosts.map { SocketAddress($0, port: Self.port) } }

    private static var systemHosts: [SocketAddress.Host] {
        let descriptor = open("/etc/resolv.conf", O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { return [] }
        defer { System.close(descriptor) }
        var buffer = [UInt8](repeating: 0, count: Self.fileByteCountMax)
        let count = buffer.withUnsafeMutableBytes { read(descriptor, $0.baseAddress, $0.count) }
        return Self.servers(in: String(decoding: buffer.prefix(max(0, count)), as: UTF8.self))
    }

    static func servers(in file: String) -> [SocketAddress.Host] {
        file.split(whereSeparator: \.isNewline).compactMap { line in
            let words = line.split { $0 == " " || $0 == "\t" }
            guard words.count >= 2, words[0] == "nameserver" else { return nil }
            if let address = IPv4Address(text: words[1]) { return .ip4(address) }
            // A link-local one names its interface: fe80::1%eth0.
            let parts = words[1].split(separator: "%", maxSplits: 1)
            guard let address = parts.first.flatMap({ IPv6Address(text: $0) }) else { return nil }
            guard parts.count > 1 else { return .ip6(address, scope: 0) }
            let scope = if_nametoindex(String(parts[1]))
            let number = scope != 0 ? scope : UInt32(parts[1]) ?? 0
            return number != 0 ? .ip6(address, scope: number) : nil
        }
    }
}
