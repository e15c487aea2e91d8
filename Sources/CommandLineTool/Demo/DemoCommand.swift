import Bitcoin
import CryptoPrimitives
import MuSig2
import Secp256k1
import SessionStore
import Signing
import SigningNode

#if canImport(Glibc)
internal import Glibc
#elseif canImport(Musl)
internal import Musl
#elseif canImport(Darwin)
internal import Darwin
#endif

/// `chorale demo`: the main job, end to end, with real processes.
enum DemoCommand {
    private static let signers = Argument.option(
        "signers", "N", default: 3, help: "how many signers, each a process of its own", parse: Parsing.integer(1...100))
    private static let threshold = Argument.optional(
        "threshold", "K", help: "how many of them must sign (default: all)", parse: Parsing.integer(1...100))
    private static let inputs = Argument.option(
        "inputs", "M", default: 1, help: "how many coins the transaction spends", parse: Parsing.integer(1...1_000))
    private static let transport = Argument.optional(
        "transport", "NAME",
        help: "how the signers meet: libp2p (each is a node of a network), or folder (they share one; the default for one signer)",
        parse: Self.transportName)
    private static let kill = Argument.flag(
        "kill", help: "end a node without warning after its signer approved, and start it again")
    private static let cheat = Argument.flag(
        "cheat", help: "let one member sign what is wrong: it is named, with a proof, and the others finish without it if they can")
    private static let partition = Argument.flag(
        "partition", help: "cut off whoever coordinates: the next one takes over, and who was cut off comes back")
    private static let diagram = Argument.optional(
        "diagram", "FILE", help: "draw who told whom what when, as SVG (with --keep also in the folder)", parse: Parsing.path)
    private static let force = Argument.flag(
        "force", help: "replace the file of --diagram whatever it is; a picture of another demo is replaced without it")
    private static let keep = Argument.flag("keep", help: "leave the temporary folder behind, to look at and to sign in by hand")

    private static let transportName: TextParser<DemoTransport> = { (text) throws(InvalidText) in
        guard let transport = DemoTransport(rawValue: text) else { throw InvalidText("there is libp2p, and there is folder") }
        return transport
    }

    /// Where nothing is said: a network, for which it takes two.
    private static func transport(of arguments: Arguments) -> DemoTransport {
        arguments[Self.transport] ?? (arguments[Self.signers] < GroupTerms.memberCounts.lowerBound ? .folder : .libp2p)
    }

    static let command = Command(
        "demo", summary: "watch several processes make one Taproot signature together",
        discussion: """
            Makes keys, a Taproot output that belongs to all of them, and a transaction that spends coins of it; starts one process for \
            each signer; and verifies what comes out. The coins are made up, on regtest; everything else is what happens with real ones.

            Each is a node, and all that the nodes know at first is the address of one of them: they make a group by invitations, one \
            asks, enough approve, and the nodes sign. With --transport folder each process is a cosign, and all they share is a folder.

            With all signers needed, they sign by the key path, and the chain sees one key and one signature. With --threshold, any \
            K of them sign one leaf of a script tree.

            --kill, --cheat and --partition show what becomes of trouble, one at a time. Where all have to sign and one cheats there is no \
            signature: the demo then ends with who is at fault, by evidence that it has checked, and --keep leaves that for chorale audit verify.
            """,
        items: [
            .argument(signers), .argument(threshold), .argument(inputs), .argument(transport), .argument(kill), .argument(cheat),
            .argument(partition), .argument(diagram), .argument(force), .argument(keep), .argument(.json),
        ],
        examples: [
            Command.Example("three signers", "chorale demo"),
            Command.Example("any 3 of 5 spend 7 coins at once", "chorale demo --signers 5 --threshold 3 --inputs 7"),
            Command.Example(
                "one of them crashes, and comes back", "chorale demo --kill --diagram what-happened.svg"),
            Command.Example("one of them cheats, and the others finish without it", "chorale demo --threshold 2 --cheat"),
            Command.Example("who coordinates is cut off", "chorale demo --partition"),
        ]
    ) { (arguments, console) async throws(CommandError) in
        let threshold = arguments[Self.threshold] ?? arguments[Self.signers]
        try Self.check(arguments, threshold)
        if let picture = Self.picture(of: arguments) { try Files.checkFree(picture, replacing: Self.replaces(picture, arguments)) }
        // Asked to stop, it first stops the signers and takes its folder away.
        try await Interruption.deferring { () async throws(CommandError) in try await Self.play(arguments, threshold, console) }
        guard arguments[Self.diagram] != nil, Self.picture(of: arguments) == nil else { return }
        console.note("No picture was drawn: it shows what signers say to each other, and one alone says nothing.")
    }

    /// Whether a file of that name makes way. What a demo drew is nobody's work, and people try one more than once.
    private static func replaces(_ picture: String, _ arguments: Arguments) -> Bool {
        if arguments[Self.force] { return true }
        guard let head = try? Files.head(of: picture, byteCount: SequenceDiagram.headByteCount) else { return false }
        return SequenceDiagram.isHead(head)
    }

