import Signing
import SigningNode

/// A node's health in words and in JSON.
enum HealthText {
    static func json(_ health: SigningNodeHealth) -> JSONValue {
        let (store, counts) = (health.store, health.requestCounts.sorted { $0.key.rawValue < $1.key.rawValue })
        return .object([
            "started": .unsigned(health.startedAt), "uptime_seconds": LinkText.seconds(health.uptime),
            "connections": .integer(health.connectionCount), "members": .integer(health.memberCount),
            "members_connected": .integer(health.connectedMemberCount), "open_requests": .integer(health.openRequestCount),
            "requests": .object(counts.map { ($0.key.word, .integer($0.value)) }),
            "secret_nonces": .integer(health.secretNonceCount),
            "arena_slots_used": health.arena.map { .integer($0.usedSlotCount) } ?? .null,
            "arena_slots": health.arena.map { .integer($0.slotCount) } ?? .null,
            "is_writable": .bool(store.isWritable), "pending_writes": .integer(store.pendingCount),
            "failed_writes": .integer(store.failureCount),
            "last_failed_write": store.lastFailure.map {
                .object(["time": .unsigned($0.time), "reason": .string($0.reason)])
            } ?? .null,
            "blocked": .array(
                health.blocked.map {
                    .object(["peer_id": .string("\($0.peer)"), "seconds": LinkText.seconds($0.until - health.time)])
                }),
            "clones": .array(health.clones.map { .string("\($0)") }),
            "held_bytes": .integer(health.heldByteCount), "clock_jumps": .integer(health.clockJumpCount),
            "last_clock_jump": health.lastClockJumpAt.map(JSONValue.unsigned) ?? .null,
        ])
    }

    /// The same for people: what is as it should be in few words.
    static func lines(_ health: JSONValue) -> [(name: String, words: String)] {
        func count(_ name: String) -> Int { health[name]?.asInteger ?? 0 }
        var lines = [
            (
                "running",
                "since \(UnixTime.text(health["started"]?.asUnsigned ?? 0)), for \(UnixTime.span(health["uptime_seconds"]?.asUnsigned ?? 0))"
            ),
            (
                "network",
                "\(Amounts.count(count("connections"), "connection")), \(count("members_connected")) of \(Amounts.count(count("members"), "member")) "
                    + "connected, \(Amounts.grouped(count("held_bytes"))) bytes held"
            ),
            ("requests", self.requests(health)),
            (
                "nonces",
                "\(Amounts.count(count("secret_nonces"), "secret nonce")); \(Amounts.grouped(count("arena_slots_used"))) of "
                    + "\(Amounts.grouped(count("arena_slots"))) places for secrets are taken"
            ),
            ("disk", self.disk(health)),
        ]
        for blocked in health["blocked"]?.asArray ?? [] {
            lines.append(("blocked", "\(blocked.shown("peer_id")), for \(UnixTime.span(blocked["seconds"]?.asUnsigned ?? 0))"))
        }
        for signer in health["clones"]?.asTexts ?? [] { lines.append(("clone", CloneWords.alarm("signer \(signer.printable)"))) }
        if let time = health["last_clock_jump"]?.asUnsigned {
            lines.append(
                ("clocks", "went apart \(Amounts.count(count("clock_jumps"), "time")), last at \(UnixTime.text(time)): nonces were wiped"))
        }
        return lines
    }

    private static func requests(_ health: JSONValue) -> String {
        guard case .object(let counts)? = health["requests"], !counts.isEmpty else { return "none" }
        return counts.map { "\($0.value.asInteger ?? 0) \(StoredRequest.State.words(ofWord: $0.name).printable)" }.joined(separator: ", ")
    }

    private static func disk(_ health: JSONValue) -> String {
        let failures = health["failed_writes"]?.asInteger ?? 0
        let last = health["last_failed_write"]
        let words = "\(UnixTime.text(last?["time"]?.asUnsigned ?? 0)): \(last?.shown("reason") ?? "")"
        if health["is_writable"]?.asBool == false { return "takes no writes, and nothing is signed. Last failure at \(words)" }
        return failures == 0 ? "all writes succeeded" : "writes again; \(Amounts.count(failures, "write")) failed, the last at \(words)"
    }
}
