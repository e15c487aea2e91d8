import Foundation
import Testing

@testable import SessionStore

struct `An atomic file` {
    private let folder: TemporaryFolder
    private let path: String

    init() throws {
        self.folder = try TemporaryFolder()
        self.path = self.folder.file("file")
    }

    // MARK: - Writing

    @Test func `is written over whole, and leaves nothing else in its folder`() throws {
        for count in [0, 1, 100_000, 3] {
            let contents = (0..<count).map { UInt8(truncatingIfNeeded: $0 &* 31) }
            try AtomicFile.write(contents, to: self.path)
            #expect(try bytes(of: self.path) == contents)
            #expect(try AtomicFile.read(self.path, byteCountMax: count) == contents)
        }
        #expect(try self.folder.names == ["file"])
    }

    @Test(arguments: [(FilePermissions.ownerOnly, 0o600), (.everybodyReads, 0o644)])
    func `has the permissions that were asked for`(_ wanted: FilePermissions, _ mode: Int) throws {
        let mask = umask(0o022)
        defer { umask(mask) }
        try AtomicFile.write([1], to: self.path, permissions: wanted)
        #expect(try permissions(of: self.path) == mode)
        try AtomicFile.create([1], at: self.folder.file("new"), permissions: wanted)
        #expect(try permissions(of: self.folder.file("new")) == mode)
    }

    @Test func `created stays as it is when somebody creates it again`() throws {
        try AtomicFile.create([1, 2, 3], at: self.path)
        #expect(throws: FileError.exists(path: self.path)) { try AtomicFile.create([4], at: self.path) }
        #expect(throws: FileError.exists(path: self.path)) { try AtomicFile.createInPlace([4], at: self.path, .ownerOnly) }
        #expect(try bytes(of: self.path) == [1, 2, 3])
        #expect(try self.folder.names == ["file"])
    }

    @Test func `whose link was made, though the answer was lost and the call repeated, counts as created`() throws {
        let temporary = self.folder.file("temporary")
        try AtomicFile.createInPlace([1], at: temporary, .ownerOnly)
        guard case .linked = Folder.link(temporary, to: self.path) else { throw FileError.notFound(path: self.path) }
        guard case .linked = Folder.link(temporary, to: self.path) else { throw FileError.exists(path: self.path) }
        try AtomicFile.write([2], to: self.folder.file("other"))
        guard case .nameTaken = Folder.link(self.folder.file("other"), to: self.path) else { throw FileError.notFound(path: self.path) }
    }

    @Test func `left half-written by a killed process is not listed, not counted, and after an hour removed`() throws {
        let (old, new) = (Self.temporary("a"), Self.temporary("b"))
        for name in [old, new, "file"] { try AtomicFile.createInPlace([1], at: self.folder.file(name), .ownerOnly) }
        try FileManager.default.setAttributes([.modificationDate: Date(timeIntervalSinceNow: -3_700)], ofItemAtPath: self.folder.file(old))
        #expect(try AtomicFile.names(in: self.folder.path, countMax: 1) == ["file"])
        #expect(Set(try self.folder.names) == [new, "file"])
    }

    @Test func `written anywhere takes along what a killed process left there an hour ago, and nothing else`() throws {
        for write in [{ try AtomicFile.write([1], to: self.path) }, { try AtomicFile.create([1], at: self.folder.file("new")) }] {
            let (old, recent) = (Self.temporary("a"), Self.temporary("b"))
            // Nobody but us gives such names, and these are not such.
            let others = [".chorale-notes.tmp", ".chorale-.tmp", ".chorale-\(String(repeating: "x", count: 32)).tmp", "old"]
            for name in [old, recent] + others { try put([1], at: self.folder.file(name)) }
            for name in [old] + others {
                let past = Date(timeIntervalSinceNow: -3_700)
                try FileManager.default.setAttributes([.modificationDate: past], ofItemAtPath: self.folder.file(name))
            }
            try write()
            let left = Set(try self.folder.names)
            #expect(left.isSuperset(of: others + [recent]) && !left.contains(old))
        }
    }

    private static func temporary(_ digit: String) -> String { ".chorale-\(String(repeating: digit, count: 32)).tmp" }

    @Test func `without files that have no name is created all the same`() throws {
        try AtomicFile.createByTemporary([1, 2, 3], at: self.path, .ownerOnly)
        #expect(try bytes(of: self.path) == [1, 2, 3])
        #expect(throws: FileError.exists(path: self.path)) { try AtomicFile.createByTemporary([4], at: self.path, .ownerOnly) }
        #expect(try bytes(of: self.path) == [1, 2, 3])
        #expect(try self.folder.names == ["file"])
    }

    @Test func `without hard links is created all the same`() throws {
        try AtomicFile.createInPlace([1, 2, 3], at: self.path, .ownerOnly)
        #expect(try bytes(of: self.path) == [1, 2, 3])
    }

