import LibP2P
import SigningNode

/// Connections in words and in JSON.
enum LinkText {
    /// A short time, as people read it.
    static func milliseconds(_ time: Duration) -> String {
        let microseconds = max(0, Int64(time / .microseconds(1)))
        return microseconds < 10_000
            ? "\(microseconds / 1_000).\(microseconds % 1_000 / 100) ms" : "\(microseconds / 1_000) ms"
    }

    static func microseconds(_ time: Duration) -> JSONValue { .integer(Int(clamping: Int64(time / .microseconds(1)))) }

    static func seconds(_ time: Duration) -> JSONValue { .unsigned(UInt64(clamping: time.components.seconds)) }

    /// What is known of a member's connection, under the names that all answers use.
    static func json(_ member: MemberConnectivity, now: Duration) -> [(name: String, value: JSONValue)] {
        [
            ("is_connected", .bool(member.method != nil)), ("by", .optional(member.method?.rawValue)),
            ("connected_seconds", member.connectedSince.map { self.seconds(now - $0) } ?? .null),
            ("round_trip_microseconds", member.roundTrip.map(self.microseconds) ?? .null),
            ("failed_dials", .integer(member.failures)),
            ("error", member.lastError.map(self.json) ?? .null),
        ]
    }

    static func json(_ error: ConnectivityError) -> JSONValue {
        .object([
            ("kind", .string(error.word)), ("is_retryable", .bool(error.isRetryable)), ("message", .string("\(error)")),
        ])
    }

    /// What `json` says of a member, in a few words.
    static func words(_ member: JSONValue) -> String {
        guard member["is_connected"]?.asBool == true else {
            let count = member["failed_dials"]?.asInteger ?? 0
            let why = member["error"]?["message"]?.asText.map { ": \($0.printable)" } ?? ""
            return "not connected" + (count > 0 ? ", \(Amounts.count(count, "dial")) led to nothing" : "") + why
        }
        let way = member["by"]?.asText == ConnectionMethod.relay.rawValue ? " through a relay" : ""
        let since = member["connected_seconds"]?.asUnsigned.map { " for \(UnixTime.span($0))" } ?? ""
        let roundTrip = member["round_trip_microseconds"]?.asInteger.map {
            ", round trip \(self.milliseconds(.microseconds($0)))"
        }
        return "connected\(way)\(since)\(roundTrip ?? "")"
    }
}

extension ConnectivityError {
    /// One word for programs.
    var word: String {
        switch self {
        case .peerNotFound: "peer_not_found"
        case .noAddress: "no_address"
        case .noRelayAddress: "no_relay_address"
        case .timeout: "timeout"
        case .rejected: "rejected"
        case .refusedHere: "refused_here"
        case .networkError: "network_error"
        }
    }
}
