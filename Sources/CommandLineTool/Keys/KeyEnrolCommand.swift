import CryptoPrimitives
import Secp256k1
import SessionStore
import Signing

/// `chorale key enrol`: another machine for a signer's key, in place of the one that spoke for it.
enum KeyEnrolCommand {
    private static let file = Argument.positional("FILE", help: "a key file of the signer: any copy of it, the oldest too")
    private static let out = Argument.required(
        "out", "NEW", help: "the key file to make for the new machine; a file that exists is never replaced", parse: Parsing.path)
    private static let expiresIn = Argument.optional(
        "expires-in", "DAYS", help: "others hear the machine for so long only: then enrol it again (default: for ever)",
        parse: Parsing.integer(1...36_500))

    static let command = Command(
        "enrol", summary: "enrol another machine for your key, which takes the place of the one before",
        discussion: """
            What a signer says to the others is signed by an identity of its machine, which the signer's key has enrolled. This makes a key file \
            with the same key and a new identity, under the same passphrase. Whoever hears of it listens to the new machine and to the former one \
            no more: that is how a machine is taken back, too.

            You need it when a machine was lost or stolen, or when a copy of it may run somewhere. Then: end the former node if you can, move its \
            folder (--home, or a backup of it) to the new machine, put the new file in place of the old one, and start the node. What chorale node \
            show prints there under "contact" is to be given to every other member of your groups, who adds it under the name that you have: \
            chorale contact add LABEL WORD. Until they have, they do not hear the new machine; compare your numbers then (chorale contact verify).

            It does not change the key that coins are locked to. Whoever may know the passphrase as well as the old file can sign, and enrol a machine, \
            as you can: then move the coins. Each enrolment has a version, the time at which it was made, and the highest counts.
            """,
        items: [.argument(file), .argument(out), .argument(expiresIn)] + Passphrase.items + [.argument(.json)],
        examples: [
            Command.Example("the laptop was stolen; there is a copy of its key file", "chorale key enrol backup/node.key --out node.key"),
            Command.Example("for a year", "chorale key enrol old.key --out node.key --expires-in 365"),
        ]
    ) { (arguments, console) throws(CommandError) in
        ProcessHardening.forbidCoreDumps()
        let (path, out) = (arguments[Self.file], arguments[Self.out])
        guard !Files.exists(out) else { throw KeyCommands.failure(.file(.exists(path: out))) }
        try Files.checkFolder(of: out)
        let old: KeyFile
        do throws(KeyFileError) { old = try KeyFile(readingFrom: path) } catch { throw KeyCommands.failure(error) }
        let now = WallClock.secondsSince1970
        let expiry = arguments[Self.expiresIn].map { now + UInt64($0) * 86_400 } ?? 0
        guard let version = Self.version(after: old.header.version, at: now) else {
            throw .failed("\(path.printable) has the last version that there is: make a new key, and move the coins to it")
        }
        let source = try Passphrase.source(by: arguments)
        let passphrase = try Passphrase.read(from: source, to: .unlocking, file: path)
        let made = try Interruption.deferring { () throws(CommandError) in
            do throws(KeyFileError) {
                return try Self.create(out, from: old, version: version, expiry: expiry, passphrase: passphrase)
            } catch { throw KeyCommands.failure(error, passphraseFrom: source) }
        }
        try KeyCommands.present(made, heading: "New identity for the key, in \(out.printable)", isChecked: nil, arguments, console)
        console.note(
            "Start the node with it, and give what chorale node show prints under \"contact\" to every other member of your groups: they do not "
                + "hear the new machine before they have added it, and hear the former one until then.")
    }

    /// Above any that was made before, whichever copy of the file it is made from: the time, as far as the clocks were right.
    static func version(after last: UInt32, at now: UInt64) -> UInt32? {
        guard last < .max else { return nil }
        return max(last + 1, UInt32(clamping: now))
    }

    private static func create(
        _ path: String, from old: KeyFile, version: UInt32, expiry: UInt64, passphrase: borrowing SecretBytes
    ) throws(KeyFileError) -> KeyFile {
        let keys = try old.unlock(passphrase: passphrase)
        let identity: Ed25519.SecretKey
        do throws(SecretMemoryError) { identity = try .generate() } catch { throw .sealing(path: path, .secretMemory(error)) }
        return try KeyFile.create(
            at: path, key: keys.key, identity: identity, network: old.header.network, label: old.header.label, version: version,
            expiry: expiry, passphrase: passphrase)
    }

    static func words(_ header: KeyFile.Header) -> String {
        "version \(header.version)" + (header.expiry == 0 ? "" : ", until \(UnixTime.text(header.expiry))")
    }

    /// Nobody hears a machine whose enrolment is over.
    static func checkExpiry(of file: KeyFile, _ expiry: UInt64) throws(CommandError) {
        guard expiry != 0, WallClock.secondsSince1970 > expiry else { return }
        throw .failed(
            "the enrolment in \(file.path.printable) ended at \(UnixTime.text(expiry)), and the other members hear this machine no more: enrol it "
                + "again with: chorale key enrol \(file.path.shellWord) --out NEW")
    }
}
