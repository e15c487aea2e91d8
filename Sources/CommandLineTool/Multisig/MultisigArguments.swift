import Bitcoin
import CryptoPrimitives
import Secp256k1
import Signing

/// What every `multisig` command takes to know the policy, and the policy made of it.
enum MultisigArguments {
    static let items: [Command.Item] = [
        .argument(Self.threshold), .argument(Self.signers),
        .oneOf(Self.owner.declaration, Self.ownerAggregate.declaration, Self.ownerUnspendable.declaration),
        .argument(Self.allowLargeTree),
    ]

    /// The same where the policy may as well be the group of all signers: nothing but the signers' file must be given.
    static let itemsOfAnyGroup: [Command.Item] = [.argument(Self.signers)] + Self.itemsBesideSigners

    /// What says how the signers of a file share their coins.
    static let itemsBesideSigners: [Command.Item] = [
        .argument(Self.optionalThreshold), .argument(Self.owner), .argument(Self.ownerAggregate), .argument(Self.ownerUnspendable),
        .argument(Self.allowLargeTree),
    ]

    private static let threshold = Argument.required(
        "threshold", "K", help: "how many signers it takes to spend, beside one of the --owner options",
        parse: Parsing.integer(1...1_000_000))
    private static let optionalThreshold = Argument.optional(
        "threshold", "K", help: "how many signers it takes to spend, with one of the --owner options; left away, all sign together",
        parse: Parsing.integer(1...1_000_000))
    private static let signers = Argument.required(
        "signers", "FILE", help: "the signers' public keys, one in hex a line; # begins a comment; - for standard input",
        parse: Parsing.path)
    /// The same where something else may say who signs.
    static let signersIfAny = Argument<String?>.optional(
        "signers", "FILE", help: Self.signers.declaration.help, parse: Parsing.path)
    static let owner = Argument.optional(
        "owner", "HEX", help: "this key alone can spend too, by the key path: 66 hex digits, or the 64 of an x-only key",
        parse: Self.ownerKey)
    static let ownerAggregate = Argument.flag("owner-aggregate", help: "all signers together can spend too, by the key path")
    static let ownerUnspendable = Argument.flag(
        "owner-unspendable", help: "nobody can spend by the key path: its key is proved to have no known secret")
    private static let allowLargeTree = Argument.flag(
        "allow-large-tree",
        help: "allow more work than \(Amounts.grouped(DelegatedMultisig.aggregatedKeyCountMax)) keys to add up; "
            + "only for a policy of your own making")

    private static let ownerKey: TextParser<XOnlyPublicKey> = { (text) throws(InvalidText) in
        switch text.utf8.count {
        case 2 * PublicKey.byteCount: return try Parsing.publicKey(text).xOnly
        case 2 * XOnlyPublicKey.byteCount: break
        default: throw InvalidText("it must have 66 hex digits, or 64 for an x-only key")
        }
        guard let bytes = Bytes32(hex: text) else { throw InvalidText("it holds a character that is no hex digit") }
        do throws(KeyError) { return try XOnlyPublicKey(bytes) } catch { throw InvalidText("\(error)") }
    }

    private static func internalKey(_ arguments: Arguments) -> DelegatedMultisig.InternalKey {
        if let key = arguments[self.owner] { return .owner(key) }
        return arguments[self.ownerAggregate] ? .aggregate : .unspendable
    }

    /// Computes the policy on all cores, and says how far it is.
    static func policy(_ arguments: Arguments) async throws(CommandError) -> DelegatedMultisig {
        try await self.policy(arguments[self.signers], arguments, threshold: arguments[self.threshold])
    }

    /// The internal key of a k-of-n policy; `nil` where there is no threshold, and all sign together.
    static func internalKeyOfAnyGroup(_ arguments: Arguments, threshold: Int?) throws(CommandError) -> DelegatedMultisig.InternalKey? {
        let owners = [
            (self.owner.declaration.name, arguments[self.owner] != nil),
            (self.ownerAggregate.declaration.name, arguments[self.ownerAggregate]),
            (self.ownerUnspendable.declaration.name, arguments[self.ownerUnspendable]),
        ]
        let given = owners.filter { $0.1 }.map { $0.0 }
        guard given.count <= 1 else { throw arguments.refused(.moreThanOneOf(given)) }
        guard threshold != nil else {
            guard let owner = given.first else { return nil }
            throw arguments.refused(.inconsistent("\(owner) belongs to a k-of-n policy: add --threshold K"))
        }
        guard given.count == 1 else {
            let declarations = [self.owner.declaration, self.ownerAggregate.declaration, self.ownerUnspendable.declaration]
            throw arguments.refused(.missingOneOf(declarations.map(\.usage)))
        }
        return self.internalKey(arguments)
    }

