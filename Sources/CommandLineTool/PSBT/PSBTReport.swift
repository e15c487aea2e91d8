import Bitcoin
import Secp256k1
import Signing

/// A PSBT as text for people.
struct PSBTReport {
    let summary: PSBTSummary
    let network: Network?
    let names: SignerNames
    let style: Style

    /// Most MuSig2 signatures of one input that are listed; the rest is counted.
    private static let signingCountMax = 20
    /// Most participants of one signature that are listed; the rest is counted.
    private static let participantCountMax = 50
    /// Most participants that are listed in the whole report, counted for each signature; of further signatures the numbers alone
    /// are told.
    ///
    /// Source: nobody reads more, and a PSBT of some megabytes can have signatures and groups that multiply to gigabytes.
    private static let listedParticipantCountMax = 5_000
    private static let labelWidth = 8
    private static let indent = 5

    func lines() -> [String] {
        var report = Report(style: self.style)
        self.writeHead(to: &report)
        report.heading("Inputs")
        var allowance = Self.listedParticipantCountMax
        for (index, input) in self.summary.inputs.enumerated() { self.write(input, index: index, to: &report, listing: &allowance) }
        report.heading("Outputs")
        for (index, output) in self.summary.psbt.unsignedTransaction.outputs.enumerated() {
            report.line("\(index)".leftPadded(to: 3) + "  " + ScriptDescription.amount(output.amount))
            self.field("to", ScriptDescription.recipient(output.scriptPubKey, on: self.network), to: &report)
            if let input = self.summary.input(withScriptOf: output) {
                self.field("", self.style.dim("change: the same script as the coin of input \(input)"), to: &report)
            }
        }
        self.writeFee(to: &report)
        return report.lines
    }

    private func wrapped(_ text: String) -> [String] {
        TextLayout.wrapped(text, width: HelpText.columnCountMax - Self.indent - Self.labelWidth - 2)
    }

    private func field(_ label: String, _ value: String, to report: inout Report) {
        report.field(label, value, indent: Self.indent, width: Self.labelWidth)
    }

    private func writeHead(to report: inout Report) {
        let transaction = self.summary.psbt.unsignedTransaction
        report.heading("PSBT of transaction \(transaction.txid)")
        report.line(
            "version \(transaction.version), \(ScriptDescription.lockTime(transaction.lockTime)); "
                + ScriptDescription.form(on: self.network))
        if let policy = self.policyText { report.line(policy) }
        report.line(self.verdict())
        if self.summary.hasLooseContributions {
            for line in TextLayout.wrapped(PSBTSummary.looseContributionsText, width: HelpText.columnCountMax) {
                report.line(self.style.yellow(line))
            }
        }
        self.writeSigners(to: &report)
    }

    /// Those of the k-of-n policy, who stand at no input.
    private func writeSigners(to report: inout Report) {
        guard let signers = self.summary.policy?.signers else { return }
        report.heading("Signers")
        for (index, key) in signers.prefix(Self.participantCountMax).enumerated() {
            report.line("\(index)".leftPadded(to: 3) + "  \(self.names.full(key))")
        }
        let rest = signers.count - Self.participantCountMax
        if rest > 0 { report.line("     … and \(Amounts.grouped(rest)) more (--json lists all)") }
    }

    /// The k-of-n policy that the PSBT carries; `cosign` checks it against the coins.
    private var policyText: String? {
        guard let record = self.summary.policy else { return nil }
        let keyPath =
            switch record.internalKey {
            case .owner: "an owner"
            case .aggregate: "all signers together"
            case .unspendable: "nobody"
            }
        return "for a policy of any \(record.threshold) of \(record.signers.count) signers; by the key path: \(keyPath)"
    }

    private func verdict() -> String {
        if self.summary.isComplete { return self.style.green("Complete: every input is final (next: chorale psbt extract).") }
        let unfinished = self.summary.unfinishedCount
        if unfinished == 0 { return self.style.green("Signed: every input can be finalized (next: chorale psbt finalize).") }
        return self.style.yellow(
            "Not complete: \(Amounts.grouped(unfinished)) of \(Amounts.count(self.summary.inputs.count, "input")) still "
                + (unfinished == 1 ? "needs signatures." : "need signatures."))
    }

