import Secp256k1
import SessionStore
import Signing

#if canImport(Glibc)
internal import Glibc
#elseif canImport(Musl)
internal import Musl
#elseif canImport(Darwin)
internal import Darwin
#endif

/// The folder of one request on disk: finds what has changed in it, and writes files whole or not at all.
struct ExchangeFolder {
    /// The request's own folder inside the one that the signers share.
    let path: String
    private let sharedPath: String
    /// The shared folder as it was at the start: where a stick was mounted, its name may remain when the stick is gone.
    private let sharedIdentity: Identity?
    private var stamps: [String: Stamp] = [:]
    /// Attempts before this one are over, and their folders are looked at no more.
    private var firstAttempt: UInt32 = 1

    /// Most names in one folder: two files for each of 1,000 signers, and what else people leave there.
    private static let nameCountMax = 20_000

    /// What is compared to see that a file has changed, without reading it.
    private struct Stamp: Equatable {
        let byteCount: Int64
        let seconds: Int64
        let nanoseconds: Int64
        let number: UInt64
    }

    /// Which folder it is, whatever its name.
    private struct Identity: Equatable {
        let device: UInt64
        let number: UInt64
    }

    /// One folder of the exchange.
    enum Place: Equatable {
        /// The request's own, with the names in it.
        case root(names: [String])
        case attempt(UInt32)
    }

    /// - Throws: `missing` when the shared folder is not there; it is never made, for a mistyped name would be waited in for ever.
    init(in sharedPath: String, request: SigningRequest) throws(CommandError) {
        self.sharedPath = sharedPath
        self.path = "\(sharedPath)/\(ExchangePath.folder(of: request.digest))"
        self.sharedIdentity = Self.identity(of: sharedPath)
        try Self.check(sharedPath)
        do throws(CommandError) { try self.makeFolder(self.path) } catch {
            guard case .missing = error, self.isReachable else { throw error }
            // It may have gone and come back that very moment; or it is none that keeps files, such as /proc.
            do throws(CommandError) { try self.makeFolder(self.path) } catch {
                guard case .missing = error, self.isReachable else { throw error }
                throw .failed("nothing can be written in the folder \(sharedPath.printable): choose another one for --exchange")
            }
        }
    }

    /// Refuses a shared folder that is not there, before anybody is asked anything.
    static func check(_ path: String) throws(CommandError) {
        guard !Self.isFolder(path) else { return }
        if Files.exists(path) { throw .failed("\(path.printable) is no folder: check --exchange") }
        throw .missing("there is no folder \(path.printable): make it, or mount the drive, or check --exchange")
    }

    /// Whether the shared folder is there right now.
    var isReachable: Bool { Self.isFolder(self.sharedPath) }

    // MARK: Reading

    /// Where files of the exchange are: its own folder, then that of each attempt, in rising order. So who reads them one after the
    /// other knows of each attempt by the time that the next one comes.
    ///
    /// - Parameter attempt: the newest attempt that is known; earlier ones are done with.
    mutating func places(sinceAttempt attempt: UInt32) throws(FileError) -> [Place] {
        self.firstAttempt = max(self.firstAttempt, attempt)
        var names: [String] = []
        var numbers: [UInt32] = []
        for name in try AtomicFile.names(in: self.path, countMax: Self.nameCountMax) {
            if let number = Self.attemptNumber(name) { numbers.append(number) } else { names.append(name) }
        }
        return [.root(names: names)] + numbers.filter { $0 >= self.firstAttempt }.sorted().map { .attempt($0) }
    }

    /// The names in one place, as paths in this folder. What stands under them is read one after the other (`change`): together, files of
    /// the allowed lengths may be more than any memory holds.
    func names(in place: Place) throws(FileError) -> [String] {
        switch place {
        case .root(let names): return names
        case .attempt(let number):
            let folder = ExchangePath.attemptFolder(number)
            do throws(FileError) {
                return try AtomicFile.names(in: "\(self.path)/\(folder)", countMax: Self.nameCountMax).map { "\(folder)/\($0)" }
            } catch {
                // A file, a link to nowhere, a folder closed to us: whoever put it there must not end our process.
                guard error.isAboutOneNameOnly else { throw error }
                return []
            }
        }
    }

    /// The file of this name, if it is new or has changed since it was last read.
    ///
    /// - Parameter byteCountMax: how much of it to read at most; `nil` when it is not to be read now, and asked about again.
    mutating func change(
        of name: String, upTo byteCountMax: (_ name: String) -> Int? = { ExchangePath($0).map { _ in ExchangeFile.byteCountMax } }
    ) throws(FileError) -> ExchangeFile? {
        guard let stamp = Self.stamp(of: "\(self.path)/\(name)"), self.stamps[name] != stamp, let limit = byteCountMax(name) else {
            return nil
        }
        do throws(FileError) {
            let bytes = try AtomicFile.read("\(self.path)/\(name)", byteCountMax: limit, followingLinks: false)
            self.stamps[name] = stamp
            return ExchangeFile(path: name, bytes: bytes)
        } catch {
            if case .notFound = error { return nil }
            // Not what a signer writes. It counts as a file without content, which the machine tells people of.
            guard error.isAboutOneNameOnly else { throw error }
            self.stamps[name] = stamp
            return ExchangeFile(path: name, bytes: [])
        }
    }

