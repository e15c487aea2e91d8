import Bitcoin
import CryptoPrimitives
import Secp256k1

/// What a command asks of a node, member by member: `{"do":"request.show","id":"9ae5f462"}`.
struct NodeRequest: Sendable {
    let name: String
    private let members: JSONValue

    init(_ value: JSONValue) throws(ControlError) {
        guard case .string(let name)? = value["do"] else { throw .failed("a request is an object with a text under \"do\"") }
        self.name = name
        self.members = value
    }

    func optionalText(_ name: String) throws(ControlError) -> String? {
        switch self.members[name] {
        case nil, .null?: return nil
        case .string(let text)?: return text
        default: throw .failed("\"\(name)\" is no text")
        }
    }

    func text(_ name: String) throws(ControlError) -> String {
        guard let text = try self.optionalText(name) else { throw .failed("\(self.name) needs \"\(name)\"") }
        return text
    }

    /// A list of texts; what is no text in it is passed over, and an empty list stands for none.
    func texts(_ name: String) -> [String] { self.members[name]?.asTexts ?? [] }

    func isOn(_ name: String) -> Bool { if case .bool(true)? = self.members[name] { true } else { false } }

    func optionalInteger(_ name: String, _ bounds: ClosedRange<Int>) throws(ControlError) -> Int? {
        switch self.members[name] {
        case nil, .null?: return nil
        case .integer(let value)? where bounds.contains(value): return value
        default: throw .failed("\"\(name)\" must be a whole number from \(bounds.lowerBound) to \(bounds.upperBound)")
        }
    }

    func integer(_ name: String, _ bounds: ClosedRange<Int>) throws(ControlError) -> Int {
        guard let value = try self.optionalInteger(name, bounds) else { throw .failed("\(self.name) needs \"\(name)\"") }
        return value
    }

    func key(_ name: String) throws(ControlError) -> PublicKey {
        let text = try self.text(name)
        guard let bytes = try? Hex.decode(text), let key = try? PublicKey(parsing: bytes) else {
            throw .failed("\"\(name)\" is no public key in hex")
        }
        return key
    }
}

// MARK: - Reading what a node says

extension JSONValue {
    var asText: String? { if case .string(let text) = self { text } else { nil } }

    var asBool: Bool { if case .bool(let value) = self { value } else { false } }

    var asArray: [JSONValue] { if case .array(let values) = self { values } else { [] } }

    var asTexts: [String] { self.asArray.compactMap(\.asText) }

    var asInteger: Int? { if case .integer(let value) = self { value } else { nil } }

    var asUnsigned: UInt64? {
        switch self {
        case .integer(let value): UInt64(exactly: value)
        case .unsigned(let value): value
        default: nil
        }
    }

    /// A text under a name; empty where there is none. For what is shown, never for what is decided.
    func shown(_ name: String) -> String { (self[name]?.asText ?? "").printable }

    /// The object without a member.
    func without(_ name: String) -> JSONValue {
        guard case .object(let members) = self else { return self }
        return .object(members.filter { $0.name != name })
    }
}
