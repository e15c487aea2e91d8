/// The dialer's side of multistream-select 1.0: proposes protocols, the preferred one first, until the peer takes one.
///
///     awaitingHeader ──peer's header──▶ awaitingAnswer ──proposal echoed──▶ agreed
///                                         ▲      │ `na`: propose the next
///                                         └──────┘
///
/// Send ``takeOutput()`` at once: header and first proposal go together, which saves a round trip. Give what arrives to
/// ``receive(_:)``; it takes no byte beyond the agreement, and what it leaves is the agreed protocol's.
///
/// The **lazy form** needs no second machine. With one protocol proposed, its user may write the protocol's own bytes
/// right behind ``takeOutput()``, as go-libp2p does once it knows what the peer speaks; the agreement, or the
/// peer's refusal, is then read before the protocol's first answer. ``allowsEarlyData`` says when that is possible.
public struct MultistreamDialer: Equatable, Sendable {
    private enum State: Equatable, Sendable {
        case awaitingHeader
        case awaitingAnswer
        case agreed
        case failed(MultistreamError)
    }

    private let protocols: [String]
    private var proposed = 0
    private var state = State.awaitingHeader
    private var lines = MultistreamLineReader()
    private var output: [UInt8]

    /// - Parameter protocols: what we would speak, the preferred one first; at least one, each shorter than
    ///   ``Multistream/lineByteCountMax`` bytes and neither `na` nor `ls`.
    public init(proposing protocols: [String]) {
        precondition(!protocols.isEmpty, "a dialer of multistream-select proposes at least one protocol")
        precondition(
            protocols.allSatisfy { $0 != Multistream.notAvailable && $0 != Multistream.list },
            "a word of multistream-select itself is not a protocol")
        self.protocols = protocols
        self.output = Multistream.encode(Multistream.header) + Multistream.encode(protocols[0])
    }

    /// The protocol both sides now speak; `nil` until then.
    public var agreed: String? {
        self.state == .agreed ? self.protocols[self.proposed] : nil
    }

    /// Whether bytes of the protocol may be sent before the peer has agreed: there is no other protocol to turn to.
    public var allowsEarlyData: Bool { self.protocols.count == 1 }

    /// The bytes to send now; empty when there are none.
    public mutating func takeOutput() -> [UInt8] {
        let output = self.output
        self.output = []
        return output
    }

    /// Takes in bytes of the peer and says how many of them were the negotiation's.
    ///
    /// - Returns: the number of bytes taken, always all of them until ``agreed``.
    /// - Throws: why there will be no agreement. The pipe is then of no further use.
    public mutating func receive(_ bytes: RawSpan) throws(MultistreamError) -> Int {
        if case .failed(let error) = self.state { throw error }
        var offset = 0
        do throws(MultistreamError) {
            while self.state != .agreed, let line = try self.lines.nextLine(of: bytes, from: &offset) {
                try self.receive(line)
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
        case .awaitingHeader, .awaitingAnswer:
            self.state = .failed(.endedEarly)
            throw .endedEarly
        }
    }

    private mutating func receive(_ line: String) throws(MultistreamError) {
        switch self.state {
        case .awaitingHeader:
            guard Multistream.isSame(line, Multistream.header) else { throw .otherHeader(line) }
            self.state = .awaitingAnswer
        case .awaitingAnswer:
            let proposal = self.protocols[self.proposed]
            if Multistream.isSame(line, proposal) {
                self.state = .agreed
            } else if line == Multistream.notAvailable {
                guard self.proposed + 1 < self.protocols.count else { throw .refused(self.protocols) }
                self.proposed += 1
                self.output += Multistream.encode(self.protocols[self.proposed])
            } else {
                throw .unexpectedAnswer(line, to: proposal)
            }
        case .agreed, .failed:
            preconditionFailure("no line is read after the negotiation's end")
        }
    }
}