    // MARK: - Inputs

    private func write(_ input: PSBTSummary.Input, index: Int, to report: inout Report, listing allowance: inout Int) {
        let amount = input.spent.map { ScriptDescription.amount($0.amount) } ?? self.style.yellow("amount not known")
        report.line("\(index)".leftPadded(to: 3) + "  " + amount)
        if let spent = input.spent {
            self.field("from", ScriptDescription.recipient(spent.scriptPubKey, on: self.network), to: &report)
        }
        self.field("coin", "\(input.outPoint)", to: &report)
        report.field("state", self.state(of: input), indent: Self.indent, width: Self.labelWidth)
        if let type = input.sighashType {
            let name = (try? SighashType(parsing: type)).map { "\($0)" } ?? "0x\(String(type, radix: 16)), which is not a type of BIP-341"
            let coversAll = type == 0 || type == 1
            self.field(
                "sighash", coversAll ? name : self.style.yellow("\(name): signatures do not cover the whole transaction"), to: &report)
        }
        for signing in input.signings.prefix(Self.signingCountMax) { self.write(signing, to: &report, listing: &allowance) }
        if input.signings.count > Self.signingCountMax {
            let count = Amounts.grouped(input.signings.count - Self.signingCountMax)
            self.field("MuSig2", "… and \(count) more (--json lists all)", to: &report)
        }
    }

    private func state(of input: PSBTSummary.Input) -> [String] {
        switch input.state {
        case .final: [self.style.green("final")]
        case .finalizable: [self.style.green("signed, ready to be finalized")]
        case .unfinished(let what): [what]
        case .flawed(let what): self.wrapped("do not sign: \(what)").map(self.style.red)
        }
    }

    private func write(_ signing: MuSig2Signing, to report: inout Report, listing allowance: inout Int) {
        let count = signing.participants.count
        let path = signing.leafHash.map { "leaf \($0)" } ?? (signing.signedKey == nil ? "not begun" : "key path")
        self.field("MuSig2", path, to: &report)
        self.field(
            "",
            "\(signing.nonces.count) of \(count) nonces, \(signing.partialSignatures.count) of \(count) partial signatures"
                + (signing.aggregateKey == nil ? " (participants not listed)" : ""), to: &report)
        let listed = signing.participants.prefix(min(Self.participantCountMax, allowance))
        allowance -= listed.count
        for key in listed { self.field("", "\(self.names.full(key))  \(self.contribution(of: key, to: signing))", to: &report) }
        let rest = count - listed.count
        if rest > 0 {
            let text = listed.isEmpty ? Amounts.count(rest, "participant") : "… and \(Amounts.grouped(rest)) more"
            self.field("", "\(text) (--json lists all)", to: &report)
        }
    }

    private func contribution(of key: PublicKey, to signing: MuSig2Signing) -> String {
        switch (signing.nonces.contains(key), signing.partialSignatures.contains(key)) {
        case (true, true): self.style.green("nonce, signature")
        case (true, false): "nonce"
        case (false, true): self.style.yellow("signature alone")
        case (false, false): self.style.dim("nothing yet")
        }
    }

    // MARK: - Fee

    private func writeFee(to report: inout Report) {
        report.heading("Fee")
        switch self.summary.fee {
        case .success(let fee):
            var rates = self.summary.signedSize?.rates(of: fee) ?? ["the rate is known once it is signed"]
            // One rate goes beside the amount; where the path is not decided, each has its line.
            let isOne = rates.count == 1
            report.line(ScriptDescription.amount(fee) + (isOne ? ", \(rates.removeFirst())" : ""), indent: Self.indent)
            for rate in rates { report.line(rate, indent: Self.indent) }
            if self.summary.hasHighFee {
                report.line(self.style.yellow(HighFee.warning(hasChange: self.summary.hasChange)), indent: Self.indent)
            }
        case .failure(let error):
            for line in self.wrapped("not known: \(error)") { report.line(self.style.yellow(line), indent: Self.indent) }
        }
    }
}
