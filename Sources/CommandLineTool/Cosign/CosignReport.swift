import Bitcoin
import CryptoPrimitives
import Secp256k1
import Signing

/// What is about to be signed, as text for the person who decides: coins, recipients, fee, times, signers. All of it is what the
/// signature commits to, rebuilt from the coins and the policy.
///
/// Every output is shown in full, however many there are: what is left out is where somebody would hide a payment.
struct CosignReport {
    let task: CosignTask
    let style: Style

    /// Most coins and signers that are listed; the rest is counted and added up. What is spent cannot hide what is paid.
    static let listedMax = 40
    private static let labelWidth = 9

    func lines() -> [String] {
        var report = Report(style: self.style)
        report.heading("To be signed: transaction \(self.task.request.transaction.txid) on \(self.task.network)")
        self.writeCoins(to: &report)
        self.writeOutputs(to: &report)
        report.line("")
        self.writeFee(to: &report)
        self.writeTimes(to: &report)
        if !Set(self.task.request.sighashTypes).isSubset(of: PSBTSubject.usualSighashTypes) {
            report.line(self.careful("not every part is fixed by the signatures (sighash types \(self.types))."))
        }
        report.field("Signers", self.signers(), width: Self.labelWidth)
        for remark in self.task.remarks {
            for line in TextLayout.wrapped("Careful: \(remark)", width: HelpText.columnCountMax) { report.line(self.style.yellow(line)) }
        }
        return report.lines
    }

    private func careful(_ text: String) -> String { self.style.yellow("Careful: \(text)") }

    // MARK: Coins and outputs

    private func writeCoins(to report: inout Report) {
        let request = self.task.request
        report.heading("Spends")
        for (index, coin) in request.prevouts.prefix(Self.listedMax).enumerated() {
            report.line("\(index)".leftPadded(to: 3) + "  " + ScriptDescription.amount(coin.amount))
            let remark = coin.scriptPubKey == self.task.policy.scriptPubKey ? "this group's coin" : "signed by others"
            report.line(self.recipient(coin.scriptPubKey) + self.style.dim("  (\(remark))"), indent: 5)
            report.line(self.style.dim("output \(request.transaction.inputs[index].previousOutput)"), indent: 5)
        }
        let rest = request.prevouts.dropFirst(Self.listedMax)
        guard !rest.isEmpty else { return }
        report.line("…    \(Amounts.grouped(rest.count)) more, \(ScriptDescription.amount(rest.reduce(0) { $0 + $1.amount })) together")
    }

    private func writeOutputs(to report: inout Report) {
        report.heading("Pays")
        for (index, output) in self.task.request.transaction.outputs.enumerated() {
            let isOwn = output.scriptPubKey == self.task.policy.scriptPubKey
            report.line("\(index)".leftPadded(to: 3) + "  " + ScriptDescription.amount(output.amount))
            report.line(self.recipient(output.scriptPubKey) + (isOwn ? self.style.dim("  (back to this group)") : ""), indent: 5)
        }
    }

    /// The address, or the whole script: two scripts never look alike here.
    private func recipient(_ script: Script) -> String {
        if let address = Address(scriptPubKey: script, network: self.task.network) { return address.text }
        let name = ScriptDescription.typeName(script)
        if script.bytes.count <= 100 { return "\(name) script \(script.hex)" }
        return "\(name) script of \(Amounts.grouped(script.bytes.count)) bytes, SHA-256 \(SHA256.hash(script.bytes))"
    }

    // MARK: Fee and times

    private func writeFee(to report: inout Report) {
        var rates = self.task.signedSize?.rates(of: self.task.request.fee) ?? []
        if self.task.hasForeignInputs { rates = rates.map { "about \($0)" } }
        let first = rates.count == 1 ? ", \(rates.removeFirst())" : ""
        report.field("Fee", [ScriptDescription.amount(self.task.request.fee) + first] + rates, width: Self.labelWidth)
        guard self.task.hasUnusualFee else { return }
        let hasChange = self.task.request.transaction.outputs.contains { $0.scriptPubKey == self.task.policy.scriptPubKey }
        report.line(self.style.yellow(HighFee.warning(hasChange: hasChange)))
    }

    private func writeTimes(to report: inout Report) {
        let transaction = self.task.request.transaction
        if transaction.lockTime != 0, transaction.inputs.contains(where: { $0.sequence != TransactionInput.sequenceFinal }) {
            report.field("Locked", self.style.yellow(ScriptDescription.lockTime(transaction.lockTime)), width: Self.labelWidth)
        }
        self.writeAges(to: &report)
        if !(1...3).contains(transaction.version) {
            report.line(self.careful("nodes do not relay transactions of version \(transaction.version)."))
        }
    }

