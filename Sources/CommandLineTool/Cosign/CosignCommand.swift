import Bitcoin
import CryptoPrimitives
import Secp256k1
import SessionStore
import Signing

/// `chorale cosign`: one signer's part in signing a transaction together, over a shared folder.
enum CosignCommand {
    private static let psbt = Argument.required(
        "psbt", "FILE", help: "the transaction to sign, as a PSBT with its coins and participants", parse: Parsing.path)
    private static let key = Argument.required("key", "FILE", help: "your key file (chorale key new)", parse: Parsing.path)
    private static let exchange = Argument.required(
        "exchange", "FOLDER", help: "the folder that all signers see: a shared drive, a synchronised directory, a USB stick",
        parse: Parsing.path)
    private static let set = Argument.optional(
        "set", "KEYS", help: "who signs, agreed on beforehand: public keys in hex, with commas between", parse: Self.keys)
    private static let signers = Argument.optional(
        "signers", "FILE", help: "what you call the signers: the file of chorale multisig, each key with # and a name after it",
        parse: Parsing.path)
    private static let network = Argument.optional(
        "network", "NET", help: "the network that the coins are on, where it is not the one your key file was made for",
        parse: Parsing.network)
    private static let timeLimit = Argument.option(
        "time-limit", "SECONDS", default: 3_600, help: "how long to wait for the others", parse: Parsing.integer(1...2_592_000))
    private static let awayAfter = Argument.option(
        "away-after", "SECONDS", default: 30,
        help: "for k-of-n: a signer who has shown no sign of life for this long is replaced, if others are there",
        parse: Parsing.integer(2...86_400))
    private static let noWait = Argument.flag(
        "no-wait", help: "leave as soon as your signature is in the folder, instead of waiting for the finished transaction")
    private static let yes = Argument.flag("yes", help: "do not ask whether to sign: what is signed is shown all the same")
    private static let highFee = Argument.flag("high-fee", help: "with --yes: sign even though the fee is unusually high")
    private static let journal = Argument.optional(
        "journal", "FILE", help: "where your decisions to sign are recorded before they leave (default: the key file's name and .journal)",
        parse: Parsing.path)
    private static let out = Argument.optional(
        "out", "FILE", help: "write the finished transaction to this file too, in hex", parse: Parsing.path)

    static let command = Command(
        "cosign", summary: "sign a transaction together with others, over a shared folder",
        discussion: """
            Every signer runs this command with the same transaction, its own key file, and the same folder. The folder is the \
            network: the processes leave their public nonces and partial signatures there, each file signed by its sender, and the \
            finished transaction comes out.

            Leave it running until it is done: the secret nonces live only in this process. If it is killed, start it again; it \
            begins a new attempt on its own, and the others follow. Only the last signer of a set, for whom all other nonces are \
            there already, needs just one visit (--no-wait).

            For k-of-n, the first k signers who are here form the set, unless --set names it.

            With --signers it calls the others by the names that your own list gives them. Nothing in the folder can give a name.
            """,
        items: [
            .argument(psbt), .argument(key), .argument(exchange), .argument(set), .argument(signers),
            .argument(network), .argument(timeLimit), .argument(awayAfter), .argument(noWait), .argument(yes), .argument(highFee),
            .argument(journal),
            .argument(out), .argument(Files.force),
        ] + Passphrase.items + [.argument(.json)],
        examples: [
            Command.Example("at each signer's machine", "chorale cosign --psbt payment.psbt --key alice.key --exchange /mnt/shared"),
            Command.Example(
                "the last one, with a USB stick",
                "chorale cosign --psbt payment.psbt --key carol.key --exchange /media/stick \\\n    --no-wait"),
        ]
    ) { (arguments, console) async throws(CommandError) in
        ProcessHardening.forbidCoreDumps()
        try Files.checkForce(arguments, out: arguments[Self.out])
        if let out = arguments[Self.out] { try Files.checkFree(out, replacing: arguments[Files.force]) }
        try ExchangeFolder.check(arguments[Self.exchange])
        let file: KeyFile
        do throws(KeyFileError) { file = try KeyFile(readingFrom: arguments[Self.key]) } catch { throw KeyCommands.failure(error) }
        let task = try await Self.task(arguments, file, console)
        if task.network != file.header.network {
            let careful = console.errorStyle.yellow("Careful:")
            console.note("\(careful) \(file.path.printable) was made for \(file.header.network), and --network says \(task.network).")
        }
        // Before the question: who has read and said yes must not learn only then that the passphrase is wrong.
        let keys = try Self.unlock(file, arguments, console)
        try Self.approve(task, arguments, console)
        let result = try await Self.sign(task, keys, arguments, console)
        try Self.deliver(result, task, arguments, console)
    }

