internal import Signing

/// A journal's file, open and locked: read once, grown by durable frames, sometimes written anew. All calls block.
struct JournalFile: ~Copyable {
    let path: String
    private var file: OpenFile
    /// Where the last durable frame ends, and the next begins.
    private(set) var byteCount: Int
    /// Why nothing may be written any more: what the file holds behind `byteCount` is not known.
    private(set) var refusal: JournalError?

    // MARK: - Opening

    /// An open file without its contents, for `load` or for tests.
    init(_ file: consuming OpenFile, path: String, byteCount: Int) {
        self.path = path
        self.file = file
        self.byteCount = byteCount
    }

    /// Opens the file, or makes it, and locks it.
    init(opening path: String) throws(JournalError) {
        self.init(try Self.openLocked(path), path: path, byteCount: 0)
        // Left by a crash while the journal was being written anew. Only who holds the lock writes it.
        Folder.remove(Self.rewritePath(path))
    }

    /// A file that was renamed over while we waited for its lock is not the journal any more: then the new one is opened.
    private static func openLocked(_ path: String) throws(JournalError) -> OpenFile {
        for _ in 0..<Self.openingCountMax {
            do throws(FileError) {
                let file = try OpenFile(openingOrCreating: path, permissions: .ownerOnly)
                let status = try file.status()
                guard status.isRegular else { throw .notARegularFile(path: path) }
                guard try file.lock() else { break }
                if OpenFile.identity(of: path) == status.identity { return file }
            } catch {
                throw .storage(path: path, reason: error.cause)
            }
        }
        throw .heldByAnotherProcess(path: path)
    }

    /// How often the file may be replaced while it is being opened; its owner does so at most once before it lets go.
    private static let openingCountMax = 8

    /// Reads everything, and makes the file ready to be appended to: a torn tail is cut off, a new file gets its header.
    mutating func load() throws(JournalError) -> (entries: [JournalFormat.Placed], tornTail: FileJournal.TornTail?) {
        do throws(FileError) {
            let bytes = try self.file.readAll(byteCountMax: JournalFormat.fileByteCountMax + JournalFormat.forgettingByteCountMax)
            switch JournalFormat.read(bytes) {
            case .unborn:
                try self.file.truncate(to: 0)
                try self.file.write(JournalFormat.header, at: 0)
                try self.file.synchronize()
                try Folder.synchronize(containing: self.path)
                self.byteCount = JournalFormat.header.count
                return ([], nil)
            case .entries(let entries, let byteCount):
                self.byteCount = byteCount
                if byteCount < bytes.count { try self.file.truncate(to: byteCount) }
                // A process killed between writing a frame and making it durable leaves it in the system's memory. Whoever reads it here is
                // told that it stands, so a power cut must not undo it.
                try self.file.synchronize()
                try Folder.synchronize(containing: self.path)
                guard byteCount < bytes.count else { return (entries, nil) }
                return (entries, FileJournal.TornTail(offset: byteCount, byteCount: bytes.count - byteCount))
            case .otherVersion(let version):
                self.refusal = .storage(
                    path: self.path,
                    reason: "its format has version \(version), and this program knows only \(JournalFormat.version); "
                        + "use the program that wrote it")
            case .damaged(let offset):
                self.refusal = .damaged(path: self.path, offset: offset)
            }
        } catch {
            throw .storage(path: self.path, reason: error.cause)
        }
        if let refusal = self.refusal { throw refusal }
        return ([], nil)
    }

    // MARK: - Growing

    /// Appends one frame and makes it durable. After an error the file is what it was.
    ///
    /// - Parameter onlyForgets: whether it makes the journal smaller in the end, and so is taken by a full one.
    mutating func append(_ payload: [UInt8], onlyForgets: Bool = false) throws(JournalError) {
        if let refusal = self.refusal { throw refusal }
        let frame = JournalFormat.frame(payload, at: self.byteCount)
        let limit = JournalFormat.fileByteCountMax + (onlyForgets ? JournalFormat.forgettingByteCountMax : 0)
        guard self.byteCount + frame.count <= limit else {
            throw .storage(
                path: self.path,
                reason: "it would grow over \(limit) bytes; forget requests whose transactions are confirmed "
                    + "(chorale journal show, chorale journal forget)")
        }
        do throws(FileError) {
            try self.file.write(frame, at: self.byteCount)
        } catch {
            self.cutUnfinished()
            throw .storage(path: self.path, reason: error.cause)
        }
        do throws(FileError) {
            try self.file.synchronize()
        } catch {
            // After a failed synchronisation a system may forget what it failed to write and call the next one a success.
            // So no later answer of this file can be trusted; opened again, it is read from the medium.
            self.cutUnfinished()
            let refusal = JournalError.storage(path: self.path, reason: "\(error.cause); then start this program again")
            self.refusal = refusal
            throw refusal
        }
        self.byteCount += frame.count
    }

    /// Takes back what a failed write left. If even that fails, a later frame could stand before leftovers: no more frames.
    private mutating func cutUnfinished() {
        do throws(FileError) {
            try self.file.truncate(to: self.byteCount)
            try self.file.synchronize()
        } catch {
            self.refusal = .storage(
                path: self.path, reason: "an unfinished write could not be taken back: \(error.cause); then start this program again")
        }
    }

    /// Whether the next large frame may find no room any more.
    var isNearlyFull: Bool { self.byteCount > JournalFormat.fileByteCountMax - JournalFormat.payloadByteCountMax }

    // MARK: - Writing anew

    private static func rewritePath(_ path: String) -> String { path + ".rewrite" }

    /// Puts a file with just these frames' payloads in place of this one. After an error this one goes on as before.
    mutating func rewrite(_ payloads: [[UInt8]]) throws(JournalError) {
        if let refusal = self.refusal { throw refusal }
        let rewritePath = Self.rewritePath(self.path)
        do throws(FileError) {
            Folder.remove(rewritePath)
            let fresh = try OpenFile(creating: rewritePath, permissions: .ownerOnly)
            do throws(FileError) {
                var byteCount = JournalFormat.header.count
                try fresh.write(JournalFormat.header, at: 0)
                for payload in payloads {
                    let frame = JournalFormat.frame(payload, at: byteCount)
                    try fresh.write(frame, at: byteCount)
                    byteCount += frame.count
                }
                try fresh.synchronize()
                // Locked before it has the journal's name, so that nobody else can get the lock first.
                guard try fresh.lock() else { throw .exists(path: rewritePath) }
                try Folder.rename(rewritePath, to: self.path)
                self.file = fresh
                self.byteCount = byteCount
            } catch {
                Folder.remove(rewritePath)
                throw error
            }
        } catch {
            throw .storage(path: self.path, reason: error.cause)
        }
        do throws(FileError) {
            try Folder.synchronize(containing: self.path)
        } catch {
            // The new file has the name now, but a power cut might bring the old one back: without what is appended from here on.
            let refusal = JournalError.storage(path: self.path, reason: "\(error.cause); then start this program again")
            self.refusal = refusal
            throw refusal
        }
    }
}
