internal import Bitcoin
internal import CryptoPrimitives
internal import Secp256k1

/// The text of a key file, as `KeyFile` describes it. Strict: what is read is exactly what would be written.
package enum KeyFileText {
    /// Most bytes of a label.
    static let labelByteCountMax = 64

    private static let firstLine = "chorale-key 1"
    /// Of a file that says which enrolment it makes: a later one, or one that expires.
    private static let enrolmentFirstLine = "chorale-key 2"

    static func encode(_ header: KeyFile.Header, _ sealed: SealedSecret) -> [UInt8] {
        Self.clearPart(header) + Array("sealed: \(Hex.encode(sealed.bytes))\n".utf8)
    }

    /// Everything before the seal, which the seal authenticates.
    static func clearPart(_ header: KeyFile.Header) -> [UInt8] {
        let isFirst = header.version == 1 && header.expiry == 0
        var lines = [
            isFirst ? Self.firstLine : Self.enrolmentFirstLine, "network: \(header.network)", "signer: \(header.signer)",
            "identity: \(Hex.encode(header.identity.bytes))",
        ]
        if !isFirst { lines += ["version: \(header.version)", "expires: \(header.expiry)"] }
        if let label = header.label { lines.append("label: \(label)") }
        return Array((lines.joined(separator: "\n") + "\n").utf8)
    }

    static func decode(_ bytes: [UInt8]) throws(KeyFileError.Fault) -> (KeyFile.Header, SealedSecret) {
        guard let text = String(validating: bytes, as: UTF8.self) else { throw .notText }
        var lines = Lines(text)
        let first = lines.next()
        guard first == Self.firstLine || first == Self.enrolmentFirstLine else { throw .otherKindOrVersion }

        guard let network = Network(rawValue: try lines.value(of: "network")) else { throw .unreadable(line: "network") }
        let signerHex = try lines.value(of: "signer")
        guard let signer = try? PublicKey(parsing: Hex.decode(signerHex)) else { throw .unreadable(line: "signer") }
        let identityHex = try lines.value(of: "identity")
        guard let identity = try? Ed25519.PublicKey(parsing: Hex.decode(identityHex)) else { throw .unreadable(line: "identity") }
        var (version, expiry): (UInt32, UInt64) = (1, 0)
        if first == Self.enrolmentFirstLine {
            guard let number = UInt32(try lines.value(of: "version")) else { throw .unreadable(line: "version") }
            guard let time = UInt64(try lines.value(of: "expires")) else { throw .unreadable(line: "expires") }
            (version, expiry) = (number, time)
        }
        let label = lines.nextIs("label") ? try lines.value(of: "label") : nil
        if let label, !Self.isReadable(label) { throw .unreadable(line: "label") }
        let sealedHex = try lines.value(of: "sealed")
        guard let sealed = try? SealedSecret(parsing: Hex.decode(sealedHex)) else { throw .unreadable(line: "sealed") }

        let header = KeyFile.Header(
            network: network, signer: signer, identity: identity, label: label, version: version, expiry: expiry)
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
