/// What a demo with --keep leaves behind, and what to do with it.
struct DemoRemains {
    let folder: String
    let threshold: Int
    let transport: DemoTransport
    /// The request that the nodes signed, or were asked to.
    var request: String?

    /// For people.
    var lines: [String] {
        ["", "Everything is left in \(self.folder.printable). To look at it, and to sign by hand:"] + self.commands.map { "  \($0)" }
    }

    /// Lines of a shell, to be typed in this order.
    var commands: [String] {
        let numbers = (1...self.threshold).map(String.init).joined(separator: " ")
        var commands = [
            "cd \(self.folder.shellWord)", "export CHORALE_PASSPHRASE=$(cat \(DemoScene.passphraseName))",
            "chorale psbt show payment.psbt --network \(DemoScene.network)", "mkdir again",
            "for n in \(numbers); do chorale cosign --psbt payment.psbt --key signer-$n.key --exchange again --yes & done; wait",
        ]
        guard self.transport == .libp2p, let request else { return commands }
        let id = request.prefix(EventReport.idDigitCount)
        commands += ["chorale audit export \(id) --home node-1 --out said.chorale", "chorale audit verify said.chorale"]
        return commands
    }
}
