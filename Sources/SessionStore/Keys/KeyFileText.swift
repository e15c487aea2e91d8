internal import Bitcoin
internal import CryptoPrimitives
internal import Secp256k1

/// The text of a key file, as `KeyFile` describes it. Strict: what is read is exactly what would be written.
package enum KeyFileText {
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
        if let label, !Self.isReadable(label) { throw .unreadable(line: "label") }
        let sealedHex = try lines.value(of: "sealed")
        guard let sealed = try? SealedSecret(parsing: Hex.decode(sealedHex)) else { throw .unreadable(line: "sealed") }

        let header = KeyFile.Header(network: network, signer: signer, identity: identity, label: label)
        // Also refuses capitals, spaces and lines at the end: one key, one text.
        guard Self.encode(header, sealed) == bytes else { throw .otherSpelling }
        return (header, sealed)
    }

    /// Whether a key can be called so: shown on one line, with no space at its ends, and beginning with what stands by itself.
    package static func isLabel(_ label: String) -> Bool {
        guard Self.isReadable(label), let first = label.unicodeScalars.first, let last = label.unicodeScalars.last else { return false }
        guard !first.properties.isWhitespace, !last.properties.isWhitespace else { return false }
        // An accent or a modifier belongs to what stands before it, which would be the space of the line's name.
        switch first.properties.generalCategory {
        case .nonspacingMark, .spacingMark, .enclosingMark: return false
        default: return !first.properties.isGraphemeExtend && !first.properties.isEmojiModifier
        }
    }

    /// Whether people can read it on one line: no control characters, nothing that turns the direction of writing.
    ///
    /// All that is asked of a label that stands in a file: what one may be called has become less, and files do not change.
    private static func isReadable(_ label: String) -> Bool {
        guard (1...Self.labelByteCountMax).contains(label.utf8.count) else { return false }
        return label.unicodeScalars.allSatisfy { scalar in
            switch scalar.properties.generalCategory {
            case .control, .format, .lineSeparator, .paragraphSeparator, .surrogate, .unassigned, .privateUse: false
            default: true
            }
        }
    }

    /// The lines of a text, one after the other.
    ///
    /// Divided by bytes: of characters, a space with an accent behind it is another one than the space, and no line's name would end.
    private struct Lines {
        private var rest: ArraySlice<Substring.UTF8View>

        init(_ text: String) { self.rest = text.utf8.split(separator: 0x0a, omittingEmptySubsequences: false)[...] }

        mutating func next() -> String? { self.rest.popFirst().map { String(Substring($0)) } }

        func nextIs(_ name: String) -> Bool { self.rest.first?.starts(with: "\(name): ".utf8) == true }

        mutating func value(of name: String) throws(KeyFileError.Fault) -> String {
            guard self.nextIs(name), let line = self.rest.popFirst() else { throw .missing(line: name) }
            return String(Substring(line.dropFirst(name.utf8.count + 2)))
        }
    }
}
