import Bitcoin
import CryptoPrimitives
import SessionStore
import Signing

/// Which k-of-n policies this signer has computed, and the scripts that came out: so that a large policy is computed once, and its
/// leaf keys are taken from a PSBT afterwards.
///
/// A text file beside the key file, one `digest script` a line, in hex. Who can write there can replace the key file as well. Without
/// the file nothing is lost but time.
struct PolicyCache {
    let path: String
    private(set) var scripts: [Bytes32: Script] = [:]

    /// Longest file that is read, in bytes: some 7,000 policies.
    private static let byteCountMax = 1 << 20

    /// A file that is missing, or is none of ours, counts as empty.
    init(at path: String) {
        self.path = path
        guard let bytes = try? AtomicFile.read(path, byteCountMax: Self.byteCountMax, followingLinks: false),
            let text = String(validating: bytes, as: UTF8.self)
        else { return }
        for line in text.split(separator: "\n") {
            let words = line.split(separator: " ")
            guard words.count == 2, let digest = Bytes32(hex: words[0]), let script = Script(hex: words[1]) else { continue }
            self.scripts[digest] = script
        }
    }

    /// Remembers what was computed. That it cannot be written is no reason to stop.
    mutating func add(_ policy: DelegatedMultisig) {
        guard self.scripts.updateValue(policy.scriptPubKey, forKey: policy.digest) != policy.scriptPubKey else { return }
        let lines = self.scripts.sorted { $0.key < $1.key }.map { "\($0.key) \($0.value.hex)\n" }
        try? AtomicFile.write(Array(lines.joined().utf8), to: self.path, permissions: .ownerOnly)
    }
}