    /// The number in `attempt-0001`.
    private static func attemptNumber(_ name: String) -> UInt32? {
        guard name.hasPrefix("attempt-"), case .set(let number)? = ExchangePath("\(name)/set.psbt") else { return nil }
        return number
    }

    private static func stamp(of path: String) -> Stamp? {
        var status = stat()
        guard lstat(path, &status) == 0 else { return nil }
        #if canImport(Darwin)
        let modified = status.st_mtimespec
        #else
        let modified = status.st_mtim
        #endif
        return Stamp(
            byteCount: Int64(status.st_size), seconds: Int64(modified.tv_sec), nanoseconds: Int64(modified.tv_nsec),
            number: UInt64(status.st_ino))
    }

    // MARK: Writing

    func write(_ bytes: [UInt8], to path: ExchangePath) throws(CommandError) {
        try self.makeParent(of: path)
        do throws(FileError) { try AtomicFile.write(bytes, to: self.place(of: path), permissions: .everybodyReads) } catch {
            throw self.failure(error)
        }
    }

    /// Whether the file was made; false when it is there already.
    func create(_ bytes: [UInt8], at path: ExchangePath) throws(CommandError) -> Bool {
        try self.makeParent(of: path)
        do throws(FileError) {
            try AtomicFile.create(bytes, at: self.place(of: path), permissions: .everybodyReads)
            return true
        } catch {
            if case .exists = error { return false }
            throw self.failure(error)
        }
    }

    /// Removes the file; that it cannot be removed changes nothing for anyone.
    func remove(_ path: ExchangePath) { _ = unlink(self.place(of: path)) }

    func place(of path: ExchangePath) -> String { "\(self.path)/\(path)" }

    /// `missing` exactly when the folder, or a part of the way to it, is or was not there.
    func failure(_ error: FileError) -> CommandError {
        switch error {
        case .notFound, .system(_, _, ENOENT): Self.vanished(self.isReachable ? self.path : self.sharedPath)
        case _ where !self.isReachable: Self.vanished(self.sharedPath)
        case .exists, .notARegularFile, .tooLarge, .tooManyEntries, .system: Files.failure(error)
        }
    }

    static func vanished(_ path: String) -> CommandError {
        .missing("the folder \(path.printable) has vanished: mount the drive again, then start this command again; nothing is lost")
    }

    /// Makes the folders on the way to a file. That of the request is made again only in the shared folder that was there at the
    /// start: under the same name there may be the empty place of a stick that was pulled out.
    private func makeParent(of path: ExchangePath) throws(CommandError) {
        guard self.isReachable else { throw Self.vanished(self.sharedPath) }
        if Self.identity(of: self.sharedPath) == self.sharedIdentity { try self.makeFolder(self.path) }
        let text = path.description
        guard let slash = text.firstIndex(of: "/") else { return }
        try self.makeFolder("\(self.path)/\(text[..<slash])")
    }

    /// Makes a folder that lets in whom the shared folder lets in, whatever this process's own mask is.
    private func makeFolder(_ path: String) throws(CommandError) {
        guard mkdir(path, 0o777) == 0 else {
            guard errno != EEXIST else { return }
            if errno == ENOENT { throw Self.vanished(path) }
            let error = SystemError.last
            throw .failed(
                "nothing can be written in the exchange: the folder \(path.printable) cannot be made: \(error). "
                    + "Check the rights of \(self.sharedPath.printable), or choose another folder for --exchange")
        }
        Self.giveRights(to: path, of: self.sharedPath)
    }

    /// Gives a folder that this user has just made the rights of another one.
    ///
    /// By a descriptor and not by its name: whoever can write in the shared folder may put a link to another folder of this user in
    /// its place meanwhile.
    static func giveRights(to path: String, of model: String) {
        var wanted = stat()
        guard stat(model, &wanted) == 0 else { return }
        let folder = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
        guard folder >= 0 else { return }
        defer { close(folder) }
        var status = stat()
        guard fstat(folder, &status) == 0, status.st_uid == geteuid() else { return }
        _ = fchmod(folder, wanted.st_mode & 0o7777)
    }

    private static func identity(of path: String) -> Identity? {
        var status = stat()
        guard stat(path, &status) == 0 else { return nil }
        return Identity(device: UInt64(truncatingIfNeeded: status.st_dev), number: UInt64(status.st_ino))
    }

    private static func isFolder(_ path: String) -> Bool {
        var status = stat()
        return stat(path, &status) == 0 && status.st_mode & S_IFMT == S_IFDIR
    }
}

extension FileError {
    /// Whether something stands under the name that no signer puts there, rather than the folder or the disk failing.
    fileprivate var isAboutOneNameOnly: Bool {
        switch self {
        case .notFound, .notARegularFile, .tooLarge: true
        case .system(_, _, let code): [ENOTDIR, ELOOP, EACCES, EPERM].contains(code)
        case .exists, .tooManyEntries: false
        }
    }
}
