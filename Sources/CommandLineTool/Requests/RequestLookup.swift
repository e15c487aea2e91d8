import CryptoPrimitives
import Signing
import SigningNode

// Which requests there are, and which one is meant.

extension NodeService {
    /// All that this node knows, the newest last: those that it takes part in, and those that are over for long.
    func requests() async throws(ControlError) -> [RequestSummary] {
        do throws(SigningNodeError) {
            let (living, past) = (try await self.node.requests, try await self.node.pastRequests)
            // One that was let go of between the two questions stands in both.
            let known = Set(living.map(\.id))
            return (living + past.filter { !known.contains($0.id) }).sorted { $0.terms.createdAt < $1.terms.createdAt }
        } catch { throw Self.failure(error) }
    }

    /// The request whose id begins with the digits that were given.
    func summary(_ request: NodeRequest) async throws(ControlError) -> RequestSummary {
        try await self.summary(of: request.text("id"))
    }

    func summary(of text: String) async throws(ControlError) -> RequestSummary {
        guard let digits = RequestID.digits(text) else { throw .failed(RequestID.rule) }
        let found: [RequestSummary]
        do throws(SigningNodeError) {
            let living = try await self.node.requests.filter { "\($0.id)".hasPrefix(digits) }
            let isWhole = digits.utf8.count == RequestID.digitCountMax
            let past = isWhole && !living.isEmpty ? [] : try await self.node.pastRequests(named: digits)
            found = living + past.filter { summary in !living.contains { $0.id == summary.id } }
        } catch { throw Self.failure(error) }
        guard let first = found.first else {
            throw .missing("there is no request \(digits) here: those that there are, tells chorale request list")
        }
        guard found.count == 1 else { throw .failed("\(found.count) requests begin with \(digits): give more digits") }
        return first
    }

    /// An event as it is told, with who decided where it is a decision.
    func report(_ event: SigningNodeEvent) async -> EventReport {
        var report = EventReport(event: event)
        if case .decided(let id, let decision) = event, let summary = try? await self.node.request(id) {
            report.isByPolicy = summary.isByPolicy && summary.decision == decision
        }
        return report
    }
}

extension RequestSummary {
    /// Why nothing can be decided about it any more, and what to do; `nil` where it is not over.
    func overText(_ names: SignerNames) -> String? {
        guard self.state.isOver else { return nil }
        let id = "\(self.id)".prefix(EventReport.idDigitCount)
        let next =
            switch self.state {
            case .complete: "the signed transaction is shown by: chorale request show \(id)"
            case .endedMayStillComplete: "what can still become of it, tells: chorale explain \(id)"
            case .proposed, .approved, .signing, .rejected, .withdrawn, .expired, .aborted:
                "if it is still wanted, somebody asks anew (chorale request new)"
            }
        return "request \(id) is over: \(self.state.words(names, byPolicy: self.isByPolicy)). Nothing is left to decide; \(next)"
    }
}