    private static func check(_ arguments: Arguments, _ threshold: Int) throws(CommandError) {
        let (count, trouble) = (arguments[Self.signers], try Self.trouble(in: arguments))
        guard !arguments[Self.force] || arguments[Self.diagram] != nil else {
            throw arguments.refused(.inconsistent("--force replaces the file of --diagram: add --diagram FILE, or leave it away"))
        }
        guard threshold <= count else {
            throw arguments.refused(.inconsistent("\(threshold) of \(count) signers cannot be: choose --threshold up to --signers"))
        }
        guard count * arguments[Self.inputs] <= SigningPlan.nonceCountMax else {
            throw arguments.refused(.inconsistent("signers × inputs is over \(Amounts.grouped(SigningPlan.nonceCountMax)): choose fewer"))
        }
        switch Self.transport(of: arguments) {
        case .folder where arguments[Self.transport] == nil:
            // One signer, who has no network to choose. A picture that nobody needs is left out; trouble is what the demo is about.
            guard trouble == nil else {
                throw arguments.refused(.inconsistent("--kill, --cheat and --partition take 2 signers or more: choose --signers"))
            }
        case .folder:
            guard trouble == nil, arguments[Self.diagram] == nil else {
                throw arguments.refused(
                    .inconsistent("--kill, --cheat, --partition and --diagram are about nodes: choose --transport libp2p"))
            }
        case .libp2p:
            guard count >= GroupTerms.memberCounts.lowerBound else {
                throw arguments.refused(.inconsistent("a group over a network has 2 members or more: choose --signers"))
            }
            guard threshold > 1 || trouble == nil else {
                throw arguments.refused(.inconsistent("where one signs alone there is nobody to wait for: choose --threshold from 2 on"))
            }
        }
    }

    /// Where a picture goes: over a folder there is nothing to draw.
    private static func picture(of arguments: Arguments) -> String? {
        Self.transport(of: arguments) == .libp2p ? arguments[Self.diagram] : nil
    }

    private static func trouble(in arguments: Arguments) throws(CommandError) -> DemoTrouble? {
        let flags = [(Self.kill, DemoTrouble.kill), (Self.cheat, .cheat), (Self.partition, .partition)]
        let wanted = flags.filter { arguments[$0.0] }.map(\.1)
        guard wanted.count <= 1 else {
            throw arguments.refused(.inconsistent("one thing goes wrong at a time: choose one of --kill, --cheat and --partition"))
        }
        return wanted.first
    }

    private static func play(_ arguments: Arguments, _ threshold: Int, _ console: Console) async throws(CommandError) {
        let folder = try TemporaryFolder()
        let transport = Self.transport(of: arguments)
        var remains = DemoRemains(folder: folder.path, threshold: threshold, transport: transport)
        defer { if arguments[Self.keep] { for line in remains.lines { console.note(line) } } else { folder.remove() } }
        let start = ContinuousClock.now
        let scene = try await DemoScene(
            in: folder.path, signers: arguments[Self.signers], threshold: threshold, inputs: arguments[Self.inputs])
        var setup = ContinuousClock.now - start
        let narrator = DemoNarrator(
            scene: scene, threshold: threshold, transport: transport, console: arguments[.json] ? nil : console)
        try narrator.introduce()
        let play: DemoPlay.Result?
        var timeline: NetworkTimeline?
        var evidencePath: String?
        switch transport {
        case .folder:
            try folder.makeFolder(scene.exchangePath)
            play = try await DemoPlay(scene: scene, folder: folder.path, threshold: threshold, narrator: narrator).run()
        case .libp2p:
            var network = NetworkPlay(
                scene: scene, folder: folder.path, threshold: threshold, trouble: try Self.trouble(in: arguments), narrator: narrator)
            let result = try await network.run()
            (play, timeline, remains.request) = (result.play, result.timeline, result.request)
            setup += result.setup
            try Self.draw(result, scene, threshold, arguments, in: folder)
            if let evidence = result.evidence, arguments[Self.keep] {
                let path = "\(folder.path)/\(Self.evidenceName)"
                try Files.write(evidence, to: path, replacing: false)
                evidencePath = path
            }
        }
        let isVerified = play.map { scene.request.isSatisfied(by: $0.transaction, spending: scene.policy.scriptPubKey) } ?? false
        let timings = DemoTimings(
            setup: setup, nonces: play?.nonces ?? timeline?.attempts.last?.time ?? .zero, signatures: play?.signatures ?? .zero,
            total: ContinuousClock.now - start)
        if arguments[.json] {
            var members = Self.json(scene, play, threshold: threshold, isVerified: isVerified, timings)
            if let timeline { members += Self.json(timeline, scene) }
            try console.print(.object(members))
        } else {
            if let play {
                try narrator.conclude(play, isVerified: isVerified, timings)
                if let timeline { try narrator.conclude(timeline, evidence: evidencePath) }
            } else if let timeline {
                try narrator.concludeWithoutSignature(blaming: timeline.blamed, evidence: evidencePath)
            }
            if let path = Self.picture(of: arguments) { console.note("\nWhat happened is drawn in \(path.printable).") }
        }
        guard isVerified || play == nil else { throw .failed("the transaction that came out does not verify") }
    }

