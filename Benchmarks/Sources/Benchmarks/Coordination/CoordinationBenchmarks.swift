import CBaseline
import CryptoPrimitives
import SimulationKit

/// What a signature over a network costs beside the mathematics: round trips, messages, bytes, and work beside what cannot be avoided.
struct CoordinationBenchmarks {
    let stopwatch: Stopwatch
    let isQuick: Bool
    let report: (CoordinationRow) -> Void

    private static let groupSizes = [2, 15, 100]
    /// How long a packet takes one way: a continent, and the world.
    private static let oneWays = [Duration.milliseconds(25), .milliseconds(100)]

    func run() throws {
        for oneWay in Self.oneWays { try self.measureTime(oneWay) }
        for count in self.isQuick ? [2, 15] : Self.groupSizes { try self.measureGroup(count) }
    }

    // MARK: Time

    /// In round trips, of the worse of two groups: one where the proposer coordinates, and one where another member does.
    private func measureTime(_ oneWay: Duration) throws {
        let both = try [true, false].map {
            try SigningFigures.measure(memberCount: 3, threshold: 3, oneWay: oneWay, proposerCoordinates: $0)
        }
        let ahead = try SigningFigures.measure(memberCount: 3, threshold: 3, oneWay: oneWay, noncePool: 4)
        let roundTrip = oneWay * 2
        func report(_ name: String, _ trips: Double, limit: Double) {
            let milliseconds = decimal(trips * (roundTrip / .milliseconds(1)), 0)
            self.report(
                CoordinationRow(
                    part: .time, name: "\(name), \(decimal(roundTrip / .milliseconds(1), 0)) ms away", signers: 3, unit: "round trips",
                    value: trips, limit: limit, note: "\(milliseconds) ms"))
        }
        let rows: [(String, KeyPath<SigningFigures, Duration>, Double)] = [
            ("last approval to signature", \.lastApprovalToSignature, 1.1), ("proposal to signature", \.proposalToSignature, 2.1),
            ("proposal to signature at everybody", \.proposalToEverybody, 2.6),
        ]
        for (name, figure, limit) in rows {
            report(name, both.map { $0[keyPath: figure] / roundTrip }.max() ?? 0, limit: limit)
        }
        report("proposal to signature, nonces given ahead", ahead.proposalToSignature / roundTrip, limit: 1.1)
    }

    // MARK: Messages, bytes, work

    private func measureGroup(_ count: Int) throws {
        let group = try Group(count: count)
        let figures = try SigningFigures.measure(
            memberCount: count, threshold: count, oneWay: .milliseconds(25), requestCount: self.isQuick ? 3 : count > 50 ? 5 : 31,
            processorClock: { baseline_thread_nanoseconds() })
        self.reportTraffic(figures, count)
        try self.reportWork(figures, group)
    }

    private func reportTraffic(_ figures: SigningFigures, _ count: Int) {
        let (member, others) = (figures.member, Double(count - 1))
        let messages = Double(member.sentMessageCount + member.receivedMessageCount)
        // What each says and hears in the rounds of the described system.
        self.report(
            CoordinationRow(
                part: .traffic, name: "messages, sent and received", signers: count, unit: "messages", value: messages,
                note: "\(member.sentMessageCount) sent; the coordinator sends \(figures.coordinator.sentMessageCount)"))
        // Own nonce and partial signature; the others' nonces; what proves whose they are; each message's frame and address.
        let limit = 66 + 32 + others * 66 + others * 160 + messages * 300
        self.report(
            CoordinationRow(
                part: .traffic, name: "bytes, sent and received, one input", signers: count, unit: "bytes",
                value: Double(member.sentByteCount + member.receivedByteCount), limit: limit,
                note: "the coordinator sends \(figures.coordinator.sentByteCount)"))
    }

    private func reportWork(_ figures: SigningFigures, _ group: Group) throws {
        let costs = try self.unavoidable(group)
        let others = Double(group.count - 1)
        // Everybody: each other's nonces. A member: the proposal and the begin come, its approval and its partial signature go. The
        // coordinator, which proposed: everybody's partial signatures come; its proposal, its approval and the begin go.
        let kinds: [(String, SigningFigures.Share, verified: Double, signed: Double)] = [
            ("member", figures.member, others + 2, 2), ("coordinator", figures.coordinator, 2 * others, 3),
        ]
        for (name, share, verified, signed) in kinds {
            let bytes = Double(share.sentByteCount + share.receivedByteCount)
            let least = costs.session + verified * costs.verification + signed * costs.signature + bytes * costs.byte
            let text = "\(decimal(costs.session, 0)) µs of it libsecp256k1"
            self.report(
                CoordinationRow(
                    part: .work, name: name, signers: group.count, unit: "µs", value: Double(share.processorTime) / 1_000,
                    limit: 1.2 * least, least: least, note: text))
        }
    }

    /// In microseconds: libsecp256k1's calls of one signer, from C; one verification and one signature of Ed25519; a byte of the channel.
    private func unavoidable(_ group: Group) throws -> (session: Double, verification: Double, signature: Double, byte: Double) {
        let c = group.c
        let identity = try Ed25519.SecretKey.generate()
        let (publicKey, message) = (identity.publicKey, [UInt8](repeating: 7, count: 32))
        let signed = identity.sign(message)
        let (session, verification) = try self.stopwatch.compare(
            swift: Side.c({ baseline_session(c, $0) }),
            c: Side { count in for _ in 0..<count { require(signed.isValid(for: message, by: publicKey)) } })
        let text = [UInt8](repeating: 5, count: 512)
        var (key, target) = ([UInt8](repeating: 9, count: 32), [UInt8](repeating: 0, count: 528))
        let (signature, sealing) = try self.stopwatch.compare(
            swift: Side { count in for _ in 0..<count { consume(identity.sign(message)) } },
            c: Side.c({ baseline_chacha20poly1305(text, text.count, &key, $0, &target) }))
        return (session, verification, signature, sealing / Double(text.count))
    }
}
