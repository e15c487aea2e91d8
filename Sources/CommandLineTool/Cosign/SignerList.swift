import Bitcoin
import Secp256k1
import Signing

/// Who a PSBT says must sign, before anything of it is checked: to show a person whose key is not among them.
struct SignerList: Equatable {
    /// `all inputs`, `input 0`, `inputs 0, 1, 2`.
    let place: String
    let signers: [PublicKey]
}

extension PSBT {
    /// The signers that the policy record names, or else those of each input (BIP-373); inputs with the same ones stand together.
    var signerLists: [SignerList] {
        if let bytes = self.proprietary[PolicyRecord.psbtKey], let record = try? PolicyRecord(parsing: bytes) {
            return [SignerList(place: "every input of the k-of-n policy", signers: record.signers)]
        }
        var groups: [(signers: [PublicKey], inputs: [Int])] = []
        for (index, input) in self.inputs.enumerated() {
            let signers = Set(input.musig2Participants.values.joined()).sorted()
            guard !signers.isEmpty else { continue }
            if let known = groups.firstIndex(where: { $0.signers == signers }) {
                groups[known].inputs.append(index)
            } else {
                groups.append((signers, [index]))
            }
        }
        return groups.prefix(Self.shownGroupCountMax).map { group in
            SignerList(place: Self.place(of: group.inputs), signers: group.signers)
        }
    }

    /// Most groups that are listed.
    private static let shownGroupCountMax = 10
    /// Most inputs that are named one by one.
    private static let namedInputCountMax = 8

    private static func place(of inputs: [Int]) -> String {
        guard inputs.count <= Self.namedInputCountMax else { return Amounts.count(inputs.count, "input") }
        return "input\(inputs.count == 1 ? "" : "s") \(inputs.map(String.init).joined(separator: ", "))"
    }
}