    private static func draw(
        _ result: NetworkPlay.Result, _ scene: DemoScene, _ threshold: Int, _ arguments: Arguments, in folder: TemporaryFolder
    ) throws(CommandError) {
        guard arguments[Self.diagram] != nil || arguments[Self.keep] else { return }
        let (count, trouble) = (scene.signers.count, try Self.trouble(in: arguments))
        let deed = result.play == nil ? "are asked for" : "make"
        let diagram = SequenceDiagram(
            title: "\(threshold) of \(count) signers \(deed) one signature\(trouble.map { ", \($0.title)" } ?? "")", signerCount: count,
            steps: result.timeline.told)
        let bytes = Array(diagram.svg.utf8)
        if let path = arguments[Self.diagram] { try Files.write(bytes, to: path, replacing: Self.replaces(path, arguments)) }
        if arguments[Self.keep] { try Files.write(bytes, to: "\(folder.path)/\(Self.diagramName)", replacing: false) }
    }

    /// The diagram's file, and that of a proof, in a folder that is kept.
    private static let diagramName = "diagram.svg"
    private static let evidenceName = "evidence.chorale"

    private static func json(
        _ scene: DemoScene, _ play: DemoPlay.Result?, threshold: Int, isVerified: Bool, _ timings: DemoTimings
    ) -> [(name: String, value: JSONValue)] {
        [
            ("network", .string(DemoScene.network.rawValue)), ("signers", .integer(scene.signers.count)),
            ("threshold", .integer(threshold)), ("path", .string(play?.isKeyPath ?? true ? "key" : "script")),
            ("inputs", .integer(scene.request.prevouts.count)), ("txid", .optional(play.map { "\($0.transaction.txid)" })),
            ("transaction", .optional(play.map { Hex.encode($0.transaction.serialized()) })),
            (
                "prevouts",
                .array(
                    scene.request.prevouts.map {
                        .object(["amount": .unsigned($0.amount), "script_pubkey": .string($0.scriptPubKey.hex)])
                    })
            ),
            ("aggregate_key", .optional(play.map { "\($0.aggregateKey)" })), ("verified", .bool(isVerified)),
            (
                "timings_ms",
                .object([
                    "setup": .number(timings.setup.milliseconds), "nonces": .number(timings.nonces.milliseconds),
                    "signatures": .number(timings.signatures.milliseconds), "total": .number(timings.total.milliseconds),
                ])
            ),
        ]
    }

    /// What only a network has to tell.
    private static func json(_ timeline: NetworkTimeline, _ scene: DemoScene) -> [(name: String, value: JSONValue)] {
        [
            ("transport", .string(DemoTransport.libp2p.rawValue)), ("attempts", .integer(timeline.attempts.count)),
            ("blamed", .array(timeline.blamed.map { .string("\(scene.signers[$0 - 1].key)") })),
            ("round_trips", timeline.roundTrips.map { .number($0) } ?? .null),
        ]
    }
}

/// By what the demo's signers meet.
enum DemoTransport: String, Sendable {
    case folder, libp2p
}

struct DemoTimings {
    /// Keys, policy and transaction made; over a network also nodes and group.
    let setup: Duration
    /// From the first process's start until all nonces of the set lay in the folder; over a network, from the request until the attempt
    /// that made the signature began.
    let nonces: Duration
    /// From there to the finished transaction.
    let signatures: Duration
    let total: Duration
}

/// A folder that only this process's user can look into, and that goes when it is done.
struct TemporaryFolder {
    let path: String

    init() throws(CommandError) {
        let parent = getenv("TMPDIR").map { String(cString: $0) } ?? "/tmp"
        // `mkdtemp` wants six X at the end, and puts what makes the name the only one of its kind in their place.
        var template = Array("\(parent)/chorale-demo-XXXXXX".utf8CString)
        guard mkdtemp(&template) != nil else {
            throw .failed("no temporary folder can be made in \(parent.printable): \(SystemError.last)")
        }
        self.path = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    func makeFolder(_ path: String) throws(CommandError) {
        guard mkdir(path, 0o700) == 0 else { throw .failed("\(path) cannot be made: \(SystemError.last)") }
    }

    /// Removes the folder and everything in it.
    func remove() { Self.remove(self.path) }

    private static func remove(_ path: String) {
        guard let stream = opendir(path) else { return }
        var names: [String] = []
        while let entry = readdir(stream) {
            let name = withUnsafeBytes(of: entry.pointee.d_name) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
            if name != ".", name != ".." { names.append(name) }
        }
        closedir(stream)
        for name in names {
            // A name that cannot be unlinked is a folder.
            if unlink("\(path)/\(name)") != 0 { Self.remove("\(path)/\(name)") }
        }
        rmdir(path)
    }
}
