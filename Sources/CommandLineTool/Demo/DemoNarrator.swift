import Bitcoin
import Secp256k1
import Signing

/// Tells what happens in the demo, in plain words; silent when a program reads.
struct DemoNarrator: Sendable {
    let scene: DemoScene
    let threshold: Int
    let transport: DemoTransport
    /// `nil` for silence.
    let console: Console?

    private var style: Style { self.console?.style ?? .plain }

    func introduce() throws(CommandError) {
        guard let console else { return }
        let count = self.scene.signers.count
        let coins = self.scene.request.prevouts
        let total = coins.reduce(0) { $0 + $1.amount }
        let who =
            count == 1 ? "who signs alone" : self.threshold == count ? "all \(count) must sign" : "any \(self.threshold) of them can sign"
        try console.print([
            self.style.bold("\(Amounts.count(count, "signer")), \(who)."),
            "",
            "Their coins: \(Amounts.count(coins.count, "coin")), \(Amounts.bitcoin(total)), at",
            "  \(ScriptDescription.recipient(self.scene.policy.scriptPubKey, on: DemoScene.network))",
            self.transport == .folder
                ? "Each signer is a process of its own and holds one key. All they share is a folder."
                : "Each signer is a node of its own, a process that holds one key. They share nothing, and talk by libp2p.",
        ])
        if self.transport == .folder, let policy = self.scene.policy as? DelegatedMultisig {
            let leaves = policy.leafCount == 1 ? "1 leaf" : "\(Amounts.grouped(policy.leafCount)) leaves"
            try console.print("Believing nobody, each computes the script tree of \(leaves) for itself before it comes.")
        }
        try console.print("")
    }

    // MARK: - Over a network

    func tellBootstrap(_ address: String) throws(CommandError) {
        try self.console?.print(["  \(self.name(1)) listens at the one address that the others know:", "    \(address)"])
    }

    func tellGroup(_ count: Int) throws(CommandError) {
        let others = count == 2 ? "signer 2" : "signers 2 \(count == 3 ? "and" : "to") \(count)"
        try self.console?.print([
            "  \(self.name(1)) invites, and \(others) \(count == 2 ? "joins" : "join"); each has worked out the same policy",
            "", "  " + self.style.dim("      ms"),
        ])
    }

    func tell(_ step: NetworkStep) {
        guard let console, let words = step.words else { return }
        let time = "\(Amounts.grouped(Int(step.time.milliseconds.rounded())))".leftPadded(to: 8)
        let shown: String
        switch step.what {
        case .killed, .startedAgain, .cutOff, .reconnected, .cheats, .gaveWrongSignatures, .beganTwice, .fault, .ended:
            shown = self.style.yellow(words)
        case .attemptBegan: shown = self.style.bold(words)
        case .complete: shown = self.style.green(words)
        default: shown = words
        }
        try? console.print("  \(self.style.dim(time))  \(self.name(step.signer)) \(shown)")
    }

    private func name(_ number: Int) -> String { self.style.dim("signer \(number)".padded(to: 10)) }

    /// - Parameter evidence: where the proof lies, where it stays.
    func concludeWithoutSignature(blaming culprits: [Int], evidence: String?) throws(CommandError) {
        guard let console else { return }
        let named = culprits.map { "signer \($0)" }.joined(separator: ", ")
        try console.print([
            "",
            self.style.bold("There is no signature: all \(self.scene.signers.count) would have to give theirs."),
            self.style.yellow("At fault: \(named).") + " Its own signed messages prove it, to anybody, offline:",
            "  " + (evidence.map { "chorale audit verify \($0.shellWord)" } ?? "with --keep the evidence stays, for chorale audit verify"),
        ])
    }

    /// What the network adds to the end of the story.
    func conclude(_ timeline: NetworkTimeline, evidence: String?) throws(CommandError) {
        guard let console else { return }
        if !timeline.blamed.isEmpty {
            let named = timeline.blamed.map { "signer \($0)" }.joined(separator: ", ")
            try console.print(
                self.style.yellow("At fault: \(named).") + " The others finished without it"
                    + (evidence.map { ". The proof: chorale audit verify \($0.shellWord)" } ?? "."))
        }
        if let roundTrips = timeline.roundTrips {
            try console.print(
                self.style.dim("\(Self.attempts(in: timeline)), \(Self.text(roundTrips)) round trips from the request to the signature"))
        }
    }