    @Test func `is created by exactly one of many, and seen whole by all`() async throws {
        for round in 0..<20 {
            let path = self.folder.file("\(round)")
            let winners = try await withThrowingTaskGroup { group in
                for task in UInt8(0)..<16 {
                    group.addTask {
                        do throws(FileError) {
                            try AtomicFile.create([UInt8](repeating: task, count: 5_000), at: path)
                            return task as UInt8?
                        } catch {
                            #expect(error == .exists(path: path))
                            let seen = try bytes(of: path)
                            #expect(seen.count == 5_000 && Set(seen).count == 1)
                            return nil
                        }
                    }
                }
                return try await group.reduce(into: [UInt8]()) { if let task = $1 { $0.append(task) } }
            }
            #expect(winners.count == 1)
            #expect(try bytes(of: path).first == winners.first)
        }
    }

    @Test func `in a folder that is not there, or has a file's name, is refused with a reason`() throws {
        let missing = self.folder.file("missing/file")
        #expect(throws: FileError.notFound(path: missing)) { try AtomicFile.write([1], to: missing) }
        #expect(throws: FileError.notFound(path: missing)) { try AtomicFile.create([1], at: missing) }
        try put([], at: self.path)
        let error = #expect(throws: FileError.self) { try AtomicFile.write([1], to: self.path + "/inside") }
        #expect(error?.description.contains("no folder") == true)
        #expect(throws: FileError.self) { try AtomicFile.write([1], to: self.folder.path) }
        #expect(throws: FileError.self) { try AtomicFile.write([1], to: self.path + "\0more") }
        #expect(try self.folder.names == ["file"])
    }

    @Test func `on a full disk says so and what to do`() throws {
        guard FileManager.default.fileExists(atPath: "/dev/full") else { return }
        let file = try OpenFile(openingOrCreating: "/dev/full", permissions: .ownerOnly)
        var caught: FileError?
        do throws(FileError) { try file.write([1, 2, 3], at: 0) } catch { caught = error }
        #expect(caught == .system(path: "/dev/full", action: .write, code: ENOSPC))
        #expect(
            caught?.description == "/dev/full could not be written: No space left on device; free some space on its disk, then try again")
    }

    // MARK: - Reading

    @Test func `larger than allowed is refused`() throws {
        try put([UInt8](repeating: 7, count: 1_000), at: self.path)
        #expect(try AtomicFile.read(self.path, byteCountMax: 1_000).count == 1_000)
        for limit in [0, 1, 999] {
            #expect(throws: FileError.tooLarge(path: self.path, byteCountMax: limit)) {
                try AtomicFile.read(self.path, byteCountMax: limit)
            }
        }
    }

    @Test func `is no folder, device, pipe or missing file`() throws {
        let pipe = self.folder.file("pipe")
        #expect(mkfifo(pipe, 0o600) == 0)
        for path in [self.folder.path, "/dev/null", "/dev/zero", pipe] {
            #expect(throws: FileError.notARegularFile(path: path)) { try AtomicFile.read(path, byteCountMax: 10) }
        }
        #expect(throws: FileError.notFound(path: self.path)) { try AtomicFile.read(self.path, byteCountMax: 10) }
    }

    @Test func `behind a symbolic link is read only where that is wanted`() throws {
        let link = self.folder.file("link")
        try put([1], at: self.path)
        try FileManager.default.createSymbolicLink(atPath: link, withDestinationPath: self.path)
        #expect(try AtomicFile.read(link, byteCountMax: 10) == [1])
        #expect(throws: FileError.notARegularFile(path: link)) { try AtomicFile.read(link, byteCountMax: 10, followingLinks: false) }
    }

    // MARK: - Folders

    @Test func `is listed by name, unfinished ones are not, and too many are refused`() throws {
        for name in ["b", "a", "é", "Z", Self.temporary("0"), ".hidden"] { try put([], at: self.folder.file(name)) }
        #expect(try AtomicFile.names(in: self.folder.path, countMax: 5) == [".hidden", "Z", "a", "b", "é"])
        #expect(throws: FileError.tooManyEntries(path: self.folder.path, countMax: 4)) {
            try AtomicFile.names(in: self.folder.path, countMax: 4)
        }
        let missing = self.folder.file("missing")
        #expect(throws: FileError.notFound(path: missing)) { try AtomicFile.names(in: missing, countMax: 5) }
        #expect(throws: FileError.self) { try AtomicFile.names(in: self.folder.file("a"), countMax: 5) }
    }

    @Test func `has a folder, whatever its path looks like`() {
        #expect(Folder.containing("file") == ".")
        #expect(Folder.containing("/file") == "/")
        #expect(Folder.containing("a/b/file") == "a/b")
        #expect(Folder.containing("") == ".")
    }
}
