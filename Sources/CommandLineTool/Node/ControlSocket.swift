#if canImport(Glibc)
internal import Glibc
#elseif canImport(Musl)
internal import Musl
#elseif canImport(Darwin)
internal import Darwin
#endif

/// The system's calls for the socket by which commands reach a node: a file that only its owner may open (unix(7)).
enum ControlSocket {
    /// Longest path of a socket, in bytes: 107 on Linux, 103 on Apple systems.
    static let pathByteCountMax = MemoryLayout.size(ofValue: sockaddr_un().sun_path) - 1

    /// Connections that wait to be taken.
    private static let backlog: Int32 = 16

    #if canImport(Glibc)
    private static let streamType = Int32(SOCK_STREAM.rawValue)
    #else
    private static let streamType = SOCK_STREAM
    #endif

    // MARK: - Server

    /// A socket that listens under this name and does not block. A name that a node left when it was killed is taken over.
    ///
    /// Whoever calls holds the home's database, so no node runs there: that none answers is looked at all the same, for a home may lie
    /// on a disk whose locks do not hold.
    static func listen(at path: String) throws(CommandError) -> Int32 {
        let address = try Self.address(path)
        try Self.removeStale(path, address)
        do throws(SystemError) {
            let descriptor = try Self.socket()
            do throws(SystemError) {
                guard Self.withPointer(address, { bind(descriptor, $0, $1) }) == 0 else { throw .last }
                // Until here the folder keeps others out.
                guard chmod(path, 0o600) == 0, Self.listen(descriptor) == 0 else { throw .last }
                try Self.setNonBlocking(descriptor)
                return descriptor
            } catch {
                close(descriptor)
                throw error
            }
        } catch {
            throw .failed("the node's control socket \(path.printable) cannot be made: \(error)")
        }
    }

    private static func listen(_ descriptor: Int32) -> Int32 {
        #if canImport(Glibc)
        Glibc.listen(descriptor, Self.backlog)
        #elseif canImport(Musl)
        Musl.listen(descriptor, Self.backlog)
        #else
        Darwin.listen(descriptor, Self.backlog)
        #endif
    }

    /// Removes the name if it is a socket that nobody listens on.
    private static func removeStale(_ path: String, _ address: sockaddr_un) throws(CommandError) {
        var status = stat()
        guard lstat(path, &status) == 0 else { return }
        guard status.st_mode & S_IFMT == S_IFSOCK else {
            throw .failed("\(path.printable) is no socket, and the node needs the name: move it away")
        }
        do throws(SystemError) {
            close(try Self.connect(address))
        } catch {
            guard error.number == ECONNREFUSED else {
                throw .failed("whether a node runs behind \(path.printable) cannot be told: \(error); if none does, remove it")
            }
            guard unlink(path) == 0 || errno == ENOENT else {
                throw .failed("\(path.printable), which an ended node left, cannot be removed: \(SystemError.last)")
            }
            return
        }
        throw .failed("a node runs already behind \(path.printable): end it first, or use another --home")
    }

    /// Takes a connection that waits; `nil` when there is none.
    static func accept(on descriptor: Int32) throws(SystemError) -> Int32? {
        while true {
            #if canImport(Glibc)
            let client = Glibc.accept(descriptor, nil, nil)
            #elseif canImport(Musl)
            let client = Musl.accept(descriptor, nil, nil)
            #else
            let client = Darwin.accept(descriptor, nil, nil)
            #endif
            guard client < 0 else {
                do throws(SystemError) {
                    try Self.prepare(client)
                    try Self.setNonBlocking(client)
                } catch {
                    close(client)
                    throw error
                }
                return client
            }
            let error = SystemError.last
            switch error.number {
            case EINTR, ECONNABORTED: continue
            case EAGAIN: return nil
            default: throw error
            }
        }
    }

    /// Which user's process is at the other end, as the system knows it.
    static func peerUser(of descriptor: Int32) -> uid_t? {
        #if canImport(Darwin)
        var (user, group) = (uid_t(), gid_t())
        return getpeereid(descriptor, &user, &group) == 0 ? user : nil
        #else
        // `struct ucred` of unix(7): process, user and group, 32 bits each.
        var credentials: (pid_t, uid_t, gid_t) = (0, 0, 0)
        var byteCount = socklen_t(MemoryLayout.size(ofValue: credentials))
        guard getsockopt(descriptor, SOL_SOCKET, SO_PEERCRED, &credentials, &byteCount) == 0 else { return nil }
        return credentials.1
        #endif
    }

