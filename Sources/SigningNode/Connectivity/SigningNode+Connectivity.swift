public import CryptoPrimitives
internal import LibP2P
internal import LibP2PPosix

// Whether the members are there. What that means, the machine decides; here are the dials, the pings and those who wait.

/// Those who wait for a check.
struct ConnectivityWaiters {
    typealias Result = Swift.Result<ConnectivityReport, SigningNodeError>

    private var waiting: [ConnectivityCheckID: CheckedContinuation<Result, Never>] = [:]
    /// Ends of checks that came before anybody waited: a check may be over as soon as it begins.
    private var ends: [ConnectivityCheckID: ConnectivityReport] = [:]
    /// The node ends: what its dials come to now says nothing of the members.
    private var isFinished = false

    mutating func wait(for id: ConnectivityCheckID, _ continuation: CheckedContinuation<Result, Never>) {
        guard !self.isFinished else { return continuation.resume(returning: .failure(.notRunning)) }
        if let report = self.ends.removeValue(forKey: id) { return continuation.resume(returning: .success(report)) }
        self.waiting[id] = continuation
    }

    mutating func isOver(_ id: ConnectivityCheckID, _ report: ConnectivityReport) {
        guard !self.isFinished else { return }
        guard let continuation = self.waiting.removeValue(forKey: id) else { return self.ends[id] = report }
        continuation.resume(returning: .success(report))
    }

    mutating func finish() {
        self.isFinished = true
        for continuation in self.waiting.values { continuation.resume(returning: .failure(.notRunning)) }
        self.waiting = [:]
        self.ends = [:]
    }
}

extension SigningNode {
    /// Dials all members of a group at once, or those that a request may still want, and says who is there and how.
    ///
    /// Each is dialled down the ladder: a connection that stands, direct addresses, relays; what comes through a relay is made direct where
    /// the two sides can be got to dial at one moment. Who is connected has proved who it is, and has answered a ping. For ten minutes after
    /// it, whoever is lost is dialled again, later each time, and ``SigningNodeEvent`` tells of each connection and its end. No request ends
    /// because a member is lost, however long: it goes on when the member is back.
    ///
    /// A task that is cancelled gets what was found so far.
    ///
    /// - Parameter id: a request's id (T0), or a group's policy digest.
    /// - Throws: `machine` with `unknownRequestOrGroup`, `connectedCount` or `tooManyChecks`; `notRunning`. Members that are not there are no
    ///   error: ``ConnectivityReport/isMet`` says whether what was required is.
    public func connectivity(
        of id: Bytes32, _ options: ConnectivityOptions = ConnectivityOptions(requirement: .all)
    ) async throws(SigningNodeError) -> ConnectivityReport {
        let check = try await self.ask { machine, now throws(SigningMachineError) in
            try machine.checkConnectivity(of: id, options, now: now)
        }
        let result = await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                self.checkWaiters.wait(for: check, continuation)
            }
        } onCancel: {
            Task { try await self.update { $0.endCheck(check, now: $1) } }
        }
        return try result.get()
    }

    func carryOut(_ step: ConnectivityStep) {
        switch step {
        case .over(let id, let report): self.checkWaiters.isOver(id, report)
        case .dial(let peer, let addresses):
            Task {
                var options = DialOptions()
                options.ignoresBackoff = true
                let end: ConnectivityDialEnd
                do throws(NodeError) {
                    let dials = addresses.dials
                    // The first begins, and the last, which joins it, is waited for.
                    for dial in dials.dropLast() {
                        await self.network.withNode { [options] node, now in
                            _ = node.swarm.dial(peer, at: dial.addresses, options: options, now: now)
                        }
                    }
                    options.isHearsay = dials.last?.isHearsay ?? false
                    _ = try await self.network.dial(peer, at: dials.last?.addresses ?? [], options: options)
                    end = .connected
                } catch {
                    end = if case .dial(let error) = error { .failed(error) } else { .calledOff }
                }
                try? await self.update { $0.dialled(peer, end, now: $1) }
            }
        case .ping(let peer):
            Task {
                let result: Result<Duration, PingError>
                do throws(NodeError) {
                    result = (try await self.network.ping(peer)).first.map { .success($0) } ?? .failure(.ended)
                } catch {
                    result = if case .ping(let error) = error { .failure(error) } else { .failure(.ended) }
                }
                try? await self.update { $0.pinged(peer, result, now: $1) }
            }
        }
    }
}
