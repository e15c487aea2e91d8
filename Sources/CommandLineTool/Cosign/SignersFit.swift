import Secp256k1

/// How far a person's own list of signers is that of the group whose coins are to be spent.
struct SignersFit: Equatable {
    /// Signers of the group whom the list does not have.
    let missing: [PublicKey]
    /// Keys of the list that are no signers of the group.
    let foreign: [PublicKey]

    /// Most keys of each sort that are named; the rest is counted.
    private static let namedMax = 5

    /// - Parameter own: the signers and owners who need not stand in the list, or may.
    init(of list: [PublicKey], to members: [PublicKey], own: Set<XOnlyPublicKey>) {
        let (listed, signing) = (Set(list), Set(members))
        self.missing = members.filter { !listed.contains($0) && !own.contains($0.xOnly) }
        self.foreign = list.filter { !signing.contains($0) && !own.contains($0.xOnly) }
    }

    /// One sentence for each sort that there is.
    func remarks(on list: String, _ names: SignerNames) -> [String] {
        let sorts = [
            (self.missing, "does not have these signers of the group"), (self.foreign, "has these keys that are no signers of the group"),
        ]
        return sorts.filter { !$0.0.isEmpty }.map { keys, what in
            let rest = keys.count > Self.namedMax ? " and \(Amounts.grouped(keys.count - Self.namedMax)) more" : ""
            return "\(list) \(what): \(keys.prefix(Self.namedMax).map(names.full).joined(separator: ", "))\(rest)"
        }
    }
}
