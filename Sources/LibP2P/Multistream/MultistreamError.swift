/// Why no protocol was agreed on.
public enum MultistreamError: Error, Equatable, Sendable {
    /// The peer's first line is not `/multistream/1.0.0`.
    case otherHeader(String)
    /// The peer speaks none of the protocols that we proposed.
    case refused([String])
    /// The peer answered a proposal with neither its name nor `na`.
    case unexpectedAnswer(String, to: String)
    /// The peer proposed more than ``Multistream/proposalCountMax`` protocols, all of them unknown here.
    case tooManyProposals
    /// A line is longer than ``Multistream/lineByteCountMax`` bytes.
    case lineTooLong
    /// A line's length has a needless zero at its end, which the unsigned varint specification forbids.
    case lengthNotMinimal
    /// A line does not end with a newline.
    case newlineMissing
    /// A line is not UTF-8.
    case notText
    /// The peer ended the pipe before a protocol was agreed on.
    case endedEarly
}

extension MultistreamError: CustomStringConvertible {
    public var description: String {
        switch self {
        case .otherHeader(let line): "the peer does not speak \(Multistream.header); its first line is \"\(line.prefix(64))\""
        case .refused(let protocols): "the peer speaks none of \(protocols.joined(separator: ", "))"
        case .unexpectedAnswer(let answer, let proposal): "the peer answered \"\(answer.prefix(64))\" to the proposal \(proposal)"
        case .tooManyProposals: "the peer proposed more than \(Multistream.proposalCountMax) protocols, none of which is spoken here"
        case .lineTooLong: "the peer sent a line of more than \(Multistream.lineByteCountMax) bytes while negotiating"
        case .lengthNotMinimal: "the peer wrote the length of a line in more bytes than it needs"
        case .newlineMissing: "the peer sent a line without its newline while negotiating"
        case .notText: "the peer sent a line that is not UTF-8 while negotiating"
        case .endedEarly: "the peer ended the stream before a protocol was agreed on"
        }
    }
}
