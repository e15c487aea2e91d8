internal import LibP2P

#if canImport(Glibc)
internal import Glibc
#elseif canImport(Musl)
internal import Musl
#elseif canImport(Darwin)
internal import Darwin
#endif

/// An error number of the system, with its text.
struct SystemError: Error, Equatable, Sendable, CustomStringConvertible {
    let code: Int32

    static var last: SystemError { SystemError(code: errno) }

    var description: String { strerror(self.code).map { String(cString: $0) } ?? "error \(self.code)" }

    var isWouldBlock: Bool { self.code == EAGAIN || self.code == EWOULDBLOCK }
    var isInterrupted: Bool { self.code == EINTR }
    var isConnecting: Bool { self.code == EINPROGRESS }
    /// The process, or the machine, has no descriptor to give.
    var isOutOfDescriptors: Bool { self.code == EMFILE || self.code == ENFILE }
    /// A connection that was gone before it was taken; the next one may be there (accept(2), "Error handling").
    var isAboutOneConnection: Bool {
        [ECONNABORTED, EPROTO, ENETDOWN, ENOPROTOOPT, EHOSTDOWN, EHOSTUNREACH, EOPNOTSUPP, ENETUNREACH, EPERM].contains(self.code)
    }
    var isAddressInUse: Bool { self.code == EADDRINUSE }

    var asDialFailure: RawDialFailure {
        switch self.code {
        case ECONNREFUSED: .refused
        case ENETUNREACH, EHOSTUNREACH, ENETDOWN, EHOSTDOWN, EADDRNOTAVAIL, EAFNOSUPPORT: .unreachable
        case ETIMEDOUT: .timedOut
        case EMFILE, ENFILE: .tooManyDescriptors
        default: .system(self.description)
        }
    }
}

/// The system's calls for sockets, and its clock, with errors as Swift has them.
enum System {
    #if canImport(Darwin)
    static let stream = SOCK_STREAM
    static let sendFlags: Int32 = 0
    #else
    static let stream = Int32(SOCK_STREAM.rawValue)
    static let sendFlags = Int32(MSG_NOSIGNAL)
    #endif

    /// The time since 1970, as this machine has it.
    static var unixTime: Duration {
        var time = timespec()
        clock_gettime(CLOCK_REALTIME, &time)
        return .seconds(time.tv_sec) + .nanoseconds(time.tv_nsec)
    }

    /// A socket that neither blocks nor passes to child processes.
    static func makeStreamSocket(_ family: Int32) throws(SystemError) -> Int32 { try Self.makeSocket(family, Self.stream) }

    static func makeSocket(_ family: Int32, _ type: Int32) throws(SystemError) -> Int32 {
        let descriptor = socket(family, type, 0)
        guard descriptor >= 0 else { throw .last }
        do throws(SystemError) {
            try Self.prepare(descriptor)
        } catch {
            Self.close(descriptor)
            throw error
        }
        return descriptor
    }

    private static func prepare(_ descriptor: Int32) throws(SystemError) {
        guard fcntl(descriptor, F_SETFD, FD_CLOEXEC) == 0, fcntl(descriptor, F_SETFL, O_NONBLOCK) == 0 else { throw .last }
        #if canImport(Darwin)
        Self.set(SO_NOSIGPIPE, of: descriptor)
        #endif
    }

    static func set(_ option: Int32, of descriptor: Int32, level: Int32 = SOL_SOCKET) {
        var one: Int32 = 1
        setsockopt(descriptor, level, option, &one, socklen_t(MemoryLayout<Int32>.size))
    }

    /// Small writes leave at once: what is sent is already gathered.
    static func setNoDelay(_ descriptor: Int32) { Self.set(TCP_NODELAY, of: descriptor, level: Int32(IPPROTO_TCP)) }

    static func setOnlyIPv6(_ descriptor: Int32) { Self.set(IPV6_V6ONLY, of: descriptor, level: Int32(IPPROTO_IPV6)) }

    static func setSharesPort(_ descriptor: Int32) {
        Self.set(SO_REUSEADDR, of: descriptor)
        Self.set(SO_REUSEPORT, of: descriptor)
    }

    static func bind(_ descriptor: Int32, to address: SocketAddress) throws(SystemError) {
        let status = address.withPointer {
            #if canImport(Glibc)
            Glibc.bind(descriptor, $0, $1)
            #elseif canImport(Musl)
            Musl.bind(descriptor, $0, $1)
            #else
            Darwin.bind(descriptor, $0, $1)
            #endif
        }
        guard status == 0 else { throw .last }
    }

    static func listen(_ descriptor: Int32, backlog: Int32) throws(SystemError) {
        #if canImport(Glibc)
        let status = Glibc.listen(descriptor, backlog)
        #elseif canImport(Musl)
        let status = Musl.listen(descriptor, backlog)
        #else
        let status = Darwin.listen(descriptor, backlog)
        #endif
        guard status == 0 else { throw .last }
    }