    /// In a function of its own, so that the passphrase is wiped before the question and the waiting begin.
    private static func unlock(_ file: KeyFile, _ arguments: Arguments, _ console: Console) throws(CommandError) -> UnlockedKeys {
        if file.letsOthersIn {
            console.note("\(console.errorStyle.yellow("Careful:")) others may read or change \(file.path.printable): chmod 600 it.")
        }
        return try KeyCommands.unlock(file, by: arguments)
    }

    private static let keys: TextParser<[PublicKey]> = { (text) throws(InvalidText) in
        var keys: [PublicKey] = []
        for word in text.split(separator: ",", omittingEmptySubsequences: false) { keys.append(try Parsing.publicKey(String(word))) }
        return keys
    }
}

// MARK: - What is signed

extension CosignCommand {
    /// What the PSBT asks for, and the policy that it is checked against.
    private static func task(
        _ arguments: Arguments, _ file: KeyFile, _ console: Console
    ) async throws(CommandError) -> CosignTask {
        let path = arguments[Self.psbt]
        let psbt = try TransactionFiles.psbt(at: path)
        let book = try arguments[Self.signers].map { path throws(CommandError) in try SignersFile(readingFrom: path) }
        let names = SignerNames(own: file.header.signer, label: file.header.label, file: book)
        guard let subject = try Self.subject(psbt, at: path, for: file.header.signer) else {
            throw Self.isNoSigner(file, of: psbt, at: path, names)
        }
        do throws(SigningError) {
            let policy = try await self.policy(of: subject, cache: "\(arguments[Self.key]).policies")
            let request = try subject.request(under: policy)
            // Refuses here, before any question, what could not be signed in the end.
            if let set = arguments[Self.set] ?? policy.onlySet { _ = try SigningPlan(request: request, under: policy, set: set) }
            guard request.prevouts.contains(where: { $0.scriptPubKey == policy.scriptPubKey }) else { throw .scriptDoesNotMatch(input: 0) }
            let list = Files.shownName(arguments[Self.signers] ?? "")
            if let book, !policy.members.contains(where: book.keys.contains) {
                throw SigningError.transaction("none of its signers stands in \(list): check --signers")
            }
            let own = Set([file.header.signer.xOnly] + [policy.ownerKey].compactMap(\.self))
            let fit = book.map { SignersFit(of: $0.keys, to: policy.members, own: own) }
            return CosignTask(
                request: request, policy: policy, signer: file.header.signer, names: names,
                network: arguments[Self.network] ?? file.header.network, set: arguments[Self.set],
                remarks: fit?.remarks(on: list, names) ?? [])
        } catch {
            throw .failed("\(path.printable): \(error)")
        }
    }

    /// What the PSBT asks of this signer; `nil` when it asks nothing of it.
    private static func subject(_ psbt: PSBT, at path: String, for signer: PublicKey) throws(CommandError) -> PSBTSubject? {
        do throws(SigningError) { return try PSBTSubject(psbt, for: signer) } catch {
            if case .notASigner(signer) = error { return nil }
            throw .failed("\(path.printable): \(error)")
        }
    }

