import SessionStore
import Signing

#if canImport(Glibc)
internal import Glibc
#elseif canImport(Musl)
internal import Musl
#elseif canImport(Darwin)
internal import Darwin
#endif

/// `chorale node backup`: a copy of what a node keeps, while it runs or not.
enum NodeBackupCommand {
    private static let file = Argument.positional("FILE", help: "where the copy is written", parse: Parsing.path)
    private static let force = Argument.flag("force", help: "replace the file if there is one")

    static let command = Command(
        "backup", summary: "copy what a node keeps into a file, while it runs or not",
        discussion: """
            Writes the node's database as it is now: decisions, requests with what was said about them, contacts, groups, approval policies \
            and, where it serves one, the mailbox. The key file is not in it, and neither are groups that are still being made: keep a copy \
            of node.key, too, or the backup signs nothing.

            A backup that is put back is an old disk. Your key stays safe: decisions to sign that were made since are forgotten, and what is \
            signed again is signed with fresh nonces, for none outlives its process. But what you approved, rejected or withdrew since waits \
            for your decision again; groups and contacts made since are gone; and an approval policy knows nothing of what it spent since. \
            So put it back only where the newer disk is lost, never beside a node that still runs with the same key, and for each group with a \
            policy say first thing after the start: chorale group policy NAME --ask. Where the backup is more than an hour old, a policy approves \
            nothing before you have said that the clock is right.

            To put it back: end the node, move chorale.db and chorale.db-wal out of its folder, copy the backup there as chorale.db (chmod \
            600), and start the node.
            """,
        items: [.argument(file), .argument(force), NodeHome.item, .argument(.json)],
        examples: [Command.Example("every night, in place of the last one", "chorale node backup /mnt/backup/chorale.db --force")]
    ) { (arguments, console) async throws(CommandError) in
        let (path, isReplacing) = (try Self.absolute(arguments[Self.file]), arguments[Self.force])
        try Files.checkFree(path, replacing: isReplacing)
        let client = try ControlClient(by: arguments)
        let isRunning = client.isNodeThere
        if isRunning {
            _ = try await client.ask(
                .object(["do": .string("node.backup"), "path": .string(path), "replace": .bool(isReplacing)]), patience: Self.patience)
        } else {
            try await Self.copy(client.home, to: path, replacing: isReplacing)
        }
        if arguments[.json] {
            return try console.print(.object(["out": .string(path), "node_runs": .bool(isRunning), "has_key_file": .bool(false)]))
        }
        try console.print("wrote \(path.printable)")
        console.prose(
            "The key file is not in it: keep a copy of \(client.home.keyFile.printable), too. What it means to put a backup back: chorale node "
                + "backup --help")
    }

    /// A database has up to some gigabytes.
    private static let patience = Duration.seconds(3_600)

    /// The node may stand in another folder than this command.
    private static func absolute(_ path: String) throws(CommandError) -> String {
        guard !path.hasPrefix("/") else { return path }
        guard let folder = getcwd(nil, 0) else { throw .failed("the folder that this command stands in is not known: name FILE from / on") }
        defer { free(folder) }
        guard let text = String(validatingCString: folder) else {
            throw .failed("the name of the folder that this command stands in is not UTF-8: name FILE from / on")
        }
        return text == "/" ? "/\(path)" : "\(text)/\(path)"
    }

    private static func copy(_ home: NodeHome, to path: String, replacing: Bool) async throws(CommandError) {
        let database = try await home.openDatabase()
        let result = await Self.result(of: database, to: path, replacing: replacing)
        await database.close()
        try result.get()
    }

    /// Who asks to stop meanwhile gets that, and nothing half-written.
    private static func result(of database: SessionDatabase, to path: String, replacing: Bool) async -> Result<Void, CommandError> {
        do throws(CommandError) {
            try await Interruption.deferring { () async throws(CommandError) in
                let copying = Task { () -> StoreError? in
                    do throws(StoreError) { try await database.backUp(to: path, replacing: replacing) } catch { return error }
                    return nil
                }
                let watching = Task {
                    await Interruption.wait()
                    copying.cancel()
                }
                let failure = await copying.value
                watching.cancel()
                if let failure, !Interruption.isRequested { throw .failed("\(failure)".printable) }
            }
            return .success(())
        } catch { return .failure(error) }
    }
}

extension NodeHome {
    /// The database of a home in which no node runs.
    func openDatabase() async throws(CommandError) -> SessionDatabase {
        try self.check()
        guard Files.exists(self.database) else {
            throw .missing(
                "no node ever ran in \(self.path.printable): there is nothing in it yet. Name the node's folder with --home FOLDER")
        }
        do throws(StoreError) { return try await SessionDatabase.open(self.database) } catch { throw .failed("\(error)".printable) }
    }
}

extension NodeService {
    func backUp(_ request: NodeRequest) async throws(ControlError) -> JSONValue {
        let path = try request.text("path")
        do throws(StoreError) { try await self.database.backUp(to: path, replacing: request.isOn("replace")) } catch {
            throw .failed("\(error)".printable)
        }
        return .object(["out": .string(path)])
    }
}