    /// What tells a file from another one that has its name later.
    struct FileID: Equatable, Sendable {
        let device: dev_t
        let number: ino_t
    }

    static func fileID(of path: String) -> FileID? {
        var status = stat()
        return lstat(path, &status) == 0 ? FileID(device: status.st_dev, number: status.st_ino) : nil
    }

    // MARK: - Client

    /// A socket that blocks, connected to whoever listens under the name.
    static func connect(to path: String) throws(SystemError) -> Int32 {
        guard let address = Self.shortAddress(path) else { throw .invalid }
        return try Self.connect(address)
    }

    private static func connect(_ address: sockaddr_un) throws(SystemError) -> Int32 {
        let descriptor = try Self.socket()
        while true {
            #if canImport(Glibc)
            let result = Self.withPointer(address) { Glibc.connect(descriptor, $0, $1) }
            #elseif canImport(Musl)
            let result = Self.withPointer(address) { Musl.connect(descriptor, $0, $1) }
            #else
            let result = Self.withPointer(address) { Darwin.connect(descriptor, $0, $1) }
            #endif
            if result == 0 { return descriptor }
            let error = SystemError.last
            guard error.number == EINTR else {
                close(descriptor)
                throw error
            }
        }
    }

    // MARK: - Both

    #if canImport(Darwin)
    private static let sendFlags: Int32 = 0
    #else
    private static let sendFlags = Int32(MSG_NOSIGNAL)
    #endif

    /// Sends what the socket takes. Whoever is gone is an error, and no signal to the process.
    ///
    /// - Returns: how many bytes it took; none where it would block.
    static func send(_ bytes: ArraySlice<UInt8>, to descriptor: Int32) throws(SystemError) -> Int {
        while true {
            let count = bytes.withUnsafeBytes { bytes in
                #if canImport(Glibc)
                Glibc.send(descriptor, bytes.baseAddress, bytes.count, Self.sendFlags)
                #elseif canImport(Musl)
                Musl.send(descriptor, bytes.baseAddress, bytes.count, Self.sendFlags)
                #else
                Darwin.send(descriptor, bytes.baseAddress, bytes.count, Self.sendFlags)
                #endif
            }
            if count >= 0 { return count }
            let error = SystemError.last
            switch error.number {
            case EINTR: continue
            case EAGAIN: return 0
            default: throw error
            }
        }
    }

    private static func socket() throws(SystemError) -> Int32 {
        #if canImport(Glibc)
        let descriptor = Glibc.socket(AF_UNIX, Self.streamType, 0)
        #elseif canImport(Musl)
        let descriptor = Musl.socket(AF_UNIX, Self.streamType, 0)
        #else
        let descriptor = Darwin.socket(AF_UNIX, Self.streamType, 0)
        #endif
        guard descriptor >= 0 else { throw .last }
        do throws(SystemError) { try Self.prepare(descriptor) } catch {
            close(descriptor)
            throw error
        }
        return descriptor
    }

    /// Child processes do not get it.
    private static func prepare(_ descriptor: Int32) throws(SystemError) {
        guard fcntl(descriptor, F_SETFD, FD_CLOEXEC) == 0 else { throw .last }
        #if canImport(Darwin)
        var isOn: Int32 = 1
        guard setsockopt(descriptor, SOL_SOCKET, SO_NOSIGPIPE, &isOn, socklen_t(MemoryLayout<Int32>.size)) == 0 else { throw .last }
        #endif
    }

    private static func setNonBlocking(_ descriptor: Int32) throws(SystemError) {
        guard fcntl(descriptor, F_SETFL, O_NONBLOCK) == 0 else { throw .last }
    }

    /// The name as the system takes it.
    ///
    /// - Throws: `failed` for a name that is too long.
    private static func address(_ path: String) throws(CommandError) -> sockaddr_un {
        if let address = Self.shortAddress(path) { return address }
        throw .failed(
            "the path \(path.printable) has \(path.utf8.count) bytes, and a socket's has at most \(Self.pathByteCountMax): "
                + "use a --home with a shorter path")
    }

    private static func shortAddress(_ path: String) -> sockaddr_un? {
        let bytes = Array(path.utf8)
        guard (1...Self.pathByteCountMax).contains(bytes.count), !bytes.contains(0) else { return nil }
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: bytes) }
        return address
    }

    private static func withPointer<Result>(
        _ address: sockaddr_un, _ body: (UnsafePointer<sockaddr>, socklen_t) -> Result
    ) -> Result {
        withUnsafePointer(to: address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { body($0, socklen_t(MemoryLayout<sockaddr_un>.size)) }
        }
    }
}
