public import CryptoPrimitives

/// Why a key file could not be made, read or opened.
public enum KeyFileError: Error, Equatable, Sendable, CustomStringConvertible {
    /// It could not be read or written; a file that exists is never overwritten.
    case file(FileError)
    /// What is there is not what this program wrote.
    case damaged(path: String, Fault)
    /// The passphrase is wrong, or the header or seal was altered. Which one cannot be known.
    case wrongPassphraseOrAltered(path: String)
    /// No memory to work in, an empty passphrase, or a cost out of bounds.
    case sealing(path: String, SealedSecretError)
    case invalidLabel
    /// What was about to be written could not have been read again: a mistake of this program. Nothing was written.
    case notReadableAgain(path: String, Fault)

    /// Where a key file stops making sense.
    public enum Fault: Error, Equatable, Sendable, CustomStringConvertible {
        case notText
        case otherKindOrVersion
        case missing(line: String)
        case unreadable(line: String)
        /// The same could be written in another way: an unusual spelling, or more after the end.
        case otherSpelling
        /// The seal holds something other than two keys.
        case wrongSecretByteCount(Int)
        /// The keys under the seal are not those that the header names.
        case otherKeys

        public var description: String {
            switch self {
            case .notText: "it is not text"
            case .otherKindOrVersion: "it does not begin as a key file of this version does"
            case .missing(let line): "the line \"\(line)\" is not where it belongs"
            case .unreadable(let line): "the line \"\(line)\" holds no valid value"
            case .otherSpelling: "it is not spelled as it was written: a capital, a space or a line too many"
            case .wrongSecretByteCount(let count): "the seal holds \(count) bytes, which are not two keys"
            case .otherKeys: "the keys in it are not those that it names"
            }
        }
    }

    public var description: String {
        switch self {
        case .file(let error): "\(error)"
        case .damaged(let path, let fault): "\(path) is no key file that can be used: \(fault); take a copy of it from your backup"
        case .wrongPassphraseOrAltered(let path):
            "\(path) did not open: the passphrase is wrong, or the file was altered; try the passphrase again, then a copy of the file"
        case .sealing(let path, let error): "\(path): \(error)"
        case .invalidLabel:
            "a label is 1 to \(KeyFileText.labelByteCountMax) bytes of text without control characters, without spaces at its ends, and "
                + "with no accent or modifier at its beginning; choose another one"
        case .notReadableAgain(let path, let fault):
            "\(path) was not made: it could not have been read again, for \(fault). That is a mistake of this program; leave out the label"
        }
    }
}