    /// One line for each unit, however many inputs there are: the transaction waits for the last of its coins, and what it pays must
    /// stay in sight of the question.
    private func writeAges(to report: inout Report) {
        let transaction = self.task.request.transaction
        // BIP-68: from version 2 on, a sequence whose highest bit is clear holds the coin's age back.
        guard transaction.version >= 2 else { return }
        for isTime in [false, true] {
            let waiting = transaction.inputs.enumerated().filter { _, input in
                input.sequence & 0x8000_0000 == 0 && (input.sequence & 0x40_0000 != 0) == isTime && input.sequence & 0xffff > 0
            }
            guard let last = waiting.max(by: { $0.element.sequence & 0xffff < $1.element.sequence & 0xffff }) else { continue }
            let count = last.element.sequence & 0xffff
            let age = isTime ? "\(Amounts.grouped(count * 512)) seconds" : "\(Amounts.grouped(count)) blocks"
            let which = waiting.count == 1 ? "the coin of input \(last.offset) is" : "the coins of \(waiting.count) inputs are up to"
            report.field("Locked", self.style.yellow("until \(which) \(age) old"), width: Self.labelWidth)
        }
    }

    private var types: String { Set(self.task.request.sighashTypes.map(\.description)).sorted().joined(separator: ", ") }

    // MARK: Signers

    private func signers() -> [String] {
        let members = self.task.policy.members
        let set = self.task.set ?? self.task.policy.onlySet
        let who = set ?? members
        let head: String
        if let set {
            head = set.count == members.count ? "all \(members.count)" : "these \(set.count) of \(members.count)"
        } else if let policy = self.task.policy as? DelegatedMultisig {
            head = "any \(policy.threshold) of \(members.count)"
        } else {
            head = "\(members.count)"
        }
        return [head] + who.prefix(Self.listedMax).map(self.line(for:))
            + (who.count > Self.listedMax ? ["… and \(who.count - Self.listedMax) more"] : [])
    }

    private func line(for signer: PublicKey) -> String {
        let remarks = [self.task.names[signer], signer == self.task.signer ? "you" : nil].compactMap(\.self)
        return "\(signer)" + (remarks.isEmpty ? "" : self.style.bold("  \(remarks.joined(separator: ", "))"))
    }
}

// MARK: - Size and fee

extension CosignTask {
    /// Whether others sign inputs, too.
    var hasForeignInputs: Bool { !self.request.prevouts.allSatisfy { $0.scriptPubKey == self.policy.scriptPubKey } }

    /// How large the transaction becomes: by the path of the set where it is known, else by each path that the group can choose.
    /// Inputs that others sign are taken to need one signature each, the least that is common: their real size is not known here.
    var signedSize: SignedSize? {
        let inputs = zip(self.request.prevouts, self.request.sighashTypes).map { coin, type in
            coin.scriptPubKey == self.policy.scriptPubKey ? self.spends(type) : [InputSpend(byKeyPath: .default)]
        }
        return SignedSize(inputs: inputs, outputs: self.request.transaction.outputs)
    }

    private func spends(_ type: SighashType) -> [InputSpend] {
        if let policy = self.policy as? DelegatedMultisig, policy.internalKey == .owner(self.signer.xOnly) {
            return [InputSpend(byKeyPath: type)]
        }
        guard let set = self.set ?? self.policy.onlySet else { return InputSpend.all(of: self.policy, type) }
        return InputSpend.by(set, of: self.policy, type).map { [$0] } ?? []
    }

    /// Whether the fee takes too much of the group's own coins, or is too high for the transaction.
    ///
    /// Others' coins do not make it smaller: a large one that goes straight back to its owner would hide that the group's go to the
    /// fee. The group pays no more of it than what does not return to its script.
    var hasUnusualFee: Bool {
        let script = self.policy.scriptPubKey
        let spent = self.request.prevouts.reduce(0) { $0 + ($1.scriptPubKey == script ? $1.amount : 0) }
        let returned = self.request.transaction.outputs.reduce(0) { $0 + ($1.scriptPubKey == script ? $1.amount : 0) }
        let ownFee = returned < spent ? min(self.request.fee, spent - returned) : 0
        if HighFee.isHigh(ownFee, spending: spent, virtualSize: nil) { return true }
        // By its rate alone.
        return HighFee.isHigh(self.request.fee, spending: .max, virtualSize: self.signedSize?.virtualSizeMax)
    }
}