    private static func isNoSigner(_ file: KeyFile, of psbt: PSBT, at path: String, _ names: SignerNames) -> CommandError {
        let lists = psbt.signerLists
        let who =
            psbt.isComplete
            ? "It is signed already: chorale psbt extract makes the transaction of it."
            : lists.isEmpty
                ? "It names no signers at all: make it with chorale psbt create."
                : lists.map { list in
                    "Signers of \(list.place): " + list.signers.prefix(CosignReport.listedMax).map(names.full).joined(separator: ", ")
                        + (list.signers.count > CosignReport.listedMax ? " and \(list.signers.count - CosignReport.listedMax) more" : "")
                }.joined(separator: "\n") + "\nTake the key file of one of them, or the PSBT that is meant for this key."
        return .failed(
            "\(file.path.printable) holds the key \(names.full(file.header.signer)), which is no signer of \(path.printable).\n\(who)")
    }

    private static func policy(of subject: PSBTSubject, cache path: String) async throws(SigningError) -> any SpendingPolicy {
        let line = ProgressLine()
        defer { line.finish() }
        var cache = PolicyCache(at: path)
        let policy: any SpendingPolicy
        do throws(DelegatedMultisigError) {
            policy = try await subject.policy(computedBefore: cache.scripts) { done, total in
                line.update("Computing the k-of-n policy", done: done, of: total)
            }
        } catch { throw .transaction("\(error)") }
        if let policy = policy as? DelegatedMultisig { cache.add(policy) }
        return policy
    }

    /// Shows what is signed, and asks.
    private static func approve(_ task: CosignTask, _ arguments: Arguments, _ console: Console) throws(CommandError) {
        for line in CosignReport(task: task, style: console.errorStyle).lines() { console.note(line) }
        guard !arguments[Self.yes] else {
            guard !task.hasUnusualFee || arguments[Self.highFee] else {
                throw .failed(
                    "the fee of \(Amounts.satoshi(task.request.fee)) is unusually high: not signed without a question (see --high-fee)")
            }
            return
        }
        switch Question.ask("\nSign this? [y/N] ") {
        case .yes: return
        case .no: throw .failed("not signed")
        case .noTerminal:
            throw arguments.refused(.inconsistent("there is no terminal to ask at: look at what is signed, then say --yes"))
        }
    }
}

// MARK: - Signing

extension CosignCommand {
    private static func sign(
        _ task: CosignTask, _ keys: borrowing UnlockedKeys, _ arguments: Arguments, _ console: Console
    ) async throws(CommandError) -> CosignResult {
        let folder = try ExchangeFolder(in: arguments[Self.exchange], request: task.request)
        if let policy = task.policy as? DelegatedMultisig, policy.internalKey == .owner(keys.key.publicKey.xOnly) {
            return try Self.signAsOwner(task, policy, keys, folder, console)
        }
        let journal = try await Self.openJournal(at: arguments[Self.journal] ?? "\(arguments[Self.key]).journal", console)
        let runner = CosignRunner(
            task: task, journal: journal, console: console, waitsForTheEnd: !arguments[Self.noWait],
            configuration: ExchangeConfiguration(
                set: task.set, timeLimit: .seconds(arguments[Self.timeLimit]), awayAfter: .seconds(arguments[Self.awayAfter])))
        let outcome: Result<CosignResult, CommandError>
        do throws(CommandError) { outcome = .success(try await runner.run(keys, folder)) } catch { outcome = .failure(error) }
        await journal.close()
        return try outcome.get()
    }

    private static func signAsOwner(
        _ task: CosignTask, _ policy: DelegatedMultisig, _ keys: borrowing UnlockedKeys, _ folder: ExchangeFolder, _ console: Console
    ) throws(CommandError) -> CosignResult {
        let transaction: Transaction
        do throws(SigningError) { transaction = try policy.spendAsOwner(task.request, with: keys.key) } catch { throw .failed("\(error)") }
        // The others, should any wait in the folder, see that it is done. Replaced, whatever is there, as a set of signers does: a
        // false file is none that anybody needs. Who has the transaction in hand gets it all the same.
        var path: String? = folder.place(of: .final)
        do throws(CommandError) { try folder.write(Array("\(Hex.encode(transaction.serialized()))\n".utf8), to: .final) } catch {
            console.note("\(error)")
            path = nil
        }
        return .complete(transaction, attempt: 0, set: [keys.key.publicKey], path: path, wasFinished: false)
    }

