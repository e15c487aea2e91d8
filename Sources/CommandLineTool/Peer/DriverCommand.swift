import CryptoPrimitives
import LibP2P

/// One line of a driver: `{"id": 1, "cmd": "ping", "peer": "12D3KooW…", "count": 3}`.
struct DriverCommand: Sendable {
    /// Why a line or one of its arguments cannot be used.
    struct Unusable: Error, CustomStringConvertible {
        let description: String
        init(_ description: String) { self.description = description }
    }

    /// The driver's own number for the command, which the reply repeats.
    let id: JSONValue
    let name: String
    private let members: JSONValue

    init(parsing line: [UInt8]) throws {
        self.members = try JSONValue(parsing: line)
        guard case .string(let name)? = self.members["cmd"] else { throw Unusable("a command is an object with a text under \"cmd\"") }
        self.name = name
        self.id = self.members["id"] ?? .null
    }

    /// The bytes of a text, or of the hex digits under `NAME_hex`.
    func bytes(_ name: String) throws -> [UInt8]? {
        if case .string(let digits)? = self.members["\(name)_hex"] { return try Hex.decode(digits) }
        guard case .string(let text)? = self.members[name] else { return nil }
        return Array(text.utf8)
    }

    func requiredBytes(_ name: String) throws -> [UInt8] {
        guard let bytes = try self.bytes(name) else { throw Unusable("\(self.name) needs \"\(name)\" or \"\(name)_hex\"") }
        return bytes
    }

    func text(_ name: String) throws -> String? {
        guard let bytes = try self.bytes(name) else { return nil }
        guard let text = String(validating: bytes, as: UTF8.self) else { throw Unusable("\"\(name)\" is no text") }
        return text
    }

    func requiredText(_ name: String) throws -> String {
        guard let text = try self.text(name) else { throw Unusable("\(self.name) needs \"\(name)\"") }
        return text
    }

    /// One text, or an array of them.
    func texts(_ name: String) throws -> [String] {
        guard case .array(let values)? = self.members[name] else { return [try self.requiredText(name)] }
        return try values.map { value in
            guard case .string(let text) = value else { throw Unusable("\"\(name)\" holds something that is no text") }
            return text
        }
    }

    /// A whole number within the bounds.
    func integer(_ name: String, _ bounds: ClosedRange<Int>, default defaultValue: Int? = nil) throws -> Int {
        switch self.members[name] {
        case nil: if let defaultValue { return defaultValue }
        case .integer(let value)? where bounds.contains(value): return value
        default: break
        }
        throw Unusable("\"\(name)\" must be a whole number from \(bounds.lowerBound) to \(bounds.upperBound)")
    }

    /// How long the command may take, in seconds, where the driver says so.
    func timeLimit(default defaultValue: Duration) throws -> Duration {
        let seconds: Double
        switch self.members["timeout"] {
        case nil: return defaultValue
        case .integer(let value)?: seconds = Double(value)
        case .number(let value)?: seconds = value
        default: seconds = 0
        }
        guard seconds > 0, seconds <= 3_600 else { throw Unusable("\"timeout\" must be a number of seconds up to 3600") }
        return .seconds(seconds)
    }

    func peer() throws -> PeerID { try PeerID(text: self.requiredText("peer")) }

    /// The address under a name, and the peer at its end.
    func peerAddress(_ name: String) throws -> (peer: PeerID, address: Multiaddr) {
        let address = try Multiaddr(text: self.requiredText(name))
        guard let peer = address.peerID else { throw Unusable("the address \(address) must end in /p2p/ and the peer's id") }
        return (peer, address)
    }
}
