/// Why something could not be stored or read back. After each of these the store holds what it held before.
public enum StoreError: Error, Equatable, Sendable, CustomStringConvertible {
    // About the store as a whole:

    /// Another process, or another opening in this one, has the store.
    case heldByAnotherProcess(path: String)
    /// A newer program wrote it; this one knows layouts up to `known`.
    case newerVersion(path: String, version: Int, known: Int)
    /// A file that Chorale did not write, or whose beginning is damaged.
    case notOurs(path: String)
    /// What was read is not what was written.
    case damaged(path: String, detail: String)
    /// The system refused: a full disk, a missing folder, no permission.
    case storage(path: String, reason: String)

    // About what was asked:

    /// One value is larger than any may be.
    case tooLarge(what: String, limit: Int)
    /// There is no room for one more, by this bound.
    case full(Bound, limit: Int)
    /// Nothing of this name is there.
    case notFound
    /// Something else stands under this name already.
    case differentStands
    /// The serial or version is not above the one that stands.
    case stale(standing: UInt64)

    /// What is bounded, so that whoever is refused can be told whose doing it is.
    public enum Bound: String, Equatable, Sendable {
        /// What one source, as the caller names it, may have stored.
        case source
        /// What is stored for one recipient.
        case recipient
        /// All of the kind, whoever it is from.
        case all
        /// The entries of one request's transcript.
        case transcript
        /// The whole store: its last part is kept for decisions to sign.
        case store
    }

    public var description: String {
        switch self {
        case .heldByAnotherProcess(let path): "\(path) is in use by another process: end it, or wait for it"
        case .newerVersion(let path, let version, let known):
            "\(path) was written by a newer Chorale: its layout has number \(version), and this program knows up to \(known); "
                + "use the program that wrote it"
        case .notOurs(let path):
            "\(path) is not a store of Chorale, or its beginning is damaged: check the name, or restore it from a backup"
        case .damaged(let path, let detail): "\(path) is damaged (\(detail)): restore it from a backup, or move it away and begin anew"
        case .storage(let path, let reason): "\(path) could not be used: \(reason)"
        case .tooLarge(let what, let limit): "the \(what) is larger than allowed: the limit is \(limit)"
        case .full(let bound, let limit): "there is no room for more (\(bound.rawValue): at most \(limit))"
        case .notFound: "it is not there"
        case .differentStands: "another one stands under this name"
        case .stale(let standing): "it is not newer than what stands (\(standing))"
        }
    }

    /// Whether one item was refused and the store itself is well.
    package var isAboutItem: Bool {
        switch self {
        case .tooLarge, .full, .notFound, .differentStands, .stale, .damaged: true
        case .heldByAnotherProcess, .newerVersion, .notOurs, .storage: false
        }
    }
}
