import Foundation

/// An implementation of libp2p that takes part.
struct PeerKind {
    let name: String
    /// The key under which files tell its figures.
    let key: String
    /// What starts a peer of it.
    let command: [String]
    /// What must be known to read its figures.
    let remark: String

    /// Those that this machine can run, in the order of the table, and why others are left out.
    static func all() -> (kinds: [PeerKind], missing: [String]) {
        let chorale = PeerKind(
            name: "Chorale", key: "chorale", command: [".build/release/chorale", "peer", "run"], remark: "")
        guard let python = Self.python() else { return ([chorale], ["scripts/python-environment interop made no environment"]) }
        let py = PeerKind(
            name: "py-libp2p", key: "py_libp2p", command: [python, "Interop/interop_peer.py"], remark: "each of its dials waits 250 ms")
        let go = PeerKind(
            name: "go-libp2p", key: "go_libp2p", command: [python, "Interop/go_peer.py"],
            remark: "its daemon: pings, bytes and messages pass through its control socket and Python as well")
        return ([chorale, py, go], [])
    }

    private static func python() -> String? {
        let (process, pipe) = (Process(), Pipe())
        process.executableURL = URL(fileURLWithPath: "scripts/python-environment")
        process.arguments = ["interop"]
        process.standardOutput = pipe
        process.standardError = FileHandle.nullDevice
        guard (try? process.run()) != nil else { return nil }
        let bytes = pipe.fileHandleForReading.readDataToEndOfFile()
        process.waitUntilExit()
        let path = String(decoding: bytes, as: UTF8.self).trimmingCharacters(in: .whitespacesAndNewlines)
        return process.terminationStatus == 0 && !path.isEmpty ? path : nil
    }

    func start(_ arguments: [String] = []) throws -> PeerProcess { try PeerProcess(self.command + arguments) }
}