    /// The policy of `itemsOfAnyGroup`.
    ///
    /// - Parameters:
    ///   - withDescriptor: a policy too large for a descriptor is refused before anything is computed.
    ///   - signers: the file of `signersIfAny`, where a command takes that.
    static func policyOfAnyGroup(
        _ arguments: Arguments, withDescriptor: Bool = false, signers: String? = nil
    ) async throws(CommandError) -> any SpendingPolicy {
        let threshold = arguments[self.optionalThreshold]
        _ = try self.internalKeyOfAnyGroup(arguments, threshold: threshold)
        let signers = signers ?? arguments[self.signers]
        if let threshold { return try await self.policy(signers, arguments, threshold: threshold, withDescriptor: withDescriptor) }
        let file = try SignersFile(readingFrom: signers)
        if let (first, second) = self.duplicate(in: file.keys) { throw self.failure(.duplicateSigner(first, second), file, arguments) }
        do throws(SigningError) { return try SignerGroup(file.keys) } catch { throw .failed("\(error)") }
    }

    /// Two places of a list that hold the same key.
    private static func duplicate(in keys: [PublicKey]) -> (Int, Int)? {
        var places: [PublicKey: Int] = [:]
        for (place, key) in keys.enumerated() {
            if let first = places.updateValue(place, forKey: key) { return (first, place) }
        }
        return nil
    }

    /// Refuses what says how signers share their coins, where something else says it.
    static func refuseShape(_ arguments: Arguments, beside name: String) throws(CommandError) {
        let given = [
            (self.optionalThreshold.declaration.name, arguments[self.optionalThreshold] != nil),
            (self.owner.declaration.name, arguments[self.owner] != nil),
            (self.ownerAggregate.declaration.name, arguments[self.ownerAggregate]),
            (self.ownerUnspendable.declaration.name, arguments[self.ownerUnspendable]),
            (self.allowLargeTree.declaration.name, arguments[self.allowLargeTree]),
        ].first { $0.1 }
        if let given { throw arguments.refused(.inconsistent("\(name) says all of the group: leave \(given.0) away")) }
    }

    private static func policy(
        _ signers: String, _ arguments: Arguments, threshold: Int, withDescriptor: Bool = false
    ) async throws(CommandError) -> DelegatedMultisig {
        let file = try SignersFile(readingFrom: signers)
        if withDescriptor, let error = DelegatedMultisig.descriptorError(threshold: threshold, signerCount: file.keys.count) {
            throw arguments.refused(.inconsistent("\(error)"))
        }
        let progress = ProgressLine()
        defer { progress.finish() }
        do throws(DelegatedMultisigError) {
            return try await DelegatedMultisig.make(
                internalKey: self.internalKey(arguments), signers: file.keys, threshold: threshold,
                allowingLargeTree: arguments[self.allowLargeTree]
            ) { progress.update("computing the keys of all sets of signers", done: $0, of: $1) }
        } catch {
            throw self.failure(error, file, arguments)
        }
    }

    /// Errors about a signer name its line.
    private static func failure(_ error: DelegatedMultisigError, _ file: SignersFile, _ arguments: Arguments) -> CommandError {
        switch error {
        case .thresholdOutOfRange(let threshold, let count):
            arguments.refused(
                .invalidValue(
                    argument: self.threshold.declaration.name, value: "\(threshold)",
                    reason: "with \(Amounts.count(count, "signer")) it must be from 1 to \(count)"))
        case .duplicateSigner(let first, let second):
            .failed(
                "\(file.place(of: first)) and \(file.place(of: second)) hold the same key up to its sign, so one person would count "
                    + "twice: give each its own")
        case .ownerIsSigner(let signer):
            .failed("the owner's key is also that on \(file.place(of: signer)): give the owner a key of its own")
        case .tooMuchWork:
            .failed("\(error) (--allow-large-tree)")
        default: .failed("\(error)")
        }
    }
}

extension DelegatedMultisig {
    /// `2-of-3`.
    var shape: String { "\(self.threshold)-of-\(self.signers.count)" }

    /// Who can spend by the key path, in words.
    var keyPathDescription: String {
        switch self.internalKey {
        case .owner: "the owner alone"
        case .aggregate: "all \(self.signers.count) signers together"
        case .unspendable: "nobody"
        }
    }

    /// The key path, if anyone can spend by it.
    var keyPath: Path? {
        switch self.internalKey {
        case .owner: .owner
        case .aggregate: .aggregateKeyPath
        case .unspendable: nil
        }
    }
}
