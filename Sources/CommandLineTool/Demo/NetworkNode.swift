import Secp256k1
import SessionStore
internal import Synchronization

/// One signer's node in the demo over a network: a real `chorale node run`, started as often as needed in one home.
struct NetworkNode: Sendable {
    let number: Int
    let key: PublicKey
    let home: NodeHome
    private let keyPath: String
    private let passphrase: String
    private let folder: String
    private let bootstrap: String?
    private(set) var process: ChildProcess?
    private var isStandingStill = false
    private var lives = 0
    /// Where it listens, without its peer id; another life listens there again, as a node that others know does.
    private(set) var listenAddress = "/ip4/127.0.0.1/tcp/0"
    /// The address by which others reach it.
    private(set) var address = ""

    var client: ControlClient { ControlClient(self.home) }

    /// - Parameter bootstrap: the one address that it knows; `nil` for none.
    init(_ number: Int, in scene: DemoScene, folder: String, bootstrap: String?) {
        self.number = number
        self.key = scene.signers[number - 1].key
        self.keyPath = scene.signers[number - 1].path
        self.passphrase = scene.passphrase
        self.home = NodeHome("\(folder)/node-\(number)")
        self.folder = folder
        self.bootstrap = bootstrap
    }

    mutating func start() throws(CommandError) {
        self.lives += 1
        self.process = try ChildProcess(
            arguments: [
                "node", "run", "--home", self.home.path, "--key", self.keyPath, "--listen", self.listenAddress,
            ] + (self.bootstrap.map { ["--bootstrap", $0] } ?? []),
            environment: ["CHORALE_PASSPHRASE=\(self.passphrase)", "NO_COLOR=1"], output: self.outputPath)
    }

    /// What it printed in this life.
    private var outputPath: String { "\(self.folder)/node-\(self.number)\(self.lives > 1 ? "-life-\(self.lives)" : "").out" }

    /// Asks the node where it listens, which it knows once it runs.
    ///
    /// - Returns: whether it runs.
    mutating func isReady() async throws(CommandError) -> Bool {
        try self.checkRunning()
        // As long as nobody listens at the socket there is nothing to ask.
        guard let shown = try? await self.client.ask(.object(["do": .string("node.show")])) else { return false }
        guard let address = shown["addresses"]?.asTexts.first else { throw .failed("the node of signer \(self.number) has no address") }
        self.address = address
        self.listenAddress = address.split(separator: "/").prefix { $0 != "p2p" }.reduce("") { "\($0)/\($1)" }
        return true
    }

    /// - Throws: `failed` with what it said, when it has ended without being asked to.
    func checkRunning() throws(CommandError) {
        guard let process, let code = process.exitCode() else { return }
        let output = (try? AtomicFile.read(self.outputPath, byteCountMax: 1 << 20)) ?? []
        throw .failed(
            "the node of signer \(self.number) ended with exit code \(code) and said:\n\(String(decoding: output, as: UTF8.self))")
    }

    /// A process that stands still hears nothing, so it goes on first.
    mutating func askToStop() {
        self.process?.askToStop()
        self.goOn()
    }

    mutating func waitUntilStopped() {
        self.process?.waitUntilStopped()
        self.process = nil
    }

    /// Ends it without a word, as a crash does.
    mutating func kill() {
        self.process?.endAtOnce()
        self.process = nil
    }

    /// Makes it stand still: it says nothing and takes nothing in, and its connections stay open. So the others see of it what they see of
    /// a node to which the network is cut.
    mutating func standStill() {
        self.process?.standStill()
        self.isStandingStill = true
    }

    mutating func goOn() {
        guard self.isStandingStill else { return }
        self.process?.goOn()
        self.isStandingStill = false
    }
}

/// What came from the nodes and was not looked at yet; filled by the threads that read from them.
final class NetworkMail: Sendable {
    private struct Held {
        var events: [(signer: Int, event: JSONValue, time: ContinuousClock.Instant)] = []
        var answers: [Int: Result<JSONValue, CommandError>] = [:]
    }

    private let held = Mutex(Held())

    /// Gives every event of a node's present life, until it ends.
    func watch(_ node: NetworkNode) {
        let (number, client) = (node.number, node.client)
        Task {
            // It ends with the node, and that is looked for elsewhere.
            try? await client.ask(.object(["do": .string("request.watch"), "after": .integer(0)]), patience: nil) { event in
                self.held.withLock { $0.events.append((number, event, .now)) }
                return true
            }
        }
    }

    /// Asks a node for something that takes long; the answer is what it says last.
    func ask(_ node: NetworkNode, _ request: JSONValue) {
        let (number, client) = (node.number, node.client)
        Task {
            let last = Latest<JSONValue>()
            let result: Result<JSONValue, CommandError>
            do throws(CommandError) {
                try await client.ask(request, patience: nil) { item in
                    last.value = item
                    return true
                }
                result = last.value.map { .success($0) } ?? .failure(.failed("the node of signer \(number) answers nothing"))
            } catch { result = .failure(error) }
            self.held.withLock { $0.answers[number] = result }
        }
    }

    func takeEvents() -> [(signer: Int, event: JSONValue, time: ContinuousClock.Instant)] {
        self.held.withLock { held in
            defer { held.events = [] }
            return held.events
        }
    }

    /// The answer of a node, once it is there.
    func takeAnswer(of number: Int) throws(CommandError) -> JSONValue? {
        try self.held.withLock { $0.answers.removeValue(forKey: number) }?.get()
    }
}