    /// Whether the connection stands already. Otherwise it is under way, and the socket becomes writable when that is over.
    static func connect(_ descriptor: Int32, to address: SocketAddress) throws(SystemError) -> Bool {
        let status = address.withPointer {
            #if canImport(Glibc)
            Glibc.connect(descriptor, $0, $1)
            #elseif canImport(Musl)
            Musl.connect(descriptor, $0, $1)
            #else
            Darwin.connect(descriptor, $0, $1)
            #endif
        }
        if status == 0 { return true }
        let error = SystemError.last
        guard error.isConnecting || error.isInterrupted else { throw error }
        return false
    }

    /// What became of a connection that was under way; `nil`: it stands.
    static func connectionError(_ descriptor: Int32) -> SystemError? {
        var code: Int32 = 0
        var size = socklen_t(MemoryLayout<Int32>.size)
        guard getsockopt(descriptor, SOL_SOCKET, SO_ERROR, &code, &size) == 0 else { return .last }
        return code == 0 ? nil : SystemError(code: code)
    }

    static func accept(_ descriptor: Int32) throws(SystemError) -> (descriptor: Int32, from: SocketAddress) {
        var accepted: Int32 = -1
        let address = SocketAddress { pointer, length in
            #if canImport(Glibc)
            accepted = Glibc.accept(descriptor, pointer, length)
            #elseif canImport(Musl)
            accepted = Musl.accept(descriptor, pointer, length)
            #else
            accepted = Darwin.accept(descriptor, pointer, length)
            #endif
        }
        guard accepted >= 0 else { throw .last }
        do throws(SystemError) {
            try Self.prepare(accepted)
        } catch {
            Self.close(accepted)
            throw error
        }
        return (accepted, address)
    }

    static func localAddress(_ descriptor: Int32) -> SocketAddress { SocketAddress { getsockname(descriptor, $0, $1) } }

    static func remoteAddress(_ descriptor: Int32) -> SocketAddress { SocketAddress { getpeername(descriptor, $0, $1) } }

    /// How many bytes came; 0: the other end sends no more.
    static func receive(_ descriptor: Int32, into buffer: UnsafeMutableRawBufferPointer) throws(SystemError) -> Int {
        while true {
            let count = recv(descriptor, buffer.baseAddress, buffer.count, 0)
            if count >= 0 { return count }
            let error = SystemError.last
            guard error.isInterrupted else { throw error }
        }
    }

    /// How many bytes the socket took: 0 when it takes none now.
    static func send(_ descriptor: Int32, _ bytes: UnsafeRawBufferPointer) throws(SystemError) -> Int {
        while true {
            #if canImport(Glibc)
            let count = Glibc.send(descriptor, bytes.baseAddress, bytes.count, Self.sendFlags)
            #elseif canImport(Musl)
            let count = Musl.send(descriptor, bytes.baseAddress, bytes.count, Self.sendFlags)
            #else
            let count = Darwin.send(descriptor, bytes.baseAddress, bytes.count, Self.sendFlags)
            #endif
            if count >= 0 { return count }
            let error = SystemError.last
            if error.isWouldBlock { return 0 }
            guard error.isInterrupted else { throw error }
        }
    }

    static func send(_ descriptor: Int32, _ bytes: some Collection<UInt8>) throws(SystemError) -> Int {
        var result = Result<Int, SystemError>.success(0)
        ContiguousArray(bytes).withUnsafeBytes { bytes in
            do throws(SystemError) { result = .success(try Self.send(descriptor, bytes)) } catch { result = .failure(error) }
        }
        return try result.get()
    }

    /// Nothing more comes from here.
    static func endOutput(_ descriptor: Int32) { shutdown(descriptor, Int32(SHUT_WR)) }

    static func close(_ descriptor: Int32) {
        #if canImport(Glibc)
        _ = Glibc.close(descriptor)
        #elseif canImport(Musl)
        _ = Musl.close(descriptor)
        #else
        _ = Darwin.close(descriptor)
        #endif
    }

    /// A descriptor of nothing, kept so that there is one to give up.
    static func openReserve() -> Int32? {
        let descriptor = open("/dev/null", O_RDONLY | O_CLOEXEC)
        return descriptor >= 0 ? descriptor : nil
    }
}

/// How many descriptors this process may have.
public enum DescriptorLimit {
    /// Raises the limit as far as the system allows without privileges, up to `wanted`. Each connection is one descriptor, and the usual
    /// limit of 1,024 is soon reached. Programs call it when they start.
    ///
    /// - Returns: the limit that stands now.
    @discardableResult
    public static func raise(to wanted: Int = 65_536) -> Int {
        #if canImport(Glibc)
        let resource = __rlimit_resource_t(RLIMIT_NOFILE.rawValue)
        #else
        let resource = RLIMIT_NOFILE
        #endif
        var limit = rlimit()
        guard getrlimit(resource, &limit) == 0 else { return 0 }
        let target = min(limit.rlim_max, rlim_t(clamping: wanted))
        if target > limit.rlim_cur {
            let before = limit.rlim_cur
            limit.rlim_cur = target
            if setrlimit(resource, &limit) != 0 { limit.rlim_cur = before }
        }
        return Int(clamping: limit.rlim_cur)
    }
}