    static func openJournal(at path: String, _ console: Console) async throws(CommandError) -> FileJournal {
        let journal: FileJournal
        do throws(JournalError) { journal = try await FileJournal.open(path) } catch {
            if case .damaged(_, offset: 0) = error,
                let mistake = FileKind.mistake(Files.shownName(path), seen: FileKind(ofFile: path), wanted: .journal)
            {
                throw .failed(mistake)
            }
            throw .failed("\(error)".printable)
        }
        if let torn = journal.tornTail {
            console.note("\(path.printable): its last \(torn.byteCount) bytes are no whole record and were cut off.")
            console.note("After a crash that is as it should be, and nothing of it was released; else restore the file.")
        }
        return journal
    }

    private static func deliver(
        _ result: CosignResult, _ task: CosignTask, _ arguments: Arguments, _ console: Console
    ) throws(CommandError) {
        switch result {
        case .left(let attempt, let set):
            console.note(console.errorStyle.green("Your signature is in the folder."))
            console.note("Should one of the others end before it has signed, a new attempt begins:")
            console.note("then start the same command once more.")
            guard arguments[.json] else { return }
            try console.print(
                .object([
                    "txid": .string("\(task.request.transaction.txid)"), "attempt": .integer(Int(attempt)), "complete": .bool(false),
                    "set": .array(set.map { .string("\($0)") }), "transaction": .null,
                ]))
        case .complete(let transaction, let attempt, let set, let path, let wasFinished):
            let hex = Hex.encode(transaction.serialized())
            if let out = arguments[Self.out] {
                do throws(CommandError) { try Files.write(Array("\(hex)\n".utf8), to: out, replacing: arguments[Files.force]) } catch {
                    guard path == nil else {
                        throw .failed("\(error); the finished transaction is in the exchange folder all the same, as final.tx")
                    }
                    try console.print(hex)
                    throw .failed("\(error); the finished transaction is on standard output, and nowhere else")
                }
            }
            let unsigned = transaction.inputs.indices.filter { transaction.inputs[$0].witness.isEmpty }
            let wasNeeded = set.contains(task.signer)
            let verb = wasFinished ? "Was signed already" : wasNeeded ? "Signed" : "Finished"
            console.note(
                console.errorStyle.green("\(verb): transaction \(transaction.txid).")
                    + (wasNeeded ? "" : " Your signature was not needed."))
            let places = [path, arguments[Self.out]].compactMap { $0?.printable }
            if !places.isEmpty { console.note("It is in \(places.joined(separator: " and in ")).") }
            if !unsigned.isEmpty {
                console.note("Still to be signed by others: input \(unsigned.map(String.init).joined(separator: ", ")).")
            }
            guard arguments[.json] else { return try console.print(hex) }
            try console.print(
                .object([
                    "txid": .string("\(transaction.txid)"), "attempt": .integer(Int(attempt)), "complete": .bool(unsigned.isEmpty),
                    "set": .array(set.map { .string("\($0)") }), "transaction": .string(hex),
                ]))
        }
    }
}

/// What one signer has to do: the request, the policy that it was checked against, and who it is.
struct CosignTask: Sendable {
    let request: SigningRequest
    let policy: any SpendingPolicy
    let signer: PublicKey
    let names: SignerNames
    let network: Network
    /// The set, where it was agreed on.
    let set: [PublicKey]?
    /// What else the person should know before the answer.
    var remarks: [String] = []
}

extension SpendingPolicy {
    /// Who can spend without the signers.
    fileprivate var ownerKey: XOnlyPublicKey? {
        guard case .owner(let key)? = (self as? DelegatedMultisig)?.internalKey else { return nil }
        return key
    }
}

enum CosignResult: Sendable {
    /// `path` is where the exchange's folder has the transaction, if it could be written there. `wasFinished`: it was there before this
    /// process came, which signed nothing.
    case complete(Transaction, attempt: UInt32, set: [PublicKey], path: String?, wasFinished: Bool)
    /// Left after signing with this set, without waiting for the end.
    case left(attempt: UInt32, set: [PublicKey])
}
