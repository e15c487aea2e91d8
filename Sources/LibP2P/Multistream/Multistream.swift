/// Words and limits of multistream-select 1.0, by which two peers agree on the protocol of a byte pipe.
///
/// Each message is one line: its length as an unsigned varint, the text, and a newline that the length counts.
/// Source: the multistream-select repository of multiformats, README, and libp2p's `connections` specification.
public enum Multistream {
    /// The first line of each side.
    public static let header = "/multistream/1.0.0"

    /// The listener's answer to a proposal that it does not speak. Short for "not available".
    static let notAvailable = "na"

    /// An optional question of the specification: which protocols are there? go-libp2p no longer answers it, and
    /// neither do we; a dialer must not depend on it. It gets `na`, as in go.
    static let list = "ls"

    /// Longest line in bytes, the newline counted and the length prefix not.
    ///
    /// Source: `lpReadBuf` of go-multistream refuses more; the specification names no limit.
    public static let lineByteCountMax = 1_024

    /// How many proposals a listener refuses before it gives up on a dialer.
    ///
    /// The specification has no limit. The longest honest list known here has five entries (gossipsub's versions and
    /// its ancestor), so that this leaves room for ten times as many.
    public static let proposalCountMax = 64

    /// Whether two names are the same bytes. `==` of `String` would also call two spellings of one letter the same.
    static func isSame(_ left: String, _ right: String) -> Bool {
        left.utf8.elementsEqual(right.utf8)
    }

    /// A line as it goes over the wire.
    static func encode(_ text: String) -> [UInt8] {
        let byteCount = text.utf8.count + 1
        precondition(byteCount <= Self.lineByteCountMax, "a protocol's name must fit in a line of multistream-select")
        var line: [UInt8] = []
        line.reserveCapacity(byteCount + 2)
        Varint.append(UInt64(byteCount), to: &line)
        line.append(contentsOf: text.utf8)
        line.append(UInt8(ascii: "\n"))
        return line
    }
}
