import Bitcoin
import Secp256k1
import Signing

/// What is about to be signed, as text for the person who decides: coins, recipients, fee, signers. All of it is what the signature
/// commits to, rebuilt from the coins and the policy.
struct CosignReport {
    let task: CosignTask
    let style: Style

    /// Most inputs or outputs that are listed in full; the rest is counted and added up.
    private static let listedMax = 40

    func lines() -> [String] {
        var report = Report(style: self.style)
        let request = self.task.request
        report.heading("To be signed: transaction \(request.transaction.txid) on \(self.task.network)")
        self.list(request.prevouts, from: "Spends", to: &report) {
            $0.scriptPubKey == self.task.policy.scriptPubKey ? "this group's coin" : "signed by others"
        }
        self.list(request.transaction.outputs, from: "Pays", to: &report) {
            $0.scriptPubKey == self.task.policy.scriptPubKey ? "back to this group" : nil
        }
        let size = self.estimatedSize
        report.line("")
        report.field(
            "Fee", ScriptDescription.amount(request.fee) + (size.map { ", \(Amounts.feeRate(fee: request.fee, virtualSize: $0))" } ?? ""),
            width: 7)
        if Set(request.sighashTypes) != [.default], Set(request.sighashTypes) != [.all] {
            report.line(self.style.yellow("Careful: not every part is fixed by the signatures (sighash types \(self.types))."))
        }
        report.field("Signers", self.signers(), width: 7)
        return report.lines
    }

    private func list(_ outputs: [TransactionOutput], from title: String, to report: inout Report, _ remark: (TransactionOutput) -> String?)
    {
        report.heading(title)
        for (index, output) in outputs.prefix(Self.listedMax).enumerated() {
            let text = ScriptDescription.recipient(output.scriptPubKey, on: self.task.network)
            report.line("\(index)".leftPadded(to: 3) + "  " + ScriptDescription.amount(output.amount))
            report.line(text + (remark(output).map { self.style.dim("  (\($0))") } ?? ""), indent: 5)
        }
        let rest = outputs.dropFirst(Self.listedMax)
        guard !rest.isEmpty else { return }
        report.line("…    \(Amounts.grouped(rest.count)) more, \(ScriptDescription.amount(rest.reduce(0) { $0 + $1.amount })) together")
    }

    private var types: String { Set(self.task.request.sighashTypes.map(\.description)).sorted().joined(separator: ", ") }

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
        return [head] + who.prefix(Self.listedMax).map { "\($0)" + ($0 == self.task.signer ? self.style.bold("  you") : "") }
            + (who.count > Self.listedMax ? ["… and \(who.count - Self.listedMax) more"] : [])
    }

    /// The size with the signatures of a set on its cheapest path, where all inputs are the group's.
    private var estimatedSize: Int? {
        let policy = self.task.policy
        guard self.task.request.prevouts.allSatisfy({ $0.scriptPubKey == policy.scriptPubKey }),
            let set = self.task.set ?? policy.onlySet ?? policy.chooseSet(among: Set(policy.members)),
            let (_, path) = try? policy.spend(by: set)
        else { return nil }
        var transaction = self.task.request.transaction
        for index in transaction.inputs.indices {
            let signature = [UInt8](repeating: 0, count: self.task.request.sighashTypes[index] == .default ? 64 : 65)
            switch path {
            case .outputKey, .keyPath: transaction.inputs[index].witness = Witness([signature])
            case .leaf(let block):
                transaction.inputs[index].witness = Witness([signature, [UInt8](repeating: 0, count: 34), block.serialized()])
            }
        }
        return transaction.virtualSize
    }
}
