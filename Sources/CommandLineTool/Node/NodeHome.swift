#if canImport(Glibc)
internal import Glibc
#elseif canImport(Musl)
internal import Musl
#elseif canImport(Darwin)
internal import Darwin
#endif

/// The folder of one node: its key, what it keeps, and the socket by which commands reach it while it runs.
///
///     ~/.chorale/            0700
///       node.key             the signer's keys, sealed (`chorale key new`)
///       chorale.db           journal, requests, contacts, groups; whoever has it open is the node
///       groups/              groups that others are still to join, one file each
///       control.sock         0600, while the node runs
struct NodeHome: Equatable, Sendable {
    let path: String

    var keyFile: String { "\(self.path)/node.key" }
    var database: String { "\(self.path)/chorale.db" }
    var groups: String { "\(self.path)/groups" }
    var socket: String { "\(self.path)/control.sock" }

    /// Names a home without looking at it. A slash at its end says nothing.
    init(_ path: String) {
        var path = path[...]
        while path.utf8.count > 1, path.hasSuffix("/") { path = path.dropLast() }
        self.path = String(path)
    }

    // MARK: - Which

    /// What every command that has to do with a node takes.
    static let item = Command.Item.argument(Self.option)

    /// The environment variable that names a home, where no option does.
    static let variable = "CHORALE_HOME"
    static let name = ".chorale"

    private static let option = Argument.optional(
        "home", "FOLDER", help: "the node's folder (default: what \(Self.variable) says, or ~/\(Self.name))", parse: Parsing.path)

    /// The home that the arguments, or else the environment, name.
    init(by arguments: Arguments) throws(CommandError) {
        if let path = arguments[Self.option] {
            self.init(path)
        } else if let path = Self.environment(Self.variable) {
            self.init(path)
        } else if let folder = Self.environment("HOME") ?? Self.homeOfUser() {
            self.init("\(folder)/\(Self.name)")
        } else {
            throw .missing("nothing says where the node's folder is: name one with --home FOLDER, or set \(Self.variable)")
        }
    }

    private static func environment(_ name: String) -> String? {
        guard let value = getenv(name), value.pointee != 0 else { return nil }
        return String(validatingCString: value)
    }

    private static func homeOfUser() -> String? {
        guard let user = getpwuid(geteuid()), let folder = user.pointee.pw_dir else { return nil }
        return String(validatingCString: folder)
    }

    /// ` --home FOLDER`, for a line to be typed, where it is not the one that is meant without.
    func option(of arguments: Arguments) -> String { arguments[Self.option] == nil ? "" : " --home \(self.path.shellWord)" }

    // MARK: - Being there

    /// Makes the folder and those in it, where they are missing. The folder that it stands in must be there.
    func create() throws(CommandError) {
        for folder in [self.path, self.groups] {
            guard !folder.utf8.contains(0) else { throw .failed("\(folder.printable) is no name for a folder: choose another one") }
            guard mkdir(folder, 0o700) != 0 else { continue }
            let error = SystemError.last
            guard error.number != EEXIST else { continue }
            if error.number == ENOENT { try Files.checkFolder(of: folder) }
            throw .failed("the node's folder \(folder.printable) cannot be made: \(error)")
        }
        try self.check()
    }

    /// Refuses a home that is not there, or that others may look into: in it lie keys, and whoever reaches the socket commands the node.
    func check() throws(CommandError) {
        var status = stat()
        guard !self.path.utf8.contains(0), stat(self.path, &status) == 0 else {
            let error = SystemError.last
            guard error.number == ENOENT || error.number == ENOTDIR else {
                throw .failed("the node's folder \(self.path.printable) cannot be looked at: \(error)")
            }
            throw .missing("there is no folder \(self.path.printable): name the node's with --home FOLDER, or start one: chorale node run")
        }
        guard status.st_mode & S_IFMT == S_IFDIR else {
            throw .failed("\(self.path.printable) is no folder: name the node's with --home FOLDER")
        }
        guard status.st_uid == geteuid() else {
            throw .failed("the folder \(self.path.printable) belongs to another user: run this command as its owner, or use another --home")
        }
        guard status.st_mode & 0o077 == 0 else {
            throw .failed("others may look into the node's folder: chmod 700 \(self.path.shellWord)")
        }
    }
}
