internal import Bitcoin
internal import CryptoPrimitives
internal import Secp256k1

/// The text of a key file, as `KeyFile` describes it. Strict: what is read is exactly what would be written.
enum KeyFileText {
    /// Most bytes of a label.
    static let labelByteCountMax = 64

    private static let firstLine = "chorale-key 1"

    static func encode(_ header: KeyFile.Header, _ sealed: SealedSecret) -> [UInt8] {
        Self.clearPart(header) + Array("sealed: \(Hex.encode(sealed.bytes))\n".utf8)
    }

    /// Everything before the seal, which the seal authenticates.
    static func clearPart(_ header: KeyFile.Header) -> [UInt8] {
        var lines = [
            Self.firstLine, "network: \(header.network)", "signer: \(header.signer)",
            "identity: \(Hex.encode(header.identity.bytes))",
        ]
        if let label = header.label { lines.append("label: \(label)") }
        return Array((lines.joined(separator: "\n") + "\n").utf8)
    }

    static func decode(_ bytes: [UInt8]) throws(KeyFileError.Fault) -> (KeyFile.Header, SealedSecret) {
        guard let text = String(validating: bytes, as: UTF8.self) else { throw .notText }
        var lines = Lines(text)
        guard lines.next() == Self.firstLine else { throw .otherKindOrVersion }

        guard let network = Network(rawValue: try lines.value(of: "network")) else { throw .unreadable(line: "network") }
        let signerHex = try lines.value(of: "signer")
        guard let signer = try? PublicKey(parsing: Hex.decode(signerHex)) else { throw .unreadable(line: "signer") }
        let identityHex = try lines.value(of: "identity")
        guard let identity = try? Ed25519.PublicKey(parsing: Hex.decode(identityHex)) else { throw .unreadable(line: "identity") }
        let label = lines.nextIs("label") ? try lines.value(of: "label") : nil
        if let label, !Self.isLabel(label) { throw .unreadable(line: "label") }
        let sealedHex = try lines.value(of: "sealed")
        guard let sealed = try? SealedSecret(parsing: Hex.decode(sealedHex)) else { throw .unreadable(line: "sealed") }

        let header = KeyFile.Header(network: network, signer: signer, identity: identity, label: label)
        // Also refuses capitals, spaces and lines at the end: one key, one text.
        guard Self.encode(header, sealed) == bytes else { throw .otherSpelling }
        return (header, sealed)
    }

    /// Whether people can read it on one line: no control characters, nothing that turns the direction of writing.
    static func isLabel(_ label: String) -> Bool {
        guard (1...Self.labelByteCountMax).contains(label.utf8.count), label.first != " ", label.last != " " else { return false }
        return label.unicodeScalars.allSatisfy { scalar in
            switch scalar.properties.generalCategory {
            case .control, .format, .lineSeparator, .paragraphSeparator, .surrogate, .unassigned, .privateUse: false
            default: true
            }
        }
    }

    /// The lines of a text, one after the other.
    private struct Lines {
        private var rest: ArraySlice<Substring>

        init(_ text: String) { self.rest = text.split(separator: "\n", omittingEmptySubsequences: false)[...] }

        mutating func next() -> String? { self.rest.popFirst().map(String.init) }

        func nextIs(_ name: String) -> Bool { self.rest.first?.hasPrefix("\(name): ") == true }

        mutating func value(of name: String) throws(KeyFileError.Fault) -> String {
            guard self.nextIs(name), let line = self.next() else { throw .missing(line: name) }
            return String(line.dropFirst(name.count + 2))
        }
    }
}