    /// How many there were, as the story counts, and which one made the signature.
    private static func attempts(in timeline: NetworkTimeline) -> String {
        let count = Amounts.count(timeline.attempts.count, "attempt")
        guard timeline.attempts.count > 1, let signed = timeline.signedAttempt,
            let place = timeline.attempts.firstIndex(where: { $0.number == signed.number })
        else { return count }
        return "\(count), of which attempt \(place + 1) made the signature"
    }

    /// Halves are all there is.
    private static func text(_ count: Double) -> String { count == count.rounded() ? "\(Int(count))" : "\(count)" }

    // MARK: - Over a folder

    /// - Parameter set: Who signs; empty as long as it is open.
    func tellArrival(of signer: PublicKey, count: Int, set: [PublicKey]) {
        if !set.isEmpty, !set.contains(signer) { return self.tell(signer, "is here, and the set is complete without it") }
        let isOpen = set.isEmpty && self.threshold < self.scene.signers.count && count <= self.threshold
        self.tell(signer, isOpen ? "is here: \(count) of \(self.threshold)" : "is here")
    }

    func tell(_ signer: PublicKey, _ what: String) {
        guard let console, let number = self.scene.signers.firstIndex(where: { $0.key == signer }) else { return }
        try? console.print("  " + self.style.dim("signer \(number + 1)".padded(to: 10)) + " \(what)")
    }

    /// - Parameter unneeded: Who is here, and not in the set.
    func tellSet(_ set: [PublicKey], unneeded: Set<PublicKey>) {
        guard let console, set.count < self.scene.signers.count else { return }
        let text =
            self.numbered(set) + (set.count == 1 ? " is the set" : " form the set")
            + (unneeded.isEmpty ? "" : "; not needed: \(self.numbered(Array(unneeded)))")
        for line in TextLayout.wrapped(text, width: Self.columnCountMax - 2) { try? console.print("  " + self.style.bold(line)) }
    }

    /// Longest line of prose, in columns.
    private static let columnCountMax = 100

    /// `signers 1, 2, 5`.
    private func numbered(_ signers: [PublicKey]) -> String {
        let numbers = signers.compactMap { key in self.scene.signers.firstIndex { $0.key == key } }.sorted().map { "\($0 + 1)" }
        return "signer\(numbers.count == 1 ? "" : "s") \(numbers.joined(separator: ", "))"
    }

    func conclude(_ play: DemoPlay.Result, isVerified: Bool, _ timings: DemoTimings) throws(CommandError) {
        guard let console else { return }
        let inputs = play.transaction.inputs
        let witness = inputs.first?.witness.items ?? []
        let shown = witness.first.map { String(Script($0).hex.prefix(64)) } ?? ""
        let what =
            play.isKeyPath
            ? "One ordinary Taproot signature an input"
                + (play.set.count == 1 ? ":" : "; nothing in it says that \(play.set.count) signed:")
            : "One signature an input, of one leaf of the script tree, made by \(play.set.count) together:"
        try console.print([
            "",
            self.style.bold("The finished transaction \(play.transaction.txid)"),
            "  \(Amounts.grouped(play.transaction.virtualSize)) vB, \(Amounts.count(inputs.count, "input")). \(what)",
            "  \(shown)…",
            "",
            isVerified
                ? self.style.green("Verified:") + " every input's signature is valid under the key that its coin commits to."
                : self.style.red("Not verified."),
            self.style.dim(
                "\(self.transport == .folder ? "keys" : "nodes, group") and transaction \(Self.text(timings.setup)), nonces \(Self.text(timings.nonces)), "
                    + "signatures \(Self.text(timings.signatures)), all together \(Self.text(timings.total))"),
        ])
    }

    private static func text(_ duration: Duration) -> String { "\(Amounts.grouped(Int(duration.milliseconds.rounded(.up)))) ms" }
}
