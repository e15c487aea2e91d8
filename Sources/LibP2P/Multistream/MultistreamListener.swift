/// The listener's side of multistream-select 1.0: waits for a proposal that it can accept.
///
///     awaitingHeader ──peer's header──▶ awaitingProposal ──a protocol spoken here──▶ agreed
///                                         ▲      │ another one: answer `na`
///                                         └──────┘
///
/// Its own header is ready from the start. Who sends ``takeOutput()`` at once spares a cautious dialer a wait; who sends
/// it after the first ``receive(_:supports:)`` gets header and answer into one packet, and as the dialer must speak
/// first, that costs nothing.
public struct MultistreamListener: Equatable, Sendable {
    private enum State: Equatable, Sendable {
        case awaitingHeader
        case awaitingProposal
        case agreed(String)
        case failed(MultistreamError)
    }

    private var state = State.awaitingHeader
    private var lines = MultistreamLineReader()
    private var refusalCount = 0
    private var output = Multistream.encode(Multistream.header)

    public init() {}

    /// The protocol both sides now speak; `nil` until then.
    public var agreed: String? {
        if case .agreed(let name) = self.state { name } else { nil }
    }

    /// The bytes to send now; empty when there are none.
    public mutating func takeOutput() -> [UInt8] {
        let output = self.output
        self.output = []
        return output
    }

    /// Takes in bytes of the peer and says how many of them were the negotiation's.
    ///
    /// A dialer in a hurry sends the protocol's own bytes right behind its proposal; those are left to the caller.
    ///
    /// - Parameter supports: whether a protocol is spoken here. It is asked about names of up to 1,023 bytes that a
    ///   stranger chose, at most ``Multistream/proposalCountMax`` times.
    /// - Returns: the number of bytes taken, always all of them until ``agreed``.
    /// - Throws: why there will be no agreement. The pipe is then of no further use.
    public mutating func receive(_ bytes: RawSpan, supports: (String) -> Bool) throws(MultistreamError) -> Int {
        if case .failed(let error) = self.state { throw error }
        var offset = 0
        do throws(MultistreamError) {
            while self.agreed == nil, let line = try self.lines.nextLine(of: bytes, from: &offset) {
                try self.receive(line, supports: supports)
            }
        } catch {
            self.state = .failed(error)
            throw error
        }
        return offset
    }

    /// The peer ends the pipe: an error unless the protocol was agreed on before.
    public mutating func receiveEnd() throws(MultistreamError) {
        switch self.state {
        case .agreed: return
        case .failed(let error): throw error
        case .awaitingHeader, .awaitingProposal:
            self.state = .failed(.endedEarly)
            throw .endedEarly
        }
    }

    private mutating func receive(_ line: String, supports: (String) -> Bool) throws(MultistreamError) {
        switch self.state {
        case .awaitingHeader:
            guard Multistream.isSame(line, Multistream.header) else { throw .otherHeader(line) }
            self.state = .awaitingProposal
        case .awaitingProposal:
            // The words of multistream-select are no protocols, whatever a generous `supports` says of them.
            if line != Multistream.list, line != Multistream.notAvailable, supports(line) {
                self.output += Multistream.encode(line)
                self.state = .agreed(line)
                return
            }
            self.refusalCount += 1
            guard self.refusalCount < Multistream.proposalCountMax else { throw .tooManyProposals }
            self.output += Multistream.encode(Multistream.notAvailable)
        case .agreed, .failed:
            preconditionFailure("no line is read after the negotiation's end")
        }
    }
}
